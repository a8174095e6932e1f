/* Punching through simulated NATs.
 *
 *   caller ── NAT (EIM, three filterings) ── public ── NAT (EIM, three filterings) ── called host
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

static struct call *new_call(uint64_t seed)
{
    struct call *call = malloc(sizeof *call);
    assert_non_null(call);
    call_init(call, seed);
    return call;
}

static void free_call(struct call *call)
{
    call_done(call);
    free(call);
}

static struct call *two_nats(uint64_t seed, enum sim_filter first, enum sim_filter second)
{
    struct call *call = new_call(seed);
    sim_add_nat(&call->sim, 1, 0, "198.51.100.1", first);
    sim_add_nat(&call->sim, 2, 0, "198.51.100.2", second);
    call_place(&call->caller, 1, "192.168.1.10:32589", "192.168.1.0/24");
    call_place(&call->called, 2, "10.0.0.10:32589", "10.0.0.0/24");
    return call;
}

static void test_all_filterings(void **state)
{
    for (enum sim_filter first = FILTER_ENDPOINT; first <= FILTER_ADDRESS_AND_PORT; first++) {
        for (enum sim_filter second = FILTER_ENDPOINT; second <= FILTER_ADDRESS_AND_PORT;
             second++) {
            struct call *call = two_nats(1, first, second);
            call_start(call);
            call_run(call, 10 * SECOND_US);
            call_check_data(call);
            assert_int_equal(call->caller.nominated.candidate, CANDIDATE_REFLEXIVE);
            /* Three hops each way of 10 ms; one round trip and the least grace after the answer. */
            assert_true(call->caller.nominated.round_trip_us == 60 * MS_US);
            assert_true(call->caller.nominated_us <=
                        call->start_us + call->answer_us + 60 * MS_US + PUNCH_GRACE_MIN_US);
            /* The called host knows half a round trip later. */
            assert_true(call->called.nominated_us <= call->caller.nominated_us + 31 * MS_US);
            free_call(call);
        }
    }
}

static void test_public_hosts(void **state)
{
    struct call *call = new_call(2);
    call_place(&call->caller, 0, "203.0.113.1:32589", "203.0.113.0/26");
    call_place(&call->called, 0, "203.0.113.129:32589", "203.0.113.128/26");
    call_start(call);
    assert_int_equal(call->caller.candidates.count, 1); /* reflexive is the host's own */
    call_run(call, 10 * SECOND_US);
    call_check_data(call);
    assert_int_equal(call->caller.nominated.candidate, CANDIDATE_HOST);
    assert_true(call->caller.nominated_us == call->start_us + call->answer_us + 20 * MS_US);
    free_call(call);
}

static void test_public_and_nat(void **state)
{
    for (int is_caller_public = 0; is_caller_public < 2; is_caller_public++) {
        struct call *call = new_call(3);
        sim_add_nat(&call->sim, 1, 0, "198.51.100.1", FILTER_ADDRESS_AND_PORT);
        struct party *public = is_caller_public ? &call->caller : &call->called;
        struct party *behind = is_caller_public ? &call->called : &call->caller;
        call_place(public, 0, "203.0.113.1:32589", "203.0.113.0/24");
        call_place(behind, 1, "192.168.1.10:32589", "192.168.1.0/24");
        call_start(call);
        call_run(call, 10 * SECOND_US);
        call_check_data(call);
        free_call(call);
    }
}

/* A symmetric NAT's reflexive candidate is useless; its checks tell the real one. */
static void test_symmetric_and_open(void **state)
{
    for (int is_caller_symmetric = 0; is_caller_symmetric < 2; is_caller_symmetric++) {
        struct call *call = two_nats(4, FILTER_ADDRESS, FILTER_ADDRESS);
        call->sim.nats[is_caller_symmetric ? 1 : 2].is_symmetric = true;
        call->sim.nats[is_caller_symmetric ? 1 : 2].filter = FILTER_ADDRESS_AND_PORT;
        call_start(call);
        call_run(call, 10 * SECOND_US);
        call_check_data(call);
        const struct party *other = is_caller_symmetric ? &call->called : &call->caller;
        assert_int_equal(other->nominated.candidate, CANDIDATE_PEER);
        free_call(call);
    }
}

static void test_symmetric_twice_fails(void **state)
{
    struct call *call = two_nats(5, FILTER_ADDRESS_AND_PORT, FILTER_ADDRESS_AND_PORT);
    call->sim.nats[1].is_symmetric = call->sim.nats[2].is_symmetric = true;
    call->sim.nats[1].is_random = call->sim.nats[2].is_random = true;
    call_start(call);
    call_run(call, 20 * SECOND_US);
    assert_true(call->caller.has_failed && call->called.has_failed);
    assert_int_equal(call->caller.failed.failure, PUNCH_NO_ANSWERS);
    assert_int_equal(call->caller.failed.address_count, 2);
    assert_true(call->sim.now_us == call->start_us + call->answer_us + PUNCH_TIMEOUT_US);
    free_call(call);
}

static void test_double_nat(void **state)
{
    struct call *call = new_call(6);
    sim_add_nat(&call->sim, 1, 0, "198.51.100.1", FILTER_ADDRESS_AND_PORT);
    sim_add_nat(&call->sim, 2, 1, "192.168.1.2", FILTER_ADDRESS_AND_PORT);
    sim_add_nat(&call->sim, 3, 0, "198.51.100.3", FILTER_ADDRESS_AND_PORT);
    sim_add_nat(&call->sim, 4, 3, "100.64.0.9", FILTER_ADDRESS_AND_PORT);
    call_place(&call->caller, 2, "192.168.2.10:32589", "192.168.2.0/24");
    call_place(&call->called, 4, "192.168.4.10:32589", "192.168.4.0/24");
    call_start(call);
    call_run(call, 10 * SECOND_US);
    call_check_data(call);
    free_call(call);
}

static void test_same_lan(void **state)
{
    struct call *call = new_call(7);
    sim_add_nat(&call->sim, 1, 0, "198.51.100.1", FILTER_ADDRESS_AND_PORT);
    call->sim.nats[1].has_hairpin = true;
    call_place(&call->caller, 1, "192.168.1.10:32589", "192.168.1.0/24");
    call_place(&call->called, 1, "192.168.1.11:32589", "192.168.1.0/24");
    call_start(call);
    call_run(call, 10 * SECOND_US);
    call_check_data(call);
    assert_int_equal(call->caller.nominated.candidate, CANDIDATE_HOST);
    assert_int_equal(call->called.nominated.candidate, CANDIDATE_HOST);
    /* At once: there is nothing better to wait for. */
    assert_true(call->caller.nominated_us == call->start_us + call->answer_us + 20 * MS_US);
    free_call(call);
}

/* Where only the NAT's hairpin leads to the other, it is used. */
static void test_hairpin(void **state)
{
    struct call *call = new_call(8);
    sim_add_nat(&call->sim, 1, 0, "198.51.100.1", FILTER_ENDPOINT);
    sim_add_nat(&call->sim, 2, 1, "192.168.1.2", FILTER_ENDPOINT);
    sim_add_nat(&call->sim, 3, 1, "192.168.1.3", FILTER_ENDPOINT);
    call->sim.nats[1].has_hairpin = true;
    call_place(&call->caller, 2, "192.168.7.10:32589", "192.168.7.0/24");
    call_place(&call->called, 3, "192.168.7.11:32589", "192.168.7.0/24");
    call_start(call);
    call_run(call, 10 * SECOND_US);
    call_check_data(call);
    free_call(call);
}

/* Both have 192.168.1.10: checks to that address would only reach the sender. */
static void test_same_private_address(void **state)
{
    struct call *call = two_nats(9, FILTER_ADDRESS_AND_PORT, FILTER_ADDRESS_AND_PORT);
    call->called.host->endpoint = call->caller.host->endpoint;
    call_start(call);
    call_run(call, 10 * SECOND_US);
    call_check_data(call);
    assert_int_equal(call->caller.nominated.candidate, CANDIDATE_REFLEXIVE);
    const struct punch_counters *counters = punch_counters(call->caller.punch);
    assert_true(counters->checks_sent <= 4);
    free_call(call);
}

static void test_caller_answers_before_it_knows(void **state)
{
    struct call *call = two_nats(10, FILTER_ENDPOINT, FILTER_ENDPOINT);
    call->answer_us = 2 * SECOND_US;
    call_start(call);
    call_run(call, SECOND_US);
    const struct punch_counters *counters = punch_counters(call->caller.punch);
    assert_true(counters->requests >= 1);
    assert_true(counters->answers_sent >= 1);
    assert_int_equal(counters->checks_sent, 0);
    assert_false(call->called.has_nominated);
    call_run(call, 10 * SECOND_US);
    call_check_data(call);
    free_call(call);
}

static void test_loss(void **state)
{
    unsigned failures = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct call *call = two_nats(seed, FILTER_ADDRESS_AND_PORT, FILTER_ADDRESS_AND_PORT);
        call->sim.loss = 30;
        call->sim.doubling = 10;
        call->sim.jitter_us = 80 * MS_US; /* more than the gap between checks: reorders */
        call_start(call);
        call_run(call, 10 * SECOND_US);
        if (call->caller.has_nominated && call->called.has_nominated)
            call_check_data(call);
        else
            failures++;
        free_call(call);
    }
    assert_int_equal(failures, 0);
}

/* 750 ms each way, as over two satellites. */
static void test_long_delay(void **state)
{
    struct call *call = two_nats(11, FILTER_ADDRESS_AND_PORT, FILTER_ADDRESS_AND_PORT);
    call->sim.hop_us = 250 * MS_US;
    call->answer_us = 1500 * MS_US;
    call_start(call);
    call_run(call, 20 * SECOND_US);
    call_check_data(call);
    assert_true(call->caller.nominated.round_trip_us == 1500 * MS_US);
    free_call(call);
}

static void test_lingers_and_ends(void **state)
{
    struct call *call = two_nats(12, FILTER_ADDRESS, FILTER_ADDRESS);
    call_start(call);
    call_run(call, 10 * SECOND_US);
    call_check_data(call);
    const size_t sent = call->sim.sent;
    while (!call->caller.has_ended || !call->called.has_ended) {
        uint64_t at_us = deadline_min(punch_table_deadline(call->caller.table),
                                      punch_table_deadline(call->called.table));
        at_us = deadline_min(at_us, sim_next_us(&call->sim));
        assert_true(at_us < call->sim.now_us + 11 * SECOND_US);
        sim_run_until(&call->sim, at_us);
        punch_table_expire(call->caller.table, at_us);
        call_drain(&call->caller);
        punch_table_expire(call->called.table, at_us);
        call_drain(&call->called);
    }
    assert_true(call->sim.sent <= sent + 2); /* the nomination's end, and then silence */
    assert_true(punch_table_deadline(call->caller.table) == DEADLINE_NEVER);
    free_call(call);
}

/* The called host's nomination is lost for good, but keys were negotiated: the owner says so. */
static void test_confirm(void **state)
{
    struct call *call = two_nats(13, FILTER_ENDPOINT, FILTER_ENDPOINT);
    call->answer_us = 3 * SECOND_US;
    call_start(call);
    call_run(call, SECOND_US);
    const uint32_t sent = punch_counters(call->called.punch)->checks_sent;
    punch_table_confirm(call->called.table, call->called.punch,
                        &call->caller.candidates.items[1].endpoint, call->sim.now_us);
    assert_true(punch_is_nominated(call->called.punch));
    call_run(call, SECOND_US);
    assert_int_equal(punch_counters(call->called.punch)->checks_sent, sent);
    assert_false(call->called.has_nominated || call->called.has_failed);
    free_call(call);
}

static void test_no_candidates(void **state)
{
    struct call *call = two_nats(14, FILTER_ENDPOINT, FILTER_ENDPOINT);
    call_start(call);
    struct punch_config config = {.is_controlling = true, .own = call->caller.candidates};
    struct punch *punch;
    struct punch_event event;
    const uint64_t now_us = 5;
    assert_int_equal(credentials_generate(&config.local), ERR_OK);
    assert_int_equal(punch_new(&config, now_us, &punch), ERR_OK);
    assert_true(punch_deadline(punch) == DEADLINE_NEVER);
    struct candidate_list useless = {.count = 2};
    useless.items[0] = (struct candidate){CANDIDATE_HOST, sim_endpoint("127.0.0.1:80")};
    useless.items[1] = call->caller.candidates.items[0]; /* our own */
    struct credentials remote;
    assert_int_equal(credentials_generate(&remote), ERR_OK);
    assert_int_equal(punch_set_remote(punch, &remote, &useless, now_us), ERR_OK);
    assert_int_equal(punch_set_remote(punch, &remote, &useless, now_us), ERR_STATE);
    struct writer w;
    uint8_t buffer[PUNCH_DATAGRAM_CAP];
    struct punch_target target;
    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(punch_transmit(punch, &w, now_us, &target), ERR_AGAIN);
    assert_true(punch_deadline(punch) == now_us + PUNCH_TIMEOUT_US);
    punch_expire(punch, now_us + PUNCH_TIMEOUT_US);
    assert_true(punch_next_event(punch, &event));
    assert_int_equal(event.type, PUNCH_FAILED);
    assert_int_equal(event.failure, PUNCH_NO_CANDIDATES);
    punch_free(punch);
    free_call(call);
}

/* When the first check leaves to the peer's private address in another network; DEADLINE_NEVER: not
 * before the attempt's end. own: how the world sees us; NULL: not known. */
static uint64_t first_private_check_us(const char *own, const char *peer)
{
    struct punch_config config = {.is_controlling = true, .subnet_count = 1};
    struct candidate_list candidates = {.count = 1};
    struct credentials remote;
    struct punch *punch;
    uint64_t at_us = DEADLINE_NEVER;
    candidates.items[0] = (struct candidate){CANDIDATE_HOST, sim_endpoint("10.0.2.10:32589")};
    if (peer != NULL)
        candidates.items[candidates.count++] =
            (struct candidate){CANDIDATE_REFLEXIVE, sim_endpoint(peer)};
    if (own != NULL)
        config.own.items[config.own.count++] =
            (struct candidate){CANDIDATE_REFLEXIVE, sim_endpoint(own)};
    assert_int_equal(prefix_parse("10.0.1.0/24", &config.subnets[0]), ERR_OK);
    assert_int_equal(credentials_generate(&config.local), ERR_OK);
    assert_int_equal(credentials_generate(&remote), ERR_OK);
    assert_int_equal(punch_new(&config, 0, &punch), ERR_OK);
    assert_int_equal(punch_set_remote(punch, &remote, &candidates, 0), ERR_OK);
    for (uint64_t now_us = 0; now_us < PUNCH_TIMEOUT_US && at_us == DEADLINE_NEVER;
         now_us += 5 * MS_US) {
        uint8_t buffer[PUNCH_DATAGRAM_CAP];
        struct punch_target target;
        struct writer w;
        punch_expire(punch, now_us);
        for (writer_init(&w, buffer, sizeof buffer);
             punch_transmit(punch, &w, now_us, &target) == ERR_OK;
             writer_init(&w, buffer, sizeof buffer)) {
            if (endpoint_is_equal(&target.to, &candidates.items[0].endpoint))
                at_us = deadline_min(at_us, now_us);
        }
    }
    punch_free(punch);
    return at_us;
}

static void test_private_addresses_elsewhere_wait(void **state)
{
    assert_true(first_private_check_us("198.51.100.1:32589", "203.0.113.1:32589") ==
                PUNCH_UNLIKELY_US);
    /* One NAT around both, or nobody knows. */
    assert_true(first_private_check_us("198.51.100.1:32589", "198.51.100.1:40000") == 0);
    assert_true(first_private_check_us(NULL, "203.0.113.1:32589") == 0);
    assert_true(first_private_check_us("198.51.100.1:32589", NULL) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_filterings),
        cmocka_unit_test(test_public_hosts),
        cmocka_unit_test(test_public_and_nat),
        cmocka_unit_test(test_symmetric_and_open),
        cmocka_unit_test(test_symmetric_twice_fails),
        cmocka_unit_test(test_double_nat),
        cmocka_unit_test(test_same_lan),
        cmocka_unit_test(test_hairpin),
        cmocka_unit_test(test_same_private_address),
        cmocka_unit_test(test_caller_answers_before_it_knows),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_long_delay),
        cmocka_unit_test(test_lingers_and_ends),
        cmocka_unit_test(test_confirm),
        cmocka_unit_test(test_no_candidates),
        cmocka_unit_test(test_private_addresses_elsewhere_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
