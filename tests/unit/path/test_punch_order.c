/* Which check leaves first, how fast, how often; which pair the caller waits for and takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/deadline.h"
#include "path/check.h"
#include "path/punch.h"
#include "sim.h"

static const struct credentials own = {"ownownow", "ownpasswordownpassword00"};
static const struct credentials peer = {"peerpeer", "peerpasswordpeerpasswd00"};

struct sent {
    struct endpoint to;
    struct stun_message m;
    uint8_t data[PUNCH_DATAGRAM_CAP];
};

/* Openers are passed over: test_punch_opener.c has them. */
static bool next(struct punch *punch, uint64_t now_us, struct sent *ret_sent)
{
    struct punch_target target;
    struct writer w;
    do {
        writer_init(&w, ret_sent->data, sizeof ret_sent->data);
        const int error = punch_transmit(punch, &w, now_us, &target);
        if (error == ERR_AGAIN)
            return false;
        assert_int_equal(error, ERR_OK);
    } while (target.is_opener);
    ret_sent->to = target.to;
    assert_int_equal(stun_parse(w.base, w.len, &ret_sent->m), ERR_OK);
    return true;
}

static void answer(struct punch *punch, const struct sent *sent, uint64_t now_us)
{
    uint8_t buffer[PUNCH_DATAGRAM_CAP];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(check_build_success(&w, sent->m.transaction_id, &sent->to, peer.password),
                     ERR_OK);
    assert_int_equal(punch_receive(punch, buffer, w.len, &sent->to, now_us), ERR_OK);
}

static int request(struct punch *punch, const struct endpoint *from, bool is_controlling,
                   const char *fragment, uint64_t now_us)
{
    uint8_t buffer[PUNCH_DATAGRAM_CAP];
    struct writer w;
    const struct check_request check = {
        .id = {7}, .priority = 9, .is_controlling = is_controlling, .tie_breaker = 1};
    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(check_build_request(&w, &check, &own, fragment), ERR_OK);
    return punch_receive(punch, buffer, w.len, from, now_us);
}

static struct candidate_list candidates_of(size_t count)
{
    struct candidate_list list = {.count = count};
    for (uint32_t i = 0; i < count; i++)
        list.items[i] =
            (struct candidate){CANDIDATE_HOST, {address_from_ipv4(0xcb007100 + i), 1000}};
    return list;
}

static struct punch *new_punch(bool is_controlling)
{
    struct punch_config config = {
        .is_controlling = is_controlling, .local = own, .subnet_count = 1};
    assert_int_equal(prefix_parse("192.168.1.0/24", &config.subnets[0]), ERR_OK);
    struct punch *punch;
    assert_int_equal(punch_new(&config, 0, &punch), ERR_OK);
    return punch;
}

/* The worse pair answers first; the LAN's gets its grace and comes within it. */
static void test_grace(void **state)
{
    for (int is_better_late = 0; is_better_late < 2; is_better_late++) {
        struct punch *punch = new_punch(true);
        struct candidate_list list = {.count = 2};
        list.items[0] = (struct candidate){CANDIDATE_REFLEXIVE, sim_endpoint("198.51.100.9:1")};
        list.items[1] = (struct candidate){CANDIDATE_HOST, sim_endpoint("192.168.1.9:1")};
        assert_int_equal(punch_set_remote(punch, &peer, &list, 0), ERR_OK);
        struct sent lan, wide, more;
        struct punch_event event;
        assert_true(next(punch, 0, &lan) && next(punch, 0, &wide));
        assert_true(endpoint_is_equal(&lan.to, &list.items[1].endpoint)); /* best first */
        answer(punch, &wide, 60 * MS_US);
        assert_false(punch_next_event(punch, &event));
        /* Half a round trip of 60 ms. */
        assert_true(punch_deadline(punch) == 90 * MS_US);
        if (is_better_late) {
            punch_expire(punch, 90 * MS_US);
            assert_true(punch_next_event(punch, &event));
            assert_int_equal(event.candidate, CANDIDATE_REFLEXIVE);
            assert_int_equal(event.round_trip_us, 60 * MS_US);
        } else {
            answer(punch, &lan, 80 * MS_US);
            assert_true(punch_next_event(punch, &event));
            assert_int_equal(event.candidate, CANDIDATE_HOST);
        }
        /* The nomination leaves at once, and again until it is answered. */
        const uint64_t now_us = is_better_late ? 90 * MS_US : 80 * MS_US;
        assert_true(next(punch, now_us, &more));
        assert_true(more.m.use_candidate);
        assert_true(endpoint_is_equal(&more.to, &event.endpoint));
        assert_false(next(punch, now_us, &more));
        assert_true(punch_deadline(punch) == now_us + PUNCH_RTO_FIRST_US);
        assert_true(next(punch, now_us + PUNCH_RTO_FIRST_US, &more));
        answer(punch, &more, now_us + PUNCH_RTO_FIRST_US);
        assert_true(punch_deadline(punch) == now_us + PUNCH_LINGER_US);
        punch_free(punch);
    }
}

/* A private address of somebody's network gets the least of grace only. */
static void test_unlikely_candidate(void **state)
{
    struct punch *punch = new_punch(true);
    struct candidate_list list = {.count = 2};
    list.items[0] = (struct candidate){CANDIDATE_HOST, sim_endpoint("10.5.5.5:1")};
    list.items[1] = (struct candidate){CANDIDATE_REFLEXIVE, sim_endpoint("198.51.100.9:1")};
    assert_int_equal(punch_set_remote(punch, &peer, &list, 0), ERR_OK);
    struct sent first, second;
    assert_true(next(punch, 0, &first) && next(punch, 0, &second));
    answer(punch, &second, 90 * MS_US);
    assert_true(punch_deadline(punch) == 90 * MS_US + PUNCH_GRACE_MIN_US);
    punch_free(punch);
}

/* What was heard before the answer is checked first; what is not from this peer is forgotten. */
static void test_heard_first(void **state)
{
    struct punch *punch = new_punch(true);
    const struct endpoint heard = sim_endpoint("198.51.100.77:7"),
                          other = sim_endpoint("198.51.100.78:7");
    assert_int_equal(request(punch, &heard, false, peer.fragment, 1), ERR_OK);
    assert_int_equal(request(punch, &other, false, "somebody", 1), ERR_OK);
    struct sent sent;
    assert_true(next(punch, 1, &sent) && next(punch, 1, &sent)); /* answers */
    assert_false(next(punch, 1, &sent));
    assert_true(punch_is_validated(punch, &heard) && punch_is_validated(punch, &other));
    struct candidate_list list = candidates_of(CANDIDATE_MAX);
    assert_int_equal(punch_set_remote(punch, &peer, &list, 2), ERR_OK);
    assert_true(punch_is_validated(punch, &heard));
    assert_false(punch_is_validated(punch, &other));
    assert_true(next(punch, 2, &sent));
    assert_true(endpoint_is_equal(&sent.to, &heard));
    punch_free(punch);
}

/* A triggered check goes before those that are due as well. */
static void test_triggered_first(void **state)
{
    struct punch *punch = new_punch(false);
    const struct candidate_list list = candidates_of(CANDIDATE_MAX);
    const struct endpoint *last = &list.items[CANDIDATE_MAX - 1].endpoint;
    assert_int_equal(punch_set_remote(punch, &peer, &list, 0), ERR_OK);
    struct sent sent;
    while (next(punch, 0, &sent)) {
    }
    assert_int_equal(request(punch, last, true, peer.fragment, 200 * MS_US), ERR_OK);
    assert_true(next(punch, 200 * MS_US, &sent));
    assert_int_equal(sent.m.class, STUN_SUCCESS);
    assert_true(next(punch, 200 * MS_US, &sent));
    assert_int_equal(sent.m.class, STUN_REQUEST);
    assert_true(endpoint_is_equal(&sent.to, last));
    punch_free(punch);
}

/* Sixteen addresses at once, all of which keep asking and never answer: pace and caps hold. */
static void test_pace_and_caps(void **state)
{
    struct punch *punch = new_punch(false);
    const struct candidate_list list = candidates_of(CANDIDATE_MAX);
    assert_int_equal(punch_set_remote(punch, &peer, &list, 0), ERR_OK);
    struct endpoint from[CANDIDATE_MAX + PUNCH_PEER_MAX + 4];
    size_t per_address[CANDIDATE_MAX + PUNCH_PEER_MAX] = {0}, total = 0, answers = 0;
    for (uint32_t i = 0; i < CANDIDATE_MAX + PUNCH_PEER_MAX + 4; i++)
        from[i] = (struct endpoint){address_from_ipv4(0xcb007100 + i), 1000};
    uint64_t last_us = 0;
    size_t burst = 0;
    for (uint64_t now_us = 0; now_us < 5 * SECOND_US; now_us += MS_US) {
        for (uint32_t i = 0; now_us % (60 * MS_US) == 0 && i < CANDIDATE_MAX + PUNCH_PEER_MAX + 4;
             i++) {
            const int result = request(punch, &from[i], true, peer.fragment, now_us);
            assert_int_equal(result, i < CANDIDATE_MAX + PUNCH_PEER_MAX ? ERR_OK : ERR_LIMIT);
        }
        punch_expire(punch, now_us);
        struct sent sent;
        while (next(punch, now_us, &sent)) {
            if (sent.m.class != STUN_REQUEST) {
                answers++;
                continue;
            }
            per_address[address_to_ipv4(&sent.to.address) - 0xcb007100]++;
            total++;
            burst = now_us == last_us ? burst + 1 : 1;
            assert_true(burst <= PUNCH_BURST);
            last_us = now_us;
        }
        assert_true(total <= PUNCH_BURST + now_us / PUNCH_PACE_US);
        assert_true(punch_deadline(punch) > now_us);
    }
    for (size_t i = 0; i < CANDIDATE_MAX + PUNCH_PEER_MAX; i++)
        assert_in_range(per_address[i], 1, PUNCH_ADDRESS_CHECKS);
    assert_int_equal(total, PUNCH_CHECKS_MAX);
    assert_int_equal(answers, PUNCH_ANSWERS_MAX);
    punch_free(punch);

    /* One address alone. */
    punch = new_punch(false);
    const struct candidate_list one = candidates_of(1);
    assert_int_equal(punch_set_remote(punch, &peer, &one, 0), ERR_OK);
    total = 0;
    for (uint64_t now_us = 0; now_us < 5 * SECOND_US; now_us += 60 * MS_US) {
        assert_int_equal(request(punch, &from[0], true, peer.fragment, now_us), ERR_OK);
        struct sent sent;
        while (next(punch, now_us, &sent))
            total += sent.m.class == STUN_REQUEST;
    }
    assert_int_equal(total, PUNCH_ADDRESS_CHECKS);
    punch_free(punch);
}

/* Another who keeps to the rules but never nominates. */
static void test_failures(void **state)
{
    struct punch_event event;
    struct sent sent;
    const struct candidate_list one = candidates_of(1);
    struct punch *punch = new_punch(false);
    assert_int_equal(punch_set_remote(punch, &peer, &one, 0), ERR_OK);
    assert_true(next(punch, 0, &sent));
    answer(punch, &sent, 1);
    punch_expire(punch, PUNCH_TIMEOUT_US);
    assert_true(punch_next_event(punch, &event));
    assert_int_equal(event.failure, PUNCH_NOT_NOMINATED);
    punch_free(punch);

    punch = new_punch(false);
    assert_int_equal(punch_set_remote(punch, &peer, &one, 0), ERR_OK);
    assert_int_equal(request(punch, &one.items[0].endpoint, true, peer.fragment, 1), ERR_OK);
    while (next(punch, 1, &sent)) {
    }
    punch_expire(punch, PUNCH_TIMEOUT_US);
    assert_true(punch_next_event(punch, &event));
    assert_int_equal(event.type, PUNCH_FAILED);
    assert_int_equal(event.failure, PUNCH_ONE_WAY);
    assert_int_equal(event.address_count, 1);
    /* Still answers, as the other side may yet get through with what it has. */
    assert_int_equal(request(punch, &one.items[0].endpoint, true, peer.fragment, PUNCH_TIMEOUT_US),
                     ERR_OK);
    assert_true(next(punch, PUNCH_TIMEOUT_US, &sent));
    assert_int_equal(sent.m.class, STUN_SUCCESS);
    assert_false(next(punch, PUNCH_TIMEOUT_US, &sent));
    punch_expire(punch, PUNCH_TIMEOUT_US + PUNCH_LINGER_US);
    assert_true(punch_next_event(punch, &event));
    assert_int_equal(event.type, PUNCH_ENDED);
    assert_int_equal(request(punch, &one.items[0].endpoint, true, peer.fragment, 99 * SECOND_US),
                     ERR_NOT_FOUND);
    punch_free(punch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grace),         cmocka_unit_test(test_unlikely_candidate),
        cmocka_unit_test(test_heard_first),   cmocka_unit_test(test_triggered_first),
        cmocka_unit_test(test_pace_and_caps), cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
