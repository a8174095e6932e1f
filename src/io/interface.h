/* Network interfaces: index, state, MTU and addresses, over a NETLINK_ROUTE socket. */
#ifndef IO_INTERFACE_H
#define IO_INTERFACE_H

#include "base/address.h"
#include "io/netlink.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ERR_NOT_FOUND if there is none of that name. */
MUST_USE int interface_find(struct netlink *nl, const char *name, uint32_t *ret_index);
/* Sets the MTU, keeps the kernel from giving the interface link-local addresses and soliciting
 * routers on it (what a TUN's other end would only drop), and brings it up. */
MUST_USE int interface_start(struct netlink *nl, uint32_t index, uint32_t mtu);
MUST_USE int interface_set_mtu(struct netlink *nl, uint32_t index, uint32_t mtu);
struct interface_state {
    uint32_t mtu;
    bool is_up;
};
MUST_USE int interface_state(struct netlink *nl, uint32_t index, struct interface_state *ret_state);

/* Adds address/bits without a prefix route and, for IPv6, without duplicate detection: what stands
 * for this host on a TUN is /32 or /128. One that is there already is ERR_OK. */
MUST_USE int interface_address_add(struct netlink *nl, uint32_t index,
                                   const struct address *address, uint8_t bits);
/* One that is not there is ERR_OK. */
MUST_USE int interface_address_delete(struct netlink *nl, uint32_t index,
                                      const struct address *address, uint8_t bits);

/* Addresses by which others may reach this host, for candidates, and beside each (unless
 * ret_subnets is NULL) the subnet of its interface that it lies in: of interfaces other than
 * skip_index (0: none skipped), not loopback, link-local or multicast; IPv6 ones only while usable
 * (not tentative, failed or deprecated). Of the temporary ones (RFC 8981) of a subnet the one that
 * is preferred longest; beside it none that tells the hardware address (RFC 8445, 5.1.1.1). At most
 * cap of them, at least half of it for each family that needs as much, IPv4 first. */
MUST_USE int interface_addresses(struct netlink *nl, uint32_t skip_index,
                                 struct address *ret_addresses, struct prefix *ret_subnets,
                                 size_t cap, size_t *ret_count);
/* Is the address one of this interface's? */
MUST_USE int interface_has_address(struct netlink *nl, uint32_t index,
                                   const struct address *address, bool *ret_has);

#endif
