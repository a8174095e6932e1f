/* Reasons for dropping, and their counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tunnel/drop.h"

/* Every reason has a name of its own and an explanation. */
static void test_drop_reasons(void **state)
{
    for (int i = 0; i < DROP_REASON_COUNT; i++) {
        assert_non_null(drop_name((enum drop_reason)i));
        assert_true(strlen(drop_text((enum drop_reason)i)) > 0);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(drop_name((enum drop_reason)i), drop_name((enum drop_reason)j));
    }
    struct drop_counters counters = {0};
    drop_count(&counters, DROP_REPLAY);
    drop_count(&counters, DROP_REPLAY);
    assert_int_equal(drop_counted(&counters, DROP_REPLAY), 2);
    assert_int_equal(drop_counted(&counters, DROP_LENGTH), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drop_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
