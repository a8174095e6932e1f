/* ICMP errors, built from the packet that they answer. */
#include "wire/icmp.h"

#include "wire/checksum.h"
#include "wire/ip.h"

#define ICMP4_TOTAL_MAX   576
#define ICMP6_TOTAL_MAX   IP6_MTU_MIN
#define ICMP6_REDIRECT    137
#define TOS_CONTROL       0xc0 /* RFC 1812, 4.3.2.5: precedence 6, internetwork control */
#define ICMP_CHECKSUM_OFF 2

bool icmp_is_error(uint8_t version, uint8_t type)
{
    if (version == 6)
        return type < 128; /* RFC 4443, 2.1 */
    switch (type) {
    case ICMP4_UNREACHABLE:
    case 4: /* source quench */
    case 5: /* redirect */
    case ICMP4_TIME_EXCEEDED:
    case ICMP4_PARAMETER:
        return true;
    default:
        return false;
    }
}

static bool is_one_host(const struct address *a)
{
    return !address_is_unspecified(a) && !address_is_multicast(a);
}

static bool may_answer(const struct ip_view *v)
{
    if (v->fragment_offset > 0 || !is_one_host(&v->src) || !is_one_host(&v->dst))
        return false;
    const uint8_t icmp = v->version == 6 ? IP_ICMPV6 : IP_ICMP;
    if (v->protocol != icmp)
        return true;
    /* Without its type it might be an error. */
    return v->payload_len > 0 && !icmp_is_error(v->version, v->payload[0]) &&
           !(v->version == 6 && v->payload[0] == ICMP6_REDIRECT);
}

static void write_message(struct writer *w, const struct ip_view *v, const void *quoted,
                          size_t quoted_len, uint8_t type, uint8_t code, uint32_t mtu)
{
    writer_u8(w, type);
    writer_u8(w, code);
    writer_u16(w, 0);
    if (v->version == 6)
        writer_u32(w, type == ICMP6_TOO_BIG ? mtu : 0);
    else if (type == ICMP4_UNREACHABLE && code == ICMP4_FRAGMENTATION_NEEDED)
        writer_u32(w, mtu < UINT16_MAX ? mtu : UINT16_MAX); /* RFC 1191, 4: the low 16 bits */
    else
        writer_u32(w, 0);
    writer_bytes(w, quoted, quoted_len);
}

int icmp_error_build(struct writer *w, const void *packet, size_t len, uint8_t type, uint8_t code,
                     uint32_t mtu)
{
    struct ip_view v;
    int error = ip_parse_quoted(packet, len, &v);
    if (error != ERR_OK)
        return error;
    if (!may_answer(&v))
        return ERR_REFUSED;

    const bool is_ipv6 = v.version == 6;
    const size_t header_len = is_ipv6 ? IP6_HEADER_LEN : IP4_HEADER_LEN;
    const size_t room =
        (is_ipv6 ? ICMP6_TOTAL_MAX : ICMP4_TOTAL_MAX) - header_len - ICMP_HEADER_LEN;
    size_t quoted_len = len < v.total_len ? len : v.total_len;
    if (quoted_len > room)
        quoted_len = room;
    const struct ip_header header = {
        .src = v.dst,
        .dst = v.src,
        .payload_len = (uint32_t)(ICMP_HEADER_LEN + quoted_len),
        .protocol = is_ipv6 ? IP_ICMPV6 : IP_ICMP,
        .tos = TOS_CONTROL,
        .ttl = IP_TTL_DEFAULT,
    };
    error = ip_build_header(w, &header);
    if (error != ERR_OK)
        return error;
    const size_t start = w->len;
    write_message(w, &v, packet, quoted_len, type, code, mtu);
    if (!writer_is_ok(w))
        return w->error;
    uint32_t sum = 0;
    if (is_ipv6)
        sum = checksum_add_pseudo(0, &header.src, &header.dst, IP_ICMPV6, header.payload_len);
    sum = checksum_add(sum, w->base + start, header.payload_len);
    writer_patch_u16(w, start + ICMP_CHECKSUM_OFF, checksum_finish(sum));
    return w->error;
}

static bool is_ipv6(const void *packet, size_t len)
{
    return len > 0 && *(const uint8_t *)packet >> 4 == 6;
}

int icmp_unreachable_build(struct writer *w, const void *packet, size_t len)
{
    if (is_ipv6(packet, len))
        return icmp_error_build(w, packet, len, ICMP6_UNREACHABLE, ICMP6_ADDRESS_UNREACHABLE, 0);
    return icmp_error_build(w, packet, len, ICMP4_UNREACHABLE, ICMP4_HOST_UNREACHABLE, 0);
}

int icmp_too_big_build(struct writer *w, const void *packet, size_t len, uint32_t mtu)
{
    if (is_ipv6(packet, len))
        return icmp_error_build(w, packet, len, ICMP6_TOO_BIG, 0, mtu);
    return icmp_error_build(w, packet, len, ICMP4_UNREACHABLE, ICMP4_FRAGMENTATION_NEEDED, mtu);
}
