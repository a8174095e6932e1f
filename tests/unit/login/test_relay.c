/* The relay's table: what passes, where to, and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "login/relay.h"

enum { A = 1, B = 2, C = 3 };

#define START_US (1000 * SECOND_US)

static const uint8_t seed[16] = {7};

static struct relay *make(uint32_t rate, uint32_t total)
{
    const struct relay_config config = {.rate = rate, .rate_total = total};
    struct relay *relay;
    assert_int_equal(relay_new(&config, seed, &relay), ERR_OK);
    return relay;
}

static void open_link(struct relay *relay, uint64_t a, uint64_t b, struct relay_end *ret_a,
                      struct relay_end *ret_b)
{
    *ret_a = (struct relay_end){.session = a, .number = 100 + a};
    *ret_b = (struct relay_end){.session = b, .number = 100 + b};
    assert_int_equal(relay_open(relay, ret_a, ret_b, START_US), ERR_OK);
}

static void assert_refused(struct relay *relay, uint64_t session, uint32_t channel, size_t len,
                           int error)
{
    const uint64_t refused = relay_counters(relay)->refused;
    const uint64_t frames = relay_counters(relay)->frames;
    uint64_t to = 77;
    uint32_t to_channel = 77;
    assert_int_equal(relay_pass(relay, session, channel, len, START_US, &to, &to_channel), error);
    assert_true(to == 77 && to_channel == 77);
    assert_int_equal(relay_counters(relay)->refused, refused + 1);
    assert_int_equal(relay_counters(relay)->frames, frames);
}

static bool pass(struct relay *relay, const struct relay_end *from, size_t len, uint64_t now_us)
{
    uint64_t to;
    uint32_t to_channel;
    const int error =
        relay_pass(relay, from->session, from->channel, len, now_us, &to, &to_channel);
    assert_true(error == ERR_OK || error == ERR_LIMIT);
    return error == ERR_OK;
}

static void test_passes(void **state)
{
    struct relay *relay = make(1000000, 1000000);
    struct relay_end a, b;
    uint64_t to;
    uint32_t channel;
    open_link(relay, A, B, &a, &b);
    assert_true(a.channel != 0 && b.channel != 0 && a.channel != b.channel);
    assert_true(a.number == 101 && b.number == 102);
    assert_int_equal(relay_channel_count(relay), 2);
    assert_int_equal(relay_pass(relay, A, a.channel, 100, START_US, &to, &channel), ERR_OK);
    assert_true(to == B && channel == b.channel);
    assert_int_equal(relay_pass(relay, B, b.channel, RELAY_LEN_MAX, START_US, &to, &channel),
                     ERR_OK);
    assert_true(to == A && channel == a.channel);
    assert_int_equal(relay_counters(relay)->frames, 2);
    assert_int_equal(relay_counters(relay)->bytes, 100 + RELAY_LEN_MAX);
    relay_free(relay);
}

static void test_foreign_and_unknown_channels(void **state)
{
    struct relay *relay = make(1000000, 1000000);
    struct relay_end a, b, a2, c;
    open_link(relay, A, B, &a, &b);
    open_link(relay, A, C, &a2, &c);
    assert_refused(relay, C, a.channel, 100, ERR_NOT_FOUND); /* another's */
    assert_refused(relay, C, b.channel, 100, ERR_NOT_FOUND);
    assert_refused(relay, A, b.channel, 100, ERR_NOT_FOUND); /* the far end's */
    assert_refused(relay, A, 0, 100, ERR_NOT_FOUND);
    assert_refused(relay, A, a.channel + 1 == a2.channel ? a.channel + 2 : a.channel + 1, 100,
                   ERR_NOT_FOUND);
    assert_refused(relay, 99, a.channel, 100, ERR_NOT_FOUND);
    assert_refused(relay, A, a.channel, RELAY_LEN_MAX + 1, ERR_INVALID);
    assert_refused(relay, A, a.channel, 0, ERR_INVALID);
    relay_free(relay);
}

static void test_after_close(void **state)
{
    struct relay *relay = make(1000000, 1000000);
    struct relay_end a, b, a2, c, told;
    open_link(relay, A, B, &a, &b);
    open_link(relay, A, C, &a2, &c);
    relay_session_closed(relay, B);
    assert_refused(relay, A, a.channel, 100, ERR_NOT_FOUND);
    assert_refused(relay, B, b.channel, 100, ERR_NOT_FOUND);
    assert_true(relay_next_closed(relay, &told)); /* only who is still there hears of it */
    assert_true(told.session == A && told.channel == a.channel && told.number == a.number);
    assert_false(relay_next_closed(relay, &told));
    assert_true(pass(relay, &a2, 100, START_US));
    relay_session_closed(relay, A);
    assert_true(relay_next_closed(relay, &told) && told.session == C);
    assert_false(relay_next_closed(relay, &told));
    assert_int_equal(relay_channel_count(relay), 0);
    relay_session_closed(relay, A); /* once more is no harm */
    relay_free(relay);
}

static void test_idle(void **state)
{
    struct relay *relay = make(1000000, 1000000);
    struct relay_end a, b, told;
    open_link(relay, A, B, &a, &b);
    assert_int_equal(relay_deadline(relay), START_US + RELAY_IDLE_US);
    const uint64_t used_us = START_US + RELAY_IDLE_US / 2;
    assert_true(pass(relay, &b, 1, used_us)); /* a keepalive */
    relay_expire(relay, START_US + RELAY_IDLE_US);
    assert_int_equal(relay_channel_count(relay), 2);
    relay_expire(relay, used_us + RELAY_IDLE_US);
    assert_int_equal(relay_channel_count(relay), 0);
    assert_true(relay_next_closed(relay, &told) && told.session == A);
    assert_true(relay_next_closed(relay, &told) && told.session == B);
    assert_false(relay_next_closed(relay, &told));
    assert_int_equal(relay_deadline(relay), DEADLINE_NEVER);
    relay_free(relay);
}

/* Bytes that pass within ten seconds at ten times the rate. */
static uint64_t flood(struct relay *relay, const struct relay_end *from, uint32_t rate)
{
    uint64_t passed = 0;
    for (uint64_t t = 0; t < 10 * SECOND_US; t += 10 * MS_US) {
        for (uint32_t sent = 0; sent < rate / 10; sent += 1000)
            passed += pass(relay, from, 1000, START_US + t) ? 1000 : 0;
    }
    return passed;
}

static void test_flood(void **state)
{
    const uint32_t rate = 1000000;
    struct relay *relay = make(rate, 100 * rate);
    struct relay_end a, b;
    open_link(relay, A, B, &a, &b);
    const uint64_t passed = flood(relay, &a, rate);
    assert_in_range(passed, 10 * rate * 9 / 10, 10 * rate + rate / 4);
    assert_true(relay_counters(relay)->limited > 0);
    /* The way back has its own share. */
    assert_true(pass(relay, &b, 1000, START_US + 10 * SECOND_US));
    relay_free(relay);
}

static void test_small_rate(void **state)
{
    struct relay *relay = make(1000, 1000000);
    struct relay_end a, b;
    open_link(relay, A, B, &a, &b);
    const uint64_t burst = flood(relay, &a, 1000);
    assert_true(burst <= 65536 + 10 * 1000);
    relay_free(relay);
}

/* Where the total runs short, a host that sends little is served before one that floods. */
static void test_fair(void **state)
{
    const uint32_t rate = 1000000;
    struct relay *relay = make(rate, rate / 2);
    struct relay_end a, b, c, d;
    unsigned lost = 0;
    open_link(relay, A, B, &a, &b);
    open_link(relay, C, 4, &c, &d);
    for (uint64_t t = 0; t < 10 * SECOND_US; t += 10 * MS_US) {
        for (unsigned i = 0; i < 100; i++)
            (void)pass(relay, &a, 1000, START_US + t);
        lost += !pass(relay, &c, 500, START_US + t);
    }
    assert_in_range(lost, 0, 10); /* of 1000 */
    relay_free(relay);
}

#define HOSTS 50

/* Sessions first to first + count - 1, all from one address, each with a link to one of its own. */
static void open_many(struct relay *relay, const char *from, uint64_t first, unsigned count,
                      struct relay_end ret_ends[])
{
    for (unsigned i = 0; i < count; i++) {
        struct relay_end far = {.session = 10000 + first + i};
        ret_ends[i] = (struct relay_end){.session = first + i};
        assert_int_equal(address_parse(from, &ret_ends[i].address), ERR_OK);
        assert_int_equal(relay_open(relay, &ret_ends[i], &far, START_US), ERR_OK);
    }
}

/* All of them send as much as they can for ten seconds; what each group got. */
static void flood_all(struct relay *relay, struct relay_end *const groups[],
                      const unsigned counts[], size_t group_count, uint64_t ret_passed[])
{
    for (size_t g = 0; g < group_count; g++)
        ret_passed[g] = 0;
    for (uint64_t t = 0; t < 10 * SECOND_US; t += 10 * MS_US) {
        for (unsigned round = 0; round < 4; round++) {
            for (size_t g = 0; g < group_count; g++) {
                for (unsigned i = 0; i < counts[g]; i++)
                    ret_passed[g] += pass(relay, &groups[g][i], 500, START_US + t) ? 500 : 0;
            }
        }
    }
}

/* Who logs in often, by many keys, gets no more than the one address that it comes from: of IPv6, a
 * whole /64. */
static void test_fair_by_address(void **state)
{
    static const char *const crowds[] = {"192.0.2.1", "2001:db8:1:2::1"};
    for (size_t i = 0; i < 2; i++) {
        const uint32_t total = 500000;
        struct relay *relay = make(1000000, total);
        struct relay_end crowd[HOSTS], one[1], two[1];
        struct relay_end *const groups[] = {crowd, one, two};
        const unsigned counts[] = {HOSTS, 1, 1};
        uint64_t passed[3];
        open_many(relay, crowds[i], 1, HOSTS / 2, crowd);
        open_many(relay, i == 0 ? crowds[i] : "2001:db8:1:2:ffff::9", 100, HOSTS / 2,
                  crowd + HOSTS / 2);
        open_many(relay, i == 0 ? "192.0.2.2" : "2001:db8:1:3::1", 200, 1, one);
        open_many(relay, "198.51.100.7", 300, 1, two);
        flood_all(relay, groups, counts, 3, passed);
        const uint64_t all = passed[0] + passed[1] + passed[2];
        assert_in_range(all, (uint64_t)total * 10 * 9 / 10, (uint64_t)total * 11);
        for (size_t g = 0; g < 3; g++)
            assert_in_range(passed[g], all * 28 / 100, all * 39 / 100);
        relay_free(relay);
    }
}

/* Within an address the sessions are alike: one that sends little is served beside one that floods;
 * and alone, an address may have all there is. */
static void test_fair_within_address(void **state)
{
    const uint32_t total = 500000;
    struct relay *relay = make(1000000, total);
    struct relay_end busy[1], quiet[1], other[1];
    unsigned lost = 0;
    uint64_t passed = 0;
    open_many(relay, "192.0.2.1", 1, 1, busy);
    open_many(relay, "192.0.2.1", 2, 1, quiet);
    open_many(relay, "192.0.2.2", 3, 1, other);
    for (uint64_t t = 0; t < 10 * SECOND_US; t += 10 * MS_US) {
        for (unsigned i = 0; i < 100; i++) {
            passed += pass(relay, busy, 1000, START_US + t) ? 1000 : 0;
            (void)pass(relay, other, 1000, START_US + t);
        }
        lost += !pass(relay, quiet, 500, START_US + t);
    }
    assert_in_range(lost, 0, 10); /* of 1000 */
    assert_in_range(passed, (uint64_t)total * 3, (uint64_t)total * 5);
    const uint64_t before = passed;
    for (uint64_t t = 20 * SECOND_US; t < 30 * SECOND_US; t += 10 * MS_US) {
        for (unsigned i = 0; i < 100; i++)
            passed += pass(relay, busy, 1000, START_US + t) ? 1000 : 0;
    }
    assert_in_range(passed - before, (uint64_t)total * 9, (uint64_t)total * 11);
    relay_free(relay);
}

static void test_caps(void **state)
{
    struct relay *relay = make(1000, 1000);
    struct relay_end a, b;
    for (unsigned i = 0; i < RELAY_SESSION_MAX; i++)
        open_link(relay, A, 1000 + i, &a, &b);
    a = (struct relay_end){.session = A};
    b = (struct relay_end){.session = B};
    assert_int_equal(relay_open(relay, &a, &b, START_US), ERR_LIMIT);
    assert_int_equal(relay_open(relay, &b, &a, START_US), ERR_LIMIT);
    relay_session_closed(relay, 1000);
    assert_int_equal(relay_open(relay, &a, &b, START_US), ERR_OK);
    b = (struct relay_end){.session = A};
    assert_int_equal(relay_open(relay, &a, &b, START_US), ERR_REFUSED);
    relay_free(relay);
}

static void test_off(void **state)
{
    const struct relay_config off = {.rate = 0, .rate_total = 1000};
    struct relay *relay = make(1000, 1000);
    struct relay_end a, b;
    open_link(relay, A, B, &a, &b);
    relay_set_config(relay, &off);
    assert_false(pass(relay, &a, 10, START_US));
    struct relay_end c = {.session = A}, d = {.session = C};
    assert_int_equal(relay_open(relay, &c, &d, START_US), ERR_REFUSED);
    relay_free(relay);
    relay_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes),
        cmocka_unit_test(test_foreign_and_unknown_channels),
        cmocka_unit_test(test_after_close),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_small_rate),
        cmocka_unit_test(test_fair),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_fair_by_address),
        cmocka_unit_test(test_fair_within_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
