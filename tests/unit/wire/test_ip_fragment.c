/* Packets divided and put together again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "wire/checksum.h"
#include "wire/ip.h"
#include "wire/ip_fragment.h"

static uint32_t build(uint8_t *packet, uint32_t payload_len, bool dont_fragment)
{
    const struct ip_header header = {.src = address_from_ipv4(0x02000000),
                                     .dst = address_from_ipv4(0x56000000),
                                     .payload_len = payload_len,
                                     .id = 4711,
                                     .protocol = IP_UDP,
                                     .tos = 0xb8,
                                     .ttl = 63,
                                     .dont_fragment = dont_fragment};
    struct writer w;
    writer_init(&w, packet, 4096);
    assert_int_equal(ip_build_header(&w, &header), ERR_OK);
    for (uint32_t i = 0; i < payload_len; i++)
        writer_u8(&w, (uint8_t)(i * 7 + i / 256));
    assert_true(writer_is_ok(&w));
    return (uint32_t)w.len;
}

/* Divides, checks each part, and fills what they carry into whole. Returns how many there were. */
static unsigned divide(const uint8_t *packet, uint32_t len, uint32_t mtu, uint8_t *whole,
                       bool *ret_more)
{
    struct ip_fragmenter f;
    unsigned count = 0;
    assert_int_equal(ip_fragment_begin(packet, len, mtu, &f), ERR_OK);
    for (;;) {
        uint8_t part[4096];
        struct ip_view v;
        struct writer w;
        writer_init(&w, part, sizeof part);
        const int error = ip_fragment_next(&f, &w);
        if (error == ERR_AGAIN)
            return count;
        assert_int_equal(error, ERR_OK);
        assert_true(w.len <= mtu);
        assert_int_equal(ip_parse(part, w.len, &v), ERR_OK);
        assert_int_equal(v.total_len, w.len);
        assert_int_equal(checksum_finish(checksum_add(0, part, IP4_HEADER_LEN)), 0);
        assert_true(v.id == 4711 && v.tos == 0xb8 && v.ttl == 63 && v.protocol == IP_UDP);
        assert_false(v.dont_fragment);
        memcpy(whole + v.fragment_offset, v.payload, v.payload_len);
        *ret_more = v.more_fragments;
        count++;
    }
}

static void test_every_length_and_mtu(void **state)
{
    uint8_t packet[4096], whole[4096];
    for (uint32_t payload_len = 1; payload_len <= 3000; payload_len += 13) {
        for (uint32_t mtu = 28; mtu <= 1500; mtu += 31) {
            bool has_more = true;
            const uint32_t len = build(packet, payload_len, false);
            const uint32_t room = (mtu - 20) / 8 * 8;
            memset(whole, 0, sizeof whole);
            assert_int_equal(divide(packet, len, mtu, whole, &has_more),
                             (payload_len + room - 1) / room);
            assert_false(has_more);
            assert_memory_equal(whole, packet + IP4_HEADER_LEN, payload_len);
        }
    }
}

/* A fragment is divided further: its offset and its "more" go on. */
static void test_fragment_of_a_fragment(void **state)
{
    uint8_t packet[4096], whole[8192] = {0};
    bool has_more = false;
    const uint32_t len = build(packet, 1400, false);
    packet[6] = 0x20; /* more */
    packet[7] = 100;  /* offset 800 */
    assert_int_equal(divide(packet, len, 600, whole, &has_more), 3);
    assert_true(has_more);
    assert_memory_equal(whole + 800, packet + IP4_HEADER_LEN, 1400);
}

static void test_refused(void **state)
{
    uint8_t packet[4096];
    struct ip_fragmenter f;
    struct writer w;
    uint32_t len = build(packet, 1000, true);
    assert_int_equal(ip_fragment_begin(packet, len, 576, &f), ERR_REFUSED); /* DF */
    len = build(packet, 1000, false);
    assert_int_equal(ip_fragment_begin(packet, len, 27, &f), ERR_REFUSED);
    for (uint32_t cut = 0; cut < len; cut++)
        assert_true(ip_fragment_begin(packet, cut, 576, &f) < 0);
    assert_int_equal(ip_fragment_begin(packet, len, 576, &f), ERR_OK);
    writer_init(&w, packet + 2048, 100);
    assert_int_equal(ip_fragment_next(&f, &w), ERR_FULL);
    packet[0] = 0x46; /* options */
    memset(packet + IP4_HEADER_LEN, 1, 4);
    assert_int_equal(ip_fragment_begin(packet, len, 576, &f), ERR_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length_and_mtu),
        cmocka_unit_test(test_fragment_of_a_fragment),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
