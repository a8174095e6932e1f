/* Finding a zone's connector through DNS: SRV `_detec._tcp.ZONE`, its address, and the connector's
 * key from IPSECKEY at the zone; where there is no SRV, the zone's own address, if the host's name
 * has an IPSECKEY. (An answer of 0.0.0.1 alone proves no connector.) */
#ifndef HOST_FINDER_H
#define HOST_FINDER_H

#include "base/address.h"
#include "base/text.h"
#include "crypto/identity.h"
#include <stdbool.h>

struct finder;
struct host;

struct finder_result {
    char zone[NAME_TEXT_CAP];
    struct endpoint connector;
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
