/* ESP in transport mode between plain peers through NATs: what the TS payloads of each side say,
 * and what each makes of the other's (RFC 7296, 2.23.1); and the vendor ID by which BEET is known.
 */
#include "ike/state.h"
#include "pair.h"
#include <string.h>

static struct address address_of(const char *text)
{
    struct address a;
    assert_int_equal(address_parse(text, &a), ERR_OK);
    return a;
}

static void set_addresses(struct ike_config *c, const char *own, const char *other)
{
    c->addresses =
        (struct ike_addresses){.own_ipv4 = address_of(own), .other_ipv4 = address_of(other)};
}

/* Transport mode, the initiator at 10.1.1.1, who calls 203.0.113.9; the responder leaves the
 * addresses to whoever calls. */
static void pair_init(struct pair *p)
{
    pair_make(p, 1, pair_names, ESP_AES128_GCM);
    pair_want_esp(p, CHILD_TRANSPORT);
    set_addresses(&p->net.nodes[0].config, "10.1.1.1", "203.0.113.9");
    set_addresses(&p->net.nodes[1].config, "0.0.0.0", "0.0.0.0");
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

static void check(const struct ike_addresses *a, const char *own, const char *other)
{
    const struct address o = address_of(own), t = address_of(other);
    assert_true(address_is_equal(&a->own_ipv4, &o));
    assert_true(address_is_equal(&a->other_ipv4, &t));
}

/* The responder answers with what came: then the checksums on the wire, of both, are those of the
 * initiator's view, whatever NATs have made of the outer addresses. */
static void test_originals(void **state)
{
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    const struct ike_event_child_ready *a = &watch_sending(p.a)->ready;
    const struct ike_event_child_ready *b = &watch_sending(p.b)->ready;
    assert_int_equal(a->mode, CHILD_TRANSPORT);
    assert_int_equal(b->mode, CHILD_TRANSPORT);
    check(&a->own_addresses, "10.1.1.1", "203.0.113.9");
    check(&a->peer_addresses, "203.0.113.9", "10.1.1.1");
    check(&b->own_addresses, "203.0.113.9", "10.1.1.1");
    check(&b->peer_addresses, "10.1.1.1", "203.0.113.9");
    net_done(&p.net);
    (void)state;
}

/* A peer that puts addresses in their place that it sees itself, as the next child is made: both
 * are kept, each for its direction. */
static void test_replaced(void **state)
{
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    p.b->sa->transport = (struct ike_addresses){.own_ipv4 = address_of("10.2.2.2"),
                                                .other_ipv4 = address_of("198.51.100.10")};
    assert_int_equal(ike_sa_rekey_child(p.b->sa), ERR_OK);
    net_drive(p.b);
    net_run(&p.net, NET_SECOND(10));
    const struct ike_event_child_ready *a = &watch_sending(p.a)->ready;
    const struct ike_event_child_ready *b = &watch_sending(p.b)->ready;
    assert_int_equal(p.a->kid_count, 2);
    check(&a->own_addresses, "10.1.1.1", "203.0.113.9");
    check(&a->peer_addresses, "10.2.2.2", "198.51.100.10");
    check(&b->peer_addresses, "10.1.1.1", "203.0.113.9");
    net_done(&p.net);
    (void)state;
}

/* What has been agreed upon stays, with whoever asks for the rekey. */
static void test_rekeyed(void **state)
{
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    for (unsigned i = 0; i < 2; i++) {
        struct watch *w = i == 0 ? p.b : p.a;
        assert_int_equal(ike_sa_rekey_child(w->sa), ERR_OK);
        net_drive(w);
        net_run(&p.net, NET_SECOND(10));
        assert_int_equal(watch_open_count(p.a), 1);
        check(&watch_sending(p.a)->ready.own_addresses, "10.1.1.1", "203.0.113.9");
        check(&watch_sending(p.a)->ready.peer_addresses, "203.0.113.9", "10.1.1.1");
        check(&watch_sending(p.b)->ready.own_addresses, "203.0.113.9", "10.1.1.1");
        check(&watch_sending(p.b)->ready.peer_addresses, "10.1.1.1", "203.0.113.9");
    }
    assert_int_equal(p.a->kid_count, 3);
    net_done(&p.net);
    (void)state;
}

/* Transport mode is between two addresses: a network, or the other family, comes to nothing, and
 * the IKE SA stands. */
static void test_no_single_addresses(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pair p;
        pair_init(&p);
        struct ike_config *c = &p.net.nodes[0].config;
        if (i == 0) {
            const struct address first = address_of("10.1.1.0"), last = address_of("10.1.1.255");
            c->esp_modes[1] = CHILD_TUNNEL;
            c->esp_mode_count = 2;
            c->selectors.own = (struct selectors){.count = 1, .list = {selector_of(&first, &last)}};
            c->selectors.peer = c->selectors.own;
        } else {
            c->addresses = (struct ike_addresses){.own_ipv6 = address_of("2001:db8::1"),
                                                  .other_ipv6 = address_of("2001:db8::2")};
        }
        pair_connect(&p);
        assert_null(watch_sending(p.a));
        assert_null(watch_sending(p.b));
        assert_true(p.a->child_failed);
        assert_int_equal(p.a->child_reason, IKE_REASON_CHILD_REFUSED);
        net_done(&p.net);
    }
    (void)state;
}

/* ---- vendor ID ---- */

static const uint8_t strongswan[] = {0x88, 0x2f, 0xe5, 0x6d, 0x6f, 0xd2, 0x0d, 0xbc,
                                     0x22, 0x51, 0x61, 0x3b, 0x2e, 0xbe, 0x5b, 0xeb};
static unsigned vendors[2];

static bool count_vendors(struct net *net, struct packet_sim *p)
{
    for (size_t at = 0; at + sizeof(strongswan) <= p->len; at++)
        if (memcmp(p->bytes + at, strongswan, sizeof(strongswan)) == 0)
            vendors[!endpoint_is_equal(&p->source, &net->nodes[0].endpoint)]++;
    return true;
}

/* BEET's number is private to who says this: it goes into IKE_SA_INIT only where BEET is wanted. */
static void test_vendor(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        struct pair p;
        pair_init(&p);
        p.net.nodes[0].config.has_beet_vendor = i & 1;
        p.net.nodes[1].config.has_beet_vendor = i & 2;
        p.net.tamper = count_vendors;
        vendors[0] = vendors[1] = 0;
        pair_connect(&p);
        assert_int_equal(vendors[0], i & 1);
        assert_int_equal(vendors[1], i >> 1);
        net_done(&p.net);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_originals), cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_rekeyed),   cmocka_unit_test(test_no_single_addresses),
        cmocka_unit_test(test_vendor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
