/* Memory taken and given back: apart from each other, aligned, zeroed, taken again; huge blocks
 * once there is much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "base/arena.h"

#define COUNT 5000
#define EACH  1000 /* bytes of one of many things */

static size_t size_of(unsigned i)
{
    static const size_t sizes[] = {1, 64, 65, 500, 1152, 4096, ARENA_SIZE_MAX};
    return sizes[i % (sizeof(sizes) / sizeof(sizes[0]))];
}

static void assert_filled(const uint8_t *thing, size_t size, uint8_t with)
{
    for (size_t i = 0; i < size; i++)
        assert_int_equal(thing[i], with);
}

static void test_apart(void **state)
{
    static uint8_t *things[COUNT];
    struct arena *arena;
    assert_int_equal(arena_new(&arena), ERR_OK);
    for (unsigned i = 0; i < COUNT; i++) {
        things[i] = (uint8_t *)arena_take(arena, size_of(i));
        assert_non_null(things[i]);
        assert_int_equal((uintptr_t)things[i] % ARENA_LINE, 0);
        assert_filled(things[i], size_of(i), 0);
        memset(things[i], (int)(i % 251), size_of(i));
    }
    for (unsigned i = 0; i < COUNT; i++)
        assert_filled(things[i], size_of(i), (uint8_t)(i % 251));
    arena_free(arena);
}

static void test_taken_again(void **state)
{
    struct arena *arena;
    assert_int_equal(arena_new(&arena), ERR_OK);
    uint8_t *first = (uint8_t *)arena_take(arena, 300);
    uint8_t *second = (uint8_t *)arena_take(arena, 300);
    memset(first, 1, 300);
    memset(second, 2, 300);
    arena_give_back(arena, NULL, 300);
    arena_give_back(arena, first, 300);
    assert_ptr_not_equal(arena_take(arena, 400), first); /* another size */
    assert_ptr_equal(arena_take(arena, 300), first);
    assert_filled(first, 300, 0);
    assert_filled(second, 300, 2);
    assert_ptr_not_equal(arena_take(arena, 300), second);
    const size_t size = arena_size(arena);
    for (unsigned i = 0; i < COUNT; i++)
        arena_give_back(arena, arena_take(arena, EACH), EACH);
    assert_int_equal(arena_size(arena), size);
    arena_free(arena);
    arena_free(NULL);
}

static void test_limits(void **state)
{
    struct arena *arena;
    assert_int_equal(arena_new(&arena), ERR_OK);
    assert_int_equal(arena_size(arena), 0);
    assert_null(arena_take(arena, 0));
    assert_null(arena_take(arena, ARENA_SIZE_MAX + 1));
    assert_null(arena_take(arena, SIZE_MAX));
    assert_int_equal(arena_size(arena), 0);
    arena_free(arena);
}

/* Little is taken from the system for few things, and not much more than needed for many. */
static void test_growth(void **state)
{
    struct arena *arena;
    assert_int_equal(arena_new(&arena), ERR_OK);
    assert_non_null(arena_take(arena, EACH));
    assert_true(arena_size(arena) <= 64 << 10);
    size_t taken = 1024;
    for (unsigned i = 1; i < COUNT; i++) {
        const size_t before = arena_size(arena);
        uint8_t *thing = (uint8_t *)arena_take(arena, EACH);
        taken += 1024;
        assert_non_null(thing);
        assert_true(arena_size(arena) < taken + taken / 50 + (2 << 20));
        /* A block of 2 MiB is a huge page's. */
        if (arena_size(arena) - before == 2 << 20)
            assert_true((uintptr_t)thing % (2 << 20) < 2 * ARENA_LINE);
    }
    arena_free(arena);
}

static void *take_and_give(void *context)
{
    struct arena *arena = (struct arena *)context;
    for (unsigned i = 0; i < COUNT; i++) {
        const size_t size = size_of(i);
        uint8_t *thing = (uint8_t *)arena_take(arena, size);
        for (size_t at = 0; thing != NULL && at < size; at++) {
            if (thing[at] != 0)
                return arena;
        }
        if (thing != NULL)
            memset(thing, 7, size);
        arena_give_back(arena, thing, size);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct arena *arena;
    pthread_t threads[3];
    void *result;
    assert_int_equal(arena_new(&arena), ERR_OK);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, arena), 0);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apart),   cmocka_unit_test(test_taken_again),
        cmocka_unit_test(test_limits),  cmocka_unit_test(test_growth),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
