/* The command line: what is taken, and a message with status for every mistake. */
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

#include "cli/cli.h"

#define WORDS_MAX 12

/* Parses "detec " + line, cut at spaces. Returns the messages, which the caller frees. */
static char *parse(const char *line, int *ret_error, struct options *ret_options)
{
    static char copy[512];
    char *argv[WORDS_MAX] = {NULL}, *rest = copy, *report = NULL;
    int argc = 0;
    size_t len = 0;
    snprintf(copy, sizeof copy, "detec %s", line);
    for (char *word; (word = strsep(&rest, " ")) != NULL && argc < WORDS_MAX;)
        argv[argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
    FILE *err = open_memstream(&report, &len);
    assert_non_null(err);
    *ret_error = options_parse(argc, argv, cli_commands, err, ret_options);
    fclose(err);
    return report;
}

static void test_good_lines(void **state)
{
    static const struct {
        const char *line;
        const char *command;
        const char *operands[2];
        unsigned given;
    } cases[] = {
        {"status", "status", {NULL, NULL}, 0},
        {"status --json", "status", {NULL, NULL}, OPTION_JSON},
        {"--json status", "status", {NULL, NULL}, OPTION_JSON},
        {"peers --socket /s --json", "peers", {NULL, NULL}, OPTION_JSON | OPTION_SOCKET},
        {"--socket=/s peers", "peers", {NULL, NULL}, OPTION_SOCKET},
        {"call pc", "call", {"pc", NULL}, 0},
        {"call --timeout 5 pc", "call", {"pc", NULL}, OPTION_TIMEOUT},
        {"call pc --timeout=2m", "call", {"pc", NULL}, OPTION_TIMEOUT},
        {"hangup pc", "hangup", {"pc", NULL}, 0},
        {"ping -c 3 pc", "ping", {"pc", NULL}, OPTION_COUNT},
        {"ping -c3 pc", "ping", {"pc", NULL}, OPTION_COUNT},
        {"ping pc --count 1000", "ping", {"pc", NULL}, OPTION_COUNT},
        {"trust pc -y", "trust", {"pc", NULL}, OPTION_YES},
        {"trust --connector z --yes", "trust", {"z", NULL}, OPTION_YES | OPTION_CONNECTOR},
        {"netcheck", "netcheck", {NULL, NULL}, 0},
        {"netcheck --lifetime 2m", "netcheck", {NULL, NULL}, OPTION_LIFETIME},
        {"genkey -- -file", "genkey", {"-file", NULL}, 0},
        {"pubkey -", "pubkey", {"-", NULL}, 0},
        {"host add pc KEY", "host add", {"pc", "KEY"}, 0},
        {"host add pc KEY --mac 02:00:5E:10:00:01", "host add", {"pc", "KEY"}, OPTION_MAC},
        {"host --database /d remove pc", "host remove", {"pc", NULL}, OPTION_DATABASE},
        {"host list", "host list", {NULL, NULL}, 0},
        {"call --help", "call", {NULL, NULL}, OPTION_HELP},
        {"host add -h", "host add", {NULL, NULL}, OPTION_HELP},
        {"--help", NULL, {NULL, NULL}, OPTION_HELP},
        {"host --help", NULL, {NULL, NULL}, OPTION_HELP},
        {"--version", NULL, {NULL, NULL}, OPTION_VERSION},
        {"-V status", NULL, {NULL, NULL}, OPTION_VERSION},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct options options;
        int error;
        char *report = parse(cases[i].line, &error, &options);
        if (error != ERR_OK)
            fail_msg("\"%s\": %s", cases[i].line, report);
        assert_string_equal(report, "");
        free(report);
        assert_int_equal(options.given, cases[i].given);
        if (cases[i].command == NULL)
            assert_null(options.command);
        else
            assert_string_equal(options.command->name, cases[i].command);
        for (size_t j = 0; j < 2; j++) {
            if (cases[i].operands[j] == NULL)
                assert_null(options.operands[j]);
            else
                assert_string_equal(options.operands[j], cases[i].operands[j]);
        }
    }
}

static void test_values(void **state)
{
    struct options options;
    int error;
    free(parse("call pc --timeout 90s --socket /run/x", &error, &options));
    assert_int_equal(error, ERR_OK);
    assert_int_equal(options.timeout_us, 90 * 1000000);
    assert_string_equal(options.socket, "/run/x");
    free(parse("call pc --timeout 3", &error, &options));
    assert_int_equal(options.timeout_us, 3 * 1000000);
    free(parse("ping pc -c 12", &error, &options));
    assert_int_equal(options.count, 12);
    free(parse("host add a b --mac 02:00:5e:10:00:01 --database d", &error, &options));
    assert_string_equal(options.mac, "02:00:5e:10:00:01");
    assert_string_equal(options.database, "d");
}

static void test_bad_lines(void **state)
{
    static const struct {
        const char *line;
        const char *says[2];
    } cases[] = {
        {"", {"there is no command \"\"", "--help"}},
        {"frob", {"there is no command \"frob\"", "detec --help"}},
        {"host", {"\"host\" is half a command", "host add, host remove, host list"}},
        {"host frob", {"there is no command \"host frob\"", "host add, host remove, host list"}},
        {"status now", {"\"now\" is one argument too many", "detec status"}},
        {"call", {"an argument is missing", "detec call NAME"}},
        {"call a b", {"\"b\" is one argument too many", "detec call NAME"}},
        {"call a b c d e", {"one argument too many", "detec call NAME"}},
        {"host add a", {"an argument is missing", "detec host add NAME KEY"}},
        {"host add a b c", {"\"c\" is one argument too many", "NAME KEY"}},
        {"--frob status", {"there is no option --frob", "detec --help"}},
        {"--frob=3 status", {"there is no option --frob=3", ""}},
        {"-x status", {"there is no option -x", ""}},
        {"status -c 3", {"`detec status` has no option --count", "detec status --help"}},
        {"genkey f --json", {"`detec genkey` has no option --json", ""}},
        {"status --json=yes", {"--json takes no value", ""}},
        {"call pc --timeout", {"--timeout needs a value", "--timeout S"}},
        {"ping pc -c", {"-c needs a value", "-c N"}},
        {"call pc --timeout soon", {"--timeout soon", "a duration"}},
        {"call pc --timeout 0", {"--timeout 0", "a duration"}},
        {"netcheck --lifetime 0", {"--lifetime 0", "from 1s to 5m"}},
        {"netcheck --lifetime 6m", {"--lifetime 6m", "from 1s to 5m"}},
        {"call pc --timeout 2d", {"--timeout 2d", "up to a day"}},
        {"call pc --timeout 1 --timeout 2", {"--timeout is given twice", "once"}},
        {"ping pc -c 0", {"--count 0", "1 to 1000"}},
        {"ping pc -c 1001", {"--count 1001", "1 to 1000"}},
        {"ping pc -c 3x", {"--count 3x", "1 to 1000"}},
        {"ping pc -c -3", {"--count -3", "1 to 1000"}},
        {"ping pc -c 99999999999999999999", {"--count 9999", "1 to 1000"}},
        {"host add a b --mac 02:00:5e:10:00", {"--mac 02:00:5e:10:00", "02:00:5e:10:00:01"}},
        {"host add a b --mac 02:00:5e:10:00:0g", {"--mac", "02:00:5e:10:00:01"}},
        {"host add a b --mac 02-00-5e-10-00-01", {"--mac", "02:00:5e:10:00:01"}},
        {"status --socket=", {"--socket", "a path"}},
        {"--json", {"a command is missing", "detec --help"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct options options;
        int error;
        char *report = parse(cases[i].line, &error, &options);
        assert_int_equal(error, ERR_INVALID);
        assert_int_equal(strncmp(report, "detec: ", 7), 0);
        for (size_t j = 0; j < 2; j++) {
            if (strstr(report, cases[i].says[j]) == NULL)
                fail_msg("\"%s\": \"%s\" does not say \"%s\"", cases[i].line, report,
                         cases[i].says[j]);
        }
        free(report);
    }
}

static char *help_of(const struct command *command)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    options_print_help(cli_commands, command, out);
    fclose(out);
    return text;
}

/* Every command and each of its options is in the help, and no line is wider than a terminal. */
static void test_help_is_complete(void **state)
{
    char *all = help_of(NULL);
    for (const struct command *c = cli_commands; c->name != NULL; c++) {
        char *one = help_of(c);
        assert_non_null(strstr(all, c->name));
        assert_non_null(strstr(all, c->summary));
        assert_non_null(strstr(one, c->details));
        assert_int_equal((c->options & OPTION_SOCKET) != 0, strstr(one, "--socket PATH") != NULL);
        assert_int_equal((c->options & OPTION_JSON) != 0, strstr(one, "--json") != NULL);
        assert_non_null(strstr(one, "--help"));
        for (const char *line = one; line != NULL && *line != '\0'; line = strchr(line, '\n') + 1)
            assert_true(strcspn(line, "\n") <= 100);
        free(one);
    }
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_lines),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_help_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
