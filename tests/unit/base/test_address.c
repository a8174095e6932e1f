/* Addresses: text forms both ways, what is refused, mapped addresses, kinds, sockets, prefixes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <string.h>

#include "base/address.h"

static struct address parsed(const char *text)
{
    struct address a;
    assert_int_equal(address_parse(text, &a), ERR_OK);
    return a;
}

static void test_address_text(void **state)
{
    static const char *const same[] = {"0.0.0.86", "192.0.2.1",   "255.255.255.255",    "::",
                                       "::1",      "2001:db8::1", "2001:20:1:2:3:4:5:6"};
    char text[ADDRESS_TEXT_CAP];
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        struct address a = parsed(same[i]);
        assert_string_equal(address_format(&a, text, sizeof text), same[i]);
        assert_int_equal(address_len(&a), strchr(same[i], ':') != NULL ? 16 : 4);
    }
    struct address none = {0};
    assert_string_equal(address_format(&none, text, sizeof text), "none");
    assert_int_equal(address_len(&none), 0);
}

static void test_address_refused(void **state)
{
    static const char *const bad[] = {
        "",          "1.2.3", "1.2.3.4.5",  "1.2.3.256", " 1.2.3.4", "1.2.3.4 ",
        "1.2.3.4/8", ":::",   "fe80::1%lo", "[::1]",     "0x7f.1",   "a.example"};
    struct address a = {.family = 99};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(address_parse(bad[i], &a), ERR_INVALID);
    assert_int_equal(a.family, 99);
}

static void test_mapped_is_ipv4(void **state)
{
    struct address a = parsed("::ffff:192.0.2.1"), b = parsed("192.0.2.1");
    assert_int_equal(a.family, ADDRESS_IPV4);
    assert_true(address_is_equal(&a, &b));
    assert_int_equal(address_to_ipv4(&a), 0xc0000201);
    struct address c = address_from_ipv4(0xc0000201);
    assert_int_equal(address_compare(&a, &c), 0);
    assert_memory_equal(&a, &c, sizeof a);
}

static void test_relay_channels(void **state)
{
    struct address a = {.family = ADDRESS_RELAY};
    struct address b = a;
    assert_true(address_is_equal(&a, &b));
    assert_int_equal(address_len(&a), 0);
    for (size_t i = 0; i < sizeof a.bytes; i++) {
        b.bytes[i] = 1;
        assert_false(address_is_equal(&a, &b));
        assert_int_equal(address_compare(&a, &b) < 0, 1);
        b.bytes[i] = 0;
    }
}

static void test_order(void **state)
{
    struct address none = {0}, low = parsed("1.2.3.4"), high = parsed("1.2.3.5"),
                   six = parsed("::");
    assert_true(address_compare(&low, &high) < 0);
    assert_true(address_compare(&high, &low) > 0);
    assert_true(address_compare(&high, &six) < 0);
    assert_true(address_compare(&none, &low) < 0);
    assert_true(address_is_equal(&none, &none));
}

struct kind_row {
    const char *text;
    const char *kinds; /* u l m k p o: one letter a predicate that holds */
};

static void test_kinds(void **state)
{
    static const struct kind_row rows[] = {
        {"0.0.0.0", "u"},
        {"0.0.0.1", ""},
        {"127.0.0.1", "l"},
        {"127.255.0.9", "l"},
        {"128.0.0.1", ""},
        {"224.0.0.1", "m"},
        {"239.255.255.255", "m"},
        {"240.0.0.1", ""},
        {"255.255.255.255", "m"},
        {"255.255.255.254", ""},
        {"169.254.9.9", "kp"},
        {"10.1.2.3", "p"},
        {"11.0.0.0", ""},
        {"172.16.0.1", "p"},
        {"172.31.255.255", "p"},
        {"172.32.0.0", ""},
        {"192.168.0.1", "p"},
        {"100.64.0.1", "p"},
        {"100.127.255.255", "p"},
        {"100.128.0.0", ""},
        {"::", "u"},
        {"::1", "l"},
        {"::2", ""},
        {"ff02::1", "m"},
        {"fe80::1", "kp"},
        {"febf::1", "kp"},
        {"fec0::1", ""},
        {"fd00::1", "p"},
        {"fc00::1", "p"},
        {"2001:20::1", "o"},
        {"2001:2f:ffff::", "o"},
        {"2001:30::1", ""},
        {"2001:db8::1", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct address a = parsed(rows[i].text);
        char kinds[8] = "";
        size_t n = 0;
        if (address_is_unspecified(&a))
            kinds[n++] = 'u';
        if (address_is_loopback(&a))
            kinds[n++] = 'l';
        if (address_is_multicast(&a))
            kinds[n++] = 'm';
        if (address_is_link_local(&a))
            kinds[n++] = 'k';
        if (address_is_private(&a))
            kinds[n++] = 'p';
        if (address_is_orchid(&a))
            kinds[n++] = 'o';
        kinds[n] = '\0';
        assert_string_equal(kinds, rows[i].kinds);
    }
}

static void test_endpoint_text(void **state)
{
    struct endpoint e;
    char text[ENDPOINT_TEXT_CAP];
    assert_int_equal(endpoint_parse("192.0.2.1:4500", 0, &e), ERR_OK);
    assert_string_equal(endpoint_format(&e, text, sizeof text), "192.0.2.1:4500");
    assert_int_equal(endpoint_parse("[2001:db8::1]:65535", 0, &e), ERR_OK);
    assert_string_equal(endpoint_format(&e, text, sizeof text), "[2001:db8::1]:65535");
    static const char *const with_default[] = {"2001:db8::1", "[2001:db8::1]", "192.0.2.1"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(endpoint_parse(with_default[i], 53, &e), ERR_OK);
        assert_int_equal(e.port, 53);
        assert_int_equal(endpoint_parse(with_default[i], 0, &e), ERR_INVALID);
    }
    static const char *const bad[] = {"",
                                      ":1",
                                      "192.0.2.1:",
                                      "192.0.2.1:0",
                                      "192.0.2.1:65536",
                                      "192.0.2.1:+1",
                                      "192.0.2.1: 1",
                                      "192.0.2.1:1x",
                                      "[192.0.2.1]:1",
                                      "[2001:db8::1",
                                      "[2001:db8::1]x",
                                      "[2001:db8::1]:",
                                      "192.0.2.1:99999999999999999999",
                                      "a.example:1",
                                      "[]:1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(endpoint_parse(bad[i], 53, &e), ERR_INVALID);
    struct endpoint none = {0};
    assert_string_equal(endpoint_format(&none, text, sizeof text), "none");
}

static void test_sockaddr(void **state)
{
    static const char *const texts[] = {"192.0.2.1:4500", "[2001:db8::1]:53"};
    for (size_t i = 0; i < 2; i++) {
        for (int is_dual = 0; is_dual < 2; is_dual++) {
            struct endpoint e, back;
            struct sockaddr_storage sa;
            assert_int_equal(endpoint_parse(texts[i], 0, &e), ERR_OK);
            socklen_t len = endpoint_to_sockaddr(&e, is_dual, &sa);
            const int family = i == 0 && !is_dual ? AF_INET : AF_INET6;
            assert_int_equal(sa.ss_family, family);
            assert_int_equal(len, family == AF_INET ? sizeof(struct sockaddr_in)
                                                    : sizeof(struct sockaddr_in6));
            assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&sa, &back), ERR_OK);
            assert_true(endpoint_is_equal(&e, &back));
            back.port++;
            assert_false(endpoint_is_equal(&e, &back));
        }
    }
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct endpoint e;
    assert_int_equal(endpoint_from_sockaddr(&other, &e), ERR_UNSUPPORTED);
}

static void test_prefix(void **state)
{
    struct prefix p;
    char text[PREFIX_TEXT_CAP];
    static const char *const good[] = {"0.0.0.0/8",    "10.1.0.0/16", "192.0.2.1/32",   "0.0.0.0/0",
                                       "2001:20::/28", "::/0",        "2001:db8::1/128"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(prefix_parse(good[i], &p), ERR_OK);
        assert_string_equal(prefix_format(&p, text, sizeof text), good[i]);
    }
    static const char *const bad[] = {"0.0.0.0",      "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/",
                                      "10.0.0.0/8x",  "/8",         "10.0.0.0/-1", "2001:20::/27x",
                                      "2001:20::/10", "::/129"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(prefix_parse(bad[i], &p), ERR_INVALID);

    struct address in = parsed("10.1.255.255"), out = parsed("10.2.0.0"), six = parsed("::");
    assert_int_equal(prefix_parse("10.1.0.0/16", &p), ERR_OK);
    assert_true(prefix_contains(&p, &in));
    assert_false(prefix_contains(&p, &out));
    assert_false(prefix_contains(&p, &six));
    assert_int_equal(prefix_parse("0.0.0.0/0", &p), ERR_OK);
    assert_true(prefix_contains(&p, &out));
    assert_false(prefix_contains(&p, &six));
    struct prefix none = {0};
    struct address nothing = {0};
    assert_false(prefix_contains(&none, &nothing));
}

static void test_group(void **state)
{
    const struct address four = parsed("192.0.2.77"), six = parsed("2001:db8:1:2:3:4:5:6");
    struct address group = address_group(&four, ADDRESS_SITE_BITS);
    assert_true(address_is_equal(&group, &four));
    group = address_group(&six, ADDRESS_HOST_BITS);
    const struct address host = parsed("2001:db8:1:2::"), site = parsed("2001:db8:1::");
    assert_true(address_is_equal(&group, &host));
    group = address_group(&six, ADDRESS_SITE_BITS);
    assert_true(address_is_equal(&group, &site));
    group = address_group(&six, 128);
    assert_true(address_is_equal(&group, &six));
}

static void test_prefix_ends(void **state)
{
    static const struct {
        const char *inside, *first, *last;
        unsigned bits;
    } cases[] = {{"10.1.2.3", "10.1.2.0", "10.1.2.255", 24},
                 {"10.1.2.3", "10.1.2.2", "10.1.2.3", 31},
                 {"10.1.2.3", "10.1.2.3", "10.1.2.3", 32},
                 {"10.1.2.3", "0.0.0.0", "255.255.255.255", 0},
                 {"2001:db8::7f", "2001:db8::40", "2001:db8::7f", 122}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct address inside = parsed(cases[i].inside), first = parsed(cases[i].first);
        const struct address end = parsed(cases[i].last);
        const struct prefix p = prefix_around(&inside, cases[i].bits);
        const struct address last = prefix_last(&p);
        assert_int_equal(p.bits, cases[i].bits);
        assert_true(address_is_equal(&p.address, &first));
        assert_true(address_is_equal(&last, &end));
        assert_int_equal(prefix_is_single(&p), address_is_equal(&first, &end));
    }
    const struct address a = parsed("10.1.2.3"), b = parsed("10.1.3.3");
    const struct prefix one = prefix_around(&a, 32), net = prefix_around(&a, 24);
    const struct prefix next = prefix_around(&b, 24), both = prefix_around(&b, 23);
    assert_true(prefix_overlaps(&one, &net) && prefix_overlaps(&net, &one));
    assert_true(prefix_overlaps(&both, &net) && prefix_overlaps(&both, &next));
    assert_false(prefix_overlaps(&net, &next) || prefix_overlaps(&one, &next));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address_text),   cmocka_unit_test(test_address_refused),
        cmocka_unit_test(test_mapped_is_ipv4), cmocka_unit_test(test_order),
        cmocka_unit_test(test_kinds),          cmocka_unit_test(test_endpoint_text),
        cmocka_unit_test(test_relay_channels), cmocka_unit_test(test_sockaddr),
        cmocka_unit_test(test_prefix),         cmocka_unit_test(test_prefix_ends),
        cmocka_unit_test(test_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
