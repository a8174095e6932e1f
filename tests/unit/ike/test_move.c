/* Moving where the owner says: ike_sa_move() to a direct path, to a relay and back, one after the
 * other, from both sides at once, a thousand times; and attackers who answer, copy, or hold back.
 */
#include "ike/state.h"
#include "net.h"
#include <string.h>

#define RTT NET_MS(40)

struct pair {
    struct net net;
    struct watch *sides[2];
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
    pair->sides[0] = net_connect(&pair->net, 0, 1);
    net_run(&pair->net, NET_SECOND(1));
    pair->sides[1] = net_newest(&pair->net, 1);
    assert_true(pair->sides[0]->is_established && pair->sides[1]->is_established);
}

static void ask(struct pair *pair, size_t side, const struct endpoint *remote)
{
    struct watch *w = pair->sides[side];
    assert_int_equal(ike_sa_move(w->sa, remote, pair->net.now_us), ERR_OK);
    assert_true(ike_sa_is_moving(w->sa));
    net_drive(w);
}

static bool is_on(const struct pair *pair, size_t side, const struct path_sim *path)
{
    return endpoint_is_equal(ike_sa_remote(pair->sides[side]->sa), &path->ends[side]);
}

static bool is_direct(const struct pair *pair, size_t side)
{
    return endpoint_is_equal(ike_sa_remote(pair->sides[side]->sa),
                             &pair->net.nodes[1 - side].endpoint);
}

static void assert_open(const struct pair *pair)
{
    assert_false(pair->sides[0]->is_closed || pair->sides[1]->is_closed);
}

/* Either side, to a direct path and to a relay, the old path alive or dead: who asks has moved
 * after one round trip, the other after one and a half. */
static void test_move(void **state)
{
    struct pair pair;
    for (unsigned variant = 0; variant < 8; variant++) {
        const size_t side = variant & 1;
        open_pair(&pair, variant);
        const struct path_sim *path = net_add_path(&pair.net, (variant & 2) != 0);
        pair.net.is_cut = (variant & 4) != 0;
        ask(&pair, side, &path->ends[side]);
        net_run(&pair.net, RTT - 1);
        assert_true(is_direct(&pair, 0) && is_direct(&pair, 1));
        net_run(&pair.net, 1);
        assert_true(is_on(&pair, side, path));
        assert_false(ike_sa_is_moving(pair.sides[side]->sa));
        net_run(&pair.net, RTT / 2);
        assert_true(is_on(&pair, 1 - side, path));
        net_run(&pair.net, NET_SECOND(100));
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(pair.sides[i]->move_count, 1);
            assert_int_equal(pair.sides[i]->failed_count, 0);
            assert_true(is_on(&pair, i, path));
        }
        assert_open(&pair);
        net_done(&pair.net);
    }
    (void)state;
}

/* A request is under way over a path that is dead: it is sent the new way, and the move follows. */
static void test_move_with_request_under_way(void **state)
{
    struct pair pair;
    for (unsigned variant = 0; variant < 4; variant++) {
        const size_t side = variant & 1;
        open_pair(&pair, variant);
        const struct path_sim *path = net_add_path(&pair.net, true);
        pair.net.is_cut = true;
        for (size_t i = 0; i < 2; i++) {
            if ((variant & 2) != 0)
                assert_int_equal(ike_sa_rekey(pair.sides[i]->sa), ERR_OK);
            ike_sa_check_alive(pair.sides[i]->sa);
            net_drive(pair.sides[i]);
        }
        net_run(&pair.net, NET_SECOND(3));
        ask(&pair, side, &path->ends[side]);
        net_run(&pair.net, IKE_MOVE_US);
        assert_true(is_on(&pair, 0, path) && is_on(&pair, 1, path));
        assert_int_equal(pair.sides[side]->failed_count, 0);
        net_run(&pair.net, NET_SECOND(100));
        assert_open(&pair);
        net_done(&pair.net);
    }
    (void)state;
}

/* Nobody there: told in time, the old path has stayed, and what was asked meanwhile arrives. */
static void test_move_fails(void **state)
{
    struct pair pair;
    const struct endpoint nowhere = {address_from_ipv4(0x01020304), 666};
    for (size_t side = 0; side < 2; side++) {
        open_pair(&pair, side);
        const unsigned before = pair.net.sent_count;
        struct watch *w = pair.sides[side];
        ask(&pair, side, &nowhere);
        net_run(&pair.net, IKE_MOVE_US + 3 * ike_sa_round_trip_us(w->sa) - 1);
        assert_int_equal(w->failed_count, 0);
        assert_in_range(pair.net.sent_count - before, 4, 8);
        net_run(&pair.net, 1);
        assert_int_equal(w->failed_count, 1);
        assert_true(endpoint_is_equal(&w->failed_path, &nowhere));
        assert_int_equal(w->move_count, 0);
        assert_int_equal(ike_sa_send_notify(w->sa, IKE_NOTIFY_PRIVATE_MIN, "x", 1), ERR_OK);
        net_drive(w);
        net_run(&pair.net, NET_SECOND(100));
        assert_int_equal(pair.sides[1 - side]->notify_count, 1);
        assert_true(is_direct(&pair, 0) && is_direct(&pair, 1));
        assert_int_equal(w->failed_count, 1);
        assert_open(&pair);
        net_done(&pair.net);
    }
    (void)state;
}

/* The second of two moves counts, whatever comes of the first; and the path there is can be proven
 * once more. */
static void test_move_replaced(void **state)
{
    struct pair pair;
    for (unsigned variant = 0; variant < 6; variant++) {
        const size_t side = variant & 1;
        open_pair(&pair, variant);
        struct path_sim *first = net_add_path(&pair.net, false);
        struct path_sim *second = net_add_path(&pair.net, true);
        first->is_down = (variant & 2) != 0;
        ask(&pair, side, &first->ends[side]);
        net_run(&pair.net,
                RTT / 4 * (variant + 1)); /* from before it arrives to after it is done */
        ask(&pair, side, &second->ends[side]);
        net_run(&pair.net, IKE_MOVE_US + 3 * RTT);
        assert_true(is_on(&pair, 0, second) && is_on(&pair, 1, second));
        assert_int_equal(pair.sides[side]->failed_count, 0);
        ask(&pair, side, &second->ends[side]);
        net_run(&pair.net, RTT);
        assert_false(ike_sa_is_moving(pair.sides[side]->sa));
        assert_true(endpoint_is_equal(&pair.sides[side]->path, &second->ends[side]));
        second->is_down = true;
        ask(&pair, side, &second->ends[side]);
        net_run(&pair.net, IKE_MOVE_US + 3 * RTT);
        assert_int_equal(pair.sides[side]->failed_count, 1);
        assert_open(&pair);
        net_done(&pair.net);
    }
    (void)state;
}

/* Both at once: to the same path, or each to another. They end on one, and where both ask before
 * they hear of each other and both paths lead somewhere, it is the initiator's. */
static void test_both_move(void **state)
{
    struct pair pair;
    for (unsigned variant = 0; variant < 40; variant++) {
        const bool is_same = (variant & 1) == 0;
        open_pair(&pair, variant);
        struct path_sim *a = net_add_path(&pair.net, false);
        struct path_sim *b = is_same ? a : net_add_path(&pair.net, true);
        pair.net.is_cut = (variant & 2) != 0;
        a->is_down = !is_same && (variant & 4) != 0;
        ask(&pair, 0, &a->ends[0]);
        net_run(&pair.net, NET_MS(5) * (variant / 8));
        ask(&pair, 1, &b->ends[1]);
        net_run(&pair.net, NET_SECOND(4));
        const struct path_sim *end = a->is_down ? b : a;
        if (variant / 8 == RTT / 2 / NET_MS(5) && is_on(&pair, 0, b))
            end = b; /* the second one had been asked to move by then */
        assert_true(is_on(&pair, 0, end) && is_on(&pair, 1, end));
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(pair.sides[i]->move_count > 0, 1);
        const unsigned count = pair.sides[0]->move_count + pair.sides[1]->move_count;
        net_run(&pair.net, NET_SECOND(100));
        assert_int_equal(pair.sides[0]->move_count + pair.sides[1]->move_count, count);
        assert_open(&pair);
        net_done(&pair.net);
    }
    (void)state;
}

/* The peer has rekeyed the IKE SA while it was being moved: the challenge goes on in the new one.
 */
static void test_move_during_rekey(void **state)
{
    struct pair pair;
    for (unsigned variant = 0; variant < 8; variant++) {
        const size_t side = variant & 1;
        open_pair(&pair, variant);
        const struct path_sim *path = net_add_path(&pair.net, true);
        if ((variant & 2) != 0)
            assert_int_equal(ike_sa_rekey(pair.sides[side]->sa), ERR_OK);
        assert_int_equal(ike_sa_rekey(pair.sides[1 - side]->sa), ERR_OK);
        net_drive(pair.sides[1 - side]);
        if ((variant & 4) != 0)
            net_run(&pair.net, RTT / 4);
        ask(&pair, side, &path->ends[side]);
        net_run(&pair.net, IKE_MOVE_US);
        assert_true(is_on(&pair, 0, path) && is_on(&pair, 1, path));
        net_run(&pair.net, NET_SECOND(100));
        assert_open(&pair);
        net_done(&pair.net);
    }
    (void)state;
}

/* A thousand times from either side and both, between three paths, over a bad network: nothing is
 * ever reset, and both are where somebody has asked them to be. */
static void test_thousand_moves(void **state)
{
    struct pair pair;
    open_pair(&pair, 11);
    struct path_sim *paths[3];
    for (size_t i = 0; i < 3; i++)
        paths[i] = net_add_path(&pair.net, i == 1);
    pair.net.loss_percent = 5;
    pair.net.double_percent = 5;
    pair.net.jitter_us = NET_MS(30);
    unsigned apart = 0, failed = 0;
    net_start_data(&pair.net, pair.sides[0], pair.sides[1], NET_MS(100));
    for (unsigned n = 0; n < 1000; n++) {
        struct path_sim *path = paths[net_random(&pair.net, 3)];
        const uint32_t who = net_random(&pair.net, 4);
        if (who != 1)
            ask(&pair, 0, &path->ends[0]);
        if (who == 3)
            path = paths[net_random(&pair.net, 3)];
        if (who == 1 || who == 3)
            ask(&pair, 1, &path->ends[1]);
        net_run(&pair.net, net_random(&pair.net, 8) == 0 ? NET_MS(70) : NET_SECOND(2));
        assert_open(&pair);
        bool is_one = false;
        for (size_t i = 0; i < 3; i++)
            is_one |= is_on(&pair, 0, paths[i]) && is_on(&pair, 1, paths[i]);
        apart += !is_one;
    }
    net_run(&pair.net, NET_SECOND(10));
    failed = pair.sides[0]->failed_count + pair.sides[1]->failed_count;
    assert_true(pair.sides[0]->move_count + pair.sides[1]->move_count > 1000);
    assert_in_range(apart, 0, 150); /* those that were interrupted, mostly */
    assert_in_range(failed, 0, 50);
    assert_true(watch_sending(pair.sides[0]) != NULL && watch_sending(pair.sides[1]) != NULL);
    assert_int_equal(pair.sides[0]->kid_count + pair.sides[1]->kid_count, 2);
    net_done(&pair.net);
    (void)state;
}

/* ---- attackers ---- */

/* Sends a copy of each of the mover's messages from an endpoint of its own, and sooner. */
struct thief {
    struct endpoint endpoint;
    const struct path_sim *path;
    size_t victim;
    bool is_busy;
    unsigned copies, asked;
};

static bool steal(struct net *net, struct packet_sim *p)
{
    struct thief *thief = net->tamper_context;
    if (endpoint_is_equal(&p->destination, &thief->endpoint))
        thief->asked++;
    if (thief->is_busy || !endpoint_is_equal(&p->destination, &thief->path->ends[thief->victim]))
        return true;
    thief->is_busy = true;
    thief->copies++;
    (void)net_inject(net, 1 - thief->victim, &thief->endpoint, p->bytes, p->len);
    thief->is_busy = false;
    return true;
}

/* Whoever relays the mover's messages from elsewhere gets challenges, and no data; both hosts end
 * on one path in spite of it, the new one or the old. */
static void test_stolen_move(void **state)
{
    struct pair pair;
    for (size_t side = 0; side < 2; side++) {
        open_pair(&pair, side);
        struct thief thief = {.victim = side, .path = net_add_path(&pair.net, false)};
        thief.endpoint = (struct endpoint){address_from_ipv4(0x01020304), 666};
        pair.net.tamper = steal;
        pair.net.tamper_context = &thief;
        ask(&pair, side, &thief.path->ends[side]);
        net_run(&pair.net, RTT);
        assert_true(is_on(&pair, side, thief.path));
        net_run(&pair.net, NET_SECOND(3));
        assert_true(thief.copies > 0 && thief.asked > 0);
        assert_in_range(thief.asked, 1, 8);
        for (unsigned i = 0; i < 5; i++) {
            ike_sa_check_alive(pair.sides[side]->sa);
            net_drive(pair.sides[side]);
            net_run(&pair.net, NET_SECOND(2));
            assert_false(
                endpoint_is_equal(ike_sa_remote(pair.sides[1 - side]->sa), &thief.endpoint));
        }
        pair.net.tamper = NULL;
        ike_sa_check_alive(pair.sides[side]->sa);
        net_drive(pair.sides[side]);
        net_run(&pair.net, NET_SECOND(5));
        assert_true((is_on(&pair, 0, thief.path) && is_on(&pair, 1, thief.path)) ||
                    (is_direct(&pair, 0) && is_direct(&pair, 1)));
        assert_open(&pair);
        net_done(&pair.net);
    }
    (void)state;
}

/* Only a message: what was recorded of a move is sent again later, from the path that it was for
 * and from elsewhere, whole and with each bit of its start changed. */
struct tape {
    size_t count;
    struct packet_sim packets[16];
};

static bool record(struct net *net, struct packet_sim *p)
{
    struct tape *tape = net->tamper_context;
    if (tape->count < sizeof(tape->packets) / sizeof(tape->packets[0]))
        tape->packets[tape->count++] = *p;
    return true;
}

static void test_replayed_move(void **state)
{
    struct pair pair;
    static struct tape tape;
    const struct endpoint elsewhere = {address_from_ipv4(0x01020304), 666};
    open_pair(&pair, 1);
    const struct path_sim *path = net_add_path(&pair.net, false);
    const struct endpoint *direct = &pair.net.nodes[1].endpoint;
    tape.count = 0;
    pair.net.tamper = record;
    pair.net.tamper_context = &tape;
    ask(&pair, 0, &path->ends[0]);
    net_run(&pair.net, NET_SECOND(2));
    pair.net.tamper = NULL;
    assert_true(tape.count >= 4);
    ask(&pair, 0, direct);
    net_run(&pair.net, NET_SECOND(2));
    assert_true(is_direct(&pair, 0) && is_direct(&pair, 1));
    for (size_t i = 0; i < tape.count; i++) {
        struct packet_sim *p = &tape.packets[i];
        for (size_t node = 0; node < 2; node++) {
            (void)net_inject(&pair.net, node, &path->ends[node], p->bytes, p->len);
            (void)net_inject(&pair.net, node, &elsewhere, p->bytes, p->len);
            for (size_t bit = 0; bit < 28 * 8; bit++) {
                p->bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
                (void)net_inject(&pair.net, node, &elsewhere, p->bytes, p->len);
                p->bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            }
            assert_false(pair.sides[node]->sa->has_candidate);
            assert_false(pair.sides[node]->sa->has_spare);
        }
    }
    net_run(&pair.net, NET_SECOND(5));
    assert_true(is_direct(&pair, 0) && is_direct(&pair, 1));
    assert_open(&pair);
    net_done(&pair.net);
    (void)state;
}

/* The answer is authentic, but it comes from elsewhere, or its cookie is another one. */
static bool answer_elsewhere(struct net *net, struct packet_sim *p)
{
    struct thief *thief = net->tamper_context;
    if (p->via == 0 && thief->victim == 0 &&
        endpoint_is_equal(&p->source, &net->nodes[1].endpoint)) {
        (void)net_inject(net, 0, &thief->endpoint, p->bytes, p->len);
        return false;
    }
    return true;
}

static void test_wrong_answers(void **state)
{
    struct pair pair;
    open_pair(&pair, 5);
    const struct path_sim *path = net_add_path(&pair.net, false);
    struct thief thief = {.endpoint = {address_from_ipv4(0x01020304), 666}};
    pair.net.tamper = answer_elsewhere;
    pair.net.tamper_context = &thief;
    ask(&pair, 0, &path->ends[0]);
    net_run(&pair.net, NET_SECOND(5));
    assert_int_equal(pair.sides[0]->move_count, 0);
    assert_int_equal(pair.sides[0]->failed_count, 1);
    assert_true(is_direct(&pair, 0));
    pair.net.tamper = NULL;
    ask(&pair, 0, &path->ends[0]);
    pair.sides[0]->sa->current->request.cookie2[3] ^= 1;
    net_run(&pair.net, RTT);
    assert_int_equal(pair.sides[0]->move_count, 0);
    net_run(&pair.net, NET_SECOND(1)); /* asked once more, and answered */
    assert_true(is_on(&pair, 0, path));
    assert_open(&pair);
    net_done(&pair.net);
    (void)state;
}

/* Moves in a row, each before the last one is through: no more is sent than a few messages each. */
static void test_flood_of_moves(void **state)
{
    struct pair pair;
    open_pair(&pair, 9);
    struct path_sim *paths[2] = {net_add_path(&pair.net, false), net_add_path(&pair.net, true)};
    const unsigned before = pair.net.sent_count;
    for (unsigned i = 0; i < 1000; i++) {
        ask(&pair, 0, &paths[i % 2]->ends[0]);
        net_run(&pair.net, NET_MS(1));
    }
    assert_true(pair.net.sent_count - before < 5000);
    ask(&pair, 0, &paths[0]->ends[0]);
    net_run(&pair.net, NET_SECOND(2));
    assert_true(is_on(&pair, 0, paths[0]) && is_on(&pair, 1, paths[0]));
    assert_open(&pair);
    net_done(&pair.net);
    (void)state;
}

/* Not established, no MOBIKE, or the other side's right alone. */
static void test_refused(void **state)
{
    struct pair pair;
    const struct endpoint nowhere = {address_from_ipv4(0x01020304), 666};
    net_init(&pair.net, 3);
    for (size_t i = 0; i < 2; i++)
        net_open(&pair.net, i, NULL);
    pair.sides[0] = net_connect(&pair.net, 0, 1);
    assert_int_equal(ike_sa_move(pair.sides[0]->sa, &nowhere, pair.net.now_us), ERR_STATE);
    net_run(&pair.net, NET_SECOND(1));
    pair.sides[1] = net_newest(&pair.net, 1);
    for (size_t i = 0; i < 2; i++)
        pair.sides[i]->sa->is_symmetric = false;
    assert_int_equal(ike_sa_move(pair.sides[1]->sa, &nowhere, pair.net.now_us), ERR_UNSUPPORTED);
    pair.sides[0]->sa->is_mobile = false;
    assert_int_equal(ike_sa_move(pair.sides[0]->sa, &nowhere, pair.net.now_us), ERR_UNSUPPORTED);
    ike_sa_close(pair.sides[0]->sa, pair.net.now_us);
    assert_int_equal(ike_sa_move(pair.sides[0]->sa, &nowhere, pair.net.now_us), ERR_STATE);
    net_done(&pair.net);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_move),           cmocka_unit_test(test_move_with_request_under_way),
        cmocka_unit_test(test_move_fails),     cmocka_unit_test(test_move_replaced),
        cmocka_unit_test(test_both_move),      cmocka_unit_test(test_move_during_rekey),
        cmocka_unit_test(test_thousand_moves), cmocka_unit_test(test_stolen_move),
        cmocka_unit_test(test_replayed_move),  cmocka_unit_test(test_wrong_answers),
        cmocka_unit_test(test_flood_of_moves), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
