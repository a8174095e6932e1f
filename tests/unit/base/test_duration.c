/* Durations and sizes, read and written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/text.h"

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        uint64_t us;
    } rows[] = {{"90s", 90000000},    {"90", 90000000},  {"10m", 600000000}, {"1h", 3600000000},
                {"2d", 172800000000}, {"250ms", 250000}, {"7us", 7},         {"0", 0},
                {"007s", 7000000}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t us = 1;
        assert_int_equal(duration_parse(rows[i].text, &us), ERR_OK);
        assert_true(us == rows[i].us);
    }
}

static void test_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "s",
                                      "-1s",
                                      "+1s",
                                      "1.5s",
                                      "1 s",
                                      " 1s",
                                      "1s ",
                                      "1w",
                                      "1S",
                                      "1h30m",
                                      "18446744073709551616",
                                      "18446744073709551615",
                                      "18446744073709551615us",
                                      "99999999999999999999999999d",
                                      "213503983d"};
    uint64_t us = 1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(duration_parse(bad[i], &us), ERR_INVALID);
    assert_true(us == 1);
}

static void test_format(void **state)
{
    static const struct {
        uint64_t us;
        const char *text;
    } rows[] = {{0, "0.0 ms"},
                {900, "0.9 ms"},
                {9999, "9.9 ms"},
                {850000, "850 ms"},
                {1500000, "1.5 s"},
                {59000000, "59 s"},
                {60000000, "1m"},
                {61000000, "1m 1s"},
                {7500000000, "2h 5m"},
                {90000000000, "1d 1h"},
                {UINT64_MAX, "213503982d 8h"}};
    char text[32];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(duration_format(rows[i].us, text, sizeof text), rows[i].text);
}

static void test_size(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {
        {0, "0 B"},           {999, "999 B"},      {1000, "1.0 kB"},       {1500000, "1.5 MB"},
        {999999, "999.9 kB"}, {1000000, "1.0 MB"}, {2345678901, "2.3 GB"}, {UINT64_MAX, "18.4 EB"}};
    char text[32];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(size_format(rows[i].bytes, text, sizeof text), rows[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
