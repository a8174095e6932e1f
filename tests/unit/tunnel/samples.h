/* Packets for the tests of this folder. Checksums are summed here word by word, on their own. */
#ifndef SAMPLES_H
#define SAMPLES_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/packet.h"
#include "tunnel/translate.h"
#include "wire/suite.h"

/* liburcu is not instrumented: its own allocations look like races. Ours are watched all the same.
 */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:liburcu-memb.so\ncalled_from_lib:liburcu-cds.so\n";
}

static const enum suite all_suites[] = {SPUT_PAPER, SPUT_AES128_GCM, SPUT_AES256_GCM,
                                        SPUT_CHACHA20_POLY1305};

/* xorshift: the same numbers in every run. */
static inline uint64_t sample_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static inline void packet_fill(struct packet *packet, const void *bytes, size_t len)
{
    packet_reset(packet);
    assert_true(len <= packet_tailroom(packet));
    memcpy(packet->data, bytes, len);
    packet->len = (uint32_t)len;
}

static inline struct address address_of(const char *text)
{
    struct address a;
    assert_int_equal(address_parse(text, &a), ERR_OK);
    return a;
}

/* Here: own 0.0.0.2, the peer is 0.0.0.86. There: own 10.9.0.5, we are 10.9.0.77. IPv6 alike for
 * both. */
static inline struct translation sample_translation(void)
{
    return (struct translation){
        .local = {address_of("0.0.0.2"), address_of("0.0.0.86"), address_of("2001:20::1"),
                  address_of("2001:20::2")},
        .remote = {address_of("10.9.0.5"), address_of("10.9.0.77"), address_of("2001:20::2"),
                   address_of("2001:20::1")},
    };
}

static inline struct translation sample_swapped(const struct translation *t)
{
    return (struct translation){.local = t->remote, .remote = t->local};
}

static inline uint16_t naive_sum(const uint8_t *data, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static inline void put_u16(uint8_t *at, unsigned int value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline unsigned int get_u16(const uint8_t *at)
{
    return (unsigned int)at[0] << 8 | at[1];
}

/* Over pseudo-header and payload; right if 0xffff comes out of a payload with its checksum in it.
 */
static inline uint16_t transport_sum(const struct address *src, const struct address *dst,
                                     uint8_t protocol, const uint8_t *payload, size_t covered,
                                     size_t len)
{
    uint32_t sum = naive_sum(src->bytes, 16, 0);
    sum += naive_sum(dst->bytes, 16, 0);
    sum += protocol + (uint32_t)len;
    return naive_sum(payload, covered, sum);
}

/* Writes a whole IP packet; returns its length. */
static inline size_t make_ip(uint8_t *out, const struct address *src, const struct address *dst,
                             uint8_t protocol, const uint8_t *payload, size_t len)
{
    memset(out, 0, 40);
    if (src->family == ADDRESS_IPV4) {
        out[0] = 0x45;
        put_u16(out + 2, 20 + (unsigned int)len);
        put_u16(out + 4, 0x1234);
        out[6] = 0x40;
        out[8] = 61;
        out[9] = protocol;
        memcpy(out + 12, src->bytes, 4);
        memcpy(out + 16, dst->bytes, 4);
        put_u16(out + 10, 0xffff ^ naive_sum(out, 20, 0));
        memcpy(out + 20, payload, len);
        return 20 + len;
    }
    out[0] = 0x60;
    put_u16(out + 4, (unsigned int)len);
    out[6] = protocol;
    out[7] = 61;
    memcpy(out + 8, src->bytes, 16);
    memcpy(out + 24, dst->bytes, 16);
    memcpy(out + 40, payload, len);
    return 40 + len;
}

/* A transport payload of any content with a right checksum for these addresses. */
static inline size_t make_transport(uint8_t *out, const struct address *src,
                                    const struct address *dst, uint8_t protocol, size_t len)
{
    static const uint8_t offsets[256] = {
        [1] = 2, [6] = 16, [17] = 6, [33] = 6, [58] = 2, [136] = 6};
    const unsigned int at = offsets[protocol];
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(i * 37 + protocol);
    size_t covered = len;
    if (protocol == 17)
        put_u16(out + 4, (unsigned int)len);
    if (protocol == 136) { /* covers its header and 4 bytes more */
        covered = 12;
        put_u16(out + 4, (unsigned int)covered);
    }
    if (protocol == 33) {
        out[4] = 4;    /* header of 16 bytes */
        out[5] = 0x02; /* CsCov 2: the header and 4 bytes */
        covered = 16 + 4;
    }
    if (protocol == 1 || protocol == 58) {
        out[0] = protocol == 1 ? 8 : 128; /* echo request */
        out[1] = 0;
    }
    if (at != 0) {
        put_u16(out + at, 0);
        const uint16_t sum = protocol == 1 ? naive_sum(out, len, 0)
                                           : transport_sum(src, dst, protocol, out, covered, len);
        put_u16(out + at, 0xffffu ^ sum);
        if (get_u16(out + at) == 0 && protocol != 1)
            put_u16(out + at, 0xffff);
    }
    return len;
}

#endif
