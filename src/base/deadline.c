/* Binary min-heap of deadlines. slots[0] is heap place 1, so that a zeroed deadline is not in it.
 */
#include "base/deadline.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 16

static void put(struct deadline_heap *heap, size_t place, struct deadline *d)
{
    heap->slots[place - 1] = d;
    d->index = place;
}

static void sift_up(struct deadline_heap *heap, size_t place)
{
    struct deadline *d = heap->slots[place - 1];
    while (place > 1 && heap->slots[place / 2 - 1]->at_us > d->at_us) {
        put(heap, place, heap->slots[place / 2 - 1]);
        place /= 2;
    }
    put(heap, place, d);
}

static void sift_down(struct deadline_heap *heap, size_t place)
{
    struct deadline *d = heap->slots[place - 1];
    for (;;) {
        size_t child = place * 2;
        if (child > heap->count)
            break;
        if (child < heap->count && heap->slots[child]->at_us < heap->slots[child - 1]->at_us)
            child++;
        if (heap->slots[child - 1]->at_us >= d->at_us)
            break;
        put(heap, place, heap->slots[child - 1]);
        place = child;
    }
    put(heap, place, d);
}

static int make_room(struct deadline_heap *heap)
{
    if (heap->count < heap->cap)
        return ERR_OK;
    size_t cap = heap->cap > 0 ? heap->cap * 2 : FIRST_CAP;
    struct deadline **slots = reallocarray(heap->slots, cap, sizeof(struct deadline *));
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
        heap->slots[i]->index = 0;
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
        heap->count++;
        put(heap, heap->count, d);
    }
    d->at_us = at_us;
    sift_up(heap, d->index);
    sift_down(heap, d->index);
    return ERR_OK;
}

void deadline_clear(struct deadline_heap *heap, struct deadline *d)
{
    size_t place = d->index;
    if (place == 0)
        return;
    struct deadline *last = heap->slots[heap->count - 1];
    heap->count--;
    d->index = 0;
    if (last == d)
        return;
    put(heap, place, last);
    sift_up(heap, place);
    sift_down(heap, last->index);
}

uint64_t deadline_heap_next(const struct deadline_heap *heap)
{
    return heap->count > 0 ? heap->slots[0]->at_us : DEADLINE_NEVER;
}

struct deadline *deadline_heap_pop(struct deadline_heap *heap, uint64_t now_us)
{
    if (heap->count == 0 || heap->slots[0]->at_us > now_us)
        return NULL;
    struct deadline *d = heap->slots[0];
    deadline_clear(heap, d);
    return d;
}
