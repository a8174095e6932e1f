/* Key exchange groups, PRFs and ciphers of the IKE SA: every one with every other;
 * INVALID_KE_PAYLOAD in each exchange, and what forged ones may not do. */
#include "ike/exchange.h"
#include "net.h"
#include <string.h>

static const enum kex_group groups[] = {KEX_X25519, KEX_ECP256, KEX_ECP384, KEX_MODP3072,
                                        KEX_MODP2048};
static const enum ike_cipher ciphers[] = {IKE_CIPHER_AES256_GCM, IKE_CIPHER_AES128_GCM,
                                          IKE_CIPHER_CHACHA20_POLY1305, IKE_CIPHER_AES256_CBC,
                                          IKE_CIPHER_AES128_CBC};
static const enum hash_algorithm hashes[] = {HASH_SHA256, HASH_SHA384, HASH_SHA512};

static void set_groups(struct net *net, size_t node, enum kex_group first, enum kex_group second,
                       enum kex_group third)
{
    struct ike_config *c = &net->nodes[node].config;
    memset(c->groups, 0, sizeof(c->groups));
    c->groups[0] = first;
    c->groups[1] = second;
    c->groups[2] = third;
}

static void open_both(struct net *net)
{
    net_open(net, 0, NULL);
    net_open(net, 1, NULL);
}

static const struct ike_algorithms *algorithms(const struct watch *w)
{
    return &w->sa->current->keys.algorithms;
}

/* Both sides have the same keys: what one rekeys the other follows. */
static void expect_alive(struct net *net, struct watch *a, struct watch *b)
{
    assert_true(a->is_established && b->is_established);
    assert_true(ike_keys_are_equal(&a->sa->current->keys, &b->sa->current->keys));
    const uint64_t spi = a->sa->current->spi_i;
    const size_t kids = b->kid_count;
    assert_int_equal(ike_sa_rekey(a->sa), ERR_OK);
    net_drive(a);
    net_run(net, NET_SECOND(1));
    assert_true(a->sa->current->spi_i != spi);
    assert_true(ike_keys_are_equal(&a->sa->current->keys, &b->sa->current->keys));
    assert_int_equal(ike_sa_rekey_child(b->sa), ERR_OK);
    net_drive(b);
    net_run(net, NET_SECOND(1));
    assert_int_equal(b->kid_count, kids + 1);
    const struct kid *ka = watch_sending(a), *kb = watch_sending(b);
    assert_non_null(ka);
    assert_non_null(kb);
    assert_memory_equal(ka->ready.key_in, kb->ready.key_out, ka->ready.key_len);
    assert_memory_equal(ka->ready.key_out, kb->ready.key_in, ka->ready.key_len);
}

static void test_every_combination(void **state)
{
    unsigned number = 0;

    for (size_t g = 0; g < KEX_GROUP_COUNT; g++) {
        for (size_t c = 0; c < IKE_CIPHER_COUNT; c++) {
            for (size_t h = 0; h < IKE_HASH_COUNT; h++, number++) {
                struct net net;
                /* the slow groups not with all */
                if (groups[g] <= KEX_MODP3072 && number % 4 != 0)
                    continue;
                net_init(&net, number);
                for (size_t i = 0; i < 2; i++) {
                    struct ike_config *config = &net.nodes[i].config;
                    net_want_child(&net, i, SPUT_AES256_GCM);
                    set_groups(&net, i, groups[g], KEX_NONE, KEX_NONE);
                    memset(config->ciphers, 0, sizeof(config->ciphers));
                    config->ciphers[0] = ciphers[c];
                    config->prfs[0] = hashes[h];
                    config->integs[0] = hashes[(h + c) % 3];
                }
                open_both(&net);
                struct watch *a = net_connect(&net, 0, 1);
                net_run(&net, NET_MS(81));
                struct watch *b = net_newest(&net, 1);
                assert_true(a->is_established && b->is_established);
                const struct ike_algorithms *used = algorithms(a);
                assert_int_equal(used->group, groups[g]);
                assert_int_equal(used->cipher, ciphers[c]);
                assert_int_equal(used->prf, hashes[h]);
                assert_int_equal(used->integ, c < 3 ? HASH_NONE : hashes[(h + c) % 3]);
                expect_alive(&net, a, b);
                net_done(&net);
            }
        }
    }
    (void)state;
}

static void test_another_group_is_wanted(void **state)
{
    for (int reliable = 0; reliable < 2; reliable++) {
        struct net net;
        net_init(&net, 1);
        for (size_t i = 0; i < 2; i++) {
            net_want_child(&net, i, SPUT_AES128_GCM);
            net.nodes[i].config.is_reliable = reliable;
        }
        set_groups(&net, 0, KEX_X25519, KEX_ECP256, KEX_MODP3072);
        set_groups(&net, 1, KEX_MODP3072, KEX_ECP384, KEX_NONE);
        open_both(&net);
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_MS(121)); /* one round trip more, and no state at the responder for it */
        struct watch *b = net_newest(&net, 1);
        assert_int_equal(net.nodes[1].watch_count, 1);
        assert_int_equal(algorithms(a)->group, KEX_MODP3072);
        expect_alive(&net, a, b);
        net_done(&net);
    }
    (void)state;
}

/* With cookies: both are asked for, in whatever order. */
static void test_with_cookies(void **state)
{
    struct net net;
    struct ike_table_limits limits;

    net_init(&net, 2);
    set_groups(&net, 0, KEX_ECP384, KEX_ECP256, KEX_NONE);
    set_groups(&net, 1, KEX_ECP256, KEX_NONE, KEX_NONE);
    ike_table_limits_init(&limits);
    limits.cookie_threshold = 0;
    net_open(&net, 0, NULL);
    net_open(&net, 1, &limits);
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_MS(161));
    assert_true(a->is_established);
    assert_int_equal(algorithms(a)->group, KEX_ECP256);
    net_done(&net);
    (void)state;
}

static void test_no_common_group(void **state)
{
    struct net net;

    net_init(&net, 3);
    set_groups(&net, 0, KEX_X25519, KEX_NONE, KEX_NONE);
    set_groups(&net, 1, KEX_ECP256, KEX_NONE, KEX_NONE);
    open_both(&net);
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(60));
    assert_true(a->is_closed);
    assert_int_equal(a->closed.reason, IKE_REASON_NO_PROPOSAL);
    net_done(&net);
    (void)state;
}

/* Who sees our IKE_SA_INIT answers it at once with INVALID_KE_PAYLOAD: for a group of ours that the
 * peer has not, for one that we have not, for none at all, and a hundred times. */
struct forger {
    uint16_t groups[3];
    unsigned times;
};

static bool forge(struct net *net, struct packet_sim *p)
{
    const struct forger *f = (const struct forger *)net->tamper_context;
    uint8_t bytes[64];
    struct writer w;
    struct ike_builder b;
    struct ike_header header;

    if (ike_header_parse(p->bytes, p->len, &header) != ERR_OK || header.exchange != 34 ||
        (header.flags & IKE_FLAG_RESPONSE) != 0 || net->sent_count > 40)
        return true;
    for (unsigned i = 0; i < f->times; i++) {
        const uint16_t group = f->groups[i % 3];
        const uint8_t data[] = {(uint8_t)(group >> 8), (uint8_t)group, 0};
        writer_init(&w, bytes, sizeof(bytes));
        header.flags = IKE_FLAG_RESPONSE;
        ike_build_begin(&b, &w, &header);
        ike_build_notify(&b, IKE_NOTIFY_INVALID_KE_PAYLOAD, data, group == 0 ? i % 2 * 3 : 2);
        ike_build_end(&b, 0);
        net->tamper = NULL;
        (void)net_inject(net, 0, &net->nodes[1].endpoint, bytes, w.len);
        net->tamper = forge;
    }
    return true;
}

static void test_forged_wishes(void **state)
{
    static const struct forger forgers[] = {
        {{KEX_ECP384, KEX_ECP384, KEX_ECP384}, 1},
        {{KEX_ECP384, 2, 0}, 3},
        {{2, 0, 999}, 6},
        {{KEX_MODP2048, KEX_MODP2048, 0}, 3},
        {{KEX_ECP384, KEX_X25519, KEX_ECP256}, 100},
    };

    for (size_t i = 0; i < sizeof(forgers) / sizeof(forgers[0]); i++) {
        struct net net;
        struct forger forger = forgers[i];
        net_init(&net, 4 + i);
        set_groups(&net, 0, KEX_X25519, KEX_ECP384, KEX_ECP256);
        set_groups(&net, 1, KEX_X25519, KEX_NONE, KEX_NONE);
        open_both(&net);
        net.tamper = forge;
        net.tamper_context = &forger;
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_SECOND(10));
        assert_true(a->is_established);
        assert_int_equal(algorithms(a)->group, KEX_X25519);
        assert_true(net.sent_count < 40); /* bounded */
        net_done(&net);
    }
    (void)state;
}

/* After the handshake the responder is told to want another group. */
static void test_rekey_in_another_group(void **state)
{
    struct net net;
    struct ike_profile *profile;

    net_init(&net, 20);
    for (size_t i = 0; i < 2; i++) {
        net_want_child(&net, i, SPUT_AES128_GCM);
        set_groups(&net, i, KEX_X25519, KEX_ECP256, KEX_NONE);
    }
    open_both(&net);
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(1));
    struct watch *b = net_newest(&net, 1);
    set_groups(&net, 1, KEX_ECP256, KEX_NONE, KEX_NONE);
    assert_int_equal(ike_profile_new(&net.nodes[1].config, &profile), ERR_OK);
    ike_sa_set_profile(b->sa, profile);
    ike_profile_free(profile);
    expect_alive(&net, a, b);
    assert_int_equal(algorithms(a)->group, KEX_ECP256);
    assert_false(a->is_closed || b->is_closed);
    net_done(&net);
    (void)state;
}

/* A peer that wants another group each time is left alone until the next regular try. */
static void test_endless_wishes(void **state)
{
    struct net net;
    net_init(&net, 21);
    set_groups(&net, 0, KEX_X25519, KEX_ECP256, KEX_NONE);
    set_groups(&net, 1, KEX_X25519, KEX_ECP256, KEX_NONE);
    open_both(&net);
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(1));
    struct ike_generation *g = a->sa->current;
    struct ike_rekey rekey = {.kex = {.group = KEX_X25519}};
    unsigned count = 0;
    for (unsigned i = 0; i < 100; i++) {
        uint8_t bytes[64];
        struct writer w;
        struct ike_builder b;
        struct ike_message m;
        const struct ike_header header = {.major_version = 2};
        const enum kex_group other = rekey.kex.group == KEX_X25519 ? KEX_ECP256 : KEX_X25519;
        writer_init(&w, bytes, sizeof(bytes));
        ike_build_begin(&b, &w, &header);
        ike_refuse_ke(&b, IKE_NOTIFY_INVALID_KE_PAYLOAD, other);
        ike_build_end(&b, 0);
        assert_int_equal(
            ike_message_parse(bytes[16], bytes + IKE_HEADER_LEN, w.len - IKE_HEADER_LEN, &m),
            ERR_OK);
        if (!ike_rekey_regroup(g, &m, &rekey))
            break;
        assert_int_equal(ike_rekey_group(g), other);
        rekey.kex.group = other;
        count++;
    }
    assert_in_range(count, 1, KEX_GROUP_COUNT);
    net_done(&net);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_combination), cmocka_unit_test(test_another_group_is_wanted),
        cmocka_unit_test(test_with_cookies),      cmocka_unit_test(test_no_common_group),
        cmocka_unit_test(test_forged_wishes),     cmocka_unit_test(test_rekey_in_another_group),
        cmocka_unit_test(test_endless_wishes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
