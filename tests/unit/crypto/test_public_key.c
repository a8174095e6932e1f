/* Public keys: texts, SubjectPublicKeyInfo, labels, and the keys under which nothing may verify. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "crypto/hash.h"
#include "crypto/identity.h"

static void test_text(void **state)
{
    struct public_key key, again;
    char text[PUBLIC_KEY_TEXT_CAP];
    for (size_t i = 0; i < sizeof(key.bytes); i++)
        key.bytes[i] = (uint8_t)(i * 7);
    assert_int_equal(strlen(public_key_format(&key, text)), 44);
    assert_int_equal(public_key_parse(text, &again), ERR_OK);
    assert_true(public_key_is_equal(&key, &again));
    for (size_t cut = 0; cut < 44; cut++) {
        char part[PUBLIC_KEY_TEXT_CAP];
        memcpy(part, text, cut);
        part[cut] = '\0';
        assert_int_equal(public_key_parse(part, &again), ERR_INVALID);
    }
    char longer[60];
    snprintf(longer, sizeof(longer), "%s====", text);
    assert_int_equal(public_key_parse(longer, &again), ERR_INVALID);
    assert_int_equal(public_key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &again),
                     ERR_INVALID);
}

static void test_spki(void **state)
{
    struct public_key key = {{1, 2, 3}}, again = {{9}};
    uint8_t der[PUBLIC_KEY_SPKI_LEN + 1] = {0};
    public_key_to_spki(&key, der);
    assert_int_equal(public_key_from_spki(der, PUBLIC_KEY_SPKI_LEN, &again), ERR_OK);
    assert_true(public_key_is_equal(&key, &again));
    for (size_t len = 0; len <= sizeof(der); len++) {
        if (len != PUBLIC_KEY_SPKI_LEN)
            assert_int_not_equal(public_key_from_spki(der, len, &again), ERR_OK);
    }
    for (size_t bit = 0; bit < (size_t)12 * 8; bit++) {
        der[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(public_key_from_spki(der, PUBLIC_KEY_SPKI_LEN, &again),
                         bit < 8 ? ERR_INVALID : ERR_UNSUPPORTED);
        der[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void test_label(void **state)
{
    const struct public_key key = {{5}};
    const struct piece piece = {key.bytes, sizeof(key.bytes)};
    uint8_t digest[SHA256_LEN];
    char label[PUBLIC_KEY_LABEL_CAP], name[NAME_TEXT_CAP], all[BASE32_TEXT_CAP(SHA256_LEN)];
    assert_int_equal(strlen(public_key_label(&key, label)), 15);
    assert_memory_equal(label, "h-", 2);
    assert_int_equal(name_normalize(label, name), ERR_OK);
    assert_string_equal(name, label);
    assert_int_equal(sha256(&piece, 1, digest), ERR_OK);
    assert_true(base32_encode(digest, sizeof(digest), all, sizeof(all)) > 13);
    assert_memory_equal(label + 2, all, 13);
}

/* Under the identity point, R = identity and S = 0 "sign" every message: the equation holds. */
static void test_small_orders(void **state)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    };
    const uint8_t signature[SIGNATURE_LEN] = {1};
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        struct public_key key;
        assert_int_equal(hex_decode(points[i], key.bytes, sizeof(key.bytes)), 32);
        for (int message = 0; message < 64; message++) /* one in at most 8 would hold otherwise */
            assert_int_equal(public_key_verify(&key, &message, sizeof(message), signature),
                             ERR_AUTH);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_spki),
        cmocka_unit_test(test_label),
        cmocka_unit_test(test_small_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
