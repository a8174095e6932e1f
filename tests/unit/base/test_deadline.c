/* The deadline heap against a linear search. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/deadline.h"

#define COUNT 200

static uint64_t earliest(const struct deadline *d)
{
    uint64_t at_us = DEADLINE_NEVER;
    for (size_t i = 0; i < COUNT; i++) {
        if (d[i].index != 0)
            at_us = deadline_min(at_us, d[i].at_us);
    }
    return at_us;
}

static void test_against_search(void **state)
{
    static struct deadline deadlines[COUNT];
    struct deadline_heap heap;
    uint32_t random = 7;
    deadline_heap_init(&heap);
    assert_true(deadline_heap_next(&heap) == DEADLINE_NEVER);
    for (int step = 0; step < 20000; step++) {
        random = random * 1664525 + 1013904223;
        struct deadline *d = &deadlines[(random >> 8) % COUNT];
        switch (random >> 28 & 3) {
        case 0:
            deadline_clear(&heap, d);
            assert_int_equal(d->index, 0);
            break;
        case 1: {
            struct deadline *due = deadline_heap_pop(&heap, (random >> 4) % 1000);
            if (due != NULL) {
                assert_true(due->at_us <= (random >> 4) % 1000);
                assert_int_equal(due->index, 0);
                assert_true(due->at_us <= earliest(deadlines));
            } else {
                assert_true(earliest(deadlines) > (random >> 4) % 1000);
            }
            break;
        }
        default:
            assert_int_equal(deadline_set(&heap, d, (random >> 6) % 1000), ERR_OK);
            break;
        }
        assert_true(deadline_heap_next(&heap) == earliest(deadlines));
    }
    deadline_heap_done(&heap);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(deadlines[i].index, 0);
}

static void test_never_takes_out(void **state)
{
    struct deadline d = {0};
    struct deadline_heap heap;
    deadline_heap_init(&heap);
    assert_int_equal(deadline_set(&heap, &d, DEADLINE_NEVER), ERR_OK);
    assert_int_equal(d.index, 0);
    assert_int_equal(deadline_set(&heap, &d, 5), ERR_OK);
    assert_null(deadline_heap_pop(&heap, 4));
    assert_int_equal(deadline_set(&heap, &d, DEADLINE_NEVER), ERR_OK);
    assert_null(deadline_heap_pop(&heap, UINT64_MAX));
    deadline_clear(&heap, &d);
    deadline_heap_done(&heap);
    deadline_heap_done(&heap);
    deadline_heap_done(NULL);
}

static void test_pop_order(void **state)
{
    struct deadline d[50] = {0};
    struct deadline_heap heap;
    deadline_heap_init(&heap);
    for (size_t i = 0; i < 50; i++)
        assert_int_equal(deadline_set(&heap, &d[i], i * 37 % 50), ERR_OK);
    for (uint64_t i = 0; i < 50; i++) {
        struct deadline *due = deadline_heap_pop(&heap, 100);
        assert_non_null(due);
        assert_true(due->at_us == i);
    }
    assert_null(deadline_heap_pop(&heap, 100));
    deadline_heap_done(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_search),
        cmocka_unit_test(test_never_takes_out),
        cmocka_unit_test(test_pop_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
