/* Super-packets taken apart, and put together again from what came of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/coalesce.h"
#include "tunnel/segment.h"
#include "wire/checksum.h"
#include "wire/ip.h"
#include <stdlib.h>
#include <string.h>

#define COUNT 64

static struct packet packets[COUNT];

struct super {
    uint8_t bytes[OFFLOAD_LEN_MAX];
    uint32_t len;
    struct offload offload;
};

static struct super made;

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* As the kernel hands one over: lengths of the whole, the checksum the pseudo-header's sum alone.
 */
static void make_super(enum offload_kind kind, bool is_ipv6, uint32_t payload_len,
                       uint32_t segment_len, uint8_t tcp_flags)
{
    const bool is_udp = kind == OFFLOAD_UDP;
    const uint32_t tcp_len = 32; /* with a timestamp option */
    const uint32_t transport_len = (is_udp ? 8 : tcp_len) + payload_len;
    struct ip_header header = {.payload_len = transport_len,
                               .id = 100,
                               .protocol = is_udp ? IP_UDP : IP_TCP,
                               .tos = 2,
                               .ttl = 64,
                               .dont_fragment = true};
    struct writer w;
    if (is_ipv6) {
        assert_int_equal(address_parse("2001:db8::1", &header.src), ERR_OK);
        assert_int_equal(address_parse("2001:db8::2", &header.dst), ERR_OK);
    } else {
        assert_int_equal(address_parse("192.0.2.1", &header.src), ERR_OK);
        assert_int_equal(address_parse("192.0.2.2", &header.dst), ERR_OK);
    }
    memset(&made, 0, sizeof(made));
    writer_init(&w, made.bytes, sizeof(made.bytes));
    assert_int_equal(ip_build_header(&w, &header), ERR_OK);
    uint8_t *transport = made.bytes + w.len;
    made.len = (uint32_t)w.len + transport_len;
    put16(transport, 40000);
    put16(transport + 2, 443);
    if (is_udp) {
        put16(transport + 4, transport_len);
    } else {
        put16(transport + 4, 0xffff); /* the sequence number runs over */
        put16(transport + 6, 0xf000);
        put16(transport + 10, 77);
        transport[12] = (uint8_t)(tcp_len / 4 << 4);
        transport[13] = tcp_flags;
        put16(transport + 14, 512);
        memcpy(transport + 20, "\x01\x01\x08\x0a\x00\x00\x00\x05\x00\x00\x00\x06", 12);
    }
    uint8_t *payload = made.bytes + made.len - payload_len;
    for (uint32_t i = 0; i < payload_len; i++)
        payload[i] = (uint8_t)(i * 7 + (i >> 8));
    made.offload = (struct offload){
        .kind = (uint8_t)kind,
        .needs_checksum = true,
        .checksum_start = (uint16_t)(made.len - transport_len),
        .checksum_offset = is_udp ? 6 : 16,
        .header_len = (uint16_t)(made.len - payload_len),
        .segment_len = (uint16_t)segment_len,
    };
    const uint32_t sum =
        checksum_add_pseudo(0, &header.src, &header.dst, header.protocol, transport_len);
    put16(transport + made.offload.checksum_offset, (uint16_t)~checksum_finish(sum));
}

static uint32_t take_apart(void)
{
    struct segmenter segmenter;
    uint32_t count = 0;
    assert_int_equal(segment_begin(&segmenter, made.bytes, made.len, &made.offload), ERR_OK);
    while (count < COUNT) {
        int error = segment_next(&segmenter, &packets[count]);
        if (error == ERR_NOT_FOUND)
            break;
        assert_int_equal(error, ERR_OK);
        assert_true(packets[count].len <= segment_len_max(&segmenter));
        count++;
    }
    return count;
}

static void assert_right(const struct packet *packet)
{
    struct ip_view ip;
    assert_int_equal(ip_parse(packet->data, packet->len, &ip), ERR_OK);
    assert_int_equal(ip.total_len, packet->len);
    if (ip.version == 4)
        assert_int_equal(checksum_finish(checksum_add(0, packet->data, ip.header_len)), 0);
    const uint32_t sum = checksum_add_pseudo(0, &ip.src, &ip.dst, ip.protocol, ip.payload_len);
    assert_int_equal(checksum_finish(checksum_add(sum, ip.payload, ip.payload_len)), 0);
}

/* What the bundle would be on the way to the kernel, in one piece. */
static uint32_t flatten(const struct bundle *bundle, uint8_t *ret_bytes)
{
    uint32_t len = 0;
    for (const struct packet *p = bundle->first; p != NULL; p = p->next) {
        memcpy(ret_bytes + len, p->data, p->len);
        len += p->len;
    }
    return len;
}

static void check_there_and_back(enum offload_kind kind, bool is_ipv6, uint32_t payload_len,
                                 uint8_t flags)
{
    static uint8_t flat[OFFLOAD_LEN_MAX];
    struct coalescer coalescer;
    make_super(kind, is_ipv6, payload_len, 1000, flags);
    const uint32_t count = take_apart();
    assert_int_equal(count, (payload_len + 999) / 1000);
    uint32_t at = made.offload.header_len;
    coalesce_init(&coalescer, true);
    for (uint32_t i = 0; i < count; i++) {
        assert_right(&packets[i]);
        const uint32_t len = packets[i].len - made.offload.header_len;
        assert_memory_equal(packets[i].data + made.offload.header_len, made.bytes + at, len);
        at += len;
        if (!is_ipv6) { /* as the far end makes it: atomic */
            put16(packets[i].data + 4, 0);
            put16(packets[i].data + 10, 0);
        }
        assert_true(coalesce_add(&coalescer, &packets[i]));
    }
    assert_int_equal(at, made.len);
    struct bundle *bundle = coalesce_next(&coalescer);
    assert_non_null(bundle);
    assert_int_equal(bundle->count, count);
    assert_int_equal(bundle->len, made.len);
    assert_int_equal(flatten(bundle, flat), made.len);
    assert_memory_equal(&bundle->offload, &made.offload, sizeof(made.offload));
    if (!is_ipv6) {
        put16(made.bytes + 4, 0);
        put16(made.bytes + 10, 0);
        put16(made.bytes + 10, checksum_finish(checksum_add(0, made.bytes, 20)));
    }
    assert_memory_equal(flat, made.bytes, made.len);
    assert_null(coalesce_next(&coalescer));
}

static void test_there_and_back(void **state)
{
    (void)state;
    for (unsigned v6 = 0; v6 < 2; v6++) {
        const enum offload_kind tcp = v6 ? OFFLOAD_TCP_IPV6 : OFFLOAD_TCP_IPV4;
        check_there_and_back(tcp, v6, 3500, 0x10);
        check_there_and_back(tcp, v6, 3000, 0x18);
        check_there_and_back(tcp, v6, 63500, 0x18);
        check_there_and_back(OFFLOAD_UDP, v6, 3500, 0);
        check_there_and_back(OFFLOAD_UDP, v6, 2000, 0);
    }
}

static void test_tcp_fields(void **state)
{
    (void)state;
    make_super(OFFLOAD_TCP_IPV4, false, 2500, 1000, 0x80 | 0x10 | 0x08 | 0x01);
    assert_int_equal(take_apart(), 3);
    const uint8_t flags[] = {0x90, 0x10, 0x19}; /* CWR first, PSH and FIN last */
    for (uint32_t i = 0; i < 3; i++) {
        const uint8_t *tcp = packets[i].data + 20;
        assert_int_equal(tcp[13], flags[i]);
        assert_int_equal(get32(tcp + 4), 0xfffff000u + i * 1000);
        assert_int_equal(packets[i].data[5], 100 + i); /* identification */
        assert_right(&packets[i]);
    }
}

/* The same packets, but for what is left away. */
static void check_without_header(enum offload_kind kind, bool is_ipv6)
{
    static struct packet whole[COUNT];
    struct segmenter segmenter;
    make_super(kind, is_ipv6, 3500, 1000, 0x90);
    const uint32_t count = take_apart(), ip_len = is_ipv6 ? 40 : 20;
    for (uint32_t i = 0; i < count; i++) {
        packet_reset(&whole[i]);
        memcpy(whole[i].data, packets[i].data, packets[i].len);
    }
    assert_int_equal(segment_begin(&segmenter, made.bytes, made.len, &made.offload), ERR_OK);
    assert_int_equal(segment_next(&segmenter, &packets[0]), ERR_OK);
    segment_skip_ip(&segmenter);
    for (uint32_t i = 1; i < count; i++) {
        const uint32_t len = packets[i].len;
        assert_int_equal(segment_next(&segmenter, &packets[i]), ERR_OK);
        assert_int_equal(packets[i].len, len - ip_len);
        assert_memory_equal(packets[i].data, whole[i].data + ip_len, len - ip_len);
    }
    assert_int_equal(segment_next(&segmenter, &packets[0]), ERR_NOT_FOUND);
}

static void test_without_header(void **state)
{
    check_without_header(OFFLOAD_TCP_IPV4, false);
    check_without_header(OFFLOAD_TCP_IPV6, true);
    check_without_header(OFFLOAD_UDP, false);
    check_without_header(OFFLOAD_UDP, true);
}

static void test_ordinary_packets(void **state)
{
    (void)state;
    struct segmenter segmenter;
    make_super(OFFLOAD_TCP_IPV4, false, 500, 1000, 0x10);
    made.offload.kind = OFFLOAD_NONE;
    assert_int_equal(segment_begin(&segmenter, made.bytes, made.len, &made.offload), ERR_OK);
    assert_int_equal(segment_next(&segmenter, &packets[0]), ERR_OK);
    assert_int_equal(packets[0].len, made.len);
    assert_right(&packets[0]);
    assert_int_equal(segment_next(&segmenter, &packets[0]), ERR_NOT_FOUND);
    /* Without the flag nothing is touched. */
    made.offload.needs_checksum = false;
    assert_int_equal(segment_begin(&segmenter, made.bytes, made.len, &made.offload), ERR_OK);
    assert_int_equal(segment_next(&segmenter, &packets[0]), ERR_OK);
    assert_memory_equal(packets[0].data, made.bytes, made.len);
}

static void test_nonsense(void **state)
{
    (void)state;
    struct segmenter segmenter;
    struct offload good;
    make_super(OFFLOAD_TCP_IPV4, false, 3000, 1000, 0x10);
    good = made.offload;
    for (uint32_t len = 0; len < made.len; len += len < 60 ? 1 : 97)
        assert_int_equal(segment_begin(&segmenter, made.bytes, len, &good), ERR_INVALID);
    struct offload bad = good;
    bad.segment_len = 0;
    assert_int_equal(segment_begin(&segmenter, made.bytes, made.len, &bad), ERR_INVALID);
    bad = good;
    bad.kind = OFFLOAD_UDP;
    assert_int_equal(segment_begin(&segmenter, made.bytes, made.len, &bad), ERR_INVALID);
    bad.kind = OFFLOAD_TCP_IPV6;
    assert_int_equal(segment_begin(&segmenter, made.bytes, made.len, &bad), ERR_INVALID);
    bad.kind = 9;
    assert_int_equal(segment_begin(&segmenter, made.bytes, made.len, &bad), ERR_INVALID);
    for (unsigned words = 0; words < 5; words++) { /* TCP header too short */
        made.bytes[32] = (uint8_t)(words << 4);
        assert_int_equal(segment_begin(&segmenter, made.bytes, made.len, &good), ERR_INVALID);
    }
    /* Segments longer than a packet buffer. */
    make_super(OFFLOAD_TCP_IPV4, false, 20000, 9000, 0x10);
    assert_int_equal(segment_begin(&segmenter, made.bytes, made.len, &made.offload), ERR_OK);
    assert_int_equal(segment_next(&segmenter, &packets[0]), ERR_FULL);
    assert_int_equal(segment_next(&segmenter, &packets[0]), ERR_NOT_FOUND);
    /* A checksum outside of the packet. */
    made.offload = (struct offload){.needs_checksum = true, .checksum_start = 65000};
    made.len = 100;
    assert_int_equal(segment_begin(&segmenter, made.bytes, made.len, &made.offload), ERR_OK);
    assert_int_equal(segment_next(&segmenter, &packets[0]), ERR_INVALID);
}

/* ---- what is not joined ---- */

/* Three packets of 1000 bytes, with `change` done to the second: how many bundles? */
static uint32_t bundles_after(enum offload_kind kind, uint32_t at, uint8_t bits)
{
    struct coalescer coalescer;
    struct bundle *bundle;
    uint32_t count = 0, seen = 0;
    make_super(kind, kind == OFFLOAD_TCP_IPV6, 3000, 1000, 0x10);
    assert_int_equal(take_apart(), 3);
    coalesce_init(&coalescer, true);
    for (uint32_t i = 0; i < 3; i++) {
        if (i == 1)
            packets[i].data[at] ^= bits;
        assert_true(coalesce_add(&coalescer, &packets[i]));
    }
    while ((bundle = coalesce_next(&coalescer)) != NULL) {
        count++;
        seen += bundle->count;
    }
    assert_int_equal(seen, 3);
    return count;
}

static void test_what_differs_stays_apart(void **state)
{
    (void)state;
    static const struct {
        uint32_t at;
        uint8_t bits;
    } changes[] = {
        {1, 1},                        /* ECN */
        {6, 0x20},                     /* more fragments */
        {6, 0x40},                     /* no DF */
        {8, 1},                        /* TTL */
        {20 + 7, 1},                   /* sequence */
        {20 + 11, 1},                  /* acknowledgement */
        {20 + 13, 0x1},                /* FIN */
        {20 + 13, 0x2},                /* SYN */
        {20 + 13, 0x4},                /* RST */
        {20 + 13, 0x20}, {20 + 15, 1}, /* window */
        {20 + 19, 1},                  /* urgent pointer */
        {20 + 27, 1},                  /* timestamp */
    };
    assert_int_equal(bundles_after(OFFLOAD_TCP_IPV4, 0, 0), 1);
    assert_int_equal(bundles_after(OFFLOAD_TCP_IPV6, 0, 0), 1);
    assert_int_equal(bundles_after(OFFLOAD_UDP, 0, 0), 1);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        assert_in_range(bundles_after(OFFLOAD_TCP_IPV4, changes[i].at, changes[i].bits), 2, 3);
    /* Of another flow: its own neighbours are joined all the same. */
    assert_in_range(bundles_after(OFFLOAD_TCP_IPV4, 12, 1), 2, 3);
    assert_in_range(bundles_after(OFFLOAD_TCP_IPV4, 21, 1), 2, 3);
    assert_int_equal(bundles_after(OFFLOAD_TCP_IPV6, 3, 1), 3); /* flow label: order is kept */
    assert_int_equal(bundles_after(OFFLOAD_UDP, 25, 1), 3);     /* a length that lies */
}

/* A packet that closes a bundle, by PSH or by being shorter, is its last. */
static void test_order_is_kept(void **state)
{
    (void)state;
    struct coalescer coalescer;
    struct bundle *bundle;
    uint32_t next = 0;
    make_super(OFFLOAD_TCP_IPV4, false, 8000, 1000, 0x10);
    assert_int_equal(take_apart(), 8);
    packets[2].data[33] |= 0x08;
    packets[4].data[33] |= 0x01; /* FIN: stands alone */
    for (uint32_t i = 0; i < 8; i++)
        packets[i].tos = (uint8_t)i;
    coalesce_init(&coalescer, true);
    for (uint32_t i = 0; i < 8; i++)
        assert_true(coalesce_add(&coalescer, &packets[i]));
    const uint32_t counts[] = {3, 1, 1, 3};
    for (uint32_t i = 0; i < 4; i++) {
        bundle = coalesce_next(&coalescer);
        assert_non_null(bundle);
        assert_int_equal(bundle->count, counts[i]);
        for (const struct packet *p = bundle->first; p != NULL; p = p->next)
            assert_int_equal(p->tos, next++);
        if (i == 0)
            assert_int_equal(bundle->first->data[33], 0x18); /* PSH moves to the whole */
    }
    assert_null(coalesce_next(&coalescer));
}

static void test_full(void **state)
{
    (void)state;
    struct coalescer coalescer;
    uint32_t count = 0;
    coalesce_init(&coalescer, false);
    make_super(OFFLOAD_UDP, false, 500, 1000, 0);
    for (uint32_t i = 0; i < COALESCE_BUNDLES; i++) {
        packet_reset(&packets[i]);
        memcpy(packets[i].data, made.bytes, made.len);
        packets[i].len = made.len;
        assert_true(coalesce_add(&coalescer, &packets[i])); /* UDP is not to be joined */
    }
    struct packet one = packets[0];
    one.data = one.storage + PACKET_HEADROOM;
    assert_false(coalesce_add(&coalescer, &one));
    while (coalesce_next(&coalescer) != NULL)
        count++;
    assert_int_equal(count, COALESCE_BUNDLES);
    assert_true(coalesce_add(&coalescer, &one));
    assert_non_null(coalesce_next(&coalescer));
}

/* Whatever comes: no crash, no byte and no packet lost. */
static void test_noise(void **state)
{
    (void)state;
    struct coalescer coalescer;
    srand(5);
    coalesce_init(&coalescer, true);
    for (int round = 0; round < 300; round++) {
        struct bundle *bundle;
        uint32_t in = 0, out = 0;
        make_super(round & 1 ? OFFLOAD_TCP_IPV4 : OFFLOAD_TCP_IPV6, !(round & 1), 20000, 500, 0x10);
        const uint32_t count = take_apart();
        for (uint32_t i = 0; i < count; i++) {
            for (int flips = rand() % 4; flips > 0; flips--)
                packets[i].data[rand() % 70] ^= (uint8_t)(1 << rand() % 8);
            if (rand() % 8 == 0)
                packets[i].len = (uint32_t)rand() % (packets[i].len + 1);
            if (!coalesce_add(&coalescer, &packets[i]))
                break;
            in++;
        }
        while ((bundle = coalesce_next(&coalescer)) != NULL) {
            uint32_t len = 0;
            for (const struct packet *p = bundle->first; p != NULL; p = p->next, out++)
                len += p->len;
            assert_int_equal(len, bundle->len);
            assert_true(bundle->len <= COALESCE_LEN_MAX);
        }
        assert_int_equal(in, out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_tcp_fields),
        cmocka_unit_test(test_without_header), cmocka_unit_test(test_ordinary_packets),
        cmocka_unit_test(test_nonsense),       cmocka_unit_test(test_what_differs_stays_apart),
        cmocka_unit_test(test_order_is_kept),  cmocka_unit_test(test_full),
        cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
