/* Sockets for asking a gateway for port mappings: one connected to it, so that the kernel drops
 * what others send and tells when nobody listens there; and one for its announcements. */
#ifndef IO_GATEWAY_SOCKET_H
#define IO_GATEWAY_SOCKET_H

#include "base/address.h"
#include <stddef.h>
#include <stdint.h>

/* A connected, marked (0: not), non-blocking UDP socket with a random port of the kernel's. Also
 * tells which address of ours the gateway sees. ERR_IO, ERR_REFUSED. */
MUST_USE int gateway_socket_open(const struct endpoint *gateway, uint32_t mark, int *ret_fd,
                                 struct address *ret_local);
/* One datagram. ERR_AGAIN: none waits; ERR_REFUSED: nobody listens there (ICMP, not authentic);
 * ERR_IO. Longer ones are cut to cap. */
MUST_USE int gateway_socket_receive(int fd, void *buffer, size_t cap, size_t *ret_len);
/* ERR_AGAIN, ERR_REFUSED (of an earlier datagram), ERR_IO. */
MUST_USE int gateway_socket_send(int fd, const void *data, size_t len);

/* A non-blocking UDP socket that gets what is sent to this IPv4 multicast group and port (shared
 * with other programs) on the interface with that address of ours. */
MUST_USE int announce_socket_open(const struct endpoint *group, const struct address *local,
                                  int *ret_fd);
/* As gateway_socket_receive, and from whom: anybody on the link. */
MUST_USE int announce_socket_receive(int fd, void *buffer, size_t cap, size_t *ret_len,
                                     struct endpoint *ret_from);

#endif
