/* The routers at the beginning of a path: datagrams whose TTL ends under way, and the ICMP errors
 * that say where it did. What that means is left to others. */
#ifndef IO_HOPS_H
#define IO_HOPS_H

#include "base/address.h"
#include "base/error.h"
#include <stdint.h>

#define HOPS_MAX 16

/* Sends one datagram to each of the first count (at most HOPS_MAX) hops on the way to an IPv4
 * address: the n-th with TTL n. mark: SO_MARK; 0: none. The descriptor is for hops_receive; the
 * caller closes it. ERR_INVALID: no IPv4 address; ERR_IO. */
MUST_USE int hops_open(const struct address *to, unsigned count, uint32_t mark, int *ret_fd);
/* The next hop that has answered: its number, from 1, and address. Each at most once unless the
 * network doubles packets; in any order. ERR_AGAIN: nobody else has by now. Anybody who sees the
 * datagrams can answer in a router's place. */
MUST_USE int hops_receive(int fd, unsigned *ret_number, struct address *ret_router);

#endif
