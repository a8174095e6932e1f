/* The DNS proxy's sockets, on loopback. */
#include "testnet.h"

#include "io/dns_socket.h"
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int set_up(void **state)
{
    testnet_enter();
    return 0;
}

static void listeners_share_a_port_and_answer(void **state)
{
    static const enum address_family families[] = {ADDRESS_IPV4, ADDRESS_IPV6};
    static const char *const loopbacks[] = {"127.0.0.1", "::1"};
    uint16_t port = 0;

    for (int i = 0; i < 2; i++) {
        struct endpoint listener = {.address = testnet_address(loopbacks[i])};
        struct endpoint client;
        int udp = -1, tcp = -1, upstream = -1, stream = -1, accepted;
        uint32_t mark = 0;
        socklen_t mark_len = sizeof mark;
        uint8_t buffer[16];
        size_t len = 0;

        /* The second family gets the port that was found for the first. */
        assert_int_equal(dns_listener_open(families[i], port, &udp, &tcp, &port), ERR_OK);
        assert_int_not_equal(port, 0);
        listener.port = port;
        assert_int_equal(dns_listener_receive(udp, buffer, sizeof buffer, &len, &client),
                         ERR_AGAIN);
        assert_int_equal(dns_upstream_open(&listener, 77, SOCK_DGRAM, &upstream), ERR_OK);
        assert_int_equal(getsockopt(upstream, SOL_SOCKET, SO_MARK, &mark, &mark_len), 0);
        assert_int_equal(mark, 77);
        assert_int_equal(send(upstream, "query", 5, 0), 5);
        assert_true(testnet_is_readable(udp, 2000));
        assert_int_equal(dns_listener_receive(udp, buffer, sizeof buffer, &len, &client), ERR_OK);
        assert_int_equal(len, 5);
        assert_true(address_is_equal(&client.address, &listener.address));
        dns_listener_send(udp, buffer, len, &client);
        assert_true(testnet_is_readable(upstream, 2000));
        assert_int_equal(recv(upstream, buffer, sizeof buffer, 0), 5);
        assert_int_equal(dns_upstream_open(&listener, 77, SOCK_STREAM, &stream), ERR_OK);
        assert_true(testnet_is_readable(tcp, 2000));
        accepted = accept(tcp, NULL, NULL);
        assert_true(accepted >= 0);
        close(accepted), close(stream), close(upstream), close(udp), close(tcp);
    }
}

static void a_taken_port_is_an_error(void **state)
{
    int udp = -1, tcp = -1, udp2 = -1, tcp2 = -1;
    uint16_t port = 0, port2 = 0;

    assert_int_equal(dns_listener_open(ADDRESS_IPV4, 0, &udp, &tcp, &port), ERR_OK);
    assert_int_equal(dns_listener_open(ADDRESS_IPV4, port, &udp2, &tcp2, &port2), ERR_IO);
    assert_int_equal(udp2, -1);
    close(udp), close(tcp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listeners_share_a_port_and_answer),
        cmocka_unit_test(a_taken_port_is_an_error),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
