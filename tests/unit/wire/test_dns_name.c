/* Domain names: compression and its traps, text, comparing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/dns_name.h"
#include <string.h>

static struct dns_name name_of(const char *text)
{
    struct dns_name name;
    assert_int_equal(dns_name_from_text(text, &name), ERR_OK);
    return name;
}

static void test_text(void **state)
{
    char host[NAME_TEXT_CAP], text[DNS_NAME_TEXT_CAP], longest[300];
    struct dns_name name = name_of("Home.Example.NET.");

    assert_int_equal(name.len, 18);
    assert_memory_equal(name.bytes, "\4Home\7Example\3NET", 18);
    assert_int_equal(dns_name_to_host(&name, host), ERR_OK);
    assert_string_equal(host, "home.example.net");
    assert_string_equal(dns_name_format(&name, text, sizeof text), "home.example.net");
    name = name_of(".");
    assert_int_equal(name.len, 1);
    assert_int_equal(dns_name_to_host(&name, host), ERR_INVALID);
    assert_string_equal(dns_name_format(&name, text, sizeof text), ".");
    name = name_of("_detec._tcp.example.net");
    assert_int_equal(dns_name_label_count(&name), 4);

    assert_int_equal(dns_name_from_text("a..b", &name), ERR_INVALID);
    assert_int_equal(dns_name_from_text(".a", &name), ERR_INVALID);
    assert_int_equal(dns_name_from_text("a\\.b", &name), ERR_INVALID);
    memset(longest, 'x', sizeof longest);
    longest[64] = '\0';
    assert_int_equal(dns_name_from_text(longest, &name), ERR_INVALID);
    longest[63] = '\0';
    assert_int_equal(dns_name_from_text(longest, &name), ERR_OK);
    /* 3 * 64 + 62 + 1 = 255 bytes on the wire is the most. */
    for (int i = 0; i < 4; i++) {
        memset(longest + 64 * i, 'x', 63);
        longest[64 * i + 63] = '.';
    }
    longest[64 * 3 + 61] = '\0';
    assert_int_equal(dns_name_from_text(longest, &name), ERR_OK);
    assert_int_equal(name.len, 255);
    longest[64 * 3 + 61] = 'x';
    longest[64 * 3 + 62] = '\0';
    assert_int_equal(dns_name_from_text(longest, &name), ERR_INVALID);
}

static void test_odd_bytes(void **state)
{
    struct dns_name name = {.len = 7, .bytes = {3, 'a', '.', 0, 1, 0xff, 0}};
    char host[NAME_TEXT_CAP], text[DNS_NAME_TEXT_CAP], tiny[6];

    assert_int_equal(dns_name_to_host(&name, host), ERR_INVALID);
    assert_string_equal(dns_name_format(&name, text, sizeof text), "a\\046\\000.\\255");
    dns_name_format(&name, tiny, sizeof tiny);
    assert_true(strlen(tiny) < sizeof tiny);
}

static void test_compare(void **state)
{
    struct dns_name a = name_of("Host.Example.Net"), b = name_of("hOST.example.nEt");
    struct dns_name zone = name_of("example.net"), other = name_of("xexample.net");
    struct dns_name root = name_of("."), stripped;

    assert_true(dns_name_is_equal(&a, &b));
    assert_true(dns_name_is_in(&a, &zone));
    assert_true(dns_name_is_in(&zone, &zone));
    assert_false(dns_name_is_in(&zone, &a));
    assert_false(dns_name_is_in(&other, &zone));
    assert_true(dns_name_is_in(&a, &root));
    dns_name_lower(&a);
    assert_memory_equal(a.bytes, "\4host\7example\3net", a.len);
    assert_int_equal(dns_name_strip(&a, 1, &stripped), ERR_OK);
    assert_true(dns_name_is_equal(&stripped, &zone));
    assert_int_equal(dns_name_strip(&a, 3, &stripped), ERR_OK);
    assert_int_equal(stripped.len, 1);
    assert_int_equal(dns_name_strip(&a, 4, &stripped), ERR_INVALID);
}

static void test_compression(void **state)
{
    /* 12: "net", 17: "a" -> 12, 21: "b" -> 17 */
    uint8_t message[] = {0,   0,   0,   0, 0, 0,   0,    0,  0, 0,   0,    0,  3,
                         'n', 'e', 't', 0, 1, 'a', 0xc0, 12, 1, 'b', 0xc0, 17, 0xff};
    struct dns_name name, want = name_of("b.a.net");
    size_t end = 0;

    assert_int_equal(dns_name_parse(message, sizeof message, 21, &name, &end), ERR_OK);
    assert_true(dns_name_is_equal(&name, &want));
    assert_int_equal(end, 25);
    for (size_t len = 0; len < 25; len++) {
        name.len = 77;
        assert_int_equal(dns_name_parse(message, len, 21, &name, &end), ERR_TRUNCATED);
        assert_int_equal(name.len, 77);
    }
    message[24] = 23; /* to itself */
    assert_int_equal(dns_name_parse(message, sizeof message, 21, &name, &end), ERR_INVALID);
    message[24] = 21; /* to its own start: a loop */
    assert_int_equal(dns_name_parse(message, sizeof message, 21, &name, &end), ERR_INVALID);
    message[24] = 25; /* forward */
    assert_int_equal(dns_name_parse(message, sizeof message, 21, &name, &end), ERR_INVALID);
    message[24] = 4; /* into the header */
    assert_int_equal(dns_name_parse(message, sizeof message, 21, &name, &end), ERR_INVALID);
    message[24] = 17;
    message[20] = 17; /* a -> a */
    assert_int_equal(dns_name_parse(message, sizeof message, 21, &name, &end), ERR_INVALID);
    message[20] = 21; /* b -> a -> b */
    assert_int_equal(dns_name_parse(message, sizeof message, 21, &name, &end), ERR_INVALID);
    message[21] = 0x41; /* RFC 6891 retired extended label types */
    assert_int_equal(dns_name_parse(message, sizeof message, 21, &name, &end), ERR_INVALID);
    assert_int_equal(dns_name_parse(message, sizeof message, 1000, &name, &end), ERR_TRUNCATED);
}

static void test_longest(void **state)
{
    uint8_t message[12 + 4 * 64 + 2] = {0};
    struct dns_name name;
    size_t end = 0;

    for (size_t i = 0; i < 4; i++)
        message[12 + 64 * i] = 63;
    message[12 + 64 * 3] = 61;
    message[12 + 64 * 3 + 62] = 0;
    assert_int_equal(dns_name_parse(message, sizeof message, 12, &name, &end), ERR_OK);
    assert_int_equal(name.len, 255);
    assert_int_equal(end, 12 + 255);
    message[12 + 64 * 3] = 62; /* 256 bytes */
    assert_int_equal(dns_name_parse(message, sizeof message, 12, &name, &end), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),    cmocka_unit_test(test_odd_bytes),
        cmocka_unit_test(test_compare), cmocka_unit_test(test_compression),
        cmocka_unit_test(test_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
