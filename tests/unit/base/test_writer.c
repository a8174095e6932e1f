/* The writer: bytes, the sticky error, patches, and that no write ever passes the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/writer.h"

static const uint8_t expected[] = {1,  2,  3,    4,    5,    6,    7, 8, 9,   10,  11,  12, 13,
                                   14, 15, 0x13, 0x12, 0x11, 0x10, 0, 0, 'a', 'b', 'c', 9};

static void write_all(struct writer *w)
{
    writer_u8(w, 1);
    writer_u16(w, 0x0203);
    writer_u32(w, 0x04050607);
    writer_u64(w, 0x08090a0b0c0d0e0f);
    writer_u32_le(w, 0x10111213);
    writer_zero(w, 2);
    writer_bytes(w, "abc", 3);
    uint8_t *room = writer_reserve(w, 1);
    if (room != NULL)
        *room = 9;
}

static void test_every_capacity(void **state)
{
    for (size_t cap = 0; cap <= sizeof expected; cap++) {
        uint8_t *exact = malloc(cap > 0 ? cap : 1);
        struct writer w;
        writer_init(&w, exact, cap);
        write_all(&w);
        assert_int_equal(w.error, cap == sizeof expected ? ERR_OK : ERR_FULL);
        assert_true(w.len <= cap);
        assert_memory_equal(exact, expected, w.len);
        free(exact);
    }
}

static void test_error_is_sticky(void **state)
{
    uint8_t buffer[4] = {0};
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    writer_zero(&w, 5);
    writer_u8(&w, 7); /* though it would fit */
    assert_int_equal(w.len, 0);
    assert_int_equal(buffer[0], 0);
    writer_fail(&w, ERR_INVALID);
    assert_int_equal(w.error, ERR_FULL);
    assert_null(writer_reserve(&w, 0));
}

static void test_patch(void **state)
{
    uint8_t buffer[4];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    writer_u32(&w, 0);
    writer_patch_u16(&w, 2, 0xabcd);
    writer_patch_u8(&w, 0, 0x12);
    assert_true(writer_is_ok(&w));
    assert_memory_equal(buffer, "\x12\x00\xab\xcd", 4);
    writer_patch_u16(&w, 3, 0);
    assert_int_equal(w.error, ERR_INVALID);

    writer_init(&w, buffer, sizeof buffer);
    writer_patch_u8(&w, 0, 1);
    assert_int_equal(w.error, ERR_INVALID);
    writer_init(&w, buffer, sizeof buffer);
    writer_u8(&w, 1);
    writer_patch_u16(&w, SIZE_MAX, 1);
    assert_int_equal(w.error, ERR_INVALID);
}

static void test_empty(void **state)
{
    struct writer w;
    writer_init(&w, NULL, 0);
    writer_bytes(&w, NULL, 0);
    writer_zero(&w, 0);
    assert_true(writer_is_ok(&w));
    writer_u8(&w, 0);
    assert_int_equal(w.error, ERR_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_capacity),
        cmocka_unit_test(test_error_is_sticky),
        cmocka_unit_test(test_patch),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
