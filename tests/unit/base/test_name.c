/* Host names: canonical form, what is none, zones, parents, patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/text.h"

static void test_normalize(void **state)
{
    char name[NAME_TEXT_CAP];
    assert_int_equal(name_normalize("Home-PC.Detec.Example.NET.", name), ERR_OK);
    assert_string_equal(name, "home-pc.detec.example.net");
    assert_int_equal(name_normalize("_detec._tcp.example", name), ERR_OK);
    assert_int_equal(name_normalize("86.0.0.0.in-addr.arpa", name), ERR_OK);
    assert_int_equal(name_normalize("1a", name), ERR_OK);
    assert_int_equal(name_normalize("a", name), ERR_OK);
    assert_string_equal(name, "a");
}

static void test_not_a_name(void **state)
{
    static const char *const bad[] = {"",        ".",  "..",   ".a",       "a..b", "a..",
                                      "-a",      "a-", "a.-b", "a b",      "a/b",  "a\n",
                                      "1.2.3.4", "7",  "a*b",  "\xc3\xa9", "::1"};
    char name[NAME_TEXT_CAP] = "kept";
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(name_normalize(bad[i], name), ERR_INVALID);
    assert_string_equal(name, "kept");
}

/* "aaa...": count letters, a dot after every label_len. */
static void make_name(char *text, size_t count, size_t label_len)
{
    for (size_t i = 0; i < count; i++)
        text[i] = i % (label_len + 1) == label_len ? '.' : 'a';
    text[count] = '\0';
}

static void test_limits(void **state)
{
    char text[400], name[NAME_TEXT_CAP];
    make_name(text, 63, 63);
    assert_int_equal(name_normalize(text, name), ERR_OK);
    make_name(text, 64, 64);
    assert_int_equal(name_normalize(text, name), ERR_INVALID);
    make_name(text, 253, 62);
    assert_int_equal(name_normalize(text, name), ERR_OK);
    assert_int_equal(strlen(name), 253);
    strcat(text, ".");
    assert_int_equal(name_normalize(text, name), ERR_OK);
    assert_int_equal(strlen(name), 253);
    make_name(text, 254, 60);
    assert_int_equal(name_normalize(text, name), ERR_INVALID);
    make_name(text, 399, 60);
    assert_int_equal(name_normalize(text, name), ERR_INVALID);
}

static void test_zone(void **state)
{
    assert_true(name_is_in_zone("a.example", "example"));
    assert_true(name_is_in_zone("example", "example"));
    assert_true(name_is_in_zone("b.a.example", "a.example"));
    assert_false(name_is_in_zone("aexample", "example"));
    assert_false(name_is_in_zone("example", "a.example"));
    assert_false(name_is_in_zone("a.example", "b.example"));
    assert_false(name_is_in_zone("a.example", ""));
    assert_string_equal(name_parent("b.a.example"), "a.example");
    assert_null(name_parent("example"));
}

static void test_pattern(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool is_match;
    } rows[] = {
        {"*", "a.example", true},
        {"*.example", "a.example", true},
        {"*.Example", "a.example", true},
        {"*.example", "b.a.example", true},
        {"*.example", "example", false},
        {"*.example", "a.example.net", false},
        {"a.example", "a.example", true},
        {"a.example", "xa.example", false},
        {"a.example", "a.examplex", false},
        {"a*b*c", "axbybzc", true},
        {"a*b*c", "axbybzcd", false},
        {"**a", "a", true},
        {"a**", "a", true},
        {"", "a", false},
        {"", "", true},
        {"*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(name_matches(rows[i].pattern, rows[i].name), rows[i].is_match);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normalize), cmocka_unit_test(test_not_a_name),
        cmocka_unit_test(test_limits),    cmocka_unit_test(test_zone),
        cmocka_unit_test(test_pattern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
