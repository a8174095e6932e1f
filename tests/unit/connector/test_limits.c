/* Limits by address: connections at once, and rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include <stdlib.h>

#include "base/deadline.h"
#include "connector/address_count.h"
#include "connector/admission.h"
#include "connector/connector.h"
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
    assert_int_equal(address_counts_init(&counts, ADDRESS_HOST_BITS, seed), ERR_OK);
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
    assert_int_equal(address_counts_init(&counts, ADDRESS_HOST_BITS, seed), ERR_OK);
    assert_int_equal(address_counts_add(&counts, &a, 1), ERR_OK);
    assert_int_equal(address_counts_add(&counts, &same, 1), ERR_LIMIT);
    assert_int_equal(address_counts_add(&counts, &other, 1), ERR_OK);
    address_counts_remove(&counts, &same);
    assert_int_equal(address_counts_add(&counts, &same, 1), ERR_OK);
    address_counts_done(&counts); /* with some left */
}

/* Nor does a site, whose hosts have 65536 of them. */
static void test_counts_of_a_site(void **state)
{
    struct address_counts counts;
    const struct address a = of("2001:db8:0:1::1"), b = of("2001:db8:0:ff00::1"),
                         other = of("2001:db8:1:1::1");
    assert_int_equal(address_counts_init(&counts, ADDRESS_SITE_BITS, seed), ERR_OK);
    assert_int_equal(address_counts_add(&counts, &a, 1), ERR_OK);
    assert_int_equal(address_counts_add(&counts, &b, 1), ERR_LIMIT);
    assert_int_equal(address_counts_add(&counts, &other, 1), ERR_OK);
    address_counts_remove(&counts, &b);
    address_counts_remove(&counts, &other);
    assert_int_equal(counts.map.count, 0);
    address_counts_done(&counts);
}

/* The oldest of a host, and of a site. */
static void test_strangers_of_a_site(void **state)
{
    static const char *const from[] = {"2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:1::2",
                                       "2001:db8:9:1::1", "192.0.2.1"};
    struct strangers strangers;
    struct stranger of_host[5] = {0};
    struct address a[5];
    assert_int_equal(strangers_init(&strangers, seed), ERR_OK);
    for (size_t i = 0; i < 5; i++) {
        a[i] = of(from[i]);
        assert_int_equal(strangers_add(&strangers, &of_host[i], &a[i]), ERR_OK);
        assert_int_equal(strangers_add(&strangers, &of_host[i], &a[i]), ERR_STATE);
    }
    assert_int_equal(strangers_count_of(&strangers, STRANGERS_HOST, &a[2]), 2);
    assert_int_equal(strangers_count_of(&strangers, STRANGERS_SITE, &a[2]), 3);
    assert_int_equal(strangers_count_of(&strangers, STRANGERS_SITE, &a[3]), 1);
    assert_int_equal(strangers_count_of(&strangers, STRANGERS_SITE, &a[4]), 1);
    strangers_remove(&strangers, &of_host[0]);
    strangers_remove(&strangers, &of_host[0]);
    assert_ptr_equal(strangers_oldest_of(&strangers, STRANGERS_HOST, &a[0]), &of_host[2]);
    assert_ptr_equal(strangers_oldest_of(&strangers, STRANGERS_SITE, &a[0]), &of_host[1]);
    assert_ptr_equal(strangers.oldest, &of_host[1]);
    strangers_remove(&strangers, &of_host[1]);
    strangers_remove(&strangers, &of_host[2]);
    assert_null(strangers_oldest_of(&strangers, STRANGERS_SITE, &a[0]));
    assert_int_equal(strangers.groups[STRANGERS_SITE].count, 2); /* nothing stays of the others */
    strangers_done(&strangers);
}

/* Hosts of one site, whatever they have proven, leave places to others. */
static void test_admission_of_a_site(void **state)
{
    struct connector *connector = calloc(1, sizeof *connector);
    struct address a = of("2001:db8:0:1::1");
    const struct address other = of("2001:db8:1:1::1"), four = of("192.0.2.1");
    assert_non_null(connector);
    connector->config.sessions_max = 1000;
    connector->config.sessions_per_address_max = 4;
    connector->config.sessions_per_site_max = 20;
    connector->open_max = 1000;
    assert_int_equal(map_init(&connector->sessions, seed), ERR_OK);
    assert_int_equal(strangers_init(&connector->strangers, seed), ERR_OK);
    assert_int_equal(admission_init(connector, seed), ERR_OK);
    for (uint8_t i = 0; i < 20; i++) {
        a.bytes[7] = i;
        assert_int_equal(admission_enter(connector, &a, 1), ERR_OK);
    }
    a.bytes[7] = 20;
    assert_int_equal(admission_enter(connector, &a, 1), ERR_LIMIT);
    assert_int_equal(connector->session_addresses.map.count, 20); /* it is not half in */
    assert_int_equal(admission_enter(connector, &other, 1), ERR_OK);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(admission_enter(connector, &four, 1), ERR_OK);
    assert_int_equal(admission_enter(connector, &four, 1), ERR_LIMIT);
    a.bytes[7] = 0;
    admission_leave(connector, &a);
    assert_int_equal(admission_enter(connector, &a, 1), ERR_OK);
    admission_done(connector);
    strangers_done(&connector->strangers);
    map_done(&connector->sessions);
    free(connector);
}

/* Who has a /48 gets as much as a few hosts, however many addresses it asks from. */
static void test_limiter_of_a_site(void **state)
{
    struct limiter limiter;
    struct address a = of("2001:db8:0:1::1");
    const struct address other = of("2001:db8:1:1::1");
    unsigned taken = 0;
    assert_int_equal(limiter_init(&limiter, seed, 10, 20), ERR_OK);
    for (unsigned i = 0; i < 1000; i++) {
        a.bytes[6] = (uint8_t)(i >> 8);
        a.bytes[7] = (uint8_t)i;
        taken += limiter_take(&limiter, &a, SECOND_US);
    }
    assert_in_range(taken, 20 * (LIMITER_SITE_HOSTS - 1), 20 * LIMITER_SITE_HOSTS);
    assert_true(limiter_take(&limiter, &other, SECOND_US));
    limiter_done(&limiter);
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
        cmocka_unit_test(test_counts_of_a_site),
        cmocka_unit_test(test_limiter_of_a_site),
        cmocka_unit_test(test_strangers_of_a_site),
        cmocka_unit_test(test_admission_of_a_site),
        cmocka_unit_test(test_limiter),
        cmocka_unit_test(test_limiter_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
