/* IPv4 addresses inside IPv6 addresses, as translators (NAT64) and the name servers beside them
 * (DNS64) write them (RFC 6052), and what answers for ipv4only.arpa tell about a translator's
 * prefix (RFC 7050). Whoever asks, and what for, is left to others. */
#ifndef BASE_NAT64_H
#define BASE_NAT64_H

#include "base/address.h"

#define NAT64_NAME         "ipv4only.arpa" /* A 192.0.0.170, 192.0.0.171, whose AAAA tell */
#define NAT64_PREFIXES_MAX 4

struct nat64_prefixes {
    struct prefix items[NAT64_PREFIXES_MAX]; /* in the order of the answer */
    size_t count;
};

/* Can this be a translator's prefix? Of 32, 40, 48, 56, 64 or 96 bits with bits 64–71 zero (RFC
 * 6052, 2.2), and neither loopback, link-local, multicast, IPv4-mapped, 6to4, Teredo nor ORCHID. */
bool nat64_prefix_is_valid(const struct prefix *prefix);

/* The IPv6 address that stands for an IPv4 one. ERR_INVALID: no such prefix or no IPv4 address.
 * ERR_REFUSED: this address cannot be meant: it is private, loopback, multicast, unspecified or
 * link-local (RFC 6052, 3.1 forbids it for 64:ff9b::/96; behind other prefixes it would be one of
 * the translator's own network, which is none of ours). */
MUST_USE int nat64_embed(const struct prefix *prefix, const struct address *ipv4,
                         struct address *ret_ipv6);
/* The IPv4 address that this one stands for, whatever it is. ERR_NOT_FOUND: not under the prefix,
 * or not as RFC 6052, 2.2 has it (bits 64–71 zero). What follows the address is ignored. */
MUST_USE int nat64_extract(const struct prefix *prefix, const struct address *ipv6,
                           struct address *ret_ipv4);
/* … under any of these. */
MUST_USE int nat64_extract_any(const struct nat64_prefixes *prefixes, const struct address *ipv6,
                               struct address *ret_ipv4);

/* RFC 7050, 3: the prefixes behind these AAAA of ipv4only.arpa. Addresses in which a well-known
 * address stands at no place, or at more than one, tell nothing. */
void nat64_discover(const struct address *answers, size_t count,
                    struct nat64_prefixes *ret_prefixes);

#endif
