/* Looking ahead: with thousands of tunnels what a datagram needs is not in the processor's caches,
 * and each step to it waits for memory. For a batch the steps are taken together, so that the
 * waiting is done once. Changes nothing. */
#include "crypto/aead.h"
#include "tunnel/tunnel_internal.h"

#define FEW_TUNNELS 64 /* they stay in the caches anyway */
#define AHEAD_MAX   64
#define LINE        64

static void fetch(const void *from, size_t len)
{
    for (size_t at = 0; at < len; at += LINE)
        __builtin_prefetch((const uint8_t *)from + at);
}

/* Its newest child is what most datagrams are for. */
static const struct child *newest(const struct child_set *set)
{
    return set != NULL && set->count > 0 ? set->inbound[0] : NULL;
}

static bool has_aead(const struct child *child)
{
    return child != NULL && !child->is_esp && child->suite != SPUT_PAPER;
}

void tunnel_look_ahead(struct tunnel_table *table, struct packet *const *packets,
                       unsigned int count)
{
    const struct tunnel *tunnels[AHEAD_MAX];
    const struct child_set *sets[AHEAD_MAX];
    const struct child *children[AHEAD_MAX];

    if (count < 2 || count > AHEAD_MAX ||
        atomic_load_explicit(&table->count, memory_order_relaxed) <= FEW_TUNNELS)
        return;
    for (unsigned i = 0; i < count; i++) {
        tunnels[i] = tunnel_find_by_endpoint(table, &packets[i]->peer);
        if (tunnels[i] != NULL)
            fetch(&tunnels[i]->path, sizeof(*tunnels[i]) - offsetof(struct tunnel, path));
    }
    for (unsigned i = 0; i < count; i++) {
        sets[i] = tunnels[i] != NULL
                      ? atomic_load_explicit(&tunnels[i]->children, memory_order_acquire)
                      : NULL;
        fetch(sets[i], sets[i] != NULL ? sizeof(*sets[i]) : 0);
    }
    for (unsigned i = 0; i < count; i++) {
        children[i] = newest(sets[i]);
        fetch(children[i],
              children[i] != NULL ? offsetof(struct child, sput.receiver.replay.seen) : 0);
    }
    for (unsigned i = 0; i < count; i++) {
        if (has_aead(children[i]))
            fetch(children[i]->sput.receiver.keys.contexts.first, 1);
    }
    for (unsigned i = 0; i < count; i++) {
        if (has_aead(children[i]))
            aead_look_ahead(children[i]->sput.receiver.keys.contexts.first);
    }
}
