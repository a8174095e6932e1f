/* The path MTU of tunnels (path/pmtu.h): sends the probes, listens to what comes of them, and puts
 * the result in force. Applications hear of it from the data path. */
#ifndef HOST_PATH_PROBE_H
#define HOST_PATH_PROBE_H

#include "host/host.h"
#include "host/peer.h"
#include "tunnel/tunnel.h"

/* The tunnel's datagrams go this way from now on; what the way takes is found out anew, as soon as
 * something goes there for which it matters. Instead of tunnel_set_path(). ERR_NOMEM. */
MUST_USE int path_probe_set_path(struct peer *peer, const struct endpoint *path);
/* Looks at what was sent and heard. Returns when to look again at the latest. */
uint64_t path_probe_watch(struct peer *peer, const struct tunnel_status *status, uint64_t now_us);
/* The same for a plain peer, which answers no probe (path/mtu_steps). */
uint64_t path_probe_watch_plain(struct peer *peer, const struct tunnel_status *status,
                                uint64_t now_us);
/* What the watcher of the tunnel is to be woken by: tunnel_set_wake(). */
unsigned path_probe_wakes(const struct peer *peer);
/* The tunnel goes. */
void path_probe_stop(struct peer *peer);

/* A probe is on its way as message `number`, or could not be sent: 0. */
void path_probe_on_sent(struct peer *peer, uint32_t token, uint32_t number);
/* An authentic reply to that message. False: it is none of these probes. */
bool path_probe_on_reply(struct peer *peer, uint32_t number, uint64_t now_us);
/* A router (which may lie), or our own interface, says that no more than this gets to that
 * endpoint.
 */
void path_probe_on_too_big(struct host *host, const struct endpoint *to, uint32_t size,
                           bool is_local, uint64_t now_us);

#endif
