/* Packet buffers: room in front and behind, and a pool that ends when it is empty. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/packet.h"

static void test_pool_is_bounded(void **state)
{
    struct packet_pool pool;
    struct packet *taken[3];
    assert_int_equal(packet_pool_init(&pool, 3), ERR_OK);
    for (size_t i = 0; i < 3; i++) {
        taken[i] = packet_take(&pool);
        assert_non_null(taken[i]);
        for (size_t j = 0; j < i; j++)
            assert_ptr_not_equal(taken[i], taken[j]);
    }
    assert_null(packet_take(&pool));
    assert_int_equal(pool.left, 0);
    for (size_t i = 0; i < 3; i++)
        packet_give_back(&pool, taken[i]);
    packet_give_back(&pool, NULL);
    assert_int_equal(pool.left, pool.count);
    packet_pool_done(&pool);
    packet_pool_done(&pool);
    packet_pool_done(NULL);
}

static void test_taken_is_fresh(void **state)
{
    struct packet_pool pool;
    assert_int_equal(packet_pool_init(&pool, 1), ERR_OK);
    struct packet *p = packet_take(&pool);
    assert_non_null(packet_push(p, 5));
    p->peer.port = 1;
    p->tos = 3;
    packet_give_back(&pool, p);
    p = packet_take(&pool);
    assert_int_equal(p->len, 0);
    assert_int_equal(p->peer.port, 0);
    assert_int_equal(p->tos, 0);
    assert_int_equal(packet_headroom(p), PACKET_HEADROOM);
    assert_int_equal(packet_tailroom(p), PACKET_CAP - PACKET_HEADROOM);
    assert_int_equal((uintptr_t)p->data % 16, 0);
    packet_give_back(&pool, p);
    packet_pool_done(&pool);
}

static void test_push_and_pull(void **state)
{
    static struct packet p;
    packet_reset(&p);
    p.len = 100;
    uint8_t *start = p.data;
    assert_ptr_equal(packet_push(&p, PACKET_HEADROOM), p.storage);
    assert_int_equal(p.len, 100 + PACKET_HEADROOM);
    assert_null(packet_push(&p, 1));
    assert_ptr_equal(packet_pull(&p, PACKET_HEADROOM), start);
    assert_null(packet_pull(&p, 101));
    assert_int_equal(p.len, 100);
    assert_non_null(packet_pull(&p, 100));
    assert_int_equal(p.len, 0);
    assert_int_equal(packet_headroom(&p) + packet_tailroom(&p), PACKET_CAP);
    assert_null(packet_push(&p, UINT32_MAX));
    assert_null(packet_pull(&p, UINT32_MAX));
}

static void test_lent(void **state)
{
    static struct packet p, before;
    static uint8_t buffer[PACKET_CAP];
    packet_reset(&p);
    assert_true(packet_own(&p)); /* it is */
    for (unsigned i = 0; i < sizeof(buffer); i++)
        buffer[i] = (uint8_t)i;
    packet_lend(&p, buffer, 100, buffer + 10, 60);
    assert_int_equal(packet_headroom(&p), 10);
    assert_int_equal(packet_tailroom(&p), 30);
    assert_null(packet_push(&p, 11));
    assert_ptr_equal(packet_push(&p, 10), buffer);
    assert_ptr_equal(packet_pull(&p, 12), buffer + 12);
    assert_true(packet_own(&p));
    assert_null(p.lent);
    assert_ptr_equal(p.data, p.storage + PACKET_HEADROOM);
    assert_int_equal(p.len, 58);
    assert_memory_equal(p.data, buffer + 12, 58);
    assert_int_equal(packet_headroom(&p) + p.len + packet_tailroom(&p), PACKET_CAP);
    /* What is too long stays where it is. */
    packet_lend(&p, buffer, sizeof(buffer), buffer, PACKET_CAP - PACKET_HEADROOM + 1);
    before = p;
    assert_false(packet_own(&p));
    assert_memory_equal(&p, &before, sizeof(p));
    p.len--;
    assert_true(packet_own(&p));
    /* Nothing is lent any more to who takes it next. */
    packet_lend(&p, buffer, 100, buffer + 10, 60);
    packet_reset(&p);
    assert_null(p.lent);
    assert_ptr_equal(p.data, p.storage + PACKET_HEADROOM);
}

/* The last one given back goes first, as long as there is one: what was never needed stays so. */
static void test_pool_reuses(void **state)
{
    struct packet_pool pool;
    assert_int_equal(packet_pool_init(&pool, 100), ERR_OK);
    struct packet *first = packet_take(&pool), *second = packet_take(&pool);
    packet_give_back(&pool, first);
    packet_give_back(&pool, second);
    for (int i = 0; i < 300; i++) {
        assert_ptr_equal(packet_take(&pool), second);
        assert_int_equal(pool.left, 99);
        packet_give_back(&pool, second);
    }
    assert_int_equal(pool.fresh, 2);
    packet_pool_done(&pool);
}

static void test_empty_pool(void **state)
{
    struct packet_pool pool;
    assert_int_equal(packet_pool_init(&pool, 0), ERR_OK);
    assert_null(packet_take(&pool));
    packet_pool_done(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_is_bounded), cmocka_unit_test(test_taken_is_fresh),
        cmocka_unit_test(test_push_and_pull),   cmocka_unit_test(test_lent),
        cmocka_unit_test(test_empty_pool),      cmocka_unit_test(test_pool_reuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
