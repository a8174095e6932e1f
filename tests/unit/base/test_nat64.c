/* RFC 6052 addresses, and prefixes from answers for ipv4only.arpa. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/nat64.h"

static struct address address_of(const char *text)
{
    struct address a;
    assert_int_equal(address_parse(text, &a), ERR_OK);
    return a;
}

static struct prefix prefix_of(const char *text)
{
    struct prefix p;
    assert_int_equal(prefix_parse(text, &p), ERR_OK);
    return p;
}

/* RFC 6052, 2.4, and the well-known prefix; the last one with a prefix of zeroes behind bit 40. */
static const struct {
    const char *prefix, *ipv4, *ipv6;
} examples[] = {
    {"2001:db8::/32", "192.0.2.33", "2001:db8:c000:221::"},
    {"2001:db8:100::/40", "192.0.2.33", "2001:db8:1c0:2:21::"},
    {"2001:db8:122::/48", "192.0.2.33", "2001:db8:122:c000:2:2100::"},
    {"2001:db8:122:300::/56", "192.0.2.33", "2001:db8:122:3c0:0:221::"},
    {"2001:db8:122:344::/64", "192.0.2.33", "2001:db8:122:344:c0:2:2100::"},
    {"2001:db8:122:344::/96", "192.0.2.33", "2001:db8:122:344::192.0.2.33"},
    {"64:ff9b::/96", "192.0.2.33", "64:ff9b::192.0.2.33"},
    {"64:ff9b:1::/48", "203.0.113.7", "64:ff9b:1:cb00:71:700::"},
};

static void test_examples(void **state)
{
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        const struct prefix prefix = prefix_of(examples[i].prefix);
        const struct address ipv4 = address_of(examples[i].ipv4);
        struct address out;
        char text[ADDRESS_TEXT_CAP];
        assert_true(nat64_prefix_is_valid(&prefix));
        assert_int_equal(nat64_embed(&prefix, &ipv4, &out), ERR_OK);
        const struct address want = address_of(examples[i].ipv6);
        assert_true(address_is_equal(&out, &want));
        assert_int_equal(nat64_extract(&prefix, &want, &out), ERR_OK);
        assert_string_equal(address_format(&out, text, sizeof text), examples[i].ipv4);
        /* What is behind the address is ignored; what must be zero is not. */
        struct address other = want;
        if (prefix.bits < 96) {
            other.bytes[15] ^= 1;
            assert_int_equal(nat64_extract(&prefix, &other, &out), ERR_OK);
            other.bytes[8] = 1;
            assert_int_equal(nat64_extract(&prefix, &other, &out), ERR_NOT_FOUND);
        }
        other = want;
        other.bytes[0] ^= 1;
        assert_int_equal(nat64_extract(&prefix, &other, &out), ERR_NOT_FOUND);
        assert_int_equal(nat64_extract(&prefix, &ipv4, &out), ERR_NOT_FOUND);
        assert_int_equal(nat64_embed(&prefix, &want, &out), ERR_INVALID);
    }
}

static void test_what_is_never_embedded(void **state)
{
    static const char *const addresses[] = {
        "0.0.0.1",     "0.0.0.0",    "10.0.0.1",  "127.0.0.1", "169.254.0.1",    "172.16.0.1",
        "192.168.1.1", "100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"};
    const struct prefix prefix = prefix_of("2001:db8:64::/96");
    struct address out = {0};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        const struct address ipv4 = address_of(addresses[i]);
        assert_int_equal(nat64_embed(&prefix, &ipv4, &out), ERR_REFUSED);
    }
    assert_int_equal(out.family, ADDRESS_NONE);
}

static void test_what_is_no_prefix(void **state)
{
    static const char *const prefixes[] = {
        "::/96",          "::ffff:0:0:0/96",      "fe80::/64", "ff0e::/32",
        "2002:c000::/32", "2001:20::/32",         "2001::/32", "2001:db8::/33",
        "2001:db8::/128", "2001:db8:0:0:100::/96"};
    const struct address ipv4 = address_of("192.0.2.33");
    struct address out;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        const struct prefix prefix = prefix_of(prefixes[i]);
        assert_false(nat64_prefix_is_valid(&prefix));
        assert_int_equal(nat64_embed(&prefix, &ipv4, &out), ERR_INVALID);
    }
    struct prefix odd = prefix_of("2001:db8::/32");
    odd.address.bytes[15] = 1;
    assert_false(nat64_prefix_is_valid(&odd));
}

static void discover(const char *const *answers, struct nat64_prefixes *ret_prefixes)
{
    struct address addresses[16];
    size_t count = 0;
    for (; answers[count] != NULL; count++)
        addresses[count] = address_of(answers[count]);
    nat64_discover(addresses, count, ret_prefixes);
}

static void test_discovery_of_every_length(void **state)
{
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        const struct prefix prefix = prefix_of(examples[i].prefix);
        for (const char *const *wka = (const char *const[]){"192.0.0.170", "192.0.0.171", NULL};
             *wka != NULL; wka++) {
            const struct address ipv4 = address_of(*wka);
            struct address answer, out;
            struct nat64_prefixes found;
            assert_int_equal(nat64_embed(&prefix, &ipv4, &answer), ERR_OK);
            nat64_discover(&answer, 1, &found);
            assert_int_equal(found.count, 1);
            assert_int_equal(found.items[0].bits, prefix.bits);
            assert_true(address_is_equal(&found.items[0].address, &prefix.address));
            assert_int_equal(nat64_extract_any(&found, &answer, &out), ERR_OK);
            assert_true(address_is_equal(&out, &ipv4));
        }
    }
}

static void test_discovery(void **state)
{
    struct nat64_prefixes found;
    char text[PREFIX_TEXT_CAP];
    discover((const char *const[]){"64:ff9b::192.0.0.170", "64:ff9b::192.0.0.171",
                                   "2001:db8:64::192.0.0.171", "2001:db8::1", NULL},
             &found);
    assert_int_equal(found.count, 2);
    assert_string_equal(prefix_format(&found.items[0], text, sizeof text), "64:ff9b::/96");
    assert_string_equal(prefix_format(&found.items[1], text, sizeof text), "2001:db8:64::/96");
    /* A captive portal's or a liar's answers: nothing, or nothing that leads anywhere at home. */
    discover((const char *const[]){"2001:db8::1", "::192.0.0.170", "::ffff:192.0.0.170",
                                   "fe80::192.0.0.170", "ff0e::192.0.0.170",
                                   "2002:c000:aa::192.0.0.170", "2001:0::192.0.0.170",
                                   "2001:20::192.0.0.170", "192.0.0.170", NULL},
             &found);
    assert_int_equal(found.count, 0);
    /* At two places at once. */
    discover((const char *const[]){"2001:db8:c000:aa::192.0.0.170", NULL}, &found);
    assert_int_equal(found.count, 0);
    /* Many: as many as are kept. */
    discover((const char *const[]){"2001:db8:1::192.0.0.170", "2001:db8:2::192.0.0.170",
                                   "2001:db8:3::192.0.0.170", "2001:db8:4::192.0.0.170",
                                   "2001:db8:5::192.0.0.170", NULL},
             &found);
    assert_int_equal(found.count, NAT64_PREFIXES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),          cmocka_unit_test(test_what_is_never_embedded),
        cmocka_unit_test(test_what_is_no_prefix), cmocka_unit_test(test_discovery_of_every_length),
        cmocka_unit_test(test_discovery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
