/* Two plain peers, with ESP, that begin exchanges at the same time: every two of them, in every
 * order of arrival, with each message lost once (RFC 7296, 2.8.1, 2.8.2, 2.25). Data flows
 * meanwhile: there is always a child to send with, and one that opens what was sent. */
#include "ike/state.h"
#include "pair.h"
#include <string.h>

#define DELAY_MS 20

static void open_pair(struct pair *p, uint64_t seed, bool has_pfs)
{
    pair_make(p, seed, pair_names, ESP_AES128_GCM);
    pair_want_esp(p, CHILD_TUNNEL);
    pair_set_inner(p);
    p->net.delay_us = NET_MS(DELAY_MS);
    for (size_t i = 0; i < 2; i++) {
        struct ike_config *c = &p->net.nodes[i].config;
        c->is_pfs_optional = true;
        c->rekey_child_us = c->rekey_ike_us = 0;
        c->request_timeout_us = NET_SECOND(60);
        c->rekey_retry_us = NET_SECOND(2);
        net_open(&p->net, i, NULL);
    }
    p->a = net_connect(&p->net, 0, 1);
    net_run(&p->net, NET_SECOND(1));
    p->b = net_newest(&p->net, 1);
    assert_true(p->a->is_established && p->b->is_established);
    p->a->sa->lacks_pfs = p->b->sa->lacks_pfs = !has_pfs;
    net_start_data(&p->net, p->a, p->b, NET_MS(5));
}

static size_t generations(const struct watch *w)
{
    size_t count = 0;
    for (const struct ike_generation *g = w->sa->generations; g != NULL; g = g->next)
        count += g->state != IKE_GENERATION_DEAD;
    return count;
}

/* Both agree on one IKE SA and on one child, and nothing is left over. */
static void check_settled(const struct pair *p)
{
    uint64_t ai, ar, bi, br;

    assert_false(p->a->is_closed || p->b->is_closed);
    ike_sa_spis(p->a->sa, &ai, &ar);
    ike_sa_spis(p->b->sa, &bi, &br);
    assert_true(ai == bi && ar == br);
    assert_int_equal(generations(p->a), 1);
    assert_int_equal(generations(p->b), 1);
    assert_int_equal(watch_open_count(p->a), 1);
    assert_int_equal(watch_open_count(p->b), 1);
    const struct kid *ka = watch_sending(p->a), *kb = watch_sending(p->b);
    assert_int_equal(ka->ready.spi_in, kb->ready.spi_out);
    assert_int_equal(ka->ready.spi_out, kb->ready.spi_in);
    assert_memory_equal(ka->ready.key_in, kb->ready.key_out, ka->ready.key_len);
    assert_memory_equal(ka->ready.key_out, kb->ready.key_in, ka->ready.key_len);
    assert_int_equal(ike_sa_child(p->a->sa), ka->ready.child);
    assert_int_equal(ike_sa_child(p->b->sa), kb->ready.child);
}

/* ---- every two ---- */

enum act { REKEY_CHILD, REKEY_IKE, REKEY_BOTH, CLOSE_CHILD, CLOSE_IKE, ACTS };

static void act(struct pair *p, struct watch *w, enum act what)
{
    if (w->sa == NULL)
        return; /* the other side was faster */
    if (what == REKEY_CHILD || what == REKEY_BOTH)
        (void)!ike_sa_rekey_child(w->sa);
    if (what == REKEY_IKE || what == REKEY_BOTH)
        (void)!ike_sa_rekey(w->sa);
    if (what == CLOSE_CHILD)
        (void)!ike_sa_close_child(w->sa);
    if (what == CLOSE_IKE)
        ike_sa_close(w->sa, p->net.now_us);
    net_drive(w);
}

/* Loses the message with this number, counted from when it is set. */
static unsigned to_lose;

static bool lose_one(struct net *net, struct packet_sim *packet)
{
    (void)net;
    return packet->is_data || to_lose == 0 || --to_lose > 0;
}

static void check_end(struct pair *p, enum act a, enum act b)
{
    if (a == CLOSE_IKE || b == CLOSE_IKE) {
        assert_true(p->a->is_closed && p->b->is_closed);
        return;
    }
    assert_false(p->a->is_closed || p->b->is_closed);
    if (a == CLOSE_CHILD || b == CLOSE_CHILD) {
        /* What was closed may have been replaced by then: by both sides' word, or by neither's. */
        assert_int_equal(watch_open_count(p->a), watch_open_count(p->b));
        assert_int_equal(generations(p->a), 1);
        assert_int_equal(generations(p->b), 1);
        return;
    }
    assert_int_equal(p->net.data_refused, 0);
    assert_true(p->net.data_opened > 0);
    check_settled(p);
}

static void run_two(enum act a, enum act b, unsigned offset_ms, unsigned lost, bool has_pfs)
{
    struct pair p;
    const bool is_closing = a >= CLOSE_CHILD || b >= CLOSE_CHILD;

    open_pair(&p, offset_ms + lost, has_pfs);
    if (is_closing)
        p.net.data_due_us = DEADLINE_NEVER;
    p.net.tamper = lose_one;
    to_lose = lost;
    act(&p, p.a, a);
    net_run(&p.net, NET_MS(offset_ms));
    act(&p, p.b, b);
    net_run(&p.net, NET_SECOND(3));
    if (!is_closing)
        p.net.data_every_us = NET_SECOND(1);
    net_run(&p.net, NET_SECOND(130));
    check_end(&p, a, b);
    net_done(&p.net);
}

static void test_every_two(void **state)
{
    for (enum act a = 0; a < ACTS; a++)
        for (enum act b = 0; b < ACTS; b++)
            for (unsigned offset_ms = 0; offset_ms <= 3 * DELAY_MS; offset_ms += DELAY_MS / 2)
                for (unsigned lost = 0; lost <= 4; lost++)
                    run_two(a, b, offset_ms, lost, (offset_ms + lost) % 2 == 0);
    (void)state;
}

/* ---- who wins ---- */

static int compare(const struct ike_rekey *own)
{
    return memcmp(own->nonce, own->rival_nonce, IKE_NONCE_LEN);
}

/* RFC 7296, 2.8.1: of two rekeys of one child, the one with the lowest of the four nonces goes, and
 * whoever began it deletes it. */
static void test_lowest_nonce_loses(void **state)
{
    unsigned won[2] = {0, 0};

    for (uint64_t seed = 0; seed < 12; seed++) {
        struct pair p;
        open_pair(&p, seed, true);
        act(&p, p.a, REKEY_CHILD);
        act(&p, p.b, REKEY_CHILD);
        const uint32_t of_a = p.a->sa->current->request.rekey->spi_in;
        const uint32_t of_b = p.b->sa->current->request.rekey->spi_in;
        net_run(&p.net, NET_MS(DELAY_MS + 1)); /* both requests have arrived, no answer has */
        const struct ike_rekey *a = p.a->sa->current->request.rekey;
        const struct ike_rekey *b = p.b->sa->current->request.rekey;
        assert_true(a->has_rival && b->has_rival);
        /* What each has noted is the lower nonce of the other one's exchange. */
        const bool a_loses = memcmp(b->rival_nonce, a->rival_nonce, IKE_NONCE_LEN) < 0;
        assert_true(compare(a) != 0);
        net_run(&p.net, NET_SECOND(20));
        check_settled(&p);
        assert_int_equal(p.a->kid_count, 3);
        assert_int_equal(p.b->kid_count, 3);
        assert_int_equal(watch_sending(p.a)->ready.spi_in == of_a, !a_loses);
        assert_int_equal(watch_sending(p.b)->ready.spi_in == of_b, a_loses);
        for (size_t i = 0; i < 3; i++) {
            assert_true(!p.a->kids[i].is_closed || p.a->kids[i].reason == IKE_REASON_REPLACED);
            assert_true(!p.b->kids[i].is_closed || p.b->kids[i].reason == IKE_REASON_REPLACED);
        }
        assert_int_equal(p.net.data_refused, 0);
        won[a_loses]++;
        net_done(&p.net);
    }
    assert_true(won[0] > 0 && won[1] > 0);
    (void)state;
}

/* RFC 7296, 2.8.2: likewise of two rekeys of the IKE SA, whose children go to the one that stays.
 */
static void test_lowest_nonce_of_ike_loses(void **state)
{
    unsigned won[2] = {0, 0};

    for (uint64_t seed = 0; seed < 12; seed++) {
        struct pair p;
        uint64_t i, r;
        open_pair(&p, seed, true);
        act(&p, p.a, REKEY_IKE);
        act(&p, p.b, REKEY_IKE);
        const uint64_t of_a = p.a->sa->current->request.rekey->spi;
        const uint64_t of_b = p.b->sa->current->request.rekey->spi;
        net_run(&p.net, NET_MS(DELAY_MS + 1));
        const struct ike_rekey *a = p.a->sa->current->request.rekey;
        const struct ike_rekey *b = p.b->sa->current->request.rekey;
        assert_true(a->has_rival && b->has_rival);
        const bool a_loses = memcmp(b->rival_nonce, a->rival_nonce, IKE_NONCE_LEN) < 0;
        net_run(&p.net, NET_SECOND(20));
        check_settled(&p);
        ike_sa_spis(p.a->sa, &i, &r);
        assert_true(i == (a_loses ? of_b : of_a)); /* who began it is its initiator */
        assert_int_equal(p.a->kid_count, 1);
        act(&p, a_loses ? p.a : p.b, REKEY_CHILD); /* and it carries exchanges */
        net_run(&p.net, NET_SECOND(20));
        check_settled(&p);
        assert_int_equal(p.a->kid_count, 2);
        won[a_loses]++;
        net_done(&p.net);
    }
    assert_true(won[0] > 0 && won[1] > 0);
    (void)state;
}

/* ---- what is refused for now ---- */

/* RFC 7296, 2.25.1: a child that is being closed is not rekeyed, and nothing comes of it. */
static void test_rekey_of_what_is_being_closed(void **state)
{
    struct pair p;
    open_pair(&p, 1, true);
    p.net.data_due_us = DEADLINE_NEVER;
    act(&p, p.a, CLOSE_CHILD);
    act(&p, p.b, REKEY_CHILD);
    net_run(&p.net, NET_SECOND(20));
    assert_int_equal(p.a->kid_count, 1);
    assert_int_equal(p.b->kid_count, 1);
    assert_int_equal(p.b->kids[0].reason, IKE_REASON_CLOSED_BY_PEER);
    assert_int_equal(watch_open_count(p.a) + watch_open_count(p.b), 0);
    net_done(&p.net);
    (void)state;
}

/* RFC 7296, 2.25.1: CHILD_SA_NOT_FOUND ends what the peer has no more. */
static void test_rekey_of_what_is_gone(void **state)
{
    struct pair p;
    open_pair(&p, 1, true);
    p.net.data_due_us = DEADLINE_NEVER;
    p.a->sa->children->spi_out ^= 1; /* it knows another one */
    act(&p, p.b, REKEY_CHILD);
    net_run(&p.net, NET_SECOND(20));
    assert_int_equal(p.b->kids[0].reason, IKE_REASON_CLOSED_BY_PEER);
    assert_int_equal(watch_open_count(p.b), 0);
    assert_false(p.b->is_closed);
    net_done(&p.net);
    (void)state;
}

/* RFC 7296, 2.25.2: of a rekey of the IKE SA and one of its child, both are refused for now, and
 * both are done a little later. */
static void test_refused_for_now(void **state)
{
    for (unsigned offset_ms = 0; offset_ms < DELAY_MS; offset_ms += 5) {
        struct pair p;
        uint64_t before_i, before_r, i, r;
        open_pair(&p, offset_ms, true);
        ike_sa_spis(p.a->sa, &before_i, &before_r);
        act(&p, p.a, REKEY_IKE);
        net_run(&p.net, NET_MS(offset_ms));
        act(&p, p.b, REKEY_CHILD);
        net_run(&p.net, NET_MS(3 * DELAY_MS));
        assert_int_equal(p.a->kid_count, 1);
        ike_sa_spis(p.a->sa, &i, &r);
        assert_true(i == before_i);
        net_run(&p.net, NET_SECOND(30));
        assert_int_equal(p.a->kid_count, 2);
        ike_sa_spis(p.a->sa, &i, &r);
        assert_true(i != before_i);
        check_settled(&p);
        assert_int_equal(p.net.data_refused, 0);
        net_done(&p.net);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_two),
        cmocka_unit_test(test_lowest_nonce_loses),
        cmocka_unit_test(test_lowest_nonce_of_ike_loses),
        cmocka_unit_test(test_rekey_of_what_is_being_closed),
        cmocka_unit_test(test_rekey_of_what_is_gone),
        cmocka_unit_test(test_refused_for_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
