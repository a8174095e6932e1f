/* Limits by address: connections at once, and rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

#include "base/deadline.h"
#include "connector/address_count.h"
#include "connector/limiter.h"

static const uint8_t seed[16] = {1, 2, 3};

static struct address of(const char *text)
{
    struct address address;
    assert_int_equal(address_parse(text, &address), ERR_OK);
    return address;
}

static void test_counts(void **state)
{
    struct address_counts counts;
    const struct address a = of("192.0.2.1"), b = of("192.0.2.2");
    assert_int_equal(address_counts_init(&counts, seed), ERR_OK);
    assert_int_equal(address_counts_add(&counts, &a, 0), ERR_LIMIT);
    assert_int_equal(address_counts_add(&counts, &a, 2), ERR_OK);
    assert_int_equal(address_counts_add(&counts, &a, 2), ERR_OK);
    assert_int_equal(address_counts_add(&counts, &a, 2), ERR_LIMIT);
    assert_int_equal(address_counts_add(&counts, &b, 2), ERR_OK);
    address_counts_remove(&counts, &a);
    assert_int_equal(address_counts_add(&counts, &a, 2), ERR_OK);
    address_counts_remove(&counts, &a);
    address_counts_remove(&counts, &a);
    address_counts_remove(&counts, &b);
    assert_int_equal(counts.map.count, 0); /* nothing stays of those who are gone */
    address_counts_remove(&counts, &b);
    address_counts_done(&counts);
}

/* One IPv6 host owns its /64, and must not count as many. */
static void test_counts_ipv6(void **state)
{
    struct address_counts counts;
    const struct address a = of("2001:db8::1"), same = of("2001:db8::ffff:2"),
                         other = of("2001:db8:0:1::1");
    assert_int_equal(address_counts_init(&counts, seed), ERR_OK);
    assert_int_equal(address_counts_add(&counts, &a, 1), ERR_OK);
    assert_int_equal(address_counts_add(&counts, &same, 1), ERR_LIMIT);
    assert_int_equal(address_counts_add(&counts, &other, 1), ERR_OK);
    address_counts_remove(&counts, &same);
    assert_int_equal(address_counts_add(&counts, &same, 1), ERR_OK);
    address_counts_done(&counts); /* with some left */
}

static void test_limiter(void **state)
{
    struct limiter limiter;
    const struct address a = of("192.0.2.1"), b = of("198.51.100.1");
    uint64_t now_us = 5 * SECOND_US;
    assert_int_equal(limiter_init(&limiter, seed, 10, 20), ERR_OK);
    for (int i = 0; i < 20; i++)
        assert_true(limiter_take(&limiter, &a, now_us));
    assert_false(limiter_take(&limiter, &a, now_us));
    assert_true(limiter_take(&limiter, &b, now_us));
    /* One more each tenth of a second. */
    now_us += 99 * MS_US;
    assert_false(limiter_take(&limiter, &a, now_us));
    now_us += 1 * MS_US;
    assert_true(limiter_take(&limiter, &a, now_us));
    assert_false(limiter_take(&limiter, &a, now_us));
    /* Never more than the burst, however long it was quiet. */
    now_us += 1000 * SECOND_US;
    int taken = 0;
    while (limiter_take(&limiter, &a, now_us))
        taken++;
    assert_int_equal(taken, 20);
    limiter_done(&limiter);
}

/* A flood does not keep its own bucket empty: moments too short for a token are added up. */
static void test_limiter_flood(void **state)
{
    struct limiter limiter;
    const struct address a = of("192.0.2.1");
    int taken = 0;
    assert_int_equal(limiter_init(&limiter, seed, 10, 20), ERR_OK);
    for (uint64_t us = 1; us <= 2 * SECOND_US; us++)
        taken += limiter_take(&limiter, &a, us);
    assert_in_range(taken, 38, 40);
    limiter_done(&limiter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_counts_ipv6),
        cmocka_unit_test(test_limiter),
        cmocka_unit_test(test_limiter_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
