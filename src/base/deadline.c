/* Min-heap of deadlines. A deadline knows its place, counted from 1, so that a zeroed one is not in
 * it. */
#include "base/deadline.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 16
#define BRANCHES  4 /* half the levels of two, and their keys lie in one cache line */

static void put(struct deadline_heap *heap, size_t at, struct deadline_slot slot)
{
    heap->slots[at] = slot;
    slot.deadline->index = at + 1;
}

static void sift_up(struct deadline_heap *heap, size_t at)
{
    const struct deadline_slot slot = heap->slots[at];
    while (at > 0 && heap->slots[(at - 1) / BRANCHES].at_us > slot.at_us) {
        put(heap, at, heap->slots[(at - 1) / BRANCHES]);
        at = (at - 1) / BRANCHES;
    }
    put(heap, at, slot);
}

/* The earliest below; count if there is none. */
static size_t first_below(const struct deadline_heap *heap, size_t at)
{
    const size_t first = at * BRANCHES + 1;
    size_t best = first < heap->count ? first : heap->count;
    for (size_t i = first + 1; i < first + BRANCHES && i < heap->count; i++) {
        if (heap->slots[i].at_us < heap->slots[best].at_us)
            best = i;
    }
    return best;
}

static void sift_down(struct deadline_heap *heap, size_t at)
{
    const struct deadline_slot slot = heap->slots[at];
    for (size_t below; (below = first_below(heap, at)) < heap->count; at = below) {
        if (heap->slots[below].at_us >= slot.at_us)
            break;
        put(heap, at, heap->slots[below]);
    }
    put(heap, at, slot);
}

static int make_room(struct deadline_heap *heap)
{
    if (heap->count < heap->cap)
        return ERR_OK;
    size_t cap = heap->cap > 0 ? heap->cap * 2 : FIRST_CAP;
    struct deadline_slot *slots = reallocarray(heap->slots, cap, sizeof(*slots));
    if (slots == NULL)
        return ERR_NOMEM;
    heap->slots = slots;
    heap->cap = cap;
    return ERR_OK;
}

void deadline_heap_init(struct deadline_heap *heap)
{
    memset(heap, 0, sizeof *heap);
}

void deadline_heap_done(struct deadline_heap *heap)
{
    if (heap == NULL)
        return;
    for (size_t i = 0; i < heap->count; i++)
        heap->slots[i].deadline->index = 0;
    free(heap->slots);
    memset(heap, 0, sizeof *heap);
}

int deadline_set(struct deadline_heap *heap, struct deadline *d, uint64_t at_us)
{
    if (at_us == DEADLINE_NEVER) {
        deadline_clear(heap, d);
        d->at_us = DEADLINE_NEVER;
        return ERR_OK;
    }
    if (d->index == 0) {
        int error = make_room(heap);
        if (error != ERR_OK)
            return error;
        put(heap, heap->count++, (struct deadline_slot){at_us, d});
    } else if (d->at_us == at_us) {
        return ERR_OK;
    }
    d->at_us = at_us;
    heap->slots[d->index - 1].at_us = at_us;
    sift_up(heap, d->index - 1);
    sift_down(heap, d->index - 1);
    return ERR_OK;
}

void deadline_clear(struct deadline_heap *heap, struct deadline *d)
{
    size_t place = d->index;
    if (place == 0)
        return;
    const struct deadline_slot last = heap->slots[--heap->count];
    d->index = 0;
    if (last.deadline == d)
        return;
    put(heap, place - 1, last);
    sift_up(heap, place - 1);
    sift_down(heap, last.deadline->index - 1);
}

uint64_t deadline_heap_next(const struct deadline_heap *heap)
{
    return heap->count > 0 ? heap->slots[0].at_us : DEADLINE_NEVER;
}

struct deadline *deadline_heap_pop(struct deadline_heap *heap, uint64_t now_us)
{
    if (heap->count == 0 || heap->slots[0].at_us > now_us)
        return NULL;
    struct deadline *d = heap->slots[0].deadline;
    deadline_clear(heap, d);
    return d;
}
