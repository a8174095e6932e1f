/* The window as a ring of bits: moving it up clears whole words (the way of RFC 6479), so that its
 * cost does not depend on its size. Single atomic loads and stores: whoever only asks needs no
 * lock. */
#include "tunnel/replay.h"

#include <string.h>

#define WORD_BITS 64

void replay_init(struct replay *r, uint32_t window)
{
    memset(r, 0, sizeof(*r));
    if (window < REPLAY_WINDOW_MIN)
        window = REPLAY_WINDOW_MIN;
    if (window > REPLAY_WINDOW_MAX)
        window = REPLAY_WINDOW_MAX;
    r->window = window;
}

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static bool is_seen(const struct replay *r, uint64_t number)
{
    return (load(&r->seen[number / WORD_BITS % REPLAY_WORDS]) >> (number % WORD_BITS) & 1) != 0;
}

const void *replay_place(const struct replay *r, uint64_t number)
{
    return &r->seen[number / WORD_BITS % REPLAY_WORDS];
}

bool replay_is_new(const struct replay *r, uint64_t number)
{
    /* Whoever sees that the window has moved up sees the words cleared, too. Whoever does not may
     * find another number's bit, of one that the window has passed by then. */
    const uint64_t highest = atomic_load_explicit(&r->highest, memory_order_acquire);

    if (number == 0)
        return false;
    if (number > highest)
        return true;
    return highest - number < r->window && !is_seen(r, number);
}

bool replay_mark(struct replay *r, uint64_t number)
{
    const uint64_t highest = load(&r->highest);
    _Atomic uint64_t *own = &r->seen[number / WORD_BITS % REPLAY_WORDS];

    if (!replay_is_new(r, number))
        return false;
    if (number > highest) {
        uint64_t word = highest / WORD_BITS;
        uint64_t count = number / WORD_BITS - word;
        for (uint64_t i = 1; i <= count && i <= REPLAY_WORDS; i++)
            atomic_store_explicit(&r->seen[(word + i) % REPLAY_WORDS], 0, memory_order_relaxed);
    }
    atomic_store_explicit(own, load(own) | (uint64_t)1 << (number % WORD_BITS),
                          memory_order_relaxed);
    if (number > highest)
        atomic_store_explicit(&r->highest, number, memory_order_release);
    return true;
}
