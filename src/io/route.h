/* Routes and policy rules, over a NETLINK_ROUTE socket. Adding what is there and deleting what is
 * not are ERR_OK throughout. ERR_UNSUPPORTED where the kernel has no IPv6 (or no policy routing).
 */
#ifndef IO_ROUTE_H
#define IO_ROUTE_H

#include "base/address.h"
#include "io/netlink.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum route_kind { ROUTE_UNICAST, ROUTE_UNREACHABLE };

struct route {
    struct prefix to;
    uint32_t table;
    uint32_t link;          /* interface index; 0 for ROUTE_UNREACHABLE */
    struct address source;  /* preferred source; ADDRESS_NONE: the kernel chooses */
    struct address gateway; /* ADDRESS_NONE: on the link itself */
    uint32_t mtu;           /* 0: the link's */
    uint8_t kind;           /* enum route_kind */
};

/* Replaces another route to the same prefix in the same table. */
MUST_USE int route_set(struct netlink *nl, const struct route *route);
MUST_USE int route_delete(struct netlink *nl, const struct route *route);

/* All routes of one table, both families, the kernel's own cached
 * ones left out. take gets each; anything but ERR_OK ends the walk with that value. */
typedef int route_take(const struct route *route, void *context);
MUST_USE int route_walk(struct netlink *nl, uint32_t table, route_take *take, void *context);

/* A rule that catches all packets to a prefix. */
struct route_rule {
    struct prefix to;
    uint32_t preference; /* lower ones are asked first; 0 is the local table's */
    uint32_t table;      /* looked up; 0: the destination is unreachable */
};

MUST_USE int route_rule_add(struct netlink *nl, const struct route_rule *rule);
MUST_USE int route_rule_delete(struct netlink *nl, const struct route_rule *rule);
/* Is exactly this rule there, without further conditions (source, mark, interface…)? */
MUST_USE int route_rule_is_present(struct netlink *nl, const struct route_rule *rule,
                                   bool *ret_is_present);

struct route_lookup {
    uint32_t link;
    struct address source;
    struct address gateway; /* ADDRESS_NONE: on the link */
    uint32_t mtu;           /* of the route, learnt path MTU included; 0: the link's */
    bool is_local;
    bool is_unreachable; /* unreachable, prohibited or dropped; the rest is then unset */
};

/* Where the kernel would send a packet with that mark (0: none). */
MUST_USE int route_lookup(struct netlink *nl, const struct address *to, uint32_t mark,
                          struct route_lookup *ret_lookup);

#endif
