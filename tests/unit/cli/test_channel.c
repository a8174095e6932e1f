/* Lines to and from a program: whole ones, in pieces, many at once, long ones; time limits, and
 * ends at every place. */
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

#include "cli/channel.h"

#define LONG_US ((uint64_t)20 * 1000000)

static struct channel start(const char *script)
{
    char *const argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
    struct channel channel;
    assert_int_equal(channel_spawn(argv, &channel), ERR_OK);
    return channel;
}

static void expect_line(struct channel *channel, const char *text)
{
    char *line = NULL;
    assert_int_equal(channel_read(channel, LONG_US, &line), ERR_OK);
    assert_string_equal(line, text);
}

static void test_there_and_back(void **state)
{
    struct channel channel = start("exec cat");
    assert_int_equal(channel_write(&channel, "{\"command\":\"status\"}", LONG_US), ERR_OK);
    expect_line(&channel, "{\"command\":\"status\"}");
    assert_int_equal(channel_write(&channel, "", LONG_US), ERR_OK);
    assert_int_equal(channel_write(&channel, "two", LONG_US), ERR_OK);
    expect_line(&channel, "");
    expect_line(&channel, "two");
    channel_close(&channel); /* ends cat, and waits for it */
    assert_int_equal(channel.fd, -1);
    assert_int_equal(channel.pid, 0);
    channel_close(&channel);
}

static void test_pieces_and_bundles(void **state)
{
    struct channel channel =
        start("printf 'on'; read x; printf 'e\\ntwo\\nthree\\nfo'; read x; printf 'ur\\n'");
    char *line = NULL;
    assert_int_equal(channel_read(&channel, 50000, &line), ERR_TIMEOUT);
    assert_int_equal(channel_write(&channel, "", LONG_US), ERR_OK);
    expect_line(&channel, "one");
    expect_line(&channel, "two");
    expect_line(&channel, "three");
    assert_int_equal(channel_write(&channel, "", LONG_US), ERR_OK);
    expect_line(&channel, "four");
    assert_int_equal(channel_read(&channel, LONG_US, &line), ERR_TRUNCATED);
    channel_close(&channel);
}

static void test_long_lines_grow(void **state)
{
    enum { LEN = 3000000 };
    struct channel channel = start("exec cat");
    char *text = malloc(LEN + 1);
    memset(text, 'x', LEN);
    text[LEN] = '\0';
    /* More than the pipe holds: who does not read is not waited for beyond the time. */
    assert_int_equal(channel_write(&channel, text, 50000), ERR_TIMEOUT);
    channel_close(&channel);
    channel = start("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end");
    expect_line(&channel, text);
    expect_line(&channel, "end");
    channel_close(&channel);
    free(text);
}

static void test_ends(void **state)
{
    char *line = NULL;
    struct channel channel = start("exit 3");
    assert_int_equal(channel_read(&channel, LONG_US, &line), ERR_TRUNCATED);
    channel_close(&channel);
    channel = start("printf unfinished");
    assert_int_equal(channel_read(&channel, LONG_US, &line), ERR_TRUNCATED);
    assert_null(line);
    assert_int_equal(channel_write(&channel, "anyone?", LONG_US), ERR_IO); /* and no SIGPIPE */
    channel_close(&channel);
}

static void test_nobody_there(void **state)
{
    char *const argv[] = {(char *)"/nonexistent/program", NULL};
    struct channel channel;
    char path[200];
    assert_int_equal(channel_spawn(argv, &channel), ERR_IO);
    assert_int_equal(channel_connect("/nonexistent/socket", &channel), ERR_NOT_FOUND);
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(channel_connect(path, &channel), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),  cmocka_unit_test(test_pieces_and_bundles),
        cmocka_unit_test(test_long_lines_grow), cmocka_unit_test(test_ends),
        cmocka_unit_test(test_nobody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
