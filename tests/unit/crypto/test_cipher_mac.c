/* AES-CBC, AES-CTR and HMAC-SHA-256-128 against RFC 3602 (4), RFC 3686 (6) and RFC 4868 (2.7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crypto/cipher_mac.h"
#include <stdio.h>
#include <string.h>

static const struct {
    enum cipher_mode mode;
    const char *key, *iv, *plain, *cipher;
} published[] = {
    {CIPHER_AES_CBC, "06a9214036b8a15b512e03d534120006", "3dafba429d9eb430b422da802c9fac41",
     "53696e676c6520626c6f636b206d7367", "e353779c1079aeb82708942dbe77181a"},
    {CIPHER_AES_CBC, "90d382b410eeba7ad938c46cec1a82bf", "e96e8c08ab465763fd098d45dd3ff893",
     "08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021222324252"
     "62728292a2b2c2d2e2f30313233343536370102030405060708090a0b0c0d0e0e01",
     "f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856a4699e523a55db080b59ec3a8e4b7"
     "e52775b07d1db34ed9c538ab50c551b874aa269add047ad2d5913ac19b7cfbad4a6"},
    {CIPHER_AES_CTR, "ae6852f8121067cc4bf7a5765577f39e", "00000030000000000000000000000001",
     "53696e676c6520626c6f636b206d7367", "e4095d4fb7a7b3792d6175a3261311b8"},
    {CIPHER_AES_CTR, "7e24067817fae0d743d6ce1f32539163", "006cb6dbc0543b59da48d90b00000001",
     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "5104a106168a72d9790d41ee8edad388eb2e1efc46da57c8fce630df9141be28"},
    {CIPHER_AES_CTR, "ff7a617ce69148e4f1726e2f43581de2aa62d9f805532edff1eed687fb54153d",
     "001cc5b751a51d70a1c1114800000001",
     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223",
     "eb6c52821d0bbbf7ce7594462aca4faab407df866569fd07f48cc0b583d6071f1ec0e6b8"},
};

static size_t from_hex(const char *text, uint8_t *ret_bytes)
{
    size_t len = strlen(text) / 2;
    for (size_t i = 0; i < len; i++) {
        unsigned byte;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
        ret_bytes[i] = (uint8_t)byte;
    }
    return len;
}

static void test_ciphers(void **state)
{
    const uint8_t mac_key[CIPHER_MAC_KEY_LEN] = {0};
    for (size_t i = 0; i < sizeof(published) / sizeof(published[0]); i++) {
        uint8_t key[32], iv[16], plain[128], cipher[128], data[128];
        struct cipher_mac *c;
        const size_t key_len = from_hex(published[i].key, key);
        const size_t len = from_hex(published[i].plain, plain);
        from_hex(published[i].iv, iv);
        assert_int_equal(from_hex(published[i].cipher, cipher), len);
        assert_int_equal(cipher_mac_new(published[i].mode, key, key_len, mac_key, &c), ERR_OK);
        for (int round = 0; round < 2; round++) { /* a context is used again and again */
            memcpy(data, plain, len);
            assert_int_equal(cipher_mac_encrypt(c, iv, data, len), ERR_OK);
            assert_memory_equal(data, cipher, len);
            assert_int_equal(cipher_mac_decrypt(c, iv, data, len), ERR_OK);
            assert_memory_equal(data, plain, len);
        }
        cipher_mac_free(c);
    }
}

static void test_mac(void **state)
{
    static const uint8_t expected[CIPHER_MAC_LEN] = {0x19, 0x8a, 0x60, 0x7e, 0xb4, 0x4b,
                                                     0xfb, 0xc6, 0x99, 0x03, 0xa0, 0xf1,
                                                     0xcf, 0x2b, 0xbd, 0xc5};
    const struct piece pieces[] = {{"Hi", 2}, {"", 0}, {" There", 6}};
    uint8_t mac_key[CIPHER_MAC_KEY_LEN], mac[CIPHER_MAC_LEN];
    const uint8_t key[16] = {0};
    struct cipher_mac *c;
    memset(mac_key, 0x0b, sizeof(mac_key));
    assert_int_equal(cipher_mac_new(CIPHER_AES_CTR, key, 16, mac_key, &c), ERR_OK);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(cipher_mac_compute(c, pieces, 3, mac), ERR_OK);
        assert_memory_equal(mac, expected, sizeof(mac));
        assert_int_equal(cipher_mac_check(c, pieces, 3, expected), ERR_OK);
    }
    for (int bit = 0; bit < CIPHER_MAC_LEN * 8; bit++) {
        memcpy(mac, expected, sizeof(mac));
        mac[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(cipher_mac_check(c, pieces, 3, mac), ERR_AUTH);
    }
    assert_int_equal(cipher_mac_check(c, pieces, 2, expected), ERR_AUTH);
    cipher_mac_free(c);
}

static void test_refusals(void **state)
{
    const uint8_t key[32] = {0}, mac_key[CIPHER_MAC_KEY_LEN] = {0}, iv[16] = {0};
    uint8_t data[17] = {0}, before[17];
    struct cipher_mac *c = NULL;
    assert_int_equal(cipher_mac_new(CIPHER_AES_CBC, key, 24, mac_key, &c), ERR_INVALID);
    assert_null(c);
    assert_int_equal(cipher_mac_new(CIPHER_AES_CBC, key, 32, mac_key, &c), ERR_OK);
    memcpy(before, data, sizeof(data));
    assert_int_equal(cipher_mac_encrypt(c, iv, data, 17), ERR_INVALID);
    assert_int_equal(cipher_mac_decrypt(c, iv, data, 15), ERR_INVALID);
    assert_memory_equal(before, data, sizeof(data));
    assert_int_equal(cipher_mac_encrypt(c, iv, data, 0), ERR_OK);
    cipher_mac_free(c);
    cipher_mac_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ciphers),
        cmocka_unit_test(test_mac),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
