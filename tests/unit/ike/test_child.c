/* Children of ESP, engine against engine: every suite, modes, networks, commands, rekeys of both
 * protocols at once, and their end. */
#include "net.h"
#include <string.h>

struct scene {
    struct net net;
    struct watch *a, *b;
};

/* Node 0 asks node 1 for a child, each as its config says. */
static void scene_run(struct scene *s)
{
    net_open(&s->net, 0, NULL);
    net_open(&s->net, 1, NULL);
    s->a = net_connect(&s->net, 0, 1);
    net_run(&s->net, NET_SECOND(1));
    s->b = net_newest(&s->net, 1);
}

static void scene_init(struct scene *s, uint64_t seed, enum suite suite)
{
    net_init(&s->net, seed);
    net_want_child(&s->net, 0, suite);
    net_want_child(&s->net, 1, suite);
}

static const struct ike_event_child_ready *check_pair(const struct scene *s, enum suite suite)
{
    const struct kid *a = watch_sending(s->a), *b = watch_sending(s->b);
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(a->ready.suite, suite);
    assert_int_equal(b->ready.suite, suite);
    assert_int_equal(a->ready.spi_in, b->ready.spi_out);
    assert_int_equal(a->ready.spi_out, b->ready.spi_in);
    assert_int_equal(a->ready.key_len, suite_key_len(suite));
    assert_memory_equal(a->ready.key_in, b->ready.key_out, a->ready.key_len);
    assert_memory_equal(a->ready.key_out, b->ready.key_in, a->ready.key_len);
    assert_int_equal(a->ready.mode, b->ready.mode);
    assert_int_equal(a->ready.has_esn, b->ready.has_esn);
    assert_int_equal(a->ready.has_commands, b->ready.has_commands);
    /* neither STUN nor IKE, to a receiver that tells them by their start */
    assert_true(a->ready.spi_in >> 24 > 1 && a->ready.spi_out >> 24 > 1);
    return &a->ready;
}

static void test_every_suite(void **state)
{
    for (unsigned i = 0; i < ESP_SUITE_COUNT; i++) {
        struct scene s;
        const enum suite suite = (enum suite)(ESP_AES128_GCM + i);
        scene_init(&s, i, suite);
        scene_run(&s);
        const struct ike_event_child_ready *ready = check_pair(&s, suite);
        assert_int_equal(ready->mode, CHILD_BEET);
        assert_true(ready->has_esn && ready->has_commands);
        const struct ike_addresses *theirs = &s.net.nodes[1].config.addresses;
        assert_true(address_is_equal(&ready->peer_addresses.own_ipv4, &theirs->own_ipv4));
        assert_true(address_is_equal(&ready->peer_addresses.other_ipv4, &theirs->other_ipv4));
        net_done(&s.net);
    }
    (void)state;
}

/* Hosts of different preferences, and one that knows nothing but SPUT. */
static void test_mixed(void **state)
{
    for (int knows_esp = 0; knows_esp < 2; knows_esp++) {
        struct scene s;
        scene_init(&s, 21, SPUT_PAPER);
        s.net.nodes[0].config.suites[0] = ESP_AES256_GCM_IIV;
        s.net.nodes[0].config.suites[1] = ESP_AES256_CBC_SHA256;
        s.net.nodes[0].config.suites[2] = SPUT_PAPER;
        if (knows_esp)
            s.net.nodes[1].config.suites[1] = ESP_AES256_CBC_SHA256;
        scene_run(&s);
        check_pair(&s, knows_esp ? ESP_AES256_CBC_SHA256 : SPUT_PAPER);
        assert_int_equal(watch_sending(s.a)->ready.has_commands, knows_esp);
        net_done(&s.net);
    }
    (void)state;
}

static void set_modes(struct ike_config *config, const char *modes)
{
    config->esp_mode_count = 0;
    for (; *modes != '\0'; modes++)
        config->esp_modes[config->esp_mode_count++] = *modes == 'b'   ? CHILD_BEET
                                                      : *modes == 't' ? CHILD_TRANSPORT
                                                                      : CHILD_TUNNEL;
}

/* RFC 7296, 1.3.1: what is not agreed upon is tunnel mode, and who does not want that has no child.
 */
static void test_modes(void **state)
{
    static const struct {
        const char *asks, *takes;
        int mode; /* -1: none */
    } cases[] = {
        {"t", "t", CHILD_TRANSPORT},
        {"b", "b", CHILD_BEET},
        {"n", "n", CHILD_TUNNEL},
        {"bn", "n", CHILD_TUNNEL},
        {"tbn", "b", CHILD_BEET},
        {"tb", "bt", CHILD_BEET},
        {"bt", "tn", CHILD_TRANSPORT},
        {"n", "b", -1},
        {"n", "bn", CHILD_TUNNEL},
        {"b", "t", -1},
        {"t", "b", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene s;
        scene_init(&s, 40 + i, ESP_AES128_GCM);
        set_modes(&s.net.nodes[0].config, cases[i].asks);
        set_modes(&s.net.nodes[1].config, cases[i].takes);
        /* tunnel mode has one address for each end, in either direction */
        s.net.nodes[1].config.addresses.own_ipv4 = s.net.nodes[0].config.addresses.other_ipv4;
        s.net.nodes[1].config.addresses.other_ipv4 = s.net.nodes[0].config.addresses.own_ipv4;
        scene_run(&s);
        if (cases[i].mode >= 0) {
            assert_int_equal(check_pair(&s, ESP_AES128_GCM)->mode, cases[i].mode);
        } else {
            assert_null(watch_sending(s.a));
            assert_true(s.a->is_established && s.a->child_failed); /* the IKE SA stands */
        }
        net_done(&s.net);
    }
    (void)state;
}

/* A peer that takes tunnel mode where it was not offered: its child is not used. */
static void test_tunnel_unasked(void **state)
{
    struct scene s;
    scene_init(&s, 60, ESP_AES128_GCM);
    set_modes(&s.net.nodes[0].config, "b");
    set_modes(&s.net.nodes[1].config, "n");
    s.net.nodes[1].config.addresses.own_ipv4 = s.net.nodes[0].config.addresses.other_ipv4;
    s.net.nodes[1].config.addresses.other_ipv4 = s.net.nodes[0].config.addresses.own_ipv4;
    scene_run(&s);
    assert_null(watch_sending(s.a));
    net_done(&s.net);
    (void)state;
}

static struct address address_of(const char *text)
{
    struct address a;
    assert_int_equal(address_parse(text, &a), ERR_OK);
    return a;
}

static struct selectors range(const char *first, const char *last)
{
    const struct address a = address_of(first), b = address_of(last);
    return (struct selectors){.count = 1, .list = {selector_of(&a, &b)}};
}

static void test_networks(void **state)
{
    for (int fits = 0; fits < 2; fits++) {
        struct scene s;
        scene_init(&s, 70, ESP_CHACHA20_POLY1305);
        for (size_t i = 0; i < 2; i++) {
            set_modes(&s.net.nodes[i].config, "n");
            memset(&s.net.nodes[i].config.addresses, 0, sizeof(struct ike_addresses));
        }
        s.net.nodes[0].config.selectors = (struct selector_pair){
            range("10.1.0.0", "10.1.255.255"), range("0.0.0.0", "255.255.255.255")};
        s.net.nodes[1].config.selectors = (struct selector_pair){
            range("10.2.0.0", "10.2.0.255"),
            range(fits ? "10.1.2.0" : "10.9.0.0", fits ? "10.1.2.255" : "10.9.0.1")};
        scene_run(&s);
        if (!fits) {
            assert_null(watch_sending(s.a));
            assert_true(s.a->child_failed);
            net_done(&s.net);
            continue;
        }
        const struct ike_event_child_ready *ready = check_pair(&s, ESP_CHACHA20_POLY1305);
        const struct selector_pair *sa = &ready->selectors;
        const struct selector_pair *sb = &watch_sending(s.b)->ready.selectors;
        assert_int_equal(sa->own.count, 1);
        const struct address own = address_of("10.1.2.0"), other = address_of("10.2.0.255");
        assert_true(address_is_equal(&sa->own.list[0].first, &own));
        assert_true(address_is_equal(&sa->peer.list[0].last, &other));
        assert_true(address_is_equal(&sb->own.list[0].last, &other));
        assert_true(address_is_equal(&sb->peer.list[0].first, &own));
        net_done(&s.net);
    }
    (void)state;
}

/* Commands and short numbers only where both sides want them so. */
static void test_terms(void **state)
{
    for (int i = 0; i < 4; i++) {
        struct scene s;
        scene_init(&s, 80, ESP_AES128_GCM_IIV);
        s.net.nodes[0].config.has_esp_commands = (i & 1) != 0;
        s.net.nodes[1].config.has_esp_commands = (i & 2) != 0;
        s.net.nodes[i % 2].config.esn = IKE_ESN_POLICY_NEVER;
        scene_run(&s);
        const struct ike_event_child_ready *ready = check_pair(&s, ESP_AES128_GCM_IIV);
        assert_int_equal(ready->has_commands, i == 3);
        assert_false(ready->has_esn);
        net_done(&s.net);
    }
    (void)state;
}

/* Both sides rekey, as they like, over a bad network, while data flows: no packet meets a child
 * that is not there. */
static void test_rekeys(void **state)
{
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct scene s;
        scene_init(&s, 100 + seed, seed % 3 == 0 ? SPUT_PAPER : ESP_AES256_GCM_IIV);
        s.net.nodes[0].config.suites[1] = ESP_AES128_CTR_SHA256;
        s.net.nodes[1].config.suites[1] = ESP_AES128_CTR_SHA256;
        for (size_t i = 0; i < 2; i++) {
            s.net.nodes[i].config.rekey_child_us = NET_SECOND(4);
            s.net.nodes[i].config.rekey_ike_us = NET_SECOND(17);
            s.net.nodes[i].config.request_timeout_us = NET_SECOND(60);
        }
        s.net.jitter_us = NET_MS(20);
        scene_run(&s);
        assert_non_null(watch_sending(s.a));
        s.net.loss_percent = 5;
        s.net.double_percent = 10;
        net_start_data(&s.net, s.a, s.b, NET_MS(10));
        net_run(&s.net, NET_SECOND(60));
        assert_false(s.a->is_closed || s.b->is_closed);
        assert_int_equal(s.net.data_refused, 0);
        assert_true(s.net.data_opened > 3000);
        assert_true(s.a->kid_count > 10);
        net_done(&s.net);
    }
    (void)state;
}

static void test_close(void **state)
{
    for (int by_responder = 0; by_responder < 2; by_responder++) {
        struct scene s;
        scene_init(&s, 130, ESP_AES128_GCM);
        scene_run(&s);
        struct watch *closer = by_responder ? s.b : s.a;
        assert_int_equal(ike_sa_close_child(closer->sa), ERR_OK);
        net_drive(closer);
        net_run(&s.net, NET_SECOND(1));
        assert_null(watch_sending(s.a));
        assert_null(watch_sending(s.b));
        assert_false(s.a->is_closed || s.b->is_closed);
        net_done(&s.net);
    }
    (void)state;
}

static void test_profiles(void **state)
{
    struct scene s;
    struct ike_profile *profile = NULL;
    scene_init(&s, 140, ESP_AES128_GCM);
    struct ike_config *c = &s.net.nodes[0].config;
    c->esp_mode_count = 0;
    assert_int_equal(ike_profile_new(c, &profile), ERR_INVALID);
    set_modes(c, "bb");
    assert_int_equal(ike_profile_new(c, &profile), ERR_INVALID);
    c->esp_mode_count = 4;
    assert_int_equal(ike_profile_new(c, &profile), ERR_INVALID);
    set_modes(c, "n");
    memset(&c->addresses, 0, sizeof(c->addresses));
    assert_int_equal(ike_profile_new(c, &profile), ERR_INVALID);
    c->selectors = (struct selector_pair){range("10.1.0.0", "10.1.0.1"), range("::", "::ff")};
    assert_int_equal(ike_profile_new(c, &profile), ERR_OK);
    ike_profile_free(profile);
    net_done(&s.net);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_suite), cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_modes),       cmocka_unit_test(test_tunnel_unasked),
        cmocka_unit_test(test_networks),    cmocka_unit_test(test_terms),
        cmocka_unit_test(test_rekeys),      cmocka_unit_test(test_close),
        cmocka_unit_test(test_profiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
