/* Suites of plain peers: words, order, defaults, mistakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/plain_terms.h"
#include <string.h>

static void test_esp(void **state)
{
    enum suite suites[SUITE_COUNT];
    enum kex_group pfs = KEX_ECP384;
    assert_int_equal(plain_terms_esp("", suites, &pfs), ERR_OK);
    assert_int_equal(suites[0], ESP_AES128_GCM);
    assert_int_equal(suites[6], ESP_AES256_CTR_SHA256);
    assert_int_equal(suites[7], SUITE_NONE);
    assert_int_equal(plain_terms_esp("aes256-cbc-sha256,  aes256-gcm", suites, &pfs), ERR_OK);
    assert_int_equal(suites[0], ESP_AES256_CBC_SHA256);
    assert_int_equal(suites[1], ESP_AES256_GCM);
    assert_int_equal(suites[2], SUITE_NONE);
    assert_int_equal(pfs, KEX_NONE);
    assert_int_equal(plain_terms_esp("modp2048, aes128-gcm", suites, &pfs), ERR_OK);
    assert_int_equal(pfs, KEX_MODP2048);
    assert_true(suites[0] == ESP_AES128_GCM && suites[1] == SUITE_NONE);
    assert_int_equal(plain_terms_esp("ecp256", suites, &pfs), ERR_OK);
    assert_true(pfs == KEX_ECP256 && suites[0] == ESP_AES128_GCM && suites[6] != SUITE_NONE);
    static const char *const wrong[] = {"des",
                                        "ecp256, x25519",
                                        "ecp256, ecp256",
                                        "paper",
                                        "aes256-gcm, aes256-gcm",
                                        "aes256-gcm-iiv",
                                        "esp-aes256-gcm",
                                        ",",
                                        "a-word-that-is-much-longer-than-any-suite"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(plain_terms_esp(wrong[i], suites, &pfs), ERR_INVALID);
}

static void test_ike(void **state)
{
    struct ike_config config;
    ike_config_init(&config, NULL);
    assert_int_equal(plain_terms_ike("", &config), ERR_OK);
    assert_int_equal(config.ciphers[IKE_CIPHER_COUNT - 1], IKE_CIPHER_AES128_CBC);
    assert_int_equal(config.prfs[2], HASH_SHA512);
    assert_int_equal(config.groups[3], KEX_MODP3072);
    assert_int_equal(config.groups[4], KEX_NONE); /* MODP-2048 by name only */
    assert_int_equal(plain_terms_ike("modp2048 aes128-cbc, sha384", &config), ERR_OK);
    assert_int_equal(config.ciphers[0], IKE_CIPHER_AES128_CBC);
    assert_int_equal(config.ciphers[1], IKE_CIPHER_NONE);
    assert_int_equal(config.prfs[0], HASH_SHA384);
    assert_int_equal(config.integs[0], HASH_SHA384);
    assert_int_equal(config.integs[1], HASH_NONE);
    assert_int_equal(config.groups[0], KEX_MODP2048);
    assert_int_equal(config.groups[1], KEX_NONE);
    assert_true(plain_terms_has_group("aes128-cbc, x25519"));
    assert_false(plain_terms_has_group("aes128-cbc, sha256"));
    assert_int_equal(plain_terms_ike("x25519,x25519", &config), ERR_INVALID);
    assert_int_equal(plain_terms_ike("md5", &config), ERR_INVALID);
    assert_int_equal(plain_terms_ike("aes256-gcm-x25519", &config), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_esp),
        cmocka_unit_test(test_ike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
