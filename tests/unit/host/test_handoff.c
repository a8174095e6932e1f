/* The queue between two threads: order, bounds, waking, and two threads at once. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "host/handoff.h"
#include <poll.h>
#include <pthread.h>
#include <string.h>

#define COUNT    8
#define MESSAGES 200000

static bool is_awake(const struct handoff *handoff)
{
    struct pollfd poll_fd = {.fd = handoff->wake_fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

static bool put(struct handoff *handoff, uint32_t number)
{
    struct handoff_slot *slot = handoff_slot_take(handoff, &number, sizeof(number));
    if (slot == NULL)
        return false;
    slot->kind = HANDOFF_PACKET;
    slot->number = number;
    handoff_push(handoff);
    return true;
}

static void test_order_and_bounds(void **state)
{
    struct handoff handoff;
    uint8_t data[HANDOFF_DATA_CAP + 1] = {0};
    assert_int_equal(handoff_init(&handoff, COUNT), ERR_OK);
    assert_null(handoff_peek(&handoff));
    for (uint32_t round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < COUNT; i++)
            assert_true(put(&handoff, i));
        assert_false(put(&handoff, 99));
        for (uint32_t i = 0; i < COUNT; i++) {
            struct handoff_slot *slot = handoff_peek(&handoff);
            assert_non_null(slot);
            assert_int_equal(slot->number, i);
            assert_int_equal(slot->len, sizeof(i));
            assert_memory_equal(slot->data, &i, sizeof(i));
            handoff_pop(&handoff);
        }
        assert_null(handoff_peek(&handoff));
    }
    assert_int_equal(handoff.dropped, 5);
    assert_null(handoff_slot_take(&handoff, data, sizeof(data)));
    assert_non_null(handoff_slot_take(&handoff, data, HANDOFF_DATA_CAP));
    assert_null(handoff_peek(&handoff)); /* taken is not pushed */
    assert_int_equal(handoff.dropped, 6);
    handoff_done(&handoff);
    handoff_done(&handoff);
}

/* Floods leave room for what comes alone. */
static void test_bulk(void **state)
{
    struct handoff handoff;
    unsigned taken = 0;
    assert_int_equal(handoff_init(&handoff, COUNT), ERR_OK);
    while (handoff_slot_take_bulk(&handoff, NULL, 0) != NULL) {
        handoff_push(&handoff);
        taken++;
    }
    assert_int_equal(taken, COUNT * 3 / 4);
    for (; taken < COUNT; taken++)
        assert_true(put(&handoff, taken));
    assert_false(put(&handoff, taken));
    handoff_pop(&handoff);
    assert_null(handoff_slot_take_bulk(&handoff, NULL, 0));
    handoff_done(&handoff);
}

static void test_wake(void **state)
{
    struct handoff handoff;
    assert_int_equal(handoff_init(&handoff, COUNT), ERR_OK);
    assert_false(is_awake(&handoff));
    handoff_wake(&handoff);
    handoff_wake(&handoff);
    assert_true(is_awake(&handoff));
    handoff_clear_wake(&handoff);
    assert_false(is_awake(&handoff));
    handoff_clear_wake(&handoff); /* does not wait */
    handoff_done(&handoff);
}

static void *write_all(void *context)
{
    struct handoff *handoff = context;
    for (uint32_t i = 0; i < MESSAGES;) {
        if (put(handoff, i))
            i++;
        handoff_wake(handoff);
    }
    return NULL;
}

static void test_two_threads(void **state)
{
    struct handoff handoff;
    pthread_t writer;
    assert_int_equal(handoff_init(&handoff, 64), ERR_OK);
    assert_int_equal(pthread_create(&writer, NULL, write_all, &handoff), 0);
    for (uint32_t i = 0; i < MESSAGES;) {
        struct pollfd poll_fd = {.fd = handoff.wake_fd, .events = POLLIN};
        struct handoff_slot *slot;
        assert_int_equal(poll(&poll_fd, 1, 10000), 1);
        handoff_clear_wake(&handoff);
        for (; (slot = handoff_peek(&handoff)) != NULL; i++) {
            uint32_t number;
            memcpy(&number, slot->data, sizeof(number));
            if (slot->number != i || number != i)
                fail_msg("message %u says %u and %u", i, slot->number, number);
            handoff_pop(&handoff);
        }
    }
    pthread_join(writer, NULL);
    assert_null(handoff_peek(&handoff));
    handoff_done(&handoff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_bounds),
        cmocka_unit_test(test_bulk),
        cmocka_unit_test(test_wake),
        cmocka_unit_test(test_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
