/* Punching under attack: forged, replayed and flooded STUN, lying candidates, caps.
 *
 *   caller ── NAT ── public ── NAT ── called host
 *                      │
 *            attacker, who sees every datagram and can send from any address
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

static struct call *new_call(void)
{
    struct call *call = malloc(sizeof *call);
    assert_non_null(call);
    call_init(call, 77);
    sim_add_nat(&call->sim, 1, 0, "198.51.100.1", FILTER_ENDPOINT);
    sim_add_nat(&call->sim, 2, 0, "198.51.100.2", FILTER_ENDPOINT);
    call_place(&call->caller, 1, "192.168.1.10:32589", "192.168.1.0/24");
    call_place(&call->called, 2, "10.0.0.10:32589", "10.0.0.0/24");
    return call;
}

static void free_call(struct call *call)
{
    call_done(call);
    free(call);
}

static const struct credentials own = {"ownownow", "ownpasswordownpassword00"};
static const struct credentials peer = {"peerpeer", "peerpasswordpeerpasswd00"};

static struct punch *new_punch(bool is_controlling, bool has_remote)
{
    struct punch_config config = {.is_controlling = is_controlling, .local = own};
    config.own.count = 1;
    config.own.items[0] = (struct candidate){CANDIDATE_HOST, sim_endpoint("192.168.1.1:32589")};
    assert_int_equal(prefix_parse("10.99.0.0/16", &config.pool), ERR_OK);
    struct punch *punch;
    assert_int_equal(punch_new(&config, 0, &punch), ERR_OK);
    struct candidate_list candidates = {.count = 1};
    candidates.items[0] = (struct candidate){CANDIDATE_HOST, sim_endpoint("198.51.100.9:1000")};
    if (has_remote)
        assert_int_equal(punch_set_remote(punch, &peer, &candidates, 0), ERR_OK);
    return punch;
}

static size_t build_request(uint8_t *buffer, bool is_controlling, bool use_candidate)
{
    struct check_request request = {.id = {1, 2, 3},
                                    .is_controlling = is_controlling,
                                    .use_candidate = use_candidate,
                                    .priority = 7,
                                    .tie_breaker = 9};
    struct writer w;
    writer_init(&w, buffer, PUNCH_DATAGRAM_CAP);
    assert_int_equal(check_build_request(&w, &request, &own, peer.fragment), ERR_OK);
    return w.len;
}

/* Sends all; returns how many. ret_last (may be NULL): the last one. */
static size_t drain(struct punch *punch, uint64_t now_us, struct stun_message *ret_last,
                    uint8_t buffer[PUNCH_DATAGRAM_CAP], struct endpoint *ret_to)
{
    size_t count = 0;
    for (;; count++) {
        struct writer w;
        writer_init(&w, buffer, PUNCH_DATAGRAM_CAP);
        struct punch_target target;
        const int error = punch_transmit(punch, &w, now_us, &target);
        if (error == ERR_AGAIN)
            return count;
        assert_int_equal(error, ERR_OK);
        *ret_to = target.to;
        if (ret_last != NULL)
            assert_int_equal(stun_parse(buffer, w.len, ret_last), ERR_OK);
    }
}

static void test_every_bit(void **state)
{
    uint8_t buffer[PUNCH_DATAGRAM_CAP], out[PUNCH_DATAGRAM_CAP];
    const size_t len = build_request(buffer, true, true);
    const struct endpoint from = sim_endpoint("198.51.100.9:1000");
    struct endpoint to;
    struct punch *punch = new_punch(false, true);
    assert_int_equal(drain(punch, 0, NULL, out, &to), 1);
    for (size_t bit = 0; bit < len * 8; bit++) {
        buffer[bit / 8] ^= (uint8_t)(1 << bit % 8);
        const int result = punch_receive(punch, buffer, len, &from, 1);
        buffer[bit / 8] ^= (uint8_t)(1 << bit % 8);
        /* Only FINGERPRINT's own type, if it turns into something unknown, changes nothing. */
        if (result == ERR_OK) {
            assert_true(bit / 8 >= len - 8 && bit / 8 < len - 6);
            drain(punch, 1, NULL, out, &to);
        } else {
            assert_int_equal(drain(punch, 1, NULL, out, &to), 0);
        }
    }
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *copy = malloc(cut > 0 ? cut : 1);
        assert_non_null(copy);
        memcpy(copy, buffer, cut);
        assert_int_not_equal(punch_receive(punch, copy, cut, &from, 1), ERR_OK);
        free(copy);
    }
    assert_int_equal(punch_receive(punch, buffer, len, &from, 1), ERR_OK);
    assert_true(punch_is_validated(punch, &from));
    punch_free(punch);
}

static void test_wrong_credentials(void **state)
{
    uint8_t buffer[PUNCH_DATAGRAM_CAP], out[PUNCH_DATAGRAM_CAP];
    struct writer w;
    struct endpoint to;
    const struct endpoint from = sim_endpoint("198.51.100.9:1000");
    struct punch *punch = new_punch(true, true);
    drain(punch, 0, NULL, out, &to);
    struct check_request request = {.priority = 1};
    struct credentials wrong = own;
    wrong.password[0] ^= 1;
    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(check_build_request(&w, &request, &wrong, peer.fragment), ERR_OK);
    assert_int_equal(punch_receive(punch, buffer, w.len, &from, 1), ERR_AUTH);
    wrong = own;
    wrong.fragment[0] ^= 1;
    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(check_build_request(&w, &request, &wrong, peer.fragment), ERR_OK);
    assert_int_equal(punch_receive(punch, buffer, w.len, &from, 1), ERR_NOT_FOUND);
    /* Right password, but not the peer of this call. */
    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(check_build_request(&w, &request, &own, "somebody"), ERR_OK);
    assert_int_equal(punch_receive(punch, buffer, w.len, &from, 1), ERR_AUTH);
    /* Without integrity. */
    writer_init(&w, buffer, sizeof buffer);
    stun_build_begin(&w, STUN_REQUEST, STUN_BINDING, request.id);
    stun_build_username(&w, "ownownow:peerpeer", CHECK_USERNAME_LEN);
    stun_build_priority(&w, 1);
    stun_build_ice_controlled(&w, 1);
    assert_int_equal(stun_build_end(&w), ERR_OK);
    assert_int_equal(punch_receive(punch, buffer, w.len, &from, 1), ERR_AUTH);

    assert_int_equal(drain(punch, 1, NULL, out, &to), 0);
    assert_false(punch_is_validated(punch, &from));
    assert_int_equal(punch_counters(punch)->forged, 3);
    punch_free(punch);
}

static void test_forged_responses(void **state)
{
    uint8_t check[PUNCH_DATAGRAM_CAP], buffer[PUNCH_DATAGRAM_CAP];
    struct stun_message m;
    struct endpoint to;
    struct writer w;
    struct punch *punch = new_punch(true, true);
    assert_int_equal(drain(punch, 0, &m, check, &to), 1);
    const struct endpoint elsewhere = sim_endpoint("198.51.100.66:1000");

    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(check_build_success(&w, m.transaction_id, &to, own.password), ERR_OK);
    assert_int_equal(punch_receive(punch, buffer, w.len, &to, 1), ERR_AUTH); /* not the peer's */
    writer_init(&w, buffer, sizeof buffer);
    stun_build_begin(&w, STUN_SUCCESS, STUN_BINDING, m.transaction_id);
    stun_build_xor_mapped(&w, &to);
    assert_int_equal(stun_build_end(&w), ERR_OK);
    assert_int_equal(punch_receive(punch, buffer, w.len, &to, 1), ERR_AUTH); /* none */

    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(check_build_success(&w, m.transaction_id, &to, peer.password), ERR_OK);
    assert_int_equal(punch_receive(punch, buffer, w.len, &elsewhere, 1), ERR_AUTH);
    uint8_t later[STUN_TRANSACTION_LEN];
    memcpy(later, m.transaction_id, sizeof later);
    later[STUN_TRANSACTION_LEN - 1]++; /* a check that was never sent */
    struct writer other;
    uint8_t other_buffer[PUNCH_DATAGRAM_CAP];
    writer_init(&other, other_buffer, sizeof other_buffer);
    assert_int_equal(check_build_success(&other, later, &to, peer.password), ERR_OK);
    assert_int_equal(punch_receive(punch, other_buffer, other.len, &to, 1), ERR_NOT_FOUND);
    later[PUNCH_TAG_LEN] = 200; /* a pair that isn't there */
    writer_init(&other, other_buffer, sizeof other_buffer);
    assert_int_equal(check_build_success(&other, later, &to, peer.password), ERR_OK);
    assert_int_equal(punch_receive(punch, other_buffer, other.len, &to, 1), ERR_NOT_FOUND);
    struct punch_event event;
    assert_false(punch_next_event(punch, &event));

    assert_int_equal(punch_receive(punch, buffer, w.len, &to, 1), ERR_OK);
    assert_true(punch_next_event(punch, &event));
    assert_int_equal(event.type, PUNCH_NOMINATED);
    assert_int_equal(event.round_trip_us, 1);
    punch_free(punch);
}

static void test_role_conflict(void **state)
{
    uint8_t buffer[PUNCH_DATAGRAM_CAP], out[PUNCH_DATAGRAM_CAP];
    const struct endpoint from = sim_endpoint("198.51.100.9:1000");
    struct endpoint to;
    struct stun_message m;
    struct punch *punch = new_punch(true, false);
    const size_t len = build_request(buffer, true, true);
    assert_int_equal(punch_receive(punch, buffer, len, &from, 1), ERR_OK);
    assert_int_equal(drain(punch, 1, &m, out, &to), 1);
    assert_int_equal(m.class, STUN_ERROR);
    assert_int_equal(m.error_code, STUN_ROLE_CONFLICT);
    assert_int_equal(check_verify(out, &m, own.password), ERR_OK);
    assert_false(punch_is_validated(punch, &from));
    assert_int_equal(punch_counters(punch)->conflicts, 1);
    punch_free(punch);
}

/* The attacker sends a caught nomination again, from its own address and from many others. */
static void test_replay(void **state)
{
    struct call *call = new_call();
    call_start(call);
    call_run(call, 10 * SECOND_US);
    assert_true(call->caller.has_nominated && call->called.has_nominated);
    assert_true(call->caller.keeps_nomination);

    /* A second call whose checks the attacker replays before the real ones arrive. */
    struct call *second = new_call();
    second->answer_us = 5 * SECOND_US;
    call_start(second);
    call_run(second, SECOND_US);
    uint8_t buffer[PUNCH_DATAGRAM_CAP];
    struct check_request request = {.is_controlling = true, .use_candidate = true, .priority = 1};
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(check_build_request(&w, &request, &second->called.credentials,
                                         second->caller.credentials.fragment),
                     ERR_OK);
    const struct endpoint target = sim_reflexive(&second->sim, second->called.host);
    struct sim_host *victims[6];
    for (unsigned i = 0; i < 6; i++) {
        char text[ENDPOINT_TEXT_CAP];
        const struct endpoint e = {address_from_ipv4(0xcb007110 + i), 53};
        victims[i] =
            sim_add_host(&second->sim, 0, endpoint_format(&e, text, sizeof text), NULL, NULL);
    }
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 40; i++) {
            const struct endpoint from = {address_from_ipv4(0xcb007110 + i), 53};
            sim_inject(&second->sim, 0, &from, &target, w.base, w.len);
        }
    }
    call_run(second, 12 * SECOND_US);
    /* The called host gave up in time or found the caller, but never followed the attacker. */
    if (second->called.has_nominated)
        assert_true(address_compare(&second->called.nominated.endpoint.address,
                                    &second->sim.nats[1].outer) == 0);
    const struct punch_counters *counters = punch_counters(second->called.punch);
    assert_true(counters->answers_sent <= PUNCH_ANSWERS_MAX);
    assert_true(counters->checks_sent <= PUNCH_CHECKS_MAX);
    size_t to_victims = 0;
    for (unsigned i = 0; i < 6; i++)
        to_victims += victims[i]->received;
    assert_true(to_victims > 0); /* the attack did reach the host */
    assert_true(to_victims <= 6 * PUNCH_ADDRESS_CHECKS + PUNCH_ANSWERS_MAX);
    free_call(second);
    free_call(call);
}

/* A called host whose own checks towards the attacker stay without an answer never nominates it. */
static void test_nomination_needs_own_check(void **state)
{
    uint8_t buffer[PUNCH_DATAGRAM_CAP], out[PUNCH_DATAGRAM_CAP];
    struct stun_message m;
    struct endpoint to;
    struct punch_event event;
    struct punch *punch = new_punch(false, true);
    drain(punch, 0, NULL, out, &to);
    const struct endpoint from = sim_endpoint("203.0.113.66:666");
    const size_t len = build_request(buffer, true, true);
    assert_int_equal(punch_receive(punch, buffer, len, &from, 1), ERR_OK);
    assert_int_equal(drain(punch, 1, &m, out, &to), 2); /* answer and triggered check */
    assert_true(endpoint_is_equal(&to, &from));
    assert_false(punch_next_event(punch, &event));
    assert_true(punch_is_validated(punch, &from)); /* IKE may come in, which proves keys */
    assert_false(punch_is_answered(punch, &from)); /* but nothing proves that it leads back */
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(check_build_success(&w, m.transaction_id, &to, peer.password), ERR_OK);
    assert_int_equal(punch_receive(punch, buffer, w.len, &from, 2), ERR_OK);
    assert_true(punch_next_event(punch, &event));
    assert_int_equal(event.type, PUNCH_NOMINATED);
    assert_int_equal(event.candidate, CANDIDATE_PEER);
    assert_true(punch_is_answered(punch, &from));
    punch_free(punch);
}

/* Sources that are no good as candidates are no good as peers. */
static void test_bad_sources(void **state)
{
    static const char *const sources[] = {"127.0.0.1:1",     "10.99.1.1:32589", "192.168.1.1:1",
                                          "0.0.0.86:32589",  "224.0.0.1:5",     "[::1]:5",
                                          "[2001:20::5]:500"};
    uint8_t buffer[PUNCH_DATAGRAM_CAP], out[PUNCH_DATAGRAM_CAP];
    struct endpoint to;
    struct punch *punch = new_punch(false, true);
    drain(punch, 0, NULL, out, &to);
    const size_t len = build_request(buffer, true, true);
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        const struct endpoint from = sim_endpoint(sources[i]);
        assert_int_equal(punch_receive(punch, buffer, len, &from, 1), ERR_LIMIT);
        assert_false(punch_is_validated(punch, &from));
    }
    assert_int_equal(drain(punch, 1, NULL, out, &to), 0);
    punch_free(punch);
}

/* Eight victims named as candidates: each gets a handful, no faster than the pace. */
static void test_probe_caps(void **state)
{
    struct punch_config config = {.is_controlling = true, .local = own};
    struct punch *punch;
    assert_int_equal(punch_new(&config, 0, &punch), ERR_OK);
    struct candidate_list candidates = {.count = CANDIDATE_MAX};
    for (uint32_t i = 0; i < CANDIDATE_MAX; i++)
        candidates.items[i] =
            (struct candidate){CANDIDATE_HOST, {address_from_ipv4(0xcb007100 + i), 53}};
    assert_int_equal(punch_set_remote(punch, &peer, &candidates, 0), ERR_OK);
    uint8_t out[PUNCH_DATAGRAM_CAP];
    struct punch_target target;
    size_t per_address[CANDIDATE_MAX] = {0};
    uint64_t now_us = 0, sent_in_second[32] = {0};
    size_t total = 0;
    while (now_us < 20 * SECOND_US) {
        struct writer w;
        writer_init(&w, out, sizeof out);
        while (punch_transmit(punch, &w, now_us, &target) == ERR_OK) {
            per_address[address_to_ipv4(&target.to.address) - 0xcb007100]++;
            sent_in_second[now_us / SECOND_US]++;
            total++;
            assert_true(w.len <= PUNCH_DATAGRAM_CAP);
            writer_init(&w, out, sizeof out);
        }
        if (now_us == 0)
            assert_int_equal(total, PUNCH_BURST); /* all at once */
        const uint64_t next_us = punch_deadline(punch);
        if (next_us == DEADLINE_NEVER)
            break;
        assert_true(next_us > now_us);
        now_us = next_us;
        punch_expire(punch, now_us);
    }
    for (size_t i = 0; i < CANDIDATE_MAX; i++) {
        assert_true(per_address[i] >= 10);
        assert_true(per_address[i] <= 14);
    }
    for (size_t i = 0; i < 32; i++)
        assert_true(sent_in_second[i] <= 200 + PUNCH_BURST);
    struct punch_event event;
    assert_true(punch_next_event(punch, &event));
    assert_int_equal(event.failure, PUNCH_NO_ANSWERS);
    assert_int_equal(event.address_count, CANDIDATE_MAX);
    assert_true(punch_next_event(punch, &event));
    assert_int_equal(event.type, PUNCH_ENDED);
    punch_free(punch);
}

static struct endpoint port_of_peer(unsigned port)
{
    struct endpoint endpoint = sim_endpoint("198.51.100.9:1000");
    endpoint.port = (uint16_t)port;
    return endpoint;
}

/* A burst of the peer's that comes in from everywhere: what is beyond the cap gets nothing, but
 * where our own burst goes is answered, and what the caller chooses gets a place. */
static void test_crowded(void **state)
{
    uint8_t plain[PUNCH_DATAGRAM_CAP], chosen[PUNCH_DATAGRAM_CAP], out[PUNCH_DATAGRAM_CAP];
    const size_t plain_len = build_request(plain, true, false);
    const size_t chosen_len = build_request(chosen, true, true);
    struct punch_budget budget = {0};
    struct punch_config config = {.local = own, .budget = &budget};
    struct candidate_list candidates = {
        .count = 1, .pattern = {.kind = PORT_PATTERN_SEQUENTIAL, .last = 4000, .step = 1}};
    struct endpoint from, to;
    struct stun_message m;
    struct punch *punch;
    assert_int_equal(punch_new(&config, 0, &punch), ERR_OK);
    candidates.items[0] = (struct candidate){CANDIDATE_REFLEXIVE, port_of_peer(4000), true};
    assert_int_equal(punch_set_remote(punch, &peer, &candidates, 0), ERR_OK);
    drain(punch, 0, NULL, out, &to); /* the first of the burst, to port 4001 */
    for (unsigned i = 0; i < PUNCH_PEER_MAX; i++) {
        from = port_of_peer(5000 + i);
        assert_int_equal(punch_receive(punch, plain, plain_len, &from, 1), ERR_OK);
    }
    drain(punch, 1, NULL, out, &to);
    from = port_of_peer(6000);
    assert_int_equal(punch_receive(punch, plain, plain_len, &from, 1), ERR_LIMIT);
    assert_int_equal(drain(punch, 1, NULL, out, &to), 0);
    from = port_of_peer(4001);
    assert_int_equal(punch_receive(punch, plain, plain_len, &from, 1), ERR_OK);
    assert_int_equal(drain(punch, 1, &m, out, &to), 1);
    assert_int_equal(m.class, STUN_SUCCESS);
    assert_true(endpoint_is_equal(&to, &from));
    assert_false(punch_is_validated(punch, &from));
    for (unsigned i = 0; i < PUNCH_PEER_MAX; i++) {
        from = port_of_peer(7000 + i);
        assert_int_equal(punch_receive(punch, chosen, chosen_len, &from, 2), ERR_OK);
        drain(punch, 2, NULL, out, &to);
        assert_true(punch_is_validated(punch, &from));
    }
    from = port_of_peer(8000); /* none of those chosen makes room */
    assert_int_equal(punch_receive(punch, chosen, chosen_len, &from, 2), ERR_LIMIT);
    punch_free(punch);
}

/* Behind a NAT that gives every destination another port, to be heard is not to be found. */
static void test_leads_back(void **state)
{
    uint8_t request[PUNCH_DATAGRAM_CAP];
    const size_t len = build_request(request, true, false);
    const struct endpoint from = port_of_peer(5000), near = sim_endpoint("192.168.1.7:32589");
    const struct endpoint from6 = sim_endpoint("[2001:db8::9]:5000");
    for (int kind = PORT_PATTERN_NONE; kind <= PORT_PATTERN_RANDOM; kind++) {
        for (int is_mapped = 0; is_mapped < 2; is_mapped++) {
            struct punch_config config = {.local = own, .subnet_count = 1};
            struct punch *punch;
            assert_int_equal(prefix_parse("192.168.1.0/24", &config.subnets[0]), ERR_OK);
            config.own.pattern.kind = (uint8_t)kind;
            config.own.count = (size_t)is_mapped;
            config.own.items[0] =
                (struct candidate){CANDIDATE_MAPPED, sim_endpoint("198.51.100.1:32589")};
            assert_int_equal(punch_new(&config, 0, &punch), ERR_OK);
            assert_false(punch_leads_back(punch, &from));
            assert_int_equal(punch_receive(punch, request, len, &from, 1), ERR_OK);
            assert_int_equal(punch_receive(punch, request, len, &near, 1), ERR_OK);
            assert_int_equal(punch_receive(punch, request, len, &from6, 1), ERR_OK);
            assert_true(punch_leads_back(punch, &from) == (kind == PORT_PATTERN_NONE || is_mapped));
            assert_true(punch_leads_back(punch, &near));
            assert_true(punch_leads_back(punch, &from6));
            punch_free(punch);
        }
    }
}

/* An unknown comprehension-required attribute, authentic: 420 (RFC 8489, 6.3.1). */
static void test_odd_requests(void **state)
{
    uint8_t buffer[PUNCH_DATAGRAM_CAP], out[PUNCH_DATAGRAM_CAP];
    const struct endpoint from = sim_endpoint("198.51.100.9:1000");
    struct endpoint to;
    struct stun_message m;
    struct punch *punch = new_punch(false, false);
    static const uint8_t id[STUN_TRANSACTION_LEN] = {5};
    struct check_request request = {.is_controlling = true};
    /* Without PRIORITY: built by hand, sealed by the same key. */
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    stun_build_begin(&w, STUN_INDICATION, STUN_BINDING, id);
    assert_int_equal(stun_build_end(&w), ERR_OK);
    assert_int_equal(punch_receive(punch, buffer, w.len, &from, 1), ERR_NOT_FOUND);
    writer_init(&w, buffer, sizeof buffer);
    stun_build_begin(&w, STUN_REQUEST, 0x003, id); /* Allocate */
    stun_build_username(&w, "ownownow:peerpeer", CHECK_USERNAME_LEN);
    assert_int_equal(stun_build_end(&w), ERR_OK);
    assert_int_equal(punch_receive(punch, buffer, w.len, &from, 1), ERR_NOT_FOUND);
    writer_init(&w, buffer, sizeof buffer);
    request.priority = 1;
    assert_int_equal(check_build_request(&w, &request, &own, peer.fragment), ERR_OK);
    assert_int_equal(punch_receive(punch, buffer, w.len, &from, 1), ERR_OK);
    assert_int_equal(drain(punch, 1, &m, out, &to), 1);
    assert_int_equal(m.class, STUN_SUCCESS);
    assert_true(endpoint_is_equal(&m.xor_mapped, &from));
    punch_free(punch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bit),        cmocka_unit_test(test_wrong_credentials),
        cmocka_unit_test(test_forged_responses), cmocka_unit_test(test_role_conflict),
        cmocka_unit_test(test_replay),           cmocka_unit_test(test_nomination_needs_own_check),
        cmocka_unit_test(test_bad_sources),      cmocka_unit_test(test_probe_caps),
        cmocka_unit_test(test_odd_requests),     cmocka_unit_test(test_crowded),
        cmocka_unit_test(test_leads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
