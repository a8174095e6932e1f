/* The hash map against a plain array, and SipHash against its published vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "base/map.h"

#define ITEMS 5000

struct item {
    struct map_node node;
    uint32_t key;
    bool is_in;
};

static const uint8_t seed[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* From the reference implementation's vectors_sip64: input 00 01 02 ... of length 0 to 15. */
static const uint64_t sip_vectors[16] = {
    0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
    0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
    0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
    0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5};

static void test_siphash_vectors(void **state)
{
    uint8_t data[16];
    for (size_t len = 0; len < 16; len++) {
        data[len] = (uint8_t)len;
        assert_true(siphash(seed, data, len) == sip_vectors[len]);
    }
    assert_true(siphash(seed, NULL, 0) == sip_vectors[0]);
}

static struct item *find(struct map *map, uint32_t key)
{
    for (struct map_node *n = map_first(map, map_hash(map, &key, sizeof key)); n != NULL;
         n = map_next(n)) {
        struct item *item = CONTAINER_OF(n, struct item, node);
        if (item->key == key)
            return item;
    }
    return NULL;
}

static void check(struct map *map, struct item *items)
{
    size_t count = 0, walked = 0;
    for (uint32_t i = 0; i < ITEMS; i++) {
        assert_ptr_equal(find(map, i), items[i].is_in ? &items[i] : NULL);
        count += items[i].is_in;
    }
    for (struct map_node *n = map_walk(map, NULL); n != NULL; n = map_walk(map, n))
        walked++;
    assert_int_equal(map->count, count);
    assert_int_equal(walked, count);
}

static void test_against_array(void **state)
{
    static struct item items[ITEMS];
    struct map map;
    uint32_t random = 1;
    assert_int_equal(map_init(&map, seed), ERR_OK);
    for (uint32_t i = 0; i < ITEMS; i++)
        items[i].key = i;
    for (int step = 1; step <= 20000; step++) {
        random = random * 1664525 + 1013904223;
        struct item *item = &items[(random >> 8) % ITEMS];
        if (item->is_in)
            map_remove(&map, &item->node);
        else
            assert_int_equal(map_insert(&map, &item->node, map_hash(&map, &item->key, 4)), ERR_OK);
        item->is_in = !item->is_in;
        if (step % 4000 == 0)
            check(&map, items);
    }
    map_done(&map);
}

static void test_equal_hashes(void **state)
{
    struct item items[40] = {0};
    struct map map;
    assert_int_equal(map_init(&map, seed), ERR_OK);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(map_insert(&map, &items[i].node, i % 2 == 0 ? 7 : 7 + (1 << 20)), ERR_OK);
    size_t count = 0;
    for (struct map_node *n = map_first(&map, 7); n != NULL; n = map_next(n)) {
        assert_true(n->hash == 7);
        count++;
    }
    assert_int_equal(count, 20);
    assert_null(map_first(&map, 8));
    map_done(&map);
}

static void test_remove_while_walking(void **state)
{
    struct item items[100] = {0};
    struct map map;
    assert_int_equal(map_init(&map, seed), ERR_OK);
    for (uint32_t i = 0; i < 100; i++) {
        items[i].key = i;
        assert_int_equal(map_insert(&map, &items[i].node, map_hash(&map, &i, sizeof i)), ERR_OK);
    }
    size_t removed = 0;
    struct map_node *node = map_walk(&map, NULL);
    while (node != NULL) {
        struct map_node *next = map_walk(&map, node);
        map_remove(&map, node);
        removed++;
        node = next;
    }
    assert_int_equal(removed, 100);
    assert_int_equal(map.count, 0);
    map_remove(&map, &items[0].node); /* not in it any more: no harm */
    assert_int_equal(map.count, 0);
    map_done(&map);
}

static void test_after_done(void **state)
{
    struct map map;
    struct map_node node;
    assert_int_equal(map_init(&map, seed), ERR_OK);
    map_done(&map);
    map_done(NULL);
    assert_null(map_first(&map, 1));
    assert_null(map_walk(&map, NULL));
    assert_int_equal(map_insert(&map, &node, 1), ERR_STATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash_vectors), cmocka_unit_test(test_against_array),
        cmocka_unit_test(test_equal_hashes),    cmocka_unit_test(test_remove_while_walking),
        cmocka_unit_test(test_after_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
