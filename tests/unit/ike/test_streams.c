/* Plain peers over TCP (RFC 9329): what an endpoint that is a stream changes. Retransmission stays;
 * whoever owns the connections drops what they have carried already. */
#include "ike/nat.h"
#include "ike/state.h"
#include "pair.h"
#include <string.h>

#define LONG "a-long-name-that-fills-messages.in-this-department.of-our-company."

static void pair_init(struct pair *p, bool is_stream)
{
    static const char *const names[2] = {LONG "a.example.net", LONG "b.example.net"};

    pair_make(p, 1, names, ESP_AES256_GCM);
    pair_want_esp(p, CHILD_TUNNEL);
    pair_set_inner(p);
    for (size_t i = 0; i < 2; i++) {
        if (is_stream)
            p->net.nodes[i].endpoint.socket = ENDPOINT_SOCKET_STREAM;
        p->net.nodes[i].config.local = p->net.nodes[i].endpoint;
    }
}

static void pair_connect(struct pair *p, const struct ike_table_limits *limits)
{
    net_open(&p->net, 0, NULL);
    net_open(&p->net, 1, limits);
    p->a = net_connect(&p->net, 0, 1);
    net_run(&p->net, NET_SECOND(1));
    p->b = net_newest(&p->net, 1);
}

/* RFC 9329, 6.3: who speaks over TCP is where it says. */
static void test_cookies(void **state)
{
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        struct ike_table_limits limits;
        struct pair p;
        ike_table_limits_init(&limits);
        limits.cookie_threshold = 0;
        pair_init(&p, is_stream);
        pair_connect(&p, &limits);
        assert_true(p.a->is_established && p.b->is_established);
        assert_int_equal(p.net.sent_count,
                         is_stream ? 4 : 5); /* the cookie itself is not counted */
        net_done(&p.net);
    }
    (void)state;
}

/* RFC 9329, 6.7: a stream divides by itself. */
static void test_fragments(void **state)
{
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        struct pair p;
        pair_init(&p, is_stream);
        p.net.nodes[0].config.fragment_len = IKE_FRAGMENT_LEN_MIN;
        p.net.nodes[1].config.fragment_len = IKE_FRAGMENT_LEN_MIN;
        pair_connect(&p, NULL);
        assert_true(p.a->is_established && p.b->is_established);
        assert_int_equal(p.net.sent_count > 4, !is_stream);
        net_done(&p.net);
    }
    (void)state;
}

/* RFC 9329, 6.5: NATs are detected, for the checksums of transport mode, and change no port. */
static void test_nat(void **state)
{
    struct pair p;
    pair_init(&p, true);
    p.net.nodes[1].endpoint.port = IKE_PORT;
    p.net.nodes[1].config.local = p.net.nodes[1].endpoint;
    p.net.nodes[0].config.nat_port = 4500;
    p.net.nodes[0].config.forces_encapsulation = true;
    pair_connect(&p, NULL);
    assert_true(p.a->is_established && p.b->is_established);
    assert_false(ike_sa_is_floated(p.a->sa));
    assert_int_equal(ike_sa_remote(p.a->sa)->port, IKE_PORT);
    assert_true(ike_sa_is_nat_there(p.b->sa));
    net_done(&p.net);
    (void)state;
}

/* RFC 9329, 6.1: the next connection has another port, with MOBIKE or without, and it is the same
 * SA that goes on there, once it has been asked for there. */
static void test_another_connection(void **state)
{
    for (int is_mobile = 0; is_mobile < 2; is_mobile++) {
        struct pair p;
        pair_init(&p, true);
        pair_connect(&p, NULL);
        if (!is_mobile)
            p.a->sa->is_mobile = p.b->sa->is_mobile = false;
        assert_false(ike_sa_is_nat_there(p.b->sa));
        p.net.nodes[0].endpoint.port = 6000;
        ike_sa_announce_move(p.a->sa, p.net.now_us);
        net_drive(p.a);
        net_run(&p.net, NET_SECOND(1));
        assert_int_equal(p.b->move_count, 1);
        assert_true(endpoint_is_equal(&p.b->path, &p.net.nodes[0].endpoint));
        assert_int_equal(p.a->move_count, 0);
        assert_false(p.a->is_closed || p.b->is_closed);
        net_done(&p.net);
    }
    (void)state;
}

/* A peer that is configured for UDP alone is not recognized over TCP, whatever it proves. */
static void test_not_over_tcp(void **state)
{
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        struct pair p;
        pair_init(&p, is_stream);
        p.entries[1].lacks_streams = true;
        pair_connect(&p, NULL);
        net_run(&p.net, NET_SECOND(5));
        assert_int_equal(p.a->is_established, !is_stream);
        if (is_stream)
            assert_int_equal(p.a->closed.reason, IKE_REASON_REFUSED_BY_PEER);
        net_done(&p.net);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cookies),      cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_nat),          cmocka_unit_test(test_another_connection),
        cmocka_unit_test(test_not_over_tcp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
