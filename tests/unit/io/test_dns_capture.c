/* Queries captured, and not captured any more, with every kind of rp_filter:
 *
 *   this namespace                                      peer
 *     ext 192.0.2.1/24, 2001:db8::1/64  ── veth ──  192.0.2.53, .54, 2001:db8::53: servers
 *     listeners on 127.0.0.1 and ::1, port 5399
 */
#include "testnet.h"

#include "io/clock.h"
#include "io/conntrack.h"
#include "io/dns_capture.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT 5399
#define MARK 0x7e7

static const struct dns_capture_options options = {
    .table = "cap-dns", .tun_name = "tun9", .port = PORT, .mark = MARK};
static struct dns_capture capture;
static struct netlink ct;
static int peer;

enum { FOUR, FOUR_B, SIX, KINDS };
static const char *const servers[KINDS] = {"192.0.2.53:53", "192.0.2.54:53", "[2001:db8::53]:53"};
static const char *const listeners[KINDS] = {"127.0.0.1:5399", "127.0.0.1:5399", "[::1]:5399"};
static int udp_server[KINDS], tcp_server[KINDS];
static int udp_listener[KINDS], tcp_listener[KINDS];

static int set_up(void **state)
{
    testnet_enter();
    peer = testnet_peer("ext", "far");
    testnet_run("ip address add 192.0.2.1/24 dev ext; ip address add 2001:db8::1/64 dev ext nodad");
    testnet_run(
        "nsenter -t %d -n sh -c 'ip address add 192.0.2.53/24 dev far;"
        "ip address add 192.0.2.54/24 dev far; ip address add 2001:db8::53/64 dev far nodad'",
        peer);
    testnet_switch(peer);
    for (int i = 0; i < KINDS; i++) {
        udp_server[i] = testnet_bind(SOCK_DGRAM, servers[i]);
        tcp_server[i] = testnet_bind(SOCK_STREAM, servers[i]);
    }
    testnet_switch(0);
    for (int i = 0; i < KINDS; i++) {
        udp_listener[i] = i == FOUR_B ? udp_listener[FOUR] : testnet_bind(SOCK_DGRAM, listeners[i]);
        tcp_listener[i] =
            i == FOUR_B ? tcp_listener[FOUR] : testnet_bind(SOCK_STREAM, listeners[i]);
    }
    return netlink_open(&ct, NETLINK_NETFILTER);
}

static int tear_down(void **state)
{
    netlink_close(&ct);
    testnet_leave(peer);
    return 0;
}

static struct sockaddr_storage sockaddr_of(const char *text, socklen_t *len)
{
    struct endpoint endpoint = testnet_endpoint(text);
    struct sockaddr_storage address;

    *len = endpoint_to_sockaddr(&endpoint, false, &address);
    return address;
}

static int client(int type, const char *to, uint32_t mark)
{
    socklen_t len;
    struct sockaddr_storage address = sockaddr_of(to, &len);
    int fd = socket(address.ss_family, type | SOCK_NONBLOCK, 0);

    if (mark != 0)
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark), 0);
    if (connect(fd, (struct sockaddr *)&address, len) < 0)
        assert_int_equal(errno, EINPROGRESS);
    return fd;
}

static struct endpoint endpoint_of(const struct sockaddr_storage *address)
{
    struct endpoint endpoint;

    assert_int_equal(endpoint_from_sockaddr((const struct sockaddr *)address, &endpoint), ERR_OK);
    return endpoint;
}

/* Reads a query at one of the two, answers it with the same words, and says whether the listener
 * got it. */
static bool is_query_captured(int kind, struct endpoint *ret_client)
{
    struct pollfd fds[2] = {{.fd = udp_listener[kind], .events = POLLIN},
                            {.fd = udp_server[kind], .events = POLLIN}};
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    char text[32];
    ssize_t got;
    int fd;

    assert_int_equal(poll(fds, 2, 3000), 1);
    fd = (fds[0].revents & POLLIN) ? fds[0].fd : fds[1].fd;
    got = recvfrom(fd, text, sizeof text, 0, (struct sockaddr *)&from, &len);
    assert_true(got > 0);
    assert_int_equal(sendto(fd, text, (size_t)got, 0, (struct sockaddr *)&from, len), got);
    *ret_client = endpoint_of(&from);
    return fd == fds[0].fd;
}

/* A query on this socket: was it captured? It must be answered in either case. */
static bool ask(int fd, int kind)
{
    struct endpoint listener = testnet_endpoint(listeners[kind]);
    struct endpoint wanted = testnet_endpoint(servers[kind]);
    struct endpoint from, server;
    bool is_captured;
    char text[32];

    assert_int_equal(send(fd, "query", 5, 0), 5);
    is_captured = is_query_captured(kind, &from);
    if (is_captured) {
        assert_int_equal(conntrack_original(&ct, IPPROTO_UDP, &from, &listener, &server), ERR_OK);
        assert_true(endpoint_is_equal(&server, &wanted));
    }
    /* The socket is connected: only an answer from the server's own address gets in. */
    assert_true(testnet_is_readable(fd, 3000));
    assert_int_equal(recv(fd, text, sizeof text, 0), 5);
    return is_captured;
}

static bool ask_anew(int kind, uint32_t mark)
{
    int fd = client(SOCK_DGRAM, servers[kind], mark);
    bool is_captured = ask(fd, kind);

    close(fd);
    return is_captured;
}

static bool connect_anew(int kind, uint32_t mark)
{
    int fd = client(SOCK_STREAM, servers[kind], mark);
    struct pollfd fds[2] = {{.fd = tcp_listener[kind], .events = POLLIN},
                            {.fd = tcp_server[kind], .events = POLLIN}};
    struct endpoint wanted = testnet_endpoint(servers[kind]);
    struct endpoint server;
    bool is_captured;
    char text[8];
    int accepted;

    assert_int_equal(poll(fds, 2, 3000), 1);
    is_captured = (fds[0].revents & POLLIN) != 0;
    accepted = accept(is_captured ? tcp_listener[kind] : tcp_server[kind], NULL, NULL);
    assert_true(accepted >= 0);
    if (is_captured) {
        assert_int_equal(conntrack_original_tcp(accepted, &server), ERR_OK);
        assert_true(endpoint_is_equal(&server, &wanted));
    }
    assert_int_equal(send(accepted, "hello", 5, 0), 5);
    assert_true(testnet_is_readable(fd, 3000));
    assert_int_equal(recv(fd, text, sizeof text, 0), 5);
    close(accepted);
    close(fd);
    return is_captured;
}

static int open_capture(void **state)
{
    /* A source port drawn again would meet the connection of a query that went another way. */
    testnet_run("conntrack -F 2>/dev/null");
    return dns_capture_open(&capture, &options);
}

static int close_capture(void **state)
{
    dns_capture_close(&capture);
    return 0;
}

static void nothing_is_captured_before_the_first_refresh(void **state)
{
    for (int i = 0; i < KINDS; i++) {
        assert_false(ask_anew(i, 0));
        assert_false(connect_anew(i, 0));
    }
}

static void all_is_captured_but_our_own(void **state)
{
    for (int rp_filter = 0; rp_filter <= 2; rp_filter++) {
        testnet_run("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo %d > $f; done",
                    rp_filter);
        assert_int_equal(dns_capture_refresh(&capture), ERR_OK);
        for (int i = 0; i < KINDS; i++) {
            assert_true(ask_anew(i, 0));
            assert_true(connect_anew(i, 0));
            assert_false(ask_anew(i, MARK));
            assert_false(connect_anew(i, MARK));
        }
    }
}

static void other_ports_and_the_tunnel_are_left_alone(void **state)
{
    int fd = client(SOCK_DGRAM, "192.0.2.53:54", 0);
    int server;

    testnet_switch(peer);
    server = testnet_bind(SOCK_DGRAM, "192.0.2.53:54");
    testnet_switch(0);
    assert_int_equal(dns_capture_refresh(&capture), ERR_OK);
    assert_int_equal(send(fd, "query", 5, 0), 5);
    assert_true(testnet_is_readable(server, 3000));
    close(server);
    close(fd);
    testnet_run("ip link set ext down; ip link set ext name tun9; ip link set tun9 up;"
                "ip address add 2001:db8::1/64 dev tun9 nodad");
    assert_int_equal(dns_capture_refresh(&capture), ERR_OK);
    for (int i = 0; i < KINDS; i++)
        assert_false(ask_anew(i, 0));
    testnet_run("ip link set tun9 down; ip link set tun9 name ext; ip link set ext up;"
                "ip address add 2001:db8::1/64 dev ext nodad");
    assert_int_equal(dns_capture_refresh(&capture), ERR_OK);
    assert_true(ask_anew(FOUR, 0));
}

static void one_socket_may_ask_two_servers(void **state)
{
    struct endpoint listener = testnet_endpoint(listeners[FOUR]);
    socklen_t len;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    assert_int_equal(dns_capture_refresh(&capture), ERR_OK);
    for (int i = FOUR; i <= FOUR_B; i++) {
        struct sockaddr_storage to = sockaddr_of(servers[i], &len);
        struct endpoint wanted = testnet_endpoint(servers[i]);
        struct sockaddr_storage from;
        struct endpoint sender, server;
        socklen_t from_len = sizeof from;
        char text[8];

        assert_int_equal(sendto(fd, "query", 5, 0, (struct sockaddr *)&to, len), 5);
        assert_true(is_query_captured(i, &sender));
        assert_int_equal(conntrack_original(&ct, IPPROTO_UDP, &sender, &listener, &server), ERR_OK);
        assert_true(endpoint_is_equal(&server, &wanted));
        assert_true(testnet_is_readable(fd, 3000));
        assert_int_equal(recvfrom(fd, text, sizeof text, 0, (struct sockaddr *)&from, &from_len),
                         5);
        server = endpoint_of(&from);
        assert_true(endpoint_is_equal(&server, &wanted));
    }
    close(fd);
}

/* The kernel gives a port to one socket after the other: the connection that the first has left is
 * there still, and says nothing of the second's. */
static void a_port_drawn_again_goes_its_own_way(void **state)
{
    assert_int_equal(dns_capture_refresh(&capture), ERR_OK);
    for (int i = 0; i < 4 * KINDS; i++) {
        const uint32_t mark = i / KINDS % 2 ? 0 : MARK;
        const int kind = i % KINDS;
        socklen_t len;
        struct sockaddr_storage own =
            sockaddr_of(kind == SIX ? "[2001:db8::1]:41000" : "192.0.2.1:41000", &len);
        struct sockaddr_storage to = sockaddr_of(servers[kind], &len);
        int fd = socket(own.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (mark != 0)
            assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark), 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&own, len), 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, len), 0);
        assert_int_equal(ask(fd, kind), mark == 0);
        close(fd);
    }
}

static void what_was_not_redirected_is_not_found(void **state)
{
    struct endpoint listener = testnet_endpoint(listeners[FOUR]);
    struct endpoint nobody = testnet_endpoint("192.0.2.1:9");
    struct endpoint from, server;
    int fd = client(SOCK_DGRAM, listeners[FOUR], 0);

    assert_int_equal(send(fd, "query", 5, 0), 5);
    assert_true(is_query_captured(FOUR, &from));
    assert_int_equal(conntrack_original(&ct, IPPROTO_UDP, &from, &listener, &server),
                     ERR_NOT_FOUND);
    assert_int_equal(conntrack_original(&ct, IPPROTO_UDP, &nobody, &listener, &server),
                     ERR_NOT_FOUND);
    close(fd);
    fd = client(SOCK_STREAM, listeners[FOUR], 0);
    assert_true(testnet_is_readable(tcp_listener[FOUR], 3000));
    close(fd);
    fd = accept(tcp_listener[FOUR], NULL, NULL);
    assert_int_equal(conntrack_original_tcp(fd, &server), ERR_NOT_FOUND);
    close(fd);
}

static void pause_stops_it_at_once(void **state)
{
    assert_int_equal(dns_capture_refresh(&capture), ERR_OK);
    assert_true(ask_anew(FOUR, 0));
    assert_int_equal(dns_capture_pause(&capture), ERR_OK);
    assert_int_equal(dns_capture_pause(&capture), ERR_OK);
    for (int i = 0; i < KINDS; i++) {
        assert_false(ask_anew(i, 0));
        assert_false(connect_anew(i, 0));
    }
    assert_int_equal(dns_capture_refresh(&capture), ERR_OK);
    assert_true(ask_anew(FOUR, 0));
}

static bool is_free(void *context)
{
    return !ask_anew(FOUR, 0);
}

static bool is_captured_again(void *context)
{
    return ask_anew(FOUR, 0);
}

static void without_refreshes_it_stops_by_itself(void **state)
{
    uint64_t start_us;
    uint64_t took_us;

    assert_int_equal(dns_capture_refresh(&capture), ERR_OK);
    start_us = clock_now_us();
    assert_true(ask_anew(FOUR, 0));
    assert_true(testnet_wait(is_free, NULL, 2 * DNS_CAPTURE_ALIVE_MS));
    took_us = clock_now_us() - start_us;
    assert_true(took_us > (DNS_CAPTURE_ALIVE_MS - 100) * 1000);
    assert_true(took_us < (DNS_CAPTURE_ALIVE_MS + 500) * 1000);
    for (int i = 0; i < KINDS; i++) {
        assert_false(ask_anew(i, 0));
        assert_false(connect_anew(i, 0));
    }
    /* And it comes back, though there is nothing left to delete. */
    assert_int_equal(dns_capture_refresh(&capture), ERR_OK);
    assert_true(ask_anew(FOUR, 0));
}

static void refreshes_leave_no_gap(void **state)
{
    uint64_t start_us = clock_now_us();
    unsigned asked = 0;

    do {
        assert_int_equal(dns_capture_refresh(&capture), ERR_OK);
        for (int i = 0; i < 20; i++, asked++)
            assert_true(ask_anew(FOUR, 0));
    } while (clock_now_us() - start_us < (DNS_CAPTURE_ALIVE_MS + 500) * 1000);
    assert_true(asked > 100);
}

static void a_socket_that_is_kept_is_freed(void **state)
{
    int four, six;
    unsigned count = 0;

    assert_int_equal(dns_capture_refresh(&capture), ERR_OK);
    four = client(SOCK_DGRAM, servers[FOUR], 0);
    six = client(SOCK_DGRAM, servers[SIX], 0);
    assert_true(ask(four, FOUR));
    assert_true(ask(six, SIX));
    assert_int_equal(dns_capture_pause(&capture), ERR_OK);
    /* The connections are still tracked to the listener: this is what would be stuck. */
    assert_true(ask(four, FOUR));
    assert_int_equal(conntrack_release_redirected(&ct, PORT + 1, &count), ERR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(conntrack_release_redirected(&ct, PORT, &count), ERR_OK);
    assert_true(count >= 2);
    assert_false(ask(four, FOUR));
    assert_false(ask(six, SIX));
    assert_int_equal(conntrack_release_redirected(&ct, PORT, &count), ERR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(dns_capture_refresh(&capture), ERR_OK);
    close(four);
    close(six);
}

static void sockets_from_before_the_capture_are_caught(void **state)
{
    int four = client(SOCK_DGRAM, servers[FOUR], 0);
    int six = client(SOCK_DGRAM, servers[SIX], 0);
    unsigned count = 0;

    assert_false(ask(four, FOUR));
    assert_false(ask(six, SIX));
    assert_int_equal(dns_capture_refresh(&capture), ERR_OK);
    assert_false(ask(four, FOUR));
    assert_int_equal(conntrack_release_direct(&ct, 53, &count), ERR_OK);
    assert_int_equal(count, 2);
    assert_true(ask(four, FOUR));
    assert_true(ask(six, SIX));
    assert_int_equal(conntrack_release_direct(&ct, 53, &count), ERR_OK);
    assert_int_equal(count, 0);
    close(four);
    close(six);
}

static void many_connections_are_released(void **state)
{
    unsigned count = 0;

    for (int i = 0; i < 300; i++) {
        assert_int_equal(dns_capture_refresh(&capture), ERR_OK);
        assert_true(ask_anew(FOUR, 0));
    }
    assert_int_equal(dns_capture_pause(&capture), ERR_OK);
    assert_int_equal(conntrack_release_redirected(&ct, PORT, &count), ERR_OK);
    /* A few ports were drawn twice. */
    assert_true(count > 250);
    assert_non_null(
        strstr(testnet_output("conntrack -L -p udp --reply-port-src %d", PORT), " 0 flow entries"));
}

static void only_one_daemon_captures(void **state)
{
    struct dns_capture second;
    struct dns_capture_options bad = options;

    assert_true(dns_capture_open(&second, &options) < 0);
    assert_non_null(strstr(dns_capture_error(&second), "cap-dns"));
    /* One that could not be opened, or is closed, is an error, not a crash. */
    assert_int_equal(dns_capture_refresh(&second), ERR_STATE);
    assert_int_equal(dns_capture_pause(&second), ERR_STATE);
    dns_capture_close(&second);
    bad.mark = 0;
    assert_int_equal(dns_capture_open(&second, &bad), ERR_INVALID);
}

/* A daemon in a child process: killed, or stopped, in the middle of its work. */
static pid_t start_daemon(void)
{
    int pipes[2];
    char byte;
    pid_t child;

    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        struct dns_capture own;

        if (dns_capture_open(&own, &options) < 0 || dns_capture_refresh(&own) < 0 ||
            write(pipes[1], "", 1) != 1)
            _exit(1);
        for (;;) {
            poll(NULL, 0, DNS_CAPTURE_REFRESH_MS);
            if (dns_capture_refresh(&own) < 0)
                _exit(1);
        }
    }
    close(pipes[1]);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    close(pipes[0]);
    return child;
}

static void after_kill_9_look_ups_go_on(void **state)
{
    pid_t child = start_daemon();

    assert_true(ask_anew(FOUR, 0));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    for (int i = 0; i < KINDS; i++) {
        assert_false(ask_anew(i, 0));
        assert_false(connect_anew(i, 0));
    }
    assert_string_equal(testnet_output("nft list tables"), "");
}

static void after_a_stop_look_ups_go_on_and_return(void **state)
{
    pid_t child = start_daemon();
    int status;

    assert_true(ask_anew(FOUR, 0));
    kill(child, SIGSTOP);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    assert_true(testnet_wait(is_free, NULL, 2 * DNS_CAPTURE_ALIVE_MS));
    assert_false(connect_anew(SIX, 0));
    kill(child, SIGCONT);
    assert_true(testnet_wait(is_captured_again, NULL, 2 * DNS_CAPTURE_REFRESH_MS));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_captured_before_the_first_refresh, open_capture,
                                        close_capture),
        cmocka_unit_test_setup_teardown(all_is_captured_but_our_own, open_capture, close_capture),
        cmocka_unit_test_setup_teardown(other_ports_and_the_tunnel_are_left_alone, open_capture,
                                        close_capture),
        cmocka_unit_test_setup_teardown(one_socket_may_ask_two_servers, open_capture,
                                        close_capture),
        cmocka_unit_test_setup_teardown(a_port_drawn_again_goes_its_own_way, open_capture,
                                        close_capture),
        cmocka_unit_test_setup_teardown(what_was_not_redirected_is_not_found, open_capture,
                                        close_capture),
        cmocka_unit_test_setup_teardown(pause_stops_it_at_once, open_capture, close_capture),
        cmocka_unit_test_setup_teardown(without_refreshes_it_stops_by_itself, open_capture,
                                        close_capture),
        cmocka_unit_test_setup_teardown(refreshes_leave_no_gap, open_capture, close_capture),
        cmocka_unit_test_setup_teardown(a_socket_that_is_kept_is_freed, open_capture,
                                        close_capture),
        cmocka_unit_test_setup_teardown(sockets_from_before_the_capture_are_caught, open_capture,
                                        close_capture),
        cmocka_unit_test_setup_teardown(many_connections_are_released, open_capture, close_capture),
        cmocka_unit_test_setup_teardown(only_one_daemon_captures, open_capture, close_capture),
        cmocka_unit_test(after_kill_9_look_ups_go_on),
        cmocka_unit_test(after_a_stop_look_ups_go_on_and_return),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
