/* XFRM interfaces: what goes out of one is sealed by the SAs of its number, or dropped; what those
 * SAs open comes in through it. They have no addresses and no routes here: see divert.h. */
#ifndef IO_XFRM_LINK_H
#define IO_XFRM_LINK_H

#include "io/netlink.h"
#include <stdint.h>

/* Makes the interface and brings it up. nl: NETLINK_ROUTE. ERR_EXISTS: name or number is taken;
 * ERR_UNSUPPORTED: the kernel has none. */
MUST_USE int xfrm_link_add(struct netlink *nl, const char *name, uint32_t number, uint32_t mtu,
                           uint32_t *ret_link);
/* None is ERR_OK. */
MUST_USE int xfrm_link_delete(struct netlink *nl, uint32_t link);
/* Deletes all whose number is in this range. */
MUST_USE int xfrm_link_flush(struct netlink *nl, uint32_t first, uint32_t last);
/* Lets IPv4 packets in by this interface without asking the kernel's IPsec policies once more: for
 * one that only the owner hands packets to, after checks of its own. */
MUST_USE int xfrm_link_trust(struct netlink *nl, uint32_t link);

#endif
