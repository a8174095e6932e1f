/* What the control thread tells the data path: however many packets wait, commands get through, and
 * first. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "host/datapath_internal.h"
#include "wire/sput.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT 16

static struct datapath *make(void)
{
    struct datapath *dp = calloc(1, sizeof(*dp));
    assert_non_null(dp);
    assert_int_equal(handoff_init(&dp->to_data, COUNT), ERR_OK);
    assert_int_equal(handoff_init(&dp->commands, COUNT), ERR_OK);
    return dp;
}

static void drop(struct datapath *dp)
{
    handoff_done(&dp->to_data);
    handoff_done(&dp->commands);
    free(dp);
}

static bool is_awake(const struct datapath *dp)
{
    struct pollfd poll_fd = {.fd = dp->to_data.wake_fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

static void assert_next(struct datapath *dp, enum handoff_kind kind)
{
    struct handoff *handoff;
    const struct handoff_slot *slot = datapath_next_told(dp, &handoff);
    assert_non_null(slot);
    assert_int_equal(slot->kind, kind);
    handoff_pop(handoff);
}

static void test_commands_before_a_flood(void **state)
{
    struct datapath *dp = make();
    const struct endpoint relay = {.address.family = ADDRESS_RELAY, .port = 7};
    const struct address peer = address_from_ipv4(86);
    const uint8_t frame[1400] = {1};
    struct handoff *handoff;
    unsigned frames = 0;
    while (datapath_receive(dp, &relay, frame, sizeof(frame)))
        frames++;
    assert_int_equal(frames, COUNT);
    handoff_clear_wake(&dp->to_data);
    assert_false(is_awake(dp));
    assert_true(datapath_send_command(dp, &peer, SPUT_CLOSE));
    assert_true(is_awake(dp));
    assert_true(datapath_send_probe(dp, &peer, 1280, 5));
    assert_true(datapath_remove_socket(dp, 3));
    assert_next(dp, HANDOFF_COMMAND);
    assert_next(dp, HANDOFF_PROBE);
    assert_next(dp, HANDOFF_SOCKET_REMOVE);
    /* … also one that comes while the frames are being taken. */
    assert_next(dp, HANDOFF_DATAGRAM);
    assert_true(datapath_send_command(dp, &peer, SPUT_PROBE));
    assert_next(dp, HANDOFF_COMMAND);
    while (--frames > 0)
        assert_next(dp, HANDOFF_DATAGRAM);
    assert_null(datapath_next_told(dp, &handoff));
    /* Commands have a bound of their own. */
    for (unsigned i = 0; i < COUNT; i++)
        assert_true(datapath_send_command(dp, &peer, SPUT_PROBE));
    assert_false(datapath_send_command(dp, &peer, SPUT_PROBE));
    assert_true(datapath_send_packet(dp, frame, sizeof(frame)));
    drop(dp);
}

/* All threads send from a socket, so all are told; where one has no room the teller hears of it.
 * What one thread can do is for the first. */
static void test_every_thread_is_told_of_sockets(void **state)
{
    struct datapath *first = make(), *second = make();
    struct udp udp = {.fd = dup(0)};
    first->next = second;
    assert_true(datapath_add_socket(first, 3, &udp));
    for (struct datapath *dp = first; dp != NULL; dp = dp->next) {
        struct handoff *handoff;
        struct udp told;
        const struct handoff_slot *slot = datapath_next_told(dp, &handoff);
        assert_non_null(slot);
        assert_int_equal(slot->kind, HANDOFF_SOCKET_ADD);
        memcpy(&told, slot->data, sizeof(told));
        assert_int_not_equal(told.fd, udp.fd);
        close(told.fd);
        handoff_pop(handoff);
    }
    assert_true(datapath_remove_socket(first, 3));
    assert_next(first, HANDOFF_SOCKET_REMOVE);
    assert_next(second, HANDOFF_SOCKET_REMOVE);
    /* All or none: else some would go on sending from what others do not know. */
    struct handoff *handoff;
    const int lowest = dup(0);
    close(lowest);
    while (handoff_slot_take(&second->commands, NULL, 0) != NULL)
        handoff_push(&second->commands);
    assert_false(datapath_remove_socket(first, 3));
    assert_null(datapath_next_told(first, &handoff));
    assert_false(datapath_add_socket(first, 4, &udp));
    assert_null(datapath_next_told(first, &handoff));
    assert_int_equal(dup(0), lowest); /* no descriptor is left */
    close(lowest);
    assert_non_null(datapath_next_told(second, &handoff));
    handoff_pop(handoff); /* room for one */
    assert_true(datapath_remove_socket(first, 3));
    assert_next(first, HANDOFF_SOCKET_REMOVE);
    datapath_expect(first, 5);
    assert_int_equal(atomic_load(&second->expects_until_us), 5);
    assert_true(datapath_send_command(first, &(struct address){0}, SPUT_PROBE));
    assert_next(first, HANDOFF_COMMAND);
    close(udp.fd);
    drop(first);
    drop(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_commands_before_a_flood),
                                       cmocka_unit_test(test_every_thread_is_told_of_sockets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
