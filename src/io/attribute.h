/* Addresses as netlink attributes: shared by the netlink users of this folder. */
#ifndef IO_ATTRIBUTE_H
#define IO_ATTRIBUTE_H

#include "base/address.h"
#include <libmnl/libmnl.h>
#include <stdint.h>

/* AF_INET, AF_INET6 or AF_UNSPEC. */
uint8_t attribute_family(const struct address *address);
/* Nothing is put for ADDRESS_NONE. */
void attribute_put_address(struct nlmsghdr *message, uint16_t type, const struct address *address);
/* Leaves ret_address alone unless the attribute is an address of family (AF_INET, AF_INET6). */
void attribute_get_address(const struct nlattr *attribute, uint8_t family,
                           struct address *ret_address);

#endif
