/* Tunnels with ESP: every suite and form, look-up by SPI, commands between Detec hosts, plain
 * peers' addresses, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "ends.h"
#include "wire/ip.h"

#define SPI_A 0x5a000001u /* that a receives with */
#define SPI_B 0x5b000001u

static const uint8_t key_forth[SUITE_KEY_CAP] = {1, 2, [17] = 3, [40] = 4, [60] = 5};
static const uint8_t key_back[SUITE_KEY_CAP] = {9, 8, [17] = 7, [40] = 6, [60] = 5};

/* A child of both ends as `form` says; its SPIs count with its id. */
static void add_child(struct ends *e, uint64_t id, const struct tunnel_child *form)
{
    struct tunnel_child child = *form;
    child.id = id;
    child.key_len = suite_key_len(form->suite);
    child.key_in = key_back;
    child.key_out = key_forth;
    child.spi_in = SPI_A + (uint32_t)id;
    child.spi_out = SPI_B + (uint32_t)id;
    /* Between networks each end's packets carry addresses of its own network. */
    const struct view there = {form->wire.peer_ipv4, form->wire.own_ipv4, form->wire.peer_ipv6,
                               form->wire.own_ipv6};
    child.remote = form->selectors != NULL ? there : e->b.view;
    assert_int_equal(tunnel_add_child(e->a.tunnel, &child), ERR_OK);
    child.key_in = key_forth;
    child.key_out = key_back;
    child.spi_in = SPI_B + (uint32_t)id;
    child.spi_out = SPI_A + (uint32_t)id;
    child.remote = form->wire.own_ipv4.family != ADDRESS_NONE ? form->wire : e->a.view;
    child.wire = form->selectors != NULL ? there : (struct view){0};
    if (form->selectors != NULL) {
        const struct selector_pair swapped = {form->selectors->peer, form->selectors->own};
        child.selectors = &swapped;
        assert_int_equal(tunnel_add_child(e->b.tunnel, &child), ERR_OK);
    } else {
        assert_int_equal(tunnel_add_child(e->b.tunnel, &child), ERR_OK);
    }
    assert_int_equal(tunnel_set_outbound(e->a.tunnel, id), ERR_OK);
    assert_int_equal(tunnel_set_outbound(e->b.tunnel, id), ERR_OK);
}

static void udp_packet(struct packet *packet, const struct address *src, const struct address *dst,
                       size_t payload_len)
{
    static uint8_t udp[4200], bytes[4300];
    make_transport(udp, src, dst, 17, 8 + payload_len);
    packet_fill(packet, bytes, make_ip(bytes, src, dst, 17, udp, 8 + payload_len));
}

static void send_from(struct end *from, struct packet *packet, const struct address *src,
                      const struct address *dst, size_t payload_len)
{
    udp_packet(packet, src, dst, payload_len);
    assert_int_equal(tunnel_seal(from->tunnel, packet, NOW), DROP_NONE);
    packet->peer = from->endpoint;
}

/* What came out is a right UDP packet between these. */
static void check_packet(const struct packet *packet, const struct address *src,
                         const struct address *dst, size_t payload_len)
{
    struct ip_view v;
    assert_int_equal(ip_parse(packet->data, packet->len, &v), ERR_OK);
    assert_true(address_is_equal(&v.src, src) && address_is_equal(&v.dst, dst));
    assert_int_equal(v.payload_len, 8 + payload_len);
    assert_int_equal(v.protocol, 17);
    assert_int_equal(transport_sum(src, dst, 17, v.payload, v.payload_len, v.payload_len), 0xffff);
    if (v.version == 4)
        assert_int_equal(naive_sum(packet->data, 20, 0), 0xffff);
}

static void check_both_ways(struct ends *e)
{
    struct packet packet;
    struct tunnel_message message;
    for (int is_ipv6 = 0; is_ipv6 < 2; is_ipv6++) {
        const struct view *a = &e->a.view, *b = &e->b.view;
        send_from(&e->a, &packet, is_ipv6 ? &a->own_ipv6 : &a->own_ipv4,
                  is_ipv6 ? &a->peer_ipv6 : &a->peer_ipv4, 100);
        assert_int_equal(receive(&e->b, &packet, &message), DROP_NONE);
        assert_int_equal(message.kind, TUNNEL_DATA);
        assert_false(message.is_elsewhere);
        check_packet(&packet, is_ipv6 ? &b->peer_ipv6 : &b->peer_ipv4,
                     is_ipv6 ? &b->own_ipv6 : &b->own_ipv4, 100);
        send_from(&e->b, &packet, is_ipv6 ? &b->own_ipv6 : &b->own_ipv4,
                  is_ipv6 ? &b->peer_ipv6 : &b->peer_ipv4, 33);
        assert_int_equal(receive(&e->a, &packet, &message), DROP_NONE);
        check_packet(&packet, is_ipv6 ? &a->peer_ipv6 : &a->peer_ipv4,
                     is_ipv6 ? &a->own_ipv6 : &a->own_ipv4, 33);
    }
}

/* Between Detec hosts, and in tunnel mode: both families in one child, every suite. */
static void test_suites(void **state)
{
    for (unsigned s = 0; s < ESP_SUITE_COUNT; s++) {
        for (int is_tunnel = 0; is_tunnel < 2; is_tunnel++) {
            struct ends e;
            struct tunnel_status status;
            struct packet packet;
            const enum suite suite = (enum suite)(ESP_AES128_GCM + s);
            ends_init(&e);
            add_child(&e, 1,
                      &(struct tunnel_child){.suite = suite,
                                             .has_esn = s % 2 == 0,
                                             .mode = is_tunnel ? CHILD_TUNNEL : CHILD_BEET,
                                             .has_commands = true});
            check_both_ways(&e);
            tunnel_get_status(e.a.tunnel, &status);
            assert_int_equal(status.spi_in, SPI_A + 1);
            assert_int_equal(status.spi_out, SPI_B + 1);
            assert_int_equal(status.mode, is_tunnel ? CHILD_TUNNEL : CHILD_BEET);
            assert_int_equal(status.has_esn, s % 2 == 0);
            /* The largest packet that is said to go is one outer packet of the path, and whole. */
            const size_t headers = is_tunnel ? 28 : 8;
            send_from(&e.a, &packet, &e.a.view.own_ipv4, &e.a.view.peer_ipv4, status.mtu - headers);
            assert_true(packet.len <= 1472);
            assert_true(packet.len > 1472 - suite_alignment(suite));
            udp_packet(&packet, &e.a.view.own_ipv4, &e.a.view.peer_ipv4, status.mtu - headers + 1);
            assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW), DROP_TOO_BIG);
            ends_done(&e);
        }
    }
}

/* A NAT has given the peer another port: its packets are taken by their SPI, and say so. */
static void test_by_spi(void **state)
{
    struct ends e;
    struct packet packet, copy;
    struct tunnel_message message;
    struct tunnel *none = NULL;
    ends_init(&e);
    add_child(&e, 1, &(struct tunnel_child){.suite = ESP_AES128_GCM_IIV, .has_commands = true});
    e.a.endpoint = endpoint_of("192.0.2.1:777");
    send_from(&e.a, &packet, &e.a.view.own_ipv4, &e.a.view.peer_ipv4, 5);
    memcpy(&copy, &packet, sizeof(copy));
    copy.data = copy.storage + (packet.data - packet.storage);
    assert_int_equal(receive(&e.b, &packet, &message), DROP_NONE);
    assert_true(message.is_elsewhere);
    packet_fill(&packet, copy.data, copy.len);
    packet.peer = e.a.endpoint;
    assert_int_equal(receive(&e.b, &packet, &message), DROP_REPLAY);
    packet_fill(&packet, copy.data, copy.len);
    packet.data[9] ^= 1;
    packet.data[7] = 9; /* another number */
    assert_int_equal(receive(&e.b, &packet, &message), DROP_NOT_AUTHENTIC);
    packet.data[0] ^= 1;
    assert_int_equal(receive(&e.b, &packet, &message), DROP_NO_TUNNEL);
    for (uint32_t len = 0; len < 26; len++) {
        packet_fill(&packet, copy.data, len);
        const enum drop_reason reason = receive(&e.b, &packet, &message);
        assert_int_equal(reason, len < 8 ? DROP_NO_TUNNEL : DROP_LENGTH);
    }
    (void)none;
    ends_done(&e);
}

static void test_spi_once(void **state)
{
    struct ends e;
    struct packet packet;
    struct tunnel_message message;
    ends_init(&e);
    add_child(&e, 1, &(struct tunnel_child){.suite = ESP_AES256_GCM, .has_commands = true});
    struct tunnel_child child = {.id = 2,
                                 .suite = ESP_AES256_GCM,
                                 .key_in = key_forth,
                                 .key_out = key_back,
                                 .key_len = 36,
                                 .remote = e.b.view,
                                 .spi_in = SPI_A + 1,
                                 .spi_out = SPI_B + 7};
    assert_int_equal(tunnel_add_child(e.a.tunnel, &child), ERR_EXISTS);
    child.spi_in = 255; /* reserved */
    assert_int_equal(tunnel_add_child(e.a.tunnel, &child), ERR_INVALID);
    child.spi_in = SPI_A + 2;
    child.spi_out = 0; /* would read as the marker of IKE */
    assert_int_equal(tunnel_add_child(e.a.tunnel, &child), ERR_INVALID);
    check_both_ways(&e);
    assert_int_equal(tunnel_drop_child(e.a.tunnel, 1), ERR_OK);
    send_from(&e.b, &packet, &e.b.view.own_ipv4, &e.b.view.peer_ipv4, 5);
    assert_int_equal(receive(&e.a, &packet, &message), DROP_NO_CHILD);
    child.spi_in = SPI_A + 1; /* free again */
    child.spi_out = SPI_B + 1;
    child.key_in = key_back;
    child.key_out = key_forth;
    assert_int_equal(tunnel_add_child(e.a.tunnel, &child), ERR_OK);
    ends_done(&e);
}

/* During a rekey all of them are received with, and they may be of two protocols. */
static void test_rekeys(void **state)
{
    static const enum suite suites[] = {SPUT_PAPER, ESP_AES128_CTR_SHA256, ESP_AES128_GCM,
                                        SPUT_AES128_GCM, ESP_CHACHA20_POLY1305_IIV};
    struct ends e;
    struct packet late[5];
    struct tunnel_message message;
    ends_init(&e);
    for (size_t i = 0; i < 5; i++) {
        add_child(&e, i + 1, &(struct tunnel_child){.suite = suites[i], .has_commands = true});
        check_both_ways(&e);
        send_from(&e.a, &late[i], &e.a.view.own_ipv4, &e.a.view.peer_ipv4, i);
    }
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(receive(&e.b, &late[i], &message), DROP_NONE);
        assert_int_equal(message.child_id, i + 1);
        assert_int_equal(message.is_outbound, i == 4);
    }
    ends_done(&e);
}

static void test_commands(void **state)
{
    struct ends e;
    struct packet packet;
    struct tunnel_message message;
    uint32_t number = 0;
    ends_init(&e);
    add_child(&e, 1,
              &(struct tunnel_child){
                  .suite = ESP_AES256_CBC_SHA256, .has_esn = true, .has_commands = true});
    for (uint32_t size = 1000; size < 1100; size++) {
        packet_reset(&packet);
        assert_int_equal(tunnel_seal_probe(e.a.tunnel, &packet, size, NOW, &number), DROP_NONE);
        assert_true(packet.len + 28 <= size && packet.len + 28 + 16 > size);
        packet.peer = e.a.endpoint;
        assert_int_equal(receive(&e.b, &packet, &message), DROP_NONE);
        assert_int_equal(message.kind, TUNNEL_PROBE);
        assert_int_equal(message.number, number);
        assert_int_equal(tunnel_seal_reply(e.b.tunnel, &packet, number, NOW), DROP_NONE);
        packet.peer = e.b.endpoint;
        assert_int_equal(receive(&e.a, &packet, &message), DROP_NONE);
        assert_int_equal(message.kind, TUNNEL_PROBE_REPLY);
        assert_int_equal(message.number, number);
    }
    packet_reset(&packet);
    assert_int_equal(tunnel_seal_command(e.a.tunnel, &packet, SPUT_CLOSE, NOW, NULL), DROP_NONE);
    packet.peer = e.a.endpoint;
    assert_int_equal(receive(&e.b, &packet, &message), DROP_NONE);
    assert_int_equal(message.kind, TUNNEL_CLOSE);
    ends_done(&e);

    /* A plain peer knows none. */
    ends_init(&e);
    add_child(&e, 1, &(struct tunnel_child){.suite = ESP_AES128_GCM, .mode = CHILD_TRANSPORT});
    packet_reset(&packet);
    assert_int_equal(tunnel_seal_command(e.a.tunnel, &packet, SPUT_CLOSE, NOW, NULL), DROP_COMMAND);
    assert_int_equal(tunnel_seal_probe(e.a.tunnel, &packet, 900, NOW, &number), DROP_COMMAND);
    ends_done(&e);
}

/* b stands for a plain peer: it knows us by the addresses of our TS payloads, and verifies. */
static void test_plain_addresses(void **state)
{
    static const enum child_mode modes[] = {CHILD_TRANSPORT, CHILD_BEET, CHILD_TUNNEL};
    for (size_t m = 0; m < 3; m++) {
        struct ends e;
        struct packet packet;
        struct tunnel_message message;
        const struct view wire = {.own_ipv4 = address_of("192.168.1.7"),
                                  .peer_ipv4 = address_of("198.51.100.9")};
        ends_init(&e);
        add_child(&e, 1,
                  &(struct tunnel_child){.suite = ESP_AES128_GCM, .mode = modes[m], .wire = wire});
        for (size_t len = 0; len < 50; len++) {
            send_from(&e.a, &packet, &e.a.view.own_ipv4, &e.a.view.peer_ipv4, len);
            /* b corrects from the addresses of the wire: right only if they were there. */
            assert_int_equal(receive(&e.b, &packet, &message), DROP_NONE);
            check_packet(&packet, &e.b.view.peer_ipv4, &e.b.view.own_ipv4, len);
        }
        ends_done(&e);
    }
}

static void test_needs_header(void **state)
{
    for (int has_commands = 0; has_commands < 2; has_commands++) {
        struct ends e;
        struct packet packet;
        struct tunnel_message message;
        ends_init(&e);
        add_child(&e, 1,
                  &(struct tunnel_child){
                      .suite = ESP_AES128_GCM, .mode = CHILD_BEET, .has_commands = has_commands});
        udp_packet(&packet, &e.a.view.own_ipv4, &e.a.view.peer_ipv4, 64);
        packet.data[6] = 0x20; /* more fragments */
        const uint16_t sum = naive_sum(packet.data, 10, naive_sum(packet.data + 12, 8, 0));
        put_u16(packet.data + 10, 0xffffu ^ sum);
        assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW),
                         has_commands ? DROP_NONE : DROP_NEEDS_HEADER);
        packet.peer = e.a.endpoint;
        if (has_commands)
            assert_int_equal(receive(&e.b, &packet, &message), DROP_NONE);
        udp_packet(&packet, &e.a.view.own_ipv6, &e.a.view.peer_ipv6, 64);
        assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW),
                         has_commands ? DROP_NONE : DROP_FAMILY);
        ends_done(&e);
    }
}

static struct selectors network(const char *first, const char *last)
{
    const struct address a = address_of(first), b = address_of(last);
    return (struct selectors){.count = 1, .list = {selector_of(&a, &b)}};
}

/* Two networks a side, one of each family; the first host of each stands for its end. */
static struct selector_pair networks(void)
{
    struct selector_pair pair = {network("10.1.0.0", "10.1.255.255"),
                                 network("10.2.0.0", "10.2.0.255")};
    pair.own.list[pair.own.count++] = network("2001:db8:1::", "2001:db8:1::ffff").list[0];
    pair.peer.list[pair.peer.count++] = network("2001:db8:2::", "2001:db8:2::ffff").list[0];
    return pair;
}

static struct view standing(void)
{
    return (struct view){address_of("10.1.0.1"), address_of("10.2.0.1"),
                         address_of("2001:db8:1::1"), address_of("2001:db8:2::1")};
}

/* Tunnel mode between networks: what both sides agreed upon passes as it is, nothing else. */
static void test_networks(void **state)
{
    static const char *const texts[2][4] = {
        {"10.1.2.3", "10.2.0.9", "10.2.1.0", "10.1.0.1"},
        {"2001:db8:1::3", "2001:db8:2::9", "2001:db8:2::1:0", "2001:db8:1::1"}};
    const struct selector_pair pair = networks();
    struct ends e;
    struct packet packet;
    struct tunnel_message message;
    ends_init(&e);
    add_child(
        &e, 1,
        &(struct tunnel_child){
            .suite = ESP_AES256_GCM, .mode = CHILD_TUNNEL, .selectors = &pair, .wire = standing()});
    check_both_ways(&e); /* the peer addresses lead there, too */
    for (int is_ipv6 = 0; is_ipv6 < 2; is_ipv6++) {
        const struct address here = address_of(texts[is_ipv6][0]),
                             there = address_of(texts[is_ipv6][1]),
                             outside = address_of(texts[is_ipv6][2]),
                             stands = address_of(texts[is_ipv6][3]);
        const struct address *own = is_ipv6 ? &e.a.view.own_ipv6 : &e.a.view.own_ipv4;
        assert_ptr_equal(tunnel_find_by_selector(e.a.table, &there), e.a.tunnel);
        assert_null(tunnel_find_by_selector(e.a.table, &outside));
        assert_null(tunnel_find_by_selector(e.a.table, &here));
        send_from(&e.a, &packet, &here, &there, 40);
        assert_int_equal(receive(&e.b, &packet, &message), DROP_NONE);
        check_packet(&packet, &here, &there, 40);
        assert_int_equal(packet.data[is_ipv6 ? 7 : 8], 61); /* not forwarded by us: its TTL stays */
        /* This host's own packets go as from what stands for it, and answers come back. */
        send_from(&e.a, &packet, own, &there, 40);
        assert_int_equal(receive(&e.b, &packet, &message), DROP_NONE);
        check_packet(&packet, &stands, &there, 40);
        send_from(&e.b, &packet, &there, &stands, 40);
        assert_int_equal(receive(&e.a, &packet, &message), DROP_NONE);
        check_packet(&packet, &there, own, 40);
        udp_packet(&packet, &here, &outside, 4);
        assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW), DROP_SOURCE);
        udp_packet(&packet, &outside, &there, 4);
        assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW), DROP_SOURCE);
        udp_packet(&packet, own, &outside, 4);
        assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW), DROP_DESTINATION);
    }
    assert_int_equal(tunnel_drop_child(e.a.tunnel, 1), ERR_OK);
    const struct view stand = standing();
    assert_null(tunnel_find_by_selector(e.a.table, &stand.peer_ipv4));
    ends_done(&e);
}

/* What the peer has narrowed the child to leaves out what stands for it: not even its peer address
 * leads there. */
static void test_narrowed(void **state)
{
    const struct selector_pair pair = {network("10.1.0.0", "10.1.0.255"),
                                       network("10.2.0.8", "10.2.0.15")};
    struct ends e;
    struct packet packet;
    ends_init(&e);
    add_child(
        &e, 1,
        &(struct tunnel_child){
            .suite = ESP_AES256_GCM, .mode = CHILD_TUNNEL, .selectors = &pair, .wire = standing()});
    udp_packet(&packet, &e.a.view.own_ipv4, &e.a.view.peer_ipv4, 4);
    assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW), DROP_DESTINATION);
    udp_packet(&packet, &e.b.view.own_ipv4, &e.b.view.peer_ipv4, 4);
    assert_int_equal(tunnel_seal(e.b.tunnel, &packet, NOW), DROP_SOURCE);
    ends_done(&e);
}

/* A hostile peer, which has the keys: whatever it puts inside. */
struct hostile {
    struct ends e;
    struct esp_sender sender;
};

static void hostile_init(struct hostile *h, const struct selector_pair *pair)
{
    const struct esp_terms terms = {.suite = ESP_AES256_GCM, .spi = SPI_B + 1};
    ends_init(&h->e);
    add_child(
        &h->e, 1,
        &(struct tunnel_child){
            .suite = ESP_AES256_GCM, .mode = CHILD_TUNNEL, .selectors = pair, .wire = standing()});
    assert_int_equal(esp_sender_init(&h->sender, &terms, key_forth, 36, 0), ERR_OK);
}

static void hostile_done(struct hostile *h)
{
    esp_sender_done(&h->sender);
    ends_done(&h->e);
}

static enum drop_reason inject(struct hostile *h, struct packet *packet, uint8_t next_header)
{
    struct tunnel_message message;
    assert_int_equal(esp_seal(&h->sender, packet, next_header, NULL), ERR_OK);
    packet->peer = h->e.a.endpoint;
    return receive(&h->e.b, packet, &message);
}

static void test_hostile_addresses(void **state)
{
    const struct selector_pair pair = networks();
    const struct address here = address_of("10.1.2.3"), there = address_of("10.2.0.9"),
                         outside = address_of("10.2.1.0"), stands = address_of("10.2.0.1"),
                         here6 = address_of("2001:db8:1::3"), there6 = address_of("2001:db8:2::9"),
                         outside6 = address_of("2001:db8:3::1");
    struct hostile h;
    struct packet packet;
    hostile_init(&h, &pair);
    const struct view *view = &h.e.b.view;
    const struct address *const pairs[][2] = {
        {&outside, &there},       {&here, &outside},
        {&there, &here},          {&here, &here},
        {&outside, &stands},      {&view->peer_ipv4, &view->own_ipv4},
        {&outside6, &there6},     {&here6, &outside6},
        {&there6, &here6},        {&view->peer_ipv6, &there6},
        {&here, &view->own_ipv4},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        udp_packet(&packet, pairs[i][0], pairs[i][1], 4);
        assert_int_equal(inject(&h, &packet, pairs[i][0]->family == ADDRESS_IPV6 ? 41 : 4),
                         DROP_FOREIGN_ADDRESS);
    }
    struct tunnel_status status;
    tunnel_get_status(h.e.b.tunnel, &status);
    assert_int_equal(status.drops[DROP_FOREIGN_ADDRESS], sizeof(pairs) / sizeof(pairs[0]));
    hostile_done(&h);
}

/* Next headers that do not fit the version, nothing, and headers cut off anywhere. */
static void test_hostile_headers(void **state)
{
    const struct selector_pair pair = networks();
    const struct address here[] = {address_of("10.1.2.3"), address_of("2001:db8:1::3")},
                         there[] = {address_of("10.2.0.9"), address_of("2001:db8:2::9")};
    struct hostile h;
    struct packet packet;
    hostile_init(&h, &pair);
    for (size_t i = 0; i < 2; i++) {
        const uint8_t right = i == 0 ? IP_IPV4 : IP_IPV6, wrong = i == 0 ? IP_IPV6 : IP_IPV4;
        udp_packet(&packet, &here[i], &there[i], 4);
        assert_int_equal(inject(&h, &packet, wrong), DROP_MALFORMED);
        udp_packet(&packet, &here[i], &there[i], 4);
        const uint32_t whole = packet.len;
        for (uint32_t len = 0; len < whole; len++) {
            udp_packet(&packet, &here[i], &there[i], 4);
            packet.len = len;
            assert_int_equal(inject(&h, &packet, right), DROP_MALFORMED);
        }
        for (unsigned version = 0; version < 16; version++) {
            udp_packet(&packet, &here[i], &there[i], 4);
            if (version == packet.data[0] >> 4)
                continue;
            packet.data[0] = (uint8_t)(version << 4 | (packet.data[0] & 15));
            assert_int_equal(inject(&h, &packet, right), DROP_MALFORMED);
        }
        udp_packet(&packet, &here[i], &there[i], 4);
        assert_int_equal(inject(&h, &packet, right), DROP_NONE);
    }
    packet_fill(&packet, "no header", 9);
    assert_int_equal(inject(&h, &packet, 17), DROP_NEXT_HEADER);
    packet_fill(&packet, "", 0);
    assert_int_equal(inject(&h, &packet, 17), DROP_NEXT_HEADER);
    /* TFC padding goes (RFC 4303, 2.7), dummies too (2.6). */
    udp_packet(&packet, &here[0], &there[0], 40);
    memset(packet.data + packet.len, 0x77, 500);
    packet.len += 500;
    assert_int_equal(inject(&h, &packet, IP_IPV4), DROP_NONE);
    check_packet(&packet, &here[0], &there[0], 40);
    packet_fill(&packet, "nothing", 7);
    assert_int_equal(inject(&h, &packet, ESP_NEXT_DUMMY), DROP_DUMMY);
    packet_fill(&packet, "", 0);
    assert_int_equal(inject(&h, &packet, ESP_NEXT_DUMMY), DROP_DUMMY);
    hostile_done(&h);
}

/* Fragments of what passes do, whatever their place; to this host itself not those that reach back
 * into the header before them; and where ports are agreed upon, later ones, which have none, do
 * not. */
static void test_hostile_fragments(void **state)
{
    const struct address here = address_of("10.1.2.3"), there = address_of("10.2.0.9"),
                         stands = address_of("10.2.0.1");
    for (int has_ports = 0; has_ports < 2; has_ports++) {
        struct selector_pair pair = networks();
        struct hostile h;
        struct packet packet;
        if (has_ports) {
            pair.own.list[0].protocol = 17;
            pair.own.list[0].port_first = 0;
            pair.own.list[0].port_last = 65534;
        }
        hostile_init(&h, &pair);
        for (uint16_t offset = 0; offset < 3; offset++) {
            udp_packet(&packet, &here, &there, 24);
            packet.data[6] = 0x20;
            packet.data[7] = (uint8_t)offset;
            assert_int_equal(inject(&h, &packet, IP_IPV4),
                             has_ports && offset > 0 ? DROP_FOREIGN_ADDRESS : DROP_NONE);
        }
        udp_packet(&packet, &here, &stands, 24);
        packet.data[6] = 0x20;
        packet.len = 24; /* less than a UDP header */
        packet.data[3] = 24;
        assert_int_equal(inject(&h, &packet, IP_IPV4), DROP_TINY_FRAGMENT);
        hostile_done(&h);
    }
}

/* RFC 6040: what the outer header says of congestion reaches the inner one. */
static void test_congestion(void **state)
{
    struct ends e;
    struct packet packet;
    struct tunnel_message message;
    ends_init(&e);
    add_child(&e, 1, &(struct tunnel_child){.suite = ESP_AES256_GCM, .mode = CHILD_TUNNEL});
    udp_packet(&packet, &e.a.view.own_ipv4, &e.a.view.peer_ipv4, 10);
    packet.data[1] = 0xba; /* EF, ECT(0) */
    assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW), DROP_NONE);
    assert_int_equal(packet.tos, 0xba);
    packet.peer = e.a.endpoint;
    packet.tos = 0x03; /* CE on the way, and its DSCP erased */
    assert_int_equal(receive(&e.b, &packet, &message), DROP_NONE);
    assert_int_equal(packet.data[1], 0xbb);
    assert_int_equal(naive_sum(packet.data, 20, 0), 0xffff);
    ends_done(&e);
}

/* The kernel has the keys: nothing of that child is sealed or opened here, but it is told of. */
static void test_in_kernel(void **state)
{
    struct ends e;
    struct packet packet, late;
    struct tunnel_message message;
    struct tunnel_status status;
    ends_init(&e);
    add_child(&e, 1, &(struct tunnel_child){.suite = ESP_AES256_GCM, .mode = CHILD_TUNNEL});
    const struct tunnel_child child = {.id = 2,
                                       .suite = ESP_AES128_GCM,
                                       .mode = CHILD_TUNNEL,
                                       .spi_in = SPI_A + 2,
                                       .spi_out = SPI_B + 2,
                                       .has_esn = true,
                                       .remote = e.b.view,
                                       .is_in_kernel = true};
    send_from(&e.b, &late, &e.b.view.own_ipv4, &e.b.view.peer_ipv4, 10);
    assert_int_equal(tunnel_add_child(e.a.tunnel, &child), ERR_OK);
    assert_int_equal(tunnel_set_outbound(e.a.tunnel, 2), ERR_OK);
    udp_packet(&packet, &e.a.view.own_ipv4, &e.a.view.peer_ipv4, 10);
    assert_int_equal(tunnel_seal(e.a.tunnel, &packet, NOW), DROP_NO_CHILD);
    assert_int_equal(tunnel_seal_probe(e.a.tunnel, &packet, 1000, NOW, &(uint32_t){0}),
                     DROP_NO_CHILD);
    assert_false(tunnel_is_rekey_due(e.a.tunnel));
    tunnel_get_status(e.a.tunnel, &status);
    assert_int_equal(status.suite, ESP_AES128_GCM);
    assert_int_equal(status.spi_in, SPI_A + 2);
    assert_int_equal(status.spi_out, SPI_B + 2);
    assert_true(status.has_esn);
    assert_true(status.mtu > 0);
    /* Its SPI, from the peer's endpoint and from elsewhere. */
    for (int is_elsewhere = 0; is_elsewhere < 2; is_elsewhere++) {
        const uint8_t bytes[60] = {0x5a, 0, 0, 3, 0, 0, 0, 1};
        packet_fill(&packet, bytes, sizeof(bytes));
        packet.peer = e.b.endpoint;
        packet.peer.port += (uint16_t)is_elsewhere;
        assert_int_equal(receive(&e.a, &packet, &message), DROP_NO_CHILD);
    }
    /* The one before it is still received with. */
    assert_int_equal(receive(&e.a, &late, &message), DROP_NONE);
    tunnel_add_counts(e.a.tunnel, 5, 500, 0, 0, NOW + 7);
    tunnel_add_counts(e.a.tunnel, 0, 0, 3, 300, NOW + 8);
    tunnel_get_status(e.a.tunnel, &status);
    assert_int_equal(status.packets_in, 1 + 5);
    assert_int_equal(status.packets_out, 3);
    assert_int_equal(status.bytes_out, 300);
    assert_int_equal(status.received_us, NOW + 7);
    assert_int_equal(status.sent_us, NOW + 8);
    ends_done(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suites),          cmocka_unit_test(test_by_spi),
        cmocka_unit_test(test_spi_once),        cmocka_unit_test(test_rekeys),
        cmocka_unit_test(test_commands),        cmocka_unit_test(test_plain_addresses),
        cmocka_unit_test(test_needs_header),    cmocka_unit_test(test_networks),
        cmocka_unit_test(test_narrowed),        cmocka_unit_test(test_hostile_addresses),
        cmocka_unit_test(test_hostile_headers), cmocka_unit_test(test_hostile_fragments),
        cmocka_unit_test(test_congestion),      cmocka_unit_test(test_in_kernel),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
