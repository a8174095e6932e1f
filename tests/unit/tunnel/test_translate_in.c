/* The way in: rebuilt headers, corrected checksums, and a peer that sends anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "samples.h"
#include "tunnel/translate.h"
#include "wire/ip.h"

/* Checks a packet for this host in every field; returns its payload. */
static const uint8_t *check_header(const struct packet *packet, bool is_ipv6, uint8_t protocol,
                                   uint8_t tos, size_t payload_len)
{
    const struct translation t = sample_translation();
    struct ip_view v;
    assert_int_equal(ip_parse(packet->data, packet->len, &v), ERR_OK);
    assert_int_equal(v.version, is_ipv6 ? 6 : 4);
    assert_int_equal(v.total_len, packet->len);
    assert_true(address_is_equal(&v.src, is_ipv6 ? &t.local.peer_ipv6 : &t.local.peer_ipv4));
    assert_true(address_is_equal(&v.dst, is_ipv6 ? &t.local.own_ipv6 : &t.local.own_ipv4));
    assert_int_equal(v.ttl, 64);
    assert_int_equal(v.tos, tos);
    assert_int_equal(v.protocol, protocol);
    assert_int_equal(v.payload_len, payload_len);
    if (!is_ipv6)
        assert_int_equal(naive_sum(packet->data, v.header_len, 0), 0xffff);
    return v.payload;
}

static size_t covered_by(uint8_t protocol, size_t len)
{
    return protocol == 136 ? 12 : protocol == 33 ? 20 : len;
}

/* From the far end through both translations: right checksums for the addresses here. */
static void cross(bool is_ipv6, uint8_t protocol, size_t len, uint8_t tos)
{
    const struct translation t = sample_translation(), far = sample_swapped(&t);
    const struct address *own = is_ipv6 ? &far.local.own_ipv6 : &far.local.own_ipv4;
    const struct address *peer = is_ipv6 ? &far.local.peer_ipv6 : &far.local.peer_ipv4;
    uint8_t payload[2048], bytes[2100];
    struct packet packet;
    struct inner inner;

    make_transport(payload, own, peer, protocol, len);
    packet_fill(&packet, bytes, make_ip(bytes, own, peer, protocol, payload, len));
    assert_int_equal(translate_out(&far, &packet, &inner), DROP_NONE);
    inner.tos = tos;
    assert_int_equal(translate_in(&t, &packet, &inner), DROP_NONE);
    const uint8_t *result = check_header(&packet, is_ipv6, protocol, tos, len);
    if (!is_ipv6) {
        assert_int_equal(get_u16(packet.data + 4), 0);      /* id */
        assert_int_equal(get_u16(packet.data + 6), 0x4000); /* DF: atomic */
    }
    const struct address *src = is_ipv6 ? &t.local.peer_ipv6 : &t.local.peer_ipv4;
    const struct address *dst = is_ipv6 ? &t.local.own_ipv6 : &t.local.own_ipv4;
    if (protocol == 1)
        assert_int_equal(naive_sum(result, len, 0), 0xffff);
    else
        assert_int_equal(transport_sum(src, dst, protocol, result, covered_by(protocol, len), len),
                         0xffff);
}

static void test_checksums(void **state)
{
    static const uint8_t protocols[] = {6, 17, 33, 136};
    for (size_t len = 20; len < 90; len++) {
        for (size_t i = 0; i < sizeof(protocols); i++) {
            cross(false, protocols[i], len, 0);
            cross(true, protocols[i], len, 0xba);
        }
        cross(false, 1, len, 0x03);
        cross(true, 58, len, 0x02);
    }
    cross(false, 6, 1400, 0);
}

/* Many contents, so that sums come out as 0 and 0xffff too: 0 must not appear in UDP. */
static void test_udp_checksum_values(void **state)
{
    const struct translation t = sample_translation(), far = sample_swapped(&t);
    for (unsigned int word = 0; word <= 0xffff; word++) {
        uint8_t payload[12] = {0, 1, 0, 2, 0, 12};
        struct packet packet;
        const struct inner inner = {.next_header = 17};
        put_u16(payload + 8, word);
        uint16_t sum =
            transport_sum(&far.local.own_ipv4, &far.local.peer_ipv4, 17, payload, 12, 12);
        put_u16(payload + 6, sum == 0xffff ? 0xffff : 0xffffu ^ sum);
        packet_fill(&packet, payload, sizeof(payload));
        assert_int_equal(translate_in(&t, &packet, &inner), DROP_NONE);
        assert_int_not_equal(get_u16(packet.data + 26), 0);
        assert_int_equal(
            transport_sum(&t.local.peer_ipv4, &t.local.own_ipv4, 17, packet.data + 20, 12, 12),
            0xffff);
    }
}

static void test_udp_without_checksum(void **state)
{
    const struct translation t = sample_translation();
    const struct inner inner = {.next_header = 17};
    uint8_t payload[12] = {0, 1, 0, 2, 0, 12, 0, 0, 1, 2, 3, 4};
    struct packet packet;
    packet_fill(&packet, payload, sizeof(payload));
    assert_int_equal(translate_in(&t, &packet, &inner), DROP_NONE);
    assert_memory_equal(check_header(&packet, false, 17, 0, 12), payload, 12);
}

static void test_other_protocols(void **state)
{
    const struct translation t = sample_translation();
    uint8_t payload[] = {1, 2, 3, 4, 5};
    for (unsigned int protocol = 0; protocol < 256; protocol++) {
        struct packet packet;
        const struct inner inner = {.next_header = (uint8_t)protocol, .tos = 0x48};
        packet_fill(&packet, payload, sizeof(payload));
        enum drop_reason reason = translate_in(&t, &packet, &inner);
        switch (protocol) {
        case 4:
        case 6:
        case 17:
        case 33:
        case 41:
        case 136:
            assert_int_equal(reason, DROP_MALFORMED); /* too short for what they are */
            break;
        case 1:
        case 58:
            break; /* see below, and test_translate_icmp.c */
        default:
            assert_int_equal(reason, DROP_NONE);
            assert_memory_equal(check_header(&packet, false, (uint8_t)protocol, 0x48, 5), payload,
                                5);
        }
    }
    /* No payload at all is fine for a protocol that needs none. */
    struct packet packet;
    const struct inner inner = {.next_header = 59, .is_ipv6 = true};
    packet_fill(&packet, payload, 0);
    assert_int_equal(translate_in(&t, &packet, &inner), DROP_NONE);
    check_header(&packet, true, 59, 0, 0);
}

static void test_ipv6_extension_headers(void **state)
{
    const struct translation t = sample_translation();
    static const uint8_t extensions[] = {0, 43, 44, 60};
    uint8_t payload[48] = {17, 0, 4, 1};
    for (size_t i = 0; i < sizeof(extensions); i++) {
        struct packet packet;
        const struct inner inner = {.next_header = extensions[i], .is_ipv6 = true};
        packet_fill(&packet, payload, sizeof(payload));
        assert_int_equal(translate_in(&t, &packet, &inner), DROP_NEXT_HEADER);
    }
}

static void test_short_transport(void **state)
{
    const struct translation t = sample_translation();
    static const struct {
        uint8_t protocol;
        uint32_t needed;
    } shortest[] = {{6, 18}, {17, 8}, {33, 8}, {136, 8}, {58, 4}, {1, 4}};
    const uint8_t payload[32] = {0xff,
                                 0xff}; /* no ICMP error or router message of either version */
    for (size_t i = 0; i < sizeof(shortest) / sizeof(shortest[0]); i++) {
        for (uint32_t len = 0; len < sizeof(payload); len++) {
            struct packet packet;
            const struct inner inner = {.next_header = shortest[i].protocol,
                                        .is_ipv6 = shortest[i].protocol != 1};
            packet_fill(&packet, payload, len);
            assert_int_equal(translate_in(&t, &packet, &inner),
                             len < shortest[i].needed ? DROP_MALFORMED : DROP_NONE);
        }
    }
}

static void test_no_room(void **state)
{
    const struct translation t = sample_translation();
    const struct inner inner = {.next_header = 17, .is_ipv6 = true};
    struct packet packet;
    packet_reset(&packet);
    packet.data = packet.storage + 39;
    packet.len = 20;
    memset(packet.data, 1, packet.len);
    assert_int_equal(translate_in(&t, &packet, &inner), DROP_NO_ROOM);
}

static void test_family(void **state)
{
    struct translation t = sample_translation();
    struct packet packet;
    struct inner inner = {.next_header = 50, .is_ipv6 = true};
    t.remote.own_ipv6 = (struct address){0};
    packet_fill(&packet, "12345678", 8);
    assert_int_equal(translate_in(&t, &packet, &inner), DROP_FAMILY);
    inner.is_ipv6 = false;
    assert_int_equal(translate_in(&t, &packet, &inner), DROP_NONE);
}

/* Any payload under any next header: from the peer to this host, or dropped. */
static void test_hostile_noise(void **state)
{
    const struct translation t = sample_translation();
    uint64_t seed = 0x1234567;
    int taken = 0;
    for (int round = 0; round < 300000; round++) {
        static const uint8_t headers[] = {1, 4, 6, 17, 41, 58, 33, 136, 43, 0};
        struct packet packet;
        uint8_t bytes[160];
        struct ip_view v;
        const size_t len = sample_random(&seed) % sizeof(bytes);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)sample_random(&seed);
        const struct inner inner = {.next_header = headers[sample_random(&seed) % sizeof(headers)],
                                    .is_ipv6 = sample_random(&seed) % 2 != 0,
                                    .tos = (uint8_t)sample_random(&seed)};
        if (inner.next_header == 4 && len >= 24) { /* half a chance */
            bytes[0] = sample_random(&seed) % 2 != 0 ? 0x45 : 0x46;
            put_u16(bytes + 2, (unsigned int)len);
            memcpy(bytes + 12, t.remote.own_ipv4.bytes, 4);
            memcpy(bytes + 16, t.remote.peer_ipv4.bytes, 4);
        } else if (inner.next_header == 41 && len >= 40) {
            static const uint8_t next[] = {0, 6, 17, 43, 44, 58, 60, 4};
            bytes[0] = 0x60;
            put_u16(bytes + 4, (unsigned int)len - 40);
            bytes[6] = next[sample_random(&seed) % sizeof(next)];
            memcpy(bytes + 8, t.remote.own_ipv6.bytes, 16);
            memcpy(bytes + 24, t.remote.peer_ipv6.bytes, 16);
        }
        packet_fill(&packet, bytes, len);
        if (translate_in(&t, &packet, &inner) != DROP_NONE)
            continue;
        taken++;
        assert_int_equal(ip_parse(packet.data, packet.len, &v), ERR_OK);
        assert_int_equal(v.total_len, packet.len);
        assert_int_equal(v.ttl, 64);
        assert_false(v.has_source_route);
        assert_true(
            address_is_equal(&v.src, v.version == 6 ? &t.local.peer_ipv6 : &t.local.peer_ipv4));
        assert_true(
            address_is_equal(&v.dst, v.version == 6 ? &t.local.own_ipv6 : &t.local.own_ipv4));
        if (v.version == 4)
            assert_int_equal(naive_sum(packet.data, v.header_len, 0), 0xffff);
    }
    assert_true(taken > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksums),
        cmocka_unit_test(test_udp_checksum_values),
        cmocka_unit_test(test_udp_without_checksum),
        cmocka_unit_test(test_other_protocols),
        cmocka_unit_test(test_ipv6_extension_headers),
        cmocka_unit_test(test_short_transport),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_family),
        cmocka_unit_test(test_hostile_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
