/* ESP in the kernel (`esp-offload` of detec.conf): what is installed for a tunnel, and when. A
 * tunnel whose child is there keeps everything else: its packets go into the TUN as ever, and there
 * the kernel diverts them to an XFRM interface of the tunnel's own, with the addresses that they
 * carry on the wire; what its SAs open is given this host's addresses and comes in by the TUN, past
 * the same filters. What is not diverted, or has no SA, is dropped. For plain IPsec peers with
 * IKEv2, one address on each side. */
#ifndef HOST_KERNEL_ESP_H
#define HOST_KERNEL_ESP_H

#include "base/address.h"
#include "ike/event.h"
#include "io/netlink.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct host;
struct kernel_esp;    /* of the daemon */
struct kernel_tunnel; /* of one peer */
struct peer;

/* Once TUN and policy are there: removes what an earlier process left behind (with `off` too), and
 * finds out what the kernel can by doing all of it once. ERR_UNSUPPORTED, told to the log: `kernel`
 * is wanted, and it cannot. */
MUST_USE int kernel_esp_open(struct host *host);
/* Removes what an earlier process left behind. netlink: NETLINK_ROUTE. Where the kernel has no XFRM
 * there is nothing. Failure is told to the log. */
MUST_USE int kernel_esp_cleanup(struct netlink *netlink);
/* Once all tunnels are down. */
void kernel_esp_close(struct host *host);

/* A new child of the tunnel (whose path is peer->path): the kernel receives with it from now on. Or
 * else nothing has been done with its keys, user space is to have it, nothing of the tunnel is in
 * the kernel any more, and `detec peers` says why; the next child is asked about anew. */
MUST_USE bool kernel_esp_take(struct peer *peer, const struct ike_event_child_ready *child);
/* Sends with it, if it is one of the kernel's. Where the kernel will not, new keys are due, and the
 * rest of the tunnel is user space's. */
void kernel_esp_set_outbound(struct peer *peer, uint64_t child);
/* Neither any more. */
void kernel_esp_drop(struct peer *peer, uint64_t child);
/* The peer's path is another one: SAs do not move, a new child takes over. */
void kernel_esp_on_path(struct peer *peer, uint64_t now_us);
/* A local packet to the peer that has waited for its keys: the kernel sends it, if it has them.
 * False: it has not. */
bool kernel_esp_send(const struct peer *peer, const uint8_t *data, size_t len);
/* The tunnel goes: nothing of it is left in the kernel. */
void kernel_esp_down(struct peer *peer);
/* Takes over what the kernel has counted. */
void kernel_esp_count(struct peer *peer, uint64_t now_us);
/* The same, and looks whether all is there; now and then. */
void kernel_esp_watch(struct peer *peer, uint64_t now_us);

/* For `detec status`, and of a peer. */
json_t *kernel_esp_report(const struct host *host);
json_t *kernel_esp_report_peer(const struct peer *peer);

#endif
