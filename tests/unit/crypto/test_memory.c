/* Wiping, comparing, drawing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "crypto/memory.h"

static void test_wipe(void **state)
{
    uint8_t secret[33];
    memset(secret, 0xa5, sizeof(secret));
    crypto_wipe(secret, 32);
    for (size_t i = 0; i < 32; i++)
        assert_int_equal(secret[i], 0);
    assert_int_equal(secret[32], 0xa5);
    crypto_wipe(NULL, 0);
}

static void test_is_equal(void **state)
{
    uint8_t a[32], b[32];
    memset(a, 7, sizeof(a));
    memset(b, 7, sizeof(b));
    assert_true(crypto_is_equal(a, b, sizeof(a)));
    assert_true(crypto_is_equal(a, b, 0));
    for (size_t bit = 0; bit < sizeof(b) * 8; bit++) {
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(crypto_is_equal(a, b, sizeof(a)));
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void test_random(void **state)
{
    uint8_t a[64] = {0}, b[64] = {0};
    assert_int_equal(crypto_random(a, sizeof(a)), ERR_OK);
    assert_int_equal(crypto_random(b, sizeof(b)), ERR_OK);
    assert_memory_not_equal(a, b, sizeof(a));
    assert_int_equal(crypto_random(a, 0), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_is_equal),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
