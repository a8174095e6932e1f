/* ESP's header, padding and trailer (RFC 4303). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/esp.h"
#include <stdlib.h>
#include <string.h>

static void test_header(void **state)
{
    static const uint8_t expected[ESP_HEADER_LEN] = {0x4a, 0x2c, 0xbf, 0xe3, 0, 0, 0, 2};
    const struct esp_header header = {0x4a2cbfe3, 2};
    struct esp_header read = {0};
    uint8_t bytes[ESP_HEADER_LEN];

    esp_header_write(&header, bytes);
    assert_memory_equal(bytes, expected, sizeof(bytes));
    esp_header_read(bytes, &read);
    assert_int_equal(read.spi, 0x4a2cbfe3);
    assert_int_equal(read.sequence, 2);
}

static void test_padding(void **state)
{
    static const uint8_t expected[] = {1, 2, 3, 3, 4};
    uint8_t bytes[ESP_PADDING_MAX + ESP_TRAILER_LEN];
    for (size_t len = 0; len < 70; len++) {
        for (size_t alignment = 4; alignment <= 16; alignment *= 4) {
            const size_t padding = esp_padding_len(len, alignment);
            assert_true(padding < alignment && padding <= ESP_PADDING_MAX);
            assert_int_equal((len + padding + ESP_TRAILER_LEN) % alignment, 0);
        }
    }
    esp_trailer_write(bytes, 3, 4);
    assert_memory_equal(bytes, expected, sizeof(expected));
}

/* In memory of exactly that size: every pad length at every length of the text. */
static void test_trailer(void **state)
{
    for (size_t len = 0; len < 300; len++) {
        uint8_t *text = malloc(len > 0 ? len : 1);
        memset(text, 0xee, len > 0 ? len : 1);
        for (unsigned padding = 0; padding < 256; padding++) {
            size_t payload_len = 9999;
            uint8_t next_header = 77;
            if (len >= 2) {
                text[len - 2] = (uint8_t)padding;
                text[len - 1] = 6;
            }
            if (len >= 2 + padding) {
                assert_int_equal(esp_trailer_read(text, len, &payload_len, &next_header), ERR_OK);
                assert_int_equal(payload_len, len - 2 - padding);
                assert_int_equal(next_header, 6);
            } else {
                assert_int_equal(esp_trailer_read(text, len, &payload_len, &next_header),
                                 ERR_INVALID);
                assert_int_equal(payload_len, 9999);
                assert_int_equal(next_header, 77);
            }
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_trailer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
