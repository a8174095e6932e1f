/* Deadlines of engines in a heap: the earliest is known in O(1). Times are microseconds of
 * the caller's monotonic clock; engines are told the time and never read it. */
#ifndef BASE_DEADLINE_H
#define BASE_DEADLINE_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEADLINE_NEVER UINT64_MAX
#define MS_US          ((uint64_t)1000)
#define SECOND_US      ((uint64_t)1000000)

struct deadline {
    uint64_t at_us;
    size_t index; /* 1-based place in the heap; 0: not in it. Zero-initialised is right. */
};

struct deadline_slot {
    uint64_t at_us; /* beside the pointer: to compare is not to fetch thousands of owners */
    struct deadline *deadline;
};

struct deadline_heap {
    struct deadline_slot *slots;
    size_t count;
    size_t cap;
};

void deadline_heap_init(struct deadline_heap *heap);
void deadline_heap_done(struct deadline_heap *heap);
/* Adds or moves; DEADLINE_NEVER takes it out. */
MUST_USE int deadline_set(struct deadline_heap *heap, struct deadline *d, uint64_t at_us);
void deadline_clear(struct deadline_heap *heap, struct deadline *d);
/* When the earliest is due; DEADLINE_NEVER when empty. */
uint64_t deadline_heap_next(const struct deadline_heap *heap);
/* Takes out and returns the earliest one that is due at now_us, else NULL. */
struct deadline *deadline_heap_pop(struct deadline_heap *heap, uint64_t now_us);

static inline uint64_t deadline_min(uint64_t a_us, uint64_t b_us)
{
    return a_us < b_us ? a_us : b_us;
}

#endif
