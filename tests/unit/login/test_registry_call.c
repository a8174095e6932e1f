/* Calls and look-ups through the connector: passed on, limited, and lied about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

enum { CALLER_KEY = 1, CALLED_KEY = 2, THIRD_KEY = 3, GUEST_KEY = 4 };

struct fixture {
    struct world world;
    struct world_host *caller, *called, *third, *guest;
};

static struct fixture *start(void)
{
    struct fixture *f = malloc(sizeof *f);
    assert_non_null(f);
    world_init(&f->world, NULL);
    world_add_row(&f->world, "caller." ZONE, CALLER_KEY, NULL);
    world_add_row(&f->world, "called." ZONE, CALLED_KEY, NULL);
    world_add_row(&f->world, "absent." ZONE, 77, NULL);
    f->caller = world_add_host(&f->world, CALLER_KEY, NULL);
    const struct login_config relaying = {.wants_relay = true, .port = 1};
    f->called = world_add_host(&f->world, CALLED_KEY, &relaying);
    f->third = world_add_host(&f->world, THIRD_KEY, NULL);
    const struct login_config guest = {.is_guest = true, .port = 1};
    f->guest = world_add_host(&f->world, GUEST_KEY, &guest);
    world_run(&f->world, SECOND_US);
    assert_int_equal(f->caller->dones + f->called->dones + f->third->dones, 3);
    return f;
}

static void finish(struct fixture *f)
{
    world_done(&f->world);
    free(f);
}

static int call(struct fixture *f, struct world_host *from, uint64_t number, const char *called,
                const char *claimed)
{
    const int error = login_client_call(from->client, number, called, claimed, &world_credentials,
                                        &world_candidates, NULL, NULL, f->world.now_us);
    world_drain(&f->world);
    return error;
}

/* What the hosts say to each other passes as it is, up to its limit; nothing of one call ever gets
 * into another. */
static void test_carried_messages(void **state)
{
    struct fixture *f = start();
    struct notify_ike there = {.len = NOTIFY_IKE_MAX}, back = {.len = 1, .data = {0x77}};
    for (size_t i = 0; i < sizeof there.data; i++)
        there.data[i] = (uint8_t)(i * 7);
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(login_client_call(f->caller->client, 9, "called." ZONE, "caller." ZONE,
                                           &world_credentials, &world_candidates,
                                           round == 0 ? &there : NULL, NULL, f->world.now_us),
                         ERR_OK);
        world_drain(&f->world);
        const struct notify_ike *seen = &f->called->call.ike;
        assert_int_equal(seen->len, round == 0 ? NOTIFY_IKE_MAX : 0);
        if (round == 0)
            assert_memory_equal(seen->data, there.data, sizeof there.data);
        assert_int_equal(login_client_answer(f->called->client, f->called->call.number,
                                             ANSWER_ACCEPTED, &world_credentials, &world_candidates,
                                             NULL, round == 0 ? &back : NULL, f->world.now_us),
                         ERR_OK);
        world_drain(&f->world);
        assert_int_equal(f->caller->answer.ike.len, round == 0 ? 1 : 0);
        assert_int_equal(f->caller->answer.ike.data[0], round == 0 ? 0x77 : 0);
    }
    there.len = NOTIFY_IKE_MAX + 1;
    assert_int_equal(login_client_call(f->caller->client, 9, "called." ZONE, "caller." ZONE,
                                       &world_credentials, &world_candidates, &there, NULL,
                                       f->world.now_us),
                     ERR_INVALID);
    finish(f);
}

static void test_call_and_answer(void **state)
{
    struct fixture *f = start();
    f->called->answers_calls = true;
    assert_int_equal(call(f, f->caller, 42, "called." ZONE, "caller." ZONE), ERR_OK);
    assert_int_equal(f->called->calls, 1);
    const struct notify_call *seen = &f->called->call;
    assert_true(seen->number != 42); /* the connector's own */
    assert_true(seen->is_vouched && seen->is_static);
    assert_string_equal(seen->caller, "caller." ZONE);
    assert_string_equal(seen->called, "called." ZONE);
    assert_memory_equal(seen->caller_key, f->caller->key, NOTIFY_KEY_LEN);
    assert_string_equal(seen->credentials.password, world_credentials.password);
    assert_int_equal(seen->candidates.count, 1);
    assert_int_equal(f->caller->answers, 1);
    assert_int_equal(f->caller->answer.number, 42);
    assert_int_equal(f->caller->answer.result, ANSWER_ACCEPTED);
    assert_memory_equal(f->caller->answer.called_key, f->called->key, NOTIFY_KEY_LEN);
    /* Once only. */
    assert_int_equal(login_client_answer(f->called->client, seen->number, ANSWER_ACCEPTED,
                                         &world_credentials, &world_candidates, NULL, NULL,
                                         f->world.now_us),
                     ERR_OK);
    world_drain(&f->world);
    assert_int_equal(f->caller->answers, 1);
    finish(f);
}

static void test_busy(void **state)
{
    struct fixture *f = start();
    assert_int_equal(call(f, f->caller, 1, "called." ZONE, ""), ERR_OK);
    assert_int_equal(login_client_answer(f->called->client, f->called->call.number, ANSWER_BUSY,
                                         NULL, NULL, "too many tunnels", NULL, f->world.now_us),
                     ERR_OK);
    world_drain(&f->world);
    assert_int_equal(f->caller->answer.result, ANSWER_BUSY);
    assert_string_equal(f->caller->answer.reason, "too many tunnels");
    finish(f);
}

/* A called host that names victims. */
static void test_answer_candidates(void **state)
{
    struct fixture *f = start();
    static const char *const named[] = {"127.0.0.1:22", "0.0.0.9:1", "203.0.113.7:9", "[::1]:5"};
    struct candidate_list list = {.count = 4};
    for (size_t i = 0; i < 4; i++) {
        list.items[i].type = CANDIDATE_HOST;
        assert_int_equal(endpoint_parse(named[i], 0, &list.items[i].endpoint), ERR_OK);
    }
    assert_int_equal(call(f, f->caller, 1, "called." ZONE, ""), ERR_OK);
    assert_int_equal(login_client_answer(f->called->client, f->called->call.number, ANSWER_ACCEPTED,
                                         &world_credentials, &list, NULL, NULL, f->world.now_us),
                     ERR_OK);
    world_drain(&f->world);
    assert_int_equal(f->caller->answer.candidates.count, 1);
    assert_int_equal(f->caller->answer.candidates.items[0].endpoint.port, 9);
    finish(f);
}

static int call_from(struct fixture *f, struct world_host *from, const struct candidate_list *list)
{
    const int error = login_client_call(from->client, 77, "called." ZONE, "", &world_credentials,
                                        list, NULL, NULL, f->world.now_us);
    world_drain(&f->world);
    return error;
}

/* Bursts go where the connector itself sees a host: no host can claim that of an address. */
static void test_observed_is_the_connectors_word(void **state)
{
    struct fixture *f = start();
    const struct address seen = address_from_ipv4(0xcb007105),
                         other = address_from_ipv4(0xc6336401);
    struct candidate_list list = {.count = 2,
                                  .pattern = {PORT_PATTERN_SEQUENTIAL, true, 4711, -2},
                                  .items = {{CANDIDATE_REFLEXIVE, {other, 53}, true},
                                            {CANDIDATE_REFLEXIVE, {seen, 9}, false}}};
    const struct candidate *got = f->called->call.candidates.items;
    assert_int_equal(call_from(f, f->caller, &list), ERR_OK);
    assert_false(got[0].is_observed || got[1].is_observed); /* nothing is known for sure */
    registry_session_observed(f->world.registry, f->caller->session, &seen);
    assert_int_equal(call_from(f, f->caller, &list), ERR_OK);
    assert_true(!got[0].is_observed && got[1].is_observed);
    assert_memory_equal(&f->called->call.candidates.pattern.last, &list.pattern.last, 4);
    assert_true(f->called->call.candidates.pattern.is_by_address);
    /* The same of an answer. */
    registry_session_observed(f->world.registry, f->called->session, &other);
    assert_int_equal(login_client_answer(f->called->client, f->called->call.number, ANSWER_ACCEPTED,
                                         &world_credentials, &list, NULL, NULL, f->world.now_us),
                     ERR_OK);
    world_drain(&f->world);
    got = f->caller->answer.candidates.items;
    assert_int_equal(f->caller->answer.candidates.count, 2);
    assert_true(got[0].is_observed && !got[1].is_observed);
    assert_int_equal(f->caller->answer.candidates.pattern.step, -2);
    registry_session_observed(f->world.registry, 999999, &other); /* ignored */
    finish(f);
}

static bool has_seen(void *context, const struct endpoint *endpoint, const void *proof, size_t len)
{
    const struct endpoint seen = {address_from_ipv4(0xcb007105), 9};
    return context != NULL && endpoint_is_equal(&seen, endpoint) && len == 5 &&
           memcmp(proof, "proof", 5) == 0;
}

/* Or where its STUN server has answered it, by that one's proof; which goes no further. */
static void test_seen_by_its_stun_server(void **state)
{
    struct fixture *f = start();
    const struct endpoint seen = {address_from_ipv4(0xcb007105), 9};
    struct candidate_list list = {
        .count = 3,
        .items = {{CANDIDATE_REFLEXIVE, {address_from_ipv4(0xc6336401), 9}, true},
                  {CANDIDATE_REFLEXIVE, seen, false},
                  {CANDIDATE_MAPPED, {seen.address, 10}, false}},
        .proof_len = 5,
        .proof = "proof"};
    const struct candidate_list *got = &f->called->call.candidates;
    struct registry_config config = {.zone = ZONE, .has_dynamic = true};
    config.find_static = world_find_static;
    assert_int_equal(call_from(f, f->caller, &list), ERR_OK); /* who gives no proofs takes none */
    assert_false(got->items[0].is_observed || got->items[1].is_observed);
    config.has_seen = has_seen;
    config.context = &f->world;
    assert_int_equal(registry_set_config(f->world.registry, &config), ERR_OK);
    assert_int_equal(call_from(f, f->caller, &list), ERR_OK);
    assert_int_equal(got->count, 3);
    assert_int_equal(got->proof_len, 0);
    assert_true(!got->items[0].is_observed && got->items[1].is_observed &&
                got->items[2].is_observed);
    list.proof[0] = 'P';
    assert_int_equal(call_from(f, f->caller, &list), ERR_OK);
    assert_false(got->items[0].is_observed || got->items[1].is_observed);
    list.proof[0] = 'p';
    assert_int_equal(login_client_answer(f->called->client, f->called->call.number, ANSWER_ACCEPTED,
                                         &world_credentials, &list, NULL, NULL, f->world.now_us),
                     ERR_OK);
    world_drain(&f->world);
    got = &f->caller->answer.candidates;
    assert_true(!got->items[0].is_observed && got->items[1].is_observed);
    assert_int_equal(got->proof_len, 0);
    finish(f);
}

/* What a caller says about itself. */
static void test_claims(void **state)
{
    struct fixture *f = start();
    /* None. */
    assert_int_equal(call(f, f->caller, 1, "called." ZONE, ""), ERR_OK);
    assert_int_equal(f->called->calls, 1);
    assert_false(f->called->call.is_vouched || f->called->call.is_static);
    assert_string_equal(f->called->call.caller, "");
    /* A foreign one: passed on, not vouched for. */
    assert_int_equal(call(f, f->guest, 1, "called." ZONE, "pc.home.example"), ERR_OK);
    world_run(&f->world, SECOND_US);
    assert_int_equal(f->called->calls, 2);
    assert_false(f->called->call.is_vouched || f->called->call.is_static);
    assert_string_equal(f->called->call.caller, "pc.home.example");
    assert_memory_equal(f->called->call.caller_key, f->guest->key, NOTIFY_KEY_LEN);
    /* Its own dynamic one: vouched for, not static. */
    assert_int_equal(call(f, f->third, 1, "called." ZONE, f->third->name.name), ERR_OK);
    assert_true(f->called->call.is_vouched);
    assert_false(f->called->call.is_static);
    /* Another's of this zone, a name of this zone that nobody has, the zone itself: lies. */
    static const char *const lies[] = {"caller." ZONE, "absent." ZONE, "nobody." ZONE, ZONE};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(call(f, f->third, 2, "called." ZONE, lies[i]), ERR_OK);
        assert_int_equal(call(f, f->guest, 2, "called." ZONE, lies[i]), ERR_OK);
    }
    assert_int_equal(f->called->calls, 3);
    assert_int_equal(registry_counters(f->world.registry)->forged, 8);
    assert_int_equal(f->third->answers, 0);
    finish(f);
}

/* Flags and key that a caller writes itself count for nothing. */
static void test_forged_fields(void **state)
{
    struct fixture *f = start();
    struct notify_call forged = {.is_vouched = true,
                                 .is_static = true,
                                 .number = 9,
                                 .called = "called." ZONE,
                                 .caller = "pc.home.example",
                                 .credentials = world_credentials};
    memset(forged.caller_key, CALLER_KEY, sizeof forged.caller_key);
    static const uint8_t bad[][4] = {
        {127, 0, 0, 1}, {0, 0, 0, 86}, {224, 0, 0, 1}, {203, 0, 113, 5}};
    forged.candidates.count = 4;
    for (size_t i = 0; i < 4; i++)
        forged.candidates.items[i] =
            (struct candidate){CANDIDATE_HOST, {address_from_bytes(ADDRESS_IPV4, bad[i]), 53}};
    uint8_t buffer[NOTIFY_LEN_MAX + 8];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &forged);
    struct registry *registry = f->world.registry;
    assert_int_equal(registry_notify(registry, f->third->session, NOTIFY_CALL, buffer, w.len, NULL,
                                     f->world.now_us),
                     ERR_OK);
    world_drain(&f->world);
    assert_int_equal(f->called->calls, 1);
    assert_false(f->called->call.is_vouched || f->called->call.is_static);
    assert_memory_equal(f->called->call.caller_key, f->third->key, NOTIFY_KEY_LEN);
    assert_int_equal(f->called->call.candidates.count, 1);
    assert_int_equal(f->called->call.candidates.items[0].endpoint.address.bytes[0], 203);

    /* Too short at every length, too long, of other types. */
    for (size_t cut = 0; cut < w.len; cut++)
        assert_true(registry_notify(registry, f->third->session, NOTIFY_CALL, buffer, cut, NULL,
                                    f->world.now_us) < 0);
    buffer[w.len] = 0; /* the beginning of a field */
    assert_int_equal(registry_notify(registry, f->third->session, NOTIFY_CALL, buffer, w.len + 1,
                                     NULL, f->world.now_us),
                     ERR_TRUNCATED);
    static const uint16_t types[] = {NOTIFY_NAME, NOTIFY_RELAY, NOTIFY_KEY, NOTIFY_VOUCHER,
                                     56799,       56809,        0,          65535};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        assert_int_equal(registry_notify(registry, f->third->session, types[i], buffer, w.len, NULL,
                                         f->world.now_us),
                         ERR_UNSUPPORTED);
    world_drain(&f->world);
    assert_int_equal(f->called->calls, 1);
    finish(f);
}

/* Absent, unknown, foreign, self: silence, and nothing is remembered. */
static void test_absent(void **state)
{
    struct fixture *f = start();
    static const char *const names[] = {"absent." ZONE, "nobody." ZONE, "pc.home.example",
                                        "caller." ZONE, ZONE};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(call(f, f->caller, i, names[i], "caller." ZONE), ERR_OK);
    assert_int_equal(f->caller->answers, 0);
    assert_int_equal(registry_counters(f->world.registry)->absent, 5);
    /* A host whose session is lost is absent, even while its name is published. */
    f->called->is_unreachable = true;
    world_break(f->called);
    assert_int_equal(call(f, f->caller, 9, "called." ZONE, "caller." ZONE), ERR_OK);
    assert_int_equal(registry_counters(f->world.registry)->absent, 6);
    finish(f);
}

static void test_answers_of_others(void **state)
{
    struct fixture *f = start();
    assert_int_equal(call(f, f->caller, 5, "called." ZONE, "caller." ZONE), ERR_OK);
    const uint64_t number = f->called->call.number;
    /* A third host answers in its place; a guessed number; the caller itself. */
    assert_int_equal(login_client_answer(f->third->client, number, ANSWER_ACCEPTED,
                                         &world_credentials, &world_candidates, NULL, NULL,
                                         f->world.now_us),
                     ERR_OK);
    assert_int_equal(login_client_answer(f->third->client, 5, ANSWER_ACCEPTED, &world_credentials,
                                         &world_candidates, NULL, NULL, f->world.now_us),
                     ERR_OK);
    assert_int_equal(login_client_answer(f->caller->client, number, ANSWER_ACCEPTED,
                                         &world_credentials, &world_candidates, NULL, NULL,
                                         f->world.now_us),
                     ERR_OK);
    world_drain(&f->world);
    assert_int_equal(f->caller->answers, 0);
    assert_int_equal(registry_counters(f->world.registry)->forged, 2);
    assert_int_equal(registry_counters(f->world.registry)->invalid, 1);
    /* The right one still may. */
    assert_int_equal(login_client_answer(f->called->client, number, ANSWER_ACCEPTED,
                                         &world_credentials, &world_candidates, NULL, NULL,
                                         f->world.now_us),
                     ERR_OK);
    world_drain(&f->world);
    assert_int_equal(f->caller->answers, 1);
    assert_int_equal(f->caller->answer.number, 5);
    finish(f);
}

static void test_late_answer(void **state)
{
    struct fixture *f = start();
    assert_int_equal(call(f, f->caller, 5, "called." ZONE, ""), ERR_OK);
    world_run(&f->world, REGISTRY_CALL_WAIT_US);
    assert_int_equal(registry_counters(f->world.registry)->expired, 1);
    assert_int_equal(login_client_answer(f->called->client, f->called->call.number, ANSWER_ACCEPTED,
                                         &world_credentials, &world_candidates, NULL, NULL,
                                         f->world.now_us),
                     ERR_OK);
    world_drain(&f->world);
    assert_int_equal(f->caller->answers, 0);
    /* The caller is gone when the answer comes. */
    assert_int_equal(call(f, f->caller, 6, "called." ZONE, ""), ERR_OK);
    f->caller->is_unreachable = true;
    world_break(f->caller);
    assert_int_equal(login_client_answer(f->called->client, f->called->call.number, ANSWER_ACCEPTED,
                                         &world_credentials, &world_candidates, NULL, NULL,
                                         f->world.now_us),
                     ERR_OK);
    world_drain(&f->world);
    assert_int_equal(registry_counters(f->world.registry)->answers, 0);
    finish(f);
}

static void test_caller_limit(void **state)
{
    struct fixture *f = start();
    f->called->answers_calls = true;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(call(f, f->caller, i, "called." ZONE, ""), ERR_OK);
    assert_int_equal(f->called->calls, REGISTRY_CALLER_BURST);
    assert_int_equal(f->caller->answers, 100);
    assert_int_equal(f->caller->answer.result, ANSWER_RATE_LIMIT);
    assert_int_equal(f->caller->answer.number, 99);
    assert_int_equal(registry_counters(f->world.registry)->limited, 100 - REGISTRY_CALLER_BURST);
    /* Others are not concerned, and time heals. */
    assert_int_equal(call(f, f->third, 1, "called." ZONE, ""), ERR_OK);
    assert_int_equal(f->called->calls, REGISTRY_CALLER_BURST + 1);
    f->world.now_us += REGISTRY_CALLER_US;
    assert_int_equal(call(f, f->caller, 1, "called." ZONE, ""), ERR_OK);
    assert_int_equal(f->called->calls, REGISTRY_CALLER_BURST + 2);
    finish(f);
}

static void test_called_limit(void **state)
{
    struct fixture *f = start();
    /* Many callers, one called host. */
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    const struct notify_call message = {
        .number = 1, .called = "called." ZONE, .credentials = world_credentials};
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &message);
    const struct notify_login login = {.is_guest = true, .port = 1};
    uint8_t login_buffer[NOTIFY_LEN_MAX];
    struct writer l;
    writer_init(&l, login_buffer, sizeof login_buffer);
    notify_build_login(&l, &login);
    unsigned limited = 0;
    for (uint64_t i = 0; i < 200; i++) {
        const uint64_t session = 1000 + i;
        const uint8_t key[NOTIFY_KEY_LEN] = {0xcc, (uint8_t)i};
        assert_int_equal(registry_session_open(f->world.registry, session, key, f->world.now_us),
                         ERR_OK);
        assert_int_equal(registry_notify(f->world.registry, session, NOTIFY_LOGIN, login_buffer,
                                         l.len, NULL, f->world.now_us),
                         ERR_OK);
        limited += registry_notify(f->world.registry, session, NOTIFY_CALL, buffer, w.len, NULL,
                                   f->world.now_us) == ERR_LIMIT;
        world_drain(&f->world);
    }
    assert_int_equal(f->called->calls, REGISTRY_CALLED_BURST);
    assert_int_equal(limited, 200 - REGISTRY_CALLED_BURST);
    /* Strangers cost nothing: they do not use up what the zone's own hosts may do. */
    assert_int_equal(call(f, f->third, 1, "called." ZONE, ""), ERR_OK);
    assert_int_equal(f->called->calls, REGISTRY_CALLED_BURST);
    assert_int_equal(call(f, f->caller, 1, "called." ZONE, "caller." ZONE), ERR_OK);
    assert_int_equal(f->called->calls, REGISTRY_CALLED_BURST + 1);
    finish(f);
}

static void test_pending_limit(void **state)
{
    struct fixture *f = start();
    unsigned passed = 0;
    for (unsigned i = 0; i < 200; i++) {
        f->world.now_us += REGISTRY_CALLER_US / 4; /* four times too fast, and never answered */
        const unsigned before = f->called->calls;
        assert_int_equal(call(f, f->caller, i, "called." ZONE, ""), ERR_OK);
        passed += f->called->calls - before;
    }
    assert_true(passed <= REGISTRY_PENDING_SESSION);
    world_run(&f->world, REGISTRY_CALL_WAIT_US + SECOND_US);
    assert_int_equal(call(f, f->caller, 1, "called." ZONE, ""), ERR_OK);
    assert_int_equal(f->called->calls, passed + 1);
    finish(f);
}

static void open_session(struct world *world, uint64_t session, bool is_guest)
{
    uint8_t key[NOTIFY_KEY_LEN] = {0xdd};
    memcpy(key + 1, &session, sizeof session);
    assert_int_equal(registry_session_open(world->registry, session, key, world->now_us), ERR_OK);
    const struct notify_login login = {.is_guest = is_guest, .port = 1};
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_login(&w, &login);
    assert_int_equal(
        registry_notify(world->registry, session, NOTIFY_LOGIN, buffer, w.len, NULL, world->now_us),
        ERR_OK);
    world_drain(world);
}

/* Thousands of guests that call thousands of hosts, none of which answers. */
static void test_pending_limit_of_all(void **state)
{
    struct fixture *f = start();
    struct world *world = &f->world;
    const unsigned called_count = REGISTRY_PENDING_MAX / REGISTRY_CALLED_BURST + 20;
    const unsigned caller_count = REGISTRY_PENDING_MAX / REGISTRY_CALLER_BURST + 20;
    char(*names)[NAME_TEXT_CAP] = calloc(called_count, sizeof *names);
    assert_non_null(names);
    for (unsigned i = 0; i < called_count; i++) {
        open_session(world, 100000 + i, false);
        strcpy(names[i], world->last_published);
    }
    unsigned passed = 0, refused = 0;
    for (unsigned i = 0; i < caller_count; i++) {
        open_session(world, 200000 + i, true);
        for (unsigned k = 0; k < REGISTRY_CALLER_BURST; k++) {
            struct notify_call message = {.number = k, .credentials = world_credentials};
            strcpy(message.called, names[(i * REGISTRY_CALLER_BURST + k) % called_count]);
            uint8_t buffer[NOTIFY_LEN_MAX];
            struct writer w;
            writer_init(&w, buffer, sizeof buffer);
            notify_build_call(&w, &message);
            const int result = registry_notify(world->registry, 200000 + i, NOTIFY_CALL, buffer,
                                               w.len, NULL, world->now_us);
            passed += result == ERR_OK;
            refused += result == ERR_LIMIT;
            world_drain(world);
        }
    }
    assert_int_equal(passed, REGISTRY_PENDING_STRANGERS);
    assert_int_equal(refused, caller_count * REGISTRY_CALLER_BURST - passed);
    assert_int_equal(call(f, f->caller, 1, "called." ZONE, "caller." ZONE), ERR_OK);
    assert_int_equal(f->called->calls, 1);
    free(names);
    finish(f);
}

static void test_lookup(void **state)
{
    struct fixture *f = start();
    static const struct {
        const char *name;
        bool is_known, is_static;
        uint8_t key;
    } cases[] = {{"called." ZONE, true, true, CALLED_KEY},
                 {"absent." ZONE, true, true, 77}, /* static, not logged in */
                 {"nobody." ZONE, false, false, 0},
                 {"pc.home.example", false, false, 0}};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(login_client_lookup(f->guest->client, i, cases[i].name, f->world.now_us),
                         ERR_OK);
        world_run(&f->world, SECOND_US);
        assert_int_equal(f->guest->keys, i + 1);
        assert_int_equal(f->guest->looked_up.number, i);
        assert_int_equal(f->guest->looked_up.is_known, cases[i].is_known);
        assert_int_equal(f->guest->looked_up.is_static, cases[i].is_static);
        assert_int_equal(f->guest->looked_up.key[31], cases[i].key);
    }
    assert_int_equal(login_client_lookup(f->guest->client, 9, f->third->name.name, f->world.now_us),
                     ERR_OK);
    world_drain(&f->world);
    assert_true(f->guest->looked_up.is_known && !f->guest->looked_up.is_static);
    assert_int_equal(f->guest->looked_up.key[0], THIRD_KEY);
    /* A database that cannot be read says nothing, rather than "unknown". */
    f->world.is_database_broken = true;
    assert_int_equal(login_client_lookup(f->guest->client, 10, "absent." ZONE, f->world.now_us),
                     ERR_OK);
    world_drain(&f->world);
    assert_int_equal(f->guest->keys, 5);
    f->world.is_database_broken = false;
    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(login_client_lookup(f->third->client, i, "called." ZONE, f->world.now_us),
                         ERR_OK);
        world_drain(&f->world);
    }
    assert_int_equal(f->third->keys, REGISTRY_LOOKUP_BURST);
    finish(f);
}

/* A session that is replaced or lost in the middle of calls, on either side. */
static void test_sessions_come_and_go(void **state)
{
    struct fixture *f = start();
    for (unsigned round = 0; round < 30; round++) {
        assert_int_equal(call(f, f->caller, round, "called." ZONE, "caller." ZONE), ERR_OK);
        if (round % 3 == 0)
            world_break_silently(f->called);
        else if (round % 3 == 1)
            world_break(f->caller);
        world_run(&f->world, 40 * SECOND_US);
        if (login_client_state(f->called->client) == LOGIN_UP && f->called->calls > 0) {
            const int result = login_client_answer(f->called->client, f->called->call.number,
                                                   ANSWER_ACCEPTED, &world_credentials,
                                                   &world_candidates, NULL, NULL, f->world.now_us);
            assert_int_equal(result, ERR_OK);
            world_drain(&f->world);
        }
        world_run(&f->world, 60 * SECOND_US);
    }
    assert_int_equal(f->caller->answers, 0); /* all were too late */
    f->called->answers_calls = true;
    assert_int_equal(call(f, f->caller, 1000, "called." ZONE, "caller." ZONE), ERR_OK);
    assert_int_equal(f->caller->answers, 1);
    assert_int_equal(f->caller->answer.number, 1000);
    finish(f);
}

/* Only for calls that want one, and where the connector has one: after the answer, once. */
static void test_relay(void **state)
{
    struct fixture *f = start();
    const struct login_config relaying = {.wants_relay = true, .port = 1};
    struct world_host *fourth = world_add_host(&f->world, 5, &relaying);
    struct registry_config config = {.zone = ZONE, .has_dynamic = true, .has_relay = true};
    world_run(&f->world, SECOND_US);
    f->called->answers_calls = true;
    assert_int_equal(call(f, fourth, 1, "called." ZONE, ""), ERR_OK);
    assert_int_equal(f->world.relays, 0); /* the connector has none, and says so */
    assert_int_equal(fourth->answer.relay, ANSWER_RELAY_OFF);
    config.find_static = world_find_static;
    config.context = &f->world;
    assert_int_equal(registry_set_config(f->world.registry, &config), ERR_OK);
    assert_int_equal(call(f, f->third, 2, "called." ZONE, ""), ERR_OK);
    assert_int_equal(f->world.relays, 0); /* the caller wants none */
    assert_int_equal(call(f, fourth, 3, "called." ZONE, ""), ERR_OK);
    assert_int_equal(fourth->answers, 2);
    assert_int_equal(fourth->answer.relay, ANSWER_RELAY_UNSAID);
    assert_int_equal(f->world.relays, 1);
    const struct registry_event *event = &f->world.last_relay;
    assert_true(event->session == fourth->session && event->relay.number == 3);
    assert_true(event->relay.called == f->called->session);
    assert_true(event->relay.called_number == f->called->call.number);
    f->called->answers_calls = false;
    assert_int_equal(call(f, fourth, 4, "called." ZONE, ""), ERR_OK);
    assert_int_equal(login_client_answer(f->called->client, f->called->call.number, ANSWER_BUSY,
                                         NULL, NULL, "busy", NULL, f->world.now_us),
                     ERR_OK);
    world_drain(&f->world);
    assert_int_equal(f->world.relays, 1); /* refused */
    f->caller->answers_calls = true;
    assert_int_equal(call(f, fourth, 5, "caller." ZONE, ""), ERR_OK);
    assert_int_equal(fourth->answer.relay, ANSWER_RELAY_REFUSED); /* the called host wants none */
    assert_int_equal(f->world.relays, 1);
    finish(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call_and_answer),
        cmocka_unit_test(test_carried_messages),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_answer_candidates),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_forged_fields),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_answers_of_others),
        cmocka_unit_test(test_late_answer),
        cmocka_unit_test(test_caller_limit),
        cmocka_unit_test(test_called_limit),
        cmocka_unit_test(test_pending_limit),
        cmocka_unit_test(test_pending_limit_of_all),
        cmocka_unit_test(test_observed_is_the_connectors_word),
        cmocka_unit_test(test_seen_by_its_stun_server),
        cmocka_unit_test(test_relay),
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_sessions_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
