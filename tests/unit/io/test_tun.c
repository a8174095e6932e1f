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
    assert_int_equal(tun_open("mq0", TUN_MULTI_QUEUE, &second), ERR_OK);
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
        cmocka_unit_test(bad_packets_are_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
