/* Packets from the TUN for many tunnels wait for those that are there already, and for no others;
 * they leave in the order in which they came, also around super-packets. With few tunnels none
 * waits. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "host/datapath_internal.h"
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define MANY       200
#define PACKETS    384
#define OWN        0x0a000001u
#define PEERS      0x0a010000u
#define HEADER_LEN 28
#define HANDED     2

struct state {
    int kernel; /* the other end of the TUN */
    struct tun tun;
    struct udp udp;
    struct datapath dp;
};

static void add_tunnel(struct tunnel_table *table, uint32_t number)
{
    static const uint8_t key[SUITE_KEY_CAP] = {1};
    const struct view view = {.own_ipv4 = address_from_ipv4(OWN),
                              .peer_ipv4 = address_from_ipv4(PEERS + number)};
    const struct endpoint remote = {.address = address_from_ipv4(0xc0000201),
                                    .port = (uint16_t)(1000 + number)};
    const struct tunnel_child child = {.id = 1,
                                       .suite = number % 2 ? SPUT_AES128_GCM : SPUT_PAPER,
                                       .key_in = key,
                                       .key_out = key,
                                       .key_len =
                                           suite_key_len(number % 2 ? SPUT_AES128_GCM : SPUT_PAPER),
                                       .remote = view};
    struct tunnel *tunnel;
    assert_int_equal(tunnel_add(table, &view, NULL, &tunnel), ERR_OK);
    assert_int_equal(tunnel_set_path(table, tunnel, &remote, 1500), ERR_OK);
    assert_int_equal(tunnel_add_child(tunnel, &child), ERR_OK);
    assert_int_equal(tunnel_set_outbound(tunnel, 1), ERR_OK);
}

static void begin(struct state *s, uint32_t tunnels)
{
    static const uint8_t seed[16] = {3};
    int fds[2];
    memset(s, 0, sizeof(*s));
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds), 0);
    s->kernel = fds[0];
    s->tun = (struct tun){.fd = fds[1], .has_offload = true};
    s->udp.fd = -1; /* what is sent is lost */
    struct datapath *dp = &s->dp;
    dp->config.tun = &s->tun;
    dp->config.udp = &s->udp;
    assert_int_equal(packet_pool_init(&dp->pool, PACKETS), ERR_OK);
    assert_int_equal(sput_batch_new(&dp->tags), ERR_OK);
    assert_int_equal(handoff_init(&dp->from_local, HANDED), ERR_OK);
    coalesce_init(&dp->coalescer, true);
    assert_int_equal(tunnel_table_new(seed, &dp->config.tunnels), ERR_OK);
    for (uint32_t i = 0; i < tunnels; i++)
        add_tunnel(dp->config.tunnels, i);
    tunnel_read_begin();
}

static void end(struct state *s)
{
    datapath_flush(&s->dp);
    tunnel_read_end();
    assert_int_equal(s->dp.pool.left, PACKETS);
    handoff_done(&s->dp.from_local);
    sput_batch_free(s->dp.tags);
    packet_pool_done(&s->dp.pool);
    tunnel_table_free(s->dp.config.tunnels);
    close(s->kernel);
    close(s->tun.fd);
}

/* IPv4 and UDP to a peer; with a segment length a super-packet. */
static void send_packet(struct state *s, uint32_t number, uint16_t len, uint16_t segment_len)
{
    struct virtio_net_hdr header = {0};
    uint8_t bytes[2000] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1};
    const uint32_t to = PEERS + number;
    const uint16_t all = HEADER_LEN + len;
    for (unsigned i = 0; i < 4; i++)
        bytes[16 + i] = (uint8_t)(to >> (24 - 8 * i));
    bytes[2] = (uint8_t)(all >> 8);
    bytes[3] = (uint8_t)all;
    bytes[24] = (uint8_t)((len + 8) >> 8);
    bytes[25] = (uint8_t)(len + 8);
    if (segment_len > 0)
        header = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                         .gso_type = 5, /* UDP_L4 */
                                         .hdr_len = HEADER_LEN,
                                         .gso_size = segment_len,
                                         .csum_start = 20,
                                         .csum_offset = 6};
    const struct iovec parts[2] = {{&header, sizeof(header)}, {bytes, all}};
    assert_int_equal(writev(s->kernel, parts, 2), sizeof(header) + all);
}

static void read_all(struct state *s)
{
    while (datapath_read_tun(&s->dp) > 0)
        ;
}

static void assert_to(const struct state *s, unsigned at, uint32_t number)
{
    assert_int_equal(s->dp.batch[at]->peer.port, 1000 + number);
}

static void test_order(void **state)
{
    static struct state s;
    begin(&s, MANY);
    for (uint32_t i = 0; i < 20; i++)
        send_packet(&s, i * 7 % MANY, 64, 0);
    read_all(&s);
    assert_int_equal(s.dp.batch_count, 0);
    assert_int_equal(s.dp.gathered.count, 20);
    send_packet(&s, 33, 300, 100); /* three of them */
    send_packet(&s, 44, 64, 0);
    read_all(&s);
    assert_int_equal(s.dp.batch_count, 23);
    gather_flush(&s.dp);
    assert_int_equal(s.dp.batch_count, 24);
    for (uint32_t i = 0; i < 20; i++)
        assert_to(&s, i, i * 7 % MANY);
    for (uint32_t i = 20; i < 23; i++)
        assert_to(&s, i, 33);
    assert_to(&s, 23, 44);
    gather_flush(&s.dp); /* nothing there */
    assert_int_equal(s.dp.batch_count, 24);
    end(&s);
}

static void test_few(void **state)
{
    static struct state s;
    begin(&s, 3);
    for (uint32_t i = 0; i < 6; i++) {
        send_packet(&s, i % 3, 64, 0);
        assert_int_equal(datapath_read_tun(&s.dp), 1);
        assert_int_equal(s.dp.batch_count, i + 1);
        assert_to(&s, i, i % 3);
    }
    end(&s);
}

/* As many as there is room for are taken at once; and what has no tunnel, or is nonsense, harms no
 * other. */
static void test_limits(void **state)
{
    static struct state s;
    begin(&s, MANY);
    for (uint32_t i = 0; i < 150; i++) {
        send_packet(&s, i % 3 == 2 ? MANY + i : i, 64, 0);
        assert_int_equal(datapath_read_tun(&s.dp), 1);
        assert_true(s.dp.gathered.count < LOOK_AHEAD_MAX);
    }
    uint8_t nonsense[sizeof(struct virtio_net_hdr) + 1] = {0};
    assert_int_equal(write(s.kernel, nonsense, sizeof(nonsense)), sizeof(nonsense));
    read_all(&s);
    gather_flush(&s.dp);
    /* 100 of 150 have a tunnel; 64 of those have left, by a socket that is closed. Of the others
     * the control thread is told of as many as it has room for. */
    assert_int_equal(s.dp.batch_count, 36);
    assert_int_equal(drop_counted(&s.dp.drops, DROP_CONGESTION), 64 + 50 - HANDED);
    assert_true(drop_counted(&s.dp.drops, DROP_MALFORMED) > 0);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_few),
        cmocka_unit_test(test_limits),
    };
    tunnel_thread_register();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tunnel_thread_unregister();
    return failed;
}
