/* Configuration: values of every kind, and that each mistake is named with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/config.h"
#include "base/text.h"

struct target {
    char text[8];
    char name[NAME_TEXT_CAP];
    bool is_on;
    uint16_t port;
    uint64_t idle_us;
    struct endpoint endpoint;
    struct address address;
    struct prefix prefix;
    int count;
    char last[256];
};

static int take_repeated(const char *value, void *target, const struct config_key *key)
{
    struct target *t = target;
    t->count++;
    snprintf(t->last, sizeof t->last, "%s", value);
    return ERR_OK;
}

#define MEMBER(m) offsetof(struct target, m), sizeof(((struct target *)0)->m)

static const struct config_key keys[] = {
    {"host", "text", config_parse_text, MEMBER(text), "at most 7 characters", 0},
    {"host", "name", config_parse_name, MEMBER(name), "a host name", 0},
    {"host", "on", config_parse_bool, MEMBER(is_on), "yes or no", 0},
    {"host", "port", config_parse_port, MEMBER(port), "a port from 1 to 65535", 0},
    {"host", "idle", config_parse_duration, MEMBER(idle_us), "a duration", 0},
    {"net", "endpoint", config_parse_endpoint, MEMBER(endpoint), "ADDRESS:PORT", 0},
    {"net", "address", config_parse_address, MEMBER(address), "an address", 0},
    {"net", "prefix", config_parse_prefix, MEMBER(prefix), "a prefix", 0},
    {"allow", "allow", take_repeated, 0, 0, "a pattern", 1},
    {0},
};

static struct target target;
static char *report;

/* The report is left in `report`. */
static int parse(const char *text)
{
    size_t size;
    free(report);
    report = NULL;
    memset(&target, 0, sizeof target);
    FILE *file = open_memstream(&report, &size);
    assert_non_null(file);
    int error = config_parse(text, "f.conf", keys, &target, file);
    fclose(file);
    return error;
}

static void refuse(const char *text, const char *expected)
{
    assert_int_equal(parse(text), ERR_INVALID);
    assert_string_equal(report, expected);
}

static void test_all_kinds(void **state)
{
    assert_int_equal(parse("\xef\xbb\xbf# a comment\n"
                           "[host]   ; comment\r\n"
                           "text = a;b c   ; comment ; more\r\n"
                           "  name=Home.Example.\n"
                           "\ton = yes\n"
                           "port = 65535\n"
                           "idle=10m\n"
                           "\n"
                           "[net]\n"
                           "endpoint = [2001:db8::1]:4500\n"
                           "address = 192.0.2.1\n"
                           "prefix = 0.0.0.0/8\n"
                           "[allow]\n"
                           "allow = *.example tcp/22\n"
                           "allow = b\n"
                           "[host]\n"
                           "; the end without a new line"),
                     ERR_OK);
    assert_string_equal(report, "");
    assert_string_equal(target.text, "a;b c");
    assert_string_equal(target.name, "home.example");
    assert_true(target.is_on);
    assert_int_equal(target.port, 65535);
    assert_true(target.idle_us == 600000000);
    assert_int_equal(target.endpoint.port, 4500);
    assert_int_equal(target.endpoint.address.family, ADDRESS_IPV6);
    assert_int_equal(address_to_ipv4(&target.address), 0xc0000201);
    assert_int_equal(target.prefix.bits, 8);
    assert_int_equal(target.count, 2);
    assert_string_equal(target.last, "b");
}

static void test_empty(void **state)
{
    assert_int_equal(parse(""), ERR_OK);
    assert_int_equal(parse("\n\n; nothing\n# here"), ERR_OK);
    assert_int_equal(parse("[host]"), ERR_OK);
}

static void test_bad_values(void **state)
{
    refuse("[host]\ntext = 12345678", "f.conf:2: [host] text = 12345678: bad value; allowed: at "
                                      "most 7 characters\n");
    refuse("[host]\nname = a b", "f.conf:2: [host] name = a b: bad value; allowed: a host name\n");
    refuse("[host]\non = true", "f.conf:2: [host] on = true: bad value; allowed: yes or no\n");
    refuse("[host]\non = ; no", "f.conf:2: [host] on has no value; allowed: yes or no\n");
    refuse("[host]\nidle = 1w", "f.conf:2: [host] idle = 1w: bad value; allowed: a duration\n");
    refuse("[net]\nendpoint = 192.0.2.1",
           "f.conf:2: [net] endpoint = 192.0.2.1: bad value; allowed: ADDRESS:PORT\n");
    refuse("[net]\naddress = x", "f.conf:2: [net] address = x: bad value; allowed: an address\n");
    refuse("[net]\nprefix = 10.0.0.1/8",
           "f.conf:2: [net] prefix = 10.0.0.1/8: bad value; allowed: a prefix\n");
    static const char *const ports[] = {"0", "65536", "-1", "+1", "1x", "99999999999999999999",
                                        "a"};
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "[host]\nport = %s", ports[i]);
        assert_int_equal(parse(text), ERR_INVALID);
    }
}

static void test_bad_structure(void **state)
{
    refuse("port = 1", "f.conf:1: port stands before the first section; allowed: [host], [net], "
                       "[allow]\n");
    refuse("[host]\nport = 1\nport = 2", "f.conf:3: [host] port is given twice; allowed: once\n");
    refuse("[host]\nport = 1\n[host]\nport = 1",
           "f.conf:4: [host] port is given twice; allowed: once\n");
    refuse("[host]\naddress = 192.0.2.1", "f.conf:2: there is no key \"address\" in [host]; "
                                          "allowed: text, name, on, port, idle\n");
    refuse("[nowhere]\na = 1\nb\n[host]\non = no",
           "f.conf:1: there is no section [nowhere]; allowed: [host], [net], [allow]\n");
    refuse("[host]\nport", "f.conf:2: expected \"key = value\", a [section] or a comment\n");
    refuse("[host", "f.conf:1: a section is written [name], alone on its line\n");
    refuse("[", "f.conf:1: a section is written [name], alone on its line\n");
    refuse("[host] port = 1", "f.conf:1: a section is written [name], alone on its line\n");
    refuse("[]", "f.conf:1: there is no section []; allowed: [host], [net], [allow]\n");
    refuse("[host]\ntext = a\x01", "f.conf:2: the line has a control character; only plain text is "
                                   "allowed\n");
}

/* inih alone would take an indented line as more of the value above. */
static void test_indented_is_no_continuation(void **state)
{
    assert_int_equal(parse("[allow]\nallow = a\n  allow = b\n"), ERR_OK);
    assert_int_equal(target.count, 2);
    assert_string_equal(target.last, "b");
    refuse("[allow]\nallow = a\n  b\n",
           "f.conf:3: expected \"key = value\", a [section] or a comment\n");
}

static void test_all_mistakes_are_told(void **state)
{
    refuse("[host]\nport = 0\ntext =\n\nfoo\n",
           "f.conf:2: [host] port = 0: bad value; allowed: a port from 1 to 65535\n"
           "f.conf:3: [host] text has no value; allowed: at most 7 characters\n"
           "f.conf:5: expected \"key = value\", a [section] or a comment\n");
}

static void test_long_lines(void **state)
{
    for (size_t len = CONFIG_LINE_MAX - 30; len < CONFIG_LINE_MAX + 300; len++) {
        char text[1024] = "[allow]\nallow = ";
        const size_t start = strlen(text), value_len = len - strlen("allow = ");
        memset(text + start, 'x', value_len);
        /* White space and comments do not count. */
        snprintf(text + start + value_len, 200, "%*s; comment", 100, "");
        if (len <= CONFIG_LINE_MAX) {
            assert_int_equal(parse(text), ERR_OK);
            assert_int_equal(strlen(target.last), value_len);
        } else {
            refuse(text, "f.conf:2: the line is too long; allowed: at most 180 characters\n");
        }
    }
    char text[2048];
    memset(text, '#', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(parse(text), ERR_OK);
}

static int free_report(void **state)
{
    free(report);
    return 0;
}

struct many {
    unsigned line;
    unsigned lines[4];
    char names[4][16];
    uint16_t ports[4];
    int count;
};

static int take_header(const char *value, void *into, const struct config_key *key)
{
    struct many *many = into;
    if (strcmp(value, "bad") == 0)
        return ERR_INVALID;
    for (int i = 0; i < many->count; i++) {
        if (strcmp(many->names[i], value) == 0)
            return ERR_EXISTS;
    }
    snprintf(many->names[many->count], sizeof(many->names[0]), "%s", value);
    many->lines[many->count++] = many->line;
    return ERR_OK;
}

static int take_port(const char *value, void *into, const struct config_key *key)
{
    struct many *many = into;
    struct config_key at = *key;
    at.offset = 0;
    return config_parse_port(value, &many->ports[many->count - 1], &at);
}

/* Sections that there may be many of, each with a name. */
static void test_named_sections(void **state)
{
    static const struct config_key rows[] = {
        {"one", "key", take_repeated, 0, 0, "anything", 1},
        {"peer", NULL, take_header, offsetof(struct many, line), 0, "a name", 0},
        {"peer", "port", take_port, 0, 0, "a port", 0},
        {0},
    };
    struct many many = {0};
    char text[512] = "";
    FILE *file = fmemopen(text, sizeof(text) - 1, "w");
    assert_int_equal(config_parse("[peer a]\nport = 1\n\n[ peer b ]\n", "f", rows, &many, file),
                     ERR_INVALID); /* no white space before the word */
    many = (struct many){0};
    assert_int_equal(config_parse("[peer a]\nport = 1\n\n[peer  b]\nport = 2\n[peer c]\n", "f",
                                  rows, &many, file),
                     ERR_OK);
    assert_int_equal(many.count, 3);
    assert_string_equal(many.names[1], "b");
    assert_int_equal(many.lines[1], 4);
    assert_int_equal(many.ports[0], 1);
    assert_int_equal(many.ports[1], 2);
    fclose(file);

    static const struct {
        const char *text, *report;
    } mistakes[] = {
        {"[peer]\n", "f:1: [peer ]: bad name; allowed: a name\n"},
        {"[peer bad]\nport = 1\n", "f:1: [peer bad]: bad name; allowed: a name\n"},
        {"[peer a]\n[peer a]\nport = 1\n", "f:2: [peer a] is given twice; allowed: once\n"},
        {"[peer a]\nport = 1\nport = 2\n", "f:3: [peer] port is given twice; allowed: once\n"},
        {"[peer a]\nprt = 1\n", "f:2: there is no key \"prt\" in [peer]; allowed: port\n"},
        {"[one x]\n", "f:1: there is no section [one x]; allowed: [one], [peer NAME]\n"},
    };
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        memset(text, 0, sizeof(text));
        many = (struct many){0};
        file = fmemopen(text, sizeof(text) - 1, "w");
        assert_int_equal(config_parse(mistakes[i].text, "f", rows, &many, file), ERR_INVALID);
        fclose(file);
        assert_string_equal(text, mistakes[i].report);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_kinds),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_bad_structure),
        cmocka_unit_test(test_indented_is_no_continuation),
        cmocka_unit_test(test_all_mistakes_are_told),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_named_sections),
    };
    return cmocka_run_group_tests(tests, NULL, free_report);
}
