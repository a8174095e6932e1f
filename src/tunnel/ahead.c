/* Looking ahead: with thousands of tunnels what a packet needs is not in the processor's caches,
 * and each step to it waits for memory. For a batch the steps are taken together, each for all of
 * its packets, so that the waiting is done once. Only hints: nothing is changed, and what is
 * guessed wrong is found later. */
#include "crypto/aead.h"
#include "tunnel/bytes.h"
#include "tunnel/tunnel_internal.h"
#include "wire/ip.h"

#define FEW_TUNNELS 64 /* they stay in the caches anyway */
#define LINE        64

/* What is touched of each, from its start. */
#define TUNNEL_LEN (offsetof(struct tunnel, local) + sizeof(struct view))
#define COUNTS_LEN offsetof(struct tunnel, local) /* on the way in */
#define SET_LEN    offsetof(struct child_set, inbound[1])

/* One batch on its way. */
struct ahead {
    unsigned count;
    uint64_t hashes[LOOK_AHEAD_MAX];
    const struct path *paths[LOOK_AHEAD_MAX];
    const struct tunnel *tunnels[LOOK_AHEAD_MAX];
    const struct child *children[LOOK_AHEAD_MAX];
    const struct aead *keys[LOOK_AHEAD_MAX];
};

static void fetch(const void *from, size_t len)
{
    const uint8_t *const start = (const uint8_t *)from;
    for (size_t at = 0; at < len; at += LINE)
        __builtin_prefetch(start + at);
    __builtin_prefetch(start + len - 1);
}

bool tunnel_table_is_large(const struct tunnel_table *table)
{
    return atomic_load_explicit(&table->count, memory_order_relaxed) > FEW_TUNNELS;
}

/* Of suites with AEAD; others' contexts are libraries' own. */
static bool has_aead(const struct child *child)
{
    return child->is_esp ? child->suite <= ESP_CHACHA20_POLY1305_IIV && !child->is_in_kernel
                         : child->suite != SPUT_PAPER;
}

static void fetch_keys(const struct ahead *a, struct packet *const *packets)
{
    for (unsigned i = 0; i < a->count; i++) {
        if (a->keys[i] != NULL)
            aead_look_ahead(a->keys[i], packets[i]->len);
    }
}

/* ---- in ---- */

/* Where its number is marked, which the datagram says itself. */
static void fetch_mark(const struct child *child, const struct packet *packet)
{
    const struct replay *replay =
        child->is_esp ? &child->esp.receiver.replay : &child->sput.receiver.replay;
    if (packet->len < ESP_HEADER_LEN)
        return;
    const uint64_t number =
        child->is_esp ? get32(packet->data + 4) : sput_number_read(packet->data);
    __builtin_prefetch(replay_place(replay, number));
}

static void find_children_in(struct ahead *a)
{
    for (unsigned i = 0; i < a->count; i++) {
        const struct tunnel *tunnel = a->tunnels[i];
        a->children[i] = NULL;
        if (tunnel == NULL)
            continue;
        fetch(atomic_load_explicit(&tunnel->children, memory_order_acquire), SET_LEN);
        const struct child *child = atomic_load_explicit(&tunnel->likely, memory_order_acquire);
        a->children[i] = child;
        if (child == NULL)
            continue;
        fetch(child, offsetof(struct child, sput));
        fetch(&child->sput.receiver, offsetof(struct sput_receiver, replay.seen));
    }
}

static void find_keys_in(struct ahead *a, struct packet *const *packets)
{
    for (unsigned i = 0; i < a->count; i++) {
        const struct child *child = a->children[i];
        a->keys[i] = NULL;
        if (child == NULL)
            continue;
        fetch_mark(child, packets[i]);
        if (has_aead(child))
            a->keys[i] =
                (const struct aead *)(child->is_esp ? child->esp.receiver.keys.contexts.first
                                                    : child->sput.receiver.keys.contexts.first);
    }
}

void tunnel_look_ahead_in(struct tunnel_table *table, struct packet *const *packets, unsigned count)
{
    struct ahead a;

    if (count < 2 || count > LOOK_AHEAD_MAX || !tunnel_table_is_large(table))
        return;
    a.count = count;
    for (unsigned i = 0; i < count; i++) {
        a.hashes[i] = table_hash_endpoint(table, &packets[i]->peer);
        hash_index_look_ahead(&table->by_endpoint, a.hashes[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        a.paths[i] = (const struct path *)hash_index_guess(&table->by_endpoint, a.hashes[i]);
        __builtin_prefetch(a.paths[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        a.tunnels[i] = a.paths[i] != NULL ? a.paths[i]->tunnel : NULL;
        if (a.tunnels[i] != NULL)
            fetch(a.tunnels[i], COUNTS_LEN);
    }
    find_children_in(&a);
    find_keys_in(&a, packets);
    fetch_keys(&a, packets);
}

/* ---- out ---- */

static struct address destination_of(const struct packet *packet)
{
    const unsigned version = packet->len > 0 ? packet->data[0] >> 4 : 0;
    if (version == 4 && packet->len >= 20)
        return address_from_bytes(ADDRESS_IPV4, packet->data + 16);
    if (version == 6 && packet->len >= 40)
        return address_from_bytes(ADDRESS_IPV6, packet->data + 24);
    return (struct address){0};
}

static void find_children_out(struct ahead *a)
{
    for (unsigned i = 0; i < a->count; i++) {
        const struct tunnel *tunnel = a->tunnels[i];
        a->children[i] = NULL;
        if (tunnel == NULL)
            continue;
        __builtin_prefetch(atomic_load_explicit(&tunnel->path, memory_order_acquire));
        fetch(atomic_load_explicit(&tunnel->children, memory_order_acquire), SET_LEN);
        const struct child *child = atomic_load_explicit(&tunnel->likely, memory_order_acquire);
        a->children[i] = child;
        if (child != NULL)
            fetch(child, offsetof(struct child, sput) + offsetof(struct sput_sender, keys.key));
    }
}

static void find_keys_out(struct ahead *a)
{
    for (unsigned i = 0; i < a->count; i++) {
        const struct child *child = a->children[i];
        a->keys[i] = NULL;
        if (child != NULL && has_aead(child))
            a->keys[i] =
                (const struct aead *)(child->is_esp ? child->esp.sender.keys.contexts.first
                                                    : child->sput.sender.keys.contexts.first);
    }
}

void tunnel_look_ahead_out(struct tunnel_table *table, struct packet *const *packets,
                           unsigned count)
{
    struct ahead a;

    if (count < 2 || count > LOOK_AHEAD_MAX || !tunnel_table_is_large(table))
        return;
    a.count = count;
    for (unsigned i = 0; i < count; i++) {
        const struct address to = destination_of(packets[i]);
        a.hashes[i] = table_hash_address(table, &to);
        hash_index_look_ahead(&table->by_peer, a.hashes[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        a.tunnels[i] = (const struct tunnel *)hash_index_guess(&table->by_peer, a.hashes[i]);
        if (a.tunnels[i] != NULL)
            fetch(a.tunnels[i], TUNNEL_LEN);
    }
    find_children_out(&a);
    find_keys_out(&a);
    fetch_keys(&a, packets);
}
