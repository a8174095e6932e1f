/* Twins of pool addresses: there and back, and nobody else's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "names/pool_ipv6.h"

static void test_twins(void **state)
{
    const struct prefix prefix = pool_ipv6_prefix();
    const struct address ipv4 = address_from_ipv4(0x00010256);
    struct address twin = pool_ipv6_of(&ipv4), back;
    char text[PREFIX_TEXT_CAP];
    assert_string_equal(prefix_format(&prefix, text, sizeof(text)), "fd64:6574:6563::/96");
    assert_string_equal(address_format(&twin, text, sizeof(text)), "fd64:6574:6563::1:256");
    assert_true(pool_ipv6_to_ipv4(&twin, &back));
    assert_true(address_is_equal(&back, &ipv4));
    assert_false(pool_ipv6_to_ipv4(&ipv4, &back));
    for (unsigned bit = 0; bit < 96; bit++) {
        struct address other = twin;
        other.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        assert_false(pool_ipv6_to_ipv4(&other, &back));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_twins)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
