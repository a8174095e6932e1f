/* The data path: one thread that moves packets between the TUN device and the tunnel socket. It
 * knows tunnels (read without locks) and hands everything that is not data to the control thread.
 */
#ifndef HOST_DATAPATH_H
#define HOST_DATAPATH_H

#include "host/handoff.h"
#include "io/tun.h"
#include "io/udp.h"
#include "tunnel/tunnel.h"

struct datapath;

struct datapath_config {
    const struct tun *tun; /* borrowed */
    struct udp *udp;       /* borrowed */
    struct tunnel_table *tunnels;
    struct prefix pool;
    struct address own; /* own pool address */
};

MUST_USE int datapath_start(const struct datapath_config *config, struct datapath **ret_datapath);
/* Ends the thread and waits for it. NULL is fine. */
void datapath_stop(struct datapath *datapath);
/* What the thread hands over; the control thread reads both, when either wakes it: datagrams from
 * the network, and packets from local applications (strangers cannot fill the latter). */
struct handoff *datapath_from_network(struct datapath *datapath);
struct handoff *datapath_from_local(struct datapath *datapath);
/* To the thread, from the control thread only. False: the queue is full. */
bool datapath_send_packet(struct datapath *datapath, const uint8_t *packet, size_t len);
/* A datagram that was handed over as early, now that its tunnel is there. */
bool datapath_receive(struct datapath *datapath, const struct endpoint *from,
                      const uint8_t *datagram, size_t len);
/* Until then datagrams from where no tunnel is are handed over: those of a tunnel whose keys the
 * other side has already may overtake the last message of the negotiation, or its handling here. */
void datapath_expect(struct datapath *datapath, uint64_t until_us);
/* One more socket beside the tunnel port's, of which it takes a duplicate, for endpoints with this
 * `socket` (host/sockets.h); at most DATAPATH_SOCKETS_MAX. False: not now. */
#define DATAPATH_SOCKETS_MAX 32
bool datapath_add_socket(struct datapath *datapath, uint16_t number, const struct udp *udp);
bool datapath_remove_socket(struct datapath *datapath, uint16_t number);
bool datapath_send_command(struct datapath *datapath, const struct address *peer, uint8_t command);
/* A probe that makes an IP packet of size bytes; token (not 0) is in the HANDOFF_COMMAND_SENT that
 * follows. */
bool datapath_send_probe(struct datapath *datapath, const struct address *peer, uint32_t size,
                         uint32_t token);
/* Drops of packets that no tunnel could count. */
uint64_t datapath_drops(const struct datapath *datapath, enum drop_reason reason);

#endif
