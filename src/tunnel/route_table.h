/* Which tunnel an address leads to, where those in tunnel mode reach networks: the longest prefix,
 * and of equal ones the newest. One control thread changes it, others read it without locks. A
 * look-up costs as many steps as there are lengths of prefixes in use, however many routes there
 * are. */
#ifndef TUNNEL_ROUTE_TABLE_H
#define TUNNEL_ROUTE_TABLE_H

#include "base/address.h"
#include "wire/selector.h"
#include <stdatomic.h>

#define ROUTE_LENGTHS      129 /* of prefixes, from 0 bits on */
#define ROUTE_LENGTH_WORDS 3
/* Selectors may be any range of addresses: that many prefixes of each at most make it up. What of a
 * stranger one is left has no route, and is not reached. */
#define ROUTE_PREFIXES_MAX 16

struct cds_lfht;
struct tunnel;

/* One child's; an array of prefixes. Opaque, its owner's child keeps it. */
struct routes;

struct route_family {
    uint32_t counts[ROUTE_LENGTHS];              /* of prefixes of each length; control thread */
    _Atomic uint64_t in_use[ROUTE_LENGTH_WORDS]; /* bit n: some have n bits */
};

struct route_table {
    _Atomic(struct cds_lfht *) hash; /* NULL: never any */
    struct route_family families[2]; /* IPv4, IPv6 */
    uint8_t seed[16];
};

/* ---- control thread ---- */

void route_table_init(struct route_table *table, const uint8_t seed[16]);
/* Once nobody reads it any more and all routes are removed; outside a read section. Waits until
 * they are freed. */
void route_table_done(struct route_table *table);
/* Routes to all of these lead to the tunnel from now on. ERR_NOMEM. */
MUST_USE int route_table_add(struct route_table *table, const struct selectors *to,
                             struct tunnel *tunnel, struct routes **ret_routes);
/* And no more. What readers may still see is freed after a grace period. NULL is fine. */
void route_table_remove(struct route_table *table, struct routes *routes);

/* ---- any thread, in a read section ---- */

/* NULL: none. */
struct tunnel *route_table_find(const struct route_table *table, const struct address *to);

#endif
