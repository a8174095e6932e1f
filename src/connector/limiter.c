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

bool limiter_take(struct limiter *limiter, const struct address *address, uint64_t now_us)
{
    /* One IPv6 host owns a /64. */
    const size_t len = address->family == ADDRESS_IPV6 ? 8 : 4;
    struct limiter_bucket *bucket =
        &limiter->buckets[siphash(limiter->seed, address->bytes, len) % LIMITER_BUCKETS];
    const uint64_t full = (uint64_t)limiter->burst * TOKEN;
    /* Zero: never used. A bucket is full again within burst seconds at most. */
    const uint64_t gone_us = now_us - bucket->at_us;
    if (bucket->at_us == 0 || gone_us / 1000000 > limiter->burst) {
        bucket->tokens = (uint32_t)full;
        bucket->at_us = now_us;
    } else {
        const uint64_t gain = gone_us * limiter->per_second * TOKEN / 1000000;
        const uint64_t tokens = bucket->tokens + gain;
        bucket->tokens = (uint32_t)(tokens < full ? tokens : full);
        /* Moments too short for a gain are not lost, but added up. */
        bucket->at_us = gain > 0 ? now_us : bucket->at_us;
    }
    if (bucket->tokens < TOKEN)
        return false;
    bucket->tokens -= TOKEN;
    return true;
}
