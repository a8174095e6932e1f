/* Token buckets by hashed source address. */
#include "connector/limiter.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"

#define TOKEN 1000 /* thousandths */

int limiter_init(struct limiter *limiter, const uint8_t seed[16], uint32_t per_second,
                 uint32_t burst)
{
    struct limiter_bucket *buckets = calloc(LIMITER_BUCKETS, sizeof *buckets);
    if (buckets == NULL)
        return ERR_NOMEM;
    memcpy(limiter->seed, seed, sizeof limiter->seed);
    limiter->per_second = per_second;
    limiter->burst = burst;
    limiter->buckets = buckets;
    return ERR_OK;
}

void limiter_done(struct limiter *limiter)
{
    free(limiter->buckets);
    limiter->buckets = NULL;
}

static struct limiter_bucket *find(struct limiter *limiter, const struct address *address,
                                   unsigned ipv6_bits)
{
    struct address key = address_group(address, ipv6_bits);
    /* So that a site's bucket is not that of its first host. */
    key.family = (uint8_t)ipv6_bits;
    return &limiter->buckets[siphash(limiter->seed, &key, sizeof key) % LIMITER_BUCKETS];
}

/* Brings it up to date, and says whether it has a token. */
static bool refill(struct limiter_bucket *bucket, uint32_t per_second, uint32_t burst,
                   uint64_t now_us)
{
    const uint64_t full = (uint64_t)burst * TOKEN;
    /* Zero: never used. A bucket is full again within burst seconds at most. */
    const uint64_t gone_us = now_us - bucket->at_us;
    if (bucket->at_us == 0 || gone_us / 1000000 > burst) {
        bucket->tokens = (uint32_t)full;
        bucket->at_us = now_us;
    } else {
        const uint64_t gain = gone_us * per_second * TOKEN / 1000000;
        const uint64_t tokens = bucket->tokens + gain;
        bucket->tokens = (uint32_t)(tokens < full ? tokens : full);
        /* Moments too short for a gain are not lost, but added up. */
        bucket->at_us = gain > 0 ? now_us : bucket->at_us;
    }
    return bucket->tokens >= TOKEN;
}

bool limiter_take(struct limiter *limiter, const struct address *address, uint64_t now_us)
{
    struct limiter_bucket *host = find(limiter, address, ADDRESS_HOST_BITS);
    struct limiter_bucket *site = NULL;
    if (!refill(host, limiter->per_second, limiter->burst, now_us))
        return false;
    if (address->family == ADDRESS_IPV6) {
        site = find(limiter, address, ADDRESS_SITE_BITS);
        if (!refill(site, limiter->per_second * LIMITER_SITE_HOSTS,
                    limiter->burst * LIMITER_SITE_HOSTS, now_us))
            return false;
        site->tokens -= TOKEN;
    }
    host->tokens -= host != site ? TOKEN : 0; /* one bucket by chance: one token */
    return true;
}
