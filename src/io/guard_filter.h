/* The leak guard's second half: a table that drops packets to guarded prefixes on every interface
 * but the tunnel's. The policy rules of guard.h do not bind sockets that are bound to a device:
 * where routing says "unreachable", the kernel takes an IPv4 destination to be on that device's
 * link and asks for it by ARP. Nor do they bind a rule that somebody puts before them. The table
 * outlives the process. */
#ifndef IO_GUARD_FILTER_H
#define IO_GUARD_FILTER_H

#include "io/guard.h"
#include "io/nft.h"
#include <stdbool.h>

struct guard_filter {
    struct nft nft;
    struct guard guard;
    char tun_name[16];
    bool is_plain; /* the kernel has no owned tables that persist (before Linux 6.9) */
};

/* Opens a socket; changes nothing. table: e.g. "detec-guard". ERR_UNSUPPORTED: no nf_tables. */
MUST_USE int guard_filter_open(struct guard_filter *filter, const char *table,
                               const struct guard *guard, const char *tun_name);
/* Makes the table, or makes it anew. While the filter is open nobody else can change it (Linux 6.9;
 * before, `nft flush ruleset` removes it: look at guard_filter_is_intact now and then). ERR_REFUSED
 * or ERR_UNSUPPORTED if another living process owns the table. */
MUST_USE int guard_filter_install(struct guard_filter *filter);
MUST_USE int guard_filter_is_intact(struct guard_filter *filter, bool *ret_is_intact);
/* Removes the table; none is ERR_OK. */
MUST_USE int guard_filter_remove(struct guard_filter *filter);
/* Leaves the table in place. Also for a zero-initialised one. */
void guard_filter_close(struct guard_filter *filter);
/* Why the last call failed; never NULL. */
const char *guard_filter_error(const struct guard_filter *filter);

#endif
