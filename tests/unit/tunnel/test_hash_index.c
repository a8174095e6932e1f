/* The index: what is added is found and nothing else, also where hashes clash, while it grows, and
 * while others read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "tunnel/hash_index.h"
#include "tunnel/tunnel.h"

#define COUNT  3000
#define ROUNDS 200

struct thing {
    uint32_t key;
    bool is_in;
};

static bool match(const void *entry, const void *key)
{
    return ((const struct thing *)entry)->key == *(const uint32_t *)key;
}

/* Of thirty each one hash, and some of them 0. */
static uint64_t hash_of(uint32_t key)
{
    return key % 7 == 0 ? 0 : (uint64_t)(key / 30) * 0x9e3779b97f4a7c15u;
}

static struct thing *find(struct hash_index *index, uint32_t key)
{
    return (struct thing *)hash_index_find(index, hash_of(key), match, &key);
}

static void put(struct hash_index *index, struct thing *thing)
{
    assert_int_equal(hash_index_add(index, hash_of(thing->key), thing), ERR_OK);
    thing->is_in = true;
}

static void drop(struct hash_index *index, struct thing *thing)
{
    hash_index_replace(index, hash_of(thing->key), thing, NULL);
    thing->is_in = false;
}

static void assert_all(struct hash_index *index, struct thing *things)
{
    for (uint32_t i = 0; i < COUNT; i++)
        assert_ptr_equal(find(index, i), things[i].is_in ? &things[i] : NULL);
}

static void test_find(void **state)
{
    static struct thing things[COUNT], other;
    struct hash_index index;
    assert_int_equal(hash_index_init(&index), ERR_OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        things[i].key = i;
        assert_null(find(&index, i));
        put(&index, &things[i]);
        assert_ptr_equal(find(&index, i), &things[i]);
    }
    assert_all(&index, things);
    for (uint32_t i = 0; i < COUNT; i += 3)
        drop(&index, &things[i]);
    assert_all(&index, things);
    drop(&index, &things[0]); /* is not there any more: nothing happens */
    other.key = 1;
    hash_index_replace(&index, hash_of(1), &things[1], &other);
    assert_ptr_equal(find(&index, 1), &other);
    hash_index_replace(&index, hash_of(1), &other, &things[1]);
    for (uint32_t i = 0; i < COUNT; i += 3)
        put(&index, &things[i]);
    assert_all(&index, things);
    hash_index_done(&index);
}

/* What comes and goes leaves no trace: the array stays as large as what is in it wants. */
static void test_coming_and_going(void **state)
{
    struct thing things[10] = {0};
    struct hash_index index;
    assert_int_equal(hash_index_init(&index), ERR_OK);
    for (uint32_t round = 0; round < 100 * COUNT; round++) {
        struct thing *thing = &things[round % 10];
        if (thing->is_in)
            drop(&index, thing);
        thing->key = round * 31;
        put(&index, thing);
    }
    assert_true(atomic_load(&index.slots)->mask < 128);
    assert_int_equal(index.live, 10);
    hash_index_done(&index);
}

static void test_guess(void **state)
{
    struct thing thing = {.key = 1};
    struct hash_index index;
    assert_int_equal(hash_index_init(&index), ERR_OK);
    assert_null(hash_index_guess(&index, 77));
    assert_int_equal(hash_index_add(&index, 77, &thing), ERR_OK);
    hash_index_look_ahead(&index, 77);
    assert_ptr_equal(hash_index_guess(&index, 77), &thing);
    assert_null(hash_index_guess(&index, 78));
    hash_index_done(&index);
}

struct reading {
    struct hash_index index;
    struct thing *things;
    _Atomic bool is_over;
    _Atomic uint32_t lost, wrong, rounds;
};

/* The even ones are always there. */
static void *look(void *context)
{
    struct reading *r = context;
    tunnel_thread_register();
    while (!atomic_load(&r->is_over)) {
        for (uint32_t i = 0; i < COUNT; i++) {
            tunnel_read_begin();
            const struct thing *found = find(&r->index, i);
            (void)hash_index_guess(&r->index, hash_of(i));
            tunnel_read_end();
            if (found == NULL && i % 2 == 0)
                atomic_fetch_add(&r->lost, 1);
            if (found != NULL && found != &r->things[i])
                atomic_fetch_add(&r->wrong, 1);
        }
        atomic_fetch_add(&r->rounds, 1);
    }
    tunnel_thread_unregister();
    return NULL;
}

static void test_readers(void **state)
{
    static struct thing things[COUNT];
    static struct reading r = {.things = things};
    pthread_t thread;
    tunnel_thread_register();
    assert_int_equal(hash_index_init(&r.index), ERR_OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        things[i].key = i;
        if (i % 2 == 0)
            put(&r.index, &things[i]);
    }
    assert_int_equal(pthread_create(&thread, NULL, look, &r), 0);
    for (unsigned round = 0; round < ROUNDS || atomic_load(&r.rounds) < 3; round++) {
        for (uint32_t i = 1; i < COUNT; i += 2)
            put(&r.index, &things[i]);
        for (uint32_t i = 1; i < COUNT; i += 2)
            drop(&r.index, &things[i]);
    }
    atomic_store(&r.is_over, true);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&r.lost), 0);
    assert_int_equal(atomic_load(&r.wrong), 0);
    hash_index_done(&r.index);
    tunnel_thread_unregister();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_coming_and_going),
        cmocka_unit_test(test_guess),
        cmocka_unit_test(test_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
