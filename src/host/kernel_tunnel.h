/* What one tunnel has in the kernel: interface, socket, diversions, SAs. Which tunnels have that is
 * kernel_esp.h's matter. */
#ifndef HOST_KERNEL_TUNNEL_H
#define HOST_KERNEL_TUNNEL_H

#include "ike/event.h"
#include "io/netlink.h"
#include "io/udp.h"
#include "io/xfrm.h"
#include <uv.h>

/* Numbers of XFRM interfaces (if_id) that are ours: whatever has one belongs to detecd. The last
 * one is for trying out. */
#define KERNEL_NUMBER_FIRST 0xDE7EC000u
#define KERNEL_TUNNELS_MAX  32
#define KERNEL_NUMBER_LAST  (KERNEL_NUMBER_FIRST + KERNEL_TUNNELS_MAX)

#define KERNEL_CHILDREN_MAX 8

struct host;

struct kernel_child {
    uint64_t id;            /* 0: free */
    struct xfrm_sa in, out; /* without keys */
    struct xfrm_counts seen_in, seen_out;
};

/* The addresses of the packets within, and where its datagrams go. */
struct kernel_terms {
    struct address own, peer;               /* as programs here know them */
    struct address wire_own, wire_peer;     /* as our packets carry them on the wire */
    struct address remote_own, remote_peer; /* as the peer's do: its own, and ours */
    struct address local;                   /* of our datagrams */
    struct endpoint remote;
    enum child_mode mode;
};

struct kernel_tunnel {
    struct host *host;
    struct netlink *xfrm;
    uint32_t number, link;
    struct kernel_terms terms;
    struct udp udp;
    uv_poll_t poll;
    struct kernel_child children[KERNEL_CHILDREN_MAX];
    uint32_t mtu;      /* that programs are told */
    uint64_t outbound; /* child; 0: none, and nothing is diverted */
};

/* ERR_UNSUPPORTED: the kernel has no such algorithm, or the suite sends no IV. */
MUST_USE int kernel_suite(enum suite suite, const uint8_t *key, struct xfrm_sa *sa);

/* Interface and diversion inwards. beside: the socket whose
 * port it shares; NULL for trying out, without one of its own. */
MUST_USE int kernel_tunnel_new(struct host *host, struct netlink *xfrm, uint32_t number,
                               const struct kernel_terms *terms, const struct udp *beside,
                               struct kernel_tunnel **ret_tunnel);
/* Removes everything, and frees it once the loop has let go of it. */
void kernel_tunnel_free(struct kernel_tunnel *tunnel);
/* SAs of both directions. ERR_FULL: too many children. */
MUST_USE int kernel_tunnel_add(struct kernel_tunnel *tunnel,
                               const struct ike_event_child_ready *child, uint64_t lifetime_s);
/* Seals with it, and diverts what is to be sealed. ERR_NOT_FOUND. */
MUST_USE int kernel_tunnel_set_outbound(struct kernel_tunnel *tunnel, uint64_t child, uint32_t mtu);
/* What programs may send to the peer from now on. */
MUST_USE int kernel_tunnel_set_mtu(struct kernel_tunnel *tunnel, uint32_t mtu);
void kernel_tunnel_drop(struct kernel_tunnel *tunnel, uint64_t child);
struct kernel_child *kernel_tunnel_find(struct kernel_tunnel *tunnel, uint64_t child);

#endif
