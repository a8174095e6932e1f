/* Strangers in numbers: cookies, caps on half-open SAs, bounded replies; and what idle or dead
 * peers cost: half-open time-out, dead-peer detection, closing. */
#include "ike/state.h"
#include "net.h"
#include <stdlib.h>
#include <string.h>

/* An IKE_SA_INIT request as node 3 would send it, made anew each time. */
static size_t make_request(struct net *net, uint8_t *bytes, struct watch **ret_watch)
{
    struct watch *w = net_connect(net, 3, 1);
    struct packet_sim *p = net->packets;

    assert_non_null(p);
    memcpy(bytes, p->bytes, p->len);
    *ret_watch = w;
    return p->len;
}

static struct endpoint stranger(uint32_t i)
{
    return (struct endpoint){address_from_ipv4(0xcb007100u + i / 8), (uint16_t)(1000 + i % 8)};
}

static void drop_packets(struct net *net)
{
    while (net->packets != NULL) {
        struct packet_sim *p = net->packets;
        net->packets = p->next;
        free(p);
    }
}

static void test_caps_and_cookies(void **state)
{
    struct net net;
    struct ike_table_limits limits;
    uint8_t bytes[IKE_MESSAGE_CAP];
    struct watch *w;

    ike_table_limits_init(&limits);
    limits.cookie_threshold = 20;
    limits.half_open_max = 40;
    limits.half_open_per_address_max = 4;
    limits.replies_max = 10;
    net_init(&net, 1);
    net_open(&net, 0, NULL);
    net_open(&net, 1, &limits);
    net_open(&net, 3, NULL);
    struct node *victim = &net.nodes[1];
    /* from one address: 4, no more */
    for (uint32_t i = 0; i < 10; i++) {
        struct endpoint from = {address_from_ipv4(0xcb0071ff), (uint16_t)(1 + i)};
        size_t len = make_request(&net, bytes, &w);
        (void)net_inject(&net, 1, &from, bytes, len);
    }
    assert_int_equal(ike_table_half_open_count(victim->table), 4);
    assert_int_equal(victim->errors[-ERR_LIMIT], 6);
    /* from everywhere: up to the threshold, then cookies for all */
    for (uint32_t i = 0; i < 400; i++) {
        struct endpoint from = stranger(i * 8);
        size_t len = make_request(&net, bytes, &w);
        (void)net_inject(&net, 1, &from, bytes, len);
    }
    assert_int_equal(ike_table_half_open_count(victim->table), 20);
    assert_int_equal(ike_table_count(victim->table), 20);
    assert_int_equal(victim->errors[-ERR_AGAIN], 384);
    assert_int_equal(victim->watch_count, 20);
    drop_packets(&net);
    /* an honest initiator comes through, by one round trip more */
    unsigned sent = net.sent_count;
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_MS(200));
    assert_true(a->is_established);
    assert_int_equal(net.sent_count - sent, 5); /* and one stateless reply */
    assert_int_equal(ike_table_half_open_count(victim->table), 20);
    /* with cookies, attackers at true addresses hit the cap */
    drop_packets(&net);
    for (int i = 0; i < 60; i++) {
        net.nodes[0].endpoint.address = address_from_ipv4(0xc0000200u + (uint32_t)i);
        (void)net_connect(&net, 0, 1);
        net.nodes[0].is_deaf = false;
    }
    net_run(&net, NET_SECOND(1));
    assert_true(ike_table_half_open_count(victim->table) <= 40);
    /* all that is half-open goes by itself */
    net_run(&net, NET_SECOND(40));
    assert_int_equal(ike_table_half_open_count(victim->table), 0);
    net_done(&net);
    (void)state;
}

static void test_replies_are_bounded(void **state)
{
    struct net net;
    struct ike_table_limits limits;
    uint8_t bytes[IKE_MESSAGE_CAP], out[256];
    struct watch *w;
    struct endpoint remote;
    struct writer writer;
    struct ike_sa *sa;

    ike_table_limits_init(&limits);
    limits.replies_max = 10;
    limits.replies_per_second = 15;
    limits.cookie_threshold = 0;
    net_init(&net, 2);
    net_open(&net, 1, &limits);
    net_open(&net, 3, NULL);
    struct ike_table *table = net.nodes[1].table;
    size_t len = make_request(&net, bytes, &w);
    int counts[2] = {0, 0};
    for (uint32_t i = 0; i < 30; i++) {
        struct endpoint from = stranger(i);
        int error =
            ike_table_receive(table, net.nodes[1].responder, bytes, len, &from, net.now_us, &sa);
        assert_true(error == ERR_AGAIN || error == ERR_LIMIT);
        counts[error == ERR_LIMIT]++;
    }
    assert_int_equal(counts[0], 10);
    writer_init(&writer, out, 20);
    assert_int_equal(ike_table_transmit(table, &writer, &remote), ERR_FULL);
    for (uint32_t i = 0; i < 10; i++) {
        struct endpoint to = stranger(i);
        writer_init(&writer, out, sizeof(out));
        assert_int_equal(ike_table_transmit(table, &writer, &remote), ERR_OK);
        assert_true(endpoint_is_equal(&remote, &to));
        assert_true(writer.len < len); /* no amplification */
    }
    writer_init(&writer, out, sizeof(out));
    assert_int_equal(ike_table_transmit(table, &writer, &remote), ERR_AGAIN);
    /* another major version: answered, within a rate */
    bytes[17] = 0x30;
    for (int i = 0; i < 40; i++) {
        struct endpoint from = stranger(1);
        int error =
            ike_table_receive(table, net.nodes[1].responder, bytes, len, &from, net.now_us, &sa);
        assert_int_equal(error, i < 15 ? ERR_AGAIN : ERR_LIMIT);
        writer_init(&writer, out, sizeof(out));
        if (i < 15)
            assert_int_equal(ike_table_transmit(table, &writer, &remote), ERR_OK);
    }
    assert_int_equal(ike_table_count(table), 0);
    net_done(&net);
    (void)state;
}

static void test_no_responder(void **state)
{
    struct net net;
    uint8_t bytes[IKE_MESSAGE_CAP], out[256];
    struct watch *w;
    struct ike_sa *sa;
    struct endpoint remote;
    struct writer writer;

    net_init(&net, 3);
    net_open(&net, 1, NULL);
    net_open(&net, 3, NULL);
    struct ike_table *table = net.nodes[1].table;
    const struct endpoint *from = &net.nodes[3].endpoint;
    size_t len = make_request(&net, bytes, &w);
    assert_int_equal(ike_table_receive(table, NULL, bytes, len, from, net.now_us, &sa), ERR_STATE);
    /* nothing that strangers send is answered, whatever its version, exchange and flags */
    for (unsigned version = 0; version < 256; version += 8) {
        for (unsigned exchange = 32; exchange < 42; exchange++) {
            for (unsigned flags = 0; flags < 64; flags += 8) {
                bytes[17] = (uint8_t)version;
                bytes[18] = (uint8_t)exchange;
                bytes[19] = (uint8_t)flags;
                assert_true(ike_table_receive(table, NULL, bytes, len, from, net.now_us, &sa) < 0);
                writer_init(&writer, out, sizeof(out));
                assert_int_equal(ike_table_transmit(table, &writer, &remote), ERR_AGAIN);
            }
        }
    }
    assert_int_equal(ike_table_count(table), 0);
    net_done(&net);
    (void)state;
}

static void test_table_is_full(void **state)
{
    struct net net;
    struct ike_table_limits limits;
    struct ike_sa *sa;

    ike_table_limits_init(&limits);
    limits.sas_max = 3;
    net_init(&net, 4);
    net_open(&net, 0, &limits);
    net_open(&net, 1, &limits);
    for (int i = 0; i < 3; i++)
        (void)net_connect(&net, 0, 1);
    assert_int_equal(ike_sa_initiate(net.nodes[0].table, net.nodes[0].responder,
                                     &net.nodes[1].endpoint, net.now_us, &sa),
                     ERR_LIMIT);
    net_run(&net, NET_SECOND(1));
    assert_int_equal(ike_table_count(net.nodes[1].table), 3);
    net_done(&net);
    (void)state;
}

static void test_half_open_times_out(void **state)
{
    struct net net;
    net_init(&net, 5);
    net_open(&net, 0, NULL);
    net_open(&net, 1, NULL);
    net.nodes[0].is_deaf = true;
    (void)net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(1));
    assert_int_equal(ike_table_half_open_count(net.nodes[1].table), 1);
    struct watch *b = net_newest(&net, 1);
    net_run(&net, NET_SECOND(15));
    assert_true(b->is_closed);
    assert_int_equal(b->closed.reason, IKE_REASON_TIMEOUT);
    assert_false(b->closed.was_established);
    assert_int_equal(ike_table_count(net.nodes[1].table), 0);
    net_done(&net);
    (void)state;
}

static void test_dead_peer(void **state)
{
    struct net net;
    for (int reliable = 0; reliable < 2; reliable++) {
        net_init(&net, 6);
        for (size_t i = 0; i < 2; i++) {
            net.nodes[i].config.is_reliable = reliable;
            net_open(&net, i, NULL);
        }
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_SECOND(100));
        assert_false(a->is_closed);
        assert_in_range(net.now_us - ike_sa_heard_us(a->sa), 0, NET_SECOND(31));
        unsigned sent = net.sent_count;
        assert_in_range(sent, 8, 20); /* a sign of life each half minute, no more */
        net.nodes[1].is_deaf = true;
        net_run(&net, NET_SECOND(46));
        assert_true(a->is_closed);
        assert_int_equal(a->closed.reason, IKE_REASON_TIMEOUT);
        assert_true(a->closed.was_established);
        net_done(&net);
    }
    /* asked for, it is quicker */
    net_init(&net, 7);
    net_open(&net, 0, NULL);
    net_open(&net, 1, NULL);
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(5));
    uint64_t heard_us = ike_sa_heard_us(a->sa);
    ike_sa_check_alive(a->sa);
    net_drive(a);
    net_run(&net, NET_MS(41));
    assert_true(ike_sa_heard_us(a->sa) > heard_us);
    net.nodes[1].is_deaf = true;
    ike_sa_check_alive(a->sa);
    net_drive(a);
    net_run(&net, NET_SECOND(14));
    assert_false(a->is_closed);
    net_run(&net, NET_SECOND(2));
    assert_true(a->is_closed);
    net_done(&net);
    (void)state;
}

/* Each SA asks a silent peer as often as its owner says. */
static void test_liveness_of_one(void **state)
{
    struct net net;
    net_init(&net, 9);
    net_open(&net, 0, NULL);
    net_open(&net, 1, NULL);
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(5));
    struct watch *b = net_newest(&net, 1);
    ike_sa_set_liveness(a->sa, NET_SECOND(300));
    ike_sa_set_liveness(b->sa, NET_SECOND(300));
    const uint64_t heard_us = ike_sa_heard_us(a->sa);
    net_run(&net, NET_SECOND(250));
    assert_int_equal(ike_sa_heard_us(a->sa), heard_us);
    net_run(&net, NET_SECOND(60));
    assert_true(ike_sa_heard_us(a->sa) > heard_us);
    /* Sooner counts from now on; and back to the configuration's. */
    const uint64_t now_us = net.now_us;
    ike_sa_set_liveness(a->sa, NET_SECOND(1));
    net_run(&net, NET_SECOND(100));
    assert_true(net.now_us - ike_sa_heard_us(a->sa) <= NET_SECOND(2));
    ike_sa_set_liveness(a->sa, 0);
    net_run(&net, NET_SECOND(100));
    assert_true(net.now_us > now_us && net.now_us - ike_sa_heard_us(a->sa) <= NET_SECOND(31));
    net_done(&net);
    (void)state;
}

static void test_close(void **state)
{
    struct net net;
    for (int i = 0; i < 4; i++) {
        net_init(&net, 8);
        for (size_t n = 0; n < 2; n++) {
            net.nodes[n].config.is_reliable = i % 2;
            net_open(&net, n, NULL);
        }
        struct watch *a = net_connect(&net, 0, 1);
        net_run(&net, NET_SECOND(1));
        struct watch *b = net_newest(&net, 1);
        net.nodes[1].is_deaf = i / 2;
        ike_sa_close(a->sa, net.now_us);
        assert_int_equal(ike_sa_send_notify(a->sa, 56800, NULL, 0), ERR_STATE);
        assert_int_equal(ike_sa_rekey(a->sa), ERR_STATE);
        net_drive(a);
        assert_false(a->is_closed);
        net_run(&net, NET_MS(50));
        assert_int_equal(a->is_closed, i / 2 == 0);
        assert_int_equal(b->is_closed, i / 2 == 0);
        net_run(&net, NET_SECOND(3));
        assert_true(a->is_closed);
        assert_int_equal(a->closed.reason, IKE_REASON_CLOSED_HERE);
        net_done(&net);
    }
    /* both at once */
    net_init(&net, 9);
    net_open(&net, 0, NULL);
    net_open(&net, 1, NULL);
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(1));
    struct watch *b = net_newest(&net, 1);
    ike_sa_close(a->sa, net.now_us);
    ike_sa_close(b->sa, net.now_us);
    net_drive(a);
    net_drive(b);
    net_run(&net, NET_MS(50));
    assert_true(a->is_closed && b->is_closed);
    net_done(&net);
    /* before anything is established: at once, silently */
    net_init(&net, 10);
    net_open(&net, 0, NULL);
    net_open(&net, 1, NULL);
    a = net_connect(&net, 0, 1);
    ike_sa_close(a->sa, net.now_us);
    net_drive(a);
    assert_true(a->is_closed);
    assert_int_equal(a->closed.reason, IKE_REASON_CLOSED_HERE);
    net_done(&net);
    (void)state;
}

static void test_notify_queue(void **state)
{
    struct net net;
    static const uint8_t data[IKE_NOTIFY_LEN_MAX + 1] = {1, 2, 3};

    net_init(&net, 11);
    net_open(&net, 0, NULL);
    net_open(&net, 1, NULL);
    struct watch *a = net_connect(&net, 0, 1);
    assert_int_equal(ike_sa_send_notify(a->sa, 16384, data, 1), ERR_INVALID);
    assert_int_equal(ike_sa_send_notify(a->sa, 56800, data, sizeof(data)), ERR_INVALID);
    /* queued before the SA stands: all arrive, in order, many to an exchange */
    for (uint16_t i = 0; i < IKE_NOTIFY_QUEUE_MAX; i++)
        assert_int_equal(ike_sa_send_notify(a->sa, 56800 + i, data, i), ERR_OK);
    assert_int_equal(ike_sa_send_notify(a->sa, 56800, data, 1), ERR_FULL);
    net_run(&net, NET_SECOND(1));
    struct watch *b = net_newest(&net, 1);
    assert_int_equal(b->notify_count, IKE_NOTIFY_QUEUE_MAX);
    assert_int_equal(b->notify_type, 56800 + IKE_NOTIFY_QUEUE_MAX - 1);
    assert_int_equal(b->notify_len, IKE_NOTIFY_QUEUE_MAX - 1);
    assert_memory_equal(b->notify_data, data, b->notify_len);
    assert_true(net.sent_count <= 4 + 2 * 4);
    assert_true(net.longest < 1232); /* fits IPv6's least MTU with UDP */
    /* the largest; and none at all */
    assert_int_equal(ike_sa_send_notify(b->sa, 65535, data, IKE_NOTIFY_LEN_MAX), ERR_OK);
    assert_int_equal(ike_sa_send_notify(b->sa, 40960, NULL, 0), ERR_OK);
    net_drive(b);
    net_run(&net, NET_SECOND(1));
    assert_int_equal(a->notify_count, 2);
    assert_int_equal(a->notify_type, 40960);
    assert_int_equal(a->notify_len, 0);
    net_done(&net);
    (void)state;
}

static void test_set_remote(void **state)
{
    struct net net;
    net_init(&net, 12);
    net_open(&net, 0, NULL);
    net_open(&net, 1, NULL);
    struct watch *a = net_connect(&net, 0, 1);
    net_run(&net, NET_SECOND(1));
    struct watch *b = net_newest(&net, 1);
    /* the peer moved; answers go to where requests come from, requests to where the owner says */
    struct endpoint old = net.nodes[1].endpoint;
    net.nodes[1].endpoint.port = 9999;
    ike_sa_check_alive(b->sa);
    net_drive(b);
    net_run(&net, NET_MS(41));
    assert_true(net.now_us - ike_sa_heard_us(b->sa) < NET_MS(2));
    assert_true(endpoint_is_equal(ike_sa_remote(a->sa), &old));
    ike_sa_set_remote(a->sa, &net.nodes[1].endpoint);
    assert_int_equal(ike_sa_send_notify(a->sa, 56800, NULL, 0), ERR_OK);
    net_drive(a);
    net_run(&net, NET_MS(41)); /* behind the challenge of the new endpoint */
    assert_int_equal(b->notify_count, 1);
    net_done(&net);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_caps_and_cookies),    cmocka_unit_test(test_replies_are_bounded),
        cmocka_unit_test(test_no_responder),        cmocka_unit_test(test_table_is_full),
        cmocka_unit_test(test_half_open_times_out), cmocka_unit_test(test_dead_peer),
        cmocka_unit_test(test_liveness_of_one),     cmocka_unit_test(test_close),
        cmocka_unit_test(test_notify_queue),        cmocka_unit_test(test_set_remote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
