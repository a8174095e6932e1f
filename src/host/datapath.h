/* The data path: threads that move packets between queues of the TUN device and sockets of the
 * tunnel port, one of each for every thread. They know tunnels (read without locks) and hand
 * everything that is not data to the control thread.
 */
#ifndef HOST_DATAPATH_H
#define HOST_DATAPATH_H

#include "host/handoff.h"
#include "io/tun.h"
#include "io/udp.h"
#include "tunnel/tunnel.h"

struct datapath;

#define DATAPATH_THREADS_MAX 8

struct datapath_config {
    unsigned threads;      /* 0: one */
    const struct tun *tun; /* one for each thread, like the next; borrowed */
    struct udp *udp;
    struct tunnel_table *tunnels;
    struct prefix pool;
    struct address own;      /* own pool address */
    struct address own_ipv6; /* its twin, or none */
};

MUST_USE int datapath_start(const struct datapath_config *config, struct datapath **ret_datapath);
/* Ends the threads and waits for them. NULL is fine. */
void datapath_stop(struct datapath *datapath);
/* What each thread (from 0; NULL: there is none) hands over; the control thread reads all, when any
 * wakes it: datagrams from the network, and packets from local applications (strangers cannot fill
 * the latter). */
struct handoff *datapath_from_network(struct datapath *datapath, unsigned thread);
struct handoff *datapath_from_local(struct datapath *datapath, unsigned thread);
/* From the control thread only, like all that follows. False: the queue is full. */
bool datapath_send_packet(struct datapath *datapath, const uint8_t *packet, size_t len);
/* A datagram that was handed over as early, now that its tunnel is there. */
bool datapath_receive(struct datapath *datapath, const struct endpoint *from,
                      const uint8_t *datagram, size_t len);
/* Until then datagrams from where no tunnel is are handed over: those of a tunnel whose keys the
 * other side has already may overtake the last message of the negotiation, or its handling here. */
void datapath_expect(struct datapath *datapath, uint64_t until_us);
/* One more socket beside the tunnel port's, of which it takes a duplicate, for endpoints with this
 * `socket` (host/sockets.h); at most DATAPATH_SOCKETS_MAX. False: not now; no thread has been told.
 */
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
/* What could not be handed over, for the control thread was too slow. */
uint64_t datapath_not_handed_over(struct datapath *datapath);

#endif
