/* The frame of state files: whatever happens to a file is seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "names/state.h"

static char *build(size_t *ret_len)
{
    struct state_builder b;
    char *text = NULL;

    state_builder_init(&b, "detec-test 1 extra");
    state_builder_line(&b, "one %d", 1);
    state_builder_line(&b, "two words");
    assert_int_equal(state_builder_finish(&b, &text, ret_len), ERR_OK);
    assert_int_equal(strlen(text), *ret_len);
    return text;
}

/* Reads all lines; ERR_NOT_FOUND means that all was well. */
static int read_all(const char *text, size_t len, struct state_damage *ret_damage)
{
    struct state_reader r;

    int error = state_reader_init(&r, text, len, "detec-test", ret_damage);
    while (error == ERR_OK)
        error = state_reader_next(&r, ret_damage);
    return error;
}

static void test_reads_back(void **state)
{
    struct state_damage damage;
    struct state_reader r;
    size_t len = 0;
    char *text = build(&len);

    assert_int_equal(state_reader_init(&r, text, len, "detec-test", &damage), ERR_OK);
    assert_int_equal(r.word_count, 3);
    assert_string_equal(r.words[2], "extra");
    assert_int_equal(state_reader_next(&r, &damage), ERR_OK);
    assert_int_equal(r.line, 2);
    assert_int_equal(r.word_count, 2);
    assert_string_equal(r.words[0], "one");
    assert_string_equal(r.words[1], "1");
    assert_int_equal(state_reader_next(&r, &damage), ERR_OK);
    assert_int_equal(state_reader_next(&r, &damage), ERR_NOT_FOUND);
    free(text);
}

static void test_every_damage(void **state)
{
    struct state_damage damage;
    size_t len = 0;
    char *text = build(&len);

    for (size_t cut = 0; cut < len; cut++) {
        /* An own allocation of the exact length: a sanitizer sees any byte read beyond it. */
        char *copy = malloc(cut > 0 ? cut : 1);
        assert_non_null(copy);
        memcpy(copy, text, cut);
        assert_int_equal(read_all(copy, cut, &damage), ERR_INVALID);
        if (cut > 0)
            copy[cut - 1] = '\n';
        assert_int_equal(read_all(copy, cut, &damage), ERR_INVALID);
        free(copy);
    }
    for (size_t bit = 0; bit < len * 8; bit++) {
        text[bit / 8] ^= (char)(1 << bit % 8);
        memset(&damage, 0, sizeof damage);
        assert_int_equal(read_all(text, len, &damage), ERR_INVALID);
        assert_true(strlen(damage.message) > 0);
        text[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_int_equal(read_all(text, len, &damage), ERR_NOT_FOUND);
    free(text);
}

/* A checksum that fits, around lines that don't. */
static void assert_line_refused(const char *line)
{
    struct state_damage damage = {.line = 0};
    struct state_builder b;
    char *text = NULL;
    size_t len = 0;

    state_builder_init(&b, "detec-test 1");
    state_builder_line(&b, "%s", line);
    assert_int_equal(state_builder_finish(&b, &text, &len), ERR_OK);
    assert_int_equal(read_all(text, len, &damage), ERR_INVALID);
    assert_int_equal(damage.line, 2);
    free(text);
}

static void test_odd_lines(void **state)
{
    struct state_damage damage;
    struct state_builder b;
    char *text = NULL;
    size_t len = 0;

    assert_line_refused("");
    assert_line_refused(" a");
    assert_line_refused("a ");
    assert_line_refused("a  b");
    assert_line_refused("a\tb");
    assert_line_refused("a\x80");
    assert_line_refused("1 2 3 4 5 6 7 8 9");

    state_builder_init(&b, "detec-test 2");
    assert_int_equal(state_builder_finish(&b, &text, &len), ERR_OK);
    assert_int_equal(read_all(text, len, &damage), ERR_INVALID);
    free(text);
    state_builder_init(&b, "detec-other 1");
    assert_int_equal(state_builder_finish(&b, &text, &len), ERR_OK);
    assert_int_equal(read_all(text, len, &damage), ERR_INVALID);
    free(text);
}

static void test_number(void **state)
{
    uint64_t value = 7;

    assert_int_equal(state_parse_number("0", &value), ERR_OK);
    assert_true(value == 0);
    assert_int_equal(state_parse_number("18446744073709551615", &value), ERR_OK);
    assert_true(value == UINT64_MAX);
    assert_int_equal(state_parse_number("18446744073709551616", &value), ERR_INVALID);
    assert_int_equal(state_parse_number("", &value), ERR_INVALID);
    assert_int_equal(state_parse_number("01", &value), ERR_INVALID);
    assert_int_equal(state_parse_number("+1", &value), ERR_INVALID);
    assert_int_equal(state_parse_number("1x", &value), ERR_INVALID);
    assert_true(value == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_back),
        cmocka_unit_test(test_every_damage),
        cmocka_unit_test(test_odd_lines),
        cmocka_unit_test(test_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
