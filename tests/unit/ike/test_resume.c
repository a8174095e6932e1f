/* Session resumption (RFC 5723) between two tables over a reliable transport, what goes with
 * IKE_AUTH, and every ticket that must not be taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

#include "crypto/memory.h"
#include "ike/table.h"
#include "ike/ticket.h"
#include "wire/ike_message.h"

#define LIFETIME_S 3600
#define START_S    1700000000
#define TYPE       56800

static struct identity *host_identity, *connector_identity;
static struct ike_tickets *tickets;
static struct ike_table *host_table, *connector_table;
static struct ike_profile *host_profile, *connector_profile;
static const struct endpoint host_at = {{ADDRESS_IPV4, {192, 0, 2, 1}}, 1111};
static const struct endpoint connector_at = {{ADDRESS_IPV4, {192, 0, 2, 2}}, 4500};
static uint64_t now_us;

/* What the connector's SA of the last handshake came to. */
static struct {
    struct ike_sa *sa;
    bool is_established;
    struct public_key key;
    char id[NAME_TEXT_CAP];
    unsigned notifies;
    unsigned exchanges[64]; /* messages that the host sent, by exchange */
    unsigned refusals;      /* messages that the connector's table did not take */
} seen;
static bool host_is_established;
static enum ike_reason host_reason;

/* Before it is delivered, a message from the host may be changed. */
static void (*tamper)(uint8_t *message, size_t *len);

static struct ike_profile *make_profile(const struct identity *identity, const char *id,
                                        struct ike_tickets *with)
{
    struct ike_config config;
    struct ike_profile *profile;
    ike_config_init(&config, identity);
    strcpy(config.id, id);
    config.is_reliable = true;
    config.tickets = with;
    config.wants_ticket = config.sends_early = with == NULL;
    assert_int_equal(ike_profile_new(&config, &profile), ERR_OK);
    return profile;
}

static int setup(void **state)
{
    struct ike_table_limits limits;
    uint8_t key[IKE_TICKET_KEY_LEN] = {1};
    now_us = SECOND_US;
    ike_table_limits_init(&limits);
    assert_int_equal(identity_generate(&host_identity), ERR_OK);
    assert_int_equal(identity_generate(&connector_identity), ERR_OK);
    assert_int_equal(ike_tickets_new(LIFETIME_S, &tickets), ERR_OK);
    ike_tickets_add_key(tickets, key);
    ike_tickets_set_time(tickets, START_S);
    assert_int_equal(ike_table_new(&limits, now_us, &host_table), ERR_OK);
    assert_int_equal(ike_table_new(&limits, now_us, &connector_table), ERR_OK);
    host_profile = make_profile(host_identity, "a.example.net", NULL);
    connector_profile = make_profile(connector_identity, "example.net", tickets);
    tamper = NULL;
    return 0;
}

static int teardown(void **state)
{
    ike_table_free(host_table);
    ike_table_free(connector_table);
    ike_profile_free(host_profile);
    ike_profile_free(connector_profile);
    ike_tickets_free(tickets);
    identity_free(host_identity);
    identity_free(connector_identity);
    return 0;
}

static void hear_connector(struct ike_sa *sa)
{
    struct ike_event event;
    for (ike_sa_next_event(sa, &event); event.type != IKE_EVENT_NONE;
         ike_sa_next_event(sa, &event)) {
        if (event.type == IKE_EVENT_ESTABLISHED) {
            seen.is_established = true;
            seen.key = event.established.peer_key;
            strcpy(seen.id, event.established.peer_id);
        } else if (event.type == IKE_EVENT_NOTIFY) {
            assert_true(seen.is_established); /* nothing before its sender is proven */
            seen.notifies++;
        }
    }
}

static void hear_host(struct ike_sa *sa)
{
    struct ike_event event;
    for (ike_sa_next_event(sa, &event); event.type != IKE_EVENT_NONE;
         ike_sa_next_event(sa, &event)) {
        host_is_established |= event.type == IKE_EVENT_ESTABLISHED;
        if (event.type == IKE_EVENT_CLOSED) {
            host_reason = event.closed.reason;
            return;
        }
    }
}

/* What the connector has to say, to the host's SA. */
static bool answer(struct ike_sa *host)
{
    uint8_t message[IKE_MESSAGE_CAP];
    struct endpoint remote;
    struct writer w;
    struct ike_sa *sa;
    writer_init(&w, message, sizeof message);
    if (ike_table_transmit(connector_table, &w, &remote) != ERR_OK &&
        (seen.sa == NULL || ike_sa_transmit(seen.sa, &w, &remote, now_us) != ERR_OK))
        return false;
    (void)!ike_table_receive(host_table, NULL, message, w.len, &connector_at, now_us, &sa);
    hear_host(host);
    return true;
}

static bool ask(struct ike_sa *host)
{
    uint8_t message[IKE_MESSAGE_CAP];
    struct endpoint remote;
    struct writer w;
    struct ike_sa *sa = NULL;
    writer_init(&w, message, sizeof message);
    if (ike_sa_transmit(host, &w, &remote, now_us) != ERR_OK)
        return false;
    size_t len = w.len;
    seen.exchanges[message[18] & 63]++;
    if (tamper != NULL)
        tamper(message, &len);
    const int error =
        ike_table_receive(connector_table, connector_profile, message, len, &host_at, now_us, &sa);
    seen.refusals += error != ERR_OK && error != ERR_AGAIN;
    if (sa != NULL) {
        seen.sa = sa;
        hear_connector(sa);
    }
    return true;
}

/* Runs one handshake to its end. */
static void run(struct ike_sa *host)
{
    memset(&seen, 0, sizeof seen);
    host_is_established = false;
    host_reason = IKE_REASON_NONE;
    for (bool is_busy = true; is_busy;) {
        is_busy = ask(host);
        is_busy = answer(host) || is_busy;
        now_us += MS_US;
    }
}

static struct ike_sa *connect_in_full(void)
{
    struct ike_sa *sa;
    assert_int_equal(ike_sa_initiate(host_table, host_profile, &connector_at, now_us, &sa), ERR_OK);
    run(sa);
    assert_true(host_is_established && seen.is_established);
    assert_int_equal(seen.exchanges[IKE_EXCHANGE_SA_INIT], 1);
    return sa;
}

/* The ticket of a full handshake. */
static struct ike_resumption *get_ticket(void)
{
    struct ike_sa *sa = connect_in_full();
    struct ike_resumption *resumption = ike_sa_take_resumption(sa);
    assert_non_null(resumption);
    ike_sa_free(sa);
    ike_sa_free(seen.sa);
    return resumption;
}

static struct ike_sa *resume(const struct ike_resumption *resumption)
{
    struct ike_sa *sa;
    assert_int_equal(
        ike_sa_resume(host_table, host_profile, resumption, &connector_at, now_us, &sa), ERR_OK);
    run(sa);
    return sa;
}

static void expect_resumed(void)
{
    assert_true(host_is_established && seen.is_established);
    assert_int_equal(seen.exchanges[IKE_EXCHANGE_SESSION_RESUME], 1);
    assert_int_equal(seen.exchanges[IKE_EXCHANGE_SA_INIT], 0);
    assert_int_equal(seen.exchanges[IKE_EXCHANGE_AUTH], 1);
    assert_true(public_key_is_equal(&seen.key, identity_public(host_identity)));
    assert_string_equal(seen.id, "a.example.net");
}

/* Refused, and in full at once. */
static void expect_full(void)
{
    assert_true(host_is_established && seen.is_established);
    assert_int_equal(seen.exchanges[IKE_EXCHANGE_SESSION_RESUME], 1);
    assert_int_equal(seen.exchanges[IKE_EXCHANGE_SA_INIT], 1);
}

static void test_resumed(void **state)
{
    struct ike_resumption *resumption = get_ticket();
    struct ike_sa *sa = resume(resumption);
    expect_resumed();
    assert_true(public_key_is_equal(ike_sa_peer_key(sa), identity_public(connector_identity)));
    assert_string_equal(ike_sa_peer_id(sa), "example.net");
    /* It works: a notify, a rekey, and a ticket for the next time. */
    assert_int_equal(ike_sa_send_notify(sa, TYPE, "x", 1), ERR_OK);
    struct ike_sa *peer = seen.sa;
    while (ask(sa) || answer(sa))
        ;
    assert_int_equal(seen.notifies, 1);
    assert_int_equal(ike_sa_rekey(sa), ERR_OK);
    seen.sa = peer;
    while (ask(sa) || answer(sa))
        ;
    assert_int_equal(ike_sa_state(sa), IKE_STATE_ESTABLISHED);
    struct ike_resumption *next = ike_sa_take_resumption(sa);
    assert_non_null(next);
    ike_sa_free(sa);
    ike_sa_free(peer);
    sa = resume(next);
    expect_resumed();
    ike_resumption_free(next);
    ike_resumption_free(resumption);
}

/* LOGIN and the first CALL go with IKE_AUTH, in full where that is wished, and resumed. */
static void test_early_notifies(void **state)
{
    struct ike_resumption *resumption = get_ticket();
    struct ike_sa *sa;
    assert_int_equal(ike_sa_initiate(host_table, host_profile, &connector_at, now_us, &sa), ERR_OK);
    assert_int_equal(ike_sa_send_notify(sa, TYPE, "login", 5), ERR_OK);
    assert_int_equal(ike_sa_send_notify(sa, TYPE + 2, "call", 4), ERR_OK);
    run(sa);
    assert_int_equal(seen.notifies, 2);
    assert_int_equal(seen.exchanges[IKE_EXCHANGE_INFORMATIONAL], 0);
    ike_sa_free(sa);
    assert_int_equal(
        ike_sa_resume(host_table, host_profile, resumption, &connector_at, now_us, &sa), ERR_OK);
    assert_int_equal(ike_sa_send_notify(sa, TYPE, "login", 5), ERR_OK);
    run(sa);
    expect_resumed();
    assert_int_equal(seen.notifies, 1);
    assert_int_equal(seen.exchanges[IKE_EXCHANGE_INFORMATIONAL], 0);
    ike_sa_free(sa);
    /* Else the peer comes first, also where its ticket was refused. */
    struct ike_config config = *ike_profile_config(host_profile);
    config.sends_early = false;
    ike_profile_free(host_profile);
    assert_int_equal(ike_profile_new(&config, &host_profile), ERR_OK);
    resumption->ticket[20] ^= 1;
    assert_int_equal(
        ike_sa_resume(host_table, host_profile, resumption, &connector_at, now_us, &sa), ERR_OK);
    assert_int_equal(ike_sa_send_notify(sa, TYPE, "login", 5), ERR_OK);
    run(sa);
    expect_full();
    assert_int_equal(seen.notifies, 1);
    assert_int_equal(seen.exchanges[IKE_EXCHANGE_INFORMATIONAL], 1);
    ike_resumption_free(resumption);
}

static void test_every_bit_and_length(void **state)
{
    struct ike_resumption *resumption = get_ticket();
    struct ike_ticket_state opened;
    uint8_t copy[IKE_TICKET_LEN_MAX];
    memcpy(copy, resumption->ticket, resumption->ticket_len);
    assert_int_equal(ike_ticket_open(tickets, copy, resumption->ticket_len, &opened), ERR_OK);
    assert_string_equal(opened.id, "a.example.net");
    for (size_t bit = 0; bit < resumption->ticket_len * 8; bit++) {
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_true(ike_ticket_open(tickets, copy, resumption->ticket_len, &opened) < 0);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < resumption->ticket_len; len++)
        assert_true(ike_ticket_open(tickets, copy, len, &opened) < 0);
    memset(copy + resumption->ticket_len, 0, 1);
    assert_true(ike_ticket_open(tickets, copy, resumption->ticket_len + 1, &opened) < 0);
    /* … and one such end to end: the full handshake follows by itself. */
    resumption->ticket[resumption->ticket_len - 1] ^= 1;
    (void)resume(resumption);
    expect_full();
    resumption->ticket_len = 1;
    (void)resume(resumption);
    expect_full();
    ike_resumption_free(resumption);
}

static void test_expired(void **state)
{
    struct ike_resumption *resumption = get_ticket();
    ike_tickets_set_time(tickets, START_S + LIFETIME_S - 1);
    (void)resume(resumption);
    expect_resumed();
    ike_tickets_set_time(tickets, START_S + LIFETIME_S);
    (void)resume(resumption);
    expect_full();
    /* A clock that goes back makes nothing good again for longer than it ever was. */
    ike_tickets_set_time(tickets, START_S - 1);
    (void)resume(resumption);
    expect_full();
    ike_resumption_free(resumption);
}

/* Tickets of resumed SAs end with the first: in full once in a lifetime, whatever happens. */
static void test_no_endless_chain(void **state)
{
    struct ike_resumption *resumption = get_ticket();
    ike_tickets_set_time(tickets, START_S + LIFETIME_S / 2);
    struct ike_sa *sa = resume(resumption);
    expect_resumed();
    struct ike_resumption *next = ike_sa_take_resumption(sa);
    assert_non_null(next);
    assert_true(next->expires_us <= now_us + (LIFETIME_S / 2 + 1) * SECOND_US);
    ike_tickets_set_time(tickets, START_S + LIFETIME_S);
    (void)resume(next);
    expect_full();
    ike_resumption_free(next);
    /* Shortly before, no ticket is given at all. */
    ike_tickets_set_time(tickets, START_S + LIFETIME_S - 10);
    sa = resume(resumption);
    expect_resumed();
    assert_null(ike_sa_take_resumption(sa));
    ike_resumption_free(resumption);
}

static void test_keys_rotate(void **state)
{
    struct ike_resumption *resumption = get_ticket();
    uint8_t key[IKE_TICKET_KEY_LEN] = {2};
    ike_tickets_add_key(tickets, key);
    (void)resume(resumption);
    expect_resumed();
    key[0] = 3;
    ike_tickets_add_key(tickets, key);
    (void)resume(resumption);
    expect_full();
    ike_resumption_free(resumption);
}

/* Whoever has a copy of a ticket, but not the keys, gets no further than a half-open SA. */
static void test_stolen_ticket(void **state)
{
    struct ike_resumption *resumption = get_ticket();
    memset(resumption->sk_d, 7, sizeof resumption->sk_d);
    (void)resume(resumption);
    assert_false(host_is_established);
    assert_false(seen.is_established);
    assert_int_equal(seen.exchanges[IKE_EXCHANGE_SESSION_RESUME], 1);
    assert_true(seen.refusals > 0);
    ike_resumption_free(resumption);
}

static uint8_t recorded[4][IKE_MESSAGE_CAP];
static size_t recorded_len[4], recorded_count;

static void record(uint8_t *message, size_t *len)
{
    if (recorded_count < 4) {
        memcpy(recorded[recorded_count], message, *len);
        recorded_len[recorded_count++] = *len;
    }
}

/* A recorded handshake, sent again from the same address and from others: no SA comes of it. */
static void test_replayed(void **state)
{
    struct ike_resumption *resumption = get_ticket();
    recorded_count = 0;
    tamper = record;
    (void)resume(resumption);
    expect_resumed();
    assert_int_equal(recorded_count, 2);
    for (uint16_t port = 1111; port < 1115; port++) {
        struct endpoint from = host_at;
        from.port = port;
        memset(&seen, 0, sizeof seen);
        for (size_t i = 0; i < recorded_count; i++) {
            struct ike_sa *sa = NULL;
            (void)!ike_table_receive(connector_table, connector_profile, recorded[i],
                                     recorded_len[i], &from, now_us, &sa);
            if (sa != NULL)
                hear_connector(sa);
        }
        assert_false(seen.is_established);
    }
    ike_resumption_free(resumption);
}

/* A ticket is good for the name that it was given to. */
static void test_another_name(void **state)
{
    struct ike_resumption *resumption = get_ticket();
    ike_profile_free(host_profile);
    host_profile = make_profile(host_identity, "b.example.net", NULL);
    (void)resume(resumption);
    assert_false(seen.is_established);
    assert_false(host_is_established);
    ike_resumption_free(resumption);
}

/* The connector's key that is expected now counts, not the one of then. */
static void test_another_key_expected(void **state)
{
    struct ike_resumption *resumption = get_ticket();
    struct ike_config config;
    ike_config_init(&config, host_identity);
    strcpy(config.id, "a.example.net");
    config.is_reliable = true;
    config.has_expected_key = true;
    config.expected_key = *identity_public(host_identity);
    ike_profile_free(host_profile);
    assert_int_equal(ike_profile_new(&config, &host_profile), ERR_OK);
    (void)resume(resumption);
    assert_false(host_is_established);
    assert_int_equal(host_reason, IKE_REASON_PEER_KEY);
    ike_resumption_free(resumption);
}

static size_t cut_at;

static void cut(uint8_t *message, size_t *len)
{
    if (message[18] != IKE_EXCHANGE_SESSION_RESUME || cut_at >= *len)
        return;
    *len = cut_at;
    if (cut_at >= IKE_HEADER_LEN) { /* with a length that is right */
        message[26] = (uint8_t)(cut_at >> 8);
        message[27] = (uint8_t)cut_at;
    }
}

/* Requests cut at every length make no SA and hurt nobody. */
static void test_truncated_requests(void **state)
{
    struct ike_resumption *resumption = get_ticket();
    tamper = cut;
    for (cut_at = 0; cut_at < 28 + 36 + 8 + resumption->ticket_len; cut_at++) {
        struct ike_sa *sa = resume(resumption);
        assert_int_equal(seen.exchanges[IKE_EXCHANGE_SESSION_RESUME], 1);
        if (seen.is_established)
            expect_full();
        ike_sa_free(sa);
        if (seen.sa != NULL)
            ike_sa_free(seen.sa);
    }
    assert_int_equal(ike_table_half_open_count(connector_table), 0);
    ike_resumption_free(resumption);
}

/* Where tickets are not known, or the transport loses messages, there is no resumption. */
static void test_not_offered(void **state)
{
    struct ike_resumption *resumption = get_ticket();
    ike_profile_free(connector_profile);
    struct ike_config config;
    ike_config_init(&config, connector_identity);
    strcpy(config.id, "example.net");
    config.is_reliable = true;
    assert_int_equal(ike_profile_new(&config, &connector_profile), ERR_OK);
    struct ike_sa *sa = resume(resumption);
    expect_full();
    assert_null(ike_sa_take_resumption(sa));
    config.is_reliable = false;
    struct ike_profile *lossy;
    assert_int_equal(ike_profile_new(&config, &lossy), ERR_OK);
    assert_int_equal(ike_sa_resume(host_table, lossy, resumption, &connector_at, now_us, &sa),
                     ERR_STATE);
    ike_profile_free(lossy);
    ike_resumption_free(resumption);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_resumed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_early_notifies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_bit_and_length, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expired, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_endless_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_rotate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stolen_ticket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replayed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_key_expected, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_offered, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
