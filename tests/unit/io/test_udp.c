/* Batches over loopback and over a link with a narrow MTU:
 *
 *   this namespace: ext 192.0.2.1/24, 2001:db8::1/64 ── veth, MTU 1300 ── far 192.0.2.2,
 * 2001:db8::2
 */
#include "testnet.h"

#include "io/udp.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define COUNT 8

static struct packet_pool pool;
static struct packet *packets[COUNT];
static struct udp udp;
static int peer;

static int set_up(void **state)
{
    const struct udp_options options = {.mark = 7};

    testnet_enter();
    peer = testnet_peer("ext", "far");
    testnet_run("ip address add 192.0.2.1/24 dev ext; ip address add 2001:db8::1/64 dev ext nodad;"
                "ip link set ext mtu 1300");
    testnet_run("nsenter -t %d -n sh -c 'ip address add 192.0.2.2/24 dev far;"
                "ip address add 2001:db8::2/64 dev far nodad'",
                peer);
    if (packet_pool_init(&pool, COUNT) < 0)
        return 1;
    for (int i = 0; i < COUNT; i++)
        packets[i] = packet_take(&pool);
    return udp_open(&options, &udp);
}

static int tear_down(void **state)
{
    for (int i = 0; i < COUNT; i++)
        packet_give_back(&pool, packets[i]);
    packet_pool_done(&pool);
    udp_close(&udp);
    testnet_leave(peer);
    return 0;
}

static void fill(struct packet *packet, const char *to, uint8_t tos, uint8_t byte, uint32_t len)
{
    packet_reset(packet);
    packet->peer = testnet_endpoint(to);
    packet->tos = tos;
    packet->len = len;
    memset(packet->data, byte, len);
}

static struct endpoint self(const char *address)
{
    struct endpoint e = {.address = testnet_address(address), .port = udp.port};

    return e;
}

static int option(int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    assert_int_equal(getsockopt(udp.fd, level, name, &value, &len), 0);
    return value;
}

static void the_socket_is_what_tunnels_want(void **state)
{
    struct udp second = {.fd = -1};
    const struct udp_options same = {.port = udp.port};
    struct udp_options shared = {.is_shared = true};
    struct udp first_shared;

    assert_true(udp.is_dual_stack);
    assert_int_not_equal(udp.port, 0);
    assert_int_equal(option(IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DO);
    assert_int_equal(option(IPPROTO_IPV6, IPV6_MTU_DISCOVER), IPV6_PMTUDISC_DO);
    assert_int_equal(option(SOL_SOCKET, SO_MARK), 7);
    assert_true(option(SOL_SOCKET, SO_RCVBUF) >= UDP_BUFFER_BYTES);
    assert_int_equal(udp_open(&same, &second), ERR_EXISTS);
    assert_int_equal(second.fd, -1);
    assert_int_equal(udp_open(&shared, &first_shared), ERR_OK);
    shared.port = first_shared.port;
    assert_int_equal(udp_open(&shared, &second), ERR_OK);
    assert_int_equal(second.port, first_shared.port);
    udp_close(&second);
    udp_close(&first_shared);
}

/* Two sockets on one port: each peer keeps to one of them, and of many peers both get some. */
static void a_shared_port_keeps_peers_apart(void **state)
{
    struct udp group[2], alone = {.fd = -1};
    struct udp_options options = {.is_probing = true};
    struct packet storage, *packet = &storage;
    unsigned got[2] = {0}, count;
    char byte = 7;

    assert_int_equal(udp_open(&options, &group[0]), ERR_OK);
    options.port = group[0].port;
    options.is_shared = true;
    assert_int_equal(udp_open(&options, &alone), ERR_EXISTS);
    assert_int_equal(udp_share(&group[0]), ERR_OK);
    assert_int_equal(udp_open(&options, &group[1]), ERR_OK);
    for (int from = 0; from < 32; from++) {
        struct endpoint to = self("127.0.0.1");
        unsigned own[2] = {0};
        struct udp sender;

        to.port = options.port;
        assert_int_equal(udp_open(&(struct udp_options){0}, &sender), ERR_OK);
        for (int i = 0; i < 3; i++)
            assert_int_equal(udp_send(&sender, &to, 0, &byte, 1), ERR_OK);
        for (int i = 0; i < 2; i++) {
            packet_reset(packet);
            while (udp_receive_batch(&group[i], &packet, 1, &count) == ERR_OK)
                own[i] += count;
            got[i] += own[i];
        }
        assert_int_equal(own[0] + own[1], 3);
        assert_true(own[0] == 0 || own[1] == 0);
        udp_close(&sender);
    }
    assert_true(got[0] > 0 && got[1] > 0);
    udp_close(&group[0]);
    udp_close(&group[1]);
}

/* Two peers at once, from one address of ours; strangers still come to the first. */
static void sockets_for_one_peer_each(void **state)
{
    struct udp wide, peers[2], own[2], stranger;
    struct packet storage, *packet = &storage;
    const struct address local = testnet_address("127.0.0.1");
    const uint8_t marked[] = {0, 0, 0, 0, 1}; /* as IKE comes */
    unsigned count;

    assert_int_equal(udp_open(&(struct udp_options){.is_probing = true}, &wide), ERR_OK);
    assert_int_equal(udp_open(&(struct udp_options){0}, &stranger), ERR_OK);
    const struct endpoint to = {.address = local, .port = wide.port};
    for (int i = 0; i < 2; i++) {
        struct endpoint remote = {.address = local};

        assert_int_equal(udp_open(&(struct udp_options){0}, &peers[i]), ERR_OK);
        remote.port = peers[i].port;
        int error = udp_open_encapsulated(&wide, &local, &remote, &own[i]);
        if (error == ERR_UNSUPPORTED)
            skip(); /* the kernel has no ESP in UDP */
        assert_int_equal(error, ERR_OK);
        assert_int_equal(own[i].port, wide.port);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(udp_send(&peers[i], &to, 0, marked, sizeof(marked)), ERR_OK);
        packet_reset(packet);
        assert_true(testnet_is_readable(own[i].fd, 2000));
        assert_int_equal(udp_receive_batch(&own[i], &packet, 1, &count), ERR_OK);
        assert_int_equal(packet->peer.port, peers[i].port);
        assert_int_equal(udp_receive_batch(&own[!i], &packet, 1, &count), ERR_AGAIN);
    }
    assert_int_equal(udp_send(&stranger, &to, 0, marked, sizeof(marked)), ERR_OK);
    packet_reset(packet);
    assert_true(testnet_is_readable(wide.fd, 2000));
    assert_int_equal(udp_receive_batch(&wide, &packet, 1, &count), ERR_OK);
    assert_int_equal(packet->peer.port, stranger.port);
    udp_close(&stranger);
    /* Nobody gets the port by accident for that. */
    assert_int_equal(udp_open(&(struct udp_options){.port = wide.port}, &stranger), ERR_EXISTS);
    for (int i = 0; i < 2; i++) {
        udp_close(&own[i]);
        udp_close(&peers[i]);
    }
    udp_close(&wide);
}

static void batches_arrive_with_sender_and_tos(void **state)
{
    static const char *const senders[] = {"127.0.0.1", "::1"};
    int8_t results[COUNT];
    unsigned count = 0;

    for (int kind = 0; kind < 2; kind++) {
        struct endpoint to = self(senders[kind]);

        assert_int_equal(udp_receive_batch(&udp, packets, COUNT, &count), ERR_AGAIN);
        for (uint32_t i = 0; i < COUNT; i++) {
            /* ECN and DSCP of all kinds; 0 among them. Empty datagrams too. */
            fill(packets[i], "192.0.2.2:1", (uint8_t)(i * 0x25), (uint8_t)i, i * 100);
            packets[i]->peer = to;
        }
        assert_int_equal(udp_send_batch(&udp, packets, COUNT, results), ERR_OK);
        for (uint32_t i = 0; i < COUNT; i++) {
            assert_int_equal(results[i], ERR_OK);
            fill(packets[i], "192.0.2.2:1", 0xff, 0xee, 1000);
        }
        assert_int_equal(udp_receive_batch(&udp, packets, COUNT, &count), ERR_OK);
        assert_int_equal(count, COUNT);
        for (uint32_t i = 0; i < COUNT; i++) {
            assert_int_equal(packets[i]->len, i * 100);
            assert_int_equal(packets[i]->tos, (uint8_t)(i * 0x25));
            assert_true(endpoint_is_equal(&packets[i]->peer, &to));
            for (uint32_t j = 0; j < packets[i]->len; j++)
                assert_int_equal(packets[i]->data[j], i);
        }
    }
}

static void fewer_are_received_than_asked_for(void **state)
{
    struct endpoint to = self("127.0.0.1");
    unsigned count = 0;

    for (int i = 0; i < 3; i++)
        assert_int_equal(udp_send(&udp, &to, 0, "abc", 3), ERR_OK);
    assert_int_equal(udp_receive_batch(&udp, packets, 2, &count), ERR_OK);
    assert_int_equal(count, 2);
    assert_int_equal(udp_receive_batch(&udp, packets, COUNT, &count), ERR_OK);
    assert_int_equal(count, 1);
    assert_memory_equal(packets[0]->data, "abc", 3);
}

static void too_long_ones_are_dropped_and_the_rest_kept(void **state)
{
    struct endpoint to = self("127.0.0.1");
    struct packet *before[COUNT];
    uint8_t *large = calloc(1, 8000);
    unsigned count = 0;
    unsigned found = 0;

    memcpy(before, packets, sizeof before);
    for (int i = 0; i < COUNT; i++)
        packet_reset(packets[i]);
    assert_int_equal(udp_send(&udp, &to, 0, "first", 5), ERR_OK);
    assert_int_equal(udp_send(&udp, &to, 0, large, 8000), ERR_OK);
    assert_int_equal(udp_send(&udp, &to, 0, large, PACKET_CAP - PACKET_HEADROOM), ERR_OK);
    assert_int_equal(udp_send(&udp, &to, 0, large, PACKET_CAP - PACKET_HEADROOM + 1), ERR_OK);
    assert_int_equal(udp_send(&udp, &to, 0, "last", 4), ERR_OK);
    assert_int_equal(udp_receive_batch(&udp, packets, COUNT, &count), ERR_OK);
    assert_int_equal(count, 3);
    assert_memory_equal(packets[0]->data, "first", 5);
    assert_int_equal(packets[1]->len, PACKET_CAP - PACKET_HEADROOM);
    assert_memory_equal(packets[2]->data, "last", 4);
    /* No packet is lost from the caller's array or in it twice. */
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++)
            found += before[i] == packets[j];
    assert_int_equal(found, COUNT);
    assert_int_equal(udp_send(&udp, &to, 0, large, 8000), ERR_OK);
    assert_int_equal(udp_receive_batch(&udp, packets, COUNT, &count), ERR_AGAIN);
    free(large);
}

static void each_failure_is_its_own(void **state)
{
    int8_t results[COUNT];
    int four, six;

    testnet_switch(peer);
    four = testnet_bind(SOCK_DGRAM, "192.0.2.2:7000");
    six = testnet_bind(SOCK_DGRAM, "[2001:db8::2]:7000");
    testnet_switch(0);
    fill(packets[0], "192.0.2.2:7000", 0, 1, 100);
    fill(packets[1], "192.0.2.2:7000", 0, 1, 1273);   /* with 28 bytes of headers: 1301 */
    fill(packets[2], "198.51.100.1:7000", 0, 1, 100); /* no route */
    fill(packets[3], "192.0.2.2:7000", 0, 1, 1272);
    fill(packets[4], "[2001:db8::2]:7000", 0, 1, 1253);
    fill(packets[5], "[2001:db8::2]:7000", 0, 1, 1252);
    fill(packets[6], "[2001:db8:9::2]:7000", 0, 1, 10);
    fill(packets[7], "192.0.2.2:7000", 0, 1, 1);
    assert_int_equal(udp_send_batch(&udp, packets, COUNT, results), ERR_LIMIT);
    assert_int_equal(results[0], ERR_OK);
    assert_int_equal(results[1], ERR_LIMIT);
    assert_int_equal(results[2], ERR_IO);
    assert_int_equal(results[3], ERR_OK);
    assert_int_equal(results[4], ERR_LIMIT);
    assert_int_equal(results[5], ERR_OK);
    assert_int_equal(results[6], ERR_IO);
    assert_int_equal(results[7], ERR_OK);
    for (int i = 0; i < 3; i++) {
        static const ssize_t lens[] = {100, 1272, 1};
        uint8_t data[2000];

        assert_true(testnet_is_readable(four, 2000));
        assert_int_equal(recv(four, data, sizeof data, 0), lens[i]);
    }
    assert_true(testnet_is_readable(six, 2000));
    close(four);
    close(six);
    assert_int_equal(udp_send(&udp, &packets[2]->peer, 0, "x", 1), ERR_IO);
}

static void icmp_errors_do_not_stop_it(void **state)
{
    struct endpoint closed = testnet_endpoint("192.0.2.2:7999");
    struct endpoint to = self("127.0.0.1");
    unsigned count;

    for (int i = 0; i < 10; i++) {
        assert_int_equal(udp_send(&udp, &closed, 0, "x", 1), ERR_OK);
        assert_int_equal(udp_send(&udp, &to, 0, "abc", 3), ERR_OK);
        assert_int_equal(udp_receive_batch(&udp, packets, COUNT, &count), ERR_OK);
        assert_int_equal(count, 1);
    }
}

static void path_mtu_is_known(void **state)
{
    struct endpoint four = testnet_endpoint("192.0.2.2:7000");
    struct endpoint six = testnet_endpoint("[2001:db8::2]:7000");
    struct endpoint nowhere = testnet_endpoint("198.51.100.1:7000");
    struct endpoint local = self("127.0.0.1");
    uint32_t mtu = 0;

    assert_int_equal(udp_path_mtu(&udp, &four, &mtu), ERR_OK);
    assert_int_equal(mtu, 1300);
    assert_int_equal(udp_path_mtu(&udp, &six, &mtu), ERR_OK);
    assert_int_equal(mtu, 1300);
    assert_int_equal(udp_path_mtu(&udp, &local, &mtu), ERR_OK);
    assert_true(mtu >= 65535);
    assert_int_equal(udp_path_mtu(&udp, &nowhere, &mtu), ERR_IO);
    testnet_run("ip route add 192.0.2.2/32 dev ext mtu 1200");
    assert_int_equal(udp_path_mtu(&udp, &four, &mtu), ERR_OK);
    assert_int_equal(mtu, 1200);
    testnet_run("ip route delete 192.0.2.2/32 dev ext");
}

static void what_leaves_has_df(void **state)
{
    struct endpoint to = testnet_endpoint("192.0.2.2:7000");

    testnet_run("nft -f - <<E\ntable ip t {\n counter df {\n }\n counter ef {\n }\n"
                " chain o {\n  type filter hook output priority 0;\n"
                "  ip daddr 192.0.2.2 ip frag-off & 0x4000 != 0 counter name df\n"
                "  ip daddr 192.0.2.2 ip dscp ef counter name ef\n }\n}\nE");
    assert_int_equal(udp_send(&udp, &to, 46 << 2, "x", 1), ERR_OK);
    assert_int_equal(udp_send(&udp, &to, 0, "x", 1), ERR_OK);
    assert_non_null(strstr(testnet_output("nft list counter ip t df"), "packets 2 "));
    assert_non_null(strstr(testnet_output("nft list counter ip t ef"), "packets 1 "));
    testnet_run("nft add rule ip t o ip daddr 192.0.2.2 drop");
    assert_int_equal(udp_send(&udp, &to, 0, "x", 1), ERR_IO);
    testnet_run("nft flush ruleset");
}

/* The options that a datagram has arrived with, and its data. */
static ssize_t receive_options(int fd, uint8_t *ret_options, size_t *ret_count, uint8_t *ret_data)
{
    union {
        struct cmsghdr aligned;
        uint8_t bytes[CMSG_SPACE(40)];
    } control;
    struct iovec part = {.iov_base = ret_data, .iov_len = 100};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    ssize_t len;
    struct cmsghdr *message;

    assert_true(testnet_is_readable(fd, 2000));
    len = recvmsg(fd, &header, 0);
    message = CMSG_FIRSTHDR(&header);
    *ret_count = 0;
    if (message != NULL && message->cmsg_level == IPPROTO_IP && message->cmsg_type == IP_RECVOPTS) {
        *ret_count = message->cmsg_len - CMSG_LEN(0);
        memcpy(ret_options, CMSG_DATA(message), *ret_count);
    }
    return len;
}

/* What dies at the second hop arrives at the first, counted up by one. */
static void openers_carry_a_full_timestamp_option(void **state)
{
    static const unsigned depths[] = {1, 2, 3, 15};
    struct endpoint to = testnet_endpoint("192.0.2.2:7000");
    struct endpoint six = testnet_endpoint("[2001:db8::2]:7000");
    uint8_t options[40];
    uint8_t data[100];
    size_t count;
    int one = 1;
    int far;

    testnet_switch(peer);
    far = testnet_bind(SOCK_DGRAM, "192.0.2.2:7000");
    testnet_switch(0);
    assert_int_equal(setsockopt(far, IPPROTO_IP, IP_RECVOPTS, &one, sizeof one), 0);
    for (int i = 0; i < 4; i++) {
        const uint8_t expected[] = {0x44, 8, 9, (uint8_t)((16 - depths[i]) << 4), 0, 0, 0, 0};

        assert_int_equal(udp_send_opener(&udp, &to, depths[i], "ab", 2), ERR_OK);
        assert_int_equal(receive_options(far, options, &count, data), 2);
        assert_memory_equal(data, "ab", 2);
        assert_int_equal(count, sizeof expected);
        assert_memory_equal(options, expected, sizeof expected);
    }
    assert_int_equal(udp_send(&udp, &to, 0, "abc", 3), ERR_OK);
    assert_int_equal(receive_options(far, options, &count, data), 3);
    assert_int_equal(count, 0);
    assert_int_equal(udp_send_opener(&udp, &to, 0, "ab", 2), ERR_INVALID);
    assert_int_equal(udp_send_opener(&udp, &to, 16, "ab", 2), ERR_INVALID);
    assert_int_equal(udp_send_opener(&udp, &six, 1, "ab", 2), ERR_INVALID);
    assert_false(testnet_is_readable(far, 50));
    close(far);
}

static void a_ttl_is_for_one_datagram(void **state)
{
    struct endpoint to = testnet_endpoint("192.0.2.2:7000");
    struct endpoint six = testnet_endpoint("[2001:db8::2]:7000");

    testnet_run("nft -f - <<E\ntable ip t {\n counter two {\n }\n counter other {\n }\n"
                " chain o {\n  type filter hook output priority 0;\n"
                "  ip daddr 192.0.2.2 ip ttl 2 counter name two\n"
                "  ip daddr 192.0.2.2 ip ttl != 2 counter name other\n }\n}\nE");
    assert_int_equal(udp_send_ttl(&udp, &to, 2, "x", 1), ERR_OK);
    assert_int_equal(udp_send(&udp, &to, 0, "x", 1), ERR_OK);
    assert_non_null(strstr(testnet_output("nft list counter ip t two"), "packets 1 "));
    assert_non_null(strstr(testnet_output("nft list counter ip t other"), "packets 1 "));
    testnet_run("nft flush ruleset");
    assert_int_equal(udp_send_ttl(&udp, &to, 0, "x", 1), ERR_INVALID);
    assert_int_equal(udp_send_ttl(&udp, &six, 2, "x", 1), ERR_INVALID);
}

/* What routers say is told and not obeyed; the own interface's word is both. */
static void a_probing_socket_goes_its_own_way(void **state)
{
    const struct udp_options options = {.mark = 7, .is_probing = true};
    const uint8_t data[1400] = {0};
    struct udp probing;
    struct udp_too_big big = {0};

    assert_int_equal(udp_open(&options, &probing), ERR_OK);
    for (int family = 4; family <= 6; family += 2) {
        struct endpoint to =
            testnet_endpoint(family == 4 ? "192.0.2.2:7000" : "[2001:db8::2]:7000");
        const size_t most = 1300 - (family == 4 ? 28 : 48);

        assert_int_equal(udp_receive_too_big(&probing, &big), ERR_AGAIN);
        assert_int_equal(udp_send(&probing, &to, 0, data, most), ERR_OK);
        assert_int_equal(udp_send(&probing, &to, 0, data, most + 1), ERR_LIMIT);
        assert_int_equal(udp_receive_too_big(&probing, &big), ERR_OK);
        assert_true(big.is_local);
        assert_int_equal(big.size, 1300);
        assert_true(address_is_equal(&big.to.address, &to.address));
        while (udp_receive_too_big(&probing, &big) == ERR_OK)
            assert_true(big.is_local && big.size == 1300);
    }
    /* The far end passes on to a link of 1200 bytes, and says so. */
    struct endpoint beyond = testnet_endpoint("198.51.100.9:7000");
    testnet_run("ip route add 198.51.100.0/24 via 192.0.2.2");
    testnet_run(
        "nsenter -t %d -n sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; ip link add narrow "
        "mtu 1200 type bridge; ip address add 198.51.100.1/24 dev narrow; ip link set narrow "
        "up; ip neighbour add 198.51.100.9 lladdr 02:00:00:00:00:01 dev narrow'",
        peer);
    assert_int_equal(udp_send(&probing, &beyond, 0, data, 1250), ERR_OK);
    assert_true(testnet_is_readable(probing.fd, 2000));
    assert_int_equal(udp_receive_too_big(&probing, &big), ERR_OK);
    assert_false(big.is_local);
    assert_int_equal(big.size, 1200);
    assert_true(endpoint_is_equal(&big.to, &beyond));
    /* Not obeyed: the next one leaves, too. (An error of the one before is met once.) */
    for (int i = 0; i < 2; i++)
        assert_int_equal(udp_send(&probing, &beyond, 0, data, 1250), ERR_OK);
    udp_close(&probing);
}

/* ---- many datagrams a system call ---- */

#define MANY 60

/* Where it lies there is room before it, none behind it, and the next call may overwrite it. */
static void take_lent(struct packet *packet)
{
    assert_non_null(packet->lent);
    assert_int_equal(packet_headroom(packet), UDP_LENT_HEADROOM);
    assert_int_equal(packet_tailroom(packet), 0);
    memset(packet->lent, 0xee, UDP_LENT_HEADROOM);
    assert_true(packet_own(packet));
    assert_int_equal(packet_headroom(packet), PACKET_HEADROOM);
}

/* Sends datagrams of these lengths to itself, and expects the same, in order. */
static void there_and_back(struct udp *offloaded, const char *address, const uint32_t *lens,
                           unsigned count)
{
    static struct packet out[MANY], in[MANY];
    struct packet *outs[MANY], *ins[MANY];
    int8_t results[MANY];
    struct endpoint to = {.address = testnet_address(address), .port = offloaded->port};
    unsigned got = 0;

    for (unsigned i = 0; i < count; i++) {
        outs[i] = &out[i];
        ins[i] = &in[i];
        packet_reset(&in[i]);
        packet_reset(&out[i]);
        out[i].peer = to;
        out[i].tos = i < count / 2 ? 0x28 : 0;
        out[i].len = lens[i];
        memset(out[i].data, (int)i, lens[i]);
    }
    assert_int_equal(udp_send_batch(offloaded, outs, count, results), ERR_OK);
    while (got < count) { /* fewer places than datagrams in one: the rest stays for the next call */
        unsigned some = 0;
        unsigned room = count - got < 7 ? count - got : 7;
        unsigned wanted = udp_wanted(offloaded, room);

        assert_in_range(wanted, 1, room);
        assert_int_equal(udp_wanted(offloaded, 1), 1); /* nothing is lost by asking */
        assert_int_equal(udp_receive_batch(offloaded, ins + got, room, &some), ERR_OK);
        assert_int_equal(some, wanted);
        for (unsigned i = got; i < got + some; i++)
            take_lent(ins[i]);
        got += some;
    }
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(results[i], ERR_OK);
        assert_int_equal(ins[i]->len, lens[i]);
        assert_int_equal(ins[i]->tos, outs[i]->tos);
        assert_true(endpoint_is_equal(&ins[i]->peer, &to));
        assert_memory_equal(ins[i]->data, outs[i]->data, lens[i]);
    }
    assert_int_equal(udp_wanted(offloaded, MANY), 0);
    assert_int_equal(udp_receive_batch(offloaded, ins, 1, &got), ERR_AGAIN);
}

static void many_travel_as_one(void **state)
{
    const struct udp_options options = {.mark = 7, .has_offload = true};
    static uint32_t equal[MANY], mixed[MANY];
    struct udp offloaded;

    assert_int_equal(udp_open(&options, &offloaded), ERR_OK);
    assert_true(offloaded.has_gso);
    assert_non_null(offloaded.gro);
    srand(3);
    for (unsigned i = 0; i < MANY; i++) {
        equal[i] = 1400;
        mixed[i] = rand() % 3 == 0 ? (uint32_t)(rand() % 1500) : 800;
    }
    mixed[5] = 0;
    for (int kind = 0; kind < 2; kind++) {
        const char *address = kind == 0 ? "127.0.0.1" : "::1";

        there_and_back(&offloaded, address, equal, MANY);
        there_and_back(&offloaded, address, mixed, MANY);
        there_and_back(&offloaded, address, equal, 1);
    }
    udp_close(&offloaded);
    assert_null(offloaded.gro);
}

/* A super-datagram that is refused is tried datagram by datagram, and each has its own result. */
static void one_of_many_fails(void **state)
{
    const struct udp_options options = {.mark = 7, .has_offload = true};
    static const uint32_t lens[] = {1000, 1000, 1400, 1400, 1400, 100, 900, 900};
    struct udp offloaded;
    int8_t results[COUNT];

    assert_int_equal(udp_open(&options, &offloaded), ERR_OK);
    for (int i = 0; i < COUNT; i++)
        fill(packets[i], "192.0.2.2:9999", 0, (uint8_t)i, lens[i]); /* MTU 1300 */
    assert_int_equal(udp_send_batch(&offloaded, packets, COUNT, results), ERR_LIMIT);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(results[i], lens[i] == 1400 ? ERR_LIMIT : ERR_OK);
    assert_true(offloaded.has_gso);
    udp_close(&offloaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_socket_is_what_tunnels_want),
        cmocka_unit_test(a_shared_port_keeps_peers_apart),
        cmocka_unit_test(sockets_for_one_peer_each),
        cmocka_unit_test(batches_arrive_with_sender_and_tos),
        cmocka_unit_test(fewer_are_received_than_asked_for),
        cmocka_unit_test(too_long_ones_are_dropped_and_the_rest_kept),
        cmocka_unit_test(each_failure_is_its_own),
        cmocka_unit_test(icmp_errors_do_not_stop_it),
        cmocka_unit_test(openers_carry_a_full_timestamp_option),
        cmocka_unit_test(a_ttl_is_for_one_datagram),
        cmocka_unit_test(many_travel_as_one),
        cmocka_unit_test(one_of_many_fails),
        cmocka_unit_test(path_mtu_is_known),
        cmocka_unit_test(what_leaves_has_df),
        cmocka_unit_test(a_probing_socket_goes_its_own_way),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
