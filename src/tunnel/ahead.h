/* Looking ahead in memory: with thousands of tunnels what a packet needs is not in the processor's
 * caches, and each step to it waits. Whoever has several packets asks for what all of them need
 * before the first one is sealed or opened. Only hints: nothing is changed, and what is guessed
 * wrong is found later. In a read section, which ends after the packets have been sealed or opened.
 */
#ifndef TUNNEL_AHEAD_H
#define TUNNEL_AHEAD_H

#include "base/packet.h"
#include <stdbool.h>
#include <stdint.h>

struct child;
struct path;
struct tunnel;
struct tunnel_table;

#define LOOK_AHEAD_MAX 64

/* Packets of one batch, each at its own step on the way to what it needs. */
struct look_ahead {
    unsigned count;
    struct packet *packets[LOOK_AHEAD_MAX];
    uint64_t hashes[LOOK_AHEAD_MAX];
    const struct path *paths[LOOK_AHEAD_MAX];
    const struct tunnel *tunnels[LOOK_AHEAD_MAX];
    const struct child *children[LOOK_AHEAD_MAX];
};

/* So many tunnels that it pays. */
bool tunnel_table_is_large(const struct tunnel_table *table);
/* Before datagrams are opened (at most LOOK_AHEAD_MAX); nothing to do where there are few tunnels.
 */
void tunnel_look_ahead_in(struct tunnel_table *table, struct packet *const *packets,
                          unsigned count);
/* One more local packet to be sealed, as they come: those before it take a step each meanwhile. Not
 * for more than LOOK_AHEAD_MAX. */
void tunnel_look_ahead_out(struct tunnel_table *table, struct look_ahead *ahead,
                           struct packet *packet);
/* No more of them: the last ones take the rest of their steps. */
void tunnel_look_ahead_end(struct tunnel_table *table, struct look_ahead *ahead);

#endif
