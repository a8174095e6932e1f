/* What plain peers need besides credentials: encapsulation that is forced, the port for NATs, NATs
 * that change their minds without MOBIKE, children without a key exchange, and EAP refused. */
#include "ike/exchange.h"
#include "ike/nat.h"
#include "pair.h"
#include <string.h>

static void pair_init(struct pair *p, uint64_t seed)
{
    pair_make(p, seed, pair_names, SPUT_AES256_GCM);
}

static void pair_connect(struct pair *p)
{
    net_open(&p->net, 0, NULL);
    net_open(&p->net, 1, NULL);
    p->a = net_connect(&p->net, 0, 1);
    net_run(&p->net, NET_SECOND(1));
    p->b = net_newest(&p->net, 1);
    assert_true(p->a->is_established && p->b->is_established);
}

/* The responder listens on both ports. */
static unsigned to_nat_port;

static bool two_ports(struct net *net, struct packet_sim *p)
{
    if (endpoint_is_equal(&p->source, &net->nodes[0].endpoint) && p->destination.port == 4500) {
        to_nat_port++;
        p->destination.port = IKE_PORT;
    }
    return true;
}

static void test_floating(void **state)
{
    static const struct {
        bool is_forced, has_nat;
        uint16_t nat_port;
        bool floats;
    } cases[] = {{false, false, 4500, false},
                 {true, false, 4500, true},
                 {false, true, 4500, true},
                 {true, true, 0, false}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair p;
        pair_init(&p, i);
        struct ike_config *c = &p.net.nodes[0].config;
        c->nat_port = cases[i].nat_port;
        c->forces_encapsulation = cases[i].is_forced;
        p.net.nodes[1].endpoint.port = IKE_PORT;
        p.net.nodes[1].config.local = p.net.nodes[1].endpoint;
        if (cases[i].has_nat)
            c->local.address = address_from_ipv4(0x0a0a0a0a);
        p.net.tamper = two_ports;
        to_nat_port = 0;
        pair_connect(&p);
        assert_int_equal(ike_sa_is_floated(p.a->sa), cases[i].floats);
        assert_int_equal(ike_sa_remote(p.a->sa)->port, cases[i].floats ? 4500 : IKE_PORT);
        assert_int_equal(to_nat_port > 0, cases[i].floats);
        /* forced, it looks like a NAT to the peer; and never to us */
        assert_int_equal(ike_sa_is_nat_there(p.b->sa), cases[i].is_forced || cases[i].has_nat);
        assert_false(ike_sa_is_nat_there(p.a->sa));
        assert_false(ike_sa_is_floated(p.b->sa));
        net_done(&p.net);
    }
    (void)state;
}

/* A NAT between them forgets its mapping, and there is no MOBIKE to tell. */
static void without_mobike(struct pair *p)
{
    pair_connect(p);
    p->a->sa->is_mobile = p->b->sa->is_mobile = false;
    p->b->sa->is_nat_there = true;
}

static void test_nat_forgets(void **state)
{
    for (int has_nat = 0; has_nat < 2; has_nat++) {
        struct pair p;
        pair_init(&p, 1);
        without_mobike(&p);
        p.b->sa->is_nat_there = has_nat;
        p.net.nodes[0].endpoint.port = 6000;
        ike_sa_check_alive(p.a->sa);
        net_drive(p.a);
        net_run(&p.net, NET_SECOND(1));
        assert_int_equal(p.b->move_count, has_nat);
        assert_int_equal(ike_sa_remote(p.b->sa)->port, has_nat ? 6000 : 4500);
        assert_false(p.a->is_closed || p.b->is_closed);
        net_done(&p.net);
    }
    (void)state;
}

/* Requests come as from somewhere else, where nobody answers. */
static bool from_elsewhere(struct net *net, struct packet_sim *p)
{
    struct ike_header header;
    assert_int_equal(ike_header_parse(p->bytes, p->len, &header), ERR_OK);
    if (endpoint_is_equal(&p->source, &net->nodes[0].endpoint) &&
        (header.flags & IKE_FLAG_RESPONSE) == 0)
        p->source.port = 6666;
    return true;
}

static void test_copies_from_elsewhere(void **state)
{
    struct pair p;
    pair_init(&p, 2);
    without_mobike(&p);
    p.net.tamper = from_elsewhere;
    for (unsigned i = 0; i < 5; i++) {
        ike_sa_check_alive(p.a->sa);
        net_drive(p.a);
        net_run(&p.net, NET_SECOND(1));
    }
    p.net.tamper = NULL;
    net_run(&p.net, NET_SECOND(10));
    assert_int_equal(p.b->move_count, 0);
    assert_true(endpoint_is_equal(ike_sa_remote(p.b->sa), &p.net.nodes[0].endpoint));
    assert_false(p.a->is_closed || p.b->is_closed);
    net_done(&p.net);
    (void)state;
}

/* Plain peers are not told what only Detec hosts know. */
static void test_nothing_private(void **state)
{
    struct pair p;
    pair_init(&p, 3);
    pair_connect(&p);
    assert_true(p.a->sa->is_mobile && p.b->sa->is_mobile);
    assert_false(p.a->sa->is_symmetric || p.b->sa->is_symmetric);
    /* the initiator moves, the responder may not (RFC 4555, 3.5) */
    struct endpoint elsewhere = p.net.nodes[0].endpoint;
    elsewhere.port = 7000;
    assert_int_equal(ike_sa_move(p.b->sa, &elsewhere, p.net.now_us), ERR_UNSUPPORTED);
    p.net.nodes[0].endpoint.port = 7000;
    ike_sa_announce_move(p.a->sa, p.net.now_us);
    net_drive(p.a);
    net_run(&p.net, NET_SECOND(1));
    assert_int_equal(ike_sa_remote(p.b->sa)->port, 7000);
    net_done(&p.net);
    (void)state;
}

static void expect_rekeyed(struct pair *p, struct watch *by, bool is_rekeyed)
{
    const size_t kids = p->b->kid_count;
    assert_int_equal(ike_sa_rekey_child(by->sa), ERR_OK);
    net_drive(by);
    net_run(&p->net, NET_SECOND(1));
    assert_int_equal(p->b->kid_count, kids + is_rekeyed);
    assert_false(p->a->is_closed || p->b->is_closed);
    const struct kid *ka = watch_sending(p->a), *kb = watch_sending(p->b);
    assert_memory_equal(ka->ready.key_in, kb->ready.key_out, ka->ready.key_len);
    assert_memory_equal(ka->ready.key_out, kb->ready.key_in, ka->ready.key_len);
}

static void test_no_key_exchange(void **state)
{
    for (int is_optional = 0; is_optional < 2; is_optional++) {
        struct pair p;
        struct ike_profile *profile;
        pair_init(&p, 4);
        p.net.nodes[0].config.is_pfs_optional = is_optional;
        p.net.nodes[1].config.is_pfs_optional = true;
        pair_connect(&p);
        /* the peer asks without */
        p.b->sa->lacks_pfs = true;
        expect_rekeyed(&p, p.b, is_optional);
        assert_int_equal(p.a->sa->lacks_pfs, is_optional);
        /* and with, again */
        p.a->sa->lacks_pfs = p.b->sa->lacks_pfs = false;
        net_run(&p.net, NET_SECOND(10));
        expect_rekeyed(&p, p.a, true);
        assert_false(p.a->sa->lacks_pfs);
        /* the peer takes none of our groups for children: asked without, where we may */
        struct ike_config c = p.net.nodes[1].config;
        c.groups[0] = KEX_ECP384;
        assert_int_equal(ike_profile_new(&c, &profile), ERR_OK);
        ike_sa_set_profile(p.b->sa, profile);
        ike_profile_free(profile);
        expect_rekeyed(&p, p.a, is_optional);
        net_done(&p.net);
    }
    (void)state;
}

/* IKE_AUTH without AUTH asks for EAP. */
static void test_eap(void **state)
{
    struct pair p;
    struct ike_outgoing out;

    pair_init(&p, 5);
    net_open(&p.net, 0, NULL);
    net_open(&p.net, 1, NULL);
    p.a = net_connect(&p.net, 0, 1);
    net_run(&p.net, NET_MS(41));
    p.b = net_newest(&p.net, 1);
    struct ike_generation *g = p.a->sa->current;
    ike_generation_begin(g, &out, IKE_EXCHANGE_AUTH, false, 1);
    ike_build_id(&out.b, IKE_PAYLOAD_IDI, IKE_ID_FQDN, "a.example.net", 13);
    ike_build_end(&out.b, 16);
    assert_int_equal(ike_keys_seal(&g->keys, true, 99, out.w.base, out.w.len), ERR_OK);
    assert_int_equal(net_inject(&p.net, 1, &p.net.nodes[0].endpoint, out.w.base, out.w.len),
                     ERR_OK);
    assert_true(p.b->is_closed);
    assert_int_equal(p.b->closed.reason, IKE_REASON_PEER_NOT_AUTHENTIC);
    net_run(&p.net, NET_SECOND(20));
    net_done(&p.net);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floating),
        cmocka_unit_test(test_nat_forgets),
        cmocka_unit_test(test_copies_from_elsewhere),
        cmocka_unit_test(test_nothing_private),
        cmocka_unit_test(test_no_key_exchange),
        cmocka_unit_test(test_eap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
