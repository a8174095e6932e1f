/* SAs at rest: silent, woken by one exchange that goes by the path or is carried, over bad
 * networks, from both sides at once; and copies, changed messages and old ones wake nothing. */
#include "ike/state.h"
#include "net.h"
#include <string.h>

struct pair {
    struct net net;
    struct watch *a, *b;
};

static const struct endpoint journey = {.address.family = ADDRESS_NONE, .port = 7};

static void open_pair(struct pair *pair, uint64_t seed)
{
    net_init(&pair->net, seed);
    for (size_t i = 0; i < 2; i++) {
        net_want_child(&pair->net, i, SPUT_AES128_GCM);
        net_open(&pair->net, i, NULL);
    }
    pair->a = net_connect(&pair->net, 0, 1);
    net_run(&pair->net, NET_SECOND(1));
    pair->b = net_newest(&pair->net, 1);
    assert_true(pair->a->is_established && pair->b->is_established);
}

/* a closes the tunnel, as its owner does that finds it idle. */
static void rest_pair(struct pair *pair, uint64_t for_us)
{
    const uint64_t until_us = pair->net.now_us + for_us;
    assert_int_equal(ike_sa_rest(pair->b->sa, false, until_us, pair->net.now_us), ERR_OK);
    assert_int_equal(ike_sa_rest(pair->a->sa, true, until_us, pair->net.now_us), ERR_OK);
    assert_int_equal(ike_sa_rest(pair->a->sa, true, until_us, pair->net.now_us), ERR_STATE);
    assert_int_equal(ike_sa_wake(pair->a->sa, pair->net.now_us), ERR_STATE); /* not yet */
    net_drive(pair->a);
    net_run(&pair->net, NET_SECOND(20));
    assert_int_equal(watch_open_count(pair->a), 0);
    assert_int_equal(watch_open_count(pair->b), 0);
    assert_true(ike_sa_is_resting(pair->a->sa) && ike_sa_is_resting(pair->b->sa));
}

/* One child on each side, with the same keys; they belong to this exchange alone. */
static void check_awake(const struct pair *pair, size_t kid_count)
{
    const struct kid *a = watch_sending(pair->a), *b = watch_sending(pair->b);
    assert_false(pair->a->is_closed || pair->b->is_closed);
    assert_false(ike_sa_is_resting(pair->a->sa) || ike_sa_is_resting(pair->b->sa));
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(watch_open_count(pair->a), 1);
    assert_int_equal(watch_open_count(pair->b), 1);
    assert_int_equal(pair->a->kid_count, kid_count);
    assert_memory_equal(a->ready.key_out, b->ready.key_in, a->ready.key_len);
    assert_memory_equal(a->ready.key_in, b->ready.key_out, a->ready.key_len);
    assert_memory_not_equal(a->ready.key_out, pair->a->kids[0].ready.key_out, a->ready.key_len);
}

static void test_one_round_trip(void **state)
{
    struct pair pair;
    for (unsigned side = 0; side < 2; side++) {
        open_pair(&pair, side);
        rest_pair(&pair, NET_SECOND(40000));
        const unsigned sent = pair.net.sent_count;
        net_run(&pair.net, NET_SECOND(20000)); /* past every rekey and liveness check */
        assert_int_equal(pair.net.sent_count, sent);
        struct watch *w = side == 0 ? pair.a : pair.b;
        assert_int_equal(ike_sa_wake(w->sa, pair.net.now_us), ERR_OK);
        assert_true(ike_sa_is_waking(w->sa));
        net_drive(w);
        net_run(&pair.net, NET_MS(40));
        check_awake(&pair, 2);
        assert_false(ike_sa_is_waking(w->sa));
        /* What was due while it was at rest. */
        uint64_t before, after, responder;
        ike_sa_spis(pair.a->sa, &before, &responder);
        net_run(&pair.net, NET_SECOND(30));
        ike_sa_spis(pair.a->sa, &after, &responder);
        assert_true(before != after);
        check_awake(&pair, 2);
        /* And once more. */
        rest_pair(&pair, NET_SECOND(40000));
        assert_int_equal(ike_sa_wake(w->sa, pair.net.now_us), ERR_OK);
        net_drive(w);
        net_run(&pair.net, NET_SECOND(1));
        check_awake(&pair, 3);
        net_done(&pair.net);
    }
    (void)state;
}

static void test_ends_silently(void **state)
{
    struct pair pair;
    open_pair(&pair, 3);
    rest_pair(&pair, NET_SECOND(1000));
    const unsigned sent = pair.net.sent_count;
    net_run(&pair.net, NET_SECOND(1000));
    assert_true(pair.a->is_closed && pair.b->is_closed);
    assert_int_equal(pair.a->closed.reason, IKE_REASON_EXPIRED);
    assert_int_equal(pair.net.sent_count, sent);
    net_done(&pair.net);
    (void)state;
}

/* What the other side sends back to carried messages. */
struct carrier {
    uint8_t bytes[IKE_MESSAGE_CAP];
    size_t len;
    unsigned count;
};

static bool catch_carried(struct net *net, struct packet_sim *p)
{
    struct carrier *carrier = net->tamper_context;
    if (!ike_is_carried(&p->destination))
        return true;
    memcpy(carrier->bytes, p->bytes, p->len);
    carrier->len = p->len;
    carrier->count++;
    return false;
}

static size_t copy_wake(const struct watch *w, uint8_t ret_bytes[IKE_MESSAGE_CAP])
{
    struct writer writer;
    writer_init(&writer, ret_bytes, IKE_MESSAGE_CAP);
    assert_int_equal(ike_sa_copy_wake(w->sa, &writer), ERR_OK);
    return writer.len;
}

/* No path at all: request and response are brought by somebody else. */
static void test_carried(void **state)
{
    struct pair pair;
    struct carrier carrier = {.count = 0};
    uint8_t request[IKE_MESSAGE_CAP];
    open_pair(&pair, 4);
    rest_pair(&pair, NET_SECOND(40000));
    pair.net.is_cut = true;
    pair.net.tamper = catch_carried;
    pair.net.tamper_context = &carrier;
    assert_int_equal(ike_sa_wake(pair.a->sa, pair.net.now_us), ERR_OK);
    net_drive(pair.a);
    net_run(&pair.net, NET_SECOND(60)); /* given up on the path, and not forgotten */
    assert_false(ike_sa_is_waking(pair.a->sa) || pair.a->is_closed);
    const unsigned sent = pair.net.sent_count;
    net_run(&pair.net, NET_SECOND(600));
    assert_int_equal(pair.net.sent_count, sent);
    const size_t len = copy_wake(pair.a, request);
    assert_true(len <= 400);
    assert_int_equal(net_inject(&pair.net, 1, &journey, request, len), ERR_OK);
    assert_int_equal(carrier.count, 1);
    assert_true(endpoint_is_equal(ike_sa_remote(pair.b->sa), &pair.a->node->endpoint));
    /* Lost on its way: the same request brings the same response, and no other child. */
    const struct carrier first = carrier;
    assert_int_equal(ike_sa_wake(pair.a->sa, pair.net.now_us), ERR_OK);
    assert_int_equal(copy_wake(pair.a, request), len);
    assert_int_equal(net_inject(&pair.net, 1, &journey, request, len), ERR_OK);
    assert_int_equal(carrier.count, 2);
    assert_memory_equal(carrier.bytes, first.bytes, first.len);
    assert_int_equal(pair.b->kid_count, 2);
    assert_int_equal(net_inject(&pair.net, 0, &journey, carrier.bytes, carrier.len), ERR_OK);
    check_awake(&pair, 2);
    assert_int_equal(net_inject(&pair.net, 0, &journey, carrier.bytes, carrier.len), ERR_REPLAY);
    /* Nobody has taken the journey for a path. */
    assert_int_equal(carrier.count, 2);
    assert_int_equal(pair.a->move_count + pair.b->move_count, 0);
    pair.net.is_cut = false;
    ike_sa_check_alive(pair.b->sa);
    net_drive(pair.b);
    net_run(&pair.net, NET_SECOND(2));
    check_awake(&pair, 2);
    net_done(&pair.net);
    (void)state;
}

static void test_both_at_once(void **state)
{
    struct pair pair;
    for (uint64_t seed = 0; seed < 60; seed++) {
        open_pair(&pair, seed);
        rest_pair(&pair, NET_SECOND(40000));
        pair.net.loss_percent = seed % 3 == 0 ? 0 : 25;
        pair.net.double_percent = 10;
        pair.net.jitter_us = NET_MS(30);
        assert_int_equal(ike_sa_wake(pair.a->sa, pair.net.now_us), ERR_OK);
        net_drive(pair.a);
        net_run(&pair.net, NET_MS(net_random(&pair.net, 40)));
        if (ike_sa_is_resting(pair.b->sa)) {
            assert_int_equal(ike_sa_wake(pair.b->sa, pair.net.now_us), ERR_OK);
            net_drive(pair.b);
        }
        net_run(&pair.net, NET_SECOND(4));
        pair.net.loss_percent = 0;
        net_run(&pair.net, NET_SECOND(40));
        if (ike_sa_is_resting(pair.a->sa)) { /* all were lost */
            assert_int_equal(ike_sa_wake(pair.a->sa, pair.net.now_us), ERR_OK);
            net_drive(pair.a);
            net_run(&pair.net, NET_SECOND(40));
        }
        check_awake(&pair, pair.a->kid_count);
        net_done(&pair.net);
    }
    (void)state;
}

/* Nothing but the very message wakes it, and that once. */
static void test_attacks(void **state)
{
    struct pair pair;
    struct carrier carrier = {.count = 0};
    uint8_t request[IKE_MESSAGE_CAP], changed[IKE_MESSAGE_CAP];
    const struct endpoint stranger = {address_from_ipv4(0x01020304), 666};
    open_pair(&pair, 5);
    rest_pair(&pair, NET_SECOND(40000));
    pair.net.is_cut = true;
    pair.net.tamper = catch_carried;
    pair.net.tamper_context = &carrier;
    assert_int_equal(ike_sa_wake(pair.a->sa, pair.net.now_us), ERR_OK);
    const size_t len = copy_wake(pair.a, request);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_not_equal(net_inject(&pair.net, 1, &stranger, request, cut), ERR_OK);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        memcpy(changed, request, len);
        changed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(net_inject(&pair.net, 1, &journey, changed, len), ERR_OK);
    }
    assert_true(ike_sa_is_resting(pair.b->sa));
    assert_int_equal(pair.b->kid_count, 1);
    /* One's own request is no answer. */
    assert_int_not_equal(net_inject(&pair.net, 0, &journey, request, len), ERR_OK);
    assert_int_equal(net_inject(&pair.net, 1, &journey, request, len), ERR_OK);
    for (size_t bit = 0; bit < 8 * carrier.len; bit++) {
        memcpy(changed, carrier.bytes, carrier.len);
        changed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(net_inject(&pair.net, 0, &journey, changed, carrier.len), ERR_OK);
    }
    assert_int_equal(net_inject(&pair.net, 0, &journey, carrier.bytes, carrier.len), ERR_OK);
    check_awake(&pair, 2);
    /* In the next rest, and after the next waking, the old one is worth nothing. */
    pair.net.is_cut = false;
    rest_pair(&pair, NET_SECOND(40000));
    carrier.count = 0;
    assert_int_equal(net_inject(&pair.net, 1, &journey, request, len), ERR_REPLAY);
    assert_true(ike_sa_is_resting(pair.b->sa));
    assert_int_equal(ike_sa_wake(pair.a->sa, pair.net.now_us), ERR_OK);
    net_drive(pair.a);
    net_run(&pair.net, NET_SECOND(1));
    assert_int_equal(net_inject(&pair.net, 1, &journey, request, len), ERR_REPLAY);
    assert_int_equal(carrier.count, 0);
    check_awake(&pair, 3);
    net_done(&pair.net);
    (void)state;
}

/* From another endpoint than before: woken there, and the path moves by a challenge as ever. */
static void test_elsewhere(void **state)
{
    struct pair pair;
    open_pair(&pair, 6);
    rest_pair(&pair, NET_SECOND(40000));
    const struct endpoint before = pair.a->node->endpoint;
    pair.a->node->endpoint = (struct endpoint){address_from_ipv4(0xcb007109u), 999};
    assert_int_equal(ike_sa_wake(pair.a->sa, pair.net.now_us), ERR_OK);
    net_drive(pair.a);
    net_run(&pair.net, NET_MS(40));
    check_awake(&pair, 2);
    assert_true(endpoint_is_equal(ike_sa_remote(pair.b->sa), &before));
    net_run(&pair.net, NET_SECOND(1));
    assert_int_equal(pair.b->move_count, 1);
    assert_true(endpoint_is_equal(ike_sa_remote(pair.b->sa), &pair.a->node->endpoint));
    net_done(&pair.net);
    (void)state;
}

/* An SA in use has one child, whatever it is asked for; and the peer is heard while it rests. */
static void test_wrong_state(void **state)
{
    struct pair pair;
    struct carrier carrier = {.count = 0};
    uint8_t request[IKE_MESSAGE_CAP];
    open_pair(&pair, 8);
    assert_int_equal(ike_sa_wake(pair.a->sa, pair.net.now_us), ERR_STATE);
    struct writer writer;
    writer_init(&writer, request, sizeof(request));
    assert_int_equal(ike_sa_copy_wake(pair.a->sa, &writer), ERR_NOT_FOUND);
    /* Only a rests: its child goes, and b has to agree. */
    assert_int_equal(ike_sa_rest(pair.a->sa, true, DEADLINE_NEVER, pair.net.now_us), ERR_OK);
    net_drive(pair.a);
    net_run(&pair.net, NET_SECOND(20));
    assert_int_equal(watch_open_count(pair.b), 0);
    pair.net.tamper = catch_carried;
    pair.net.tamper_context = &carrier;
    assert_int_equal(ike_sa_wake(pair.a->sa, pair.net.now_us), ERR_OK);
    net_drive(pair.a);
    net_run(&pair.net, NET_SECOND(2));
    assert_int_equal(watch_open_count(pair.b), 0);
    assert_true(pair.a->is_closed && pair.b->is_closed);
    net_done(&pair.net);
    open_pair(&pair, 9);
    rest_pair(&pair, NET_SECOND(40000));
    ike_sa_close(pair.b->sa, pair.net.now_us);
    net_drive(pair.b);
    net_run(&pair.net, NET_SECOND(2));
    assert_true(pair.a->is_closed && pair.b->is_closed);
    net_done(&pair.net);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_round_trip), cmocka_unit_test(test_ends_silently),
        cmocka_unit_test(test_carried),        cmocka_unit_test(test_both_at_once),
        cmocka_unit_test(test_attacks),        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_wrong_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
