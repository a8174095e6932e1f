/* The checksum against a word-by-word sum, published examples, and recomputation after every kind
 * of replacement. */
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

static uint32_t random_state = 1;

static uint32_t random_u32(void)
{
    random_state = random_state * 1664525 + 1013904223;
    return random_state ^ random_state >> 15;
}

static uint16_t slow_checksum(const uint8_t *data, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i++) {
        sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

/* RFC 1071, 3: the words 0001 f203 f4f5 f6f7 sum up to ddf2. */
static void test_published(void **state)
{
    static const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    assert_int_equal(checksum_finish(checksum_add(0, data, sizeof data)), (uint16_t)~0xddf2);
    /* RFC 1624, 4: a header with checksum DD2F whose word 5555 becomes 3285. */
    assert_int_equal(checksum_replace_u16(0xdd2f, 0x5555, 0x3285), 0x0000);
}

static void test_against_slow(void **state)
{
    uint8_t data[300];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)random_u32();
    for (size_t start = 0; start < 9; start++) {
        for (size_t len = 0; start + len <= sizeof data; len++)
            assert_int_equal(checksum_finish(checksum_add(0, data + start, len)),
                             slow_checksum(data + start, len));
    }
    memset(data, 0xff, sizeof data);
    assert_int_equal(checksum_finish(checksum_add(0, data, sizeof data)), 0);
}

static void test_in_pieces(void **state)
{
    uint8_t data[64];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)random_u32();
    for (size_t cut = 0; cut < sizeof data; cut += 2) {
        uint32_t sum = checksum_add(0, data, cut);
        sum = checksum_add(sum, data + cut, sizeof data - cut - 1);
        assert_int_equal(checksum_finish(sum), slow_checksum(data, sizeof data - 1));
    }
}

static struct address random_address(int family)
{
    uint8_t bytes[16];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)random_u32();
    return address_from_bytes(family, bytes);
}

static bool is_right(uint8_t protocol, const uint8_t *payload, size_t len,
                     const struct address *src, const struct address *dst)
{
    uint32_t sum = checksum_add_pseudo(0, src, dst, protocol, (uint32_t)len);
    return checksum_finish(checksum_add(sum, payload, len)) == 0;
}

static void make_payload(uint8_t protocol, uint8_t *payload, size_t len)
{
    for (size_t i = 0; i < len; i++)
        payload[i] = (uint8_t)random_u32();
    if (protocol == IP_DCCP)
        payload[5] &= 0xf0; /* the checksum covers all */
    if (protocol == IP_UDPLITE)
        payload[4] = payload[5] = 0;
}

static const uint8_t protocols[] = {IP_TCP, IP_UDP, IP_UDPLITE, IP_DCCP, IP_ICMPV6};

static void test_fix_is_recomputation(void **state)
{
    uint8_t payload[61];
    for (int round = 0; round < 5000; round++) {
        const uint8_t protocol = protocols[round % 5];
        const int family = round % 2 ? ADDRESS_IPV4 : ADDRESS_IPV6;
        const size_t len = 20 + random_u32() % 41;
        struct address old_src = random_address(family), old_dst = random_address(family);
        struct address new_src = random_address(family), new_dst = random_address(family);
        make_payload(protocol, payload, len);
        assert_int_equal(checksum_write_payload(protocol, payload, len, &old_src, &old_dst), 0);
        assert_true(is_right(protocol, payload, len, &old_src, &old_dst));
        assert_int_equal(
            checksum_fix_payload(protocol, payload, len, &old_src, &old_dst, &new_src, &new_dst),
            ERR_OK);
        assert_true(is_right(protocol, payload, len, &new_src, &new_dst));
        if (protocol == IP_UDP || protocol == IP_UDPLITE)
            assert_true((payload[6] | payload[7]) != 0);
    }
}

/* Looks for replacements whose checksum comes out as zero: there are some among 65536. */
static void test_udp_never_becomes_zero(void **state)
{
    struct address src = address_from_ipv4(0x0a000001), dst = address_from_ipv4(0x0a000002);
    uint8_t payload[8] = {0, 53, 0, 53, 0, 8, 0, 0};
    int count = 0;
    for (uint32_t low = 0; low < 65536; low++) {
        struct address new_dst = address_from_ipv4(0xc0a80000 + low);
        assert_int_equal(checksum_write_payload(IP_UDP, payload, 8, &src, &dst), ERR_OK);
        assert_int_equal(checksum_fix_payload(IP_UDP, payload, 8, &src, &dst, &src, &new_dst), 0);
        assert_true((payload[6] | payload[7]) != 0);
        assert_true(is_right(IP_UDP, payload, 8, &src, &new_dst));
        count += payload[6] == 0xff && payload[7] == 0xff;
    }
    assert_true(count > 0);
}

static void test_udp_without_checksum(void **state)
{
    struct address a = address_from_ipv4(1), b = address_from_ipv4(2);
    uint8_t payload[8] = {0, 53, 0, 53, 0, 8, 0, 0};
    assert_int_equal(checksum_fix_payload(IP_UDP, payload, 8, &a, &b, &b, &a), ERR_OK);
    assert_int_equal(checksum_fix_payload(IP_UDP, payload, 8, &a, &a, &b, &b), ERR_OK);
    assert_int_equal(payload[6] | payload[7], 0);
}

static void test_truncated_and_other(void **state)
{
    struct address a = address_from_ipv4(1), b = address_from_ipv4(2);
    uint8_t zero[20] = {0}, payload[20];
    for (size_t i = 0; i < 5; i++) {
        const size_t need = (size_t)checksum_offset(protocols[i]) + 2;
        for (size_t len = 0; len < need; len++) {
            memset(payload, 0, sizeof payload);
            assert_int_equal(checksum_fix_payload(protocols[i], payload, len, &a, &a, &b, &b),
                             ERR_TRUNCATED);
            assert_int_equal(checksum_write_payload(protocols[i], payload, len, &a, &b),
                             ERR_TRUNCATED);
            assert_memory_equal(payload, zero, sizeof zero);
        }
    }
    assert_int_equal(checksum_fix_payload(IP_ICMP, payload, 20, &a, &a, &b, &b), ERR_OK);
    assert_int_equal(checksum_write_payload(132, payload, 20, &a, &b), ERR_OK);
    assert_memory_equal(payload, zero, sizeof zero);
    assert_int_equal(checksum_offset(IP_ICMP), ERR_NOT_FOUND);
}

static void test_partial_coverage(void **state)
{
    struct address a = address_from_ipv4(1), b = address_from_ipv4(2);
    uint8_t payload[24] = {0, 1, 0, 2, 0, 8, 0, 0, 1, 2, 3};
    assert_int_equal(checksum_write_payload(IP_UDPLITE, payload, sizeof payload, &a, &b), ERR_OK);
    uint32_t sum = checksum_add_pseudo(0, &a, &b, IP_UDPLITE, sizeof payload);
    assert_int_equal(checksum_finish(checksum_add(sum, payload, 8)), 0);
    payload[5] = 7;
    assert_int_equal(checksum_write_payload(IP_UDPLITE, payload, sizeof payload, &a, &b),
                     ERR_INVALID);
    payload[5] = 25;
    assert_int_equal(checksum_write_payload(IP_UDPLITE, payload, sizeof payload, &a, &b),
                     ERR_INVALID);
    payload[4] = 4;    /* DCCP: a header of 16 bytes ... */
    payload[5] = 0x52; /* ... and one word of data */
    assert_int_equal(checksum_write_payload(IP_DCCP, payload, sizeof payload, &a, &b), ERR_OK);
    sum = checksum_add_pseudo(0, &a, &b, IP_DCCP, sizeof payload);
    assert_int_equal(checksum_finish(checksum_add(sum, payload, 20)), 0);
    payload[4] = 7;
    assert_int_equal(checksum_write_payload(IP_DCCP, payload, sizeof payload, &a, &b), ERR_INVALID);
}

static void test_complete(void **state)
{
    struct address a = random_address(ADDRESS_IPV4), b = random_address(ADDRESS_IPV4);
    uint8_t packet[60];
    const size_t len = sizeof packet - 20;
    make_payload(IP_TCP, packet, sizeof packet);
    const uint16_t pseudo =
        (uint16_t)~checksum_finish(checksum_add_pseudo(0, &a, &b, IP_TCP, (uint32_t)len));
    packet[36] = (uint8_t)(pseudo >> 8);
    packet[37] = (uint8_t)pseudo;
    assert_int_equal(checksum_complete(packet, sizeof packet, 20, 16), ERR_OK);
    assert_true(is_right(IP_TCP, packet + 20, len, &a, &b));

    assert_int_equal(checksum_complete(packet, 60, 20, 38), ERR_OK);
    assert_int_equal(checksum_complete(packet, 60, 20, 39), ERR_INVALID);
    assert_int_equal(checksum_complete(packet, 60, 59, 0), ERR_INVALID);
    assert_int_equal(checksum_complete(packet, 60, 61, 0), ERR_INVALID);
    assert_int_equal(checksum_complete(packet, 60, 20, SIZE_MAX), ERR_INVALID);
    assert_int_equal(checksum_complete(packet, 60, SIZE_MAX, 2), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_against_slow),
        cmocka_unit_test(test_in_pieces),
        cmocka_unit_test(test_fix_is_recomputation),
        cmocka_unit_test(test_udp_never_becomes_zero),
        cmocka_unit_test(test_udp_without_checksum),
        cmocka_unit_test(test_truncated_and_other),
        cmocka_unit_test(test_partial_coverage),
        cmocka_unit_test(test_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
