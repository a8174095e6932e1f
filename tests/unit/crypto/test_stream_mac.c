/* The paper's suite against tests/vectors/sput-paper.txt, which an independent program computed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "crypto/hash.h"
#include "crypto/stream_mac.h"
#include "vectors.h"

static struct stream_mac *context_of(const struct vector_case *c)
{
    uint8_t key[STREAM_KEY_LEN], mac_key[MAC_KEY_LEN], salt[STREAM_SALT_LEN];
    struct stream_mac *context = NULL;

    assert_int_equal(vector_hex(c, "key", key, sizeof(key)), sizeof(key));
    assert_int_equal(vector_hex(c, "mac_key", mac_key, sizeof(mac_key)), sizeof(mac_key));
    assert_int_equal(vector_hex(c, "salt", salt, sizeof(salt)), sizeof(salt));
    assert_int_equal(stream_mac_new(key, mac_key, salt, &context), ERR_OK);
    return context;
}

static void check_long(const struct vector_case *c, struct stream_mac *context)
{
    static uint8_t message[4 + STREAM_LEN_MAX + MAC_LEN];
    uint8_t expected[SHA256_LEN], digest[SHA256_LEN];
    const uint32_t number = (uint32_t)vector_number(c, "number");
    const size_t len = vector_number(c, "payload_len");
    const struct piece piece = {message, 8 + len + MAC_LEN};

    assert_int_equal(piece.len, sizeof(message));
    message[0] = (uint8_t)number;
    message[4] = (uint8_t)vector_number(c, "command");
    message[5] = (uint8_t)vector_number(c, "next_header");
    for (size_t i = 0; i < len; i++)
        message[8 + i] = (uint8_t)(i % 251);
    assert_int_equal(stream_mac_crypt(context, number, message + 4, 4 + len), ERR_OK);
    assert_int_equal(stream_mac_compute(context, message, 8 + len, message + 8 + len), ERR_OK);
    vector_hex(c, "message_sha256", expected, sizeof(expected));
    assert_int_equal(sha256(&piece, 1, digest), ERR_OK);
    assert_memory_equal(digest, expected, sizeof(expected));
    assert_int_equal(stream_mac_crypt(context, number, message, STREAM_LEN_MAX + 1), ERR_FULL);
}

static void check_short(const struct vector_case *c, struct stream_mac *context)
{
    uint8_t plaintext[256], ciphertext[256], message[256], data[256], mac[MAC_LEN];
    const uint32_t number = (uint32_t)vector_number(c, "number");
    const size_t len = vector_hex(c, "plaintext", plaintext, sizeof(plaintext));
    const size_t message_len = vector_hex(c, "message", message, sizeof(message));

    assert_int_equal(vector_hex(c, "ciphertext", ciphertext, sizeof(ciphertext)), len);
    assert_int_equal(message_len, 4 + len + MAC_LEN);
    memcpy(data, plaintext, len);
    assert_int_equal(stream_mac_crypt(context, number, data, len), ERR_OK);
    assert_memory_equal(data, ciphertext, len);
    assert_int_equal(stream_mac_crypt(context, number, data, len), ERR_OK);
    assert_memory_equal(data, plaintext, len);
    assert_int_equal(stream_mac_compute(context, message, 4 + len, mac), ERR_OK);
    assert_memory_equal(mac, message + 4 + len, MAC_LEN);
    assert_int_equal(stream_mac_check(context, message, 4 + len, mac), ERR_OK);
    for (size_t bit = 0; bit < message_len * 8; bit++) {
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(stream_mac_check(context, message, 4 + len, message + 4 + len), ERR_AUTH);
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void test_vectors(void **state)
{
    struct vector_case c = {0};
    FILE *in = vectors_open("sput-paper.txt");
    int cases = 0;

    for (; vectors_next(in, &c); cases++) {
        struct stream_mac *context = context_of(&c);
        if (vector_find(&c, "payload_len") != NULL)
            check_long(&c, context);
        else
            check_short(&c, context);
        stream_mac_free(context);
    }
    fclose(in);
    assert_int_equal(cases, 4);
}

/* Each block of the key stream by itself: 256 different ones, whatever the batching. */
static void test_blocks_differ(void **state)
{
    static const uint8_t key[STREAM_KEY_LEN], mac_key[MAC_KEY_LEN], salt[STREAM_SALT_LEN];
    static uint8_t stream[STREAM_LEN_MAX], prefix[STREAM_LEN_MAX];
    struct stream_mac *context = NULL;

    assert_int_equal(stream_mac_new(key, mac_key, salt, &context), ERR_OK);
    assert_int_equal(stream_mac_crypt(context, 9, stream, sizeof(stream)), ERR_OK);
    for (size_t i = 0; i < 256; i++) {
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(stream + i * 16, stream + j * 16, 16);
    }
    for (size_t len = 0; len < sizeof(prefix); len += 37) {
        memset(prefix, 0, sizeof(prefix));
        assert_int_equal(stream_mac_crypt(context, 9, prefix, len), ERR_OK);
        if (len > 0)
            assert_memory_equal(prefix, stream, len);
        assert_int_equal(prefix[len], 0);
    }
    stream_mac_free(context);
    stream_mac_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_blocks_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
