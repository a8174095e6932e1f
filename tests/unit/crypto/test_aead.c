/* AEAD against the published vectors, and what must be refused: every flipped bit, wrong nonce,
 * wrong associated data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "crypto/aead_backend.h"
#include "vectors.h"

struct message {
    enum aead_algorithm algorithm;
    uint8_t key[32], nonce[12], ad[64], plaintext[128], ciphertext[128], tag[16];
    size_t ad_len, len;
};

static bool next_message(FILE *in, struct vector_case *c, struct message *m)
{
    if (!vectors_next(in, c))
        return false;
    const char *name = vector_text(c, "algorithm");
    m->algorithm = strcmp(name, "aes128-gcm") == 0   ? AEAD_AES128_GCM
                   : strcmp(name, "aes256-gcm") == 0 ? AEAD_AES256_GCM
                                                     : AEAD_CHACHA20_POLY1305;
    assert_int_equal(vector_hex(c, "key", m->key, sizeof(m->key)), aead_key_len(m->algorithm));
    assert_int_equal(vector_hex(c, "nonce", m->nonce, sizeof(m->nonce)), AEAD_NONCE_LEN);
    m->ad_len = vector_hex(c, "ad", m->ad, sizeof(m->ad));
    m->len = vector_hex(c, "plaintext", m->plaintext, sizeof(m->plaintext));
    assert_int_equal(vector_hex(c, "ciphertext", m->ciphertext, sizeof(m->ciphertext)), m->len);
    assert_int_equal(vector_hex(c, "tag", m->tag, sizeof(m->tag)), AEAD_TAG_LEN);
    return true;
}

static void test_vectors(void **state)
{
    struct vector_case c = {0};
    struct message m;
    FILE *in = vectors_open("aead.txt");
    int cases = 0;

    for (; next_message(in, &c, &m); cases++) {
        struct aead *aead = NULL;
        uint8_t data[128], tag[16];
        assert_int_equal(aead_new(m.algorithm, m.key, &aead), ERR_OK);
        for (int round = 0; round < 3; round++) { /* the context is used again and both ways */
            memcpy(data, m.plaintext, m.len);
            assert_int_equal(aead_seal(aead, m.nonce, m.ad, m.ad_len, data, m.len, tag), ERR_OK);
            if (m.len > 0)
                assert_memory_equal(data, m.ciphertext, m.len);
            assert_memory_equal(tag, m.tag, sizeof(tag));
            assert_int_equal(aead_open(aead, m.nonce, m.ad, m.ad_len, data, m.len, tag), ERR_OK);
            if (m.len > 0)
                assert_memory_equal(data, m.plaintext, m.len);
        }
        aead_free(aead);
    }
    fclose(in);
    assert_int_equal(cases, 9);
}

/* aead_open() must wipe, aead_open_or_keep() must keep. */
static void check_refused(struct aead *aead, const struct message *m, size_t len)
{
    static const uint8_t zero[128];
    uint8_t data[128];

    memcpy(data, m->ciphertext, len);
    assert_int_equal(aead_open_or_keep(aead, m->nonce, m->ad, m->ad_len, data, len, m->tag),
                     ERR_AUTH);
    if (len > 0)
        assert_memory_equal(data, m->ciphertext, len);
    assert_int_equal(aead_open(aead, m->nonce, m->ad, m->ad_len, data, len, m->tag), ERR_AUTH);
    if (len > 0)
        assert_memory_equal(data, zero, len);
}

static void flip_all(struct aead *aead, const struct message *m, uint8_t *bytes, size_t len)
{
    for (size_t bit = 0; bit < len * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        check_refused(aead, m, m->len);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void test_forgeries(void **state)
{
    struct vector_case c = {0};
    struct message m;
    FILE *in = vectors_open("aead.txt");

    while (next_message(in, &c, &m)) {
        struct aead *aead = NULL;
        uint8_t data[128];
        assert_int_equal(aead_new(m.algorithm, m.key, &aead), ERR_OK);
        flip_all(aead, &m, m.ciphertext, m.len);
        flip_all(aead, &m, m.tag, sizeof(m.tag));
        flip_all(aead, &m, m.nonce, sizeof(m.nonce));
        flip_all(aead, &m, m.ad, m.ad_len);
        for (size_t len = 0; len < m.len; len++)
            check_refused(aead, &m, len);
        /* After all that the right one still opens. */
        memcpy(data, m.ciphertext, m.len);
        assert_int_equal(aead_open_or_keep(aead, m.nonce, m.ad, m.ad_len, data, m.len, m.tag),
                         ERR_OK);
        if (m.len > 0)
            assert_memory_equal(data, m.plaintext, m.len);
        aead_free(aead);
    }
    fclose(in);
}

/* Whichever library computes it: the same bytes, at every length. */
static void test_backends_agree(void **state)
{
    static const struct aead_backend *const backends[] = {&aead_libcrypto, &aead_ipsec_mb};
    uint8_t key[32], nonce[12] = {9, 8, 7}, ad[20];
    static uint8_t data[2][5000], plain[5000];
    unsigned compared = 0;

    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 31 + (i >> 5));
    memcpy(key, plain, sizeof(key));
    memcpy(ad, plain + 100, sizeof(ad));
    for (int algorithm = 0; algorithm < 3; algorithm++) {
        struct aead *aead[2] = {NULL, NULL};
        const enum aead_algorithm a = (enum aead_algorithm)algorithm;
        assert_true(aead_backend_is_right(&aead_libcrypto, a));
        assert_int_equal(aead_new_with(backends[0], a, key, &aead[0]), ERR_OK);
        const int error = aead_new_with(backends[1], a, key, &aead[1]);
        if (error == ERR_UNSUPPORTED) { /* not on this machine: nothing to compare with */
            assert_false(aead_backend_is_right(backends[1], a));
            aead_free(aead[0]);
            continue;
        }
        assert_int_equal(error, ERR_OK);
        assert_true(aead_backend_is_right(backends[1], a));
        for (size_t len = 0; len <= sizeof(plain); len += len < 300 ? 1 : 47) {
            uint8_t tags[2][16];
            for (int i = 0; i < 2; i++) {
                memcpy(data[i], plain, len);
                assert_int_equal(aead_seal(aead[i], nonce, ad, len % 21, data[i], len, tags[i]),
                                 ERR_OK);
            }
            assert_memory_equal(tags[0], tags[1], 16);
            assert_memory_equal(data[0], data[1], sizeof(plain));
            for (int i = 0; i < 2; i++) { /* each opens what the other has sealed */
                tags[i][len % 16] ^= 0x40;
                assert_int_equal(
                    aead_open_or_keep(aead[i], nonce, ad, len % 21, data[i], len, tags[i]),
                    ERR_AUTH);
                assert_memory_equal(data[i], data[1 - i], len);
                tags[i][len % 16] ^= 0x40;
            }
            for (int i = 0; i < 2; i++) {
                assert_int_equal(
                    aead_open_or_keep(aead[i], nonce, ad, len % 21, data[1 - i], len, tags[1 - i]),
                    ERR_OK);
                assert_memory_equal(data[1 - i], plain, len);
            }
            compared++;
        }
        aead_free(aead[0]);
        aead_free(aead[1]);
    }
#if defined(__x86_64__) && defined(HAVE_IPSEC_MB)
    assert_true(compared > 0);
#endif
    assert_non_null(aead_backend_name(AEAD_AES128_GCM));
}

/* A library that computes something else is found out. */
static int make_wrong(enum aead_algorithm algorithm, const uint8_t *key, void *keyed)
{
    uint8_t other[32];
    memcpy(other, key, aead_key_len(algorithm));
    other[0] ^= 1;
    return aead_libcrypto.make(algorithm, other, keyed);
}

static int open_everything(void *keyed, const uint8_t *nonce, const void *ad, size_t ad_len,
                           uint8_t *data, size_t len, const uint8_t *tag)
{
    (void)aead_libcrypto.open(keyed, nonce, ad, ad_len, data, len, tag);
    return ERR_OK;
}

static void test_wrong_backends_are_found_out(void **state)
{
    struct aead_backend wrong = aead_libcrypto;
    wrong.make = make_wrong;
    assert_false(aead_backend_is_right(&wrong, AEAD_AES128_GCM));
    wrong = aead_libcrypto;
    wrong.open = open_everything;
    assert_false(aead_backend_is_right(&wrong, AEAD_AES256_GCM));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_backends_agree),
        cmocka_unit_test(test_wrong_backends_are_found_out),
        cmocka_unit_test(test_forgeries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
