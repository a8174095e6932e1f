/* The UDP socket of tunnels: datagrams in batches, with DSCP and ECN, never fragmented on the way.
 */
#ifndef IO_UDP_H
#define IO_UDP_H

#include "base/packet.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UDP_BATCH_CAP    64
#define UDP_BUFFER_BYTES (4 << 20)

struct udp_options {
    uint16_t port;  /* 0: the kernel chooses */
    uint32_t mark;  /* SO_MARK; 0: none. Needs CAP_NET_ADMIN. */
    bool is_shared; /* SO_REUSEPORT: one more socket on the same port for another thread */
    /* The owner probes paths itself (RFC 8899): datagrams go out, with DF, whatever routers have
     * said of the path, as far as the interface takes them; and what was said waits for
     * udp_receive_too_big(), which has to be called until ERR_AGAIN whenever poll says POLLERR. */
    bool is_probing;
    /* Many datagrams a system call (UDP_SEGMENT, UDP_GRO: Linux 5.0), as far as the kernel has it.
     * Costs the memory of udp_gro.c's buffers. */
    bool has_offload;
};

struct udp_gro;

struct udp {
    int fd; /* non-blocking; -1 while closed */
    uint16_t port;
    bool is_dual_stack; /* AF_INET6 that takes IPv4 too; else AF_INET */
    uint32_t mark;
    bool has_gso;        /* equal datagrams to one peer leave as one super-datagram */
    struct udp_gro *gro; /* super-datagrams that are being taken apart; NULL: none are received */
};

/* Bound to all addresses. ERR_EXISTS: the port is taken; ERR_REFUSED: no permission. */
MUST_USE int udp_open(const struct udp_options *options, struct udp *ret_udp);
/* Lets other sockets of this user join its port from now on (is_shared), though it was opened for
 * itself alone: so another program is found out first. What comes from one peer comes to one of
 * them, as long as there are the same ones. ERR_IO. */
MUST_USE int udp_share(const struct udp *udp);
void udp_close(struct udp *udp);

/* One more socket on the port of `beside`, for one peer alone: bound to local's address and
 * connected to remote (both IPv4). The kernel's ESP takes what is ESP in UDP there (UDP_ENCAP, RFC
 * 3948); what has the non-ESP marker is received. Whatever else that peer sends to this port is
 * lost. ERR_UNSUPPORTED: the kernel does not do that; ERR_IO. */
MUST_USE int udp_open_encapsulated(const struct udp *beside, const struct address *local,
                                   const struct endpoint *remote, struct udp *ret_udp);

/* Of a lent datagram the head-room lies in the one before it: at the end, where a tag stands that
 * is of no more use once that one has been opened. So they are worked off in their order. */
#define UDP_LENT_HEADROOM 16

/* Receives up to count (at most UDP_BATCH_CAP) datagrams, behind each packet's data; peer, tos and
 * len are filled in. With has_offload they are lent instead (base/packet.h): all that were received
 * so far stay where they are until the first call that finds udp_has_waiting() false. The first
 * ret_count packets hold them (the array may have been reordered). Datagrams that do not fit are
 * dropped. ERR_AGAIN: none is waiting; ERR_IO: the socket is of no more use. */
MUST_USE int udp_receive_batch(struct udp *udp, struct packet **packets, unsigned count,
                               unsigned *ret_count);

/* How many packets, at most cap, it takes to receive what is there: has_offload asks the kernel for
 * that (what was lent before is over, unless udp_has_waiting()), without it is cap. 0: none is
 * waiting. So a single datagram need not lead through the memory of a whole batch of packets. */
unsigned udp_wanted(struct udp *udp, unsigned cap);

/* Do datagrams wait in our own memory, for which no poll() wakes? */
bool udp_has_waiting(const struct udp *udp);

/* Sends packets to their peers, with their tos. ret_results[i] says what became of each:
 *   ERR_OK     handed to the kernel
 *   ERR_LIMIT  longer than the path's MTU: udp_path_mtu knows it
 *   ERR_AGAIN  the socket's buffer is full: from here on nothing was sent; poll for writing
 *   ERR_IO     this destination cannot be reached now (no route, refused by a filter)
 * Returns ERR_OK if all are ERR_OK, else the first other. At most UDP_BATCH_CAP. */
MUST_USE int udp_send_batch(struct udp *udp, struct packet *const *packets, unsigned count,
                            int8_t *ret_results);
/* One datagram; as above. */
MUST_USE int udp_send(struct udp *udp, const struct endpoint *to, uint8_t tos, const void *data,
                      size_t len);

/* One datagram that may be cut into fragments of IP on its way, for protocols that know no other
 * way to send what is longer than a packet. As udp_send otherwise. */
MUST_USE int udp_send_fragmented(struct udp *udp, const struct endpoint *to, const void *data,
                                 size_t len);

/* Sends a datagram that passes depth routers and is thrown away by the next IP hop, be it a router
 * or the destination itself, before that one's connection tracking believes in it: it carries an
 * IPv4 timestamp option that is full and whose overflow counter runs over there (RFC 791, 3.1). It
 * opens the NATs on our side of the path and leaves no trace at the other. depth 1 … 15;
 * ERR_INVALID for others, and for IPv6, which has nothing of the kind. As udp_send otherwise. */
#define UDP_OPENER_DEPTH_MAX 15
MUST_USE int udp_send_opener(struct udp *udp, const struct endpoint *to, unsigned depth,
                             const void *data, size_t len);
/* Sends a datagram over IPv4 that the ttl-th hop throws away if it is a router. ERR_INVALID for
 * IPv6 or a ttl of 0. As udp_send otherwise. */
MUST_USE int udp_send_ttl(struct udp *udp, const struct endpoint *to, uint8_t ttl, const void *data,
                          size_t len);

/* The largest IP packet that can go to that address now, as far as the kernel knows: the route's
 * MTU or what an ICMP message said. ERR_IO: there is no way there. */
MUST_USE int udp_path_mtu(const struct udp *udp, const struct endpoint *to, uint32_t *ret_mtu);

/* A datagram of ours was too long. */
struct udp_too_big {
    struct endpoint to; /* whom it was for; port 0: not known (local, IPv4) */
    uint32_t size;      /* of the largest IP packet that is said to pass */
    bool is_local; /* our own interface says so; else an ICMP message, which anybody can forge who
                    * guesses both endpoints */
};
/* ERR_OK; ERR_AGAIN: no more. Only of a socket that is_probing. */
MUST_USE int udp_receive_too_big(struct udp *udp, struct udp_too_big *ret_too_big);

#endif
