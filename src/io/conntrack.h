/* Connection tracking: where a redirected packet was meant to go, and forgetting connections. For a
 * NETLINK_NETFILTER socket (netlink_open) with CAP_NET_ADMIN. */
#ifndef IO_CONNTRACK_H
#define IO_CONNTRACK_H

#include "base/address.h"
#include "io/netlink.h"
#include <stdbool.h>
#include <stdint.h>

/* The destination that the client's socket was given, for a datagram that reached the listener
 * through a redirect. client: its sender; listener: the address it arrived at. ERR_NOT_FOUND: no
 * such connection, or it was not redirected but sent to the listener itself. Takes some 20 µs. */
MUST_USE int conntrack_original(struct netlink *nl, uint8_t protocol, const struct endpoint *client,
                                const struct endpoint *listener, struct endpoint *ret_server);
/* The same for an accepted TCP connection. */
MUST_USE int conntrack_original_tcp(int fd, struct endpoint *ret_server);

/* Forgets the connections that were redirected to that local port, so that an application that
 * keeps one socket reaches the server itself with its next datagram (the redirect must be gone by
 * then). ret_count (may be NULL): how many. */
MUST_USE int conntrack_release_redirected(struct netlink *nl, uint16_t port, unsigned *ret_count);
/* Forgets the UDP and TCP connections to that port that are not translated in any way, so that a
 * redirect set up meanwhile catches the sockets that were in use before it. */
MUST_USE int conntrack_release_direct(struct netlink *nl, uint16_t port, unsigned *ret_count);
/* Forgets the connections opened by that source address: their next packet is looked at as a new
 * one. */
MUST_USE int conntrack_release_source(struct netlink *nl, const struct address *source,
                                      unsigned *ret_count);

/* The same for any number of sources, of either family, in one look at all connections. */
MUST_USE int conntrack_release_sources(struct netlink *nl,
                                       bool (*is_wanted)(const struct address *source,
                                                         const void *context),
                                       const void *context);

#endif
