/* Tickets at a running connector: over its restart, and what becomes of those that are forged, of
 * another connector, somebody else's, or of a host that is not in the database any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

#define NAME "pc." ZONE

static struct fixture fixture;
static struct identity *keys[2];
static struct client first, again;
static struct ike_resumption ticket;

/* A host of the database has logged in and got a ticket. */
static int set_up(void **state)
{
    fixture_init(&fixture);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(identity_generate(&keys[i]), ERR_OK);
    fixture_start(&fixture);
    fixture_add_host(&fixture, NAME, keys[0], NULL);
    client_log_in(&first, &fixture, keys[0], "", false);
    assert_int_equal(first.names[0].result, NAME_OK);
    assert_false(first.is_resumed);
    assert_non_null(first.resumption);
    ticket = *first.resumption;
    return 0;
}

static int tear_down(void **state)
{
    client_done(&again);
    client_done(&first);
    fixture_done(&fixture);
    for (size_t i = 0; i < 2; i++)
        identity_free(keys[i]);
    return 0;
}

static void restart(void)
{
    client_done(&first);
    (void)fixture_stop(&fixture, SIGKILL);
    fixture_start(&fixture);
}

static void resume(const struct ike_resumption *resumption, bool is_taken)
{
    const struct notify_login login = {.port = 32589};
    client_resume(&again, &fixture, keys[0], resumption);
    client_wait_flag(&again, &again.is_up);
    assert_int_equal(again.is_resumed, is_taken);
    client_login(&again, &login);
    client_wait_count(&again, &again.name_count, 1);
}

static long long count_resumed(void)
{
    json_t *answer = fixture_ask(&fixture, json_pack("{s:s}", "command", "status"));
    const long long count =
        json_integer_value(json_object_get(json_object_get(answer, "status"), "resumed"));
    json_decref(answer);
    return count;
}

static void test_restarted(void **state)
{
    restart();
    resume(&ticket, true);
    assert_int_equal(again.names[0].result, NAME_OK);
    assert_string_equal(again.names[0].name, NAME);
    assert_int_equal(count_resumed(), 1);
    fixture_wait_record(&fixture, NAME, true);
}

/* The name is looked up at each log-in: a ticket says who somebody is, not what is his. */
static void test_host_removed(void **state)
{
    client_done(&first);
    json_decref(
        fixture_ask(&fixture, json_pack("{s:s, s:s}", "command", "host-remove", "name", NAME)));
    resume(&ticket, true);
    assert_int_equal(again.names[0].result, NAME_OK);
    assert_false(again.names[0].is_static);
    assert_string_not_equal(again.names[0].name, NAME);
    assert_false(fixture_has_record(&fixture, NAME));
}

static void test_host_removed_strict(void **state)
{
    json_decref(
        fixture_ask(&fixture, json_pack("{s:s, s:s}", "command", "host-remove", "name", NAME)));
    fixture.config.is_strict = true;
    restart();
    resume(&ticket, true);
    assert_int_equal(again.names[0].result, NAME_KEY_UNKNOWN);
    client_wait_flag(&again, &again.is_eof);
    assert_false(fixture_has_record(&fixture, NAME));
}

/* Every part of it, altered: the log-in is a full one, on the same connection. */
static void test_forged(void **state)
{
    const size_t places[] = {0, 2, 5, 20, ticket.ticket_len / 2, ticket.ticket_len - 1};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct ike_resumption forged = ticket;
        forged.ticket[places[i]] ^= 1;
        resume(&forged, false);
        assert_int_equal(again.names[0].result, NAME_OK);
        client_done(&again);
    }
    struct ike_resumption cut = ticket;
    cut.ticket_len /= 2;
    resume(&cut, false);
    assert_int_equal(count_resumed(), 0);
}

/* Without what it was given with, a copy is worth nothing, and harms nobody. */
static void test_stolen(void **state)
{
    struct ike_resumption stolen = ticket;
    memset(stolen.sk_d, 0x5a, sizeof stolen.sk_d);
    client_resume(&again, &fixture, keys[1], &stolen);
    client_wait_flag(&again, &again.is_eof);
    assert_false(again.is_up);
    assert_int_equal(count_resumed(), 0);
    const uint64_t heard_us = ike_sa_heard_us(first.sa);
    ike_sa_check_alive(first.sa);
    while (ike_sa_heard_us(first.sa) == heard_us) {
        assert_false(first.is_eof);
        client_step(&first, 20);
    }
    client_done(&again);
    resume(&ticket, true); /* … nor spoils the ticket */
}

/* Another key makes another connector, which cannot open it, though it has the file. */
static void test_other_connector(void **state)
{
    client_done(&first);
    (void)fixture_stop(&fixture, SIGTERM);
    assert_int_equal(unlink(fixture.config.key), 0);
    fixture_start(&fixture);
    client_resume(&again, &fixture, keys[0], &ticket);
    client_wait_flag(&again, &again.is_closed); /* this key is not the one that was expected */
    assert_int_equal(again.reason, IKE_REASON_PEER_KEY);
    assert_false(again.is_resumed);
    assert_int_equal(count_resumed(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_restarted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_host_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_host_removed_strict, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_forged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stolen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_connector, set_up, tear_down),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
