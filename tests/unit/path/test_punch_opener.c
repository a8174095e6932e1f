/* Openers, and what they are for: NATs that take strangers' packets for their own.
 *
 *   caller ── NAT (accepting or not) ── public ── NAT (accepting or not) ── called host
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/deadline.h"
#include "call.h"
#include "path/check.h"
#include "path/keepalive.h"

static struct call *two_nats(bool is_first_accepting, bool is_second_accepting)
{
    struct call *call = malloc(sizeof *call);
    assert_non_null(call);
    call_init(call, 21);
    sim_add_nat(&call->sim, 1, 0, "198.51.100.1", FILTER_ADDRESS_AND_PORT);
    sim_add_nat(&call->sim, 2, 0, "198.51.100.2", FILTER_ADDRESS_AND_PORT);
    call->sim.nats[1].is_accepting = is_first_accepting;
    call->sim.nats[2].is_accepting = is_second_accepting;
    call_place(&call->caller, 1, "192.168.1.10:32589", "192.168.1.0/24");
    call_place(&call->called, 2, "10.0.0.10:32589", "10.0.0.0/24");
    return call;
}

static void free_call(struct call *call)
{
    call_done(call);
    free(call);
}

/* As fast as where NATs drop what is unasked for, and no port changes. */
static void test_accepting_nats(void **state)
{
    for (int kinds = 0; kinds < 4; kinds++) {
        struct call *call = two_nats(kinds & 1, kinds & 2);
        call_start(call);
        call_run(call, 10 * SECOND_US);
        call_check_data(call);
        assert_int_equal(call->caller.nominated.candidate, CANDIDATE_REFLEXIVE);
        assert_int_equal(call->called.nominated.candidate, CANDIDATE_REFLEXIVE);
        assert_true(call->caller.nominated_us <=
                    call->start_us + call->answer_us + 60 * MS_US + PUNCH_GRACE_MIN_US);
        assert_true(call->called.nominated_us <= call->caller.nominated_us + 31 * MS_US);
        for (int i = 1; i <= 2; i++) {
            assert_int_equal(call->sim.nats[i].stray_count, 0);
            assert_int_equal(call->sim.nats[i].mapping_count, 1);
        }
        free_call(call);
    }
}

/* What the openers do: without them the called host's NAT takes the caller's first check for its
 * own, and no time heals it. The called host's alone are enough. */
static void test_without_openers(void **state)
{
    for (int is_called_opening = 0; is_called_opening < 2; is_called_opening++) {
        struct call *call = two_nats(true, true);
        call->caller.depth = 0;
        call->called.depth = is_called_opening ? 1 : 0;
        call_start(call);
        call_run(call, 20 * SECOND_US);
        if (is_called_opening) {
            call_check_data(call);
        } else {
            assert_true(call->caller.has_failed && call->called.has_failed);
            assert_int_equal(call->sim.nats[2].stray_count, 1);
        }
        free_call(call);
    }
}

/* Openers that die at the inner one of two NATs, or get to the other side's, are no good. */
static void test_depth(void **state)
{
    for (unsigned depth = 1; depth <= 3; depth++) {
        struct call *call = two_nats(true, true);
        sim_add_nat(&call->sim, 3, 2, "10.0.0.3", FILTER_ADDRESS_AND_PORT);
        call->sim.nats[3].is_accepting = true;
        call->sim.host_count = 1;
        call_place(&call->called, 3, "172.16.0.10:32589", "172.16.0.0/24");
        call->called.depth = depth;
        call_start(call);
        call_run(call, 20 * SECOND_US);
        if (depth == 2)
            call_check_data(call);
        else
            assert_true(call->caller.has_failed && call->called.has_failed);
        free_call(call);
    }
}

/* Many openers lost: repeated ones do. Only the called host's first packets matter here. */
static void test_lossy(void **state)
{
    unsigned failures = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct call *call = two_nats(true, true);
        call->sim.random ^= seed * 0x9e3779b97f4a7c15u;
        call->sim.loss = 20;
        call->answer_us = 200 * MS_US;
        call_start(call);
        call_run(call, 10 * SECOND_US);
        if (!call->caller.has_nominated || !call->called.has_nominated)
            failures++;
        free_call(call);
    }
    assert_true(failures <= 2);
}

/* A called host's symmetric NAT is missed by the caller's checks: its own must come, after all. */
static void test_called_symmetric(void **state)
{
    struct call *call = two_nats(false, true);
    call->sim.nats[1].filter = FILTER_ENDPOINT;
    call->sim.nats[2].is_symmetric = call->sim.nats[2].is_random = true;
    call_start(call);
    call_run(call, 10 * SECOND_US);
    call_check_data(call);
    assert_int_equal(call->caller.nominated.candidate, CANDIDATE_PEER);
    assert_true(call->caller.nominated_us > call->start_us + PUNCH_HOLD_US);
    assert_true(call->caller.nominated_us < call->start_us + PUNCH_HOLD_US + 150 * MS_US);
    free_call(call);
}

static const struct credentials own = {"ownownow", "ownpasswordownpassword00"};
static const struct credentials peer = {"peerpeer", "peerpasswordpeerpasswd00"};

enum { REFLEXIVE, MAPPED, HOST, LAN, IPV6, ATTACHED, COUNT };

static const struct candidate_list everything = {.count = COUNT,
                                                 .items = {
                                                     [REFLEXIVE] = {CANDIDATE_REFLEXIVE, {{0}, 1}},
                                                     [MAPPED] = {CANDIDATE_MAPPED, {{0}, 2}},
                                                     [HOST] = {CANDIDATE_HOST, {{0}, 3}},
                                                     [LAN] = {CANDIDATE_HOST, {{0}, 4}},
                                                     [IPV6] = {CANDIDATE_REFLEXIVE, {{0}, 5}},
                                                     [ATTACHED] = {CANDIDATE_REFLEXIVE, {{0}, 6}},
                                                 }};

static struct punch *new_punch(bool is_controlling)
{
    static const char *const endpoints[COUNT] = {"198.51.100.9:1",  "198.51.100.9:2",
                                                 "198.51.100.9:3",  "192.168.1.9:4",
                                                 "[2001:db8::9]:5", "203.0.113.9:6"};
    struct punch_config config = {.is_controlling = is_controlling, .local = own};
    struct candidate_list list = everything;
    struct punch *punch;
    config.subnet_count = 2;
    assert_int_equal(prefix_parse("192.168.1.0/24", &config.subnets[0]), ERR_OK);
    assert_int_equal(prefix_parse("203.0.113.0/24", &config.subnets[1]), ERR_OK);
    assert_int_equal(punch_new(&config, 0, &punch), ERR_OK);
    for (size_t i = 0; i < COUNT; i++)
        list.items[i].endpoint = sim_endpoint(endpoints[i]);
    assert_int_equal(punch_set_remote(punch, &peer, &list, 0), ERR_OK);
    return punch;
}

struct tally {
    unsigned openers[COUNT], checks[COUNT];
    bool is_check_first; /* one left before the opener to the same address */
};

/* Everything until a time, at the times that the punch itself names. */
static struct tally run_until(struct punch *punch, uint64_t *now_us, uint64_t until_us)
{
    struct tally tally = {0};
    for (;;) {
        uint8_t buffer[PUNCH_DATAGRAM_CAP];
        struct punch_target target;
        struct writer w;
        writer_init(&w, buffer, sizeof buffer);
        while (punch_transmit(punch, &w, *now_us, &target) == ERR_OK) {
            struct stun_message m;
            const size_t i = target.to.port - 1u;
            assert_in_range(i, 0, COUNT - 1);
            if (target.is_opener) {
                assert_int_equal(w.len, 1);
                assert_int_equal(buffer[0], KEEPALIVE_BYTE);
                tally.openers[i]++;
                tally.is_check_first |= tally.checks[i] > 0;
            } else {
                assert_int_equal(stun_parse(buffer, w.len, &m), ERR_OK);
                tally.checks[i] += m.class == STUN_REQUEST;
            }
            writer_init(&w, buffer, sizeof buffer);
        }
        const uint64_t at_us = punch_deadline(punch);
        assert_true(at_us > *now_us);
        if (at_us >= until_us)
            return tally;
        *now_us = at_us;
        punch_expire(punch, at_us);
    }
}

static int request(struct punch *punch, const char *from, const char *password, uint64_t now_us)
{
    uint8_t buffer[PUNCH_DATAGRAM_CAP];
    struct writer w;
    const struct check_request check = {.id = {7}, .priority = 9, .is_controlling = true};
    struct credentials remote = own;
    const struct endpoint endpoint = sim_endpoint(from);
    memcpy(remote.password, password, CREDENTIALS_PASSWORD_LEN);
    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(check_build_request(&w, &check, &remote, peer.fragment), ERR_OK);
    return punch_receive(punch, buffer, w.len, &endpoint, now_us);
}

/* The called host opens its NAT towards the other's and holds its checks back; where there is no
 * NAT it checks at once. */
static void test_called_holds(void **state)
{
    struct punch *punch = new_punch(false);
    uint64_t now_us = 0;
    const struct tally at_once = run_until(punch, &now_us, 1);
    assert_int_equal(at_once.openers[REFLEXIVE], 1);
    assert_int_equal(at_once.openers[MAPPED], 1);
    assert_int_equal(at_once.checks[HOST], 1);
    assert_int_equal(at_once.checks[LAN], 1);
    assert_int_equal(at_once.checks[IPV6], 1);
    struct tally held = run_until(punch, &now_us, PUNCH_HOLD_US);
    assert_int_equal(held.openers[REFLEXIVE], PUNCH_OPENERS - 1);
    assert_int_equal(held.openers[MAPPED], PUNCH_OPENERS - 1);
    assert_int_equal(at_once.checks[REFLEXIVE] + held.checks[REFLEXIVE], 0);
    assert_int_equal(at_once.checks[MAPPED] + held.checks[MAPPED], 0);
    assert_int_equal(at_once.checks[ATTACHED] + held.checks[ATTACHED], 0);
    assert_true(held.checks[HOST] > 1 && held.checks[LAN] > 1);
    for (size_t i = HOST; i < COUNT; i++)
        assert_int_equal(at_once.openers[i] + held.openers[i], 0);
    /* Nobody came: as without openers. */
    held = run_until(punch, &now_us, PUNCH_HOLD_US + 1);
    assert_int_equal(held.checks[REFLEXIVE], 1);
    assert_int_equal(held.checks[MAPPED], 1);
    assert_int_equal(held.checks[ATTACHED], 1);
    held = run_until(punch, &now_us, PUNCH_TIMEOUT_US);
    assert_true(held.checks[REFLEXIVE] >= 10);
    assert_int_equal(held.openers[REFLEXIVE] + held.openers[MAPPED], 0);
    assert_int_equal(punch_counters(punch)->openers_sent, 2 * PUNCH_OPENERS);
    punch_free(punch);
}

/* The caller's first authentic check, from anywhere, ends the hold. A forged one does not. */
static void test_hold_ends_when_the_caller_is_heard(void **state)
{
    static const char *const sources[] = {"198.51.100.9:1", "192.168.1.9:4", "198.51.100.77:7"};
    for (size_t i = 0; i < 3; i++) {
        struct punch *punch = new_punch(false);
        uint64_t now_us = 0;
        run_until(punch, &now_us, 40 * MS_US);
        now_us = 40 * MS_US;
        assert_int_equal(request(punch, sources[i], peer.password, now_us), ERR_AUTH);
        struct tally tally = run_until(punch, &now_us, 41 * MS_US);
        assert_int_equal(tally.checks[REFLEXIVE], 0);
        now_us = 41 * MS_US;
        if (i < 2) {
            assert_int_equal(request(punch, sources[i], own.password, now_us), ERR_OK);
            tally = run_until(punch, &now_us, 60 * MS_US);
            assert_int_equal(tally.checks[REFLEXIVE], 1);
            assert_int_equal(tally.checks[MAPPED], 1);
            tally = run_until(punch, &now_us, 3 * SECOND_US);
            assert_int_equal(tally.openers[REFLEXIVE], 0);
        } else {
            assert_int_equal(request(punch, sources[i], own.password, now_us), ERR_OK);
            assert_true(punch_deadline(punch) <= now_us);
        }
        punch_free(punch);
    }
}

/* The caller holds nothing back: one opener, and the check behind it. */
static void test_caller_opens_and_checks(void **state)
{
    struct punch *punch = new_punch(true);
    uint64_t now_us = 0;
    const struct tally at_once = run_until(punch, &now_us, 1);
    assert_false(at_once.is_check_first);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(at_once.openers[i], i == REFLEXIVE || i == MAPPED);
        assert_int_equal(at_once.checks[i], 1);
    }
    const struct tally later = run_until(punch, &now_us, PUNCH_TIMEOUT_US);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(later.openers[i], 0);
    punch_free(punch);
}

/* Eight addresses, none of which answers: what the caps promise. */
static void test_caps(void **state)
{
    for (int is_controlling = 0; is_controlling < 2; is_controlling++) {
        struct punch_config config = {.is_controlling = is_controlling, .local = own};
        struct candidate_list list = {.count = CANDIDATE_MAX};
        struct punch *punch;
        for (uint32_t i = 0; i < CANDIDATE_MAX; i++)
            list.items[i] =
                (struct candidate){CANDIDATE_REFLEXIVE,
                                   {address_from_ipv4(0xcb007100 + i), (uint16_t)(1 + i % COUNT)}};
        assert_int_equal(punch_new(&config, 0, &punch), ERR_OK);
        assert_int_equal(punch_set_remote(punch, &peer, &list, 0), ERR_OK);
        uint64_t now_us = 0;
        run_until(punch, &now_us, PUNCH_TIMEOUT_US);
        assert_int_equal(punch_counters(punch)->openers_sent,
                         CANDIDATE_MAX * (is_controlling ? 1 : PUNCH_OPENERS));
        punch_free(punch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepting_nats),
        cmocka_unit_test(test_without_openers),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_lossy),
        cmocka_unit_test(test_called_symmetric),
        cmocka_unit_test(test_called_holds),
        cmocka_unit_test(test_hold_ends_when_the_caller_is_heard),
        cmocka_unit_test(test_caller_opens_and_checks),
        cmocka_unit_test(test_caps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
