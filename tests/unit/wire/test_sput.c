/* The SPUT header byte by byte, and the lengths of both kinds of suite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wire/sput.h"

static void test_bytes(void **state)
{
    static const uint8_t expected[8] = {0x04, 0x03, 0x02, 0x01, 2, 17, 0x01, 0x80};
    const struct sput_header h = {
        .number = 0x01020304, .command = SPUT_PROBE, .next_header = 17, .flags = 0x8001};
    uint8_t bytes[8];
    struct sput_header back;
    sput_header_write(&h, bytes);
    assert_memory_equal(bytes, expected, sizeof expected);
    sput_header_read(bytes, &back);
    assert_int_equal(back.number, h.number);
    assert_int_equal(back.command, h.command);
    assert_int_equal(back.next_header, h.next_header);
    assert_int_equal(back.flags, h.flags);
    assert_true(back.flags & SPUT_FLAG_IPV6);
    assert_int_equal(sput_number_read(bytes), 0x01020304);
}

/* The first message of all: 1, little-endian, and not the non-ESP marker. */
static void test_first_number(void **state)
{
    const struct sput_header h = {.number = 1};
    uint8_t bytes[8];
    sput_header_write(&h, bytes);
    assert_memory_equal(bytes, "\1\0\0\0\0\0\0\0", 8);
}

static void test_every_bit_is_read(void **state)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        uint8_t bytes[8] = {0}, back[8];
        struct sput_header h;
        bytes[bit / 8] = (uint8_t)(1u << bit % 8);
        sput_header_read(bytes, &h);
        assert_true(h.number != 0 || h.command != 0 || h.next_header != 0 || h.flags != 0);
        sput_header_write(&h, back);
        assert_memory_equal(bytes, back, sizeof bytes);
    }
}

static void test_lengths(void **state)
{
    assert_false(sput_len_is_valid(0, SPUT_MAC_LEN));
    assert_false(sput_len_is_valid(39, SPUT_MAC_LEN));
    assert_true(sput_len_is_valid(40, SPUT_MAC_LEN));
    assert_true(sput_len_is_valid(4132, SPUT_MAC_LEN));
    assert_false(sput_len_is_valid(4133, SPUT_MAC_LEN));
    assert_false(sput_len_is_valid(23, SPUT_TAG_LEN));
    assert_true(sput_len_is_valid(24, SPUT_TAG_LEN));
    assert_true(sput_len_is_valid(65507, SPUT_TAG_LEN));
    assert_false(sput_len_is_valid(65508, SPUT_TAG_LEN));
    /* 256 key stream blocks: 4 bytes of header and the payload. */
    assert_int_equal(sput_payload_max(SPUT_MAC_LEN), 4092);
    assert_int_equal(sput_payload_max(SPUT_TAG_LEN), 65507 - 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_first_number),
        cmocka_unit_test(test_every_bit_is_read),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
