/* The login client alone: waits, jitter, waiting calls, guests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "login/client.h"
#include "world.h"

#define START_US (50 * SECOND_US)

static struct login_client *new_client(bool is_guest)
{
    const struct login_config config = {.is_guest = is_guest, .port = 1, .name = "pc." ZONE};
    struct login_client *client;
    assert_int_equal(login_client_new(&config, START_US, &client), ERR_OK);
    return client;
}

static const struct login_event *expect(struct login_client *client, enum login_event_type type)
{
    const struct login_event *event = login_client_next_event(client);
    assert_non_null(event);
    assert_int_equal(event->type, type);
    return event;
}

static void send_name(struct login_client *client, uint8_t result, uint64_t now_us)
{
    struct notify_name name = {.result = result, .lease_s = 120, .zone = ZONE, .stun_port = 4500};
    if (result == NAME_OK)
        strcpy(name.name, "pc." ZONE);
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_name(&w, &name);
    assert_int_equal(login_client_notify(client, NOTIFY_NAME, buffer, w.len, now_us), ERR_OK);
}

static void log_in(struct login_client *client, uint64_t now_us)
{
    expect(client, LOGIN_CONNECT);
    login_client_connected(client, (struct login_early){0}, now_us);
    assert_int_equal(expect(client, LOGIN_SEND)->send.type, NOTIFY_LOGIN);
    send_name(client, NAME_OK, now_us);
    const struct login_event *event = expect(client, LOGIN_DONE);
    assert_string_equal(event->name.name, "pc." ZONE);
    assert_int_equal(login_client_state(client), LOGIN_UP);
}

static void test_back_off(void **state)
{
    struct login_client *client = new_client(false);
    uint64_t now_us = START_US, last_us = 0;
    static const uint64_t base_ms[] = {300,   1000,  2000,  4000,  8000,
                                       16000, 32000, 60000, 60000, 60000};
    bool has_jitter = false;
    for (size_t i = 0; i < sizeof base_ms / sizeof base_ms[0]; i++) {
        expect(client, LOGIN_CONNECT);
        login_client_disconnected(client, LOGIN_END_LOST, now_us);
        assert_null(login_client_next_event(client)); /* it never was up: no LOGIN_DOWN */
        const uint64_t wait_us = login_client_deadline(client) - now_us;
        assert_true(wait_us >= base_ms[i] * MS_US / 2 && wait_us <= base_ms[i] * MS_US * 3 / 2);
        has_jitter |= i > 7 && wait_us != last_us;
        last_us = wait_us;
        login_client_expire(client, now_us + wait_us - 1);
        assert_null(login_client_next_event(client));
        now_us += wait_us;
        login_client_expire(client, now_us);
    }
    assert_true(has_jitter);
    /* A session that lasts makes it quick again, one that doesn't, doesn't. */
    log_in(client, now_us);
    now_us += 5 * SECOND_US;
    login_client_disconnected(client, LOGIN_END_LOST, now_us);
    assert_true(expect(client, LOGIN_DOWN)->down.retry_us >= 30 * SECOND_US);
    now_us = login_client_deadline(client);
    login_client_expire(client, now_us);
    log_in(client, now_us);
    now_us += LOGIN_STABLE_US;
    login_client_disconnected(client, LOGIN_END_LOST, now_us);
    assert_true(expect(client, LOGIN_DOWN)->down.retry_us <= 450 * MS_US);
    login_client_free(client);
}

static void test_refusals(void **state)
{
    static const struct {
        uint8_t result;
        uint64_t least_us, most_us;
    } cases[] = {
        {NAME_KEY_UNKNOWN, 150 * SECOND_US, 450 * SECOND_US},
        {NAME_OF_ANOTHER_KEY, 150 * SECOND_US, 450 * SECOND_US},
        {NAME_MAC_DIFFERS, 150 * SECOND_US, 450 * SECOND_US},
        {NAME_NO_DYNAMIC, 150 * SECOND_US, 450 * SECOND_US},
        {NAME_TOO_MANY_HOSTS, 30 * SECOND_US, 90 * SECOND_US},
        {NAME_REPLACED, 600 * SECOND_US, 900 * SECOND_US},
        {NAME_TOO_OFTEN, 2 * SECOND_US, 8 * SECOND_US},
        {NAME_GUEST, 150 * SECOND_US, 450 * SECOND_US}, /* a name was wanted */
        {200, 150 * SECOND_US, 450 * SECOND_US},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct login_client *client = new_client(false);
        expect(client, LOGIN_CONNECT);
        login_client_connected(client, (struct login_early){0}, START_US);
        expect(client, LOGIN_SEND);
        send_name(client, cases[i].result, START_US);
        assert_int_equal(expect(client, LOGIN_REFUSED)->name.result, cases[i].result);
        expect(client, LOGIN_CLOSE);
        assert_null(login_client_next_event(client));
        const uint64_t wait_us = login_client_deadline(client) - START_US;
        assert_true(wait_us >= cases[i].least_us && wait_us <= cases[i].most_us);
        login_client_hurry(client, START_US + 1);
        assert_true(login_client_deadline(client) == START_US + wait_us);
        login_client_expire(client, START_US + wait_us);
        expect(client, LOGIN_CONNECT);
        /* The wrong key on either side. */
        login_client_disconnected(client, LOGIN_END_REFUSED, START_US);
        assert_true(login_client_deadline(client) >= START_US + 30 * SECOND_US);
        assert_true(login_client_deadline(client) <= START_US + 90 * SECOND_US);
        login_client_hurry(client, START_US + 1); /* another network, or another key accepted */
        assert_true(login_client_deadline(client) == START_US + 1);
        login_client_free(client);
    }
}

static void test_replaced_while_up(void **state)
{
    struct login_client *client = new_client(false);
    log_in(client, START_US);
    send_name(client, NAME_REPLACED, START_US + SECOND_US);
    expect(client, LOGIN_REFUSED);
    assert_true(expect(client, LOGIN_DOWN)->down.retry_us >= 600 * SECOND_US);
    expect(client, LOGIN_CLOSE);
    assert_null(login_client_name(client));
    assert_int_equal(login_client_notify(client, NOTIFY_NAME, "", 0, START_US), ERR_STATE);
    login_client_free(client);
}

static void test_time_outs(void **state)
{
    struct login_client *client = new_client(false);
    expect(client, LOGIN_CONNECT);
    assert_true(login_client_deadline(client) == START_US + LOGIN_CONNECT_TIMEOUT_US);
    uint64_t now_us = login_client_deadline(client);
    login_client_expire(client, now_us);
    expect(client, LOGIN_CLOSE);
    now_us = login_client_deadline(client);
    login_client_expire(client, now_us);
    expect(client, LOGIN_CONNECT);
    login_client_connected(client, (struct login_early){0}, now_us);
    expect(client, LOGIN_SEND);
    assert_true(login_client_deadline(client) == now_us + LOGIN_NAME_TIMEOUT_US);
    login_client_expire(client, now_us + LOGIN_NAME_TIMEOUT_US);
    expect(client, LOGIN_CLOSE);
    assert_int_equal(login_client_state(client), LOGIN_WAITING);
    login_client_connected(client, (struct login_early){0}, now_us); /* too late */
    assert_int_equal(login_client_state(client), LOGIN_WAITING);
    login_client_free(client);
}

static void test_keepalive(void **state)
{
    struct login_client *client = new_client(false);
    log_in(client, START_US);
    assert_true(login_client_deadline(client) == START_US + 40 * SECOND_US);
    login_client_touch(client, START_US + 10 * SECOND_US);
    assert_true(login_client_deadline(client) == START_US + 50 * SECOND_US);
    login_client_expire(client, START_US + 50 * SECOND_US);
    expect(client, LOGIN_KEEPALIVE);
    assert_true(login_client_deadline(client) == START_US + 90 * SECOND_US);
    login_client_free(client);
}

static void test_implausible_names(void **state)
{
    struct login_client *client = new_client(false);
    expect(client, LOGIN_CONNECT);
    login_client_connected(client, (struct login_early){0}, START_US);
    expect(client, LOGIN_SEND);
    static const char *const names[][2] = {
        {"", ZONE}, {"pc." ZONE, ""}, {"pc.other.example", ZONE}};
    for (size_t i = 0; i < 3; i++) {
        struct notify_name name = {.lease_s = 120};
        strcpy(name.name, names[i][0]);
        strcpy(name.zone, names[i][1]);
        uint8_t buffer[NOTIFY_LEN_MAX];
        struct writer w;
        writer_init(&w, buffer, sizeof buffer);
        notify_build_name(&w, &name);
        assert_int_equal(login_client_notify(client, NOTIFY_NAME, buffer, w.len, START_US),
                         ERR_INVALID);
    }
    assert_null(login_client_next_event(client));
    assert_int_equal(login_client_state(client), LOGIN_NAMING);
    assert_int_equal(login_client_notify(client, NOTIFY_RELAY, "\x01", 1, START_US), ERR_TRUNCATED);
    assert_int_equal(login_client_notify(client, NOTIFY_LOGIN, "\x01", 1, START_US),
                     ERR_UNSUPPORTED);
    assert_int_equal(login_client_notify(client, NOTIFY_CALL, "\x01", 1, START_US), ERR_TRUNCATED);
    login_client_free(client);
}

static int call(struct login_client *client, uint64_t now_us)
{
    return login_client_call(client, 7, "other." ZONE, "pc.home.example", &world_credentials,
                             &world_candidates, NULL, NULL, now_us);
}

struct early {
    uint16_t types[8];
    size_t count, room;
};

static int take_early(void *context, uint16_t type, const void *data, size_t len)
{
    struct early *early = context;
    if (early->count == early->room)
        return ERR_FULL;
    early->types[early->count++] = type;
    return ERR_OK;
}

/* What went before IKE was authenticated is not sent again; what did not fit, or came later, is. */
static void test_early(void **state)
{
    for (size_t room = 0; room <= 3; room++) {
        struct login_client *client = new_client(true);
        struct early early = {.room = room};
        assert_int_equal(call(client, START_US), ERR_OK);
        assert_int_equal(login_client_lookup(client, 8, "other." ZONE, START_US), ERR_OK);
        expect(client, LOGIN_CONNECT);
        const struct login_early sent =
            login_client_send_early(client, (struct login_early){0}, take_early, &early, START_US);
        assert_int_equal(early.count, room);
        static const uint16_t order[] = {NOTIFY_LOGIN, NOTIFY_CALL, NOTIFY_LOOKUP, NOTIFY_LOOKUP};
        for (size_t i = 0; i < room; i++)
            assert_int_equal(early.types[i], order[i]);
        assert_int_equal(login_client_lookup(client, 9, "third." ZONE, START_US), ERR_OK);
        login_client_connected(client, sent, START_US);
        for (size_t i = room; i < 4; i++)
            assert_int_equal(expect(client, LOGIN_SEND)->send.type, order[i]);
        assert_null(login_client_next_event(client));
        login_client_free(client);
    }
    /* What comes to wait later can still go along, once. */
    struct login_client *late = new_client(true);
    struct early first = {.room = 8}, second = {.room = 8};
    assert_int_equal(call(late, START_US), ERR_OK);
    expect(late, LOGIN_CONNECT);
    struct login_early went =
        login_client_send_early(late, (struct login_early){0}, take_early, &first, START_US);
    assert_int_equal(login_client_lookup(late, 8, "other." ZONE, START_US), ERR_OK);
    for (int i = 0; i < 2; i++)
        went = login_client_send_early(late, went, take_early, &second, START_US);
    assert_int_equal(first.count, 2);
    assert_int_equal(second.count, 1);
    assert_int_equal(second.types[0], NOTIFY_LOOKUP);
    login_client_connected(late, went, START_US);
    assert_null(login_client_next_event(late));
    login_client_free(late);
    /* An address that has changed meanwhile is told. */
    struct login_client *client = new_client(false);
    struct early early = {.room = 8};
    const struct address address = address_from_ipv4(0xc0000205);
    expect(client, LOGIN_CONNECT);
    const struct login_early sent =
        login_client_send_early(client, (struct login_early){0}, take_early, &early, START_US);
    login_client_set_addresses(client, &address, 1, START_US);
    login_client_connected(client, sent, START_US);
    assert_int_equal(expect(client, LOGIN_SEND)->send.type, NOTIFY_LOGIN);
    login_client_free(client);
}

/* A call that is over before there is a session is not sent, nor its look-up; others are. */
static void test_withdraw(void **state)
{
    for (uint64_t gone = 7; gone <= 9; gone++) {
        struct login_client *client = new_client(true);
        struct early early = {.room = 8};
        assert_int_equal(login_client_lookup(client, 7, "other." ZONE, START_US), ERR_OK);
        assert_int_equal(call(client, START_US), ERR_OK);
        assert_int_equal(login_client_lookup(client, 8, "third." ZONE, START_US), ERR_OK);
        expect(client, LOGIN_CONNECT);
        login_client_withdraw(client, gone);
        const struct login_early sent =
            login_client_send_early(client, (struct login_early){0}, take_early, &early, START_US);
        assert_int_equal(early.count, gone == 7 ? 2 : gone == 8 ? 3 : 4);
        /* Behind what is left, whichever that is. */
        assert_int_equal(login_client_lookup(client, 10, "last." ZONE, START_US), ERR_OK);
        login_client_withdraw(client, gone);
        login_client_connected(client, sent, START_US);
        const struct login_event *event = expect(client, LOGIN_SEND);
        assert_int_equal(event->send.type, NOTIFY_LOOKUP);
        assert_null(login_client_next_event(client));
        login_client_free(client);
    }
}

/* A guest connects with its first call, which follows LOGIN without waiting for NAME. */
static void test_guest(void **state)
{
    struct login_client *client = new_client(true);
    uint64_t now_us = START_US;
    assert_null(login_client_next_event(client));
    assert_true(login_client_deadline(client) == DEADLINE_NEVER);
    assert_int_equal(call(client, now_us), ERR_OK);
    expect(client, LOGIN_CONNECT);
    login_client_connected(client, (struct login_early){0}, now_us);
    assert_int_equal(expect(client, LOGIN_SEND)->send.type, NOTIFY_LOGIN);
    const struct login_event *event = expect(client, LOGIN_SEND);
    assert_int_equal(event->send.type, NOTIFY_CALL);
    struct notify_call sent;
    assert_int_equal(notify_parse_call(event->send.data, event->send.len, &sent), ERR_OK);
    assert_string_equal(sent.called, "other." ZONE);
    assert_int_equal(sent.number, 7);
    send_name(client, NAME_GUEST, now_us);
    expect(client, LOGIN_DONE);
    /* A further call puts off the idle close. */
    now_us += 200 * SECOND_US;
    login_client_touch(client, now_us);
    assert_int_equal(call(client, now_us), ERR_OK);
    assert_int_equal(expect(client, LOGIN_SEND)->send.type, NOTIFY_CALL);
    /* Nobody can call a guest. */
    struct notify_call incoming = sent;
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &incoming);
    assert_int_equal(login_client_notify(client, NOTIFY_CALL, buffer, w.len, now_us), ERR_REFUSED);
    const uint64_t idle_us = now_us + LOGIN_GUEST_IDLE_US;
    for (;;) {
        now_us = login_client_deadline(client);
        login_client_expire(client, now_us);
        if (now_us >= idle_us)
            break;
        expect(client, LOGIN_KEEPALIVE);
    }
    assert_true(now_us == idle_us);
    assert_true(expect(client, LOGIN_DOWN)->down.retry_us == DEADLINE_NEVER);
    expect(client, LOGIN_CLOSE);
    assert_null(login_client_next_event(client));
    assert_int_equal(login_client_state(client), LOGIN_ASLEEP);
    assert_true(login_client_deadline(client) == DEADLINE_NEVER);
    assert_int_equal(call(client, now_us), ERR_OK);
    expect(client, LOGIN_CONNECT);
    login_client_free(client);
}

/* Where nothing waits any more, a guest does not try for ever. */
static void test_guest_gives_up(void **state)
{
    struct login_client *client = new_client(true);
    uint64_t now_us = START_US;
    assert_int_equal(call(client, now_us), ERR_OK);
    unsigned connects = 0;
    while (login_client_deadline(client) != DEADLINE_NEVER) {
        const struct login_event *event;
        while ((event = login_client_next_event(client)) != NULL) {
            assert_int_equal(event->type, LOGIN_CONNECT);
            connects++;
            login_client_disconnected(client, LOGIN_END_LOST, now_us);
        }
        now_us = login_client_deadline(client);
        login_client_expire(client, now_us);
        assert_true(connects < 20);
    }
    assert_true(connects >= 4);
    assert_true(now_us <= START_US + LOGIN_CALL_WAIT_US + LOGIN_RETRY_MAX_US * 3 / 2);
    login_client_free(client);
}

static void test_waiting_cap(void **state)
{
    struct login_client *client = new_client(false);
    expect(client, LOGIN_CONNECT);
    for (unsigned i = 0; i < LOGIN_WAITING_MAX; i++)
        assert_int_equal(i % 2 ? call(client, START_US)
                               : login_client_lookup(client, i, "a." ZONE, START_US),
                         ERR_OK);
    assert_int_equal(call(client, START_US), ERR_LIMIT);
    assert_int_equal(login_client_answer(client, 1, ANSWER_BUSY, NULL, NULL, "no", NULL, START_US),
                     ERR_STATE);
    /* Old ones are dropped, and not sent by a session that comes late. */
    login_client_expire(client, START_US + 10 * SECOND_US);
    assert_int_equal(call(client, START_US), ERR_LIMIT);
    login_client_disconnected(client, LOGIN_END_LOST, START_US + 15 * SECOND_US);
    login_client_expire(client, START_US + LOGIN_CALL_WAIT_US);
    expect(client, LOGIN_CONNECT);
    assert_int_equal(call(client, START_US + LOGIN_CALL_WAIT_US), ERR_OK);
    login_client_connected(client, (struct login_early){0}, START_US + LOGIN_CALL_WAIT_US);
    assert_int_equal(expect(client, LOGIN_SEND)->send.type, NOTIFY_LOGIN);
    assert_int_equal(expect(client, LOGIN_SEND)->send.type, NOTIFY_CALL);
    assert_null(login_client_next_event(client));
    login_client_free(client);
}

/* The timer is late: what is too old is not sent all the same. */
static void test_waiting_too_long(void **state)
{
    struct login_client *client = new_client(false);
    expect(client, LOGIN_CONNECT);
    assert_int_equal(call(client, START_US), ERR_OK);
    login_client_connected(client, (struct login_early){0}, START_US + LOGIN_CALL_WAIT_US);
    assert_int_equal(expect(client, LOGIN_SEND)->send.type, NOTIFY_LOGIN);
    assert_null(login_client_next_event(client));
    login_client_free(client);
}

static void test_bad_arguments(void **state)
{
    struct login_client *client = new_client(false);
    struct login_config config = {.name = "Not.Canonical."};
    struct login_client *none = NULL;
    assert_int_equal(login_client_new(&config, 0, &none), ERR_INVALID);
    config = (struct login_config){.address_count = NOTIFY_ADDRESS_MAX + 1};
    assert_int_equal(login_client_new(&config, 0, &none), ERR_INVALID);
    assert_null(none);
    assert_int_equal(
        login_client_call(client, 1, "", "", &world_credentials, &world_candidates, NULL, NULL, 0),
        ERR_INVALID);
    char long_name[400];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(login_client_call(client, 1, long_name, "", &world_credentials,
                                       &world_candidates, NULL, NULL, 0),
                     ERR_INVALID);
    const struct credentials empty = {0};
    assert_int_equal(
        login_client_call(client, 1, "a." ZONE, "", &empty, &world_candidates, NULL, NULL, 0),
        ERR_INVALID);
    assert_int_equal(login_client_lookup(client, 1, long_name, 0), ERR_INVALID);
    login_client_free(client);
}

static void test_addresses(void **state)
{
    struct login_client *client = new_client(false);
    log_in(client, START_US);
    struct address addresses[NOTIFY_ADDRESS_MAX + 4] = {0};
    for (uint32_t i = 0; i < NOTIFY_ADDRESS_MAX + 4; i++)
        addresses[i] = address_from_ipv4(0xcb007101 + i);
    login_client_set_addresses(client, addresses, 1, START_US);
    const struct login_event *event = expect(client, LOGIN_SEND);
    struct notify_login login;
    assert_int_equal(notify_parse_login(event->send.data, event->send.len, &login), ERR_OK);
    assert_int_equal(login.address_count, 1);
    login_client_set_addresses(client, addresses, 1, START_US);
    assert_null(login_client_next_event(client)); /* no change */
    login_client_set_addresses(client, addresses, NOTIFY_ADDRESS_MAX + 4, START_US);
    event = expect(client, LOGIN_SEND);
    assert_int_equal(notify_parse_login(event->send.data, event->send.len, &login), ERR_OK);
    assert_int_equal(login.address_count, NOTIFY_ADDRESS_MAX);
    /* While waiting, a change means that the network is back. */
    for (int i = 0; i < 6; i++) {
        login_client_disconnected(client, LOGIN_END_LOST, START_US);
        login_client_expire(client, START_US + 200 * SECOND_US);
    }
    login_client_disconnected(client, LOGIN_END_LOST, START_US + 200 * SECOND_US);
    assert_true(login_client_deadline(client) > START_US + 201 * SECOND_US);
    login_client_set_addresses(client, addresses, 2, START_US + 201 * SECOND_US);
    assert_true(login_client_deadline(client) == START_US + 201 * SECOND_US);
    login_client_free(client);
}

static void test_stop(void **state)
{
    struct login_client *client = new_client(false);
    log_in(client, START_US);
    login_client_stop(client);
    expect(client, LOGIN_DOWN);
    expect(client, LOGIN_CLOSE);
    assert_null(login_client_next_event(client));
    assert_true(login_client_deadline(client) == DEADLINE_NEVER);
    assert_int_equal(call(client, START_US), ERR_STATE);
    login_client_free(client);
    client = new_client(false);
    expect(client, LOGIN_CONNECT);
    login_client_stop(client);
    expect(client, LOGIN_CLOSE);
    login_client_free(client);
    login_client_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_replaced_while_up),
        cmocka_unit_test(test_time_outs),
        cmocka_unit_test(test_keepalive),
        cmocka_unit_test(test_implausible_names),
        cmocka_unit_test(test_early),
        cmocka_unit_test(test_withdraw),
        cmocka_unit_test(test_guest),
        cmocka_unit_test(test_guest_gives_up),
        cmocka_unit_test(test_waiting_cap),
        cmocka_unit_test(test_waiting_too_long),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
