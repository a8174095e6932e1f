/* Encodings against the vectors of RFC 4648, 10, and what strict decoders must refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/text.h"

struct vector {
    const char *data, *base64, *base32, *hex;
};

static const struct vector vectors[] = {
    {"", "", "", ""},
    {"f", "Zg==", "my", "66"},
    {"fo", "Zm8=", "mzxq", "666f"},
    {"foo", "Zm9v", "mzxw6", "666f6f"},
    {"foob", "Zm9vYg==", "mzxw6yq", "666f6f62"},
    {"fooba", "Zm9vYmE=", "mzxw6ytb", "666f6f6261"},
    {"foobar", "Zm9vYmFy", "mzxw6ytboi", "666f6f626172"},
};

static void test_vectors(void **state)
{
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const struct vector *v = &vectors[i];
        const size_t len = strlen(v->data);
        char text[32];
        uint8_t data[16];
        assert_int_equal(base64_encode(v->data, len, text, sizeof text), strlen(v->base64));
        assert_string_equal(text, v->base64);
        assert_int_equal(base64_decode(text, data, sizeof data), len);
        assert_memory_equal(data, v->data, len);
        assert_int_equal(base32_encode(v->data, len, text, sizeof text), strlen(v->base32));
        assert_string_equal(text, v->base32);
        assert_int_equal(hex_encode(v->data, len, text, sizeof text), strlen(v->hex));
        assert_string_equal(text, v->hex);
        assert_int_equal(hex_decode(text, data, sizeof data), len);
        assert_memory_equal(data, v->data, len);
    }
}

static void test_all_bytes(void **state)
{
    uint8_t data[256], back[256];
    char text[BASE64_TEXT_CAP(256) + HEX_TEXT_CAP(256)];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(255 - i);
    for (size_t len = 0; len <= sizeof data; len++) {
        assert_int_equal(base64_encode(data, len, text, BASE64_TEXT_CAP(len)),
                         BASE64_TEXT_CAP(len) - 1);
        assert_int_equal(base64_decode(text, back, len), len);
        assert_memory_equal(data, back, len);
        assert_int_equal(hex_encode(data, len, text, HEX_TEXT_CAP(len)), 2 * len);
        assert_int_equal(hex_decode(text, back, len), len);
        assert_memory_equal(data, back, len);
    }
    assert_int_equal(hex_decode("FFaB", back, 2), 2);
    assert_int_equal(back[1], 0xab);
}

static void test_too_small(void **state)
{
    char text[16];
    uint8_t data[4];
    assert_int_equal(base64_encode("foo", 3, text, 4), ERR_FULL);
    assert_int_equal(base64_encode("foo", 3, text, 5), 4);
    assert_int_equal(base64_decode("Zm9v", data, 2), ERR_FULL);
    assert_int_equal(base32_encode("foo", 3, text, 5), ERR_FULL);
    assert_int_equal(base32_encode("foo", 3, text, 6), 5);
    assert_int_equal(hex_encode("foo", 3, text, 6), ERR_FULL);
    assert_int_equal(hex_decode("666f", data, 1), ERR_FULL);
}

static void test_refused(void **state)
{
    static const char *const bad64[] = {
        "Z",        "Zg",    "Zg=",    "Zh==",         "Zm9=", "====", "=",    "Z===",
        "Zg==Zg==", " Zg==", "Zg==\n", "Zm9v\n\n\n\n", "Zm-_", "Z=9v", "Zm=v", "\xff\xff\xff\xff"};
    static const char *const bad_hex[] = {"6", "6g", "0x66", " 66", "66 ", "6 6"};
    uint8_t data[16] = {42};
    for (size_t i = 0; i < sizeof bad64 / sizeof bad64[0]; i++)
        assert_int_equal(base64_decode(bad64[i], data, sizeof data), ERR_INVALID);
    for (size_t i = 0; i < sizeof bad_hex / sizeof bad_hex[0]; i++)
        assert_int_equal(hex_decode(bad_hex[i], data, sizeof data), ERR_INVALID);
    assert_int_equal(data[0], 42);
}

static void test_mac(void **state)
{
    static const uint8_t expected[MAC_ADDRESS_LEN] = {0x02, 0x00, 0x5e, 0x10, 0xaf, 0xff};
    static const char *const bad[] = {"",
                                      "02:00:5e:10:af",
                                      "02:00:5e:10:af:f",
                                      "02:00:5e:10:af:fff",
                                      "02:00:5e:10:af:ff:",
                                      "02-00-5e-10-af-ff",
                                      "02:00:5e:10:af:fg",
                                      "0:200:5e:10:af:ff",
                                      " 2:00:5e:10:af:ff",
                                      "+2:00:5e:10:af:ff"};
    uint8_t mac[MAC_ADDRESS_LEN];
    char text[MAC_TEXT_CAP];

    assert_int_equal(mac_parse("02:00:5e:10:aF:FF", mac), ERR_OK);
    assert_memory_equal(mac, expected, sizeof expected);
    assert_string_equal(mac_format(mac, text), "02:00:5e:10:af:ff");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(mac_parse(bad[i], mac), ERR_INVALID);
        assert_memory_equal(mac, expected, sizeof expected);
    }
}

static int join(const char *word, void *context)
{
    char *joined = context;
    if (strcmp(word, "stop") == 0)
        return ERR_FULL;
    strcat(strcat(joined, word), "|");
    return ERR_OK;
}

static void test_each_word(void **state)
{
    char joined[64] = "", long_word[65];
    assert_int_equal(text_each_word(" a,, b\tcd ,", 64, join, joined), ERR_OK);
    assert_string_equal(joined, "a|b|cd|");
    assert_int_equal(text_each_word("", 64, join, joined), ERR_OK);
    assert_int_equal(text_each_word("e stop f", 64, join, joined), ERR_FULL);
    assert_string_equal(joined, "a|b|cd|e|");
    assert_int_equal(text_each_word("abcd", 4, join, joined), ERR_INVALID);
    memset(long_word, 'x', 64);
    long_word[64] = '\0';
    assert_int_equal(text_each_word(long_word, 100, join, joined), ERR_INVALID);
    assert_string_equal(joined, "a|b|cd|e|");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),   cmocka_unit_test(test_all_bytes),
        cmocka_unit_test(test_too_small), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_each_word), cmocka_unit_test(test_mac),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
