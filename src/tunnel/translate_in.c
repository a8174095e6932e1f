/* What the far end sent becomes a packet from the peer's address to this host's. Authentic, but the
 * peer may be hostile: every field that the kernel would act on is checked or written anew. */
#include "tunnel/translate_internal.h"
#include "wire/checksum.h"
#include "wire/icmp.h"
#include "wire/ip.h"

#define IP4_CHECKSUM_AT 10
#define ECN_MASK        3
#define ECN_ECT1        1
#define ECN_ECT0        2
#define ECN_CE          3

/* RFC 6040, 4.2, figure 4: the ECN field that leaves the tunnel. */
static enum drop_reason merge_ecn(uint8_t inner, uint8_t outer, uint8_t *ret_ecn)
{
    if (inner == 0 && outer == ECN_CE)
        return DROP_CONGESTION;
    *ret_ecn = inner;
    if (inner != 0 && outer == ECN_CE)
        *ret_ecn = ECN_CE;
    else if (inner == ECN_ECT0 && outer == ECN_ECT1)
        *ret_ecn = ECN_ECT1;
    return DROP_NONE;
}

enum drop_reason translate_transport(const struct address_map *map, const struct ip_view *v,
                                     uint8_t *payload)
{
    const bool is_ipv6 = v->version == 6;

    if (v->protocol == (is_ipv6 ? IP_ICMPV6 : IP_ICMP)) {
        /* An error in fragments would have to be put together to be translated; honest ones are
         * short. */
        if (v->is_fragment && v->payload_len > 0 && icmp_is_error(v->version, payload[0]))
            return DROP_QUOTE;
        enum drop_reason reason = translate_icmp(map, is_ipv6, payload, v->payload_len);
        if (reason != DROP_NONE)
            return reason;
    }
    if (checksum_fix_payload(v->protocol, payload, v->payload_len, map->remote_own,
                             map->remote_peer, map->peer, map->own) != ERR_OK)
        return v->is_fragment ? DROP_TINY_FRAGMENT : DROP_MALFORMED;
    return DROP_NONE;
}

/* TTL and ECN of a whole packet. The header checksum is made anew: the tag has vouched
 * for the bytes already. */
static void rewrite_header(const struct ip_view *v, uint8_t ttl, uint8_t ecn, uint8_t *packet)
{
    if (v->version == 6) {
        packet[1] = (uint8_t)((packet[1] & ~(ECN_MASK << 4)) | ecn << 4);
        packet[7] = ttl;
        return;
    }
    packet[1] = (uint8_t)((packet[1] & ~ECN_MASK) | ecn);
    packet[8] = ttl;
    packet[IP4_CHECKSUM_AT] = packet[IP4_CHECKSUM_AT + 1] = 0;
    const uint16_t checksum = checksum_finish(checksum_add(0, packet, (packet[0] & 15) * 4u));
    packet[IP4_CHECKSUM_AT] = (uint8_t)(checksum >> 8);
    packet[IP4_CHECKSUM_AT + 1] = (uint8_t)checksum;
}

/* A later fragment has no transport header, and must not reach back into it (RFC 1858, RFC 3128).
 */
static enum drop_reason check_fragment(const struct ip_view *v)
{
    const int offset = checksum_offset(v->protocol);
    return offset >= 0 && v->fragment_offset < offset + 2 ? DROP_TINY_FRAGMENT : DROP_NONE;
}

enum drop_reason translate_whole(const struct address_map *map, const struct ip_view *v,
                                 uint8_t ttl, uint8_t ecn, uint8_t *packet)
{
    enum drop_reason reason =
        v->fragment_offset > 0
            ? check_fragment(v)
            : translate_transport(map, v, packet + (v->payload - (const uint8_t *)packet));

    if (reason != DROP_NONE)
        return reason;
    ip_replace_addresses(packet, map->peer, map->own);
    rewrite_header(v, ttl, ecn, packet);
    return DROP_NONE;
}

/* From a network of theirs to one of ours, as tunnel form allows. */
static bool passes(const struct translation *t, const struct ip_view *v)
{
    return t->form == TRANSLATE_WHOLE && t->selectors != NULL &&
           selectors_cover(&t->selectors->peer, v, true) &&
           selectors_cover(&t->selectors->own, v, false);
}

static enum drop_reason whole_in(const struct translation *t, struct packet *packet,
                                 const struct inner *inner)
{
    struct address_map map;
    struct ip_view v;
    uint8_t ecn = 0;

    if (ip_parse(packet->data, packet->len, &v) != ERR_OK ||
        v.version != (inner->next_header == IP_IPV6 ? 6 : 4))
        return DROP_MALFORMED;
    if (t->form == TRANSLATE_WHOLE)
        packet->len = v.total_len; /* behind it: TFC padding (RFC 4303, 2.7) */
    if (v.total_len != packet->len)
        return DROP_MALFORMED;
    if (v.has_source_route)
        return DROP_SOURCE_ROUTE;
    enum drop_reason reason = merge_ecn(v.tos & ECN_MASK, inner->tos & ECN_MASK, &ecn);
    if (reason != DROP_NONE)
        return reason;
    /* RFC 4301, 5.2: whatever it is for, only what both sides have agreed upon. */
    if (t->form == TRANSLATE_WHOLE && t->selectors != NULL && !passes(t, &v))
        return DROP_FOREIGN_ADDRESS;
    reason = translate_select(t, v.version == 6, &map);
    if (reason == DROP_NONE)
        translate_side(t, &v, true, &map);
    if (reason != DROP_NONE || !address_is_equal(&v.src, map.remote_own) ||
        !address_is_equal(&v.dst, map.remote_peer)) {
        if (t->form == TRANSLATE_WHOLE && t->selectors != NULL) {
            rewrite_header(&v, v.ttl, ecn, packet->data);
            return DROP_NONE;
        }
        return reason != DROP_NONE ? reason : DROP_FOREIGN_ADDRESS;
    }
    return translate_whole(&map, &v, IP_TTL_DEFAULT, ecn, packet->data);
}

/* In a packet without its header these would become extension headers of the one built for it. */
static bool is_extension_header(uint8_t next_header)
{
    return next_header == IP_HOP_BY_HOP || next_header == IP_ROUTING ||
           next_header == IP_FRAGMENT || next_header == IP_DESTINATION_OPTIONS;
}

/* RFC 3948, 3.1.2. What ICMP errors quote is translated where it has the addresses agreed upon. */
static enum drop_reason recompute(const struct address_map *map, const struct ip_view *v,
                                  struct packet *packet)
{
    const uint8_t version = v->version, protocol = v->protocol;
    const bool is_icmp = protocol == (version == 6 ? IP_ICMPV6 : IP_ICMP);
    const bool is_bare_udp = protocol == IP_UDP && version == 4 && packet->len >= 8 &&
                             packet->data[6] == 0 && packet->data[7] == 0;

    if (is_icmp && packet->len > 0 && icmp_is_error(version, packet->data[0]))
        return translate_transport(map, v, packet->data);
    if (is_bare_udp) /* it has none */
        return DROP_NONE;
    return checksum_write_payload(protocol, packet->data, packet->len, map->peer, map->own) ==
                   ERR_OK
               ? DROP_NONE
               : DROP_MALFORMED;
}

static enum drop_reason bare_in(const struct translation *t, struct packet *packet,
                                const struct inner *inner)
{
    struct address_map map;
    enum drop_reason reason = translate_select(t, inner->is_ipv6, &map);

    if (reason != DROP_NONE)
        return reason;
    if (inner->is_ipv6 && is_extension_header(inner->next_header))
        return DROP_NEXT_HEADER;
    const struct ip_view v = {.version = inner->is_ipv6 ? 6 : 4,
                              .protocol = inner->next_header,
                              .payload_len = packet->len};
    reason =
        t->recomputes ? recompute(&map, &v, packet) : translate_transport(&map, &v, packet->data);
    if (reason != DROP_NONE)
        return reason;

    const struct ip_header header = {.src = *map.peer,
                                     .dst = *map.own,
                                     .payload_len = packet->len,
                                     .protocol = inner->next_header,
                                     .tos = inner->tos,
                                     .ttl = IP_TTL_DEFAULT,
                                     .dont_fragment = true};
    const uint32_t header_len =
        (uint32_t)ip_header_len(inner->is_ipv6 ? ADDRESS_IPV6 : ADDRESS_IPV4);
    uint8_t *start = packet_headroom(packet) >= header_len || packet_own(packet)
                         ? packet_push(packet, header_len)
                         : NULL;
    struct writer w;
    if (start == NULL)
        return DROP_NO_ROOM;
    writer_init(&w, start, header_len);
    return ip_build_header(&w, &header) == ERR_OK ? DROP_NONE : DROP_MALFORMED;
}

enum drop_reason translate_in(const struct translation *t, struct packet *packet,
                              const struct inner *inner)
{
    const bool is_whole = inner->next_header == IP_IPV4 || inner->next_header == IP_IPV6;

    if (t->form == TRANSLATE_WHOLE && !is_whole)
        return DROP_NEXT_HEADER;
    /* Without whole packets these are what they say: a tunnel of the peer's own in its packet. */
    if (is_whole && t->form != TRANSLATE_BARE)
        return whole_in(t, packet, inner);
    return bare_in(t, packet, inner);
}
