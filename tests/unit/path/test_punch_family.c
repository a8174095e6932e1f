/* Peers with addresses of both families: all are checked at once, and what is known of one's own
 * IPv6 decides which goes first and which is waited for. Translators: IPv4 in IPv6 addresses. */
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

#define TRIP_US (60 * MS_US)

static const struct credentials own = {"ownownow", "ownpasswordownpassword00"};
static const struct credentials peer = {"peerpeer", "peerpasswordpeerpasswd00"};

struct sent {
    struct punch_target target;
    struct stun_message m;
    uint8_t data[PUNCH_DATAGRAM_CAP];
    size_t len;
};

static bool next(struct punch *punch, uint64_t now_us, struct sent *ret_sent)
{
    struct writer w;
    writer_init(&w, ret_sent->data, sizeof ret_sent->data);
    if (punch_transmit(punch, &w, now_us, &ret_sent->target) != ERR_OK)
        return false;
    ret_sent->len = w.len;
    if (!ret_sent->target.is_opener)
        assert_int_equal(stun_parse(w.base, w.len, &ret_sent->m), ERR_OK);
    return true;
}

static void answer(struct punch *punch, const struct sent *sent, uint64_t now_us)
{
    uint8_t buffer[PUNCH_DATAGRAM_CAP];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    assert_int_equal(
        check_build_success(&w, sent->m.transaction_id, &sent->target.to, peer.password), ERR_OK);
    assert_int_equal(punch_receive(punch, buffer, w.len, &sent->target.to, now_us), ERR_OK);
}

static struct punch *new_punch(bool is_controlling, enum punch_ipv6 ipv6)
{
    const struct punch_config config = {
        .is_controlling = is_controlling,
        .local = own,
        .ipv6 = ipv6,
        .nat64 = {.items = {{.address = {ADDRESS_IPV6, {0x00, 0x64, 0xff, 0x9b}}, .bits = 96}},
                  .count = 1}};
    struct punch *punch;
    assert_int_equal(punch_new(&config, 0, &punch), ERR_OK);
    return punch;
}

/* A dual-stack peer without NAT; both checks leave at once, and IPv4's is answered. */
static struct punch *after_ipv4_answer(enum punch_ipv6 ipv6, enum address_family first_family,
                                       struct sent *ret_ipv6)
{
    struct punch *punch = new_punch(true, ipv6);
    struct candidate_list list = {.count = 2};
    struct sent sent[2];
    list.items[0] = (struct candidate){CANDIDATE_HOST, sim_endpoint("203.0.113.1:1")};
    list.items[1] = (struct candidate){CANDIDATE_HOST, sim_endpoint("[2001:db8::1]:1")};
    assert_int_equal(punch_set_remote(punch, &peer, &list, 0), ERR_OK);
    assert_true(next(punch, 0, &sent[0]) && next(punch, 0, &sent[1]));
    assert_int_equal(sent[0].target.to.address.family, first_family);
    const size_t ipv4 = sent[0].target.to.address.family == ADDRESS_IPV4 ? 0 : 1;
    *ret_ipv6 = sent[1 - ipv4];
    answer(punch, &sent[ipv4], TRIP_US);
    return punch;
}

static void test_proven_ipv6_is_waited_for(void **state)
{
    struct punch_event event;
    struct sent ipv6;
    struct punch *punch = after_ipv4_answer(PUNCH_IPV6_PROVEN, ADDRESS_IPV6, &ipv6);
    assert_false(punch_next_event(punch, &event));
    assert_true(punch_deadline(punch) == TRIP_US + TRIP_US / 2);
    answer(punch, &ipv6, TRIP_US + 20 * MS_US);
    assert_true(punch_next_event(punch, &event));
    assert_true(endpoint_is_equal(&event.endpoint, &ipv6.target.to));
    punch_free(punch);
}

static void test_unproven_ipv6_costs_little(void **state)
{
    struct punch_event event;
    struct sent ipv6;
    struct punch *punch = after_ipv4_answer(PUNCH_IPV6_UNKNOWN, ADDRESS_IPV6, &ipv6);
    assert_true(punch_deadline(punch) == TRIP_US + PUNCH_GRACE_MIN_US);
    punch_expire(punch, TRIP_US + PUNCH_GRACE_MIN_US);
    assert_true(punch_next_event(punch, &event));
    assert_int_equal(event.endpoint.address.family, ADDRESS_IPV4);
    punch_free(punch);
    /* Just as fast as IPv4, it is preferred. */
    punch = after_ipv4_answer(PUNCH_IPV6_UNKNOWN, ADDRESS_IPV6, &ipv6);
    answer(punch, &ipv6, TRIP_US + 2 * MS_US);
    assert_true(punch_next_event(punch, &event));
    assert_int_equal(event.endpoint.address.family, ADDRESS_IPV6);
    punch_free(punch);
}

static void test_broken_ipv6_costs_nothing(void **state)
{
    struct punch_event event;
    struct sent ipv6;
    struct punch *punch = after_ipv4_answer(PUNCH_IPV6_BROKEN, ADDRESS_IPV4, &ipv6);
    assert_true(punch_next_event(punch, &event));
    assert_int_equal(event.endpoint.address.family, ADDRESS_IPV4);
    punch_free(punch);
}

/* IPv4 behind a translator of ours is IPv4: it goes behind IPv6, an opener cannot be made for it,
 * and the called host keeps its checks back all the same. */
static void test_translated(void **state)
{
    for (int is_controlling = 0; is_controlling < 2; is_controlling++) {
        struct punch *punch = new_punch(is_controlling == 1, PUNCH_IPV6_PROVEN);
        struct candidate_list list = {.count = 2};
        struct sent sent;
        list.items[0] =
            (struct candidate){CANDIDATE_REFLEXIVE, sim_endpoint("[64:ff9b::203.0.113.1]:1")};
        list.items[1] = (struct candidate){CANDIDATE_REFLEXIVE, sim_endpoint("[2001:db8::1]:1")};
        assert_int_equal(punch_set_remote(punch, &peer, &list, 0), ERR_OK);
        assert_true(next(punch, 0, &sent));
        assert_false(sent.target.is_opener);
        assert_true(endpoint_is_equal(&sent.target.to, &list.items[1].endpoint));
        assert_int_equal(next(punch, 0, &sent), is_controlling == 1);
        punch_expire(punch, PUNCH_HOLD_US);
        bool was_checked = is_controlling == 1;
        while (next(punch, PUNCH_HOLD_US, &sent)) {
            assert_false(sent.target.is_opener);
            was_checked |= endpoint_is_equal(&sent.target.to, &list.items[0].endpoint);
        }
        assert_true(was_checked);
        assert_int_equal(punch_counters(punch)->openers_sent, 0);
        punch_free(punch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_proven_ipv6_is_waited_for),
        cmocka_unit_test(test_unproven_ipv6_costs_little),
        cmocka_unit_test(test_broken_ipv6_costs_nothing),
        cmocka_unit_test(test_translated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
