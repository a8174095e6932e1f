/* The order in which a service's addresses are tried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "names/lookup.h"

static void add(struct lookup_addresses *addresses, const char *text)
{
    assert_int_equal(address_parse(text, &addresses->items[addresses->count++]), ERR_OK);
}

static void expect(const struct endpoint *order, size_t count, const char *const *wanted)
{
    char text[ENDPOINT_TEXT_CAP];
    size_t i = 0;
    for (; wanted[i] != NULL; i++) {
        assert_true(i < count);
        assert_string_equal(endpoint_format(&order[i], text, sizeof text), wanted[i]);
    }
    assert_int_equal(count, i);
}

static void test_families_take_turns(void **state)
{
    struct lookup_target target = {.port = 4500};
    struct endpoint order[8];
    for (int i = 1; i <= 3; i++) {
        char text[ADDRESS_TEXT_CAP];
        snprintf(text, sizeof text, "2001:db8::%d", i);
        add(&target.ipv6, text);
    }
    add(&target.ipv4, "203.0.113.1");
    expect(order, lookup_order(&target, 1, order, 8),
           (const char *const[]){"[2001:db8::1]:4500", "203.0.113.1:4500", "[2001:db8::2]:4500",
                                 "[2001:db8::3]:4500", NULL});
    expect(order, lookup_order(&target, 1, order, 2),
           (const char *const[]){"[2001:db8::1]:4500", "203.0.113.1:4500", NULL});
    target.ipv6.count = 0;
    expect(order, lookup_order(&target, 1, order, 8),
           (const char *const[]){"203.0.113.1:4500", NULL});
}

static void test_targets_keep_their_order_and_share(void **state)
{
    struct lookup_target targets[3] = {{.port = 1}, {.port = 2}, {.port = 3}};
    struct endpoint order[8];
    for (int i = 1; i <= 16; i++) {
        char text[ADDRESS_TEXT_CAP];
        snprintf(text, sizeof text, "203.0.113.%d", i);
        add(&targets[0].ipv4, text);
        add(&targets[2].ipv4, text);
    }
    add(&targets[1].ipv4, "198.51.100.1");
    add(&targets[1].ipv6, "2001:db8::1");
    expect(order, lookup_order(targets, 3, order, 8),
           (const char *const[]){"203.0.113.1:1", "203.0.113.2:1", "[2001:db8::1]:2",
                                 "198.51.100.1:2", "203.0.113.1:3", "203.0.113.2:3",
                                 "203.0.113.3:3", "203.0.113.4:3", NULL});
}

static void test_the_same_twice(void **state)
{
    struct lookup_target targets[2] = {{.port = 4500}, {.port = 4500}};
    struct endpoint order[8];
    add(&targets[0].ipv4, "203.0.113.1");
    add(&targets[0].ipv4, "203.0.113.1");
    add(&targets[1].ipv4, "203.0.113.1");
    expect(order, lookup_order(targets, 2, order, 8),
           (const char *const[]){"203.0.113.1:4500", NULL});
    assert_int_equal(lookup_order(targets, 0, order, 8), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families_take_turns),
        cmocka_unit_test(test_targets_keep_their_order_and_share),
        cmocka_unit_test(test_the_same_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
