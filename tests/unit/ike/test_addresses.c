/* Addresses that plain peers tell each other of by MOBIKE (RFC 4555): sent where there are several,
 * read whole, anew with each message; moved to; NATs that a peer forbids. */
#include "ike/addresses.h"
#include "pair.h"
#include <string.h>

static void pair_init(struct pair *p)
{
    pair_make(p, 1, pair_names, ESP_AES128_GCM);
    pair_want_esp(p, CHILD_TUNNEL);
    pair_set_inner(p);
    for (size_t i = 0; i < 2; i++)
        net_open(&p->net, i, NULL);
}

static void pair_connect(struct pair *p)
{
    p->a = net_connect(&p->net, 0, 1);
    net_run(&p->net, NET_SECOND(1));
    p->b = net_newest(&p->net, 1);
}

static struct address addresses[] = {
    {.family = ADDRESS_IPV4, .bytes = {203, 0, 113, 1}},
    {.family = ADDRESS_IPV4, .bytes = {203, 0, 113, 2}},
    {.family = ADDRESS_IPV6, .bytes = {0x20, 1, 0xd, 0xb8, [15] = 7}},
    {.family = ADDRESS_IPV4, .bytes = {127, 0, 0, 1}},
    {.family = ADDRESS_IPV4, .bytes = {203, 0, 113, 3}},
    {.family = ADDRESS_IPV4, .bytes = {203, 0, 113, 4}},
};

static void check_others(const struct watch *w, const size_t *indexes, size_t count)
{
    struct address others[IKE_OTHERS_MAX];
    assert_int_equal(ike_sa_others(w->sa, others), count);
    for (size_t i = 0; i < count; i++)
        assert_true(address_is_equal(&others[i], &addresses[indexes[i]]));
}

static void test_told_both_ways(void **state)
{
    static const size_t four[] = {0, 1, 2, 4}, two[] = {0, 1};
    struct pair p;
    pair_init(&p);
    ike_table_set_addresses(p.net.nodes[0].table, addresses, 2);
    ike_table_set_addresses(p.net.nodes[1].table, addresses, 6); /* more than are told */
    pair_connect(&p);
    check_others(p.a, four, 4);
    check_others(p.b, two, 2);
    /* Others later, and none: the list is always the whole one. */
    ike_table_set_addresses(p.net.nodes[1].table, addresses, 2);
    ike_sa_announce_addresses(p.b->sa);
    net_drive(p.b);
    net_run(&p.net, NET_SECOND(1));
    check_others(p.a, two, 2);
    ike_table_set_addresses(p.net.nodes[1].table, addresses, 1);
    ike_sa_announce_addresses(p.b->sa);
    net_drive(p.b);
    net_run(&p.net, NET_SECOND(1));
    check_others(p.a, NULL, 0);
    ike_sa_check_alive(p.a->sa); /* a message that says nothing of it changes nothing */
    net_drive(p.a);
    net_run(&p.net, NET_SECOND(1));
    check_others(p.b, two, 2);
    net_done(&p.net);
    (void)state;
}

static void test_one_alone_is_not_told(void **state)
{
    struct pair p;
    pair_init(&p);
    ike_table_set_addresses(p.net.nodes[1].table, addresses, 1);
    pair_connect(&p);
    check_others(p.a, NULL, 0);
    assert_true(p.a->is_established);
    net_done(&p.net);
    (void)state;
}

/* The address in use is dead; the other one is proven before it is used. */
static void test_move_to_another(void **state)
{
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    struct endpoint other = p.net.nodes[1].endpoint;
    other.address = addresses[1];
    p.net.nodes[1].endpoint = other; /* where it is from now on */
    assert_int_equal(ike_sa_move(p.a->sa, &other, p.net.now_us), ERR_OK);
    net_drive(p.a);
    net_run(&p.net, NET_SECOND(2));
    assert_int_equal(p.a->move_count, 1);
    assert_true(endpoint_is_equal(&p.a->path, &other));
    assert_int_equal(ike_sa_move(p.b->sa, &other, p.net.now_us), ERR_UNSUPPORTED);
    net_done(&p.net);
    (void)state;
}

/* ---- NATs that are not wanted ---- */

/* With this notify alone in it. */
static bool forbids(const struct ike_sa *sa, const uint8_t *data, size_t len,
                    const struct endpoint *remote)
{
    uint8_t bytes[64];
    struct writer w;
    struct ike_message message;
    writer_init(&w, bytes, sizeof(bytes));
    writer_u8(&w, 0);
    writer_u8(&w, 0);
    writer_u16(&w, (uint16_t)(8 + len));
    writer_u8(&w, 0);
    writer_u8(&w, 0);
    writer_u16(&w, IKE_NOTIFY_NO_NATS_ALLOWED);
    writer_bytes(&w, data, len);
    assert_int_equal(ike_message_parse(IKE_PAYLOAD_NOTIFY, bytes, w.len, &message), ERR_OK);
    return ike_addresses_forbid(sa, &message, remote);
}

static void test_forbidden_nats(void **state)
{
    struct pair p;
    pair_init(&p);
    pair_connect(&p);
    const struct endpoint from = {.address = addresses[0], .port = 4500};
    uint8_t data[36] = {203, 0, 113, 1, 203, 0, 113, 2, 0x11, 0x94, 0x11, 0x94};
    ike_table_set_addresses(p.net.nodes[1].table, addresses, 2);
    p.b->sa->profile->config.local = (struct endpoint){.port = 0};
    assert_false(forbids(p.b->sa, data, 12, &from));
    for (size_t i = 0; i < 10; i++) { /* any other address, or its port: there is a NAT */
        data[i] ^= 0x40;
        assert_true(forbids(p.b->sa, data, 12, &from));
        data[i] ^= 0x40;
    }
    p.b->sa->profile->config.local = (struct endpoint){.address = addresses[1], .port = 4500};
    assert_false(forbids(p.b->sa, data, 12, &from));
    for (size_t i = 0; i < 12; i++) { /* and ours, where it is known */
        data[i] ^= 0x40;
        assert_true(forbids(p.b->sa, data, 12, &from));
        data[i] ^= 0x40;
    }
    for (size_t len = 0; len <= sizeof(data); len++) /* of the other family, or of none */
        assert_int_equal(forbids(p.b->sa, data, len, &from), len != 12);
    net_done(&p.net);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told_both_ways),
        cmocka_unit_test(test_one_alone_is_not_told),
        cmocka_unit_test(test_move_to_another),
        cmocka_unit_test(test_forbidden_nats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
