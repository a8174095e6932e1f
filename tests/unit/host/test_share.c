/* One thread opens, another writes, under load that comes and goes: everything arrives, once, in
 * order, and every packet is given back. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "host/datapath_internal.h"
#include <linux/virtio_net.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NUMBERS    60000
#define PACKETS    384
#define HEADER_LEN 28
#define SPELL      40 /* rounds of load, and as many without */

struct pair {
    struct tun tun; /* of the thread that reads; what is written there comes out of `out` */
    int out;
    struct datapath *reader, *writer;
    _Atomic bool is_over;
    _Atomic uint32_t shared; /* packets that went by the other thread */
};

static struct datapath *make(const struct tun *tun)
{
    struct datapath *dp = calloc(1, sizeof(*dp));
    assert_non_null(dp);
    dp->config.tun = tun;
    assert_int_equal(packet_pool_init(&dp->pool, PACKETS), ERR_OK);
    assert_int_equal(handoff_init(&dp->to_data, 2), ERR_OK);
    coalesce_init(&dp->coalescer, true);
    return dp;
}

static void drop(struct datapath *dp)
{
    packet_pool_done(&dp->pool);
    handoff_done(&dp->to_data);
    free(dp);
}

/* IPv4, UDP, a number. */
static void fill(struct packet *packet, uint32_t number)
{
    static const uint8_t header[HEADER_LEN] = {0x45, 0,  0,    HEADER_LEN + 4,
                                               0,    0,  0x40, 0,
                                               64,   17, 0,    0,
                                               0,    0,  0,    86,
                                               0,    0,  0,    2,
                                               0,    1,  0,    2,
                                               0,    12, 1,    1};
    memcpy(packet->data, header, sizeof(header));
    memcpy(packet->data + HEADER_LEN, &number, sizeof(number));
    packet->len = HEADER_LEN + sizeof(number);
}

/* As a round of the thread does, but for the sockets. */
static void *read_packets(void *argument)
{
    struct pair *pair = argument;
    struct datapath *dp = pair->reader;
    uint32_t number = 0;
    for (unsigned round = 0; number < NUMBERS; round++) {
        const bool is_full = round / SPELL % 2 == 0;
        share_begin_round(dp);
        const unsigned room = share_room(dp);
        const unsigned count = is_full ? room : round % 3;
        for (unsigned i = 0; i < count && i < room && number < NUMBERS; i++) {
            struct packet *packet = packet_take(&dp->pool);
            if (packet == NULL)
                break;
            fill(packet, number++);
            pair->shared += dp->share.is_on;
            datapath_write_tun(dp, packet);
        }
        datapath_flush_tun(dp);
        share_end_round(dp, is_full);
        share_tell(dp);
    }
    while (dp->share.is_on) { /* until all of them are back */
        share_begin_round(dp);
        share_end_round(dp, false);
        share_tell(dp);
    }
    return NULL;
}

static void *help(void *argument)
{
    struct pair *pair = argument;
    struct pollfd poll_fd = {.fd = pair->writer->to_data.wake_fd, .events = POLLIN};
    while (!atomic_load(&pair->is_over)) {
        if (poll(&poll_fd, 1, 20) != 1)
            continue; /* a wake-up that is missing is seen by the time it takes */
        handoff_clear_wake(&pair->writer->to_data);
        share_help(pair->writer);
    }
    return NULL;
}

static void test_order_under_changing_load(void **state)
{
    struct pair pair = {.tun = {.has_offload = true, .has_udp_offload = true}};
    uint8_t message[70000];
    uint32_t expected = 0;
    pthread_t ids[2];
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    pair.tun.fd = fds[0];
    pair.out = fds[1];
    pair.reader = make(&pair.tun);
    pair.writer = make(&pair.tun);
    pair.reader->helper = pair.writer;
    pair.writer->helped = pair.reader;
    assert_int_equal(pthread_create(&ids[0], NULL, read_packets, &pair), 0);
    assert_int_equal(pthread_create(&ids[1], NULL, help, &pair), 0);
    while (expected < NUMBERS) {
        const ssize_t len = recv(pair.out, message, sizeof(message), 0);
        const size_t start = sizeof(struct virtio_net_hdr) + HEADER_LEN;
        assert_true(len > (ssize_t)start && ((size_t)len - start) % 4 == 0);
        for (size_t at = start; at < (size_t)len; at += 4, expected++)
            assert_memory_equal(message + at, &expected, 4);
    }
    pthread_join(ids[0], NULL);
    atomic_store(&pair.is_over, true);
    pthread_join(ids[1], NULL);
    assert_int_equal(pair.reader->pool.left, PACKETS);
    assert_int_equal(pair.writer->pool.left, PACKETS);
    assert_true(pair.shared > NUMBERS / 10 && pair.shared < NUMBERS);
    close(fds[0]);
    close(fds[1]);
    drop(pair.reader);
    drop(pair.writer);
}

/* Nobody is asked who has enough to do; alone, and without super-packets, nothing changes. */
static void test_not_shared(void **state)
{
    struct tun tun = {.fd = -1, .has_offload = true};
    struct datapath *dp = make(&tun), *other = make(&tun);
    for (int kind = 0; kind < 3; kind++) {
        dp->helper = kind == 0 ? NULL : other;
        tun.has_offload = kind != 1;
        atomic_store(&other->share.is_loaded, kind == 2);
        for (int round = 0; round < 2 * SHARE_AFTER; round++) {
            share_begin_round(dp);
            assert_false(dp->share.is_on);
            assert_int_equal(share_room(dp), BATCH_MAX);
            share_end_round(dp, true);
            share_tell(dp);
        }
    }
    atomic_store(&other->share.is_loaded, false);
    share_begin_round(dp);
    assert_true(dp->share.is_on);
    drop(dp);
    drop(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order_under_changing_load),
                                       cmocka_unit_test(test_not_shared)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
