/* Finding a zone's connector through DNS: SRV `_detec._tcp.ZONE`, the addresses of its targets, and
 * the connector's key from IPSECKEY at the zone; where there is no SRV, the zone's own addresses,
 * if the host's name has an IPSECKEY. (An answer of 0.0.0.1 alone proves no connector.) A and AAAA
 * are asked for side by side; all addresses go to whoever connects, in the order to try them. */
#ifndef HOST_FINDER_H
#define HOST_FINDER_H

#include "base/address.h"
#include "base/text.h"
#include "crypto/identity.h"
#include <stdbool.h>

struct finder;
struct host;

#define FINDER_CONNECTORS_MAX 8

struct finder_result {
    char zone[NAME_TEXT_CAP];
    /* At least one, in the order to try them: the targets of SRV by priority and weight (RFC 2782),
     * the addresses of each with families in turn, IPv6 first (RFC 8305, 4), those that there is
     * no way to last. What cannot be a connector's is left out. Addresses that DNS64 has made up
     * are given as the IPv4 ones they stand for (nat64_reach() tells how to get there). */
    struct endpoint connectors[FINDER_CONNECTORS_MAX];
    size_t connector_count;
    bool has_key;
    struct public_key key; /* as DNS says: enough for a first contact only */
};

/* error: ERR_OK with a result, else NULL and a phrase that says why. */
typedef void finder_done(void *context, int error, const struct finder_result *result,
                         const char *why);

/* The connector for a host's name: asks the name's parent, and the parents of that. `done` is
 * called once, never from within. */
MUST_USE int finder_start_name(struct host *host, const char *name, finder_done *done,
                               void *context, struct finder **ret_finder);
/* The connector of a zone. */
MUST_USE int finder_start_zone(struct host *host, const char *zone, finder_done *done,
                               void *context, struct finder **ret_finder);
/* `done` will not be called any more. NULL is fine. */
void finder_cancel(struct finder *finder);

#endif
