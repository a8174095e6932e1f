/* HMAC against RFC 4231 and RFC 2202 in every split into pieces, digests, and prf+ against its
 * definition (RFC 7296, 2.13). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "crypto/hash.h"
#include "vectors.h"

static void test_digests(void **state)
{
    /* FIPS 180-4 examples: "abc". */
    static const uint8_t sha256_abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
                                         0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
                                         0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
                                         0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    static const uint8_t sha1_abc[] = {0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e,
                                       0x25, 0x71, 0x78, 0x50, 0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d};
    const struct piece pieces[] = {{"a", 1}, {NULL, 0}, {"bc", 2}};
    uint8_t digest[SHA256_LEN];

    assert_int_equal(sha256(pieces, 3, digest), ERR_OK);
    assert_memory_equal(digest, sha256_abc, SHA256_LEN);
    assert_int_equal(sha1(pieces, 3, digest), ERR_OK);
    assert_memory_equal(digest, sha1_abc, SHA1_LEN);
}

static void test_hmac_vectors(void **state)
{
    struct vector_case c = {0};
    FILE *in = vectors_open("hmac.txt");
    uint8_t key[256], data[256], expected[32], mac[32];
    int cases = 0;

    for (; vectors_next(in, &c); cases++) {
        size_t key_len = vector_hex(&c, "key", key, sizeof(key));
        size_t len = vector_hex(&c, "data", data, sizeof(data));
        size_t mac_len = vector_hex(&c, "mac", expected, sizeof(expected));
        for (size_t cut = 0; cut <= len; cut++) {
            const struct piece pieces[] = {{data, cut}, {data + cut, len - cut}};
            if (strcmp(vector_text(&c, "hash"), "sha256") == 0)
                assert_int_equal(hmac_sha256(key, key_len, pieces, 2, mac), ERR_OK);
            else
                assert_int_equal(hmac_sha1(key, key_len, pieces, 2, mac), ERR_OK);
            assert_memory_equal(mac, expected, mac_len);
        }
    }
    fclose(in);
    assert_int_equal(cases, 9);
}

static void test_hmac_empty_key(void **state)
{
    /* HMAC-SHA-256 of nothing under the empty key. */
    static const uint8_t expected[] = {0xb6, 0x13, 0x67, 0x9a, 0x08, 0x14, 0xd9, 0xec,
                                       0x77, 0x2f, 0x95, 0xd7, 0x78, 0xc3, 0x5f, 0xc5,
                                       0xff, 0x16, 0x97, 0xc4, 0x93, 0x71, 0x56, 0x53,
                                       0xc6, 0xc7, 0x12, 0x14, 0x42, 0x92, 0xc5, 0xad};
    uint8_t mac[SHA256_LEN];
    assert_int_equal(hmac_sha256(NULL, 0, NULL, 0, mac), ERR_OK);
    assert_memory_equal(mac, expected, sizeof(mac));
}

static void test_prf_plus(void **state)
{
    static const uint8_t key[] = "an SKEYSEED of any length";
    const struct piece seed[] = {{"Ni", 2}, {"Nr", 2}, {"SPIiSPIr", 8}};
    uint8_t expected[255 * SHA256_LEN], out[255 * SHA256_LEN];

    for (size_t i = 0; i < 255; i++) {
        const uint8_t counter = (uint8_t)(i + 1);
        const struct piece pieces[] = {
            {i > 0 ? expected + (i - 1) * SHA256_LEN : NULL, i > 0 ? SHA256_LEN : 0},
            {"NiNrSPIiSPIr", 12},
            {&counter, 1}};
        assert_int_equal(hmac_sha256(key, sizeof(key), pieces, 3, expected + i * SHA256_LEN),
                         ERR_OK);
    }
    static const size_t lens[] = {0, 1, 31, 32, 33, 64, 65, 236, 255 * SHA256_LEN};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        memset(out, 0xee, sizeof(out));
        assert_int_equal(hash_prf_plus(HASH_SHA256, key, sizeof(key), seed, 3, out, lens[i]),
                         ERR_OK);
        if (lens[i] > 0)
            assert_memory_equal(out, expected, lens[i]);
        if (lens[i] < sizeof(out))
            assert_int_equal(out[lens[i]], 0xee);
    }
    assert_int_equal(
        hash_prf_plus(HASH_SHA256, key, sizeof(key), seed, 3, out, 255 * SHA256_LEN + 1),
        ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_hmac_vectors),
        cmocka_unit_test(test_hmac_empty_key),
        cmocka_unit_test(test_prf_plus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
