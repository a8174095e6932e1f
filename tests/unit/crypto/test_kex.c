/* X25519 against RFC 7748, and the refusal of points of small order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "crypto/kex.h"
#include "vectors.h"

static void test_vectors(void **state)
{
    struct vector_case c = {0};
    FILE *in = vectors_open("x25519.txt");
    int cases = 0;

    for (; vectors_next(in, &c); cases++) {
        struct kex kex;
        uint8_t peer[32], expected[32], secret[32];
        memset(&kex, 0, sizeof(kex));
        assert_int_equal(vector_hex(&c, "private", kex.private_key, 32), 32);
        assert_int_equal(vector_hex(&c, "public", peer, 32), 32);
        assert_int_equal(vector_hex(&c, "secret", expected, 32), 32);
        assert_int_equal(kex_derive(&kex, peer, secret), ERR_OK);
        assert_memory_equal(secret, expected, 32);
    }
    fclose(in);
    assert_int_equal(cases, 4);
}

static void test_exchange(void **state)
{
    static const struct kex zero;
    struct kex a, b;
    uint8_t secret_a[32], secret_b[32];

    assert_int_equal(kex_init(&a), ERR_OK);
    assert_int_equal(kex_init(&b), ERR_OK);
    assert_memory_not_equal(a.public_key, b.public_key, 32);
    assert_int_equal(kex_derive(&a, b.public_key, secret_a), ERR_OK);
    assert_int_equal(kex_derive(&b, a.public_key, secret_b), ERR_OK);
    assert_memory_equal(secret_a, secret_b, 32);
    kex_done(&a);
    kex_done(&b);
    assert_memory_equal(&a, &zero, sizeof(a));
    kex_done(NULL);
}

static void test_small_orders(void **state)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    struct kex kex;
    assert_int_equal(kex_init(&kex), ERR_OK);
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        uint8_t peer[32], secret[32] = {0xaa};
        struct vector_case c = {.count = 1, .names = {(char *)(uintptr_t) "p"}, .values = {NULL}};
        c.values[0] = (char *)(uintptr_t)points[i];
        assert_int_equal(vector_hex(&c, "p", peer, 32), 32);
        assert_int_equal(kex_derive(&kex, peer, secret), ERR_INVALID);
        assert_int_equal(secret[0], 0xaa);
    }
    kex_done(&kex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_small_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
