/* Cycles and nanoseconds of a piece of work: the best of its passes, and the line that says so. */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

struct bench {
    uint64_t cycles_before, ns_before;
    double cycles, ns; /* of one packet */
};

#define BENCH_NONE                                                                                 \
    {                                                                                              \
        0, 0, 1e18, 1e18                                                                           \
    }

static inline uint64_t bench_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Nanoseconds where there is no counter. */
static inline uint64_t bench_now_cycles(void)
{
#if defined(__x86_64__)
    return __rdtsc();
#else
    return bench_now_ns();
#endif
}

static inline void bench_begin(struct bench *bench)
{
    bench->ns_before = bench_now_ns();
    bench->cycles_before = bench_now_cycles();
}

static inline void bench_end(struct bench *bench, unsigned packets)
{
    const double cycles = (double)(bench_now_cycles() - bench->cycles_before) / packets;
    const double ns = (double)(bench_now_ns() - bench->ns_before) / packets;
    if (cycles < bench->cycles) {
        bench->cycles = cycles;
        bench->ns = ns;
    }
}

static inline void bench_print(const struct bench *bench, const char *kind, const char *name,
                               const char *by, size_t len, const char *direction)
{
    printf("%-10s %-26s %-10s %5zu %-5s %8.0f cycles/packet %7.2f cycles/byte %7.2f Gbit/s\n", kind,
           name, by, len, direction, bench->cycles, bench->cycles / (double)len,
           (double)len * 8 / bench->ns);
}

#endif
