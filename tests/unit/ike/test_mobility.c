/* Moving: either side gets another endpoint, said or silently, over good and bad networks; and who
 * sends copies of messages from elsewhere, or answers no challenge, moves nothing. */
#include "ike/state.h"
#include "net.h"
#include <string.h>

struct pair {
    struct net net;
    struct watch *a, *b;
};

static void open_pair(struct pair *pair, uint64_t seed)
{
    net_init(&pair->net, seed);
    for (size_t i = 0; i < 2; i++) {
        struct ike_config *config = &pair->net.nodes[i].config;
        net_want_child(&pair->net, i, SPUT_AES128_GCM);
        config->rekey_child_us = config->rekey_ike_us = 0;
        net_open(&pair->net, i, NULL);
    }
    pair->a = net_connect(&pair->net, 0, 1);
    net_run(&pair->net, NET_SECOND(1));
    pair->b = net_newest(&pair->net, 1);
    assert_true(pair->a->is_established && pair->b->is_established);
}

/* The node has another endpoint from now on, and none at the old one. */
static void move(struct node *node, uint32_t number)
{
    node->endpoint.address = address_from_ipv4(0xcb007100u + number);
    node->endpoint.port = (uint16_t)(1024 + number);
}

static struct watch *other_of(struct pair *pair, const struct watch *w)
{
    return w == pair->a ? pair->b : pair->a;
}

/* Announced: one round trip and a half until the other side has moved. */
static void test_announced_move(void **state)
{
    struct pair pair;
    for (unsigned side = 0; side < 2; side++) {
        open_pair(&pair, side);
        struct watch *w = side == 0 ? pair.a : pair.b;
        struct watch *other = other_of(&pair, w);
        move(w->node, 1);
        ike_sa_announce_move(w->sa, pair.net.now_us);
        net_drive(w);
        net_run(&pair.net, NET_MS(60) - 1);
        assert_int_equal(other->move_count, 0); /* the old path, until the challenge is answered */
        net_run(&pair.net, 1);
        assert_int_equal(other->move_count, 1);
        assert_true(endpoint_is_equal(&other->path, &w->node->endpoint));
        assert_int_equal(w->move_count, 0);
        net_run(&pair.net, NET_SECOND(100));
        assert_int_equal(other->move_count, 1);
        assert_false(pair.a->is_closed || pair.b->is_closed);
        net_done(&pair.net);
    }
    (void)state;
}

/* A NAT has given another port: the next sign of life tells. A request that the other side had
 * under way to the old endpoint is no hindrance. */
static void test_silent_move(void **state)
{
    struct pair pair;
    for (unsigned variant = 0; variant < 4; variant++) {
        open_pair(&pair, variant);
        struct watch *w = (variant & 1) == 0 ? pair.a : pair.b;
        struct watch *other = other_of(&pair, w);
        move(w->node, 2);
        if ((variant & 2) != 0) {
            ike_sa_check_alive(other->sa);
            net_drive(other);
            net_run(&pair.net, NET_SECOND(2));
            assert_int_equal(other->move_count, 0);
        }
        ike_sa_check_alive(w->sa);
        net_drive(w);
        /* One round trip more where something else had to be answered first. */
        net_run(&pair.net, NET_MS((variant & 2) != 0 ? 100 : 60));
        assert_int_equal(other->move_count, 1);
        assert_true(endpoint_is_equal(ike_sa_remote(other->sa), &w->node->endpoint));
        assert_int_equal(ike_sa_unanswered_us(other->sa, pair.net.now_us), 0);
        net_done(&pair.net);
    }
    (void)state;
}

/* A request that carries no cookie is under way: it is answered first, then comes the challenge. */
static void test_move_during_rekey(void **state)
{
    struct pair pair;
    for (unsigned what = 0; what < 2; what++) {
        open_pair(&pair, what);
        move(pair.a->node, 3);
        assert_int_equal(what == 0 ? ike_sa_rekey(pair.b->sa) : ike_sa_rekey_child(pair.b->sa),
                         ERR_OK);
        net_drive(pair.b);
        net_run(&pair.net, NET_SECOND(1));
        ike_sa_announce_move(pair.a->sa, pair.net.now_us);
        net_drive(pair.a);
        net_run(&pair.net, NET_SECOND(2));
        assert_int_equal(pair.b->move_count, 1);
        assert_true(endpoint_is_equal(ike_sa_remote(pair.b->sa), &pair.a->node->endpoint));
        assert_false(pair.a->is_closed || pair.b->is_closed);
        net_done(&pair.net);
    }
    (void)state;
}

/* Again and again, both sides, over a bad network. */
static void test_many_moves(void **state)
{
    struct pair pair;
    open_pair(&pair, 7);
    pair.net.loss_percent = 10;
    pair.net.double_percent = 10;
    pair.net.jitter_us = NET_MS(30);
    for (uint32_t i = 0; i < 1000; i++) {
        struct watch *w = net_random(&pair.net, 2) == 0 ? pair.a : pair.b;
        struct watch *other = other_of(&pair, w);
        move(w->node, 10 + i);
        if (net_random(&pair.net, 2) == 0)
            ike_sa_announce_move(w->sa, pair.net.now_us);
        else
            ike_sa_check_alive(w->sa);
        net_drive(w);
        for (unsigned s = 0; s < 10; s++) {
            net_run(&pair.net, NET_SECOND(1));
            ike_sa_check_alive(w->sa); /* as the owner does while data gets no answer */
            net_drive(w);
        }
        assert_false(pair.a->is_closed || pair.b->is_closed);
        assert_true(endpoint_is_equal(ike_sa_remote(other->sa), &w->node->endpoint));
    }
    assert_true(pair.a->move_count + pair.b->move_count >= 1000);
    net_done(&pair.net);
    (void)state;
}

/* ---- attackers ---- */

struct thief {
    struct endpoint endpoint;
    size_t victim; /* whose requests are copied */
    bool takes;    /* the original is lost too */
    bool is_busy;
    unsigned copies, challenges;
};

/* Copies what the victim sends, faster than it, from the thief's own endpoint; counts what comes
 * there. */
static bool steal(struct net *net, struct packet_sim *p)
{
    struct thief *thief = net->tamper_context;
    if (endpoint_is_equal(&p->destination, &thief->endpoint))
        thief->challenges++;
    if (thief->is_busy || !endpoint_is_equal(&p->source, &net->nodes[thief->victim].endpoint))
        return true;
    thief->copies++;
    thief->is_busy = true;
    (void)net_inject(net, 1 - thief->victim, &thief->endpoint, p->bytes, p->len);
    thief->is_busy = false;
    return !thief->takes;
}

static void test_stolen_messages(void **state)
{
    struct pair pair;
    for (unsigned variant = 0; variant < 4; variant++) {
        struct thief thief = {.victim = variant & 1, .takes = (variant & 2) != 0};
        open_pair(&pair, variant);
        thief.endpoint = (struct endpoint){address_from_ipv4(0x01020304), 666};
        pair.net.tamper = steal;
        pair.net.tamper_context = &thief;
        struct watch *victim = thief.victim == 0 ? pair.a : pair.b;
        for (unsigned i = 0; i < 5; i++) {
            ike_sa_check_alive(victim->sa);
            net_drive(victim);
            net_run(&pair.net, NET_SECOND(1));
        }
        assert_true(thief.copies > 0);
        assert_true(thief.challenges > 0); /* it was asked, and could not answer */
        assert_true(thief.challenges <= 4 * thief.copies);
        assert_int_equal(pair.a->move_count + pair.b->move_count, 0);
        pair.net.tamper = NULL;
        ike_sa_check_alive(victim->sa);
        net_drive(victim);
        net_run(&pair.net, NET_SECOND(5));
        assert_false(pair.a->is_closed || pair.b->is_closed);
        assert_true(
            endpoint_is_equal(ike_sa_remote(other_of(&pair, victim)->sa), &victim->node->endpoint));
        net_done(&pair.net);
    }
    (void)state;
}

/* Old messages from elsewhere are not even challenged. */
static bool keep_last(struct net *net, struct packet_sim *p)
{
    struct packet_sim *kept = net->tamper_context;
    if (endpoint_is_equal(&p->source, &net->nodes[0].endpoint))
        *kept = *p;
    return true;
}

static void test_replayed_messages(void **state)
{
    struct pair pair;
    static struct packet_sim kept;
    const struct endpoint elsewhere = {address_from_ipv4(0x01020304), 666};
    open_pair(&pair, 1);
    pair.net.tamper = keep_last;
    pair.net.tamper_context = &kept;
    ike_sa_check_alive(pair.a->sa);
    net_drive(pair.a);
    net_run(&pair.net, NET_SECOND(1));
    assert_true(kept.len > 0);
    (void)net_inject(&pair.net, 1, &elsewhere, kept.bytes, kept.len);
    assert_false(pair.b->sa->has_candidate);
    ike_sa_check_alive(pair.a->sa);
    net_drive(pair.a);
    net_run(&pair.net, NET_SECOND(1));
    ike_sa_check_alive(pair.b->sa);
    net_drive(pair.b);
    net_run(&pair.net, NET_SECOND(1));
    for (size_t i = 0; i < kept.len; i++) {
        kept.bytes[i] ^= 1;
        (void)net_inject(&pair.net, 1, &elsewhere, kept.bytes, kept.len);
        kept.bytes[i] ^= 1;
        assert_false(pair.b->sa->has_candidate);
    }
    assert_int_equal(pair.b->move_count, 0);
    net_done(&pair.net);
    (void)state;
}

/* Someone who relays everything but answers a challenge with another cookie cannot be made without
 * the keys; what is left is the cookie itself: an answer to a request that was never sent there. */
static void test_unchallenged_answer(void **state)
{
    struct pair pair;
    open_pair(&pair, 3);
    /* a's answer to b's check arrives from elsewhere: b has to ask there first. */
    const struct endpoint old = pair.a->node->endpoint;
    ike_sa_check_alive(pair.b->sa);
    net_drive(pair.b);
    net_run(&pair.net, NET_MS(20));
    move(pair.a->node, 9);
    for (struct packet_sim *p = pair.net.packets; p != NULL; p = p->next)
        p->source = pair.a->node->endpoint;
    net_run(&pair.net, NET_MS(20));
    assert_int_equal(pair.b->move_count, 0);
    assert_true(endpoint_is_equal(ike_sa_remote(pair.b->sa), &old));
    net_run(&pair.net, NET_MS(40));
    assert_int_equal(pair.b->move_count, 1);
    net_done(&pair.net);
    (void)state;
}

/* ---- how much of it ---- */

/* NATs that give every destination another port, and let everybody in, on both sides: whatever
 * arrives comes from a port that it has never come from. */
static bool scatter(struct net *net, struct packet_sim *p)
{
    unsigned *count = net->tamper_context;
    const bool is_first = address_is_equal(&p->source.address, &net->nodes[0].endpoint.address);
    p->source = net->nodes[is_first ? 0 : 1].endpoint;
    p->source.port = (uint16_t)(1024 + ++*count % 60000);
    p->destination = net->nodes[is_first ? 1 : 0].endpoint;
    return true;
}

/* Such a pair never gets anywhere by challenges, and soon asks rarely. */
static void test_answers_from_elsewhere(void **state)
{
    struct pair pair;
    unsigned count = 0;
    open_pair(&pair, 11);
    pair.net.tamper = scatter;
    pair.net.tamper_context = &count;
    ike_sa_check_alive(pair.a->sa);
    net_drive(pair.a);
    net_run(&pair.net, NET_SECOND(10));
    assert_true(count > 10);
    assert_true(count <= 100);
    count = 0;
    net_run(&pair.net, NET_SECOND(100));
    assert_true(count <= 300);
    assert_int_equal(pair.a->move_count + pair.b->move_count, 0);
    assert_false(pair.a->is_closed || pair.b->is_closed);
    /* And where answers come from where they should, a move is a matter of seconds again. */
    pair.net.tamper = NULL;
    move(pair.a->node, 12);
    ike_sa_announce_move(pair.a->sa, pair.net.now_us);
    net_drive(pair.a);
    net_run(&pair.net, NET_SECOND(10));
    assert_true(endpoint_is_equal(ike_sa_remote(pair.b->sa), &pair.a->node->endpoint));
    net_done(&pair.net);
    (void)state;
}

/* A peer that proves each of its moves, as fast as it can: followed a few times, then now and then,
 * and to where it is in the end. */
static void test_restless_peer(void **state)
{
    struct pair pair;
    open_pair(&pair, 12);
    pair.net.delay_us = NET_MS(1);
    for (uint32_t i = 0; i < 6000; i++) {
        if (i % 10 == 0)
            move(pair.a->node, 100 + i);
        ike_sa_announce_move(pair.a->sa, pair.net.now_us);
        net_drive(pair.a);
        net_run(&pair.net, NET_MS(10));
    }
    assert_in_range(pair.b->move_count, 10, 10 + 2 * 60 + 2);
    net_run(&pair.net, NET_SECOND(2));
    assert_true(endpoint_is_equal(ike_sa_remote(pair.b->sa), &pair.a->node->endpoint));
    assert_false(pair.a->is_closed || pair.b->is_closed);
    net_done(&pair.net);
    (void)state;
}

/* One that asks as fast as it is answered. */
static void test_restless_questions(void **state)
{
    struct pair pair;
    open_pair(&pair, 13);
    pair.net.delay_us = NET_MS(1);
    const unsigned before = pair.net.sent_count;
    const uint64_t end_us = pair.net.now_us + NET_SECOND(60);
    while (pair.net.now_us < end_us) {
        ike_sa_check_alive(pair.a->sa);
        net_drive(pair.a);
        net_run(&pair.net, NET_MS(1));
    }
    /* A question that is not answered is asked again a few times. */
    assert_in_range((pair.net.sent_count - before) / 2, 64, 3 * (64 + 60 * 16));
    net_run(&pair.net, NET_SECOND(5));
    assert_false(pair.a->is_closed || pair.b->is_closed);
    assert_int_equal(ike_sa_unanswered_us(pair.a->sa, pair.net.now_us), 0);
    net_done(&pair.net);
    (void)state;
}

/* By the RFC alone only the initiator moves; without MOBIKE nobody does. */
static void test_what_was_agreed(void **state)
{
    struct pair pair;
    for (unsigned variant = 0; variant < 4; variant++) {
        open_pair(&pair, variant);
        struct watch *w = (variant & 1) == 0 ? pair.a : pair.b;
        struct watch *other = other_of(&pair, w);
        bool is_mobile = (variant & 2) != 0;
        pair.a->sa->is_symmetric = pair.b->sa->is_symmetric = false;
        pair.a->sa->is_mobile = pair.b->sa->is_mobile = is_mobile;
        move(w->node, 4);
        ike_sa_announce_move(w->sa, pair.net.now_us);
        net_drive(w);
        net_run(&pair.net, NET_SECOND(2));
        assert_int_equal(other->move_count, is_mobile && w == pair.a ? 1 : 0);
        net_done(&pair.net);
    }
    (void)state;
}

/* A path so slow that each request is repeated before its answer comes: the round-trip time is
 * known all the same, at once where nothing was known, and in the end where it was shorter before.
 */
static void test_slow_path(void **state)
{
    struct pair pair;
    for (unsigned side = 0; side < 2; side++) {
        open_pair(&pair, side);
        const struct watch *w = side == 0 ? pair.a : pair.b;
        assert_int_equal(ike_sa_round_trip_us(w->sa) != 0, side == 0);
        pair.net.delay_us = NET_MS(400);
        for (unsigned i = 0; i < 6; i++) {
            ike_sa_check_alive(w->sa);
            net_drive((struct watch *)w);
            net_run(&pair.net, NET_SECOND(10));
            if (side == 1)
                assert_in_range(ike_sa_round_trip_us(w->sa), NET_MS(800), NET_MS(801));
        }
        assert_in_range(ike_sa_round_trip_us(w->sa), NET_MS(800), NET_MS(801));
        /* A bound gives way to the first sample. */
        pair.net.delay_us = NET_MS(10);
        ike_sa_check_alive(w->sa);
        net_drive((struct watch *)w);
        net_run(&pair.net, NET_SECOND(10));
        assert_true(ike_sa_round_trip_us(w->sa) < NET_MS(800));
        net_done(&pair.net);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_announced_move),         cmocka_unit_test(test_silent_move),
        cmocka_unit_test(test_move_during_rekey),      cmocka_unit_test(test_many_moves),
        cmocka_unit_test(test_stolen_messages),        cmocka_unit_test(test_replayed_messages),
        cmocka_unit_test(test_unchallenged_answer),    cmocka_unit_test(test_what_was_agreed),
        cmocka_unit_test(test_answers_from_elsewhere), cmocka_unit_test(test_restless_peer),
        cmocka_unit_test(test_restless_questions),     cmocka_unit_test(test_slow_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
