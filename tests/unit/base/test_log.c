/* The log: what a line looks like at a terminal and in the journal, that strangers cannot forge
 * lines, and the rate limit. stderr is a file while a line is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static char output[8192];
static FILE *file;
static int saved_stderr;

static void capture(void)
{
    file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(saved_stderr >= 0);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
}

static const char *release(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    rewind(file);
    output[fread(output, 1, sizeof output - 1, file)] = '\0';
    fclose(file);
    return output;
}

static void test_terminal(void **state)
{
    unsetenv("JOURNAL_STREAM");
    capture();
    log_init("prog", LOG_LEVEL_INFO);
    errno = EAGAIN;
    log_error("a %d", 1);
    log_warn("b");
    log_info("c");
    log_debug("not shown");
    const int after = errno;
    log_set_level(LOG_LEVEL_ERROR);
    log_warn("not shown either");
    assert_string_equal(release(), "prog: error: a 1\nprog: warning: b\nprog: c\n");
    assert_int_equal(after, EAGAIN);
}

static void test_journal(void **state)
{
    struct stat st;
    char stream[64];
    capture();
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_init("prog", LOG_LEVEL_DEBUG);
    log_error("a");
    log_debug("b");
    /* The variable is inherited, but stderr is another file by now. */
    setenv("JOURNAL_STREAM", "1:2", 1);
    log_init("prog", LOG_LEVEL_DEBUG);
    log_info("c");
    assert_string_equal(release(), "<3>a\n<7>b\nprog: c\n");
    unsetenv("JOURNAL_STREAM");
}

static void test_control_characters(void **state)
{
    capture();
    log_init("prog", LOG_LEVEL_INFO);
    log_info("%s", "name\nprog: forged\r\x1b[0m\x7f");
    assert_string_equal(release(), "prog: name prog: forged??[0m?\n");
}

static void test_long_line(void **state)
{
    static char longer[5000];
    memset(longer, 'x', sizeof longer - 1);
    capture();
    log_init("prog", LOG_LEVEL_INFO);
    log_info("%s", longer);
    log_info("next");
    const char *text = release();
    const char *end = strchr(text, '\n');
    assert_non_null(end);
    assert_true(end - text > 500 && end - text < 1100);
    assert_string_equal(end + 1, "prog: next\n");
}

static void test_limit(void **state)
{
    struct log_limit limit = {0};
    uint32_t suppressed = 99;
    assert_true(log_limit_is_open(&limit, 1000, 2, 100, &suppressed));
    assert_int_equal(suppressed, 0);
    assert_true(log_limit_is_open(&limit, 1050, 2, 100, NULL));
    for (int i = 0; i < 5; i++)
        assert_false(log_limit_is_open(&limit, 1099, 2, 100, &suppressed));
    assert_int_equal(suppressed, 0);
    assert_true(log_limit_is_open(&limit, 1100, 2, 100, &suppressed));
    assert_int_equal(suppressed, 5);
    assert_true(log_limit_is_open(&limit, 1100, 2, 100, &suppressed));
    assert_int_equal(suppressed, 0);
    assert_false(log_limit_is_open(&limit, 1100, 2, 100, &suppressed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_journal),
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
