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

static struct kex_secret secret, secret2;
static uint8_t ni[32], nr[48];

static struct ike_nonces inputs(void)
{
    secret.len = secret2.len = 32;
    for (uint8_t i = 0; i < 32; i++) {
        secret.bytes[i] = i;
        secret2.bytes[i] = (uint8_t)(100 + i);
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
    static const char *const names[] = {"sk_d",  "sk_ai", "sk_ar", "sk_ei",
                                        "sk_er", "sk_pi", "sk_pr"};

    for (unsigned i = 0; i < 7; i++) {
        size_t len;
        const uint8_t *part = ike_keys_part(keys, (enum ike_key_part)i, &len);
        if (len > 0) {
            assert_int_equal(strlen(vector_text(c, names[i])), 2 * len);
            expect(c, names[i], part);
        }
    }
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
    assert_int_equal(ike_keys_child(keys, vector_number(c, "pfs") ? &secret2 : NULL, nonces, suite,
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
    struct ike_keys keys = {.material = NULL}, rekeyed;
    struct vector_case c = {0};
    FILE *file = vectors_open("ike-keys.txt");
    unsigned count = 0;

    while (vectors_next(file, &c)) {
        const char *name = vector_text(&c, "case");
        for (size_t i = 0; i < 3; i++) {
            if (strcmp(name, ciphers[i].name) != 0)
                continue;
            const struct ike_algorithms a = {.cipher = ciphers[i].cipher, .prf = HASH_SHA256};
            ike_keys_wipe(&keys);
            assert_int_equal(ike_keys_derive(&a, &secret, &nonces, SPI_I, SPI_R, &keys), ERR_OK);
            expect_keys(&c, &keys);
            check_message(&c, &keys);
            count++;
        }
        if (strcmp(name, "rekey") == 0) {
            const struct ike_algorithms a = {.cipher = IKE_CIPHER_AES256_GCM, .prf = HASH_SHA256};
            assert_int_equal(ike_keys_rekey(&a, &keys, &secret2, &nonces, SPI_R, SPI_I, &rekeyed),
                             ERR_OK);
            expect_keys(&c, &rekeyed);
            ike_keys_wipe(&rekeyed);
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

static enum hash_algorithm hash_of(unsigned len)
{
    return len == 32 ? HASH_SHA256 : len == 48 ? HASH_SHA384 : HASH_SHA512;
}

/* Padding that is longer than what it pads, under a good ICV: refused, not read. */
static void check_padding(const struct ike_keys *keys)
{
    static const uint8_t pads[] = {0, 15, 16, 17, 255};

    for (size_t i = 0; i < sizeof(pads); i++) {
        uint8_t message[256];
        struct writer w;
        struct ike_builder b;
        const struct ike_header header = {.major_version = 2, .exchange = 37};
        writer_init(&w, message, sizeof(message));
        ike_build_begin(&b, &w, &header);
        ike_build_sk(&b, ike_keys_iv_len(keys), ike_keys_block_len(keys));
        writer_zero(&w, 15);
        ike_build_end(&b, ike_keys_tag_len(keys));
        message[b.sealed_at + 15] = pads[i];
        assert_int_equal(ike_keys_seal(keys, true, 0, message, w.len), ERR_OK);
        uint8_t first;
        const uint8_t *data;
        size_t len;
        assert_int_equal(ike_keys_open(keys, true, message, w.len, &first, &data, &len),
                         pads[i] <= 15 ? ERR_OK : ERR_INVALID);
        if (pads[i] <= 15)
            assert_int_equal(len, 15 - pads[i]);
    }
}

static void test_cbc_vectors(void **state)
{
    static const uint8_t plain[] = {0, 0, 0, 8, 0, 0, 0x40, 0x09};
    const struct ike_nonces nonces = inputs();
    struct vector_case c = {0};
    FILE *file = vectors_open("ike-keys-cbc.txt");
    unsigned count = 0;

    for (; vectors_next(file, &c); count++) {
        const struct ike_algorithms a = {
            .cipher =
                vector_number(&c, "key") == 32 ? IKE_CIPHER_AES256_CBC : IKE_CIPHER_AES128_CBC,
            .prf = hash_of((unsigned)vector_number(&c, "prf")),
            .integ = hash_of((unsigned)vector_number(&c, "integ")),
        };
        struct ike_keys keys;
        uint8_t sealed[256], message[256], key_i[SUITE_KEY_CAP], key_r[SUITE_KEY_CAP], child[48];
        uint8_t first;
        const uint8_t *data;
        size_t data_len;

        assert_int_equal(ike_keys_derive(&a, &secret, &nonces, SPI_I, SPI_R, &keys), ERR_OK);
        expect_keys(&c, &keys);
        assert_int_equal(vector_hex(&c, "child", child, sizeof(child)), 48);
        assert_int_equal(ike_keys_child(&keys, &secret2, &nonces, SPUT_AES128_GCM, key_i, key_r),
                         ERR_OK);
        assert_memory_equal(key_i, child, 24);
        assert_memory_equal(key_r, child + 24, 24);

        const size_t len = vector_hex(&c, "message", sealed, sizeof(sealed));
        memcpy(message, sealed, len);
        assert_int_equal(ike_keys_open(&keys, true, message, len, &first, &data, &data_len),
                         ERR_OK);
        assert_int_equal(first, 41);
        assert_int_equal(data_len, sizeof(plain));
        assert_memory_equal(data, plain, sizeof(plain));
        /* sealed anew: another IV each time, and it opens */
        assert_int_equal(ike_keys_seal(&keys, true, 0, message, len), ERR_OK);
        assert_memory_not_equal(message + 32, sealed + 32, 16);
        assert_int_equal(ike_keys_open(&keys, true, message, len, &first, &data, &data_len),
                         ERR_OK);
        memcpy(message, sealed, len);
        assert_int_equal(ike_keys_open(&keys, false, message, len, &first, &data, &data_len),
                         ERR_AUTH);
        for (size_t bit = 0; bit < len * 8; bit++) {
            memcpy(message, sealed, len);
            message[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_not_equal(ike_keys_open(&keys, true, message, len, &first, &data, &data_len),
                                 ERR_OK);
        }
        for (size_t cut = 0; cut < len; cut++) {
            memcpy(message, sealed, len);
            assert_int_not_equal(ike_keys_open(&keys, true, message, cut, &first, &data, &data_len),
                                 ERR_OK);
        }
        check_padding(&keys);
        ike_keys_wipe(&keys);
    }
    assert_int_equal(count, 3);
    fclose(file);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors),
                                       cmocka_unit_test(test_cbc_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
