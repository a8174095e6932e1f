/* What reaches the terminal: foreign text is masked, colours only where asked for, tables aligned,
 * and a stream that takes nothing is told of once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"

struct streams {
    struct output output;
    char *out, *err;
    size_t out_len, err_len;
};

static int set_up(void **state)
{
    struct streams *streams = calloc(1, sizeof *streams);
    FILE *out = open_memstream(&streams->out, &streams->out_len);
    FILE *err = open_memstream(&streams->err, &streams->err_len);
    output_init(&streams->output, out, err);
    *state = streams;
    return out != NULL && err != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct streams *streams = *state;
    fclose(streams->output.out);
    fclose(streams->output.err);
    free(streams->out);
    free(streams->err);
    free(streams);
    return 0;
}

static const char *written(struct streams *streams)
{
    assert_int_equal(output_flush(&streams->output), ERR_OK);
    return streams->out;
}

static void test_foreign_text_is_masked(void **state)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"b.example", "b.example"},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\033[2Jgone", "?[2Jgone"},
        {"a\r\nb\tc\x7f", "a??b?c?"},
        {"\xc2\x9b"
         "31m",
         "??31m"}, /* CSI as a C1 control character */
        {"\xe2\x80\xae"
         "evil",
         "???evil"},                  /* right-to-left override */
        {"\xe2\x81\xa6x", "???x"},    /* isolate */
        {"\xef\xbb\xbf", "???"},      /* byte order mark */
        {"\xc0\x80", "??"},           /* overlong */
        {"\xe0\x80\x9b", "???"},      /* overlong escape */
        {"\xed\xa0\x80", "???"},      /* surrogate */
        {"\xf4\x90\x80\x80", "????"}, /* behind the last code point */
        {"\xe2\x82", "??"},           /* cut */
    };
    struct streams *streams = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rewind(streams->output.out);
        output_text(&streams->output, STYLE_GOOD, cases[i].text);
        fputc('\0', streams->output.out);
        assert_string_equal(written(streams), cases[i].shown);
        assert_int_equal(output_width(cases[i].text), output_width(cases[i].shown));
    }
    output_error(&streams->output, "%s: %d", "\033]0;title\a", 7);
    fflush(streams->output.err);
    assert_string_equal(streams->err, "detec: ?]0;title?: 7\n");
}

static void test_width_is_in_characters(void **state)
{
    assert_int_equal(output_width(""), 0);
    assert_int_equal(output_width("abc"), 3);
    assert_int_equal(output_width("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), 3);
}

static void test_colours(void **state)
{
    struct streams *streams = *state;
    assert_false(streams->output.has_colors); /* no terminal */
    streams->output.has_colors = true;
    output_text(&streams->output, STYLE_BAD, "down");
    output_text(&streams->output, STYLE_PLAIN, " and ");
    output_text(&streams->output, STYLE_GOOD, "");
    output_print(&streams->output, STYLE_STRONG, "%d", 5);
    assert_string_equal(written(streams), "\033[31mdown\033[0m and \033[1m5\033[0m");
}

static void test_long_texts_end(void **state)
{
    struct streams *streams = *state;
    char *text = malloc(10001);
    memset(text, 'x', 10000);
    text[10000] = '\0';
    output_print(&streams->output, STYLE_PLAIN, "%s", text);
    assert_int_equal(strlen(written(streams)), 4095);
    free(text);
}

static void test_table(void **state)
{
    static const char *const headings[] = {"NAME", ">AGE", "KEY"};
    struct streams *streams = *state;
    struct table table;
    table_init(&table, 3, headings);
    table_add_row(&table);
    table_set_text(&table, 0, STYLE_STRONG, "caf\xc3\xa9");
    table_set_text(&table, 1, STYLE_PLAIN, "7");
    table_set_text(&table, 2, STYLE_PLAIN, "k\033y");
    table_add_row(&table);
    table_set_text(&table, 0, STYLE_PLAIN, "a.example");
    table_set_text(&table, 1, STYLE_PLAIN, "12 min");
    assert_int_equal(table_print(&table, &streams->output, 2), ERR_OK);
    table_done(&table);
    assert_string_equal(written(streams), "  NAME          AGE  KEY\n"
                                          "  caf\xc3\xa9            7  k?y\n"
                                          "  a.example  12 min  -\n");
}

static void test_table_without_headings(void **state)
{
    struct streams *streams = *state;
    struct table table;
    table_init(&table, 2, NULL);
    table_add_row(&table);
    table_set_text(&table, 0, STYLE_PLAIN, "key");
    table_set_text(&table, 1, STYLE_PLAIN, "value");
    table_add_row(&table);
    table_set_text(&table, 0, STYLE_PLAIN, "longer");
    table_set_text(&table, 1, STYLE_PLAIN, NULL);
    assert_int_equal(table_print(&table, &streams->output, 0), ERR_OK);
    table_done(&table);
    const char *text = written(streams);
    assert_memory_equal(text, "key     value\nlonger", 20);
    assert_null(strchr(text, '-'));
}

static void test_write_errors_are_told_once(void **state)
{
    struct streams *streams = *state;
    FILE *memory = streams->output.out;
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    streams->output.out = full;
    output_text(&streams->output, STYLE_PLAIN, "lost");
    assert_int_equal(output_flush(&streams->output), ERR_IO);
    output_text(&streams->output, STYLE_PLAIN, "lost too");
    assert_int_equal(output_flush(&streams->output), ERR_IO);
    fflush(streams->output.err);
    assert_string_equal(streams->err,
                        "detec: the output could not be written: No space left on device\n");
    fclose(full);
    streams->output.out = memory;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_foreign_text_is_masked, set_up, tear_down),
        cmocka_unit_test(test_width_is_in_characters),
        cmocka_unit_test_setup_teardown(test_colours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_texts_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_table_without_headings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_write_errors_are_told_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
