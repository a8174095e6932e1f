/* The table of suites: the figures that the protocol fixes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/suite.h"

static void test_figures(void **state)
{
    static const struct {
        enum suite suite;
        const char *name;
        size_t key_len, overhead;
    } expected[] = {
        {(enum suite)1025, "paper", 59, 40},
        {(enum suite)1026, "aes128-gcm", 24, 24},
        {(enum suite)1027, "aes256-gcm", 40, 24},
        {(enum suite)1028, "chacha20-poly1305", 40, 24},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        enum suite suite = (enum suite)0;
        assert_true(suite_is_known(expected[i].suite));
        assert_string_equal(suite_name(expected[i].suite), expected[i].name);
        assert_int_equal(suite_parse(expected[i].name, &suite), ERR_OK);
        assert_int_equal(suite, expected[i].suite);
        assert_int_equal(suite_key_len(suite), expected[i].key_len);
        assert_int_equal(suite_overhead(suite), expected[i].overhead);
        assert_int_equal(suite_tag_len(suite), expected[i].overhead - 8);
        assert_true(suite_key_len(suite) <= SUITE_KEY_CAP);
    }
    assert_int_equal(suite_payload_max(SPUT_PAPER), 4092);
}

static void test_esp_figures(void **state)
{
    static const struct {
        enum suite suite;
        const char *name;
        size_t key_len, cipher_key_len, iv_len, alignment, overhead;
    } expected[] = {
        {ESP_AES128_GCM, "esp-aes128-gcm", 20, 16, 8, 4, 34},
        {ESP_AES256_GCM, "esp-aes256-gcm", 36, 32, 8, 4, 34},
        {ESP_CHACHA20_POLY1305, "esp-chacha20-poly1305", 36, 32, 8, 4, 34},
        {ESP_AES128_GCM_IIV, "esp-aes128-gcm-iiv", 20, 16, 0, 4, 26},
        {ESP_AES256_GCM_IIV, "esp-aes256-gcm-iiv", 36, 32, 0, 4, 26},
        {ESP_CHACHA20_POLY1305_IIV, "esp-chacha20-poly1305-iiv", 36, 32, 0, 4, 26},
        {ESP_AES128_CBC_SHA256, "esp-aes128-cbc-sha256", 48, 16, 16, 16, 42},
        {ESP_AES256_CBC_SHA256, "esp-aes256-cbc-sha256", 64, 32, 16, 16, 42},
        {ESP_AES128_CTR_SHA256, "esp-aes128-ctr-sha256", 52, 16, 8, 4, 34},
        {ESP_AES256_CTR_SHA256, "esp-aes256-ctr-sha256", 68, 32, 8, 4, 34},
    };
    assert_int_equal(sizeof(expected) / sizeof(expected[0]), ESP_SUITE_COUNT);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        enum suite suite = SUITE_NONE;
        assert_int_equal(suite_parse(expected[i].name, &suite), ERR_OK);
        assert_int_equal(suite, expected[i].suite);
        assert_string_equal(suite_name(suite), expected[i].name);
        assert_int_equal(suite_protocol(suite), IKE_PROTOCOL_ESP);
        assert_true(suite_is_esp(suite));
        assert_int_equal(suite_key_len(suite), expected[i].key_len);
        assert_true(suite_key_len(suite) <= SUITE_KEY_CAP);
        assert_int_equal(suite_cipher_key_len(suite), expected[i].cipher_key_len);
        assert_int_equal(suite_iv_len(suite), expected[i].iv_len);
        assert_int_equal(suite_alignment(suite), expected[i].alignment);
        assert_int_equal(suite_overhead(suite), expected[i].overhead);
        assert_int_equal(suite_tag_len(suite), 16);
    }
    assert_int_equal(suite_protocol(SPUT_PAPER), IKE_PROTOCOL_SPUT);
    assert_false(suite_is_esp(SPUT_AES128_GCM));
    assert_int_equal(suite_protocol((enum suite)0x200a), IKE_PROTOCOL_NONE);
}

/* What fits with its padding, and not one byte more. */
static void test_payload_in(void **state)
{
    static const enum suite suites[] = {SPUT_AES128_GCM, ESP_AES128_GCM, ESP_AES256_CBC_SHA256};
    for (size_t s = 0; s < sizeof(suites) / sizeof(suites[0]); s++) {
        for (size_t len = 0; len < 2000; len++) {
            const size_t alignment = suite_alignment(suites[s]);
            const size_t trailer = suite_is_esp(suites[s]) ? 2 : 0;
            const size_t frame = suite_overhead(suites[s]) - trailer;
            const size_t payload = suite_payload_in(suites[s], len);
            const size_t text = (payload + trailer + alignment - 1) / alignment * alignment;
            const size_t more = (payload + trailer + alignment) / alignment * alignment;
            if (payload > 0)
                assert_true(frame + text <= len);
            if (len > frame + alignment)
                assert_true(frame + more > len);
        }
    }
    assert_int_equal(suite_payload_in(SPUT_PAPER, 60000), 4092);
    assert_int_equal(suite_payload_in(ESP_AES128_GCM_IIV, 1500 - 28), 1500 - 28 - 26);
    assert_int_equal(suite_payload_in(SUITE_NONE, 1500), 0);
}

static void test_unknown(void **state)
{
    enum suite suite = SPUT_PAPER;
    assert_false(suite_is_known(0));
    assert_false(suite_is_known(1024));
    assert_false(suite_is_known(1029));
    assert_string_equal(suite_name((enum suite)1029), "unknown");
    assert_string_equal(suite_name(SUITE_NONE), "none");
    assert_int_equal(suite_key_len(SUITE_NONE), 0);
    assert_int_equal(suite_parse("aes128", &suite), ERR_NOT_FOUND);
    assert_int_equal(suite_parse("", &suite), ERR_NOT_FOUND);
    assert_int_equal(suite, SPUT_PAPER);
    assert_int_equal(suite_key_len((enum suite)7), 0);
    assert_int_equal(suite_overhead((enum suite)7), 0);
    assert_int_equal(suite_payload_max((enum suite)7), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures),
        cmocka_unit_test(test_esp_figures),
        cmocka_unit_test(test_payload_in),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
