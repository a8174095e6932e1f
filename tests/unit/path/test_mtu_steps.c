/* Lowering by authenticated evidence alone: silence after TCP's large packets from a peer that
 * lives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "path/mtu_steps.h"

static struct mtu_steps steps;
static struct mtu_evidence evidence;
static uint64_t now_us;

static int set_up(void **state)
{
    mtu_steps_init(&steps, 1500);
    evidence = (struct mtu_evidence){.round_trip_us = 50 * MS_US};
    now_us = 100 * SECOND_US;
    return 0;
}

static enum mtu_step look(void)
{
    now_us += MTU_STEPS_LOOK_US;
    return mtu_steps_judge(&steps, &evidence, now_us);
}

/* Until it asks, large packets going out all the time. */
static unsigned looks_until_asked(void)
{
    for (unsigned looks = 1; looks < 100; looks++) {
        evidence.large_us = now_us;
        if (look() == MTU_STEP_ASK)
            return looks;
    }
    fail();
    return 0;
}

static void test_lowers(void **state)
{
    static const uint32_t sizes[] = {1400, 1280, 1124};
    assert_int_equal(look(), MTU_STEP_REST);
    for (unsigned i = 0; i < 3; i++) {
        assert_in_range(looks_until_asked(), 2, 5);
        assert_int_equal(look(), MTU_STEP_WAIT); /* it has not answered yet */
        evidence.alive_us = now_us;
        assert_int_equal(look(), MTU_STEP_LOWER);
        assert_int_equal(steps.mtu, sizes[i]);
    }
    evidence.large_us = now_us;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(look(), MTU_STEP_REST); /* no further */
}

/* What comes back, one packet lost, one-way traffic (which is not told as TCP's), a dead peer. */
static void test_no_evidence(void **state)
{
    for (unsigned i = 0; i < 100; i++) { /* answered at once */
        evidence.large_us = now_us;
        evidence.heard_us = now_us + MS_US;
        assert_int_equal(look(), MTU_STEP_REST);
    }
    for (unsigned i = 0; i < 100; i++) { /* answered late, in between others are on their way */
        evidence.heard_us = now_us;
        evidence.large_us = now_us + MS_US;
        evidence.alive_us = now_us;
        assert_int_equal(look(), MTU_STEP_WAIT);
    }
    evidence.large_us = now_us; /* the last one, and silence after it */
    evidence.heard_us = now_us - MS_US;
    for (unsigned i = 0; i < 100; i++)
        assert_int_not_equal(look(), MTU_STEP_ASK);
    (void)looks_until_asked();
    for (unsigned i = 0; i < 100; i++) { /* what was heard before it was asked does not count */
        evidence.large_us = now_us;
        assert_int_equal(look(), MTU_STEP_WAIT);
    }
    evidence.heard_us = evidence.alive_us = now_us; /* and then data comes after all */
    evidence.large_us = now_us + MS_US;
    assert_int_equal(look(), MTU_STEP_WAIT);
    assert_int_equal(steps.mtu, 1500);
}

/* What routers say lowers nothing, and is tried first; what this host's interface says is so. */
static void test_hints(void **state)
{
    mtu_steps_on_hint(&steps, 68);
    mtu_steps_on_hint(&steps, 1500);
    mtu_steps_on_hint(&steps, 9000);
    assert_int_equal(steps.hint, 0);
    mtu_steps_on_hint(&steps, 1300);
    assert_int_equal(steps.mtu, 1500);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(look(), MTU_STEP_REST);
    (void)looks_until_asked();
    evidence.alive_us = now_us + 1;
    assert_int_equal(look(), MTU_STEP_LOWER);
    assert_int_equal(steps.mtu, 1300);
    mtu_steps_on_limit(&steps, 1290);
    assert_int_equal(steps.mtu, 1290);
    mtu_steps_on_limit(&steps, 1400);
    assert_int_equal(steps.mtu, 1290);
    mtu_steps_on_limit(&steps, 0);
    assert_int_equal(steps.mtu, MTU_STEPS_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_lowers, set_up),
        cmocka_unit_test_setup(test_no_evidence, set_up),
        cmocka_unit_test_setup(test_hints, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
