/* Sums many bytes at a time in the machine's own order; RFC 1071, 2 (B): swapping the bytes of the
 * folded result is the same as having swapped each word. */
#include "wire/checksum.h"

#include <string.h>

#include "wire/ip.h"

static uint16_t fold(uint64_t sum)
{
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static uint16_t from_native(uint16_t word)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return __builtin_bswap16(word);
#else
    return word;
#endif
}

/* Sixteen bytes: the compiler has an instruction for each step, or makes it of several. */
typedef uint64_t lanes __attribute__((vector_size(16)));

/* Whole blocks of 32 bytes; every packet that the kernel leaves to us goes through here. */
static uint64_t add_blocks(const uint8_t *at, size_t blocks)
{
    const lanes low = {0xffffffff, 0xffffffff};
    lanes sums[4] = {{0}};
    for (; blocks > 0; blocks--, at += 32) {
        lanes words[2];
        memcpy(words, at, sizeof words);
        sums[0] += words[0] & low;
        sums[1] += words[0] >> 32;
        sums[2] += words[1] & low;
        sums[3] += words[1] >> 32;
    }
    sums[0] += sums[1] + (sums[2] + sums[3]);
    return sums[0][0] + sums[0][1];
}

uint32_t checksum_add(uint32_t sum, const void *data, size_t len)
{
    const uint8_t *at = data;
    uint64_t native = add_blocks(at, len / 32);
    at += len / 32 * 32;
    len %= 32;
    while (len >= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        native += (word & 0xffffffff) + (word >> 32);
        at += 8;
        len -= 8;
    }
    while (len >= 2) {
        uint16_t word;
        memcpy(&word, at, sizeof word);
        native += word;
        at += 2;
        len -= 2;
    }
    uint32_t result = (uint32_t)fold(sum) + from_native(fold(native));
    if (len > 0)
        result += (uint32_t)*at << 8;
    return result;
}

uint16_t checksum_finish(uint32_t sum)
{
    return (uint16_t)~fold(sum);
}

uint32_t checksum_add_pseudo(uint32_t sum, const struct address *src, const struct address *dst,
                             uint8_t protocol, uint32_t len)
{
    sum = checksum_add(sum, src->bytes, address_len(src));
    sum = checksum_add(sum, dst->bytes, address_len(dst));
    return (uint32_t)fold((uint64_t)sum + protocol + (len >> 16) + (len & 0xffff));
}

uint16_t checksum_replace_u16(uint16_t checksum, uint16_t old_word, uint16_t new_word)
{
    return (uint16_t)~fold((uint64_t)(uint16_t)~checksum + (uint16_t)~old_word + new_word);
}

uint16_t checksum_replace_address(uint16_t checksum, const struct address *old_address,
                                  const struct address *new_address)
{
    const uint16_t old_sum = fold(checksum_add(0, old_address->bytes, address_len(old_address)));
    const uint16_t new_sum = fold(checksum_add(0, new_address->bytes, address_len(new_address)));
    return checksum_replace_u16(checksum, old_sum, new_sum);
}

int checksum_offset(uint8_t protocol)
{
    switch (protocol) {
    case IP_TCP:
        return 16;
    case IP_UDP:
    case IP_UDPLITE:
    case IP_DCCP:
        return 6;
    case IP_ICMPV6:
        return 2;
    default:
        return ERR_NOT_FOUND;
    }
}

static uint16_t load_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void store_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* Where 0 means "no checksum" (UDP) or is forbidden (UDP-Lite), its other form is sent. */
static uint16_t never_zero(uint8_t protocol, uint16_t checksum)
{
    const bool is_udp = protocol == IP_UDP || protocol == IP_UDPLITE;
    return is_udp && checksum == 0 ? 0xffff : checksum;
}

/* Of an address, in the machine's own order; what an IPv4 one leaves of it is zero. */
static uint64_t native_sum(const struct address *address)
{
    uint64_t halves[2];
    memcpy(halves, address->bytes, sizeof halves);
    return (halves[0] & 0xffffffff) + (halves[0] >> 32) + (halves[1] & 0xffffffff) +
           (halves[1] >> 32);
}

/* As checksum_replace_address(), twice: this is done for every packet. */
static uint16_t replace_both(uint16_t checksum, const struct address *old_src,
                             const struct address *old_dst, const struct address *new_src,
                             const struct address *new_dst)
{
    const uint16_t before = fold(native_sum(old_src) + native_sum(old_dst));
    const uint16_t after = fold(native_sum(new_src) + native_sum(new_dst));
    return checksum_replace_u16(checksum, from_native(before), from_native(after));
}

int checksum_fix_payload(uint8_t protocol, uint8_t *payload, size_t len,
                         const struct address *old_src, const struct address *old_dst,
                         const struct address *new_src, const struct address *new_dst)
{
    const int offset = checksum_offset(protocol);
    if (offset < 0)
        return ERR_OK;
    if (len < (size_t)offset + 2)
        return ERR_TRUNCATED;
    uint16_t checksum = load_u16(payload + offset);
    if (protocol == IP_UDP && checksum == 0)
        return ERR_OK;
    checksum = replace_both(checksum, old_src, old_dst, new_src, new_dst);
    store_u16(payload + offset, never_zero(protocol, checksum));
    return ERR_OK;
}

/* Bytes that the checksum covers; 0 for none that could be right. */
static size_t covered_len(uint8_t protocol, const uint8_t *payload, size_t len)
{
    if (protocol == IP_UDPLITE) { /* RFC 3828, 3.1: 0 is all, else at least the header */
        const size_t coverage = load_u16(payload + 4);
        if (coverage == 0)
            return len;
        return coverage >= 8 && coverage <= len ? coverage : 0;
    }
    if (protocol == IP_DCCP) { /* RFC 4340, 9.2: CsCov counts words of data after the header */
        const size_t coverage = payload[5] & 15, header_len = (size_t)payload[4] * 4;
        if (coverage == 0)
            return len;
        const size_t covered = header_len + (coverage - 1) * 4;
        return header_len >= 12 && header_len <= len ? (covered < len ? covered : len) : 0;
    }
    return len;
}

int checksum_write_payload(uint8_t protocol, uint8_t *payload, size_t len,
                           const struct address *src, const struct address *dst)
{
    const int offset = checksum_offset(protocol);
    if (offset < 0)
        return ERR_OK;
    if (len < (size_t)offset + 2)
        return ERR_TRUNCATED;
    const size_t covered = covered_len(protocol, payload, len);
    if (covered == 0)
        return ERR_INVALID;
    store_u16(payload + offset, 0);
    uint32_t sum = checksum_add_pseudo(0, src, dst, protocol, (uint32_t)len);
    const uint16_t checksum = checksum_finish(checksum_add(sum, payload, covered));
    store_u16(payload + offset, never_zero(protocol, checksum));
    return ERR_OK;
}

int checksum_complete(uint8_t *packet, size_t len, size_t start, size_t offset)
{
    if (start > len || len - start < 2 || offset > len - start - 2)
        return ERR_INVALID;
    /* The field holds the pseudo-header's sum already. 0 is written as its other form, which is
     * right for every protocol. */
    const uint16_t checksum = checksum_finish(checksum_add(0, packet + start, len - start));
    store_u16(packet + start + offset, checksum == 0 ? 0xffff : checksum);
    return ERR_OK;
}
