/* The window as a ring of bits: moving it up clears whole words (the way of RFC 6479), so that its
 * cost does not depend on its size. */
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

static bool is_seen(const struct replay *r, uint64_t number)
{
    return (r->seen[number / WORD_BITS % REPLAY_WORDS] >> (number % WORD_BITS) & 1) != 0;
}

bool replay_is_new(const struct replay *r, uint64_t number)
{
    if (number == 0)
        return false;
    if (number > r->highest)
        return true;
    return r->highest - number < r->window && !is_seen(r, number);
}

void replay_mark(struct replay *r, uint64_t number)
{
    if (number > r->highest) {
        uint64_t word = r->highest / WORD_BITS;
        uint64_t count = number / WORD_BITS - word;
        for (uint64_t i = 1; i <= count && i <= REPLAY_WORDS; i++)
            r->seen[(word + i) % REPLAY_WORDS] = 0;
        r->highest = number;
    } else if (r->highest - number >= r->window) {
        return; /* its bit stands for another number by now */
    }
    r->seen[number / WORD_BITS % REPLAY_WORDS] |= (uint64_t)1 << (number % WORD_BITS);
}
