/* A token bucket in eight bytes (as GCRA): `burst` at once, then one each interval.
 * Zero-initialised is full. */
#ifndef BASE_BUCKET_H
#define BASE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
    uint64_t full_at_us;
};

/* False: too many. Then nothing is taken. */
static inline bool bucket_take(struct bucket *bucket, uint32_t burst, uint64_t interval_us,
                               uint64_t now_us)
{
    const uint64_t from_us = bucket->full_at_us > now_us ? bucket->full_at_us : now_us;
    if (from_us - now_us > (uint64_t)(burst - 1) * interval_us)
        return false;
    bucket->full_at_us = from_us + interval_us;
    return true;
}

#endif
