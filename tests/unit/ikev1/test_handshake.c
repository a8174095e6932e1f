/* Two engines back to back: every cipher, hash, group, suite, form and kind of NAT; what does not
 * fit is refused in words. */
#include "net.h"
#include "wire/isakmp_sa.h"
#include <string.h>

static void test_joins(void **state)
{
    struct net net;

    net_init(&net);
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    assert_int_equal(net.nodes[0].established, 1);
    assert_int_equal(net.nodes[1].established, 1);
    assert_true(net.nodes[0].who.is_initiator);
    assert_false(net.nodes[1].who.is_initiator);
    assert_memory_equal(net.nodes[1].who.peer_id.bytes, "a.example", 9);
    net_assert_joined(&net, 0, 1);
    const struct kid *kid = net_kid(&net.nodes[1]);
    assert_int_equal(kid->ready.mode, CHILD_TUNNEL);
    assert_int_equal(kid->ready.selectors.local.bits, 24);
    assert_int_equal(address_to_ipv4(&kid->ready.selectors.local.address), 0x0a000100u);
    assert_int_equal(address_to_ipv4(&kid->ready.selectors.remote.address), 0x0a000000u);
    /* six messages, three, and whether the peer has come through them; from the fifth on over port
     * 4500 */
    assert_int_equal(net.sent, 11);
    for (size_t i = 0; i < 11; i++)
        assert_int_equal(net.kept[i].source.socket, i < 4 ? 0 : SOCKET_NATT);
    assert_int_equal(ikev1_sa_remote(net.nodes[0].sa)->port, 4500);
    assert_int_equal(ikev1_sa_remote(net.nodes[1].sa)->port, 4500);
    assert_int_equal(ikev1_sa_natt(net.nodes[0].sa), ISAKMP_NATT_RFC);
    assert_int_equal(ikev1_table_half_open_count(net.nodes[1].table), 0);
    /* Nothing that was ever sent in the clear holds the identities. */
    for (size_t i = 0; i < 11; i++)
        assert_null(memmem(net.kept[i].bytes, net.kept[i].len, "example", 7));
    net_done(&net);
}

static void join_with(const struct ikev1_proposal *proposal, enum suite suite, enum kex_group pfs,
                      enum child_mode mode, unsigned nats)
{
    struct net net;

    net_init(&net);
    for (size_t i = 0; i < 2; i++) {
        struct ikev1_config *c = &net.nodes[i].config;
        memset(c->proposals, 0, sizeof(c->proposals));
        memset(c->suites, 0, sizeof(c->suites));
        c->proposals[0] = *proposal;
        c->suites[0] = suite;
        c->pfs = pfs;
        c->mode = mode;
        if ((nats >> i & 1) != 0)
            net_hide(&net, i);
    }
    net_open(&net, 0);
    net_open(&net, 1);
    /* A static forwarding in front of the one that is called. */
    if ((nats & 2) != 0)
        net.nodes[1].shift = 0;
    net_call(&net, 0, 1);
    net_assert_joined(&net, 0, 1);
    assert_int_equal(net_kid(&net.nodes[0])->ready.suite, suite);
    const struct ikev1_proposal got = ikev1_sa_proposal(net.nodes[1].sa);
    assert_int_equal(got.key_len, proposal->key_len);
    assert_int_equal(got.hash, proposal->hash);
    assert_int_equal(got.group, proposal->group);
    /* Each shows itself as hidden, so that ESP goes in UDP; whether it is hidden it learns. */
    for (size_t i = 0; i < 2; i++) {
        assert_true(ikev1_sa_is_nat_there(net.nodes[i].sa));
        assert_int_equal(ikev1_sa_is_nat_here(net.nodes[i].sa), (nats >> i & 1) != 0);
    }
    if (mode == CHILD_TRANSPORT) {
        for (size_t i = 0; i < 2; i++) {
            const struct ikev1_addresses *peer = &net_kid(&net.nodes[i])->ready.peer_addresses;
            assert_true(address_is_equal(&peer->own, &net.nodes[1 - i].inside));
            assert_true(address_is_equal(&peer->other, &net.nodes[i].outside));
        }
    }
    net_done(&net);
}

static void test_every_combination(void **state)
{
    static const uint8_t key_lens[] = {16, 32};
    static const enum hash_algorithm hashes[] = {HASH_SHA256, HASH_SHA384, HASH_SHA512};
    static const enum kex_group groups[] = {KEX_MODP2048, KEX_MODP3072, KEX_ECP256, KEX_ECP384,
                                            KEX_X25519};
    static const enum suite suites[] = {ESP_AES128_GCM,        ESP_AES256_GCM,
                                        ESP_AES128_CBC_SHA256, ESP_AES256_CBC_SHA256,
                                        ESP_AES128_CTR_SHA256, ESP_AES256_CTR_SHA256};
    unsigned n = 0;

    for (size_t k = 0; k < 2; k++)
        for (size_t h = 0; h < 3; h++)
            for (size_t g = 0; g < 5; g++, n++) {
                const struct ikev1_proposal proposal = {key_lens[k], hashes[h], groups[g]};
                join_with(&proposal, suites[n % 6], n % 3 == 0 ? groups[(g + 1) % 5] : KEX_NONE,
                          n % 2 == 0 ? CHILD_TUNNEL : CHILD_TRANSPORT, n % 4);
            }
    const struct ikev1_proposal proposal = {32, HASH_SHA256, KEX_X25519};
    for (unsigned nats = 0; nats < 4; nats++)
        for (size_t s = 0; s < 6; s++)
            for (unsigned mode = CHILD_TRANSPORT; mode <= CHILD_TUNNEL; mode += 2)
                join_with(&proposal, suites[s], KEX_NONE, (enum child_mode)mode, nats);
}

/* The drafts' peers: their vendor IDs alone, and the numbers that go with them. */
static bool only_drafts(struct net *net, struct packet *p)
{
    static const uint8_t rfc[] = {0x4a, 0x13, 0x1c, 0x81, 0x07, 0x03, 0x58, 0x45,
                                  0x5c, 0x57, 0x28, 0xf2, 0x0e, 0x95, 0x45, 0x2f};
    uint8_t *at = (uint8_t *)memmem(p->bytes, p->len, rfc, sizeof(rfc));

    if (at != NULL)
        at[0] ^= 0xff;
    return true;
}

static void test_drafts(void **state)
{
    struct net net;

    for (unsigned mode = CHILD_TRANSPORT; mode <= CHILD_TUNNEL; mode += 2) {
        net_init(&net);
        net.filter = only_drafts;
        net.nodes[0].config.mode = net.nodes[1].config.mode = (enum child_mode)mode;
        net_hide(&net, 0);
        net_open(&net, 0);
        net_open(&net, 1);
        net_call(&net, 0, 1);
        net_assert_joined(&net, 0, 1);
        assert_int_equal(ikev1_sa_natt(net.nodes[0].sa), ISAKMP_NATT_DRAFT);
        assert_int_equal(ikev1_sa_natt(net.nodes[1].sa), ISAKMP_NATT_DRAFT);
        /* NAT-D in message 3 goes by its old number: that of what follows the nonce */
        const uint8_t *m = net.kept[2].bytes;
        size_t at = IKE_HEADER_LEN;
        uint8_t type = m[16];
        while (type != ISAKMP_PAYLOAD_NONCE) {
            type = m[at];
            at += (size_t)(m[at + 2] << 8 | m[at + 3]);
        }
        assert_int_equal(m[at], ISAKMP_PAYLOAD_NAT_D_DRAFT);
        if (mode == CHILD_TRANSPORT)
            assert_true(address_is_equal(&net_kid(&net.nodes[1])->ready.peer_addresses.own,
                                         &net.nodes[0].inside));
        net_done(&net);
    }
}

static bool no_natt(struct net *net, struct packet *p)
{
    static const uint8_t starts[][4] = {{0x4a, 0x13, 0x1c, 0x81},
                                        {0x7d, 0x94, 0x19, 0xa6},
                                        {0x90, 0xcb, 0x80, 0x91},
                                        {0xcd, 0x60, 0x46, 0x43}};

    for (size_t i = 0; i < 4; i++) {
        uint8_t *at = (uint8_t *)memmem(p->bytes, p->len, starts[i], 4);
        if (at != NULL)
            at[0] ^= 0xff;
    }
    return true;
}

static void test_no_nat_traversal(void **state)
{
    struct net net;

    net_init(&net);
    net.filter = no_natt;
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    assert_int_equal(net.nodes[1].established, 0);
    assert_int_equal(net.nodes[1].refused, 1);
    assert_non_null(strstr(net.nodes[1].refusal, "NAT traversal"));
    assert_int_equal(ikev1_table_half_open_count(net.nodes[1].table), 0);
    net_done(&net);
}

static void test_nothing_in_common(void **state)
{
    struct net net;

    net_init(&net);
    memset(net.nodes[1].config.proposals, 0, sizeof(net.nodes[1].config.proposals));
    net.nodes[1].config.proposals[0] = (struct ikev1_proposal){16, HASH_SHA512, KEX_MODP2048};
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    assert_int_equal(net.nodes[1].refused, 1);
    assert_non_null(strstr(net.nodes[1].refusal, "AES-CBC-256, SHA-256, group 31, pre-shared key"));
    /* The refusal came in the clear: a hint, believed only when nothing better has come. */
    assert_int_equal(net.nodes[0].closed, 0);
    net_run(&net, 31 * SECOND_US);
    assert_int_equal(net.nodes[0].closed, 1);
    assert_int_equal(net.nodes[0].end.reason, IKEV1_REASON_REFUSED_BY_PEER);
    assert_int_equal(net.nodes[0].end.notify, ISAKMP_NOTIFY_NO_PROPOSAL_CHOSEN);
    net_done(&net);
}

/* Old peers' offers, one transform each: cipher, hash, authentication, group, key length. */
static void offer_old(struct net *net, const uint16_t values[5], const char *words)
{
    uint8_t bytes[512];
    struct writer w;
    struct ike_builder b;
    const struct ike_header header = {.spi_i = 0x1122334455667788u + values[0] * 16 + values[1],
                                      .major_version = 1,
                                      .exchange = ISAKMP_EXCHANGE_MAIN};
    const struct endpoint source = {.address = address_from_ipv4(0x0b000001u), .port = 500};
    struct endpoint to;
    struct ikev1_event event;

    writer_init(&w, bytes, sizeof(bytes));
    ike_build_begin(&b, &w, &header);
    isakmp_build_sa(&b);
    const size_t p = isakmp_build_proposal(&b, true, 1, ISAKMP_PROTOCOL_ISAKMP, NULL, 0, 1);
    const size_t t = isakmp_build_transform(&b, true, 1, ISAKMP_TRANSFORM_KEY_IKE);
    static const uint16_t types[] = {ISAKMP_P1_CIPHER, ISAKMP_P1_HASH, ISAKMP_P1_AUTH,
                                     ISAKMP_P1_GROUP, ISAKMP_P1_KEY_LENGTH};
    for (size_t i = 0; i < 5; i++)
        if (values[i] != 0)
            isakmp_build_attribute(&b, types[i], values[i]);
    isakmp_build_transform_end(&b, t);
    isakmp_build_proposal_end(&b, p);
    isakmp_build_vendor(&b, ISAKMP_VENDOR_NATT_RFC);
    ike_build_end(&b, 0);
    assert_true(writer_is_ok(&w));
    assert_int_equal(net_inject(net, 1, &source, bytes, w.len), ERR_AGAIN);
    do {
        ikev1_table_next_event(net->nodes[1].table, &event);
    } while (event.type != IKEV1_EVENT_REFUSED && event.type != IKEV1_EVENT_NONE);
    assert_int_equal(event.type, IKEV1_EVENT_REFUSED);
    assert_non_null(strstr(event.refused.text, words));
    writer_init(&w, bytes, sizeof(bytes));
    assert_int_equal(ikev1_table_transmit(net->nodes[1].table, &w, &to), ERR_OK);
    /* an Informational with NO-PROPOSAL-CHOSEN about ISAKMP */
    assert_int_equal(bytes[18], ISAKMP_EXCHANGE_INFORMATIONAL);
    assert_int_equal(bytes[16], ISAKMP_PAYLOAD_NOTIFY);
    assert_int_equal(bytes[IKE_HEADER_LEN + 10] << 8 | bytes[IKE_HEADER_LEN + 11], 14);
    assert_true(endpoint_is_equal(&to, &source));
    assert_int_equal(ikev1_table_half_open_count(net->nodes[1].table), 0);
    net->now_us += SECOND_US;
}

static void test_old_ciphers_are_refused(void **state)
{
    static const uint16_t xp[] = {5, 2, 1, 2, 0};
    static const uint16_t des[] = {1, 1, 1, 1, 0};
    static const uint16_t md5[] = {7, 1, 1, 14, 256};
    static const uint16_t sha1[] = {7, 2, 1, 14, 128};
    static const uint16_t small_group[] = {7, 4, 1, 2, 256};
    static const uint16_t xauth[] = {7, 4, 65001, 14, 256};
    static const uint16_t no_length[] = {7, 4, 1, 14, 0};
    struct net net;

    net_init(&net);
    net_open(&net, 1);
    offer_old(&net, xp, "3DES-CBC, SHA-1, pre-shared key, group 2");
    offer_old(&net, des, "DES-CBC, MD5");
    offer_old(&net, md5, "MD5");
    offer_old(&net, sha1, "SHA-1");
    offer_old(&net, small_group, "group 2");
    offer_old(&net, xauth, "XAUTH");
    offer_old(&net, no_length, "AES-CBC");
    net_done(&net);
}

static bool make_aggressive(struct net *net, struct packet *p)
{
    if (net->sent == 1)
        p->bytes[18] = ISAKMP_EXCHANGE_AGGRESSIVE;
    return true;
}

static void test_no_aggressive_mode(void **state)
{
    struct net net;

    net_init(&net);
    net.filter = make_aggressive;
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    assert_int_equal(net.nodes[1].refused, 1);
    assert_non_null(strstr(net.nodes[1].refusal, "Aggressive Mode"));
    assert_int_equal(net.kept[1].bytes[IKE_HEADER_LEN + 11],
                     ISAKMP_NOTIFY_UNSUPPORTED_EXCHANGE_TYPE);
    assert_int_equal(ikev1_table_half_open_count(net.nodes[1].table), 0);
    net_done(&net);
}

static void test_wrong_key(void **state)
{
    struct net net;

    net_init(&net);
    net.nodes[1].config.psk[3] ^= 1;
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    net_run(&net, 40 * SECOND_US);
    assert_int_equal(net.nodes[0].established + net.nodes[1].established, 0);
    assert_int_equal(net.nodes[1].refused, 1);
    assert_non_null(strstr(net.nodes[1].refusal, "shared key"));
    assert_int_equal(net.nodes[0].end.reason, IKEV1_REASON_TIMEOUT);
    assert_int_equal(ikev1_table_half_open_count(net.nodes[1].table), 0);
    assert_int_equal(ikev1_table_count(net.nodes[0].table), 0);
    net_done(&net);
}

static void test_wrong_identity(void **state)
{
    struct net net;

    /* The one that is called expects another; then the caller does. */
    for (size_t wrong = 0; wrong < 2; wrong++) {
        net_init(&net);
        net.nodes[wrong].config.peer_id.bytes[0] = 'x';
        net_open(&net, 0);
        net_open(&net, 1);
        net_call(&net, 0, 1);
        net_run(&net, 40 * SECOND_US);
        assert_int_equal(net.nodes[wrong].established, 0);
        assert_int_equal(net.nodes[wrong].refused, 1);
        assert_non_null(
            strstr(net.nodes[wrong].refusal, wrong == 1 ? "is a.example" : "is b.example"));
        assert_int_equal(net.nodes[0].closed, 1);
        if (wrong == 0)
            assert_int_equal(net.nodes[0].end.reason, IKEV1_REASON_PEER_ID);
        net_done(&net);
    }
}

static void test_case_of_names(void **state)
{
    struct net net;

    net_init(&net);
    memcpy(net.nodes[1].config.peer_id.bytes, "A.ExamplE", 9);
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    net_assert_joined(&net, 0, 1);
    net_done(&net);
}

/* Several profiles: whose key fits is who it is. */
static void test_many_keys(void **state)
{
    struct ikev1_profile *profiles[3];
    struct ikev1_config other;
    struct net net;

    net_init(&net);
    net_open(&net, 0);
    net_open(&net, 1);
    other = net.nodes[1].config;
    other.psk[0] ^= 1;
    assert_int_equal(ikev1_profile_new(&other, &profiles[0]), ERR_OK);
    other.psk[1] ^= 1;
    assert_int_equal(ikev1_profile_new(&other, &profiles[1]), ERR_OK);
    profiles[2] = net.nodes[1].profile;

    const struct endpoint remote = {.address = net.nodes[1].outside, .port = 500};
    struct ikev1_sa *sa;
    struct endpoint to;
    uint8_t bytes[IKEV1_MESSAGE_CAP];
    struct writer w;
    assert_int_equal(
        ikev1_sa_initiate(net.nodes[0].table, net.nodes[0].profile, &remote, net.now_us, &sa),
        ERR_OK);
    writer_init(&w, bytes, sizeof(bytes));
    assert_int_equal(ikev1_table_transmit(net.nodes[0].table, &w, &to), ERR_OK);
    const struct endpoint source = {.address = net.nodes[0].outside, .port = 500};
    assert_int_equal(
        ikev1_table_receive(net.nodes[1].table, profiles, 3, bytes, w.len, &source, net.now_us),
        ERR_OK);
    net_drive(&net);
    net_assert_joined(&net, 0, 1);
    ikev1_profile_free(profiles[0]);
    ikev1_profile_free(profiles[1]);
    net_done(&net);
}

static void test_selectors(void **state)
{
    struct net net;

    /* A part of what is configured is allowed, more is not. */
    net_init(&net);
    net.nodes[0].config.selectors.local.bits = 28;
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    net_assert_joined(&net, 0, 1);
    assert_int_equal(net_kid(&net.nodes[1])->ready.selectors.remote.bits, 28);
    net_done(&net);

    net_init(&net);
    net.nodes[0].config.selectors.local.bits = 16;
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    assert_int_equal(net.nodes[0].established, 1);
    assert_int_equal(net.nodes[0].kid_count + net.nodes[1].kid_count, 0);
    assert_int_equal(net.nodes[0].wish_failed, 1);
    assert_int_equal(net.nodes[0].wish_end.notify, ISAKMP_NOTIFY_INVALID_ID_INFORMATION);
    assert_int_equal(net.nodes[1].refused, 1);
    net_done(&net);
}

static void test_child_refused(void **state)
{
    struct net net;

    /* another suite */
    net_init(&net);
    memset(net.nodes[1].config.suites, 0, sizeof(net.nodes[1].config.suites));
    net.nodes[1].config.suites[0] = ESP_AES128_CTR_SHA256;
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    assert_int_equal(net.nodes[0].wish_failed, 1);
    assert_int_equal(net.nodes[0].wish_end.notify, ISAKMP_NOTIFY_NO_PROPOSAL_CHOSEN);
    assert_non_null(strstr(net.nodes[1].refusal, "AES-GCM-16"));
    net_done(&net);

    /* another form */
    net_init(&net);
    net.nodes[0].config.mode = CHILD_TRANSPORT;
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    assert_int_equal(net.nodes[0].wish_failed, 1);
    assert_non_null(strstr(net.nodes[1].refusal, "transport in UDP"));
    net_done(&net);

    /* a key exchange of its own is wanted, and not offered */
    net_init(&net);
    net.nodes[1].config.pfs = KEX_ECP256;
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    assert_int_equal(net.nodes[0].wish_failed, 1);
    net_done(&net);

    /* who is called takes another good group than its own; a child without is none for it */
    net_init(&net);
    net.nodes[0].config.pfs = KEX_MODP2048;
    net.nodes[1].config.pfs = KEX_ECP256;
    net_open(&net, 0);
    net_open(&net, 1);
    net_call(&net, 0, 1);
    net_assert_joined(&net, 0, 1);
    net_done(&net);
}

/* A quarter of all messages is lost: it comes up all the same, once. */
static void test_losses(void **state)
{
    struct net net;

    for (unsigned seed = 1; seed <= 20; seed++) {
        net_init(&net);
        net.loss_percent = 25;
        net.random_state = seed;
        for (size_t i = 0; i < 2; i++) {
            net.nodes[i].config.retransmit_first_us = SECOND_US / 4;
            net.nodes[i].config.dpd_interval_us = 0;
            net.nodes[i].config.establish_timeout_us = 300 * SECOND_US;
            net.nodes[i].config.request_timeout_us = 300 * SECOND_US;
            net.nodes[i].config.half_open_timeout_us = 300 * SECOND_US;
            net_open(&net, i);
        }
        net_call(&net, 0, 1);
        net_run(&net, 250 * SECOND_US);
        net_assert_joined(&net, 0, 1);
        assert_int_equal(net_open_kids(&net.nodes[0]), 1);
        assert_int_equal(net_open_kids(&net.nodes[1]), 1);
        net_done(&net);
    }
}

static unsigned lost_index;
static bool lose_one(struct net *net, struct packet *p)
{
    return net->sent != lost_index;
}

static void test_each_message_lost(void **state)
{
    struct net net;

    for (lost_index = 1; lost_index <= 11; lost_index++) {
        net_init(&net);
        net.filter = lose_one;
        net_open(&net, 0);
        net_open(&net, 1);
        net_call(&net, 0, 1);
        net_run(&net, 5 * SECOND_US);
        net_assert_joined(&net, 0, 1);
        net_done(&net);
    }
}

static void test_crossing_calls(void **state)
{
    struct net net;

    net_init(&net);
    net_open(&net, 0);
    net_open(&net, 1);
    for (size_t i = 0; i < 2; i++) {
        const struct endpoint remote = {.address = net.nodes[1 - i].outside, .port = 500};
        assert_int_equal(ikev1_sa_initiate(net.nodes[i].table, net.nodes[i].profile, &remote,
                                           net.now_us, &net.nodes[i].sa),
                         ERR_OK);
    }
    net_drive(&net);
    net_run(&net, 60 * SECOND_US);
    /* one SA each, whoever was first */
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(net.nodes[i].established, 1);
        assert_int_equal(net.nodes[i].closed, 0);
        assert_int_equal(ikev1_table_count(net.nodes[i].table), 1);
    }
    /* and children that the other side has, too */
    net_assert_heard(&net);
    assert_int_equal(ikev1_sa_rekey_child(net.nodes[0].sa, net.now_us), ERR_OK);
    net_run(&net, 60 * SECOND_US);
    net_assert_joined(&net, 0, 1);
    assert_int_equal(net_open_kids(&net.nodes[0]), 1);
    assert_int_equal(net_open_kids(&net.nodes[1]), 1);
    net_done(&net);
}

static void test_profile_sense(void **state)
{
    struct ikev1_profile *profile;
    struct net net;

    net_init(&net);
    struct ikev1_config c = net.nodes[0].config;
    c.psk_len = 0;
    assert_int_equal(ikev1_profile_new(&c, &profile), ERR_INVALID);
    c = net.nodes[0].config;
    c.id.type = 0;
    assert_int_equal(ikev1_profile_new(&c, &profile), ERR_INVALID);
    c = net.nodes[0].config;
    c.suites[1] = SPUT_PAPER;
    assert_int_equal(ikev1_profile_new(&c, &profile), ERR_INVALID);
    c = net.nodes[0].config;
    c.mode = CHILD_BEET;
    assert_int_equal(ikev1_profile_new(&c, &profile), ERR_INVALID);
    c = net.nodes[0].config;
    c.proposals[0].key_len = 24;
    assert_int_equal(ikev1_profile_new(&c, &profile), ERR_INVALID);
    c = net.nodes[0].config;
    c.proposals[0].hash = HASH_NONE;
    assert_int_equal(ikev1_profile_new(&c, &profile), ERR_INVALID);
    c = net.nodes[0].config;
    c.retransmit_first_us = 0;
    assert_int_equal(ikev1_profile_new(&c, &profile), ERR_INVALID);
    c = net.nodes[0].config;
    c.selectors.remote.address = (struct address){.family = ADDRESS_IPV6};
    assert_int_equal(ikev1_profile_new(&c, &profile), ERR_INVALID);
    net_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joins),
        cmocka_unit_test(test_every_combination),
        cmocka_unit_test(test_drafts),
        cmocka_unit_test(test_no_nat_traversal),
        cmocka_unit_test(test_nothing_in_common),
        cmocka_unit_test(test_old_ciphers_are_refused),
        cmocka_unit_test(test_no_aggressive_mode),
        cmocka_unit_test(test_wrong_key),
        cmocka_unit_test(test_wrong_identity),
        cmocka_unit_test(test_case_of_names),
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_selectors),
        cmocka_unit_test(test_child_refused),
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_each_message_lost),
        cmocka_unit_test(test_crossing_calls),
        cmocka_unit_test(test_profile_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
