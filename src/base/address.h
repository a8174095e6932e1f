/* IP addresses, endpoints (address and port) and prefixes of both families, as values. IPv4-mapped
 * IPv6 addresses are always held as IPv4. */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include "base/error.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ADDRESS_RELAY: no address of the network, but a relay channel that stands where one would
 * (host/relay.h); its 16 bytes are its owner's. */
enum address_family { ADDRESS_NONE = 0, ADDRESS_RELAY = 1, ADDRESS_IPV4 = 4, ADDRESS_IPV6 = 6 };

struct address {
    uint8_t family;    /* enum address_family */
    uint8_t bytes[16]; /* network order; the first 4 for IPv4, the rest zero */
};

struct endpoint {
    struct address address;
    uint16_t port; /* host order */
    /* The one of our own sockets that this path uses: 0 the usual one; others are their owner's
     * (host/sockets.h). Never on the wire, and part of what makes two paths the same. */
    uint16_t socket;
};

struct prefix {
    struct address address; /* host bits zero */
    uint8_t bits;
};

/* The number that says: no datagrams, but a TCP connection with that peer, whoever has made it
 * (RFC 9329; host/streams.h). `port` is the peer's end of it. */
#define ENDPOINT_SOCKET_STREAM 65533

static inline bool endpoint_is_stream(const struct endpoint *e)
{
    return e->socket == ENDPOINT_SOCKET_STREAM;
}

#define ADDRESS_TEXT_CAP  46 /* INET6_ADDRSTRLEN */
#define ENDPOINT_TEXT_CAP 56 /* "[address]:port" */
#define PREFIX_TEXT_CAP   50

struct address address_from_ipv4(uint32_t host_order);
/* Only for IPv4 addresses. */
uint32_t address_to_ipv4(const struct address *a);
struct address address_from_bytes(enum address_family family, const uint8_t *bytes);
/* On the wire: 4, 16, or 0 for ADDRESS_NONE and ADDRESS_RELAY. */
size_t address_len(const struct address *a);
static inline bool address_is_equal(const struct address *a, const struct address *b)
{
    return a->family == b->family &&
           (a->family == ADDRESS_NONE || memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0);
}

/* Total order, as memcmp. */
int address_compare(const struct address *a, const struct address *b);
/* ERR_INVALID unless text is exactly one IPv4 or IPv6 address. */
MUST_USE int address_parse(const char *text, struct address *ret_address);
/* Writes into buffer (cap at least ADDRESS_TEXT_CAP) and returns it. */
const char *address_format(const struct address *a, char *buffer, size_t cap);

bool address_is_unspecified(const struct address *a);
bool address_is_loopback(const struct address *a);
bool address_is_multicast(const struct address *a);  /* and IPv4 limited broadcast */
bool address_is_link_local(const struct address *a); /* 169.254/16, fe80::/10 */
/* RFC 1918, RFC 6598 (100.64.0.0/10), RFC 4193 and link-local: not reachable across the Internet.
 */
bool address_is_private(const struct address *a);
/* ORCHIDv2 2001:20::/28 (RFC 7343). */
bool address_is_orchid(const struct address *a);

static inline bool endpoint_is_equal(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && a->socket == b->socket &&
           address_is_equal(&a->address, &b->address);
}

/* "192.0.2.1:4500" or "[2001:db8::1]:4500". default_port 0 makes the port required. */
MUST_USE int endpoint_parse(const char *text, uint16_t default_port, struct endpoint *ret_endpoint);
const char *endpoint_format(const struct endpoint *e, char *buffer, size_t cap);
/* For sockets. IPv4-mapped IPv6 becomes IPv4; `socket` becomes 0. */
MUST_USE int endpoint_from_sockaddr(const struct sockaddr *sa, struct endpoint *ret_endpoint);
/* Fills ret for an AF_INET6 dual-stack socket where is_dual_stack (IPv4 becomes mapped), else for
 * the endpoint's own family. Returns the length of the sockaddr. */
socklen_t endpoint_to_sockaddr(const struct endpoint *e, bool is_dual_stack,
                               struct sockaddr_storage *ret);

/* "10.0.0.0/8"; ERR_INVALID where host bits are set or the length is off. */
MUST_USE int prefix_parse(const char *text, struct prefix *ret_prefix);
const char *prefix_format(const struct prefix *p, char *buffer, size_t cap);
bool prefix_contains(const struct prefix *p, const struct address *a);
/* The prefix of so many bits (0 to 8 * address_len()) that a is in. */
struct prefix prefix_around(const struct address *a, unsigned bits);
/* Its last address. */
struct address prefix_last(const struct prefix *p);
/* One address alone. */
bool prefix_is_single(const struct prefix *p);
/* Has any address in common. */
bool prefix_overlaps(const struct prefix *p, const struct prefix *other);

/* Who has one IPv6 address has many: a host its whole /64, a site up to its /48 (RFC 6177). */
#define ADDRESS_HOST_BITS 64
#define ADDRESS_SITE_BITS 48
/* What counts as one where hosts, or sites, are counted: an IPv4 address itself, of an IPv6 address
 * its first ipv6_bits bits (a multiple of 8). */
struct address address_group(const struct address *a, unsigned ipv6_bits);

#endif
