/* IP headers: fields of both versions, options, extension headers, fragments, every cut, and
 * building. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wire/checksum.h"
#include "wire/ip.h"

/* A datagram of 28 bytes, 10.0.0.1 to 10.0.0.2, UDP, no options. */
static const uint8_t plain4[] = {0x45, 0xb9, 0,  28, 0x12, 0x34, 0x40, 0, 63, 17, 0, 0, 10, 0,
                                 0,    1,    10, 0,  0,    2,    0,    1, 0,  2,  0, 8, 0,  0};

static void parse_exact(const uint8_t *packet, size_t len, int expected, struct ip_view *v,
                        int (*parse)(const void *, size_t, struct ip_view *))
{
    uint8_t *exact = malloc(len > 0 ? len : 1);
    memcpy(exact, packet, len);
    int error = parse(exact, len, v);
    if (error == ERR_OK && v->payload_len > 0) /* a sanitizer sees whether it is there */
        assert_int_equal(memcmp(v->payload, packet + (v->payload - exact), v->payload_len), 0);
    assert_int_equal(error, expected);
    free(exact);
}

static void test_ip4(void **state)
{
    struct ip_view v;
    assert_int_equal(ip_parse(plain4, sizeof plain4, &v), ERR_OK);
    assert_int_equal(v.version, 4);
    assert_int_equal(v.header_len, 20);
    assert_int_equal(v.total_len, 28);
    assert_int_equal(v.protocol, IP_UDP);
    assert_int_equal(v.tos, 0xb9);
    assert_int_equal(v.ttl, 63);
    assert_int_equal(v.id, 0x1234);
    assert_true(v.dont_fragment);
    assert_false(v.is_fragment || v.more_fragments || v.has_options || v.has_source_route);
    assert_int_equal(address_to_ipv4(&v.src), 0x0a000001);
    assert_int_equal(address_to_ipv4(&v.dst), 0x0a000002);
    assert_ptr_equal(v.payload, plain4 + 20);
    assert_int_equal(v.payload_len, 8);
}

static void test_ip4_every_length(void **state)
{
    struct ip_view v;
    for (size_t len = 0; len < sizeof plain4; len++) {
        parse_exact(plain4, len, ERR_TRUNCATED, &v, ip_parse);
        parse_exact(plain4, len, len < 20 ? ERR_TRUNCATED : ERR_OK, &v, ip_parse_quoted);
        if (len >= 20)
            assert_int_equal(v.payload_len, len - 20);
    }
    uint8_t longer[40] = {0};
    memcpy(longer, plain4, sizeof plain4);
    assert_int_equal(ip_parse(longer, sizeof longer, &v), ERR_OK);
    assert_int_equal(v.payload_len, 8);
}

static void test_ip4_invalid(void **state)
{
    uint8_t packet[sizeof plain4];
    struct ip_view v;
    for (unsigned first = 0; first < 256; first++) {
        memcpy(packet, plain4, sizeof packet);
        packet[0] = (uint8_t)first;
        if (first >> 4 != 4 && first >> 4 != 6)
            assert_int_equal(ip_parse(packet, sizeof packet, &v), ERR_INVALID);
        if (first >> 4 == 4 && (first & 15) < 5)
            assert_int_equal(ip_parse(packet, sizeof packet, &v), ERR_INVALID);
    }
    memcpy(packet, plain4, sizeof packet);
    packet[3] = 19; /* total length below the header's */
    assert_int_equal(ip_parse(packet, sizeof packet, &v), ERR_INVALID);
    packet[3] = 20;
    assert_int_equal(ip_parse(packet, sizeof packet, &v), ERR_OK);
    assert_int_equal(v.payload_len, 0);
}

static void test_ip4_fragments(void **state)
{
    uint8_t packet[sizeof plain4];
    struct ip_view v;
    memcpy(packet, plain4, sizeof packet);
    packet[6] = 0x20;
    assert_int_equal(ip_parse(packet, sizeof packet, &v), ERR_OK);
    assert_true(v.is_fragment && v.more_fragments && !v.dont_fragment);
    assert_int_equal(v.fragment_offset, 0);
    packet[6] = 0x1f;
    packet[7] = 0xff;
    assert_int_equal(ip_parse(packet, sizeof packet, &v), ERR_OK);
    assert_true(v.is_fragment && !v.more_fragments);
    assert_int_equal(v.fragment_offset, 65528);
}

static int parse_options(const uint8_t options[8], struct ip_view *v)
{
    uint8_t packet[36] = {0x47, 0, 0, 36};
    memcpy(packet + 8, plain4 + 8, 12);
    memcpy(packet + 20, options, 8);
    memcpy(packet + 28, plain4 + 20, 8);
    return ip_parse(packet, sizeof packet, v);
}

static void test_ip4_options(void **state)
{
    struct ip_view v;
    assert_int_equal(parse_options((uint8_t[8]){148, 4, 0, 0, 1, 1, 1, 0}, &v), ERR_OK);
    assert_true(v.has_options && !v.has_source_route);
    assert_int_equal(v.header_len, 28);
    assert_int_equal(v.payload_len, 8);
    assert_int_equal(parse_options((uint8_t[8]){1, 131, 7, 4, 9, 9, 9, 9}, &v), ERR_OK);
    assert_true(v.has_source_route);
    assert_int_equal(parse_options((uint8_t[8]){137, 7, 4, 9, 9, 9, 9, 0}, &v), ERR_OK);
    assert_true(v.has_source_route);
    /* Behind the end of the list nothing is an option. */
    assert_int_equal(parse_options((uint8_t[8]){0, 131, 7, 4, 9, 9, 9, 9}, &v), ERR_OK);
    assert_false(v.has_source_route);
    assert_int_equal(parse_options((uint8_t[8]){148, 9, 0, 0, 0, 0, 0, 0}, &v), ERR_INVALID);
    assert_int_equal(parse_options((uint8_t[8]){148, 1, 0, 0, 0, 0, 0, 0}, &v), ERR_INVALID);
    assert_int_equal(parse_options((uint8_t[8]){1, 1, 1, 1, 1, 1, 1, 148}, &v), ERR_INVALID);
}

/* An IPv6 header and body; returns the length. */
static size_t make_ip6(uint8_t *packet, uint8_t next, const uint8_t *body, size_t body_len)
{
    static const uint8_t src[16] = {0x20, 1, 0x0d, 0xb8, [15] = 1};
    static const uint8_t dst[16] = {0x20, 1, 0x0d, 0xb8, [15] = 2};
    memset(packet, 0, IP6_HEADER_LEN);
    packet[0] = 0x6a;
    packet[1] = 0xbc;
    packet[4] = (uint8_t)(body_len >> 8);
    packet[5] = (uint8_t)body_len;
    packet[6] = next;
    packet[7] = 62;
    memcpy(packet + 8, src, 16);
    memcpy(packet + 24, dst, 16);
    memcpy(packet + 40, body, body_len);
    return IP6_HEADER_LEN + body_len;
}

static void test_ip6(void **state)
{
    static const uint8_t body[8] = {1, 2, 3};
    uint8_t packet[100];
    struct ip_view v;
    const size_t len = make_ip6(packet, IP_UDP, body, sizeof body);
    assert_int_equal(ip_parse(packet, len, &v), ERR_OK);
    assert_int_equal(v.version, 6);
    assert_int_equal(v.tos, 0xab);
    assert_int_equal(v.ttl, 62);
    assert_int_equal(v.protocol, IP_UDP);
    assert_int_equal(v.header_len, 40);
    assert_int_equal(v.total_len, 48);
    assert_int_equal(v.payload_len, 8);
    assert_false(v.has_options || v.is_fragment);
    char text[ADDRESS_TEXT_CAP];
    assert_string_equal(address_format(&v.dst, text, sizeof text), "2001:db8::2");
    for (size_t cut = 0; cut < len; cut++) {
        parse_exact(packet, cut, ERR_TRUNCATED, &v, ip_parse);
        parse_exact(packet, cut, cut < 40 ? ERR_TRUNCATED : ERR_OK, &v, ip_parse_quoted);
    }
    /* IPv4-mapped addresses are not for the wire. */
    memset(packet + 8, 0, 10);
    packet[18] = packet[19] = 0xff;
    assert_int_equal(ip_parse(packet, len, &v), ERR_INVALID);
}

/* Hop-by-hop, routing, destination options, fragment, UDP. */
static const uint8_t chain[] = {43, 0, 1, 4, 0,    0,    0,    0, /* hop-by-hop: padding */
                                60, 1, 4, 0, 0,    0,    0,    0,
                                1,  2, 3, 4, 5,    6,    7,    8,    /* routing: no segments left */
                                44, 0, 1, 4, 0,    0,    0,    0,    /* destination options */
                                17, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef, /* first fragment */
                                0,  1, 0, 2, 0,    8,    0,    0};

static void test_ip6_chain(void **state)
{
    uint8_t packet[200];
    struct ip_view v;
    size_t len = make_ip6(packet, IP_HOP_BY_HOP, chain, sizeof chain);
    assert_int_equal(ip_parse(packet, len, &v), ERR_OK);
    assert_int_equal(v.protocol, IP_UDP);
    assert_int_equal(v.header_len, 80);
    assert_int_equal(v.payload_len, 8);
    assert_ptr_equal(v.payload, packet + 80);
    assert_true(v.has_options && v.is_fragment && v.more_fragments);
    assert_int_equal(v.id, 0xdeadbeef);
    assert_false(v.has_source_route);
    for (size_t cut = 0; cut < len; cut++) {
        parse_exact(packet, cut, ERR_TRUNCATED, &v, ip_parse);
        parse_exact(packet, cut, cut < 40 ? ERR_TRUNCATED : ERR_OK, &v, ip_parse_quoted);
        if (cut >= 40 && cut < 48) {
            assert_int_equal(v.protocol, IP_HOP_BY_HOP);
            assert_int_equal(v.payload_len, 0);
            assert_int_equal(v.header_len, 40);
        }
        if (cut >= 80)
            assert_int_equal(v.protocol, IP_UDP);
    }
    /* A chain that its own packet cuts is none, quoted or not. */
    for (size_t body_len = 1; body_len < 40; body_len++) {
        len = make_ip6(packet, IP_HOP_BY_HOP, chain, body_len);
        if (body_len != 40) {
            parse_exact(packet, len, ERR_INVALID, &v, ip_parse);
            parse_exact(packet, len, ERR_INVALID, &v, ip_parse_quoted);
        }
    }
    packet[40 + 8 + 3] = 1; /* segments left */
    len = make_ip6(packet, IP_HOP_BY_HOP, chain, sizeof chain);
    packet[40 + 8 + 3] = 1;
    assert_int_equal(ip_parse(packet, len, &v), ERR_OK);
    assert_true(v.has_source_route);
}

static void test_ip6_later_fragment(void **state)
{
    /* What follows looks like another extension header, but is data. */
    static const uint8_t body[] = {60, 0, 0x05, 0xa8, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff};
    uint8_t packet[100];
    struct ip_view v;
    const size_t len = make_ip6(packet, IP_FRAGMENT, body, sizeof body);
    assert_int_equal(ip_parse(packet, len, &v), ERR_OK);
    assert_int_equal(v.fragment_offset, 1448);
    assert_true(v.is_fragment && !v.more_fragments);
    assert_int_equal(v.protocol, IP_DESTINATION_OPTIONS);
    assert_int_equal(v.payload_len, 4);
}

static void test_ip6_hostile_chains(void **state)
{
    uint8_t body[80] = {0}, packet[200];
    struct ip_view v;
    for (size_t i = 0; i < sizeof body; i += 8)
        body[i] = IP_DESTINATION_OPTIONS;
    size_t len = make_ip6(packet, IP_DESTINATION_OPTIONS, body, sizeof body);
    assert_int_equal(ip_parse(packet, len, &v), ERR_INVALID); /* ten of them */
    body[0] = IP_HOP_BY_HOP;
    len = make_ip6(packet, IP_DESTINATION_OPTIONS, body, sizeof body);
    assert_int_equal(ip_parse(packet, len, &v), ERR_INVALID); /* not the first */
    /* An atomic fragment is none (RFC 6946), but still has a header to lose. */
    static const uint8_t atomic[16] = {17, 0, 0, 0, 0, 0, 0, 9};
    len = make_ip6(packet, IP_FRAGMENT, atomic, sizeof atomic);
    assert_int_equal(ip_parse(packet, len, &v), ERR_OK);
    assert_true(v.has_options && !v.is_fragment);
}

static void test_noise(void **state)
{
    uint32_t random = 3;
    uint8_t packet[120];
    struct ip_view v;
    for (int round = 0; round < 50000; round++) {
        size_t len = make_ip6(packet, IP_HOP_BY_HOP, chain, sizeof chain);
        if (round % 2 == 0) {
            memcpy(packet, plain4, sizeof plain4);
            len = sizeof plain4;
        }
        for (int flips = 0; flips < 4; flips++) {
            random = random * 1664525 + 1013904223;
            packet[(random >> 8) % len] ^= (uint8_t)(random >> 24);
        }
        if (ip_parse(packet, len, &v) == ERR_OK)
            assert_true(v.payload >= packet && v.payload + v.payload_len <= packet + len);
        if (ip_parse_quoted(packet, len, &v) == ERR_OK)
            assert_true(v.payload >= packet && v.payload + v.payload_len <= packet + len);
    }
}

static void test_build(void **state)
{
    static const char *const pairs[][2] = {{"10.0.0.1", "0.0.0.86"}, {"2001:20::1", "2001:20::2"}};
    for (size_t i = 0; i < 2; i++) {
        struct ip_header h = {
            .payload_len = 5, .protocol = 6, .tos = 0x2e, .ttl = 64, .dont_fragment = true};
        assert_int_equal(address_parse(pairs[i][0], &h.src), ERR_OK);
        assert_int_equal(address_parse(pairs[i][1], &h.dst), ERR_OK);
        uint8_t packet[64] = {0};
        struct writer w;
        struct ip_view v;
        const size_t header_len = ip_header_len((enum address_family)h.src.family);
        for (size_t cap = 0; cap < header_len; cap++) {
            writer_init(&w, packet, cap);
            assert_int_equal(ip_build_header(&w, &h), ERR_FULL);
        }
        writer_init(&w, packet, sizeof packet);
        assert_int_equal(ip_build_header(&w, &h), ERR_OK);
        assert_int_equal(w.len, header_len);
        assert_int_equal(ip_parse(packet, header_len + 5, &v), ERR_OK);
        assert_true(address_is_equal(&v.src, &h.src) && address_is_equal(&v.dst, &h.dst));
        assert_int_equal(v.tos, 0x2e);
        assert_int_equal(v.ttl, 64);
        assert_int_equal(v.protocol, 6);
        assert_int_equal(v.payload_len, 5);
        assert_int_equal(v.id, 0);
        assert_true(v.dont_fragment && !v.is_fragment && !v.has_options);
        if (v.version == 4)
            assert_int_equal(checksum_finish(checksum_add(0, packet, 20)), 0);
        /* The swap of the addresses keeps the header right. */
        ip_replace_addresses(packet, &h.dst, &h.src);
        assert_int_equal(ip_parse(packet, header_len + 5, &v), ERR_OK);
        assert_true(address_is_equal(&v.src, &h.dst) && address_is_equal(&v.dst, &h.src));
        struct address other = i == 0 ? address_from_ipv4(0xdeadbeef) : h.src;
        ip_replace_addresses(packet, &other, &other);
        if (v.version == 4)
            assert_int_equal(checksum_finish(checksum_add(0, packet, 20)), 0);
    }
}

static void test_build_refused(void **state)
{
    uint8_t packet[64];
    struct writer w;
    struct ip_header h = {.src = address_from_ipv4(1)};
    writer_init(&w, packet, sizeof packet);
    assert_int_equal(ip_build_header(&w, &h), ERR_INVALID);
    h.dst = h.src;
    h.payload_len = 65516;
    assert_int_equal(ip_build_header(&w, &h), ERR_INVALID);
    h.payload_len = 65515;
    assert_int_equal(ip_build_header(&w, &h), ERR_OK);
    assert_int_equal(address_parse("::1", &h.src), ERR_OK);
    assert_int_equal(ip_build_header(&w, &h), ERR_INVALID);
    h.dst = h.src;
    h.payload_len = 65536;
    assert_int_equal(ip_build_header(&w, &h), ERR_INVALID);
    assert_int_equal(w.len, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ip4),
        cmocka_unit_test(test_ip4_every_length),
        cmocka_unit_test(test_ip4_invalid),
        cmocka_unit_test(test_ip4_fragments),
        cmocka_unit_test(test_ip4_options),
        cmocka_unit_test(test_ip6),
        cmocka_unit_test(test_ip6_chain),
        cmocka_unit_test(test_ip6_later_fragment),
        cmocka_unit_test(test_ip6_hostile_chains),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_build),
        cmocka_unit_test(test_build_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
