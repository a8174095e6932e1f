/* NAT keepalives: due after silence only, with jitter that never lengthens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "path/keepalive.h"

static void test_due(void **state)
{
    struct keepalive k;
    uint64_t now_us = 100 * SECOND_US, sent_us = now_us;
    bool has_spread = false;
    keepalive_init(&k, 0);
    const uint64_t first_wait_us = k.wait_us;
    for (int i = 0; i < 100; i++) {
        const uint64_t at_us = keepalive_deadline(&k, sent_us);
        assert_true(at_us <= sent_us + KEEPALIVE_INTERVAL_US);
        assert_true(at_us >= sent_us + KEEPALIVE_INTERVAL_US * 4 / 5);
        assert_false(keepalive_expire(&k, sent_us, at_us - 1));
        assert_true(keepalive_expire(&k, sent_us, at_us));
        sent_us = now_us = at_us;
        has_spread |= k.wait_us != first_wait_us;
    }
    assert_true(has_spread);
    /* Data in between puts it off. */
    assert_false(keepalive_expire(&k, now_us + 10 * SECOND_US, now_us + 25 * SECOND_US));
}

static void test_proven(void **state)
{
    struct keepalive k;
    keepalive_init(&k, SECOND_US);
    keepalive_set_proven(&k, true);
    assert_true(keepalive_deadline(&k, 5) == DEADLINE_NEVER);
    assert_false(keepalive_expire(&k, 5, 100 * SECOND_US));
    keepalive_set_proven(&k, false);
    assert_true(keepalive_expire(&k, 5, 100 * SECOND_US));
}

static void test_interval(void **state)
{
    /* Nothing known: 20 s, or less if the user wants. */
    assert_int_equal(keepalive_interval_us(0, 0, 0), 20 * SECOND_US);
    assert_int_equal(keepalive_interval_us(5 * SECOND_US, 0, 0), 5 * SECOND_US);
    assert_int_equal(keepalive_interval_us(60 * SECOND_US, 0, 0), 20 * SECOND_US);
    /* Quick NATs: 20 s and 30 s of life, as the test finds them; and quicker than it can tell. */
    assert_int_equal(keepalive_interval_us(0, 15 * SECOND_US, 20 * SECOND_US), 7500 * MS_US);
    assert_int_equal(keepalive_interval_us(0, 20 * SECOND_US, 30 * SECOND_US), 10 * SECOND_US);
    assert_int_equal(keepalive_interval_us(0, 0, 5 * SECOND_US), 1250 * MS_US);
    assert_int_equal(keepalive_interval_us(0, 0, 2 * SECOND_US), KEEPALIVE_LEAST_US);
    /* Patient ones; only what was tried counts, and there is an end. */
    assert_int_equal(keepalive_interval_us(0, 120 * SECOND_US, 180 * SECOND_US), 60 * SECOND_US);
    assert_int_equal(keepalive_interval_us(0, 5 * SECOND_US, 0), 20 * SECOND_US);
    assert_int_equal(keepalive_interval_us(0, 90 * SECOND_US, 0), 45 * SECOND_US);
    assert_int_equal(keepalive_interval_us(0, 900 * SECOND_US, 0), KEEPALIVE_MOST_US);
    assert_int_equal(keepalive_interval_us(30 * SECOND_US, 900 * SECOND_US, 0), 30 * SECOND_US);
}

/* A NAT that forgets after `life`, that inbound traffic refreshes or not, and that now and then
 * loses a keepalive but never two in a row: an idle tunnel's mapping lives on for a day. */
static void test_idle_for_a_day(void **state)
{
    static const uint64_t lives_us[] = {20 * SECOND_US, 30 * SECOND_US, 120 * SECOND_US,
                                        300 * SECOND_US};
    static const uint64_t tried_s[] = {5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300};
    for (size_t i = 0; i < sizeof lives_us / sizeof lives_us[0]; i++) {
        uint64_t alive_us = 0, dead_us = 0;
        for (size_t t = 0; t < sizeof tried_s / sizeof tried_s[0] && dead_us == 0; t++) {
            if (tried_s[t] * SECOND_US < lives_us[i])
                alive_us = tried_s[t] * SECOND_US;
            else
                dead_us = tried_s[t] * SECOND_US;
        }
        struct keepalive k;
        uint64_t now_us = SECOND_US, refreshed_us = now_us;
        unsigned count = 0;
        keepalive_init(&k, 0);
        keepalive_set_interval(&k, keepalive_interval_us(0, alive_us, dead_us));
        while (now_us < 24 * 3600 * SECOND_US) {
            const uint64_t sent_us = now_us;
            now_us = keepalive_deadline(&k, sent_us);
            assert_true(now_us - refreshed_us < lives_us[i]);
            assert_true(keepalive_expire(&k, sent_us, now_us));
            if (++count % 2 == 0) /* the others are lost */
                refreshed_us = now_us;
        }
        /* And not many more than it takes. */
        assert_true(count <= 24 * 3600 * SECOND_US / (k.interval_us / 5 * 4) + 1);
    }
}

/* What is learnt while one is under way counts for that one. */
static void test_interval_changes(void **state)
{
    struct keepalive k;
    keepalive_init(&k, 0);
    keepalive_set_interval(&k, 4 * SECOND_US);
    assert_true(keepalive_deadline(&k, 0) <= 4 * SECOND_US);
    const uint64_t wait_us = k.wait_us;
    keepalive_set_interval(&k, 4 * SECOND_US); /* the same draws nothing anew */
    assert_int_equal(k.wait_us, wait_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due), cmocka_unit_test(test_proven), cmocka_unit_test(test_interval),
        cmocka_unit_test(test_idle_for_a_day), cmocka_unit_test(test_interval_changes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
