/* The way out: what is stripped, what stays whole, what is refused; and the sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "samples.h"
#include "wire/ip.h"

static size_t local_packet(uint8_t *out, bool is_ipv6, uint8_t protocol, size_t payload_len)
{
    const struct translation t = sample_translation();
    const struct address *own = is_ipv6 ? &t.local.own_ipv6 : &t.local.own_ipv4;
    const struct address *peer = is_ipv6 ? &t.local.peer_ipv6 : &t.local.peer_ipv4;
    uint8_t payload[2048];
    make_transport(payload, own, peer, protocol, payload_len);
    return make_ip(out, own, peer, protocol, payload, payload_len);
}

static enum drop_reason run(const uint8_t *bytes, size_t len, struct packet *packet,
                            struct inner *inner)
{
    const struct translation t = sample_translation();
    memset(inner, 0xee, sizeof(*inner));
    packet_fill(packet, bytes, len);
    enum drop_reason reason = translate_out(&t, packet, inner);
    if (reason != DROP_NONE) {
        assert_int_equal(packet->len, len); /* unchanged */
        if (len > 0)
            assert_memory_equal(packet->data, bytes, len);
    }
    return reason;
}

static void test_stripped(void **state)
{
    static const uint8_t protocols[] = {1, 2, 6, 17, 33, 47, 50, 51, 132, 136, 255};
    for (size_t i = 0; i < sizeof(protocols); i++) {
        for (int is_ipv6 = 0; is_ipv6 <= 1; is_ipv6++) {
            uint8_t bytes[256];
            struct packet packet;
            struct inner inner;
            size_t header_len = is_ipv6 ? 40 : 20;
            size_t len = local_packet(bytes, is_ipv6, protocols[i], 64);
            if (is_ipv6) {
                bytes[0] = 0x6a; /* traffic class 0xab */
                bytes[1] = 0xb0;
            } else {
                bytes[1] = 0xab;
            }
            assert_int_equal(run(bytes, len, &packet, &inner), DROP_NONE);
            assert_int_equal(inner.next_header, protocols[i]);
            assert_int_equal(inner.is_ipv6, is_ipv6);
            assert_int_equal(inner.tos, 0xab);
            assert_int_equal(packet.len, 64);
            assert_memory_equal(packet.data, bytes + header_len, 64); /* no bit is touched */
            /* What lies behind the packet's own length goes. */
            memset(bytes + len, 0x5a, 9);
            assert_int_equal(run(bytes, len + 9, &packet, &inner), DROP_NONE);
            assert_int_equal(packet.len, 64);
        }
    }
}

static void check_whole(const uint8_t *bytes, size_t len)
{
    struct packet packet;
    struct inner inner;
    const bool is_ipv6 = bytes[0] >> 4 == 6;
    assert_int_equal(run(bytes, len, &packet, &inner), DROP_NONE);
    assert_int_equal(inner.next_header, is_ipv6 ? 41 : 4);
    assert_int_equal(inner.is_ipv6, is_ipv6);
    assert_int_equal(packet.len, len);
    assert_memory_equal(packet.data, bytes, len);
}

static void test_whole_ipv4(void **state)
{
    uint8_t bytes[256];
    size_t len = local_packet(bytes, false, 17, 64);
    bytes[6] = 0x20; /* first fragment */
    check_whole(bytes, len);
    bytes[6] = 0x00; /* last one */
    bytes[7] = 0x09;
    check_whole(bytes, len);
    len = local_packet(bytes, false, 4, 64); /* genuine IPIP */
    check_whole(bytes, len);
    len = local_packet(bytes, false, 41, 64);
    check_whole(bytes, len);
    len = local_packet(bytes, false, 6, 64); /* options: router alert */
    memmove(bytes + 24, bytes + 20, 64);
    memcpy(bytes + 20, "\x94\x04\x00\x00", 4);
    bytes[0] = 0x46;
    put_u16(bytes + 2, 88);
    check_whole(bytes, len + 4);
}

static void test_whole_ipv6(void **state)
{
    uint8_t bytes[256];
    size_t len = local_packet(bytes, true, 4, 64);
    check_whole(bytes, len);
    len = local_packet(bytes, true, 41, 64);
    check_whole(bytes, len);
    len = local_packet(bytes, true, 60, 64); /* destination options, padding only */
    memcpy(bytes + 40, "\x11\x00\x01\x04\x00\x00\x00\x00", 8);
    check_whole(bytes, len);
    len = local_packet(bytes, true, 44, 64); /* a fragment */
    memcpy(bytes + 40, "\x11\x00\x00\x01\x12\x34\x56\x78", 8);
    check_whole(bytes, len);
}

static void test_refused(void **state)
{
    const struct translation t = sample_translation();
    const struct address other = address_of("192.0.2.7"), other6 = address_of("2001:db8::7");
    uint8_t bytes[256], payload[64] = {0};
    struct packet packet;
    struct inner inner;

    size_t len = make_ip(bytes, &other, &t.local.peer_ipv4, 17, payload, 64);
    assert_int_equal(run(bytes, len, &packet, &inner), DROP_SOURCE);
    len = make_ip(bytes, &t.local.own_ipv4, &other, 17, payload, 64);
    assert_int_equal(run(bytes, len, &packet, &inner), DROP_DESTINATION);
    len = make_ip(bytes, &other6, &t.local.peer_ipv6, 17, payload, 64);
    assert_int_equal(run(bytes, len, &packet, &inner), DROP_SOURCE);
    len = make_ip(bytes, &t.local.own_ipv6, &other6, 17, payload, 64);
    assert_int_equal(run(bytes, len, &packet, &inner), DROP_DESTINATION);

    len = local_packet(bytes, false, 17, 64); /* loose source route */
    memmove(bytes + 28, bytes + 20, 64);
    memcpy(bytes + 20, "\x83\x07\x04\x01\x02\x03\x04\x00", 8);
    bytes[0] = 0x47;
    put_u16(bytes + 2, (unsigned int)len + 8);
    assert_int_equal(run(bytes, len + 8, &packet, &inner), DROP_SOURCE_ROUTE);
    len = local_packet(bytes, true, 43, 64); /* routing header with a segment left */
    memcpy(bytes + 40, "\x11\x02\x00\x01", 4);
    assert_int_equal(run(bytes, len, &packet, &inner), DROP_SOURCE_ROUTE);

    bytes[0] = 0x50;
    assert_int_equal(run(bytes, len, &packet, &inner), DROP_MALFORMED);
    for (int is_ipv6 = 0; is_ipv6 <= 1; is_ipv6++) {
        len = local_packet(bytes, is_ipv6, 17, 64);
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(run(bytes, cut, &packet, &inner), DROP_MALFORMED);
    }
}

/* A family that one of the ends has no addresses for. */
static void test_family(void **state)
{
    struct translation t = sample_translation();
    const struct translation all = t;
    uint8_t bytes[256];
    struct packet packet;
    struct inner inner;
    const size_t len = local_packet(bytes, true, 17, 64);
    t.remote.own_ipv6 = t.remote.peer_ipv6 = (struct address){0};
    packet_fill(&packet, bytes, len);
    assert_int_equal(translate_out(&t, &packet, &inner), DROP_FAMILY);
    t = all;
    t.local.own_ipv6 = (struct address){0};
    assert_int_equal(translate_out(&t, &packet, &inner), DROP_FAMILY);
    assert_int_equal(translate_out(&all, &packet, &inner), DROP_NONE);
}

static void test_sizes(void **state)
{
    /* 1500 - 20 - 8 - 40; the paper's 48 bytes for a packet that loses its header. */
    assert_int_equal(translate_payload_max(1500, SPUT_PAPER, ADDRESS_IPV4), 1432);
    assert_int_equal(translate_payload_max(1500, SPUT_PAPER, ADDRESS_IPV6), 1412);
    assert_int_equal(translate_payload_max(1500, SPUT_AES128_GCM, ADDRESS_IPV4), 1448);
    assert_int_equal(translate_payload_max(1280, SPUT_CHACHA20_POLY1305, ADDRESS_IPV6), 1208);
    assert_int_equal(translate_mtu(1500, SPUT_PAPER, ADDRESS_IPV4), 1432);
    assert_int_equal(translate_payload_max(0, SPUT_PAPER, ADDRESS_IPV4), 0);
    assert_int_equal(translate_payload_max(68, SPUT_PAPER, ADDRESS_IPV4), 0);
    assert_int_equal(translate_payload_max(69, SPUT_PAPER, ADDRESS_IPV4), 1);
    assert_int_equal(translate_payload_max(65535, SPUT_PAPER, ADDRESS_IPV4), 4092);
    assert_int_equal(translate_payload_max(65535, SPUT_AES128_GCM, ADDRESS_IPV4),
                     PACKET_CAP - PACKET_HEADROOM - 33);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stripped),   cmocka_unit_test(test_whole_ipv4),
        cmocka_unit_test(test_whole_ipv6), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_family),     cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
