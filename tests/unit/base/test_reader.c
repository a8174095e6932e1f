/* The reader: values, the sticky error, and that no read ever passes the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/reader.h"

static const uint8_t input[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19};

static void test_values(void **state)
{
    struct reader r;
    reader_init(&r, input, sizeof input);
    assert_int_equal(reader_u8(&r), 1);
    assert_int_equal(reader_u16(&r), 0x0203);
    assert_int_equal(reader_u32(&r), 0x04050607);
    assert_true(reader_u64(&r) == 0x08090a0b0c0d0e0f);
    assert_int_equal(reader_u32_le(&r), 0x13121110);
    assert_int_equal(reader_left(&r), 0);
    assert_int_equal(reader_offset(&r), sizeof input);
    assert_true(reader_is_ok(&r));
    assert_non_null(reader_bytes(&r, 0));
    assert_int_equal(reader_u8(&r), 0);
    assert_int_equal(r.error, ERR_TRUNCATED);
}

static void read_all(struct reader *r)
{
    uint8_t copy[4];
    reader_u8(r);
    reader_u16(r);
    reader_u32(r);
    struct reader sub = reader_sub(r, 4);
    reader_u32_le(&sub);
    reader_skip(r, 2);
    reader_bytes(r, 2);
    reader_copy(r, copy, sizeof copy);
}

static void test_every_truncated_length(void **state)
{
    for (size_t len = 0; len <= sizeof input; len++) {
        /* An exact heap copy, so that a sanitizer sees any read behind the end. */
        uint8_t *exact = malloc(len > 0 ? len : 1);
        memcpy(exact, input, len);
        struct reader r;
        reader_init(&r, exact, len);
        read_all(&r);
        assert_int_equal(r.error, len == sizeof input ? ERR_OK : ERR_TRUNCATED);
        free(exact);
    }
}

static void test_error_is_sticky(void **state)
{
    struct reader r;
    uint8_t copy[2] = {0xaa, 0xaa};
    reader_init(&r, input, 2);
    assert_null(reader_bytes(&r, 3));
    assert_int_equal(reader_u8(&r), 0); /* though a byte is there */
    assert_null(reader_bytes(&r, 0));
    assert_int_equal(reader_left(&r), 0);
    reader_copy(&r, copy, sizeof copy);
    assert_int_equal(copy[0] | copy[1], 0);
    reader_fail(&r, ERR_INVALID);
    assert_int_equal(r.error, ERR_TRUNCATED);
    struct reader sub = reader_sub(&r, 0);
    assert_int_equal(sub.error, ERR_TRUNCATED);
}

static void test_fail_and_sub(void **state)
{
    struct reader r;
    reader_init(&r, input, sizeof input);
    struct reader sub = reader_sub(&r, 3);
    assert_int_equal(reader_u16(&sub), 0x0102);
    assert_int_equal(reader_u16(&sub), 0);
    assert_int_equal(sub.error, ERR_TRUNCATED);
    assert_true(reader_is_ok(&r));
    assert_int_equal(reader_u8(&r), 4);
    reader_fail(&r, ERR_INVALID);
    assert_int_equal(reader_u8(&r), 0);
    assert_int_equal(r.error, ERR_INVALID);
}

static void test_empty(void **state)
{
    struct reader r;
    reader_init(&r, NULL, 0);
    assert_int_equal(reader_left(&r), 0);
    assert_int_equal(reader_offset(&r), 0);
    reader_bytes(&r, SIZE_MAX);
    assert_int_equal(r.error, ERR_TRUNCATED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),          cmocka_unit_test(test_every_truncated_length),
        cmocka_unit_test(test_error_is_sticky), cmocka_unit_test(test_fail_and_sub),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
