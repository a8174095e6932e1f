/* ICMP errors: their content, sizes and checksums, and when none may be sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wire/checksum.h"
#include "wire/icmp.h"
#include "wire/ip.h"

static uint8_t answer[2000];

/* A packet of `len` bytes with `protocol`, whose payload starts with `first`. */
static void make_packet(uint8_t *packet, size_t len, const char *src, const char *dst,
                        uint8_t protocol, uint8_t first)
{
    struct writer w;
    struct ip_header h = {.protocol = protocol, .ttl = 64, .dont_fragment = true};
    assert_int_equal(address_parse(src, &h.src), ERR_OK);
    assert_int_equal(address_parse(dst, &h.dst), ERR_OK);
    const size_t header_len = ip_header_len((enum address_family)h.src.family);
    h.payload_len = (uint32_t)(len - header_len);
    memset(packet, 0x5a, len);
    writer_init(&w, packet, len);
    assert_int_equal(ip_build_header(&w, &h), ERR_OK);
    if (len > header_len)
        packet[header_len] = first;
}

static int unreachable(const uint8_t *packet, size_t len, struct ip_view *ret_view)
{
    struct writer w;
    writer_init(&w, answer, sizeof answer);
    int error = icmp_unreachable_build(&w, packet, len);
    if (error == ERR_OK)
        assert_int_equal(ip_parse(answer, w.len, ret_view), ERR_OK);
    return error;
}

static void test_ip4(void **state)
{
    uint8_t packet[1500];
    for (size_t len = 20; len <= sizeof packet; len += 37) {
        struct ip_view v;
        make_packet(packet, len, "10.0.0.1", "0.0.0.86", IP_TCP, 1);
        assert_int_equal(unreachable(packet, len, &v), ERR_OK);
        char text[ADDRESS_TEXT_CAP];
        assert_string_equal(address_format(&v.src, text, sizeof text), "0.0.0.86");
        assert_string_equal(address_format(&v.dst, text, sizeof text), "10.0.0.1");
        assert_int_equal(v.protocol, IP_ICMP);
        assert_int_equal(checksum_finish(checksum_add(0, answer, 20)), 0);
        assert_int_equal(checksum_finish(checksum_add(0, v.payload, v.payload_len)), 0);
        assert_int_equal(v.payload[0], 3);
        assert_int_equal(v.payload[1], 1);
        const size_t quoted = len < 548 ? len : 548;
        assert_int_equal(v.total_len, 28 + quoted);
        assert_memory_equal(v.payload + 8, packet, quoted);
    }
}

static void test_ip6(void **state)
{
    uint8_t packet[1500];
    for (size_t len = 40; len <= sizeof packet; len += 37) {
        struct ip_view v;
        make_packet(packet, len, "2001:20::1", "2001:20::2", IP_TCP, 1);
        assert_int_equal(unreachable(packet, len, &v), ERR_OK);
        assert_int_equal(v.protocol, IP_ICMPV6);
        uint32_t sum = checksum_add_pseudo(0, &v.src, &v.dst, IP_ICMPV6, v.payload_len);
        assert_int_equal(checksum_finish(checksum_add(sum, v.payload, v.payload_len)), 0);
        assert_int_equal(v.payload[0], 1);
        assert_int_equal(v.payload[1], 3);
        const size_t quoted = len < 1232 ? len : 1232;
        assert_int_equal(v.total_len, 48 + quoted);
        assert_memory_equal(v.payload + 8, packet, quoted);
    }
}

static void test_too_big(void **state)
{
    uint8_t packet[1500];
    struct writer w;
    make_packet(packet, sizeof packet, "10.0.0.1", "0.0.0.86", IP_TCP, 1);
    writer_init(&w, answer, sizeof answer);
    assert_int_equal(icmp_too_big_build(&w, packet, sizeof packet, 1372), ERR_OK);
    assert_memory_equal(answer + 20, "\x03\x04", 2);
    assert_memory_equal(answer + 24, "\x00\x00\x05\x5c", 4);
    writer_init(&w, answer, sizeof answer);
    assert_int_equal(icmp_too_big_build(&w, packet, sizeof packet, 70000), ERR_OK);
    assert_memory_equal(answer + 24, "\x00\x00\xff\xff", 4);
    make_packet(packet, sizeof packet, "2001:20::1", "2001:20::2", IP_TCP, 1);
    writer_init(&w, answer, sizeof answer);
    assert_int_equal(icmp_too_big_build(&w, packet, sizeof packet, 1372), ERR_OK);
    assert_memory_equal(answer + 40, "\x02\x00", 2);
    assert_memory_equal(answer + 44, "\x00\x00\x05\x5c", 4);
}

static void test_never_answers_an_error(void **state)
{
    uint8_t packet[64];
    struct ip_view v;
    for (unsigned type = 0; type < 256; type++) {
        make_packet(packet, 60, "10.0.0.1", "0.0.0.86", IP_ICMP, (uint8_t)type);
        const bool is_error4 = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
        assert_int_equal(icmp_is_error(4, (uint8_t)type), is_error4);
        assert_int_equal(unreachable(packet, 60, &v), is_error4 ? ERR_REFUSED : ERR_OK);
        make_packet(packet, 60, "2001:20::1", "2001:20::2", IP_ICMPV6, (uint8_t)type);
        const bool is_refused6 = type < 128 || type == 137;
        assert_int_equal(unreachable(packet, 60, &v), is_refused6 ? ERR_REFUSED : ERR_OK);
    }
    /* Cut before its type, it might be one. */
    make_packet(packet, 20, "10.0.0.1", "0.0.0.86", IP_ICMP, 0);
    assert_int_equal(unreachable(packet, 20, &v), ERR_REFUSED);
}

static void test_never_answers_groups(void **state)
{
    static const char *const pairs[][2] = {
        {"10.0.0.1", "224.0.0.1"}, {"10.0.0.1", "255.255.255.255"}, {"10.0.0.1", "0.0.0.0"},
        {"0.0.0.0", "0.0.0.86"},   {"224.0.0.1", "0.0.0.86"},       {"::", "2001:20::2"},
        {"2001:20::1", "ff02::1"}, {"ff02::1", "2001:20::1"},       {"2001:20::1", "::"}};
    uint8_t packet[60];
    struct ip_view v;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        make_packet(packet, sizeof packet, pairs[i][0], pairs[i][1], IP_UDP, 0);
        assert_int_equal(unreachable(packet, sizeof packet, &v), ERR_REFUSED);
    }
}

static void test_fragments(void **state)
{
    uint8_t packet[60];
    struct ip_view v;
    make_packet(packet, sizeof packet, "10.0.0.1", "0.0.0.86", IP_UDP, 0);
    packet[6] = 0x20;
    assert_int_equal(unreachable(packet, sizeof packet, &v), ERR_OK);
    packet[7] = 1;
    assert_int_equal(unreachable(packet, sizeof packet, &v), ERR_REFUSED);
}

static void test_no_room_and_no_packet(void **state)
{
    uint8_t packet[60];
    struct writer w;
    make_packet(packet, sizeof packet, "10.0.0.1", "0.0.0.86", IP_UDP, 0);
    for (size_t cap = 0; cap < 88; cap++) {
        uint8_t *exact = malloc(cap > 0 ? cap : 1);
        writer_init(&w, exact, cap);
        assert_int_equal(icmp_unreachable_build(&w, packet, sizeof packet), ERR_FULL);
        free(exact);
    }
    for (size_t len = 0; len < 20; len++) {
        writer_init(&w, answer, sizeof answer);
        assert_int_equal(icmp_unreachable_build(&w, packet, len), ERR_TRUNCATED);
    }
    packet[0] = 0x55;
    assert_int_equal(icmp_unreachable_build(&w, packet, sizeof packet), ERR_INVALID);
    assert_int_equal(w.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ip4),
        cmocka_unit_test(test_ip6),
        cmocka_unit_test(test_too_big),
        cmocka_unit_test(test_never_answers_an_error),
        cmocka_unit_test(test_never_answers_groups),
        cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_no_room_and_no_packet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
