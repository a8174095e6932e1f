/* A TUN and the packets that an application sends through it. */
#include "testnet.h"

#include "io/interface.h"
#include "io/route.h"
#include "io/tun.h"
#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct netlink nl;
static struct tun tun;
static struct packet packet;

static int set_up(void **state)
{
    struct address own = testnet_address("10.77.0.1");
    struct route route = {.to = testnet_prefix("10.77.0.0/16"), .table = 254, .source = own};

    testnet_enter();
    if (netlink_open(&nl, NETLINK_ROUTE) < 0 || tun_open("tt%d", 0, &tun) < 0 ||
        interface_start(&nl, tun.link, 1400) < 0 ||
        interface_address_add(&nl, tun.link, &own, 32) < 0)
        return 1;
    route.link = tun.link;
    return route_set(&nl, &route);
}

static int tear_down(void **state)
{
    tun_close(&tun);
    netlink_close(&nl);
    return 0;
}

static void it_is_a_tun(void **state)
{
    assert_string_equal(tun.name, "tt0");
    assert_non_null(
        strstr(testnet_output("ip -d link show tt0"), "tun type tun pi off vnet_hdr off"));
    assert_non_null(strstr(testnet_output("ip link show tt0"), "mtu 1400"));
    assert_non_null(strstr(testnet_output("ip link show tt0"), "UP"));
}

static void names_are_not_shared(void **state)
{
    struct tun second = {.fd = -1};
    struct tun queue;

    assert_int_equal(tun_open("tt0", 0, &second), ERR_EXISTS);
    assert_int_equal(tun_open("lo", 0, &second), ERR_EXISTS);
    assert_int_equal(tun_open("", 0, &second), ERR_INVALID);
    assert_int_equal(tun_open("name-is-too-long", 0, &second), ERR_INVALID);
    assert_int_equal(second.fd, -1);
    assert_int_equal(tun_open("mq0", TUN_MULTI_QUEUE | TUN_FIRST_QUEUE, &second), ERR_OK);
    assert_int_equal(tun_open("mq0", TUN_MULTI_QUEUE | TUN_FIRST_QUEUE, &queue), ERR_EXISTS);
    assert_int_equal(tun_open("mq0", TUN_MULTI_QUEUE, &queue), ERR_OK);
    assert_int_equal(second.link, queue.link);
    tun_close(&second);
    assert_non_null(strstr(testnet_output("ip -d link show mq0"), "multi_queue"));
    tun_close(&queue);
    assert_non_null(strstr(testnet_output("ip link show mq0"), "does not exist"));
}

static void deletion_is_seen(void **state)
{
    struct tun deleted;

    assert_int_equal(tun_open("del0", 0, &deleted), ERR_OK);
    assert_true(tun_is_there(&deleted));
    testnet_run("ip link del del0");
    assert_false(tun_is_there(&deleted));
    tun_close(&deleted);
}

/* Nothing of the kernel's own may come before or between. */
static void packets_come_and_go(void **state)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7000)};
    struct pollfd poll_fd = {.fd = tun.fd, .events = POLLIN};
    char reply[8];
    uint8_t swap[4];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    packet_reset(&packet);
    assert_int_equal(tun_read(&tun, &packet), ERR_AGAIN);
    inet_pton(AF_INET, "10.77.0.9", &to.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    assert_int_equal(poll(&poll_fd, 1, 2000), 1);
    assert_int_equal(tun_read(&tun, &packet), ERR_OK);
    assert_int_equal(packet.len, 33);
    assert_int_equal(packet.data[0], 0x45);
    assert_memory_equal(packet.data + 28, "hello", 5);
    /* Echo: addresses and ports change places, so both checksums stay right. */
    memcpy(swap, packet.data + 12, 4);
    memcpy(packet.data + 12, packet.data + 16, 4);
    memcpy(packet.data + 16, swap, 4);
    memcpy(swap, packet.data + 20, 2);
    memcpy(packet.data + 20, packet.data + 22, 2);
    memcpy(packet.data + 22, swap, 2);
    assert_int_equal(tun_write(&tun, &packet), ERR_OK);
    assert_int_equal(recv(fd, reply, sizeof reply, 0), 5);
    assert_memory_equal(reply, "hello", 5);
    assert_int_equal(tun_read(&tun, &packet), ERR_AGAIN);
    close(fd);
}

/* An application's many equal datagrams come as one packet, and go back as one. */
static void super_packets_come_and_go(void **state)
{
    static uint8_t room[TUN_ROOM + OFFLOAD_LEN_MAX], *const buffer = room + TUN_ROOM;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7000)};
    struct address own = testnet_address("10.78.0.1");
    struct route route = {.to = testnet_prefix("10.78.0.0/16"), .table = 254, .source = own};
    struct offload offload;
    struct tun fast;
    uint32_t len = 0;
    uint8_t payload[2500] = {1, 2, 3}, swap[4], reply[1200];
    uint16_t segment_len = 1000;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct pollfd poll_fd = {.events = POLLIN};

    assert_int_equal(tun_open("fast0", TUN_OFFLOAD, &fast), ERR_OK);
    assert_true(fast.has_offload);
    assert_non_null(strstr(testnet_output("ip -d link show fast0"), "vnet_hdr on"));
    assert_int_equal(interface_start(&nl, fast.link, 1400), ERR_OK);
    assert_int_equal(interface_address_add(&nl, fast.link, &own, 32), ERR_OK);
    route.link = fast.link;
    assert_int_equal(route_set(&nl, &route), ERR_OK);
    inet_pton(AF_INET, "10.78.0.9", &to.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(setsockopt(fd, 17, 103, &(int){segment_len}, sizeof(int)), 0);
    assert_int_equal(send(fd, payload, sizeof payload, 0), sizeof payload);
    poll_fd.fd = fast.fd;
    assert_int_equal(poll(&poll_fd, 1, 2000), 1);
    assert_int_equal(tun_read_super(&fast, buffer, &len, &offload), ERR_OK);
    if (fast.has_udp_offload) {
        assert_int_equal(offload.kind, OFFLOAD_UDP);
        assert_int_equal(offload.segment_len, segment_len);
        assert_int_equal(len, 28 + sizeof payload);
        assert_true(offload.needs_checksum);
        assert_int_equal(offload.checksum_start, 20);
        assert_int_equal(offload.checksum_offset, 6);
    }
    memcpy(swap, buffer + 12, 4);
    memcpy(buffer + 12, buffer + 16, 4);
    memcpy(buffer + 16, swap, 4);
    memcpy(swap, buffer + 20, 2);
    memcpy(buffer + 20, buffer + 22, 2);
    memcpy(buffer + 22, swap, 2);
    const struct iovec parts[] = {{buffer, 500}, {buffer + 500, len - 500}};
    assert_int_equal(tun_write_parts(&fast, &offload, parts, 2), ERR_OK);
    assert_int_equal(recv(fd, reply, sizeof reply, 0), segment_len);
    assert_memory_equal(reply, payload, segment_len);
    if (fast.has_udp_offload) {
        assert_int_equal(recv(fd, reply, sizeof reply, 0), segment_len);
        assert_int_equal(recv(fd, reply, sizeof reply, 0), 500);
    }
    /* One packet at a time goes on working. */
    packet_reset(&packet);
    memcpy(packet.data, buffer, 28);
    packet.len = 28;
    memcpy(packet.data + 2, "\0\34", 2);
    memcpy(packet.data + 10, "\0\0", 2);
    memcpy(packet.data + 24, "\0\10\0\0", 4);
    assert_int_equal(tun_write(&fast, &packet), ERR_OK);
    assert_int_equal(tun_read(&fast, &packet), ERR_AGAIN);
    tun_close(&fast);
    close(fd);
}

static void bad_packets_are_refused(void **state)
{
    packet_reset(&packet);
    packet.len = 20;
    packet.data[0] = 0x15;
    assert_int_equal(tun_write(&tun, &packet), ERR_INVALID);
    testnet_run("ip link set tt0 down");
    packet.data[0] = 0x45;
    assert_int_equal(tun_write(&tun, &packet), ERR_STATE);
    testnet_run("ip link set tt0 up");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_a_tun),
        cmocka_unit_test(names_are_not_shared),
        cmocka_unit_test(deletion_is_seen),
        cmocka_unit_test(packets_come_and_go),
        cmocka_unit_test(super_packets_come_and_go),
        cmocka_unit_test(bad_packets_are_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
