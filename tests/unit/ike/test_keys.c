/* Key derivation and sealing against values computed apart from the code; the vectors' file holds
 * the script that made them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those above. */
#include <cmocka.h>

#include "ike/keys.h"
#include "vectors.h"

#define SPI_I 0x0123456789abcdefu
#define SPI_R 0xfedcba9876543210u

static uint8_t secret[KEX_SECRET_LEN], secret2[KEX_SECRET_LEN], ni[32], nr[48];

static struct ike_nonces inputs(void)
{
    for (uint8_t i = 0; i < KEX_SECRET_LEN; i++) {
        secret[i] = i;
        secret2[i] = (uint8_t)(100 + i);
    }
    memset(ni, 0x11, sizeof(ni));
    memset(nr, 0x22, sizeof(nr));
    return (struct ike_nonces){ni, sizeof(ni), nr, sizeof(nr)};
}

static void expect(const struct vector_case *c, const char *name, const uint8_t *actual)
{
    uint8_t bytes[128];
    size_t len = vector_hex(c, name, bytes, sizeof(bytes));
    assert_memory_equal(actual, bytes, len);
}

static void expect_keys(const struct vector_case *c, const struct ike_keys *keys)
{
    expect(c, "sk_d", keys->sk_d);
    expect(c, "sk_ei", keys->sk_ei);
    expect(c, "sk_er", keys->sk_er);
    expect(c, "sk_pi", keys->sk_pi);
    expect(c, "sk_pr", keys->sk_pr);
}

static void check_message(const struct vector_case *c, const struct ike_keys *keys)
{
    static const uint8_t plain[] = {0, 0, 0, 8, 0, 0, 0x40, 0x09};
    uint8_t sealed[128], message[128];
    uint8_t first;
    const uint8_t *data;
    size_t data_len;

    size_t len = vector_hex(c, "message", sealed, sizeof(sealed));
    memcpy(message, sealed, len);
    assert_int_equal(ike_keys_open(keys, true, message, len, &first, &data, &data_len), ERR_OK);
    assert_int_equal(first, 41);
    assert_int_equal(data_len, sizeof(plain));
    assert_memory_equal(data, plain, sizeof(plain));
    /* sealed anew: the same bytes */
    assert_int_equal(ike_keys_seal(keys, true, 9, message, len), ERR_OK);
    assert_memory_equal(message, sealed, len);
    /* the other direction's key, and every bit flipped */
    assert_int_equal(ike_keys_open(keys, false, message, len, &first, &data, &data_len), ERR_AUTH);
    for (size_t bit = 0; bit < len * 8; bit++) {
        memcpy(message, sealed, len);
        message[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(ike_keys_open(keys, true, message, len, &first, &data, &data_len),
                             ERR_OK);
    }
    for (size_t cut = 0; cut < len; cut++) {
        memcpy(message, sealed, len);
        assert_int_not_equal(ike_keys_open(keys, true, message, cut, &first, &data, &data_len),
                             ERR_OK);
    }
}

static void check_child(const struct vector_case *c, const struct ike_keys *keys,
                        const struct ike_nonces *nonces)
{
    uint8_t initiator[SUITE_KEY_CAP], responder[SUITE_KEY_CAP];
    enum suite suite;

    assert_int_equal(suite_parse(vector_text(c, "suite"), &suite), ERR_OK);
    assert_int_equal(strlen(vector_text(c, "initiator")), 2 * suite_key_len(suite));
    assert_int_equal(ike_keys_child(keys, vector_number(c, "pfs") ? secret2 : NULL, nonces, suite,
                                    initiator, responder),
                     ERR_OK);
    expect(c, "initiator", initiator);
    expect(c, "responder", responder);
}

static void test_vectors(void **state)
{
    static const struct {
        const char *name;
        enum ike_cipher cipher;
    } ciphers[] = {
        {"gcm128", IKE_CIPHER_AES128_GCM},
        {"gcm256", IKE_CIPHER_AES256_GCM},
        {"chacha", IKE_CIPHER_CHACHA20_POLY1305},
    };
    struct ike_nonces nonces = inputs();
    struct ike_keys keys, rekeyed;
    struct vector_case c = {0};
    FILE *file = vectors_open("ike-keys.txt");
    unsigned count = 0;

    while (vectors_next(file, &c)) {
        const char *name = vector_text(&c, "case");
        for (size_t i = 0; i < 3; i++) {
            if (strcmp(name, ciphers[i].name) != 0)
                continue;
            assert_int_equal(
                ike_keys_derive(ciphers[i].cipher, secret, &nonces, SPI_I, SPI_R, &keys), ERR_OK);
            expect_keys(&c, &keys);
            check_message(&c, &keys);
            count++;
        }
        if (strcmp(name, "rekey") == 0) {
            assert_int_equal(ike_keys_rekey(IKE_CIPHER_AES256_GCM, &keys, secret2, &nonces, SPI_R,
                                            SPI_I, &rekeyed),
                             ERR_OK);
            expect_keys(&c, &rekeyed);
            count++;
        }
        if (strcmp(name, "child") == 0) {
            check_child(&c, &keys, &nonces);
            count++;
        }
    }
    assert_int_equal(count, 3 + 1 + 8);
    fclose(file);
    ike_keys_wipe(&keys);
    for (size_t i = 0; i < sizeof(keys); i++)
        assert_int_equal(((const uint8_t *)&keys)[i], 0);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
