/* Traffic selectors: what they cover, and what two of them have in common. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/selector.h"

static struct address address_of(const char *text)
{
    struct address a;
    assert_int_equal(address_parse(text, &a), ERR_OK);
    return a;
}

static struct ike_selector range(const char *first, const char *last)
{
    const struct address a = address_of(first), b = address_of(last);
    return selector_of(&a, &b);
}

static void test_ranges(void **state)
{
    const struct ike_selector s = range("10.1.0.0", "10.1.0.255");
    static const char *const in[] = {"10.1.0.0", "10.1.0.9", "10.1.0.255"};
    static const char *const out[] = {"10.0.255.255", "10.1.1.0", "255.255.255.255", "0.0.0.0",
                                      "a01:0:0:0::"};
    for (size_t i = 0; i < 3; i++) {
        const struct address a = address_of(in[i]);
        assert_true(selector_holds(&s, &a));
    }
    for (size_t i = 0; i < 5; i++) {
        const struct address a = address_of(out[i]);
        assert_false(selector_holds(&s, &a));
    }
}

static void test_ports(void **state)
{
    static const uint8_t segment[8] = {0, 22, 0x1f, 0x90}; /* 22 to 8080 */
    struct ip_view v = {.version = 4,
                        .src = address_of("10.0.0.1"),
                        .dst = address_of("10.0.0.2"),
                        .protocol = IP_TCP,
                        .payload = segment,
                        .payload_len = sizeof(segment)};
    struct selectors s = {.count = 1, .list = {range("10.0.0.0", "10.0.0.255")}};
    assert_true(selectors_cover(&s, &v, true) && selectors_cover(&s, &v, false));
    assert_true(selectors_hold(&s, &v.src));
    s.list[0].protocol = IP_UDP;
    assert_false(selectors_cover(&s, &v, true));
    assert_false(selectors_hold(&s, &v.src));
    s.list[0].protocol = IP_TCP;
    s.list[0].port_first = 22;
    s.list[0].port_last = 23;
    assert_true(selectors_cover(&s, &v, true));
    assert_false(selectors_cover(&s, &v, false));
    v.fragment_offset = 8; /* has no ports */
    assert_false(selectors_cover(&s, &v, true));
    v.fragment_offset = 0;
    v.payload_len = 3;
    assert_false(selectors_cover(&s, &v, true));
    v.payload_len = 8;
    v.protocol = s.list[0].protocol = IP_ICMP; /* nor has this */
    assert_false(selectors_cover(&s, &v, true));
    s.count = 0;
    assert_false(selectors_cover(&s, &v, true));
}

static void test_intersection(void **state)
{
    struct ike_selector a = range("10.0.0.10", "10.0.0.20"), b = range("10.0.0.15", "10.0.0.99");
    const struct ike_selector other = range("2001:db8::", "2001:db8::ff");
    struct selectors s = {0};
    a.protocol = IP_TCP;
    b.port_first = 80;
    selectors_intersect(&a, &b, &s);
    assert_int_equal(s.count, 1);
    assert_int_equal(s.list[0].protocol, IP_TCP);
    assert_int_equal(s.list[0].port_first, 80);
    assert_int_equal(s.list[0].port_last, 65535);
    assert_int_equal(s.list[0].first.bytes[3], 15);
    assert_int_equal(s.list[0].last.bytes[3], 20);
    selectors_intersect(&a, &other, &s);
    b.protocol = IP_UDP;
    selectors_intersect(&a, &b, &s);
    b.protocol = 0;
    b.first.bytes[3] = 21;
    selectors_intersect(&a, &b, &s);
    assert_int_equal(s.count, 1);
    for (int i = 0; i < 9; i++)
        selectors_intersect(&a, &a, &s);
    assert_int_equal(s.count, SELECTORS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_intersection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
