/* The table of suites: the figures that the protocol fixes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/suite.h"

static void test_figures(void **state)
{
    static const struct {
        enum sput_suite suite;
        const char *name;
        size_t key_len, overhead;
    } expected[] = {
        {(enum sput_suite)1025, "paper", 59, 40},
        {(enum sput_suite)1026, "aes128-gcm", 24, 24},
        {(enum sput_suite)1027, "aes256-gcm", 40, 24},
        {(enum sput_suite)1028, "chacha20-poly1305", 40, 24},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        enum sput_suite suite = (enum sput_suite)0;
        assert_true(suite_is_known(expected[i].suite));
        assert_string_equal(suite_name(expected[i].suite), expected[i].name);
        assert_int_equal(suite_parse(expected[i].name, &suite), ERR_OK);
        assert_int_equal(suite, expected[i].suite);
        assert_int_equal(suite_key_len(suite), expected[i].key_len);
        assert_int_equal(suite_overhead(suite), expected[i].overhead);
        assert_int_equal(suite_tag_len(suite), expected[i].overhead - 8);
        assert_true(suite_key_len(suite) <= SUITE_KEY_CAP);
    }
    assert_int_equal(suite_payload_max(SPUT_PAPER), 4092);
}

static void test_unknown(void **state)
{
    enum sput_suite suite = SPUT_PAPER;
    assert_false(suite_is_known(0));
    assert_false(suite_is_known(1024));
    assert_false(suite_is_known(1029));
    assert_string_equal(suite_name((enum sput_suite)1029), "unknown");
    assert_string_equal(suite_name(SPUT_SUITE_NONE), "none");
    assert_int_equal(suite_key_len(SPUT_SUITE_NONE), 0);
    assert_int_equal(suite_parse("aes128", &suite), ERR_NOT_FOUND);
    assert_int_equal(suite_parse("", &suite), ERR_NOT_FOUND);
    assert_int_equal(suite, SPUT_PAPER);
    assert_int_equal(suite_key_len((enum sput_suite)7), 0);
    assert_int_equal(suite_overhead((enum sput_suite)7), 0);
    assert_int_equal(suite_payload_max((enum sput_suite)7), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
