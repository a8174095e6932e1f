/* Key exchange in every group against RFC 7748 and values computed apart from the code, and the
 * refusal of public values that are none. */
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
        uint8_t peer[32], expected[32];
        struct kex_secret secret;
        kex = (struct kex){.group = KEX_X25519, .public_len = 32};
        assert_int_equal(vector_hex(&c, "private", kex.private_key, 32), 32);
        assert_int_equal(vector_hex(&c, "public", peer, 32), 32);
        assert_int_equal(vector_hex(&c, "secret", expected, 32), 32);
        assert_int_equal(kex_derive(&kex, peer, 32, &secret), ERR_OK);
        assert_int_equal(secret.len, 32);
        assert_memory_equal(secret.bytes, expected, 32);
    }
    fclose(in);
    assert_int_equal(cases, 4);
}

static void test_other_groups(void **state)
{
    struct vector_case c = {0};
    FILE *in = vectors_open("kex.txt");
    int cases = 0;

    for (; vectors_next(in, &c); cases++) {
        struct kex kex = {.group = (enum kex_group)vector_number(&c, "case")};
        uint8_t peer[KEX_PUBLIC_MAX + 1], expected[KEX_SECRET_MAX];
        struct kex_secret secret = {0};
        kex.public_len = kex_public_len(kex.group);
        vector_hex(&c, "private", kex.private_key, sizeof(kex.private_key));
        const size_t len = vector_hex(&c, "public", peer, sizeof(peer));
        assert_int_equal(vector_hex(&c, "own", kex.public_key, sizeof(kex.public_key)), len);
        assert_int_equal(len, kex.public_len);
        const size_t secret_len = vector_hex(&c, "secret", expected, sizeof(expected));
        assert_int_equal(kex_derive(&kex, peer, len, &secret), ERR_OK);
        assert_int_equal(secret.len, secret_len);
        assert_memory_equal(secret.bytes, expected, secret_len);
        /* neither shorter nor longer ones */
        secret.len = 0;
        assert_int_equal(kex_derive(&kex, peer, len - 1, &secret), ERR_INVALID);
        assert_int_equal(kex_derive(&kex, peer, len + 1, &secret), ERR_INVALID);
        assert_int_equal(secret.len, 0);
    }
    fclose(in);
    assert_int_equal(cases, 4);
}

static const enum kex_group every_group[] = {KEX_X25519, KEX_ECP256, KEX_ECP384, KEX_MODP2048,
                                             KEX_MODP3072};

static void test_exchange(void **state)
{
    static const struct kex zero;

    for (size_t i = 0; i < KEX_GROUP_COUNT; i++) {
        struct kex a, b;
        struct kex_secret secret_a, secret_b;
        assert_true(kex_is_known(every_group[i]));
        assert_int_equal(kex_init(&a, every_group[i]), ERR_OK);
        assert_int_equal(kex_init(&b, every_group[i]), ERR_OK);
        assert_int_equal(a.public_len, kex_public_len(every_group[i]));
        assert_memory_not_equal(a.public_key, b.public_key, 32);
        assert_int_equal(kex_derive(&a, b.public_key, b.public_len, &secret_a), ERR_OK);
        assert_int_equal(kex_derive(&b, a.public_key, a.public_len, &secret_b), ERR_OK);
        assert_int_equal(secret_a.len, secret_b.len);
        assert_memory_equal(secret_a.bytes, secret_b.bytes, secret_a.len);
        kex_done(&a);
        kex_done(&b);
        assert_memory_equal(&a, &zero, sizeof(a));
    }
    kex_done(NULL);
    struct kex none;
    assert_int_equal(kex_init(&none, (enum kex_group)2), ERR_UNSUPPORTED);
    assert_false(kex_is_known(0) || kex_is_known(2));
}

/* Off the curve, the point at infinity, not reduced: every such point would tell of our key. */
static void test_bad_points(void **state)
{
    static const enum kex_group curves[] = {KEX_ECP256, KEX_ECP384};

    for (size_t i = 0; i < 2; i++) {
        struct kex a, b;
        struct kex_secret secret;
        uint8_t peer[96];
        assert_int_equal(kex_init(&a, curves[i]), ERR_OK);
        assert_int_equal(kex_init(&b, curves[i]), ERR_OK);
        for (size_t bit = 0; bit < 8 * b.public_len; bit += 7) {
            memcpy(peer, b.public_key, b.public_len);
            peer[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(kex_derive(&a, peer, b.public_len, &secret), ERR_INVALID);
        }
        memset(peer, 0, sizeof(peer));
        assert_int_equal(kex_derive(&a, peer, b.public_len, &secret), ERR_INVALID);
        memset(peer, 0xff, sizeof(peer));
        assert_int_equal(kex_derive(&a, peer, b.public_len, &secret), ERR_INVALID);
    }
}

static void test_bad_numbers(void **state)
{
    static const enum kex_group groups[] = {KEX_MODP2048, KEX_MODP3072};

    for (size_t i = 0; i < 2; i++) {
        struct kex a;
        struct kex_secret secret;
        uint8_t peer[KEX_PUBLIC_MAX];
        assert_int_equal(kex_init(&a, groups[i]), ERR_OK);
        const size_t len = a.public_len;
        memset(peer, 0, sizeof(peer));
        assert_int_equal(kex_derive(&a, peer, len, &secret), ERR_INVALID);
        peer[len - 1] = 1;
        assert_int_equal(kex_derive(&a, peer, len, &secret), ERR_INVALID);
        peer[len - 1] = 2;
        assert_int_equal(kex_derive(&a, peer, len, &secret), ERR_OK);
        assert_memory_equal(secret.bytes, a.public_key, len);
        memset(peer, 0xff, sizeof(peer)); /* above the prime */
        assert_int_equal(kex_derive(&a, peer, len, &secret), ERR_INVALID);
    }
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
    assert_int_equal(kex_init(&kex, KEX_X25519), ERR_OK);
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        uint8_t peer[32];
        struct kex_secret secret = {.bytes = {0xaa}};
        struct vector_case c = {.count = 1, .names = {(char *)(uintptr_t) "p"}, .values = {NULL}};
        c.values[0] = (char *)(uintptr_t)points[i];
        assert_int_equal(vector_hex(&c, "p", peer, 32), 32);
        assert_int_equal(kex_derive(&kex, peer, 32, &secret), ERR_INVALID);
        assert_int_equal(secret.bytes[0], 0xaa);
    }
    kex_done(&kex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),     cmocka_unit_test(test_other_groups),
        cmocka_unit_test(test_exchange),    cmocka_unit_test(test_bad_points),
        cmocka_unit_test(test_bad_numbers), cmocka_unit_test(test_small_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
