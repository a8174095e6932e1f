/* A fixed prefix, and the pool address behind it. */
#include "names/pool_ipv6.h"

#include <string.h>

#define PREFIX_LEN 12

/* Its global ID is "detec": it is never on any wire, so that it need not be random. */
static const uint8_t PREFIX[16] = {0xfd, 0x64, 0x65, 0x74, 0x65, 0x63};

struct prefix pool_ipv6_prefix(void)
{
    return (struct prefix){address_from_bytes(ADDRESS_IPV6, PREFIX), 8 * PREFIX_LEN};
}

struct address pool_ipv6_of(const struct address *ipv4)
{
    uint8_t bytes[16];
    memcpy(bytes, PREFIX, sizeof(bytes));
    memcpy(bytes + PREFIX_LEN, ipv4->bytes, sizeof(bytes) - PREFIX_LEN);
    return address_from_bytes(ADDRESS_IPV6, bytes);
}

bool pool_ipv6_to_ipv4(const struct address *ipv6, struct address *ret_ipv4)
{
    const struct prefix prefix = pool_ipv6_prefix();
    if (!prefix_contains(&prefix, ipv6))
        return false;
    *ret_ipv4 = address_from_bytes(ADDRESS_IPV4, ipv6->bytes + PREFIX_LEN);
    return true;
}
