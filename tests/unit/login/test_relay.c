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
        cmocka_unit_test(test_passes),      cmocka_unit_test(test_foreign_and_unknown_channels),
        cmocka_unit_test(test_after_close), cmocka_unit_test(test_idle),
        cmocka_unit_test(test_flood),       cmocka_unit_test(test_small_rate),
        cmocka_unit_test(test_fair),        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
