/* AEAD against the published vectors, and what must be refused: every flipped bit, wrong nonce,
 * wrong associated data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "crypto/aead.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_forgeries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
