/* The leak guard: packets to guarded prefixes (the pool, ORCHID) leave through the tunnel interface
 * or not at all. Two policy rules a prefix, `to PREFIX lookup TABLE` and behind it `to PREFIX
 * unreachable`, come before every route of other tables, and outlive the process that made them. */
#ifndef IO_GUARD_H
#define IO_GUARD_H

#include "base/address.h"
#include "io/netlink.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUARD_PREFIX_CAP 40

struct guard {
    struct prefix prefixes[GUARD_PREFIX_CAP];
    size_t count;
    uint32_t table;      /* holds routes through the TUN and nothing else */
    uint32_t preference; /* of the lookup rules; +1 of the unreachable ones. From 1. */
    uint32_t link;       /* the TUN's index; 0 while there is none: then the table is to be empty */
};

/* Sets what is missing, and takes routes that do not belong out of the table. Call it at start and
 * whenever guard_is_intact says no. IPv6 prefixes are passed over where the kernel has no IPv6. */
MUST_USE int guard_install(struct netlink *nl, const struct guard *guard);
/* Are all rules there, and no foreign route in the table? Watch for MONITOR_RULES and
 * MONITOR_ROUTES. */
MUST_USE int guard_is_intact(struct netlink *nl, const struct guard *guard, bool *ret_is_intact);
/* Removes the rules: from then on these packets go where other routes send them. */
MUST_USE int guard_remove(struct netlink *nl, const struct guard *guard);

#endif
