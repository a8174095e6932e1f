/* Each step reads what the step before has asked for, and asks for the next; between them the other
 * packets take theirs. */
#include "tunnel/ahead.h"
#include "crypto/aead.h"
#include "tunnel/bytes.h"
#include "tunnel/tunnel_internal.h"

#define FEW_TUNNELS 64 /* they stay in the caches anyway */
#define LINE        64

/* What is touched of each, from its start. */
#define TUNNEL_LEN    (offsetof(struct tunnel, local) + sizeof(struct view))
#define TUNNEL_IN_LEN offsetof(struct tunnel, local)
#define SET_LEN       offsetof(struct child_set, inbound[1])
#define CHILD_LEN     offsetof(struct child, sput)
#define CHILD_OUT_LEN (offsetof(struct child, sput) + offsetof(struct sput_sender, keys.key))
#define RECEIVER_AT   offsetof(struct child, sput.receiver)
#define RECEIVER_END  offsetof(struct child, sput.receiver.replay.seen)

_Static_assert(offsetof(struct child, esp.receiver) >= RECEIVER_AT - LINE &&
                   offsetof(struct child, esp.receiver.replay.seen) <= RECEIVER_END + LINE,
               "both protocols' lie alike");

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

static const struct child *fetch_children(const struct tunnel *tunnel)
{
    const struct child_set *set = atomic_load_explicit(&tunnel->children, memory_order_acquire);
    if (set != NULL)
        fetch(set, SET_LEN);
    return atomic_load_explicit(&tunnel->likely, memory_order_acquire);
}

/* ---- in ---- */

static void in_slot(const struct tunnel_table *table, struct look_ahead *a, unsigned i)
{
    a->hashes[i] = table_hash_endpoint(table, &a->packets[i]->peer);
    hash_index_look_ahead(&table->by_endpoint, a->hashes[i]);
}

static void in_path(const struct tunnel_table *table, struct look_ahead *a, unsigned i)
{
    a->paths[i] = (const struct path *)hash_index_guess(&table->by_endpoint, a->hashes[i]);
    if (a->paths[i] != NULL)
        __builtin_prefetch(a->paths[i]);
}

static void in_tunnel(const struct tunnel_table *table, struct look_ahead *a, unsigned i)
{
    a->tunnels[i] = a->paths[i] != NULL ? a->paths[i]->tunnel : NULL;
    if (a->tunnels[i] != NULL)
        fetch(a->tunnels[i], TUNNEL_IN_LEN);
}

static void in_child(const struct tunnel_table *table, struct look_ahead *a, unsigned i)
{
    a->children[i] = a->tunnels[i] != NULL ? fetch_children(a->tunnels[i]) : NULL;
    if (a->children[i] == NULL)
        return;
    fetch(a->children[i], CHILD_LEN);
    fetch((const uint8_t *)a->children[i] + RECEIVER_AT, RECEIVER_END - RECEIVER_AT);
}

/* Where its number is marked: the datagram says it itself. */
static void fetch_mark(const struct child *child, const struct packet *packet)
{
    if (packet->len < ESP_HEADER_LEN)
        return;
    __builtin_prefetch(
        child->is_esp ? replay_place(&child->esp.receiver.replay, get32(packet->data + 4))
                      : replay_place(&child->sput.receiver.replay, sput_number_read(packet->data)));
}

static void in_keys(const struct tunnel_table *table, struct look_ahead *a, unsigned i)
{
    const struct child *child = a->children[i];
    if (child == NULL)
        return;
    fetch_mark(child, a->packets[i]);
    if (!has_aead(child))
        return;
    const struct contexts *contexts =
        child->is_esp ? &child->esp.receiver.keys.contexts : &child->sput.receiver.keys.contexts;
    aead_look_ahead((const struct aead *)contexts->first, a->packets[i]->len);
}

typedef void (*step)(const struct tunnel_table *table, struct look_ahead *a, unsigned i);

#define STEPS(list) (sizeof(list) / sizeof((list)[0]))

void tunnel_look_ahead_in(struct tunnel_table *table, struct packet *const *packets, unsigned count)
{
    static const step steps[] = {in_slot, in_path, in_tunnel, in_child, in_keys};
    struct look_ahead a;

    if (count < 2 || count > LOOK_AHEAD_MAX || !tunnel_table_is_large(table))
        return;
    for (unsigned i = 0; i < count; i++)
        a.packets[i] = packets[i];
    for (unsigned s = 0; s < STEPS(steps); s++) {
        for (unsigned i = 0; i < count; i++)
            steps[s](table, &a, i);
    }
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

static void out_slot(const struct tunnel_table *table, struct look_ahead *a, unsigned i)
{
    const struct address to = destination_of(a->packets[i]);
    a->hashes[i] = table_hash_address(table, &to);
    hash_index_look_ahead(&table->by_peer, a->hashes[i]);
}

static void out_tunnel(const struct tunnel_table *table, struct look_ahead *a, unsigned i)
{
    a->tunnels[i] = (const struct tunnel *)hash_index_guess(&table->by_peer, a->hashes[i]);
    if (a->tunnels[i] != NULL)
        fetch(a->tunnels[i], TUNNEL_LEN);
}

static void out_child(const struct tunnel_table *table, struct look_ahead *a, unsigned i)
{
    a->children[i] = NULL;
    if (a->tunnels[i] == NULL)
        return;
    __builtin_prefetch(atomic_load_explicit(&a->tunnels[i]->path, memory_order_acquire));
    a->children[i] = fetch_children(a->tunnels[i]);
    if (a->children[i] != NULL)
        fetch(a->children[i], CHILD_OUT_LEN);
}

static void out_keys(const struct tunnel_table *table, struct look_ahead *a, unsigned i)
{
    const struct child *child = a->children[i];
    if (child == NULL || !has_aead(child))
        return;
    const struct contexts *contexts =
        child->is_esp ? &child->esp.sender.keys.contexts : &child->sput.sender.keys.contexts;
    aead_look_ahead((const struct aead *)contexts->first, a->packets[i]->len);
}

static const step out_steps[] = {out_slot, out_tunnel, out_child, out_keys};

/* Of the packets up to this one, all that are at one of the steps from `first` on. */
static void take_steps(const struct tunnel_table *table, struct look_ahead *a, unsigned last,
                       unsigned first)
{
    for (unsigned s = STEPS(out_steps); s-- > first;) {
        if (last >= s && last - s < a->count)
            out_steps[s](table, a, last - s);
    }
}

void tunnel_look_ahead_out(struct tunnel_table *table, struct look_ahead *ahead,
                           struct packet *packet)
{
    ahead->packets[ahead->count] = packet;
    ahead->count++;
    take_steps(table, ahead, ahead->count - 1, 0);
}

void tunnel_look_ahead_end(struct tunnel_table *table, struct look_ahead *ahead)
{
    if (ahead->count < 2) /* nothing to do meanwhile */
        return;
    for (unsigned s = 1; s < STEPS(out_steps); s++)
        take_steps(table, ahead, ahead->count - 1 + s, s);
}
