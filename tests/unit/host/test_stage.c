/* Packets that wait for a tunnel: in order, bounded, oldest dropped first. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "host/stage.h"
#include <stdlib.h>
#include <string.h>

static void add(struct stage *stage, uint8_t value, size_t len)
{
    uint8_t packet[4096];
    memset(packet, value, sizeof(packet));
    stage_add(stage, packet, len);
}

static void expect(struct stage *stage, uint8_t value, size_t len)
{
    struct staged *staged = stage_take(stage);
    assert_non_null(staged);
    assert_int_equal(staged->len, len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(staged->data[i], value);
    free(staged);
}

static void test_order(void **state)
{
    struct stage stage = {0};
    assert_null(stage_take(&stage));
    add(&stage, 1, 20);
    add(&stage, 2, 4096);
    add(&stage, 3, 0);
    assert_int_equal(stage.count, 3);
    expect(&stage, 1, 20);
    expect(&stage, 2, 4096);
    expect(&stage, 3, 0);
    assert_null(stage_take(&stage));
}

static void test_bound(void **state)
{
    struct stage stage = {0};
    for (uint8_t i = 0; i < STAGE_PACKETS_MAX + 5; i++)
        add(&stage, i, 30);
    assert_int_equal(stage.count, STAGE_PACKETS_MAX);
    assert_int_equal(stage.dropped, 5);
    for (uint8_t i = 5; i < STAGE_PACKETS_MAX + 5; i++)
        expect(&stage, i, 30);
    assert_null(stage_take(&stage));
    /* Also when its ring has gone round. */
    for (uint8_t i = 0; i < STAGE_PACKETS_MAX + 1; i++)
        add(&stage, i, 30);
    expect(&stage, 1, 30);
    stage_clear(&stage);
    assert_int_equal(stage.count, 0);
    assert_null(stage_take(&stage));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
