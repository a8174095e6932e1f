/* The only reader of the system's clocks. */
#include "io/clock.h"

#include <time.h>

static uint64_t read_us(clockid_t clock)
{
    struct timespec now = {0};

    /* Cannot fail: the clocks exist since Linux 2.6.39. */
    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_now_us(void)
{
    return read_us(CLOCK_BOOTTIME);
}

uint64_t clock_asleep_us(void)
{
    uint64_t awake_us = read_us(CLOCK_MONOTONIC);
    uint64_t all_us = read_us(CLOCK_BOOTTIME);

    /* The two are read one after the other: less than a millisecond is that, not sleep. */
    return all_us > awake_us + 1000 ? all_us - awake_us : 0;
}

int64_t clock_wall_seconds(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}
