/* Engine against engine: logging in and opening children, over UDP and TCP, on good and bad
 * networks, and every way in which a peer can be the wrong one. */
#include "net.h"
#include <string.h>

static void check_pair(const struct watch *a, const struct watch *b)
{
    assert_true(a->is_established && b->is_established);
    assert_false(a->is_closed || b->is_closed);
    assert_true(public_key_is_equal(&a->peer_key, identity_public(b->node->identity)));
    assert_true(public_key_is_equal(&b->peer_key, identity_public(a->node->identity)));
    assert_string_equal(a->peer_id, b->node->config.id);
    assert_string_equal(b->peer_id, a->node->config.id);
}

static void check_child(const struct watch *a, const struct watch *b, enum suite suite)
{
    const struct kid *ka = watch_sending(a), *kb = watch_sending(b);

    assert_non_null(ka);
    assert_non_null(kb);
    assert_int_equal(ka->ready.suite, suite);
    assert_int_equal(kb->ready.suite, suite);
    assert_int_equal(ka->ready.key_len, suite_key_len(suite));
    assert_int_equal(ka->ready.spi_in, kb->ready.spi_out);
    assert_int_equal(ka->ready.spi_out, kb->ready.spi_in);
    assert_memory_equal(ka->ready.key_in, kb->ready.key_out, ka->ready.key_len);
    assert_memory_equal(ka->ready.key_out, kb->ready.key_in, ka->ready.key_len);
    assert_memory_not_equal(ka->ready.key_in, ka->ready.key_out, ka->ready.key_len);
    const struct ike_addresses *theirs = &ka->ready.peer_addresses;
    const struct ike_addresses *b_own = &b->node->config.addresses;
    assert_true(address_is_equal(&theirs->own_ipv4, &b_own->own_ipv4));
    assert_true(address_is_equal(&theirs->other_ipv4, &b_own->other_ipv4));
    theirs = &kb->ready.peer_addresses;
    const struct ike_addresses *a_own = &a->node->config.addresses;
    assert_true(address_is_equal(&theirs->own_ipv4, &a_own->own_ipv4));
    assert_true(address_is_equal(&theirs->other_ipv4, &a_own->other_ipv4));
}

static void test_childless(void **state)
{
    struct net net;
    for (int reliable = 0; reliable < 2; reliable++) {
        net_init(&net, 1);
        for (size_t i = 0; i < 2; i++)
            net.nodes[i].config.is_reliable = reliable;
        strcpy(net.nodes[0].config.id, "home-pc.detec.example.net");
        net.nodes[0].config.is_initial_contact = true;
        net_open(&net, 0, NULL);
        net_open(&net, 1, NULL);
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_MS(81));
        struct watch *b = net_newest(&net, 1);
        check_pair(a, b);
        assert_int_equal(net.sent_count, 4); /* two round trips, no more */
        assert_true(b->is_initial_contact);
        assert_false(a->is_initial_contact);
        assert_int_equal(a->kid_count + b->kid_count, 0);
        assert_int_equal(ike_table_half_open_count(net.nodes[1].table), 0);
        assert_in_range(ike_sa_round_trip_us(a->sa), NET_MS(39), NET_MS(41));
        assert_true(net.longest < 600);
        net_done(&net);
    }
    (void)state;
}

static void test_every_suite_and_cipher(void **state)
{
    static const enum suite suites[] = {SPUT_PAPER, SPUT_AES128_GCM, SPUT_AES256_GCM,
                                        SPUT_CHACHA20_POLY1305};
    static const enum ike_cipher ciphers[] = {IKE_CIPHER_AES128_GCM, IKE_CIPHER_AES256_GCM,
                                              IKE_CIPHER_CHACHA20_POLY1305};
    struct net net;

    for (size_t s = 0; s < 4; s++) {
        net_init(&net, s);
        net_want_child(&net, 0, suites[s]);
        net_want_child(&net, 1, SPUT_PAPER);
        /* the responder takes all; its order does not matter */
        for (size_t i = 0; i < 4; i++)
            net.nodes[1].config.suites[i] = suites[3 - i];
        net.nodes[0].config.ciphers[0] = ciphers[s % 3];
        net.nodes[0].config.ciphers[1] = IKE_CIPHER_NONE;
        net_open(&net, 0, NULL);
        net_open(&net, 1, NULL);
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_SECOND(1));
        check_pair(a, net_newest(&net, 1));
        check_child(a, net_newest(&net, 1), suites[s]);
        assert_int_equal(ike_sa_cipher(a->sa), ciphers[s % 3]);
        assert_int_equal(ike_sa_suite(a->sa), suites[s]);
        net_done(&net);
    }
    (void)state;
}

static void test_initiators_order_decides(void **state)
{
    struct net net;
    net_init(&net, 5);
    net_want_child(&net, 0, SPUT_CHACHA20_POLY1305);
    net.nodes[0].config.suites[1] = SPUT_PAPER;
    net.nodes[0].config.suites[2] = SPUT_AES128_GCM;
    net_want_child(&net, 1, SPUT_AES128_GCM);
    net.nodes[1].config.suites[1] = SPUT_PAPER;
    net_open(&net, 0, NULL);
    net_open(&net, 1, NULL);
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(1));
    check_child(a, net_newest(&net, 1), SPUT_PAPER);
    net_done(&net);
    (void)state;
}

static void test_ipv6_selectors(void **state)
{
    struct net net;
    struct ike_addresses *a0, *a1;

    net_init(&net, 6);
    net_want_child(&net, 0, SPUT_AES128_GCM);
    net_want_child(&net, 1, SPUT_AES128_GCM);
    a0 = &net.nodes[0].config.addresses;
    a1 = &net.nodes[1].config.addresses;
    assert_int_equal(address_parse("2001:20::1", &a0->own_ipv6), ERR_OK);
    assert_int_equal(address_parse("2001:20::2", &a0->other_ipv6), ERR_OK);
    a1->own_ipv6 = a0->other_ipv6;
    a1->other_ipv6 = a0->own_ipv6;
    net_open(&net, 0, NULL);
    net_open(&net, 1, NULL);
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(1));
    const struct kid *k = watch_sending(a);
    assert_true(address_is_equal(&k->ready.peer_addresses.own_ipv6, &a1->own_ipv6));
    assert_true(address_is_equal(&k->ready.peer_addresses.other_ipv6, &a1->other_ipv6));
    net_done(&net);

    /* one side without IPv6: the child comes up with IPv4 alone */
    net_init(&net, 7);
    net_want_child(&net, 0, SPUT_AES128_GCM);
    net_want_child(&net, 1, SPUT_AES128_GCM);
    a0 = &net.nodes[0].config.addresses;
    assert_int_equal(address_parse("2001:20::1", &a0->own_ipv6), ERR_OK);
    assert_int_equal(address_parse("2001:20::2", &a0->other_ipv6), ERR_OK);
    net_open(&net, 0, NULL);
    net_open(&net, 1, NULL);
    a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(1));
    check_child(a, net_newest(&net, 1), SPUT_AES128_GCM);
    assert_int_equal(watch_sending(a)->ready.peer_addresses.own_ipv6.family, ADDRESS_NONE);
    assert_int_equal(watch_sending(net_newest(&net, 1))->ready.peer_addresses.own_ipv6.family,
                     ADDRESS_NONE);
    net_done(&net);
    (void)state;
}

static void test_refused_child(void **state)
{
    struct net net;
    /* no suite in common, then a responder without children: the IKE SA stands in both cases */
    for (int childless = 0; childless < 2; childless++) {
        net_init(&net, 8);
        net_want_child(&net, 0, SPUT_AES128_GCM);
        if (!childless)
            net_want_child(&net, 1, SPUT_PAPER);
        net_open(&net, 0, NULL);
        net_open(&net, 1, NULL);
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_SECOND(1));
        check_pair(a, net_newest(&net, 1));
        assert_int_equal(a->kid_count, 0);
        assert_true(a->child_failed);
        assert_int_equal(a->child_reason,
                         childless ? IKE_REASON_CHILD_REFUSED : IKE_REASON_NO_PROPOSAL);
        net_done(&net);
    }
    (void)state;
}

static void test_bad_network(void **state)
{
    struct net net;
    for (uint64_t seed = 0; seed < 60; seed++) {
        net_init(&net, seed);
        net.loss_percent = 30;
        net.double_percent = 30;
        net.jitter_us = NET_MS(200);
        for (size_t i = 0; i < 2; i++) {
            net_want_child(&net, i, SPUT_PAPER);
            net.nodes[i].config.establish_timeout_us = NET_SECOND(120);
            net.nodes[i].config.half_open_timeout_us = NET_SECOND(120);
            net.nodes[i].config.request_timeout_us = NET_SECOND(120);
        }
        net_open(&net, 0, NULL);
        net_open(&net, 1, NULL);
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_SECOND(60));
        assert_true(a->is_established);
        assert_int_equal(net.nodes[1].watch_count, 1); /* repeated requests make no second SA */
        struct watch *b = net_newest(&net, 1);
        check_pair(a, b);
        check_child(a, b, SPUT_PAPER);
        net_done(&net);
    }
    (void)state;
}

static void expect_failure(struct net *net, struct watch *a, enum ike_reason initiator,
                           enum ike_reason responder)
{
    net_run(net, NET_SECOND(40));
    struct watch *b = net_newest(net, 1);
    assert_true(a->is_closed);
    assert_int_equal(a->closed.reason, initiator);
    assert_false(a->is_established);
    if (b != NULL) {
        assert_true(b->is_closed);
        assert_int_equal(b->closed.reason, responder);
    }
    assert_int_equal(ike_table_count(net->nodes[0].table), 0);
    assert_int_equal(ike_table_count(net->nodes[1].table), 0);
}

static void test_wrong_keys_and_names(void **state)
{
    struct net net;
    for (int i = 0; i < 6; i++) {
        net_init(&net, 9);
        struct ike_config *c0 = &net.nodes[0].config, *c1 = &net.nodes[1].config;
        strcpy(c0->id, "a.detec.example.net");
        strcpy(c1->id, "b.detec.example.net");
        enum ike_reason initiator = IKE_REASON_REFUSED_BY_PEER, responder = IKE_REASON_PEER_KEY;
        c0->is_reliable = c1->is_reliable = i % 2;
        switch (i / 2) {
        case 0: /* the responder expects another initiator */
            c1->has_expected_key = true;
            c1->expected_key = *identity_public(net.nodes[2].identity);
            break;
        case 1: /* the initiator another responder */
            c0->has_expected_key = true;
            c0->expected_key = *identity_public(net.nodes[2].identity);
            initiator = IKE_REASON_PEER_KEY;
            responder = IKE_REASON_REFUSED_BY_PEER;
            break;
        default:
            strcpy(c0->expected_id, "c.detec.example.net");
            initiator = IKE_REASON_PEER_ID;
            responder = IKE_REASON_REFUSED_BY_PEER;
            break;
        }
        net_open(&net, 0, NULL);
        net_open(&net, 1, NULL);
        expect_failure(&net, net_connect(&net, 0, 1), initiator, responder);
        net_done(&net);
    }
    (void)state;
}

static void test_right_expectations(void **state)
{
    struct net net;
    net_init(&net, 10);
    struct ike_config *c0 = &net.nodes[0].config, *c1 = &net.nodes[1].config;
    strcpy(c0->id, "a.detec.example.net");
    strcpy(c0->expected_id, "b.detec.example.net");
    strcpy(c1->id, "b.detec.example.net");
    strcpy(c1->expected_id, "a.detec.example.net");
    c0->has_expected_key = c1->has_expected_key = true;
    c0->expected_key = *identity_public(net.nodes[1].identity);
    c1->expected_key = *identity_public(net.nodes[0].identity);
    net_open(&net, 0, NULL);
    net_open(&net, 1, NULL);
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(1));
    check_pair(a, net_newest(&net, 1));
    net_done(&net);
    (void)state;
}

static void test_no_common_cipher(void **state)
{
    struct net net;
    for (int reliable = 0; reliable < 2; reliable++) {
        net_init(&net, 11);
        for (size_t i = 0; i < 2; i++) {
            net.nodes[i].config.is_reliable = reliable;
            net.nodes[i].config.ciphers[0] = i == 0 ? IKE_CIPHER_AES128_GCM : IKE_CIPHER_AES256_GCM;
            net.nodes[i].config.ciphers[1] = IKE_CIPHER_NONE;
        }
        net_open(&net, 0, NULL);
        net_open(&net, 1, NULL);
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_MS(100));
        assert_int_equal(a->is_closed, reliable); /* over UDP anybody may have said so */
        expect_failure(&net, a, IKE_REASON_NO_PROPOSAL, IKE_REASON_NONE);
        assert_null(net_newest(&net, 1));
        net_done(&net);
    }
    (void)state;
}

static void test_nobody_there(void **state)
{
    struct net net;
    for (int reliable = 0; reliable < 2; reliable++) {
        net_init(&net, 12);
        net.nodes[0].config.is_reliable = reliable;
        net.nodes[1].is_deaf = true;
        net_open(&net, 0, NULL);
        net_open(&net, 1, NULL);
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_SECOND(14));
        assert_false(a->is_closed);
        net_run(&net, NET_SECOND(2));
        assert_true(a->is_closed);
        assert_int_equal(a->closed.reason, IKE_REASON_TIMEOUT);
        assert_int_equal(net.sent_count, reliable ? 1 : 6); /* 0, 0.5, 1.4, 3.0, 5.9, 11.2 s */
        net_done(&net);
    }
    (void)state;
}

static void test_nat_detection(void **state)
{
    struct net net;
    for (int mask = 0; mask < 4; mask++) {
        net_init(&net, 13);
        /* a host that thinks it has another address than the one it is seen with */
        if (mask & 1)
            net.nodes[0].config.local.address = address_from_ipv4(0xc0a80001);
        if (mask & 2)
            net.nodes[1].config.local.port++;
        net_open(&net, 0, NULL);
        net_open(&net, 1, NULL);
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_SECOND(1));
        struct watch *b = net_newest(&net, 1);
        assert_int_equal(ike_sa_is_nat_here(a->sa), (mask & 1) != 0);
        assert_int_equal(ike_sa_is_nat_there(b->sa), (mask & 1) != 0);
        assert_int_equal(ike_sa_is_nat_here(b->sa), (mask & 2) != 0);
        assert_int_equal(ike_sa_is_nat_there(a->sa), (mask & 2) != 0);
        net_done(&net);
    }
    /* an unknown own address counts as behind NAT */
    net_init(&net, 14);
    memset(&net.nodes[0].config.local, 0, sizeof(net.nodes[0].config.local));
    net_open(&net, 0, NULL);
    net_open(&net, 1, NULL);
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(1));
    assert_true(ike_sa_is_nat_here(a->sa));
    assert_true(ike_sa_is_nat_there(net_newest(&net, 1)->sa));
    assert_false(ike_sa_is_nat_there(a->sa));
    net_done(&net);
    (void)state;
}

static void test_many_at_once(void **state)
{
    struct net net;
    struct ike_table_limits limits;
    ike_table_limits_init(&limits);
    limits.cookie_threshold = limits.half_open_per_address_max = 1000;
    net_init(&net, 15);
    net_open(&net, 0, NULL);
    net_open(&net, 1, &limits);
    for (int i = 0; i < 200; i++)
        (void)net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(1));
    assert_int_equal(net.nodes[1].watch_count, 200);
    for (struct watch *w = net_newest(&net, 1); w != NULL; w = w->next)
        assert_true(w->is_established);
    for (struct watch *w = net_newest(&net, 0); w != NULL; w = w->next) {
        ike_sa_close(w->sa, net.now_us);
        net_drive(w);
    }
    net_run(&net, NET_SECOND(1));
    assert_int_equal(ike_table_count(net.nodes[0].table), 0);
    assert_int_equal(ike_table_count(net.nodes[1].table), 0);
    net_done(&net);
    (void)state;
}

/* Who goes lets go of its SAs, and of no others. */
static void test_lists(void **state)
{
    const struct endpoint remote = {address_from_ipv4(0xc6336401), 32589};
    struct ike_table_limits limits;
    struct ike_sa_list first = {NULL}, second = {NULL};
    struct ike_sa *sas[4];
    struct identity *identity;
    struct ike_profile *profile;
    struct ike_config config;
    struct ike_table *table;
    int one, other;

    ike_table_limits_init(&limits);
    assert_int_equal(identity_generate(&identity), ERR_OK);
    ike_config_init(&config, identity);
    assert_int_equal(ike_profile_new(&config, &profile), ERR_OK);
    assert_int_equal(ike_table_new(&limits, 1, &table), ERR_OK);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(ike_sa_initiate(table, profile, &remote, 1, &sas[i]), ERR_OK);
        ike_sa_give_to(sas[i], &one, &first);
    }
    ike_sa_give_to(sas[1], &other, &second);
    ike_sa_set_user(sas[2], &other); /* in no list */
    ike_sa_free(sas[3]);
    ike_sa_list_clear(&first);
    assert_null(ike_sa_user(sas[0]));
    assert_ptr_equal(ike_sa_user(sas[1]), &other);
    assert_ptr_equal(ike_sa_user(sas[2]), &other);
    assert_ptr_equal(second.first, sas[1]);
    ike_sa_free(sas[1]);
    assert_null(second.first);
    ike_table_free(table);
    ike_profile_free(profile);
    identity_free(identity);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_childless),
        cmocka_unit_test(test_every_suite_and_cipher),
        cmocka_unit_test(test_initiators_order_decides),
        cmocka_unit_test(test_ipv6_selectors),
        cmocka_unit_test(test_refused_child),
        cmocka_unit_test(test_bad_network),
        cmocka_unit_test(test_wrong_keys_and_names),
        cmocka_unit_test(test_right_expectations),
        cmocka_unit_test(test_no_common_cipher),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_nat_detection),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
