/* An application that keeps one UDP socket, and a daemon (a child of the test) that is stopped,
 * killed or ends:
 *
 *   this namespace: ext 192.0.2.1/24 ── veth ── 192.0.2.53: server
 *                   listener on 127.0.0.1:5399, held by the test itself
 */
#include "testnet.h"

#include "io/conntrack.h"
#include "io/dns_capture.h"
#include "io/watchdog.h"
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT 5399

static int peer;
static int server;
static int listener;
static int application;

static int set_up(void **state)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};

    testnet_enter();
    peer = testnet_peer("ext", "far");
    testnet_run("ip address add 192.0.2.1/24 dev ext");
    testnet_run("nsenter -t %d -n ip address add 192.0.2.53/24 dev far", peer);
    testnet_switch(peer);
    server = testnet_bind(SOCK_DGRAM, "192.0.2.53:53");
    testnet_switch(0);
    listener = testnet_bind(SOCK_DGRAM, "127.0.0.1:5399");
    application = socket(AF_INET, SOCK_DGRAM, 0);
    inet_pton(AF_INET, "192.0.2.53", &to.sin_addr);
    return connect(application, (struct sockaddr *)&to, sizeof to);
}

static int tear_down(void **state)
{
    testnet_leave(peer);
    return 0;
}

/* One more query on the application's socket: does the listener get it? */
static bool is_captured(void)
{
    struct pollfd fds[2] = {{.fd = listener, .events = POLLIN}, {.fd = server, .events = POLLIN}};
    char text[8];

    (void)recv(application, text, 0, MSG_DONTWAIT); /* an ICMP error may be pending */
    assert_int_equal(send(application, "query", 5, 0), 5);
    assert_int_equal(poll(fds, 2, 3000), 1);
    assert_int_equal(recv(fds[0].revents ? listener : server, text, sizeof text, 0), 5);
    return fds[0].revents != 0;
}

static bool is_free(void *context)
{
    return !is_captured();
}

struct daemon {
    pid_t pid;
    pid_t watchdog;
};

/* A daemon at work. */
static struct daemon start_daemon(void)
{
    const struct dns_capture_options options = {
        .table = "cap-dns", .tun_name = "tun9", .port = PORT, .mark = 7};
    struct daemon daemon;
    int pipes[2];

    assert_int_equal(pipe(pipes), 0);
    daemon.pid = fork();
    if (daemon.pid == 0) {
        struct watchdog watchdog;
        struct dns_capture capture;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (watchdog_start(&watchdog) < 0 || dns_capture_open(&capture, &options) < 0)
            _exit(1);
        for (bool is_told = false;; is_told = true) {
            if (dns_capture_refresh(&capture) < 0 || watchdog_beat(&watchdog, PORT) < 0)
                _exit(1);
            if (!is_told && write(pipes[1], &watchdog.pid, sizeof watchdog.pid) < 0)
                _exit(1);
            poll(NULL, 0, WATCHDOG_BEAT_MS);
        }
    }
    close(pipes[1]);
    assert_int_equal(read(pipes[0], &daemon.watchdog, sizeof daemon.watchdog),
                     sizeof daemon.watchdog);
    close(pipes[0]);
    testnet_run("conntrack -F 2>/dev/null");
    assert_true(is_captured());
    return daemon;
}

static bool is_gone(void *context)
{
    const pid_t *pid = context;

    /* Orphans are left to whoever reaps them here: a zombie is gone too. */
    return kill(*pid, 0) < 0 ||
           strstr(testnet_output("cat /proc/%d/status", *pid), "(zombie)") != NULL;
}

static void a_stopped_daemon_holds_nobody(void **state)
{
    struct daemon daemon = start_daemon();
    int status;

    kill(daemon.pid, SIGSTOP);
    assert_int_equal(waitpid(daemon.pid, &status, WUNTRACED), daemon.pid);
    assert_true(is_captured()); /* still, for two seconds and a bit */
    assert_true(testnet_wait(is_free, NULL, 2 * WATCHDOG_SILENCE_MS));
    assert_false(is_captured());
    /* It goes on where it stopped, and the watchdog with it. */
    kill(daemon.pid, SIGCONT);
    assert_false(is_gone(&daemon.watchdog));
    kill(daemon.pid, SIGKILL);
    assert_int_equal(waitpid(daemon.pid, NULL, 0), daemon.pid);
    assert_true(testnet_wait(is_gone, &daemon.watchdog, 3000));
}

static void a_killed_daemon_holds_nobody(void **state)
{
    struct daemon daemon = start_daemon();

    kill(daemon.pid, SIGKILL);
    assert_int_equal(waitpid(daemon.pid, NULL, 0), daemon.pid);
    assert_true(testnet_wait(is_free, NULL, 1000));
    assert_true(testnet_wait(is_gone, &daemon.watchdog, 3000));
    assert_string_equal(testnet_output("nft list tables"), "");
}

static void signals_to_all_are_not_for_it(void **state)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGTSTP, SIGQUIT, SIGUSR1};
    struct daemon daemon = start_daemon();
    char status[4096];

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        kill(daemon.watchdog, numbers[i]);
    assert_false(is_gone(&daemon.watchdog));
    snprintf(status, sizeof status, "%s", testnet_output("cat /proc/%d/status", daemon.watchdog));
    assert_non_null(strstr(status, "Name:\tdetec-watchdog"));
    assert_null(strstr(status, "State:\tT")); /* nor has SIGTSTP stopped it */
    assert_null(strstr(status, "State:\tZ"));
    assert_non_null(strstr(status, "CapEff:\t0000000000001000"));
    assert_non_null(strstr(status, "CapPrm:\t0000000000001000"));
    assert_non_null(strstr(status, "NoNewPrivs:\t1"));
    /* It holds its own sockets and no netlink socket of the daemon's. */
    assert_string_equal(testnet_output("ls /proc/%d/fd | awk '$1 > 2' | wc -l", daemon.watchdog),
                        "3\n");
    kill(daemon.pid, SIGKILL);
    assert_int_equal(waitpid(daemon.pid, NULL, 0), daemon.pid);
    assert_true(testnet_wait(is_gone, &daemon.watchdog, 3000));
}

static void an_orderly_stop_leaves_no_process(void **state)
{
    struct watchdog watchdog;
    pid_t pid;

    assert_int_equal(watchdog_start(&watchdog), ERR_OK);
    pid = watchdog.pid;
    assert_int_equal(watchdog_beat(&watchdog, PORT), ERR_OK);
    watchdog_stop(&watchdog);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(waitpid(pid, NULL, 0), -1);
    watchdog_stop(&watchdog);
    assert_int_equal(watchdog_beat(&watchdog, PORT), ERR_STATE);
}

static void a_dead_watchdog_is_noticed_and_reaped(void **state)
{
    struct watchdog watchdog;
    pid_t pid;

    assert_int_equal(watchdog_start(&watchdog), ERR_OK);
    pid = watchdog.pid;
    kill(pid, SIGKILL);
    assert_true(testnet_wait(is_gone, &pid, 2000));
    assert_int_equal(watchdog_beat(&watchdog, PORT), ERR_STATE);
    assert_int_equal(watchdog.fd, -1);
    assert_int_equal(waitpid(pid, NULL, 0), -1);
    watchdog_stop(&watchdog);
}

static void a_full_socket_does_not_block(void **state)
{
    struct watchdog watchdog;
    int status;

    assert_int_equal(watchdog_start(&watchdog), ERR_OK);
    kill(watchdog.pid, SIGSTOP);
    assert_int_equal(waitpid(watchdog.pid, &status, WUNTRACED), watchdog.pid);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(watchdog_beat(&watchdog, PORT), ERR_OK);
    watchdog_stop(&watchdog);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stopped_daemon_holds_nobody),
        cmocka_unit_test(a_killed_daemon_holds_nobody),
        cmocka_unit_test(signals_to_all_are_not_for_it),
        cmocka_unit_test(an_orderly_stop_leaves_no_process),
        cmocka_unit_test(a_dead_watchdog_is_noticed_and_reaped),
        cmocka_unit_test(a_full_socket_does_not_block),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
