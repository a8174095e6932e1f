/* What strangers do to the ports for log-ins, over loopback: more connections than there is room
 * for, from one address and from many, bytes by drops, TLS that never ends and whose answers nobody
 * reads. Whoever is logged in stays, whoever has a key gets in, and memory stays bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/libcrypto.h"
#include <openssl/ssl.h>

#include "fixture.h"
#include "io/clock.h"

#define HELD_MAX 600

static struct fixture fixture;
static struct identity *keys[2];
static int held[HELD_MAX];
static size_t held_count;

static int set_up(void **state)
{
    fixture_init(&fixture);
    held_count = 0;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(identity_generate(&keys[i]), ERR_OK);
    return 0;
}

static int tear_down(void **state)
{
    while (held_count > 0)
        close(held[--held_count]);
    fixture_done(&fixture);
    for (size_t i = 0; i < 2; i++)
        identity_free(keys[i]);
    return 0;
}

/* A connection from 127.0.0.`host`. */
static int connect_from(uint8_t host)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000U | host)};
    struct sockaddr_storage to;
    const socklen_t len = endpoint_to_sockaddr(&fixture.config.listen, false, &to);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, len), 0);
    return fd;
}

static void hold(int fd)
{
    assert_true(held_count < HELD_MAX);
    held[held_count++] = fd;
}

static long long count(const char *what)
{
    json_t *answer = fixture_ask(&fixture, json_pack("{s:s}", "command", "status"));
    json_t *status = json_object_get(answer, "status");
    const json_t *value = json_object_get(status != NULL ? status : answer, what);
    assert_true(json_is_integer(value));
    const long long number = json_integer_value(value);
    json_decref(answer);
    return number;
}

static void wait_count(const char *what, long long wanted)
{
    const uint64_t until_us = clock_now_us() + WAIT_US;
    long long is;
    while ((is = count(what)) != wanted) {
        if (clock_now_us() > until_us)
            fail_msg("%s: %lld instead of %lld", what, is, wanted);
        usleep(5000);
    }
}

static bool is_closed(int fd)
{
    char byte;
    const ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return got == 0 || (got < 0 && errno != EAGAIN);
}

/* … who closes it within `ms`? */
static bool is_closed_within(int fd, int ms)
{
    const uint64_t until_us = clock_now_us() + (uint64_t)ms * 1000;
    while (!is_closed(fd)) {
        if (clock_now_us() > until_us)
            return false;
        usleep(2000);
    }
    return true;
}

/* What is logged in stays, and answers. */
static void check_served(struct client *client)
{
    assert_false(client->is_eof);
    assert_true(client->is_up);
    const uint64_t heard_us = ike_sa_heard_us(client->sa);
    const uint64_t until_us = clock_now_us() + WAIT_US;
    ike_sa_check_alive(client->sa);
    while (ike_sa_heard_us(client->sa) == heard_us) {
        assert_true(clock_now_us() < until_us);
        assert_false(client->is_eof);
        client_step(client, 20);
    }
}

/* Silence from many addresses fills every place: the oldest goes, nobody is kept out. */
static void test_full_of_strangers(void **state)
{
    struct client resident, late;
    fixture.config.sessions_max = 100;
    fixture_start(&fixture);
    client_log_in(&resident, &fixture, keys[0], "", false);
    for (size_t i = 0; i < 300; i++)
        hold(connect_from((uint8_t)(2 + i % 200)));
    wait_count("connections", 100);
    size_t open = 0;
    for (size_t i = 0; i < held_count; i++)
        open += !is_closed(held[i]);
    assert_int_equal(open, 99);
    assert_true(is_closed(held[0]));
    assert_false(is_closed(held[held_count - 1]));
    client_log_in(&late, &fixture, keys[1], "", false);
    check_served(&late);
    check_served(&resident);
    assert_int_equal(count("connections"), 100);
    client_done(&late);
    client_done(&resident);
}

/* Nor is a neighbour behind the same NAT. */
static void test_full_of_neighbours(void **state)
{
    struct client resident, late;
    fixture.config.sessions_per_address_max = 20;
    fixture_start(&fixture);
    client_log_in(&resident, &fixture, keys[0], "", false);
    for (size_t i = 0; i < 60; i++)
        hold(connect_from(1));
    const int elsewhere = connect_from(2);
    wait_count("connections", 21);
    client_log_in(&late, &fixture, keys[1], "", false);
    check_served(&late);
    check_served(&resident);
    assert_true(is_closed(held[0]));
    assert_false(is_closed(elsewhere));
    close(elsewhere);
    client_done(&late);
    client_done(&resident);
}

/* Those who have proven a key are not put out for those who have not. */
static void test_full_of_hosts(void **state)
{
    struct client residents[2];
    fixture.config.sessions_max = 2;
    fixture_start(&fixture);
    for (size_t i = 0; i < 2; i++)
        client_log_in(&residents[i], &fixture, keys[i], "", false);
    for (size_t i = 0; i < 20; i++) {
        const int fd = connect_from(2);
        assert_true(is_closed_within(fd, 5000));
        close(fd);
    }
    for (size_t i = 0; i < 2; i++) {
        check_served(&residents[i]);
        client_done(&residents[i]);
    }
}

/* More connections than a process may have files by default. */
static void test_many_files(void **state)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit less = {64, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
    fixture_start(&fixture); /* it raises its own limit */
    const struct rlimit raised = {limit.rlim_max, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &raised), 0);
    for (size_t i = 0; i < 200; i++)
        hold(connect_from((uint8_t)(2 + i)));
    wait_count("connections", 200);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Where there are no more files, something is left for the others: the control socket, the
 * database, a host. */
static void test_few_files(void **state)
{
    struct client resident, late;
    fixture.files_max = 120;
    fixture_start(&fixture);
    client_log_in(&resident, &fixture, keys[0], "", false);
    for (size_t i = 0; i < 200; i++)
        hold(connect_from((uint8_t)(2 + i)));
    wait_count("connections", 90);
    fixture_add_host(&fixture, "late." ZONE, keys[1], NULL);
    client_log_in(&late, &fixture, keys[1], "late." ZONE, false);
    fixture_wait_record(&fixture, "late." ZONE, true);
    check_served(&resident);
    client_done(&late);
    client_done(&resident);
}

/* One byte at a time: 10 s are all there is, however busy one looks. Meanwhile nobody waits. */
static void test_drops(void **state)
{
    static const char stream[] = "IKETCP\0\x40\0\0\0\0";
    struct client client;
    fixture_start(&fixture);
    const uint64_t begin_us = clock_now_us();
    for (size_t i = 0; i < 40; i++)
        hold(connect_from((uint8_t)(2 + i)));
    size_t sent = 0;
    client_log_in(&client, &fixture, keys[0], "", false);
    while (!is_closed(held[0]) && clock_now_us() < begin_us + WAIT_US) {
        for (size_t i = 0; i < held_count; i++) {
            const char byte = sent < sizeof stream - 1 ? stream[sent] : 'x';
            (void)!send(held[i], &byte, 1, MSG_NOSIGNAL);
        }
        sent++;
        usleep(250000);
    }
    assert_in_range(clock_now_us() - begin_us, 8 * SECOND_US, 14 * SECOND_US);
    wait_count("connections", 1);
    check_served(&client);
    client_done(&client);
}

/* ---- TLS ---- */

/* A whole handshake over a socket of its own. */
static SSL *open_tls(SSL_CTX *ctx, uint8_t host, int *ret_fd)
{
    SSL *ssl = SSL_new(ctx);
    assert_non_null(ssl);
    *ret_fd = connect_from(host);
    assert_int_equal(SSL_set_fd(ssl, *ret_fd), 1);
    assert_int_equal(SSL_connect(ssl), 1);
    assert_string_equal(SSL_get_version(ssl), "TLSv1.3");
    return ssl;
}

/* New keys over and over, each asking for an answer, until it fails; returns how many. */
static size_t update_keys(SSL *ssl, uint64_t until_us)
{
    size_t asked = 0;
    while (clock_now_us() < until_us) {
        if (SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_do_handshake(ssl) != 1)
            break;
        asked++;
    }
    ERR_clear_error();
    return asked;
}

/* A stranger in TLS has no more to say than others. */
static void test_key_updates_of_strangers(void **state)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int fd;
    fixture_start(&fixture);
    const uint64_t until_us = clock_now_us() + 8 * SECOND_US;
    SSL *ssl = open_tls(ctx, 1, &fd);
    assert_true(update_keys(ssl, until_us) > 0);
    assert_true(clock_now_us() < until_us);
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(ctx);
    wait_count("connections", 0);
}

/* Bytes between a client and its connection inside TLS; what is there goes, nothing is waited for.
 */
static void pump_tls(SSL *ssl, int inside)
{
    char data[4096];
    ssize_t len;
    int got;
    while ((len = recv(inside, data, sizeof data, MSG_DONTWAIT)) > 0)
        assert_int_equal(SSL_write(ssl, data, (int)len), len);
    while ((got = SSL_read(ssl, data, sizeof data)) > 0)
        assert_int_equal(send(inside, data, (size_t)got, MSG_NOSIGNAL), got);
    ERR_clear_error();
}

/* A host that has logged in may say as much as it likes; but what it does not read must not pile
 * up. */
static void test_key_updates_of_hosts(void **state)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    struct client client;
    int pair[2], fd;
    fixture_start(&fixture);
    SSL *ssl = open_tls(ctx, 1, &fd);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    client_open_on(&client, &fixture, pair[0], keys[0], NULL);
    const uint64_t until_us = clock_now_us() + WAIT_US;
    while (!client.is_up) {
        assert_true(clock_now_us() < until_us);
        client_step(&client, 5);
        pump_tls(ssl, pair[1]);
    }
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
#if !defined(__SANITIZE_ADDRESS__)
    const long before_kib = fixture_rss_kib(&fixture);
#endif
    const size_t asked = update_keys(ssl, until_us);
    assert_true(clock_now_us() < until_us);
    assert_true(asked > 2000);     /* more than a stranger may */
#if !defined(__SANITIZE_ADDRESS__) /* which frees late */
    assert_true(fixture_rss_kib(&fixture) - before_kib < 2048);
#endif
    client_done(&client);
    close(pair[1]);
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(ctx);
    wait_count("connections", 0);
}

/* Records of nothing, each of which has to be opened. */
static void test_empty_records(void **state)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int fd;
    char byte;
    fixture_start(&fixture);
    const uint64_t until_us = clock_now_us() + 8 * SECOND_US;
    SSL *ssl = open_tls(ctx, 1, &fd);
    while (clock_now_us() < until_us && SSL_write(ssl, "", 0) <= 0 && SSL_write(ssl, "I", 1) == 1) {
    }
    assert_true(clock_now_us() < until_us);
    assert_true(recv(fd, &byte, 1, 0) <= 0 || is_closed_within(fd, 5000));
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(ctx);
    wait_count("connections", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_full_of_strangers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_of_neighbours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_of_hosts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_few_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_drops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_key_updates_of_strangers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_key_updates_of_hosts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_empty_records, set_up, tear_down),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
