/* The end of leases in real time: a host whose connection broke, one that has gone silent, and one
 * that lives, side by side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include <poll.h>
#include <string.h>

#include "fixture.h"
#include "io/clock.h"

#define LEASE_MS 30000 /* the shortest there is */

static uint64_t elapsed_ms(uint64_t since_us)
{
    return (clock_now_us() - since_us) / 1000;
}

static void test_leases(void **state)
{
    struct fixture fixture;
    struct identity *keys[3];
    struct client broken, silent, alive;
    uint64_t broken_gone_ms = 0, silent_gone_ms = 0, silent_cut_ms = 0;
    fixture_init(&fixture);
    fixture_start(&fixture);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(identity_generate(&keys[i]), ERR_OK);
    fixture_add_host(&fixture, "broken", keys[0], NULL);
    fixture_add_host(&fixture, "silent", keys[1], NULL);
    fixture_add_host(&fixture, "alive", keys[2], NULL);
    client_log_in(&alive, &fixture, keys[2], "", false);
    client_log_in(&silent, &fixture, keys[1], "", false);
    client_log_in(&broken, &fixture, keys[0], "", false);
    fixture_wait_record(&fixture, "broken." ZONE, true);
    client_done(&broken);
    const uint64_t start_us = clock_now_us();
    while (broken_gone_ms == 0 || silent_gone_ms == 0 || silent_cut_ms == 0) {
        struct pollfd pollfd = {.fd = silent.fd, .events = POLLRDHUP};
        client_step(&alive, 50);
        assert_false(alive.is_closed || alive.is_eof);
        if (silent_cut_ms == 0 && poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLRDHUP) != 0)
            silent_cut_ms = elapsed_ms(start_us);
        if (silent_gone_ms == 0 && !fixture_has_record(&fixture, "silent." ZONE))
            silent_gone_ms = elapsed_ms(start_us);
        if (broken_gone_ms == 0 && !fixture_has_record(&fixture, "broken." ZONE))
            broken_gone_ms = elapsed_ms(start_us);
        assert_true(elapsed_ms(start_us) < 2 * LEASE_MS);
    }
    /* Asked after a third of the lease, given up after another. */
    assert_in_range(silent_cut_ms, LEASE_MS * 2 / 3 - 1500, LEASE_MS - 500);
    assert_in_range(silent_gone_ms, LEASE_MS - 1500, LEASE_MS + 5000);
    assert_in_range(broken_gone_ms, LEASE_MS - 1500, LEASE_MS + 5000);
    assert_true(fixture_has_record(&fixture, "alive." ZONE));
    client_done(&silent);
    client_done(&alive);
    for (size_t i = 0; i < 3; i++)
        identity_free(keys[i]);
    fixture_done(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_leases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
