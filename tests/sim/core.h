/* The heart of the simulator: virtual time, a queue of events, random numbers from a seed, and a
 * running hash of all that happens, by which two runs of one seed are compared. */
#ifndef SIM_CORE_H
#define SIM_CORE_H

#include "base/deadline.h"
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_START_US (100000 * SECOND_US) /* no clock begins at zero */
#define SIM_WHY_CAP  320

/* xoshiro256**, seeded by splitmix64. */
struct rng {
    uint64_t state[4];
};
void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
/* 0 … below - 1; 0 for below 0. */
uint64_t rng_below(struct rng *rng, uint64_t below);
/* first … last. */
uint64_t rng_between(struct rng *rng, uint64_t first, uint64_t last);
/* True once in a while: permille 0 … 1000. */
bool rng_chance(struct rng *rng, unsigned permille);
void rng_fill(struct rng *rng, void *data, size_t len);

/* Something that happens at a time. Embedded at the start of what its function needs; the function
 * frees it. `drop` frees it where the run ends before. */
struct event {
    uint64_t at_us;
    uint64_t order; /* of those at one time: as they were added */
    void (*run)(struct event *event);
    void (*drop)(struct event *event);
};

struct core {
    uint64_t now_us;
    struct rng rng;      /* what the network and the scenario draw */
    struct rng keys;     /* what libcrypto draws */
    struct event **heap; /* by time and order */
    size_t count, cap;
    uint64_t order;
    uint64_t hash;
    uint64_t steps;
    bool has_trace;        /* prints what happens */
    char why[SIM_WHY_CAP]; /* the first broken invariant; "" while there is none */
};

void core_init(struct core *core, uint64_t seed);
/* Drops what is still in the queue. */
void core_done(struct core *core);
/* Adds one; it may not lie in the past. */
void core_add(struct core *core, struct event *event, uint64_t at_us);
/* DEADLINE_NEVER when there is none. */
uint64_t core_next_us(const struct core *core);
/* Takes out the next one. */
struct event *core_pop(struct core *core);
/* Into the hash. */
void core_mix(struct core *core, const void *data, size_t len);
/* Into the hash, and shown with --trace. */
void core_trace(struct core *core, const char *format, ...) PRINTF_LIKE(2, 3);
/* Notes a broken invariant; the first one counts. */
void core_break(struct core *core, const char *format, ...) PRINTF_LIKE(2, 3);
/* Makes libcrypto draw all its random numbers from here, until the next call; NULL: its own. */
void core_own_randomness(struct core *core);

/* Memory that cannot fail. */
void *sim_new(size_t size);

#endif
