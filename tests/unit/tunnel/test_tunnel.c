/* Two tunnels, one for each end, against each other: data, commands, rekeys, paths, look-ups,
 * counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ends.h"
#include "tunnel/sput_batch.h"
#include "wire/icmp.h"
#include "wire/ip.h"

static const uint8_t seed[16] = {1, 2, 3};

static void make_key(uint8_t key[SUITE_KEY_CAP], uint64_t id, uint8_t direction)
{
    /* Every part of it another one: keys of both kinds, salt. */
    for (size_t i = 0; i < SUITE_KEY_CAP; i++)
        key[i] = (uint8_t)(direction + id * 37);
}

/* A child of both ends; sent with at once where is_outbound. */
static void add_child(struct ends *e, uint64_t id, enum suite suite, bool is_outbound)
{
    uint8_t forth[SUITE_KEY_CAP], back[SUITE_KEY_CAP];
    make_key(forth, id, 0x11);
    make_key(back, id, 0x22);
    struct tunnel_child child = {.id = id,
                                 .suite = suite,
                                 .key_in = back,
                                 .key_out = forth,
                                 .key_len = suite_key_len(suite),
                                 .remote = e->b.view};
    assert_int_equal(tunnel_add_child(e->a.tunnel, &child), ERR_OK);
    child.key_in = forth;
    child.key_out = back;
    child.remote = e->a.view;
    assert_int_equal(tunnel_add_child(e->b.tunnel, &child), ERR_OK);
    if (is_outbound) {
        assert_int_equal(tunnel_set_outbound(e->a.tunnel, id), ERR_OK);
        assert_int_equal(tunnel_set_outbound(e->b.tunnel, id), ERR_OK);
    }
}

/* A UDP packet of `end`'s host with payload_len bytes behind the UDP header. */
static void local_packet(const struct end *end, struct packet *packet, size_t payload_len)
{
    static uint8_t udp[4200], bytes[4300];
    make_transport(udp, &end->view.own_ipv4, &end->view.peer_ipv4, 17, 8 + payload_len);
    packet_fill(
        packet, bytes,
        make_ip(bytes, &end->view.own_ipv4, &end->view.peer_ipv4, 17, udp, 8 + payload_len));
}

/* As the network does: the receiver sees the sender's endpoint. */
static void deliver(const struct end *from, struct packet *packet)
{
    packet->peer = from->endpoint;
}

static void send_data(struct end *from, struct packet *packet, size_t payload_len)
{
    local_packet(from, packet, payload_len);
    assert_int_equal(tunnel_seal(from->tunnel, packet, NOW), DROP_NONE);
    deliver(from, packet);
}

static void check_arrives(struct end *from, struct end *to, uint64_t child_id)
{
    struct packet packet;
    struct tunnel_message message;
    send_data(from, &packet, 100);
    assert_int_equal(receive(to, &packet, &message), DROP_NONE);
    assert_int_equal(message.kind, TUNNEL_DATA);
    assert_int_equal(message.child_id, child_id);
}

static void test_data(void **state)
{
    for (size_t s = 0; s < SPUT_SUITE_COUNT; s++) {
        struct ends e;
        struct packet packet;
        struct tunnel_message message;
        struct ip_view v;
        struct tunnel_status status;
        ends_init(&e);
        add_child(&e, 1, all_suites[s], true);
        local_packet(&e.a, &packet, 100);
        packet.data[1] = 0xb8; /* EF; the header checksum does not travel */
        assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW), DROP_NONE);
        assert_true(endpoint_is_equal(&packet.peer, &e.b.endpoint));
        assert_int_equal(packet.tos, 0xb8);
        assert_int_equal(packet.len, 108 + suite_overhead(all_suites[s]));
        deliver(&e.a, &packet);
        assert_int_equal(receive(&e.b, &packet, &message), DROP_NONE);
        assert_int_equal(message.kind, TUNNEL_DATA);
        assert_true(message.is_first && message.is_outbound);
        assert_int_equal(ip_parse(packet.data, packet.len, &v), ERR_OK);
        assert_true(address_is_equal(&v.src, &e.b.view.peer_ipv4));
        assert_true(address_is_equal(&v.dst, &e.b.view.own_ipv4));
        assert_int_equal(v.tos, 0xb8);
        assert_int_equal(transport_sum(&v.src, &v.dst, 17, v.payload, 108, 108), 0xffff);
        tunnel_get_status(e.b.tunnel, &status);
        assert_int_equal(status.packets_in, 1);
        assert_int_equal(status.bytes_in, 128);
        assert_int_equal(status.received_us, NOW);
        assert_int_equal(status.sent_us, 0);
        tunnel_get_status(e.a.tunnel, &status);
        assert_int_equal(status.packets_out, 1);
        assert_int_equal(status.bytes_out, 128);
        assert_int_equal(status.sent_us, NOW);
        assert_int_equal(status.suite, all_suites[s]);
        assert_int_equal(status.outbound_id, 1);
        ends_done(&e);
    }
}

/* Fig. 10 of the paper: an ICMP message of 40 bytes (an IP packet of 60) is a UDP payload of 80,
 * number 1. */
static void test_paper_figure(void **state)
{
    struct ends e;
    struct packet packet;
    uint8_t icmp[40], bytes[128];
    ends_init(&e);
    add_child(&e, 1, SPUT_PAPER, true);
    for (uint32_t number = 1; number <= 3; number++) {
        make_transport(icmp, &e.a.view.own_ipv4, &e.a.view.peer_ipv4, 1, sizeof(icmp));
        packet_fill(&packet, bytes,
                    make_ip(bytes, &e.a.view.own_ipv4, &e.a.view.peer_ipv4, 1, icmp, sizeof(icmp)));
        assert_int_equal(packet.len, 60);
        assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW), DROP_NONE);
        assert_int_equal(packet.len, 80);
        assert_int_equal(packet.data[0], number); /* little-endian */
        assert_int_equal(packet.data[1] | packet.data[2] | packet.data[3], 0);
    }
    ends_done(&e);
}

static void test_not_ready(void **state)
{
    const struct translation t = sample_translation();
    struct end end;
    struct packet packet;
    struct tunnel_message message;
    const uint8_t key[SUITE_KEY_CAP] = {0};
    struct tunnel_child child = {.id = 5,
                                 .suite = SPUT_PAPER,
                                 .key_in = key,
                                 .key_out = key,
                                 .key_len = suite_key_len(SPUT_PAPER),
                                 .remote = t.remote};
    end_init(&end, &t.local, "192.0.2.1:1", NULL);
    local_packet(&end, &packet, 10);
    const uint32_t len = packet.len;
    assert_int_equal(tunnel_seal(end.tunnel, &packet, NOW), DROP_NO_PATH);
    assert_int_equal(tunnel_mtu(end.tunnel), 0);
    assert_int_equal(tunnel_set_path(end.table, end.tunnel, &end.endpoint, 1500), ERR_OK);
    assert_int_equal(tunnel_seal(end.tunnel, &packet, NOW), DROP_NO_CHILD);
    packet.peer = end.endpoint;
    assert_int_equal(receive(&end, &packet, &message), DROP_NO_CHILD);
    assert_int_equal(tunnel_add_child(end.tunnel, &child), ERR_OK);
    assert_int_equal(tunnel_seal(end.tunnel, &packet, NOW),
                     DROP_NO_CHILD); /* not told to send with it */
    assert_int_equal(packet.len, len);
    assert_int_equal(tunnel_add_child(end.tunnel, &child), ERR_EXISTS);
    child.id = 0;
    assert_int_equal(tunnel_add_child(end.tunnel, &child), ERR_INVALID);
    child.id = 6;
    child.key_len--;
    assert_int_equal(tunnel_add_child(end.tunnel, &child), ERR_INVALID);
    child.suite = (enum suite)12;
    assert_int_equal(tunnel_add_child(end.tunnel, &child), ERR_UNSUPPORTED);
    assert_int_equal(tunnel_set_outbound(end.tunnel, 6), ERR_NOT_FOUND);
    assert_int_equal(tunnel_drop_child(end.tunnel, 6), ERR_NOT_FOUND);
    assert_int_equal(tunnel_set_outbound(end.tunnel, 5), ERR_OK);
    assert_int_equal(tunnel_seal(end.tunnel, &packet, NOW), DROP_NONE);
    tunnel_table_free(end.table);
}

static void test_too_big(void **state)
{
    struct ends e;
    struct packet packet;
    uint8_t before[1600];
    struct tunnel_status status;
    ends_init(&e);
    add_child(&e, 1, SPUT_PAPER, true);
    assert_int_equal(tunnel_mtu(e.a.tunnel), 1432);
    /* Without its header a packet of 1452 bytes just fits into 1500. */
    local_packet(&e.a, &packet, 1452 - 28);
    assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW), DROP_NONE);
    assert_int_equal(packet.len, 1500 - 28);
    local_packet(&e.a, &packet, 1453 - 28);
    memcpy(before, packet.data, packet.len);
    assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW), DROP_TOO_BIG);
    assert_int_equal(packet.len, 1453);
    assert_memory_equal(packet.data, before, 1453);
    /* A whole one: 1432. */
    for (unsigned int len = 1432; len <= 1433; len++) {
        local_packet(&e.a, &packet, len - 28);
        put_u16(packet.data + 6, 0x2000);
        assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW),
                         len == 1432 ? DROP_NONE : DROP_TOO_BIG);
    }
    /* What the caller then does. */
    uint8_t answer[600];
    struct writer w;
    writer_init(&w, answer, sizeof(answer));
    assert_int_equal(icmp_too_big_build(&w, before, 1453, tunnel_mtu(e.a.tunnel)), ERR_OK);
    assert_int_equal(tunnel_set_path(e.a.table, e.a.tunnel, &e.b.endpoint, 1400), ERR_OK);
    assert_int_equal(tunnel_mtu(e.a.tunnel), 1332);
    tunnel_get_status(e.a.tunnel, &status);
    assert_int_equal(status.drops[DROP_TOO_BIG], 2);
    ends_done(&e);
}

/* As long outside as asked for, over either family; longer than any message is refused. */
static void test_probes(void **state)
{
    struct ends e;
    struct packet packet;
    struct tunnel_message message;
    uint32_t number = 0;
    ends_init(&e);
    add_child(&e, 1, SPUT_PAPER, true);
    for (uint32_t size = 640; size <= 4000; size += 97) {
        packet_reset(&packet);
        assert_int_equal(tunnel_seal_probe(e.a.tunnel, &packet, size, NOW, &number), DROP_NONE);
        assert_int_equal(packet.len, size - 28);
        deliver(&e.a, &packet);
        assert_int_equal(receive(&e.b, &packet, &message), DROP_NONE);
        assert_int_equal(message.kind, TUNNEL_PROBE);
        assert_int_equal(message.number, number);
    }
    packet_reset(&packet); /* as short as can be */
    assert_int_equal(tunnel_seal_probe(e.a.tunnel, &packet, 10, NOW, &number), DROP_NONE);
    assert_int_equal(packet.len, 40);
    packet_reset(&packet); /* and as long */
    assert_int_equal(tunnel_seal_probe(e.a.tunnel, &packet, 65535, NOW, &number), DROP_NONE);
    assert_int_equal(packet.len, 4132);
    ends_done(&e);
}

/* Once for each time that it was asked, by what was asked. */
static void test_wakes(void **state)
{
    struct ends e;
    struct packet packet;
    struct tunnel_message message;
    struct tunnel_status status;
    ends_init(&e);
    add_child(&e, 1, SPUT_PAPER, true);
    local_packet(&e.a, &packet, 100);
    assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW), DROP_NONE);
    assert_false(tunnel_take_wake(e.a.tunnel)); /* nobody asked */
    tunnel_set_wake(e.a.tunnel, TUNNEL_WAKE_LARGE);
    local_packet(&e.a, &packet, 100);
    assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW), DROP_NONE);
    assert_false(tunnel_take_wake(e.a.tunnel));
    tunnel_get_status(e.a.tunnel, &status);
    assert_int_equal(status.large_us, 0);
    local_packet(&e.a, &packet, 1300);
    assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW + 1), DROP_NONE);
    assert_true(tunnel_take_wake(e.a.tunnel));
    assert_false(tunnel_take_wake(e.a.tunnel));
    tunnel_get_status(e.a.tunnel, &status);
    assert_int_equal(status.large_us, NOW + 1);
    assert_false(status.has_stream);
    /* Inbound. */
    tunnel_set_wake(e.b.tunnel, TUNNEL_WAKE_DATA);
    deliver(&e.a, &packet);
    assert_int_equal(receive(&e.b, &packet, &message), DROP_NONE);
    assert_true(tunnel_take_wake(e.b.tunnel));
    ends_done(&e);
}

static void test_commands(void **state)
{
    struct ends e;
    struct packet packet;
    struct tunnel_message message;
    struct tunnel_status status;
    uint32_t number = 0;
    ends_init(&e);
    add_child(&e, 1, SPUT_AES128_GCM, true);

    packet_reset(&packet); /* a probe larger than the path's MTU may be tried */
    packet.len = 2000;
    memset(packet.data, 0, packet.len);
    assert_int_equal(tunnel_seal_command(e.a.tunnel, &packet, SPUT_PROBE, NOW, &number), DROP_NONE);
    assert_int_equal(number, 1);
    deliver(&e.a, &packet);
    assert_int_equal(receive(&e.b, &packet, &message), DROP_NONE);
    assert_int_equal(message.kind, TUNNEL_PROBE);
    assert_int_equal(message.number, number);
    assert_int_equal(packet.len, 2000);
    assert_int_equal(tunnel_seal_reply(e.b.tunnel, &packet, message.number + 0x01020300, NOW),
                     DROP_NONE);
    deliver(&e.b, &packet);
    assert_int_equal(receive(&e.a, &packet, &message), DROP_NONE);
    assert_int_equal(message.kind, TUNNEL_PROBE_REPLY);
    assert_int_equal(message.number, number + 0x01020300);

    packet_reset(&packet);
    assert_int_equal(tunnel_seal_command(e.a.tunnel, &packet, SPUT_CLOSE, NOW, NULL), DROP_NONE);
    assert_int_equal(packet.len, 24);
    deliver(&e.a, &packet);
    assert_int_equal(receive(&e.b, &packet, &message), DROP_NONE);
    assert_int_equal(message.kind, TUNNEL_CLOSE);

    static const struct {
        uint8_t command;
        const char *payload;
        enum drop_reason expected;
    } bad[] = {{SPUT_CLOSE, "x", DROP_MALFORMED},
               {SPUT_PROBE_REPLY, "abc", DROP_MALFORMED},
               {SPUT_PROBE_REPLY, "abcde", DROP_MALFORMED},
               {SPUT_PROBE_REPLY, "", DROP_MALFORMED},
               {4, "", DROP_COMMAND},
               {255, "?", DROP_COMMAND}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        packet_fill(&packet, bad[i].payload, strlen(bad[i].payload));
        assert_int_equal(
            tunnel_seal_command(e.a.tunnel, &packet, (enum sput_command)bad[i].command, NOW, NULL),
            DROP_NONE);
        deliver(&e.a, &packet);
        message.kind = (enum tunnel_message_kind)99;
        assert_int_equal(receive(&e.b, &packet, &message), bad[i].expected);
        assert_int_equal(message.kind, 99);
    }
    tunnel_get_status(e.b.tunnel, &status);
    assert_int_equal(status.drops[DROP_MALFORMED], 4);
    assert_int_equal(status.drops[DROP_COMMAND], 2);
    assert_int_equal(status.packets_in, 0);
    ends_done(&e);
}

/* Through every step of a rekey, and with packets of the old child still under way, nothing is
 * lost. */
static void test_rekey(void **state)
{
    struct ends e;
    struct packet late, later;
    struct tunnel_message message;
    ends_init(&e);
    add_child(&e, 1, SPUT_PAPER, true);
    check_arrives(&e.a, &e.b, 1);
    send_data(&e.a, &late, 50);
    send_data(&e.a, &later, 50);
    add_child(&e, 2, SPUT_AES256_GCM, false);
    check_arrives(&e.a, &e.b, 1);
    assert_int_equal(receive(&e.b, &late, &message), DROP_NONE);
    assert_int_equal(message.child_id, 1);
    assert_false(message.is_first);

    assert_int_equal(tunnel_set_outbound(e.a.tunnel, 2), ERR_OK); /* one end first */
    send_data(&e.a, &late, 50);
    assert_int_equal(receive(&e.b, &late, &message), DROP_NONE);
    assert_int_equal(message.child_id, 2);
    assert_true(message.is_first);
    assert_false(message.is_outbound); /* b may send with it now */
    check_arrives(&e.b, &e.a, 1);
    assert_int_equal(tunnel_set_outbound(e.b.tunnel, 2), ERR_OK);
    check_arrives(&e.b, &e.a, 2);
    assert_int_equal(receive(&e.b, &later, &message), DROP_NONE);
    assert_int_equal(message.child_id, 1);

    assert_int_equal(tunnel_drop_child(e.a.tunnel, 1), ERR_OK);
    assert_int_equal(tunnel_drop_child(e.b.tunnel, 1), ERR_OK);
    check_arrives(&e.a, &e.b, 2);
    check_arrives(&e.b, &e.a, 2);
    assert_int_equal(tunnel_drop_child(e.b.tunnel, 1), ERR_NOT_FOUND);
    ends_done(&e);
}

static void test_oldest_child_goes(void **state)
{
    struct ends e;
    struct packet old;
    struct tunnel_message message;
    struct tunnel_status status;
    ends_init(&e);
    add_child(&e, 1, SPUT_AES128_GCM, true);
    send_data(&e.a, &old, 10);
    for (uint64_t id = 2; id <= TUNNEL_CHILDREN_MAX; id++)
        add_child(&e, id, SPUT_AES128_GCM, false);
    check_arrives(&e.a, &e.b, 1);
    add_child(&e, TUNNEL_CHILDREN_MAX + 1, SPUT_AES128_GCM, false);
    assert_int_equal(receive(&e.b, &old, &message), DROP_NOT_AUTHENTIC);
    tunnel_get_status(e.b.tunnel, &status); /* still sent with, though */
    assert_int_equal(status.outbound_id, 1);
    assert_int_equal(tunnel_set_outbound(e.a.tunnel, 3), ERR_OK);
    check_arrives(&e.a, &e.b, 3);
    assert_int_equal(tunnel_drop_child(e.a.tunnel, 3), ERR_OK);
    local_packet(&e.a, &old, 10);
    assert_int_equal(tunnel_seal(e.a.tunnel, &old, NOW), DROP_NO_CHILD);
    assert_int_equal(tunnel_set_outbound(e.a.tunnel, 4), ERR_OK);
    check_arrives(&e.a, &e.b, 4);
    ends_done(&e);
}

static void test_rekey_due(void **state)
{
    struct ends e;
    struct packet packet;
    ends_init(&e);
    const uint8_t key[SUITE_KEY_CAP] = {0};
    const struct tunnel_child child = {.id = 1,
                                       .suite = SPUT_PAPER,
                                       .key_in = key,
                                       .key_out = key,
                                       .key_len = suite_key_len(SPUT_PAPER),
                                       .remote = e.b.view,
                                       .rekey_at = 3};
    assert_false(tunnel_is_rekey_due(e.a.tunnel));
    assert_int_equal(tunnel_add_child(e.a.tunnel, &child), ERR_OK);
    assert_int_equal(tunnel_set_outbound(e.a.tunnel, 1), ERR_OK);
    for (int i = 0; i < 3; i++) {
        assert_false(tunnel_is_rekey_due(e.a.tunnel));
        send_data(&e.a, &packet, 1);
    }
    assert_true(tunnel_is_rekey_due(e.a.tunnel));
    ends_done(&e);
}

/* A stranger's, reflected, altered and repeated datagrams: refused, counted, nothing moves. */
static void test_attacks(void **state)
{
    for (size_t s = 0; s < SPUT_SUITE_COUNT; s++) {
        struct ends e;
        struct packet packet, copy;
        struct tunnel_message message;
        struct tunnel_status status;
        ends_init(&e);
        add_child(&e, 1, all_suites[s], true);
        send_data(&e.a, &packet, 30);

        copy = packet;
        packet_fill(&copy, packet.data, packet.len);
        copy.peer = e.b.endpoint; /* reflected, with a forged sender */
        assert_int_equal(receive(&e.a, &copy, &message), DROP_NOT_AUTHENTIC);
        copy.peer =
            endpoint_of("203.0.113.66:6666"); /* an endpoint without a tunnel, authentic or not */
        assert_int_equal(receive(&e.b, &copy, &message), DROP_NO_TUNNEL);
        assert_int_equal(drop_counted(tunnel_table_drops(e.b.table), DROP_NO_TUNNEL), 1);
        for (size_t bit = 0; bit < packet.len * 8u; bit++) {
            packet_fill(&copy, packet.data, packet.len);
            copy.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            copy.peer = e.a.endpoint;
            enum drop_reason reason = receive(&e.b, &copy, &message);
            assert_true(reason == DROP_NOT_AUTHENTIC ||
                        (reason == DROP_LENGTH && bit < 32)); /* number 0 */
        }
        tunnel_get_status(e.b.tunnel, &status);
        assert_int_equal(status.received_us, 0); /* no sign of life from any of it */
        assert_int_equal(status.packets_in, 0);
        for (int i = 0; i < 2; i++) {
            packet_fill(&copy, packet.data, packet.len);
            copy.peer = e.a.endpoint;
            assert_int_equal(receive(&e.b, &copy, &message), i == 0 ? DROP_NONE : DROP_REPLAY);
        }
        tunnel_get_status(e.b.tunnel, &status);
        assert_int_equal(status.drops[DROP_REPLAY], 1);
        ends_done(&e);
    }
}

/* An authentic peer that forges what is inside. */
static void test_hostile_peer(void **state)
{
    struct ends e;
    struct packet packet;
    struct tunnel_message message;
    struct tunnel_status status;
    struct sput_sender sender;
    uint8_t key[SUITE_KEY_CAP], bytes[100], payload[20] = {0};
    const struct address victim = address_of("10.0.0.1");
    ends_init(&e);
    add_child(&e, 1, SPUT_PAPER, true);
    make_key(key, 1, 0x11);
    assert_int_equal(sput_sender_init(&sender, SPUT_PAPER, key, suite_key_len(SPUT_PAPER),
                                      SPUT_REKEY_AT_DEFAULT),
                     ERR_OK);
    packet_fill(&packet, bytes,
                make_ip(bytes, &e.a.view.own_ipv4, &victim, 50, payload, sizeof(payload)));
    assert_int_equal(sput_seal(&sender, &packet, SPUT_DATA, 4, 0, NULL), ERR_OK);
    deliver(&e.a, &packet);
    assert_int_equal(receive(&e.b, &packet, &message), DROP_FOREIGN_ADDRESS);
    tunnel_get_status(e.b.tunnel, &status);
    assert_int_equal(status.drops[DROP_FOREIGN_ADDRESS], 1);
    assert_int_equal(status.received_us, NOW); /* it is authentic, though */
    sput_sender_done(&sender);
    ends_done(&e);
}

static void test_paths(void **state)
{
    struct ends e;
    struct packet packet;
    struct tunnel_message message;
    struct tunnel_status status;
    const struct endpoint first = endpoint_of("192.0.2.1:32589"),
                          second = endpoint_of("[2001:db8::1]:32589");
    const struct endpoint third = endpoint_of("192.0.2.1:32590");
    ends_init(&e);
    add_child(&e, 1, SPUT_PAPER, true);
    assert_ptr_equal(tunnel_find_by_endpoint(e.b.table, &first), e.b.tunnel);
    assert_null(tunnel_find_by_endpoint(e.b.table, &second));

    send_data(&e.a, &packet, 10); /* under way while b moves a's path */
    assert_int_equal(tunnel_set_path(e.b.table, e.b.tunnel, &second, 1500), ERR_OK);
    assert_int_equal(receive(&e.b, &packet, &message), DROP_NONE);
    tunnel_get_status(e.b.tunnel, &status);
    assert_true(endpoint_is_equal(&status.remote, &second));
    assert_int_equal(status.mtu, 1412); /* outer IPv6 */
    e.a.endpoint = second;
    check_arrives(&e.a, &e.b, 1);
    /* Only the MTU changes: the path before is still taken from. */
    assert_int_equal(tunnel_set_path(e.b.table, e.b.tunnel, &second, 1300), ERR_OK);
    assert_ptr_equal(tunnel_find_by_endpoint(e.b.table, &first), e.b.tunnel);
    assert_int_equal(tunnel_set_path(e.b.table, e.b.tunnel, &third, 1500), ERR_OK);
    assert_null(tunnel_find_by_endpoint(e.b.table, &first));
    assert_ptr_equal(tunnel_find_by_endpoint(e.b.table, &second), e.b.tunnel);
    assert_int_equal(tunnel_set_path(e.b.table, e.b.tunnel, &second, 1500), ERR_OK); /* and back */
    assert_ptr_equal(tunnel_find_by_endpoint(e.b.table, &second), e.b.tunnel);
    assert_ptr_equal(tunnel_find_by_endpoint(e.b.table, &third), e.b.tunnel);
    ends_done(&e);
}

/* Two tunnels to one endpoint (one host under two names): the keys tell them apart. */
static void test_shared_endpoint(void **state)
{
    struct ends e;
    struct packet packet, copy;
    struct tunnel_message message;
    struct tunnel *found = NULL, *others[20];
    const uint8_t key[SUITE_KEY_CAP] = {0x77};
    ends_init(&e);
    add_child(&e, 1, SPUT_PAPER, true);
    for (unsigned int i = 0; i < 20; i++) {
        struct view view = e.b.view;
        view.own_ipv6 = view.peer_ipv6 = (struct address){0};
        view.peer_ipv4.bytes[3] = (uint8_t)(100 + i);
        assert_int_equal(tunnel_add(e.b.table, &view, NULL, &others[i]), ERR_OK);
        assert_int_equal(tunnel_set_path(e.b.table, others[i], &e.a.endpoint, 1500), ERR_OK);
        const struct tunnel_child child = {.id = 1,
                                           .suite = all_suites[i % SPUT_SUITE_COUNT],
                                           .key_in = key,
                                           .key_out = key,
                                           .key_len =
                                               suite_key_len(all_suites[i % SPUT_SUITE_COUNT]),
                                           .remote = e.a.view};
        if (i > 2)
            assert_int_equal(tunnel_add_child(others[i], &child), ERR_OK);
    }
    send_data(&e.a, &packet, 30);
    for (int i = 0; i < 2; i++) {
        packet_fill(&copy, packet.data, packet.len);
        copy.peer = e.a.endpoint;
        tunnel_read_begin();
        enum drop_reason reason = tunnel_open_any(e.b.table, &copy, NOW, &found, &message);
        tunnel_read_end();
        assert_ptr_equal(found, e.b.tunnel);
        assert_true(i == 0 ? reason == DROP_NONE : reason != DROP_NONE);
    }
    ends_done(&e);
}

static void test_look_ups(void **state)
{
    const struct translation t = sample_translation();
    struct view view = t.local, only_ipv4 = t.local;
    struct tunnel_table *table = NULL;
    struct tunnel *tunnel = NULL, *other = NULL;
    int mark = 0;
    only_ipv4.own_ipv6 = only_ipv4.peer_ipv6 = (struct address){0};
    assert_int_equal(tunnel_table_new(seed, &table), ERR_OK);
    assert_int_equal(tunnel_add(table, &view, &mark, &tunnel), ERR_OK);
    assert_ptr_equal(tunnel_user(tunnel), &mark);
    assert_true(address_is_equal(&tunnel_view(tunnel)->peer_ipv4, &view.peer_ipv4));
    assert_ptr_equal(tunnel_find_by_peer(table, &view.peer_ipv4), tunnel);
    assert_ptr_equal(tunnel_find_by_peer(table, &view.peer_ipv6), tunnel);
    assert_null(tunnel_find_by_peer(table, &view.own_ipv4));
    assert_int_equal(tunnel_add(table, &only_ipv4, NULL, &other), ERR_EXISTS);
    only_ipv4.peer_ipv4.bytes[3]++;
    assert_int_equal(tunnel_add(table, &only_ipv4, NULL, &other), ERR_OK);
    assert_ptr_equal(tunnel_find_by_peer(table, &only_ipv4.peer_ipv4), other);
    view = (struct view){0};
    assert_int_equal(tunnel_add(table, &view, NULL, &other), ERR_INVALID);
    tunnel_remove(table, tunnel);
    assert_null(tunnel_find_by_peer(table, &t.local.peer_ipv4));
    assert_null(tunnel_find_by_peer(table, &t.local.peer_ipv6));
    assert_ptr_equal(tunnel_find_by_peer(table, &only_ipv4.peer_ipv4), other);
    tunnel_table_free(table);
    tunnel_table_free(NULL);
}

struct walk {
    struct tunnel_table *table;
    int count;
};

static void count_and_remove(struct tunnel *tunnel, void *context)
{
    struct walk *walk = (struct walk *)context;
    if (walk->count++ % 2 == 0)
        tunnel_remove(walk->table, tunnel);
}

static void test_foreach(void **state)
{
    struct walk walk = {0};
    assert_int_equal(tunnel_table_new(seed, &walk.table), ERR_OK);
    for (uint32_t i = 0; i < 3000; i++) { /* more than there are buckets */
        const struct view view = {.own_ipv4 = address_from_ipv4(2),
                                  .peer_ipv4 = address_from_ipv4(1000 + i)};
        struct tunnel *tunnel;
        assert_int_equal(tunnel_add(walk.table, &view, NULL, &tunnel), ERR_OK);
    }
    tunnel_foreach(walk.table, count_and_remove, &walk);
    assert_int_equal(walk.count, 3000);
    int left = 0;
    for (uint32_t i = 0; i < 3000; i++) {
        const struct address peer = address_from_ipv4(1000 + i);
        left += tunnel_find_by_peer(walk.table, &peer) != NULL;
    }
    assert_int_equal(left, 1500);
    tunnel_table_free(walk.table);
}

/* ---- tags made together ---- */

#define BATCH 40

/* The messages of two senders with the same keys, of which one defers: alike, byte by byte. */
static void test_deferred_tags(void **state)
{
    static struct packet deferred[BATCH], plain;
    struct packet *all[BATCH];
    struct sput_batch *batch;
    assert_int_equal(sput_batch_new(&batch), ERR_OK);
    for (size_t s = 0; s < SPUT_SUITE_COUNT; s++) {
        for (unsigned count = 1; count <= BATCH; count += 13) {
            struct ends one, other;
            ends_init(&one);
            ends_init(&other);
            add_child(&one, 1, all_suites[s], true);
            add_child(&other, 1, all_suites[s], true);
            tunnel_read_begin();
            for (unsigned i = 0; i < count; i++) {
                local_packet(&one.a, &deferred[i], i * 31);
                assert_int_equal(tunnel_seal_deferring(one.a.tunnel, &deferred[i], NOW), DROP_NONE);
                all[i] = &deferred[i];
            }
            sput_batch_seal(batch, all, count);
            tunnel_read_end();
            for (unsigned i = 0; i < count; i++) {
                local_packet(&other.a, &plain, i * 31);
                assert_int_equal(tunnel_seal(other.a.tunnel, &plain, NOW), DROP_NONE);
                assert_null(deferred[i].tag_keys);
                assert_int_equal(deferred[i].len, plain.len);
                assert_memory_equal(deferred[i].data, plain.data, plain.len);
            }
            ends_done(&one);
            ends_done(&other);
        }
    }
    sput_batch_free(batch);
}

/* Some of a batch are altered, some sealed with an older child, some replayed: each fares as it
 * would alone. */
static void test_foreseen_tags(void **state)
{
    static struct packet packets[BATCH];
    struct packet *all[BATCH];
    struct sput_batch *batch;
    struct ends e;
    struct tunnel_message message;
    struct tunnel *tunnel;
    assert_int_equal(sput_batch_new(&batch), ERR_OK);
    ends_init(&e);
    add_child(&e, 1, SPUT_PAPER, true);
    for (unsigned i = 0; i < BATCH; i++) {
        if (i == 8)
            add_child(&e, 2, SPUT_PAPER, true);
        send_data(&e.a, &packets[i], 100 + i);
        if (i % 5 == 0)
            packets[i].data[i] ^= 4;
        all[i] = &packets[i];
    }
    packets[22] = packets[21]; /* a replay in the same batch */
    packets[22].data = packets[22].storage + (packets[21].data - packets[21].storage);
    tunnel_read_begin();
    sput_batch_foresee(batch, e.b.table, all, BATCH);
    for (unsigned i = 0; i < BATCH; i++) {
        const enum drop_reason reason =
            tunnel_open_any(e.b.table, &packets[i], NOW, &tunnel, &message);
        if (i % 5 == 0)
            assert_int_not_equal(reason, DROP_NONE);
        else if (i == 22)
            assert_int_equal(reason, DROP_REPLAY);
        else
            assert_int_equal(reason, DROP_NONE);
        if (reason == DROP_NONE)
            assert_int_equal(message.child_id, i < 8 ? 1 : 2);
    }
    tunnel_read_end();
    ends_done(&e);
    sput_batch_free(batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deferred_tags),
        cmocka_unit_test(test_foreseen_tags),
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_paper_figure),
        cmocka_unit_test(test_not_ready),
        cmocka_unit_test(test_too_big),
        cmocka_unit_test(test_probes),
        cmocka_unit_test(test_wakes),
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_rekey),
        cmocka_unit_test(test_oldest_child_goes),
        cmocka_unit_test(test_rekey_due),
        cmocka_unit_test(test_attacks),
        cmocka_unit_test(test_hostile_peer),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_shared_endpoint),
        cmocka_unit_test(test_look_ups),
        cmocka_unit_test(test_foreach),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
