/* IPv6 twins of pool addresses: what local programs call a peer by in IPv6, where a tunnel carries
 * that. They are in one prefix of unique local addresses (RFC 4193) that means something on this
 * host alone, as the pool does, and end in the pool address that they are twins of. */
#ifndef NAMES_POOL_IPV6_H
#define NAMES_POOL_IPV6_H

#include "base/address.h"

/* fd64:6574:6563::/96. */
struct prefix pool_ipv6_prefix(void);
/* The twin of an IPv4 address. */
struct address pool_ipv6_of(const struct address *ipv4);
/* False: it is nobody's twin. */
bool pool_ipv6_to_ipv4(const struct address *ipv6, struct address *ret_ipv4);

#endif
