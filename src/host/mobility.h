/* Mobility: this host's addresses, routes or NAT change, or a peer's do, and tunnels move. */
#ifndef HOST_MOBILITY_H
#define HOST_MOBILITY_H

#include "host/host.h"
#include "host/peer.h"

/* A tunnel whose peer is not heard for so long, in spite of all that is done about it, goes down.
 */
#define MOBILITY_GRACE_US (30 * SECOND_US)

/* Addresses or routes have changed; acted on a little later, when the burst of changes is over. */
void mobility_on_network(struct host *host, uint64_t now_us);
/* A connector sees us at another endpoint than before. */
void mobility_on_public_endpoint(struct host *host, uint64_t now_us);
/* The peer has proven (by IKE) to be at another endpoint. */
void mobility_on_path(struct peer *peer, const struct endpoint *path, uint64_t now_us);
/* The relay channel that the tunnel used is no more: it has MOBILITY_GRACE_US to find another path.
 */
void mobility_on_relay_closed(struct peer *peer, const char *why, uint64_t now_us);
/* For task_queue.on_late of the host's tasks: this host has slept, or the daemon was held up. */
void mobility_on_late(struct task_queue *queue, uint64_t late_us, uint64_t now_us);
/* The tunnel is new: notes how its datagrams leave this host. */
void mobility_on_tunnel(struct peer *peer);
/* Looks whether the path is still alive, by what was heard of the peer, and does what is needed.
 * Returns when to look again at the latest; 0: the tunnel has gone down. */
uint64_t mobility_watch(struct peer *peer, const struct tunnel_status *status, uint64_t now_us);

#endif
