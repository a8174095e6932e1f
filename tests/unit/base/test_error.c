/* Every error has its own text, and a number that is no error has one too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/error.h"

static void test_texts_are_distinct(void **state)
{
    for (int a = ERR_OK; a >= ERR_CRYPTO; a--) {
        assert_string_not_equal(error_text(a), "unknown error");
        for (int b = a - 1; b >= ERR_CRYPTO; b--)
            assert_string_not_equal(error_text(a), error_text(b));
    }
}

static void test_unknown(void **state)
{
    assert_string_equal(error_text(1), "unknown error");
    assert_string_equal(error_text(ERR_CRYPTO - 1), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_are_distinct),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
