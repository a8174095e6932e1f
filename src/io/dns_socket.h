/* Sockets of the host's DNS proxy: listeners on loopback for redirected queries, and one marked
 * socket of its own, with a fresh random port, for each query that goes on to the real server. */
#ifndef IO_DNS_SOCKET_H
#define IO_DNS_SOCKET_H

#include "base/address.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Non-blocking UDP and TCP listeners on 127.0.0.1 or ::1, the same port for both (0: a free one is
 * found and returned). ERR_UNSUPPORTED where the kernel lacks the family; ERR_IO. */
MUST_USE int dns_listener_open(enum address_family family, uint16_t port, int *ret_udp,
                               int *ret_tcp, uint16_t *ret_port);
/* One datagram. ERR_AGAIN: none waits. */
MUST_USE int dns_listener_receive(int udp, uint8_t *buffer, size_t cap, size_t *ret_len,
                                  struct endpoint *ret_client);
/* Best effort, as UDP is. */
void dns_listener_send(int udp, const uint8_t *data, size_t len, const struct endpoint *client);
/* A connected, marked, non-blocking UDP or TCP socket to a server; TCP connects in the background.
 */
MUST_USE int dns_upstream_open(const struct endpoint *server, uint32_t mark, int type, int *ret_fd);

#endif
