/* What udp.c, udp_gro.c and udp_socket.c share. */
#ifndef IO_UDP_INTERNAL_H
#define IO_UDP_INTERNAL_H

#include "io/udp.h"
#include <sys/socket.h>

#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO     104
#endif

/* Room for the TOS byte or traffic class, of either family, or for IP options; and for the length
 * of segments. */
union udp_control {
    size_t aligned; /* as struct cmsghdr wants it */
    uint8_t bytes[CMSG_SPACE(sizeof(int)) * 3];
};

/* DSCP and ECN that a datagram came with. */
uint8_t udp_tos_of(struct msghdr *header);
/* A pending error of an earlier datagram (ICMP) is reported by the next call, whatever that does.
 */
bool udp_error_is_passing(int error_number);

/* ERR_UNSUPPORTED: the kernel does not have it; ERR_NOMEM. */
MUST_USE int udp_gro_new(int fd, struct udp_gro **ret_gro);
void udp_gro_free(struct udp_gro *gro);
/* As udp_wanted(). */
unsigned udp_gro_wanted(struct udp *udp, unsigned cap);
/* As udp_receive_batch(). */
MUST_USE int udp_gro_receive(struct udp *udp, struct packet **packets, unsigned count,
                             unsigned *ret_count);

#endif
