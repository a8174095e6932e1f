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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_commands_before_a_flood)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
