/* The connector from outside, over loopback: log-ins, names, records, calls, limits, the host
 * database while it runs, and its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connector/database.h"
#include "connector/server.h"
#include "fixture.h"
#include "io/clock.h"
#include "io/control_socket.h"

static struct fixture fixture;
static struct identity *keys[4];

static int set_up(void **state)
{
    fixture_init(&fixture);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(identity_generate(&keys[i]), ERR_OK);
    return 0;
}

static int tear_down(void **state)
{
    fixture_done(&fixture);
    for (size_t i = 0; i < 4; i++)
        identity_free(keys[i]);
    return 0;
}

static const char *dynamic_name(const struct identity *key, char name[NAME_TEXT_CAP])
{
    char label[PUBLIC_KEY_LABEL_CAP];
    snprintf(name, NAME_TEXT_CAP, "%s." ZONE, public_key_label(identity_public(key), label));
    return name;
}

static void log_out(struct client *client)
{
    ike_sa_close(client->sa, clock_now_us());
    client_wait_flag(client, &client->is_closed);
    client_done(client);
}

static void test_static_login(void **state)
{
    struct client client;
    fixture_start(&fixture);
    fixture_add_host(&fixture, "pc", keys[0], NULL);
    assert_false(fixture_has_record(&fixture, "pc." ZONE));
    client_log_in(&client, &fixture, keys[0], "", false);
    assert_int_equal(client.names[0].result, NAME_OK);
    assert_string_equal(client.names[0].name, "pc." ZONE);
    assert_string_equal(client.names[0].zone, ZONE);
    assert_true(client.names[0].is_static);
    assert_int_equal(client.names[0].lease_s, 30);
    assert_int_equal(client.names[0].stun_port, fixture.config.listen.port);
    fixture_wait_record(&fixture, "pc." ZONE, true);
    log_out(&client);
    fixture_wait_record(&fixture, "pc." ZONE, false);
}

static void test_dynamic_login(void **state)
{
    struct client client;
    char name[NAME_TEXT_CAP];
    fixture_start(&fixture);
    client_log_in(&client, &fixture, keys[0], "", false);
    assert_int_equal(client.names[0].result, NAME_OK);
    assert_false(client.names[0].is_static);
    assert_string_equal(client.names[0].name, dynamic_name(keys[0], name));
    fixture_wait_record(&fixture, name, true);
    log_out(&client);
    fixture_wait_record(&fixture, name, false);
}

static void test_strict(void **state)
{
    struct client client, guest;
    fixture.config.is_strict = true;
    fixture_start(&fixture);
    client_log_in(&client, &fixture, keys[0], "", false);
    assert_int_equal(client.names[0].result, NAME_KEY_UNKNOWN);
    client_wait_flag(&client, &client.is_closed);
    client_wait_flag(&client, &client.is_eof);
    client_done(&client);
    /* Strict mode concerns names, not callers. */
    client_log_in(&guest, &fixture, keys[1], "", true);
    assert_int_equal(guest.names[0].result, NAME_GUEST);
    client_done(&guest);
}

static void test_no_dynamic_names(void **state)
{
    struct client client;
    fixture.config.has_dynamic = false;
    fixture_start(&fixture);
    client_log_in(&client, &fixture, keys[0], "", false);
    assert_int_equal(client.names[0].result, NAME_NO_DYNAMIC);
    client_done(&client);
}

static void test_mac(void **state)
{
    struct client client;
    struct notify_login login = {.has_mac = true, .mac = {2, 0, 0x5e, 0x10, 0, 1}};
    fixture_start(&fixture);
    fixture_add_host(&fixture, "pc." ZONE, keys[0], "02:00:5E:10:00:01");
    client_log_in(&client, &fixture, keys[0], "", false);
    assert_int_equal(client.names[0].result, NAME_MAC_DIFFERS);
    client_done(&client);
    client_open(&client, &fixture, keys[0], NULL);
    client_wait_flag(&client, &client.is_up);
    client_login(&client, &login);
    client_wait_count(&client, &client.name_count, 1);
    assert_int_equal(client.names[0].result, NAME_OK);
    client_done(&client);
}

static void test_name_of_another(void **state)
{
    struct client client;
    fixture_start(&fixture);
    fixture_add_host(&fixture, "pc", keys[0], NULL);
    client_log_in(&client, &fixture, keys[1], "pc." ZONE, false);
    assert_int_equal(client.names[0].result, NAME_OF_ANOTHER_KEY);
    assert_false(fixture_has_record(&fixture, "pc." ZONE));
    client_done(&client);
}

/* The connector proves its key, too, and the one in the file is what it proves. */
static void test_mutual_authentication(void **state)
{
    struct client client;
    struct public_key key;
    fixture_start(&fixture);
    json_t *answer = fixture_ask(&fixture, json_pack("{s:s}", "command", "status"));
    const json_t *status = json_object_get(answer, "status");
    assert_int_equal(public_key_parse(json_string_value(json_object_get(status, "key")), &key),
                     ERR_OK);
    json_decref(answer);
    client_open(&client, &fixture, keys[0], &key);
    client_wait_flag(&client, &client.is_up);
    client_done(&client);
    client_open(&client, &fixture, keys[0], identity_public(keys[1]));
    client_wait_flag(&client, &client.is_closed);
    assert_false(client.is_up);
    assert_int_equal(client.reason, IKE_REASON_PEER_KEY);
    client_done(&client);
}

static void test_lost_session_keeps_lease(void **state)
{
    struct client client;
    fixture_start(&fixture);
    fixture_add_host(&fixture, "pc", keys[0], NULL);
    client_log_in(&client, &fixture, keys[0], "", false);
    fixture_wait_record(&fixture, "pc." ZONE, true);
    client_done(&client); /* no goodbye */
    /* Once the connector has seen the end of the stream, the record is still there. */
    for (bool is_gone = false; !is_gone;) {
        json_t *answer = fixture_ask(&fixture, json_pack("{s:s}", "command", "status"));
        is_gone = json_integer_value(
                      json_object_get(json_object_get(answer, "status"), "connections")) == 0;
        json_decref(answer);
    }
    assert_true(fixture_has_record(&fixture, "pc." ZONE));
    json_t *answer = fixture_ask(&fixture, json_pack("{s:s}", "command", "host-list"));
    const json_t *host = json_array_get(json_object_get(answer, "hosts"), 0);
    assert_true(json_is_false(json_object_get(host, "is_logged_in")));
    assert_in_range(json_integer_value(json_object_get(host, "lease_s")), 20, 30);
    json_decref(answer);
    /* It comes back to the same name. */
    client_log_in(&client, &fixture, keys[0], "", false);
    assert_string_equal(client.names[0].name, "pc." ZONE);
    log_out(&client);
    fixture_wait_record(&fixture, "pc." ZONE, false);
}

static void test_newer_login_wins(void **state)
{
    struct client older, newer;
    fixture_start(&fixture);
    client_log_in(&older, &fixture, keys[0], "", false);
    client_log_in(&newer, &fixture, keys[0], "", false);
    assert_int_equal(newer.names[0].result, NAME_OK);
    client_wait_count(&older, &older.name_count, 2);
    assert_int_equal(older.names[1].result, NAME_REPLACED);
    client_wait_flag(&older, &older.is_closed);
    client_wait_flag(&older, &older.is_eof);
    client_done(&older);
    fixture_wait_record(&fixture, newer.names[0].name, true);
    client_done(&newer);
}

static void test_host_removed_while_logged_in(void **state)
{
    struct client client;
    fixture_start(&fixture);
    fixture_add_host(&fixture, "pc", keys[0], NULL);
    client_log_in(&client, &fixture, keys[0], "", false);
    fixture_wait_record(&fixture, "pc." ZONE, true);
    json_decref(
        fixture_ask(&fixture, json_pack("{s:s, s:s}", "command", "host-remove", "name", "pc")));
    client_wait_flag(&client, &client.is_closed);
    client_done(&client);
    fixture_wait_record(&fixture, "pc." ZONE, false);
}

/* A host gets its static name at once, not when its dynamic one ends. */
static void test_host_added_while_logged_in(void **state)
{
    struct client client;
    char name[NAME_TEXT_CAP];
    fixture_start(&fixture);
    client_log_in(&client, &fixture, keys[0], "", false);
    fixture_wait_record(&fixture, dynamic_name(keys[0], name), true);
    fixture_add_host(&fixture, "pc", keys[0], NULL);
    client_wait_flag(&client, &client.is_closed);
    client_done(&client);
    fixture_wait_record(&fixture, name, false);
    client_log_in(&client, &fixture, keys[0], "", false);
    assert_string_equal(client.names[0].name, "pc." ZONE);
    client_done(&client);
}

/* Another program's change of the database takes effect as well. */
static void test_database_changed_from_outside(void **state)
{
    struct client client;
    struct database *database = NULL;
    char text[256];
    fixture_start(&fixture);
    fixture_add_host(&fixture, "pc", keys[0], NULL);
    client_log_in(&client, &fixture, keys[0], "", false);
    assert_int_equal(database_reopen(fixture.config.database, &database, text, sizeof text),
                     ERR_OK);
    assert_int_equal(database_remove(database, "pc." ZONE), ERR_OK);
    database_close(database);
    client_wait_flag(&client, &client.is_closed);
    client_done(&client);
    fixture_wait_record(&fixture, "pc." ZONE, false);
}

/* A lost database widens nothing: static hosts do not become dynamic ones, names stay taken. */
static void test_database_lost_while_running(void **state)
{
    struct client up, client;
    char old[CONNECTOR_PATH_CAP + 8];
    fixture_start(&fixture);
    fixture_add_host(&fixture, "pc", keys[0], NULL);
    fixture_add_host(&fixture, "up", keys[1], NULL);
    client_log_in(&up, &fixture, keys[1], "", false);
    snprintf(old, sizeof old, "%s.old", fixture.config.database);
    assert_int_equal(rename(fixture.config.database, old), 0);
    for (bool is_noticed = false; !is_noticed;) {
        json_t *answer = fixture_ask(&fixture, json_pack("{s:s}", "command", "status"));
        is_noticed = json_is_false(
            json_object_get(json_object_get(answer, "status"), "is_database_readable"));
        json_decref(answer);
        usleep(10000);
    }
    static const char *const wanted[] = {"", "pc." ZONE, "other." ZONE};
    for (size_t i = 0; i < 3; i++) {
        client_log_in(&client, &fixture, keys[0], wanted[i], false);
        assert_true(client.names[0].result != NAME_OK && client.names[0].result != NAME_GUEST);
        client_done(&client);
    }
    client_log_in(&client, &fixture, keys[2], "", false);
    assert_true(client.names[0].result != NAME_OK);
    client_done(&client);
    json_t *answer =
        fixture_ask(&fixture, json_pack("{s:s, s:s}", "command", "host-remove", "name", "pc"));
    assert_non_null(json_object_get(answer, "error"));
    json_decref(answer);
    assert_int_equal(access(fixture.config.database, F_OK), -1); /* none was made in its place */
    assert_true(fixture_has_record(&fixture, "up." ZONE));       /* what is up stays */
    client_done(&up);
    /* Back again. */
    assert_int_equal(rename(old, fixture.config.database), 0);
    for (bool is_noticed = false; !is_noticed;) {
        answer = fixture_ask(&fixture, json_pack("{s:s}", "command", "status"));
        is_noticed = json_is_true(
            json_object_get(json_object_get(answer, "status"), "is_database_readable"));
        json_decref(answer);
        usleep(10000);
    }
    client_log_in(&client, &fixture, keys[0], "", false);
    assert_string_equal(client.names[0].name, "pc." ZONE);
    client_done(&client);
}

static void set_credentials(struct credentials *credentials, char letter)
{
    memset(credentials, 0, sizeof *credentials);
    memset(credentials->fragment, letter, CREDENTIALS_FRAGMENT_LEN);
    memset(credentials->password, letter, CREDENTIALS_PASSWORD_LEN);
}

static void test_call_between_hosts(void **state)
{
    struct client caller, called;
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    struct notify_call call = {.number = 7, .called = "b." ZONE, .caller = "a." ZONE};
    struct notify_answer answer = {.result = ANSWER_ACCEPTED};
    struct notify_lookup lookup = {.number = 9, .name = "b." ZONE};
    fixture_start(&fixture);
    fixture_add_host(&fixture, "a", keys[0], NULL);
    fixture_add_host(&fixture, "b", keys[1], NULL);
    client_log_in(&caller, &fixture, keys[0], "", false);
    client_log_in(&called, &fixture, keys[1], "", false);

    writer_init(&w, buffer, sizeof buffer);
    notify_build_lookup(&w, &lookup);
    client_send(&caller, NOTIFY_LOOKUP, &w);
    client_wait_count(&caller, &caller.key_count, 1);
    assert_true(caller.key.is_known && caller.key.is_static);
    assert_memory_equal(caller.key.key, identity_public(keys[1])->bytes, PUBLIC_KEY_LEN);

    set_credentials(&call.credentials, 'x');
    call.candidates.count = 1;
    call.candidates.items[0].type = CANDIDATE_REFLEXIVE;
    assert_int_equal(endpoint_parse("198.51.100.7:4711", 0, &call.candidates.items[0].endpoint),
                     ERR_OK);
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &call);
    client_send(&caller, NOTIFY_CALL, &w);
    client_wait_count(&called, &called.call_count, 1);
    assert_string_equal(called.call.caller, "a." ZONE);
    assert_memory_equal(called.call.caller_key, identity_public(keys[0])->bytes, PUBLIC_KEY_LEN);
    assert_true(called.call.is_vouched && called.call.is_static);

    answer.number = called.call.number;
    set_credentials(&answer.credentials, 'y');
    answer.candidates.count = 1;
    answer.candidates.items[0] = call.candidates.items[0];
    writer_init(&w, buffer, sizeof buffer);
    notify_build_answer(&w, &answer);
    client_send(&called, NOTIFY_ANSWER, &w);
    client_wait_count(&caller, &caller.answer_count, 1);
    assert_int_equal(caller.answer.number, 7);
    assert_int_equal(caller.answer.result, ANSWER_ACCEPTED);
    assert_memory_equal(caller.answer.called_key, identity_public(keys[1])->bytes, PUBLIC_KEY_LEN);
    client_done(&caller);
    client_done(&called);
}

static int raw_connect(void)
{
    struct sockaddr_storage address;
    const socklen_t len = endpoint_to_sockaddr(&fixture.config.listen, false, &address);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    return fd;
}

/* Milliseconds until the other side closes. */
static int wait_closed(int fd)
{
    const uint64_t start_us = clock_now_us();
    char byte;
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&pollfd, 1, (int)(WAIT_US / 1000)), 1);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    return (int)((clock_now_us() - start_us) / 1000);
}

static void test_garbage_is_cut(void **state)
{
    static const char *const garbage[] = {"GET / HTTP/1.0\r\n\r\n", "IKETCP\0\0", "IKETCP\0\1xx",
                                          "IKETCP\0\x0cxxxxyyyyzz"};
    static const size_t lens[] = {18, 8, 10, 18};
    uint8_t noise[1024];
    fixture_start(&fixture);
    for (size_t i = 0; i < 3; i++) {
        const int fd = raw_connect();
        assert_int_equal(send(fd, garbage[i], lens[i], MSG_NOSIGNAL), lens[i]);
        assert_true(wait_closed(fd) < 5000);
        close(fd);
    }
    /* A frame of noise behind the marker: no IKE message. */
    memset(noise, 0x5a, sizeof noise);
    memcpy(noise, "IKETCP\0\x40\0\0\0\0", 12);
    const int fd = raw_connect();
    assert_int_equal(send(fd, noise, 6 + 64, MSG_NOSIGNAL), 6 + 64);
    assert_true(wait_closed(fd) < 5000);
    close(fd);
}

static void test_silent_connection_is_cut(void **state)
{
    fixture_start(&fixture);
    const int fd = raw_connect();
    const int ms = wait_closed(fd);
    assert_in_range(ms, 8000, 12000);
    close(fd);
}

/* Hosts fill the places of their address: nobody else gets one, until one of them goes. */
static void test_sessions_per_address(void **state)
{
    struct client clients[4];
    fixture.config.sessions_per_address_max = 3;
    fixture_start(&fixture);
    for (size_t i = 0; i < 3; i++)
        client_log_in(&clients[i], &fixture, keys[i], "", false);
    const int fourth = raw_connect();
    assert_true(wait_closed(fourth) < 5000);
    close(fourth);
    log_out(&clients[2]);
    /* The place is free again, once the connector has seen it. */
    const uint64_t until_us = clock_now_us() + WAIT_US;
    bool is_up = false;
    while (!is_up) {
        assert_true(clock_now_us() < until_us);
        client_open(&clients[3], &fixture, keys[3], NULL);
        while (!clients[3].is_up && !clients[3].is_eof)
            client_step(&clients[3], 20);
        is_up = clients[3].is_up;
        client_done(&clients[3]);
    }
    for (size_t i = 0; i < 2; i++)
        client_done(&clients[i]);
}

static void test_stun(void **state)
{
    uint8_t answer[256];
    static const uint8_t request[] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1,  2,
                                      3, 4, 5, 6, 7,    8,    9,    10,   11, 12};
    struct sockaddr_storage address;
    struct sockaddr_in own;
    socklen_t own_len = sizeof own;
    fixture_start(&fixture);
    const socklen_t len = endpoint_to_sockaddr(&fixture.config.listen, false, &address);
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &own_len), 0);
    /* Noise is not answered. */
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    assert_int_equal(send(fd, request, sizeof request, 0), sizeof request);
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&pollfd, 1, (int)(WAIT_US / 1000)), 1);
    const ssize_t got = recv(fd, answer, sizeof answer, 0);
    assert_true(got >= 32);
    assert_int_equal(answer[0] << 8 | answer[1], 0x0101);
    assert_memory_equal(answer + 4, request + 4, 16);
    /* XOR-MAPPED-ADDRESS (RFC 8489, 14.2) first: our own port and address. */
    assert_int_equal(answer[20] << 8 | answer[21], 0x0020);
    assert_int_equal((answer[26] << 8 | answer[27]) ^ 0x2112, ntohs(own.sin_port));
    assert_int_equal((uint32_t)(answer[28] ^ 0x21), 127);
    close(fd);
}

/* Several questions in one segment, one cut in two, and silence after half a question. */
static void test_dns_over_tcp(void **state)
{
    static const uint8_t query[] = {0,   27, 0x11, 0x11, 0,   0,   0,   1,   0,   0, 0, 0, 0, 0, 1,
                                    'z', 7,  'e',  'x',  'a', 'm', 'p', 'l', 'e', 0, 0, 6, 0, 1};
    uint8_t data[8192];
    struct sockaddr_storage address;
    fixture_start(&fixture);
    const socklen_t len = endpoint_to_sockaddr(&fixture.config.dns, false, &address);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    memcpy(data, query, sizeof query);
    memcpy(data + sizeof query, query, sizeof query);
    assert_int_equal(send(fd, data, sizeof query + 10, MSG_NOSIGNAL), sizeof query + 10);
    usleep(1000);
    assert_int_equal(send(fd, data + sizeof query + 10, sizeof query - 10, MSG_NOSIGNAL),
                     sizeof query - 10);
    size_t got = 0;
    size_t answers = 0;
    while (answers < 2) {
        const ssize_t more = recv(fd, data + got, sizeof data - got, 0);
        assert_true(more > 0);
        got += (size_t)more;
        answers = 0;
        for (size_t at = 0; at + 2 <= got; answers++) {
            const size_t whole = 2 + (size_t)(data[at] << 8 | data[at + 1]);
            if (at + whole > got)
                break;
            assert_memory_equal(data + at + 2, "\x11\x11", 2);
            assert_int_equal(data[at + 5] & 15, 0);
            at += whole;
        }
    }
    assert_int_equal(send(fd, query, 7, MSG_NOSIGNAL), 7);
    const int ms = wait_closed(fd);
    assert_in_range(ms, 8000, 12000);
    close(fd);
    /* A question that claims to be far too long ends the connection. */
    const int second = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(second, (struct sockaddr *)&address, len), 0);
    assert_int_equal(send(second, "\xff\xff", 2, MSG_NOSIGNAL), 2);
    assert_true(wait_closed(second) < 5000);
    close(second);
}

static void test_orderly_end(void **state)
{
    struct client client;
    fixture_start(&fixture);
    client_log_in(&client, &fixture, keys[0], "", false);
    assert_int_equal(kill(fixture.pid, SIGTERM), 0);
    client_wait_flag(&client, &client.is_closed);
    assert_int_equal(client.reason, IKE_REASON_CLOSED_BY_PEER);
    client_wait_flag(&client, &client.is_eof);
    client_done(&client);
    assert_int_equal(fixture_stop(&fixture, 0), 0); /* on its way already */
    assert_int_equal(access(fixture.config.socket, F_OK), -1);
}

/* A host that does not answer must not hold up the end. */
static void test_end_without_answers(void **state)
{
    struct client client;
    fixture_start(&fixture);
    client_log_in(&client, &fixture, keys[0], "", false);
    const uint64_t start_us = clock_now_us();
    assert_int_equal(fixture_stop(&fixture, SIGINT), 0);
    assert_true(clock_now_us() - start_us < 6 * (uint64_t)1000000);
    client_done(&client);
}

static void test_damaged_database_refuses_start(void **state)
{
    FILE *stream = fopen(fixture.config.database, "w");
    for (int i = 0; i < 100; i++)
        fputs("no database at all\n", stream);
    fclose(stream);
    assert_true(server_run(&fixture.config) < 0);
}

static void append_config(const char *line)
{
    FILE *stream = fopen(fixture.config.file, "a");
    assert_non_null(stream);
    assert_true(fprintf(stream, "%s\n", line) > 0 && fclose(stream) == 0);
}

/* What a new key gets. */
static enum name_result try_login(const struct identity *key)
{
    struct client client;
    client_log_in(&client, &fixture, key, "", false);
    const enum name_result result = (enum name_result)client.names[0].result;
    client_done(&client);
    return result;
}

static void test_reload(void **state)
{
    struct client up;
    struct identity *key;
    fixture_start(&fixture);
    client_log_in(&up, &fixture, keys[0], "", false);
    /* A bad file changes nothing; nor does one with a key that needs a restart. */
    append_config("strict = perhaps");
    assert_int_equal(kill(fixture.pid, SIGHUP), 0);
    assert_int_equal(try_login(keys[1]), NAME_OK);
    FILE *stream = fopen(fixture.config.file, "w");
    fprintf(stream, "[connector]\nzone = other.example\naddress = 192.0.2.1\nstrict = yes\n");
    fclose(stream);
    assert_int_equal(kill(fixture.pid, SIGHUP), 0);
    assert_int_equal(try_login(keys[2]), NAME_OK);
    stream = fopen(fixture.config.file, "w");
    fprintf(
        stream,
        "[connector]\nzone = " ZONE "\naddress = 192.0.2.1\nlisten = 127.0.0.1:%u\n"
        "dns = 127.0.0.1:%u\nlisten-tls = off\nkey = %s\ndatabase = %s\nsocket = %s\nlog = error\n",
        fixture.config.listen.port, fixture.config.dns.port, fixture.config.key,
        fixture.config.database, fixture.config.socket);
    fclose(stream);
    append_config("strict = yes");
    assert_int_equal(kill(fixture.pid, SIGHUP), 0);
    /* New keys are refused as soon as the signal has been heard; what is up stays. */
    enum name_result result;
    const uint64_t until_us = clock_now_us() + WAIT_US;
    do {
        assert_int_equal(identity_generate(&key), ERR_OK);
        result = try_login(key);
        identity_free(key);
        assert_true(clock_now_us() < until_us);
    } while (result == NAME_OK);
    assert_int_equal(result, NAME_KEY_UNKNOWN);
    client_step(&up, 0);
    assert_false(up.is_closed || up.is_eof);
    client_done(&up);
}

static void test_bad_requests(void **state)
{
    static const struct {
        const char *request;
        const char *says;
    } cases[] = {
        {"{}", "knows no command"},
        {"{\"command\": \"frob\"}", "knows no command \"frob\""},
        {"{\"command\": 5}", "knows no command"},
        {"[1]", "not a JSON object"},
        {"nonsense", "not a JSON object"},
        {"{\"command\": \"host-add\"}", "not a host name"},
        {"{\"command\": \"host-add\", \"name\": \"a b\"}", "not a host name"},
        {"{\"command\": \"host-add\", \"name\": \"pc\"}", "not a public key"},
        {"{\"command\": \"host-add\", \"name\": \"pc\", \"key\": \"abc\"}", "not a public key"},
        {"{\"command\": \"host-add\", \"name\": \"pc.other.example\", \"key\": \"abc\"}",
         "not below the zone"},
        {"{\"command\": \"host-add\", \"name\": \"" ZONE "\", \"key\": \"abc\"}",
         "not below the zone"},
        {"{\"command\": \"host-add\", \"name\": \"_detec." ZONE "\", \"key\": \"abc\"}",
         "keeps this name for itself"},
        {"{\"command\": \"host-remove\", \"name\": \"pc\"}", "not in the host database"},
    };
    fixture_start(&fixture);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = -1;
        char line[1024] = "";
        assert_int_equal(control_socket_connect(fixture.config.socket, &fd), ERR_OK);
        FILE *stream = fdopen(fd, "r+");
        fprintf(stream, "%s\n", cases[i].request);
        fflush(stream);
        assert_non_null(fgets(line, sizeof line, stream));
        fclose(stream);
        json_t *answer = json_loads(line, 0, NULL);
        const char *error = json_string_value(json_object_get(answer, "error"));
        assert_true(json_is_true(json_object_get(answer, "done")));
        assert_non_null(error);
        if (strstr(error, cases[i].says) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].request, error, cases[i].says);
        json_decref(answer);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_static_login),
        TEST(test_dynamic_login),
        TEST(test_strict),
        TEST(test_no_dynamic_names),
        TEST(test_mac),
        TEST(test_name_of_another),
        TEST(test_mutual_authentication),
        TEST(test_lost_session_keeps_lease),
        TEST(test_newer_login_wins),
        TEST(test_host_removed_while_logged_in),
        TEST(test_host_added_while_logged_in),
        TEST(test_database_changed_from_outside),
        TEST(test_database_lost_while_running),
        TEST(test_call_between_hosts),
        TEST(test_garbage_is_cut),
        TEST(test_silent_connection_is_cut),
        TEST(test_sessions_per_address),
        TEST(test_stun),
        TEST(test_dns_over_tcp),
        TEST(test_orderly_end),
        TEST(test_end_without_answers),
        TEST(test_damaged_database_refuses_start),
        TEST(test_reload),
        TEST(test_bad_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
