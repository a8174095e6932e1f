/* The replay window against an oracle that remembers every number it has seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tunnel/replay.h"

#define NUMBERS 400000

struct oracle {
    uint8_t seen[NUMBERS];
    uint64_t highest;
    uint32_t window;
};

static bool oracle_is_new(const struct oracle *o, uint64_t number)
{
    if (number == 0 || o->seen[number])
        return false;
    return number > o->highest || o->highest - number < o->window;
}

static void oracle_mark(struct oracle *o, uint64_t number)
{
    o->seen[number] = 1;
    if (number > o->highest)
        o->highest = number;
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

/* Near the front mostly, with duplicates, late ones, and jumps over the whole window. */
static uint64_t choose(uint64_t *seed, uint64_t highest, uint32_t window)
{
    switch (next_random(seed) % 16) {
    case 0:
        return highest + 1 + next_random(seed) % (2 * window);
    case 1:
        return highest > window ? highest - window + next_random(seed) % 3 : 0;
    case 2:
    case 3:
    case 4: {
        uint64_t back = next_random(seed) % (window + 66);
        return highest > back ? highest - back : 0;
    }
    default: {
        uint64_t at = highest + next_random(seed) % 9;
        return at > 4 ? at - 4 : at;
    }
    }
}

static void run_window(uint32_t window, uint64_t seed)
{
    struct oracle *o = (struct oracle *)calloc(1, sizeof(*o));
    struct replay r;
    o->window = window;
    replay_init(&r, window);
    assert_int_equal(r.window, window);
    while (o->highest < NUMBERS - 3 * window - 10) {
        const uint64_t number = choose(&seed, o->highest, window);
        assert_int_equal(replay_is_new(&r, number), oracle_is_new(o, number));
        if (oracle_is_new(o, number) &&
            next_random(&seed) % 8 != 0) { /* the rest was not authentic */
            oracle_mark(o, number);
            replay_mark(&r, number);
        }
        if (next_random(&seed) % 512 == 0) { /* all numbers around the window */
            uint64_t from = o->highest > window + 130 ? o->highest - window - 130 : 0;
            for (uint64_t n = from; n < o->highest + 130; n++)
                assert_int_equal(replay_is_new(&r, n), oracle_is_new(o, n));
        }
    }
    free(o);
}

static void test_oracle(void **state)
{
    static const uint32_t windows[] = {32, 33, 63, 64, 65, 127, 128, 1000, 4096, REPLAY_WINDOW_MAX};
    for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++)
        run_window(windows[i], 12345 + i);
}

static void test_limits(void **state)
{
    struct replay r;
    replay_init(&r, 0);
    assert_int_equal(r.window, REPLAY_WINDOW_MIN);
    replay_init(&r, UINT32_MAX);
    assert_int_equal(r.window, REPLAY_WINDOW_MAX);
    assert_false(replay_is_new(&r, 0));
    assert_true(replay_is_new(&r, 1));
    assert_true(replay_is_new(&r, UINT64_MAX));
}

/* 64-bit numbers, as extended sequence numbers will need. */
static void test_jumps(void **state)
{
    static const uint64_t numbers[] = {
        1, 0xfffffff0u, 0x100000005u, (uint64_t)1 << 40, UINT64_MAX - 70, UINT64_MAX};
    struct replay r;
    replay_init(&r, 4096);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_true(replay_is_new(&r, numbers[i]));
        replay_mark(&r, numbers[i]);
        assert_false(replay_is_new(&r, numbers[i]));
        for (size_t j = 0; j < i; j++)
            assert_false(replay_is_new(&r, numbers[j]));
    }
    assert_true(replay_is_new(&r, UINT64_MAX - 1));
    assert_true(replay_is_new(&r, UINT64_MAX - 4095));
    assert_false(replay_is_new(&r, UINT64_MAX - 4096));
}

/* Marking what is too old must not disturb the bit that another number uses by now. */
static void test_mark_too_old(void **state)
{
    struct replay r;
    replay_init(&r, 64);
    replay_mark(&r, REPLAY_WORDS * 64 + 100);
    assert_true(replay_is_new(&r, REPLAY_WORDS * 64 + 50));
    replay_mark(&r, 50);
    assert_true(replay_is_new(&r, REPLAY_WORDS * 64 + 50));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oracle),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_jumps),
        cmocka_unit_test(test_mark_too_old),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
