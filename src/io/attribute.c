/* Between struct address and netlink attributes. */
#include "io/attribute.h"

#include <sys/socket.h>

uint8_t attribute_family(const struct address *address)
{
    if (address->family == ADDRESS_IPV4)
        return AF_INET;
    return address->family == ADDRESS_IPV6 ? AF_INET6 : AF_UNSPEC;
}

void attribute_put_address(struct nlmsghdr *message, uint16_t type, const struct address *address)
{
    if (address->family != ADDRESS_NONE)
        mnl_attr_put(message, type, address_len(address), address->bytes);
}

void attribute_get_address(const struct nlattr *attribute, uint8_t family,
                           struct address *ret_address)
{
    if (family == AF_INET && mnl_attr_get_payload_len(attribute) == 4)
        *ret_address = address_from_bytes(ADDRESS_IPV4, mnl_attr_get_payload(attribute));
    if (family == AF_INET6 && mnl_attr_get_payload_len(attribute) == 16)
        *ret_address = address_from_bytes(ADDRESS_IPV6, mnl_attr_get_payload(attribute));
}
