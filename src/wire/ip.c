/* IP headers, parsed and built. */
#include "wire/ip.h"

#include <string.h>

#include "base/reader.h"
#include "wire/checksum.h"

#define IP6_EXTENSIONS_MAX 8 /* walked; more is no honest packet */

#define IP4_FLAG_DF      0x4000
#define IP4_FLAG_MF      0x2000
#define IP4_OFFSET_MASK  0x1fff /* in units of 8 bytes */
#define IP4_OPTION_END   0
#define IP4_OPTION_NOP   1
#define IP4_OPTION_LSRR  131
#define IP4_OPTION_SSRR  137
#define IP4_CHECKSUM_AT  10
#define IP4_ADDRESSES_AT 12
#define IP6_ADDRESSES_AT 8

static uint16_t load_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

/* RFC 791, 3.1: one byte, or type, length (of all) and data. */
static int parse_ip4_options(const uint8_t *options, size_t len, bool *ret_has_source_route)
{
    struct reader r;
    reader_init(&r, options, len);
    while (reader_left(&r) > 0) {
        const uint8_t type = reader_u8(&r);
        if (type == IP4_OPTION_END)
            break;
        if (type == IP4_OPTION_NOP)
            continue;
        const uint8_t option_len = reader_u8(&r);
        if (option_len < 2)
            return ERR_INVALID;
        reader_skip(&r, option_len - 2u);
        if (type == IP4_OPTION_LSRR || type == IP4_OPTION_SSRR)
            *ret_has_source_route = true;
    }
    return reader_is_ok(&r) ? ERR_OK : ERR_INVALID;
}

static int parse_ip4(struct reader *r, bool is_quoted, struct ip_view *v)
{
    const uint8_t *header =
        reader_bytes(r, IP4_HEADER_LEN); /* checked once, for most packets come by */
    if (header == NULL)
        return ERR_TRUNCATED;
    v->tos = header[1];
    v->total_len = load_u16(header + 2);
    v->id = load_u16(header + 4);
    const uint16_t fragment = load_u16(header + 6);
    v->ttl = header[8];
    v->protocol = header[9];
    v->version = 4;
    v->header_len = (uint16_t)((header[0] & 15) * 4);
    if (v->header_len < IP4_HEADER_LEN || v->total_len < v->header_len)
        return ERR_INVALID;
    v->src.family = v->dst.family = ADDRESS_IPV4; /* the rest is zero */
    memcpy(v->src.bytes, header + IP4_ADDRESSES_AT, 4);
    memcpy(v->dst.bytes, header + IP4_ADDRESSES_AT + 4, 4);
    v->dont_fragment = (fragment & IP4_FLAG_DF) != 0;
    v->more_fragments = (fragment & IP4_FLAG_MF) != 0;
    v->fragment_offset = (uint16_t)((fragment & IP4_OFFSET_MASK) * 8);
    v->is_fragment = v->more_fragments || v->fragment_offset > 0;

    const size_t options_len = v->header_len - (size_t)IP4_HEADER_LEN;
    v->has_options = options_len > 0;
    const uint8_t *options = reader_bytes(r, options_len);
    if (options == NULL)
        return ERR_TRUNCATED;
    int error =
        v->has_options ? parse_ip4_options(options, options_len, &v->has_source_route) : ERR_OK;
    if (error != ERR_OK)
        return error;
    const size_t payload_len = v->total_len - v->header_len;
    if (payload_len > reader_left(r) && !is_quoted)
        return ERR_TRUNCATED;
    v->payload_len = (uint32_t)(payload_len < reader_left(r) ? payload_len : reader_left(r));
    v->payload = reader_bytes(r, v->payload_len);
    return ERR_OK;
}

static bool is_extension(uint8_t protocol)
{
    return protocol == IP_HOP_BY_HOP || protocol == IP_ROUTING || protocol == IP_FRAGMENT ||
           protocol == IP_DESTINATION_OPTIONS;
}

/* Reads one extension header, and sets protocol to what follows it (RFC 8200, 4). */
static void parse_extension(struct reader *r, struct ip_view *v)
{
    const uint8_t kind = v->protocol, next = reader_u8(r), len = reader_u8(r);
    if (kind == IP_FRAGMENT) {
        const uint16_t fragment = reader_u16(r);
        const uint32_t id = reader_u32(r);
        if (!reader_is_ok(r))
            return;
        v->id = id;
        v->fragment_offset = fragment & 0xfff8;
        v->more_fragments = (fragment & 1) != 0;
        v->is_fragment = v->more_fragments || v->fragment_offset > 0;
    } else if (kind == IP_ROUTING) {
        reader_u8(r); /* routing type */
        const uint8_t segments_left = reader_u8(r);
        reader_skip(r, 4 + (size_t)len * 8);
        if (!reader_is_ok(r))
            return;
        v->has_source_route = v->has_source_route || segments_left > 0;
    } else {
        reader_skip(r, 6 + (size_t)len * 8);
    }
    if (reader_is_ok(r))
        v->protocol = next;
}

static int walk_extensions(struct reader *r, bool is_quoted, struct ip_view *v)
{
    for (int count = 0; is_extension(v->protocol) && v->fragment_offset == 0; count++) {
        if (count == IP6_EXTENSIONS_MAX)
            return ERR_INVALID;
        /* RFC 8200, 4.3: hop-by-hop options come first or not at all. */
        if (v->protocol == IP_HOP_BY_HOP && count > 0)
            return ERR_INVALID;
        const size_t before = reader_offset(r);
        v->has_options = true;
        parse_extension(r, v);
        if (!reader_is_ok(r) && !is_quoted)
            return ERR_INVALID; /* the chain runs over the packet's own length */
        if (!reader_is_ok(r)) {
            v->payload = r->start + before;
            v->payload_len = 0;
            v->header_len = (uint16_t)(IP6_HEADER_LEN + before);
            return ERR_OK;
        }
    }
    v->header_len = (uint16_t)(IP6_HEADER_LEN + reader_offset(r));
    v->payload_len = (uint32_t)reader_left(r);
    v->payload = reader_bytes(r, v->payload_len);
    return ERR_OK;
}

static int parse_ip6(struct reader *r, bool is_quoted, struct ip_view *v)
{
    const uint32_t first = reader_u32(r);
    const uint16_t payload_len = reader_u16(r);
    v->protocol = reader_u8(r);
    v->ttl = reader_u8(r);
    const uint8_t *src = reader_bytes(r, 16), *dst = reader_bytes(r, 16);
    if (src == NULL || dst == NULL)
        return ERR_TRUNCATED;
    v->version = 6;
    v->tos = (uint8_t)(first >> 20);
    v->dont_fragment = true;
    v->src = address_from_bytes(ADDRESS_IPV6, src);
    v->dst = address_from_bytes(ADDRESS_IPV6, dst);
    /* IPv4-mapped addresses never appear on the wire, and would be of another family here. */
    if (v->src.family != ADDRESS_IPV6 || v->dst.family != ADDRESS_IPV6)
        return ERR_INVALID;
    v->total_len = IP6_HEADER_LEN + (uint32_t)payload_len;
    if (payload_len > reader_left(r) && !is_quoted)
        return ERR_TRUNCATED;
    const size_t left = payload_len < reader_left(r) ? payload_len : reader_left(r);
    struct reader rest = reader_sub(r, left);
    /* Only a cut, not the packet's own length, may end the chain early. */
    return walk_extensions(&rest, is_quoted && left < payload_len, v);
}

static int parse(const void *packet, size_t len, bool is_quoted, struct ip_view *ret_view)
{
    struct ip_view v = {0};
    struct reader r;
    if (len == 0)
        return ERR_TRUNCATED;
    reader_init(&r, packet, len);
    int error = ERR_INVALID;
    if (r.at[0] >> 4 == 4)
        error = parse_ip4(&r, is_quoted, &v);
    else if (r.at[0] >> 4 == 6)
        error = parse_ip6(&r, is_quoted, &v);
    if (error == ERR_OK)
        *ret_view = v;
    return error;
}

int ip_parse(const void *packet, size_t len, struct ip_view *ret_view)
{
    return parse(packet, len, false, ret_view);
}

int ip_parse_quoted(const void *packet, size_t len, struct ip_view *ret_view)
{
    return parse(packet, len, true, ret_view);
}

size_t ip_header_len(enum address_family family)
{
    return family == ADDRESS_IPV6 ? IP6_HEADER_LEN : IP4_HEADER_LEN;
}

static int build_ip4(struct writer *w, const struct ip_header *h)
{
    if (h->payload_len > UINT16_MAX - IP4_HEADER_LEN)
        return ERR_INVALID;
    uint8_t *start = writer_reserve(w, IP4_HEADER_LEN);
    if (start == NULL)
        return w->error;
    struct writer header;
    writer_init(&header, start, IP4_HEADER_LEN);
    writer_u8(&header, 0x45);
    writer_u8(&header, h->tos);
    writer_u16(&header, (uint16_t)(IP4_HEADER_LEN + h->payload_len));
    writer_u16(&header, h->id);
    writer_u16(&header, h->dont_fragment ? IP4_FLAG_DF : 0);
    writer_u8(&header, h->ttl);
    writer_u8(&header, h->protocol);
    writer_u16(&header, 0);
    writer_bytes(&header, h->src.bytes, 4);
    writer_bytes(&header, h->dst.bytes, 4);
    const uint16_t checksum = checksum_finish(checksum_add(0, start, IP4_HEADER_LEN));
    writer_patch_u16(&header, IP4_CHECKSUM_AT, checksum);
    return ERR_OK;
}

static int build_ip6(struct writer *w, const struct ip_header *h)
{
    if (h->payload_len > UINT16_MAX)
        return ERR_INVALID;
    writer_u32(w, 6u << 28 | (uint32_t)h->tos << 20);
    writer_u16(w, (uint16_t)h->payload_len);
    writer_u8(w, h->protocol);
    writer_u8(w, h->ttl);
    writer_bytes(w, h->src.bytes, 16);
    writer_bytes(w, h->dst.bytes, 16);
    return w->error;
}

int ip_build_header(struct writer *w, const struct ip_header *header)
{
    if (header->src.family != header->dst.family || address_len(&header->src) == 0)
        return ERR_INVALID;
    return header->src.family == ADDRESS_IPV6 ? build_ip6(w, header) : build_ip4(w, header);
}

void ip_replace_addresses(uint8_t *packet, const struct address *src, const struct address *dst)
{
    const bool is_ipv6 = packet[0] >> 4 == 6;
    const size_t len = is_ipv6 ? 16 : 4;
    uint8_t *at = packet + (is_ipv6 ? IP6_ADDRESSES_AT : IP4_ADDRESSES_AT);
    if (!is_ipv6) {
        const struct address old_src = address_from_bytes(ADDRESS_IPV4, at);
        const struct address old_dst = address_from_bytes(ADDRESS_IPV4, at + 4);
        uint8_t *field = packet + IP4_CHECKSUM_AT;
        uint16_t checksum = (uint16_t)(field[0] << 8 | field[1]);
        checksum = checksum_replace_address(checksum, &old_src, src);
        checksum = checksum_replace_address(checksum, &old_dst, dst);
        field[0] = (uint8_t)(checksum >> 8);
        field[1] = (uint8_t)checksum;
    }
    memcpy(at, src->bytes, len);
    memcpy(at + len, dst->bytes, len);
}
