/* What happens after the first child: rekeys of both phases by both sides, crossing ones, liveness,
 * ends, moves behind a NAT, a peer that begins anew. */
#include "net.h"
#include "wire/isakmp_sa.h"
#include <string.h>

/* hard_percent: 0 is the usual. */
static void open_lasting(struct net *net, uint64_t rekey_us, uint64_t rekey_child_us,
                         unsigned hard_percent)
{
    net_init(net);
    for (size_t i = 0; i < 2; i++) {
        if (hard_percent != 0)
            net->nodes[i].config.hard_percent = hard_percent;
        net->nodes[i].config.rekey_us = rekey_us;
        net->nodes[i].config.rekey_child_us = rekey_child_us;
        net->nodes[i].config.linger_us = 2 * SECOND_US;
        net_open(net, i);
    }
    net_call(net, 0, 1);
    net_assert_joined(net, 0, 1);
    net_run(net, SECOND_US / 10);
}

static void open_two(struct net *net, uint64_t rekey_us, uint64_t rekey_child_us)
{
    open_lasting(net, rekey_us, rekey_child_us, 0);
}

#define LONG (3600 * SECOND_US)

/* Of Informationals. */
static bool lose_answers(struct net *net, struct packet *p)
{
    return p->bytes[18] != ISAKMP_EXCHANGE_INFORMATIONAL;
}

/* It cannot be asked whether it lives. */
static bool forget_dpd(struct net *net, struct packet *p)
{
    static const uint8_t dpd[] = {0xaf, 0xca, 0xd7, 0x13};
    uint8_t *at = (uint8_t *)memmem(p->bytes, p->len, dpd, sizeof(dpd));

    if (at != NULL)
        at[0] ^= 1;
    return true;
}

static void test_without_liveness(void **state)
{
    struct net net;

    net_init(&net);
    net.filter = forget_dpd;
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    assert_int_equal(net.sent, 9);
    net_assert_joined(&net, 0, 1);
    net_run(&net, SECOND_US);
    const struct kid old = *net_kid(&net.nodes[0]);
    assert_int_equal(ikev1_sa_rekey_child(net.nodes[0].sa, net.now_us), ERR_OK);
    net_run(&net, SECOND_US / 4);
    assert_int_equal(net_kid(&net.nodes[0])->ready.child, old.ready.child);
    net_run(&net, SECOND_US / 2);
    net_assert_joined(&net, 0, 1);
    assert_int_not_equal(net_kid(&net.nodes[0])->ready.child, old.ready.child);
    /* Silence says nothing of such a peer. */
    net_run(&net, 300 * SECOND_US);
    assert_int_equal(net.nodes[0].closed + net.nodes[1].closed, 0);
    net_done(&net);
}

static void test_child_by_request(void **state)
{
    struct net net;

    for (size_t side = 0; side < 2; side++) {
        open_two(&net, LONG, LONG);
        const struct kid old = *net_kid(&net.nodes[side]);
        assert_int_equal(ikev1_sa_rekey_child(net.nodes[side].sa, net.now_us), ERR_OK);
        assert_int_equal(ikev1_sa_rekey_child(net.nodes[side].sa, net.now_us), ERR_STATE);
        /* Who answered sends with it at once; who asked when the answerer surely has it. */
        net.filter = lose_answers;
        net_drive(&net);
        assert_int_equal(net_kid(&net.nodes[side])->ready.child, old.ready.child);
        assert_int_not_equal(net_kid(&net.nodes[1 - side])->ready.spi_out, old.ready.spi_in);
        net.filter = NULL;
        net_run(&net, 3 * SECOND_US / 2);
        net_assert_joined(&net, 0, 1);
        assert_int_equal(net_kid(&net.nodes[side])->ready.rekey_of, old.ready.child);
        assert_memory_not_equal(net_kid(&net.nodes[side])->ready.key_in, old.ready.key_in, 36);
        /* The old one stays open for what is on its way, then goes on both sides. */
        assert_int_equal(net_open_kids(&net.nodes[0]), 2);
        net_run(&net, 3 * SECOND_US);
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(net_open_kids(&net.nodes[i]), 1);
            assert_int_equal(net.nodes[i].kids[0].reason, IKEV1_REASON_REPLACED);
        }
        net_done(&net);
    }
}

static void test_children_in_time(void **state)
{
    struct net net;

    open_two(&net, LONG, 20 * SECOND_US);
    for (unsigned i = 0; i < 300; i++) {
        net_run(&net, SECOND_US);
        net_assert_heard(&net);
        assert_in_range(net_open_kids(&net.nodes[0]), 1, 5);
    }
    assert_in_range(net.nodes[0].kid_count, 14, 40);
    assert_int_equal(net.nodes[0].closed + net.nodes[1].closed, 0);
    net_done(&net);
}

/* Each side in turn, a second after the other: these do not cross, however soon they follow. */
static void test_children_in_turn(void **state)
{
    struct net net;

    open_two(&net, LONG, LONG);
    for (size_t i = 0; i < 20; i++) {
        const struct kid old = *net_kid(&net.nodes[0]);
        assert_int_equal(ikev1_sa_rekey_child(net.nodes[i % 2].sa, net.now_us), ERR_OK);
        net_run(&net, SECOND_US);
        assert_int_not_equal(net_kid(&net.nodes[0])->ready.child, old.ready.child);
        net_assert_joined(&net, 0, 1);
    }
    net_done(&net);
}

static void test_children_with_losses(void **state)
{
    struct net net;

    open_lasting(&net, 50 * SECOND_US, 20 * SECOND_US, 250);
    net.loss_percent = 10;
    net.random_state = 7;
    net_run(&net, 300 * SECOND_US);
    assert_non_null(net_kid(&net.nodes[0]));
    assert_non_null(net_kid(&net.nodes[1]));
    assert_int_equal(net.nodes[0].closed + net.nodes[1].closed, 0);
    net_done(&net);
}

static void test_crossing_children(void **state)
{
    struct net net;

    open_two(&net, LONG, LONG);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(ikev1_sa_rekey_child(net.nodes[0].sa, net.now_us), ERR_OK);
        assert_int_equal(ikev1_sa_rekey_child(net.nodes[1].sa, net.now_us), ERR_OK);
        net_run(&net, 20 * SECOND_US);
        net_assert_heard(&net);
        /* the other one rests: nobody knows whether the peer has seen it so */
        assert_int_equal(net_open_kids(&net.nodes[0]), 2);
        assert_int_equal(net_open_kids(&net.nodes[1]), 2);
    }
    assert_int_equal(ikev1_sa_rekey_child(net.nodes[0].sa, net.now_us), ERR_OK);
    net_run(&net, 20 * SECOND_US);
    net_assert_joined(&net, 0, 1);
    assert_int_equal(net_open_kids(&net.nodes[0]), 1);
    assert_int_equal(net_open_kids(&net.nodes[1]), 1);
    net_done(&net);
}

static void test_phase_1(void **state)
{
    struct net net;

    for (size_t side = 0; side < 2; side++) {
        uint64_t before_i, before_r, after_i, after_r;
        open_two(&net, LONG, LONG);
        net_run(&net, 20 * SECOND_US);
        ikev1_sa_cookies(net.nodes[0].sa, &before_i, &before_r);
        const unsigned sent = net.sent;
        assert_int_equal(ikev1_sa_rekey(net.nodes[side].sa, net.now_us), ERR_OK);
        assert_int_equal(ikev1_sa_rekey(net.nodes[side].sa, net.now_us), ERR_STATE);
        net_run(&net, 10 * SECOND_US);
        for (size_t i = 0; i < 2; i++) {
            ikev1_sa_cookies(net.nodes[i].sa, &after_i, &after_r);
            assert_true(after_i != before_i && after_r != before_r);
            /* one SA as before, one child as before: nobody was disturbed */
            assert_int_equal(net.nodes[i].established, 1);
            assert_int_equal(net.nodes[i].closed, 0);
            assert_int_equal(net.nodes[i].kid_count, 1);
            assert_int_equal(ikev1_table_count(net.nodes[i].table), 1);
        }
        /* six messages and the DELETE of the old one, all over port 4500 */
        assert_int_equal(net.sent, sent + 7);
        for (unsigned i = sent; i < net.sent; i++)
            assert_int_equal(net.kept[i].source.socket, SOCKET_NATT);
        assert_int_equal(ikev1_sa_rekey_child(net.nodes[0].sa, net.now_us), ERR_OK);
        net_run(&net, 10 * SECOND_US);
        net_assert_joined(&net, 0, 1);
        net_done(&net);
    }
}

static void test_crossing_phases(void **state)
{
    struct net net;

    for (unsigned i = 0; i < 8; i++) {
        open_two(&net, LONG, LONG);
        net_run(&net, 20 * SECOND_US);
        assert_int_equal(ikev1_sa_rekey(net.nodes[0].sa, net.now_us), ERR_OK);
        assert_int_equal(ikev1_sa_rekey(net.nodes[1].sa, net.now_us), ERR_OK);
        net_run(&net, 60 * SECOND_US);
        assert_int_equal(net.nodes[0].closed + net.nodes[1].closed, 0);
        assert_int_equal(ikev1_sa_rekey_child(net.nodes[i % 2].sa, net.now_us), ERR_OK);
        net_run(&net, 10 * SECOND_US);
        net_assert_joined(&net, 0, 1);
        net_done(&net);
    }
}

static void test_both_in_time(void **state)
{
    struct net net;

    open_two(&net, 30 * SECOND_US, 20 * SECOND_US);
    net_run(&net, 300 * SECOND_US);
    net_assert_joined(&net, 0, 1);
    assert_int_equal(net.nodes[0].closed + net.nodes[1].closed, 0);
    assert_int_equal(net.nodes[0].established + net.nodes[1].established, 2);
    net_done(&net);
}

/* The shorter of both lifetimes counts. */
static void test_lifetime_of_the_peer(void **state)
{
    struct net net;

    net_init(&net);
    net.nodes[1].config.rekey_child_us = 20 * SECOND_US;
    net_open(&net, 0);
    net.nodes[0].config.rekey_child_us = LONG;
    net_open(&net, 1);
    net_call(&net, 1, 0);
    net_run(&net, 60 * SECOND_US);
    assert_true(net.nodes[0].kid_count >= 2);
    net_assert_joined(&net, 0, 1);
    net_done(&net);
}

static void test_liveness(void **state)
{
    struct net net;

    open_two(&net, LONG, LONG);
    net_run(&net, 100 * SECOND_US);
    /* Asked every 30 s by one or both; nothing has closed. */
    assert_in_range(net.sent, 11 + 4, 11 + 16);
    assert_int_equal(net.nodes[0].closed, 0);
    ikev1_table_free(net.nodes[1].table);
    net.nodes[1].table = NULL;
    net_run(&net, 60 * SECOND_US);
    assert_int_equal(net.nodes[0].closed, 1);
    assert_int_equal(net.nodes[0].end.reason, IKEV1_REASON_TIMEOUT);
    assert_true(net.nodes[0].end.was_established);
    net_done(&net);
}

static void test_liveness_by_other_means(void **state)
{
    struct net net;

    open_two(&net, LONG, LONG);
    for (unsigned i = 0; i < 20; i++) {
        net_run(&net, 10 * SECOND_US);
        ikev1_sa_heard(net.nodes[0].sa, net.now_us);
        ikev1_sa_heard(net.nodes[1].sa, net.now_us);
    }
    assert_int_equal(net.sent, 11);
    net_done(&net);
}

static void test_closing(void **state)
{
    struct net net;

    for (size_t side = 0; side < 2; side++) {
        open_two(&net, LONG, LONG);
        ikev1_sa_close(net.nodes[side].sa, net.now_us);
        net_drive(&net);
        assert_int_equal(net.nodes[side].end.reason, IKEV1_REASON_CLOSED_HERE);
        assert_int_equal(net.nodes[1 - side].closed, 1);
        assert_int_equal(net.nodes[1 - side].end.reason, IKEV1_REASON_CLOSED_BY_PEER);
        assert_int_equal(ikev1_table_count(net.nodes[0].table), 0);
        assert_int_equal(ikev1_table_count(net.nodes[1].table), 0);
        assert_true(ikev1_table_deadline(net.nodes[0].table) == DEADLINE_NEVER);
        net_done(&net);
    }
}

static void test_closing_children(void **state)
{
    struct net net;

    open_two(&net, LONG, LONG);
    ikev1_sa_close_children(net.nodes[0].sa, net.now_us);
    net_drive(&net);
    assert_int_equal(net_open_kids(&net.nodes[0]) + net_open_kids(&net.nodes[1]), 0);
    assert_int_equal(net.nodes[1].kids[0].reason, IKEV1_REASON_CLOSED_BY_PEER);
    assert_int_equal(net.nodes[0].closed + net.nodes[1].closed, 0);
    /* and back */
    assert_int_equal(ikev1_sa_rekey_child(net.nodes[1].sa, net.now_us), ERR_OK);
    net_run(&net, SECOND_US);
    net_assert_joined(&net, 0, 1);
    net_done(&net);
}

/* The caller's NAT forgets its mapping: from its next authentic message on it has another port. */
static void test_new_mapping(void **state)
{
    struct net net;

    net_init(&net);
    net_hide(&net, 0);
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    net_assert_joined(&net, 0, 1);
    const uint16_t before = ikev1_sa_remote(net.nodes[1].sa)->port;
    net.nodes[0].shift = (uint16_t)(net.nodes[0].shift + 7);
    ikev1_sa_check_alive(net.nodes[0].sa, net.now_us);
    net_drive(&net);
    assert_int_equal(net.nodes[1].moved, 1);
    assert_int_equal(ikev1_sa_remote(net.nodes[1].sa)->port, before + 7);
    net_done(&net);
}

/* Somebody carries an authentic message to another address first: nobody there can answer. */
static void test_no_move_without_an_answer(void **state)
{
    const struct endpoint elsewhere = {
        .address = address_from_ipv4(0x0b000001u), .port = 4500, .socket = SOCKET_NATT};
    uint8_t bytes[IKEV1_MESSAGE_CAP];
    struct endpoint to;
    struct writer w;
    struct net net;

    open_two(&net, LONG, LONG);
    ikev1_sa_check_alive(net.nodes[0].sa, net.now_us);
    writer_init(&w, bytes, sizeof(bytes));
    assert_int_equal(ikev1_table_transmit(net.nodes[0].table, &w, &to), ERR_OK);
    assert_int_equal(net_inject(&net, 1, &elsewhere, bytes, w.len), ERR_OK);
    net_run(&net, 100 * SECOND_US);
    assert_int_equal(net.nodes[1].moved, 0);
    assert_int_equal(net.nodes[1].closed, 0);
    assert_true(endpoint_is_equal(
        ikev1_sa_remote(net.nodes[1].sa),
        &(struct endpoint){.address = net.nodes[0].outside, .port = 4500, .socket = SOCKET_NATT}));
    net_done(&net);
}

/* The caller loses everything and calls anew, saying so. */
static void test_initial_contact(void **state)
{
    struct net net;

    net_init(&net);
    net.nodes[0].config.is_initial_contact = true;
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    assert_int_equal(net.nodes[1].contacts, 1);
    ikev1_table_free(net.nodes[0].table);
    ikev1_profile_free(net.nodes[0].profile);
    net.nodes[0].kid_count = 0;
    net_open(&net, 0);
    net_call(&net, 0, 1);
    assert_int_equal(net.nodes[1].contacts, 2);
    assert_int_equal(ikev1_table_count(net.nodes[1].table), 1);
    assert_true(net.nodes[1].kids[0].is_closed);
    net_assert_joined(&net, 0, 1);
    assert_int_equal(net_open_kids(&net.nodes[1]), 1);
    net_done(&net);
}

/* It calls anew without a word: the old children stay until they are not needed, one SA remains. */
static void test_begun_anew(void **state)
{
    struct net net;

    net_init(&net);
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    for (unsigned i = 0; i < 20; i++) {
        net_run(&net, 11 * SECOND_US);
        ikev1_table_free(net.nodes[0].table);
        ikev1_profile_free(net.nodes[0].profile);
        net.nodes[0].kid_count = 0;
        net_open(&net, 0);
        net_call(&net, 0, 1);
        assert_int_equal(ikev1_table_count(net.nodes[1].table), 1);
        assert_in_range(net_open_kids(&net.nodes[1]), 1, 8);
        net_assert_joined(&net, 0, 1);
    }
    net_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_by_request),
        cmocka_unit_test(test_without_liveness),
        cmocka_unit_test(test_children_in_time),
        cmocka_unit_test(test_children_in_turn),
        cmocka_unit_test(test_children_with_losses),
        cmocka_unit_test(test_crossing_children),
        cmocka_unit_test(test_phase_1),
        cmocka_unit_test(test_crossing_phases),
        cmocka_unit_test(test_both_in_time),
        cmocka_unit_test(test_lifetime_of_the_peer),
        cmocka_unit_test(test_liveness),
        cmocka_unit_test(test_liveness_by_other_means),
        cmocka_unit_test(test_closing),
        cmocka_unit_test(test_closing_children),
        cmocka_unit_test(test_new_mapping),
        cmocka_unit_test(test_no_move_without_an_answer),
        cmocka_unit_test(test_initial_contact),
        cmocka_unit_test(test_begun_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
