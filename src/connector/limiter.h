/* Rate limit by source address in fixed memory: a table of token buckets, the address (IPv6: the
 * /64) chooses one by a secret hash, and an IPv6 site (/48) one more. Those who share one by chance
 * share its rate. */
#ifndef CONNECTOR_LIMITER_H
#define CONNECTOR_LIMITER_H

#include <stdbool.h>

#include "base/address.h"

#define LIMITER_BUCKETS    8192
#define LIMITER_SITE_HOSTS 8 /* a site gets as much as so many of its hosts */

struct limiter {
    uint8_t seed[16];
    uint32_t per_second;
    uint32_t burst;
    struct limiter_bucket {
        uint64_t at_us;  /* when tokens was right */
        uint32_t tokens; /* thousandths */
    } * buckets;
};

/* seed: 16 random bytes. */
MUST_USE int limiter_init(struct limiter *limiter, const uint8_t seed[16], uint32_t per_second,
                          uint32_t burst);
void limiter_done(struct limiter *limiter);
/* Takes one token; false when there is none. */
bool limiter_take(struct limiter *limiter, const struct address *address, uint64_t now_us);

#endif
