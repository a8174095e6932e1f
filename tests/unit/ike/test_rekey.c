/* Rekeying children and IKE SAs, from either side, from both at once, over good and bad networks,
 * while data flows: whatever is sent must find a child that opens it, and both sides must end up
 * with the same single child and generation. */
#include "ike/state.h"
#include "net.h"
#include <string.h>

struct pair {
    struct net net;
    struct watch *a, *b;
};

static void open_pair(struct pair *pair, uint64_t seed, bool is_reliable)
{
    net_init(&pair->net, seed);
    for (size_t i = 0; i < 2; i++) {
        struct ike_config *config = &pair->net.nodes[i].config;
        net_want_child(&pair->net, i, SPUT_AES128_GCM);
        config->is_reliable = is_reliable;
        config->rekey_child_us = config->rekey_ike_us = 0;
        config->request_timeout_us = NET_SECOND(60);
        net_open(&pair->net, i, NULL);
    }
    pair->a = net_connect(&pair->net, 0, 1);
    net_run(&pair->net, NET_SECOND(1));
    pair->b = net_newest(&pair->net, 1);
    assert_true(pair->a->is_established && pair->b->is_established);
    net_start_data(&pair->net, pair->a, pair->b, NET_MS(3));
}

static size_t generations(const struct watch *w)
{
    size_t count = 0;
    for (const struct ike_generation *g = w->sa->generations; g != NULL; g = g->next)
        count += g->state != IKE_GENERATION_DEAD;
    return count;
}

/* Both agree on everything, and nothing is left over. */
static void check_settled(struct pair *pair)
{
    struct watch *a = pair->a, *b = pair->b;
    uint64_t ai, ar, bi, br;

    assert_false(a->is_closed || b->is_closed);
    assert_int_equal(ike_sa_state(a->sa), IKE_STATE_ESTABLISHED);
    assert_int_equal(ike_sa_state(b->sa), IKE_STATE_ESTABLISHED);
    ike_sa_spis(a->sa, &ai, &ar);
    ike_sa_spis(b->sa, &bi, &br);
    assert_true(ai == bi && ar == br);
    assert_int_equal(generations(a), 1);
    assert_int_equal(generations(b), 1);
    assert_int_equal(watch_open_count(a), 1);
    assert_int_equal(watch_open_count(b), 1);
    const struct kid *ka = watch_sending(a), *kb = watch_sending(b);
    assert_non_null(ka);
    assert_non_null(kb);
    assert_int_equal(ka->ready.spi_in, kb->ready.spi_out);
    assert_int_equal(ka->ready.spi_out, kb->ready.spi_in);
    assert_memory_equal(ka->ready.key_in, kb->ready.key_out, ka->ready.key_len);
    assert_memory_equal(ka->ready.key_out, kb->ready.key_in, ka->ready.key_len);
    assert_int_equal(ike_sa_child(a->sa), ka->ready.child);
    assert_int_equal(ike_sa_child(b->sa), kb->ready.child);
    assert_int_equal(pair->net.data_refused, 0);
    assert_true(pair->net.data_opened > 0);
}

static void close_pair(struct pair *pair)
{
    pair->net.data_due_us = DEADLINE_NEVER;
    pair->net.loss_percent = 0;
    ike_sa_close(pair->a->sa, pair->net.now_us);
    net_drive(pair->a);
    net_run(&pair->net, NET_SECOND(3));
    assert_true(pair->a->is_closed && pair->b->is_closed);
    assert_int_equal(pair->a->closed.reason, IKE_REASON_CLOSED_HERE);
    assert_int_equal(pair->b->closed.reason, IKE_REASON_CLOSED_BY_PEER);
    net_done(&pair->net);
}

static void rekey_child(struct watch *w)
{
    assert_int_equal(ike_sa_rekey_child(w->sa), ERR_OK);
    net_drive(w);
}

static void rekey_ike(struct watch *w)
{
    assert_int_equal(ike_sa_rekey(w->sa), ERR_OK);
    net_drive(w);
}

static void test_child_from_each_side(void **state)
{
    struct pair pair;
    for (int i = 0; i < 4; i++) {
        open_pair(&pair, 1, i / 2);
        struct watch *asker = i % 2 ? pair.a : pair.b, *other = i % 2 ? pair.b : pair.a;
        struct kid before = *watch_sending(asker);
        rekey_child(asker);
        net_run(&pair.net, NET_MS(90)); /* there and back twice */
        assert_int_equal(asker->kid_count, 2);
        assert_int_equal(other->kid_count, 2);
        assert_true(asker->kids[1].ready.is_outbound);
        assert_false(other->kids[1].ready.is_outbound);
        assert_true(other->kids[1].is_outbound);
        assert_int_equal(asker->kids[1].ready.rekey_of, before.ready.child);
        assert_memory_not_equal(asker->kids[1].ready.key_in, before.ready.key_in, 24);
        assert_false(asker->kids[0].is_closed); /* lingers for packets still on the way */
        assert_false(other->kids[0].is_closed);
        net_run(&pair.net, NET_SECOND(6));
        assert_true(asker->kids[0].is_closed && other->kids[0].is_closed);
        assert_int_equal(asker->kids[0].reason, IKE_REASON_REPLACED);
        assert_int_equal(other->kids[0].reason, IKE_REASON_REPLACED);
        check_settled(&pair);
        close_pair(&pair);
    }
    (void)state;
}

static void test_ike_from_each_side(void **state)
{
    struct pair pair;
    for (int i = 0; i < 4; i++) {
        uint64_t before_i, before_r, after_i, after_r;
        open_pair(&pair, 2, i / 2);
        struct watch *asker = i % 2 ? pair.a : pair.b, *other = i % 2 ? pair.b : pair.a;
        struct ike_sa *pointer = other->sa;
        ike_sa_spis(asker->sa, &before_i, &before_r);
        rekey_ike(asker);
        assert_int_equal(ike_sa_send_notify(asker->sa, 56800, "x", 1), ERR_OK);
        assert_int_equal(ike_sa_send_notify(other->sa, 56801, "yz", 2), ERR_OK);
        net_drive(asker);
        net_drive(other);
        net_run(&pair.net, NET_SECOND(30));
        ike_sa_spis(asker->sa, &after_i, &after_r);
        assert_true(after_i != before_i && after_r != before_r);
        assert_ptr_equal(pointer, other->sa);
        assert_int_equal(other->notify_type, 56800);
        assert_int_equal(asker->notify_type, 56801);
        assert_int_equal(asker->notify_len, 2);
        check_settled(&pair);
        /* the new one can be rekeyed in turn, and carries a child's rekey */
        rekey_ike(other);
        net_run(&pair.net, NET_SECOND(5));
        rekey_child(asker);
        net_run(&pair.net, NET_SECOND(30));
        assert_int_equal(asker->kid_count, 2);
        check_settled(&pair);
        close_pair(&pair);
    }
    (void)state;
}

/* Both at once; which wins is up to the nonces, so every order of arrival is tried many times. */
static void test_collisions(void **state)
{
    struct pair pair;
    unsigned loss[] = {0, 0, 20};
    for (uint64_t seed = 0; seed < 240; seed++) {
        open_pair(&pair, seed, seed % 5 == 0);
        if (seed % 5 != 0) {
            pair.net.loss_percent = loss[seed % 3];
            pair.net.double_percent = seed % 3 * 10;
            pair.net.jitter_us = NET_MS(1 + seed % 40);
        }
        bool is_ike_a = seed & 1, is_ike_b = seed & 2;
        (is_ike_a ? rekey_ike : rekey_child)(pair.a);
        net_run(&pair.net, NET_MS(seed % 7 * 10));
        (is_ike_b ? rekey_ike : rekey_child)(pair.b);
        net_run(&pair.net, NET_SECOND(10));
        pair.net.data_every_us = NET_MS(500);
        net_run(&pair.net, NET_SECOND(140));
        check_settled(&pair);
        close_pair(&pair);
    }
    (void)state;
}

/* All at once and over again, by the clock, with notifies in between. */
static void test_long_run(void **state)
{
    struct pair pair;
    for (uint64_t seed = 0; seed < 6; seed++) {
        unsigned sent[2] = {0, 0};
        net_init(&pair.net, seed);
        for (size_t i = 0; i < 2; i++) {
            struct ike_config *config = &pair.net.nodes[i].config;
            net_want_child(&pair.net, i, SPUT_PAPER);
            config->is_reliable = seed == 0;
            config->rekey_child_us = NET_SECOND(40);
            config->rekey_ike_us = NET_SECOND(70);
            config->request_timeout_us = NET_SECOND(100);
            config->hard_percent = 300;
            config->linger_us = NET_SECOND(2);
            config->dpd_interval_us = NET_SECOND(7);
            net_open(&pair.net, i, NULL);
        }
        pair.a = net_connect(&pair.net, 0, 1);
        net_run(&pair.net, NET_SECOND(2));
        pair.b = net_newest(&pair.net, 1);
        net_start_data(&pair.net, pair.a, pair.b, NET_MS(10));
        if (seed > 0) {
            pair.net.loss_percent = 15;
            pair.net.double_percent = 15;
            pair.net.jitter_us = NET_MS(50);
        }
        for (int i = 0; i < 600; i++) {
            struct watch *w = i % 3 ? pair.a : pair.b;
            if (ike_sa_send_notify(w->sa, 56802, &i, sizeof(i)) == ERR_OK)
                sent[w == pair.b]++;
            net_drive(w);
            net_run(&pair.net, NET_SECOND(1));
            assert_false(pair.a->is_closed || pair.b->is_closed);
        }
        pair.net.loss_percent = 0;
        net_run(&pair.net, NET_SECOND(20));
        assert_true(pair.a->kid_count > 10);
        assert_int_equal(sent[0] + sent[1], 600);
        assert_true(pair.b->notify_count >= sent[0]);
        assert_true(pair.a->notify_count >= sent[1]);
        assert_true(pair.b->notify_count <= sent[0] + 5);
        assert_true(pair.a->notify_count <= sent[1] + 5);
        assert_int_equal(pair.net.data_refused, 0);
        close_pair(&pair);
    }
    (void)state;
}

/* Far more of what has been replaced than there is room for: lifetimes much shorter than what
 * lingers. */
static void test_more_than_linger(void **state)
{
    struct pair pair;
    for (uint64_t seed = 0; seed < 4; seed++) {
        net_init(&pair.net, seed);
        for (size_t i = 0; i < 2; i++) {
            struct ike_config *config = &pair.net.nodes[i].config;
            net_want_child(&pair.net, i, SPUT_AES128_GCM);
            config->rekey_child_us = NET_SECOND(1);
            config->rekey_ike_us = NET_SECOND(1);
            net_open(&pair.net, i, NULL);
        }
        pair.a = net_connect(&pair.net, 0, 1);
        net_run(&pair.net, NET_SECOND(1) / 2);
        pair.b = net_newest(&pair.net, 1);
        net_start_data(&pair.net, pair.a, pair.b, NET_MS(10));
        pair.net.jitter_us = NET_MS(30);
        for (int i = 0; i < 20; i++) {
            net_run(&pair.net, NET_SECOND(1));
            assert_false(pair.a->is_closed || pair.b->is_closed);
        }
        assert_true(pair.a->kid_count > 10);
        assert_int_equal(pair.net.data_refused, 0);
        close_pair(&pair);
    }
    (void)state;
}

static void test_expired(void **state)
{
    struct pair pair;
    /* a child, then the IKE SA, that its rekey never came for */
    open_pair(&pair, 3, false);
    pair.net.data_due_us = DEADLINE_NEVER;
    pair.a->sa->children->hard_us = pair.net.now_us + NET_SECOND(1);
    net_drive(pair.a);
    net_run(&pair.net, NET_SECOND(2));
    assert_true(pair.a->kids[0].is_closed && pair.b->kids[0].is_closed);
    assert_int_equal(pair.a->kids[0].reason, IKE_REASON_EXPIRED);
    assert_int_equal(pair.b->kids[0].reason, IKE_REASON_CLOSED_BY_PEER);
    assert_int_equal(ike_sa_child(pair.a->sa), 0);
    assert_int_equal(ike_sa_rekey_child(pair.a->sa), ERR_STATE);
    pair.b->sa->hard_us = pair.net.now_us + NET_SECOND(1);
    net_drive(pair.b);
    net_run(&pair.net, NET_SECOND(2));
    assert_true(pair.a->is_closed && pair.b->is_closed);
    assert_int_equal(pair.b->closed.reason, IKE_REASON_EXPIRED);
    assert_int_equal(pair.a->closed.reason, IKE_REASON_CLOSED_BY_PEER);
    net_done(&pair.net);
    (void)state;
}

static void test_close_child(void **state)
{
    struct pair pair;
    /* alone; from both sides at once; while its rekey is under way */
    for (int i = 0; i < 6; i++) {
        open_pair(&pair, 4, i % 2);
        pair.net.data_due_us = DEADLINE_NEVER;
        if (i / 2 == 2)
            rekey_child(pair.a);
        assert_int_equal(ike_sa_close_child(pair.a->sa), ERR_OK);
        if (i / 2 == 1)
            assert_int_equal(ike_sa_close_child(pair.b->sa), ERR_OK);
        net_drive(pair.a);
        net_drive(pair.b);
        net_run(&pair.net, NET_SECOND(8));
        assert_int_equal(watch_open_count(pair.a), 0);
        assert_int_equal(watch_open_count(pair.b), 0);
        assert_int_equal(ike_sa_child(pair.b->sa), 0);
        assert_int_equal(pair.a->kids[pair.a->kid_count - 1].reason, IKE_REASON_CLOSED_HERE);
        assert_false(pair.a->is_closed || pair.b->is_closed);
        close_pair(&pair);
    }
    (void)state;
}

static void test_rekey_meets_delete(void **state)
{
    struct pair pair;
    for (uint64_t seed = 0; seed < 40; seed++) {
        open_pair(&pair, seed, false);
        pair.net.data_due_us = DEADLINE_NEVER;
        pair.net.jitter_us = NET_MS(30);
        pair.net.loss_percent = seed % 2 * 20;
        if (seed % 4 < 2) {
            rekey_child(pair.a);
            assert_int_equal(ike_sa_close_child(pair.b->sa), ERR_OK);
            net_drive(pair.b);
            net_run(&pair.net, NET_SECOND(200));
            assert_int_equal(watch_open_count(pair.a), watch_open_count(pair.b));
            close_pair(&pair);
        } else {
            rekey_ike(pair.a);
            net_run(&pair.net, NET_MS(seed));
            ike_sa_close(pair.b->sa, pair.net.now_us);
            net_drive(pair.b);
            net_run(&pair.net, NET_SECOND(200));
            assert_true(pair.b->is_closed);
            if (seed % 2 == 0)
                assert_true(pair.a->is_closed);
            net_done(&pair.net);
        }
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_from_each_side), cmocka_unit_test(test_ike_from_each_side),
        cmocka_unit_test(test_collisions),           cmocka_unit_test(test_long_run),
        cmocka_unit_test(test_more_than_linger),     cmocka_unit_test(test_expired),
        cmocka_unit_test(test_close_child),          cmocka_unit_test(test_rekey_meets_delete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
