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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_due), cmocka_unit_test(test_proven)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
