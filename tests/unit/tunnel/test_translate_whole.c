/* Whole packets (next header 4 and 41): fragments, options, nested ones, foreign addresses, ECN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "samples.h"
#include "wire/ip.h"

/* A whole packet of the far end's. */
static size_t far_packet(uint8_t *out, bool is_ipv6, uint8_t protocol, const uint8_t *payload,
                         size_t len)
{
    const struct translation t = sample_translation();
    return make_ip(out, is_ipv6 ? &t.remote.own_ipv6 : &t.remote.own_ipv4,
                   is_ipv6 ? &t.remote.peer_ipv6 : &t.remote.peer_ipv4, protocol, payload, len);
}

static void resum(uint8_t *ip)
{
    put_u16(ip + 10, 0);
    put_u16(ip + 10, 0xffffu ^ naive_sum(ip, (ip[0] & 15) * 4u, 0));
}

static enum drop_reason run(const uint8_t *bytes, size_t len, uint8_t next_header, uint8_t tos,
                            struct packet *packet)
{
    const struct translation t = sample_translation();
    const struct inner inner = {
        .next_header = next_header, .is_ipv6 = next_header == 41, .tos = tos};
    packet_fill(packet, bytes, len);
    return translate_in(&t, packet, &inner);
}

static struct ip_view check_taken(const struct packet *packet, size_t len)
{
    const struct translation t = sample_translation();
    struct ip_view v;
    assert_int_equal(packet->len, len);
    assert_int_equal(ip_parse(packet->data, packet->len, &v), ERR_OK);
    assert_true(address_is_equal(&v.src, v.version == 6 ? &t.local.peer_ipv6 : &t.local.peer_ipv4));
    assert_true(address_is_equal(&v.dst, v.version == 6 ? &t.local.own_ipv6 : &t.local.own_ipv4));
    assert_int_equal(v.ttl, 64);
    if (v.version == 4)
        assert_int_equal(naive_sum(packet->data, v.header_len, 0), 0xffff);
    return v;
}

/* A UDP datagram in two fragments: only the first one's checksum is corrected, and it is then right
 * for the datagram put together. */
static void test_fragments(void **state)
{
    const struct translation t = sample_translation();
    uint8_t udp[600], bytes[700], together[600];
    struct packet packet;
    make_transport(udp, &t.remote.own_ipv4, &t.remote.peer_ipv4, 17, sizeof(udp));

    size_t len = far_packet(bytes, false, 17, udp, 400);
    put_u16(bytes + 6, 0x2000);
    resum(bytes);
    assert_int_equal(run(bytes, len, 4, 0, &packet), DROP_NONE);
    struct ip_view v = check_taken(&packet, len);
    assert_true(v.more_fragments);
    assert_int_equal(v.id, 0x1234);
    memcpy(together, v.payload, 400);

    len = far_packet(bytes, false, 17, udp + 400, 200);
    put_u16(bytes + 6, 50);
    resum(bytes);
    assert_int_equal(run(bytes, len, 4, 0, &packet), DROP_NONE);
    v = check_taken(&packet, len);
    assert_int_equal(v.fragment_offset, 400);
    assert_memory_equal(v.payload, udp + 400, 200);
    memcpy(together + 400, v.payload, 200);
    assert_int_equal(transport_sum(&t.local.peer_ipv4, &t.local.own_ipv4, 17, together, 600, 600),
                     0xffff);
}

static void test_fragments_ipv6(void **state)
{
    struct translation t = sample_translation();
    uint8_t payload[608] = {17, 0, 0, 1, 1, 2, 3, 4}, bytes[700], together[600];
    uint8_t *udp = payload + 8;
    struct packet packet;
    /* Addresses that differ here and there, so that something is corrected. */
    t.remote.own_ipv6 = address_of("2001:20::a");
    t.remote.peer_ipv6 = address_of("2001:20::b");
    make_transport(udp, &t.remote.own_ipv6, &t.remote.peer_ipv6, 17, 600);
    const struct inner inner = {.next_header = 41, .is_ipv6 = true};

    size_t len = make_ip(bytes, &t.remote.own_ipv6, &t.remote.peer_ipv6, 44, payload, 408);
    packet_fill(&packet, bytes, len);
    assert_int_equal(translate_in(&t, &packet, &inner), DROP_NONE);
    memcpy(together, check_taken(&packet, len).payload, 400);

    memmove(payload + 8, udp + 400, 200);
    put_u16(payload + 2, 400);
    len = make_ip(bytes, &t.remote.own_ipv6, &t.remote.peer_ipv6, 44, payload, 208);
    packet_fill(&packet, bytes, len);
    assert_int_equal(translate_in(&t, &packet, &inner), DROP_NONE);
    memcpy(together + 400, check_taken(&packet, len).payload, 200);
    assert_int_equal(transport_sum(&t.local.peer_ipv6, &t.local.own_ipv6, 17, together, 600, 600),
                     0xffff);
}

/* Fragments cut so that the checksum is not corrected, or comes later (RFC 3128). */
static void test_tiny_fragments(void **state)
{
    uint8_t payload[64] = {0}, bytes[128];
    struct packet packet;
    for (uint8_t cut = 8; cut <= 24; cut += 8) {
        size_t len = far_packet(bytes, false, 6, payload, cut);
        put_u16(bytes + 6, 0x2000);
        assert_int_equal(run(bytes, len, 4, 0, &packet), cut < 18 ? DROP_TINY_FRAGMENT : DROP_NONE);
        put_u16(bytes + 6, cut / 8);
        assert_int_equal(run(bytes, len, 4, 0, &packet), cut < 18 ? DROP_TINY_FRAGMENT : DROP_NONE);
    }
}

static void test_options(void **state)
{
    const struct translation t = sample_translation();
    uint8_t tcp[64], bytes[128];
    struct packet packet;
    make_transport(tcp, &t.remote.own_ipv4, &t.remote.peer_ipv4, 6, sizeof(tcp));
    size_t len = far_packet(bytes, false, 6, tcp, sizeof(tcp)) + 4;
    memmove(bytes + 24, bytes + 20, sizeof(tcp));
    memcpy(bytes + 20, "\x94\x04\x00\x00", 4);
    bytes[0] = 0x46;
    put_u16(bytes + 2, (unsigned int)len);
    resum(bytes);
    assert_int_equal(run(bytes, len, 4, 0, &packet), DROP_NONE);
    struct ip_view v = check_taken(&packet, len);
    assert_int_equal(transport_sum(&t.local.peer_ipv4, &t.local.own_ipv4, 6, v.payload, 64, 64),
                     0xffff);
    memcpy(bytes + 20, "\x83\x03\x04\x00", 4); /* a loose source route, even an empty one */
    assert_int_equal(run(bytes, len, 4, 0, &packet), DROP_SOURCE_ROUTE);
    memcpy(bytes + 20, "\x89\x03\x04\x00", 4); /* a strict one */
    assert_int_equal(run(bytes, len, 4, 0, &packet), DROP_SOURCE_ROUTE);
}

static void test_ipv6_routing_header(void **state)
{
    uint8_t payload[40] = {17, 2, 0, 1}, bytes[128];
    struct packet packet;
    size_t len = far_packet(bytes, true, 43, payload, sizeof(payload));
    assert_int_equal(run(bytes, len, 41, 0, &packet), DROP_SOURCE_ROUTE);
}

/* A genuine IPIP packet: its own inside stays as it is. */
static void test_nested(void **state)
{
    const struct address a = address_of("198.51.100.1"), b = address_of("198.51.100.2");
    uint8_t within[64], bytes[128];
    struct packet packet;
    const size_t within_len =
        make_ip(within, &a, &b, 17, (const uint8_t *)"\0\1\0\2\0\f\0\0abcd", 12);
    const size_t len = far_packet(bytes, false, 4, within, within_len);
    assert_int_equal(run(bytes, len, 4, 0, &packet), DROP_NONE);
    struct ip_view v = check_taken(&packet, len);
    assert_int_equal(v.protocol, 4);
    assert_memory_equal(v.payload, within, within_len);
}

static void test_foreign_addresses(void **state)
{
    static const char *const others[] = {
        "127.0.0.1", "0.0.0.2",  "10.9.0.5",    "10.9.0.77", "255.255.255.255",
        "224.0.0.1", "10.0.0.1", "192.168.1.1", "0.0.0.0",   "169.254.169.254"};
    static const char *const others6[] = {"::1",     "ff02::1", "2001:20::1", "2001:20::2",
                                          "fe80::1", "::",      "2001:db8::1"};
    const struct translation t = sample_translation();
    uint8_t payload[16] = {0}, bytes[128];
    struct packet packet;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        const struct address other = address_of(others[i]);
        if (!address_is_equal(&other, &t.remote.peer_ipv4)) {
            size_t len = make_ip(bytes, &t.remote.own_ipv4, &other, 50, payload, sizeof(payload));
            assert_int_equal(run(bytes, len, 4, 0, &packet), DROP_FOREIGN_ADDRESS);
        }
        if (!address_is_equal(&other, &t.remote.own_ipv4)) {
            size_t len = make_ip(bytes, &other, &t.remote.peer_ipv4, 50, payload, sizeof(payload));
            assert_int_equal(run(bytes, len, 4, 0, &packet), DROP_FOREIGN_ADDRESS);
        }
    }
    for (size_t i = 0; i < sizeof(others6) / sizeof(others6[0]); i++) {
        const struct address other = address_of(others6[i]);
        if (!address_is_equal(&other, &t.remote.peer_ipv6)) {
            size_t len = make_ip(bytes, &t.remote.own_ipv6, &other, 50, payload, sizeof(payload));
            assert_int_equal(run(bytes, len, 41, 0, &packet), DROP_FOREIGN_ADDRESS);
        }
        if (!address_is_equal(&other, &t.remote.own_ipv6)) {
            size_t len = make_ip(bytes, &other, &t.remote.peer_ipv6, 50, payload, sizeof(payload));
            assert_int_equal(run(bytes, len, 41, 0, &packet), DROP_FOREIGN_ADDRESS);
        }
    }
}

static void test_lengths(void **state)
{
    uint8_t payload[24] = {0}, bytes[128] = {0};
    struct packet packet;
    for (int is_ipv6 = 0; is_ipv6 <= 1; is_ipv6++) {
        const size_t len = far_packet(bytes, is_ipv6, 50, payload, sizeof(payload));
        const uint8_t next_header = is_ipv6 ? 41 : 4;
        for (size_t other = 0; other < sizeof(bytes); other++)
            assert_int_equal(run(bytes, other, next_header, 0, &packet),
                             other == len ? DROP_NONE : DROP_MALFORMED);
        /* The other version under this next header. */
        assert_int_equal(run(bytes, len, is_ipv6 ? 4 : 41, 0, &packet), DROP_MALFORMED);
    }
}

/* RFC 6040, 4.2, figure 4, and DSCP of the packet itself. */
static void test_ecn(void **state)
{
    static const int expected[4][4] = {{0, 0, 0, -1}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
    uint8_t payload[24] = {0}, bytes[128];
    for (int is_ipv6 = 0; is_ipv6 <= 1; is_ipv6++) {
        for (unsigned int inner = 0; inner < 4; inner++) {
            for (unsigned int outer = 0; outer < 4; outer++) {
                struct packet packet;
                const size_t len = far_packet(bytes, is_ipv6, 50, payload, sizeof(payload));
                const unsigned int tos = 0xb8 | inner;
                if (is_ipv6)
                    put_u16(bytes, 0x6000 | tos << 4);
                else
                    bytes[1] = (uint8_t)tos;
                const enum drop_reason reason =
                    run(bytes, len, is_ipv6 ? 41 : 4, (uint8_t)(0x48 | outer), &packet);
                if (expected[inner][outer] < 0) {
                    assert_int_equal(reason, DROP_CONGESTION);
                    continue;
                }
                assert_int_equal(reason, DROP_NONE);
                assert_int_equal(check_taken(&packet, len).tos, 0xb8 | expected[inner][outer]);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_fragments_ipv6),
        cmocka_unit_test(test_tiny_fragments),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_ipv6_routing_header),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_foreign_addresses),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_ecn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
