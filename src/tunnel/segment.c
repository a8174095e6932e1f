/* Each packet is a copy of the header, with the fields that differ written anew, and its share of
 * the payload; its checksum is made while it is warm. */
#include "tunnel/segment.h"

#include "tunnel/bytes.h"
#include "wire/checksum.h"
#include "wire/ip.h"
#include <string.h>

#define TCP_HEADER_MIN  20
#define TCP_SEQUENCE_AT 4
#define TCP_OFFSET_AT   12
#define TCP_FLAGS_AT    13
#define TCP_CHECKSUM_AT 16
#define TCP_FIN         0x01
#define TCP_PSH         0x08
#define TCP_CWR         0x80
#define UDP_HEADER_LEN  8
#define UDP_LENGTH_AT   4
#define UDP_CHECKSUM_AT 6
#define IP4_LENGTH_AT   2
#define IP4_ID_AT       4
#define IP4_CHECKSUM_AT 10
#define IP6_LENGTH_AT   4

/* The transport header that the kernel means must be where the IP header says, and whole. */
static bool fits(const struct ip_view *ip, const uint8_t *packet, const struct offload *offload)
{
    const bool is_tcp = offload->kind != OFFLOAD_UDP;
    const uint32_t transport_min = is_tcp ? TCP_HEADER_MIN : UDP_HEADER_LEN;
    if (offload->kind > OFFLOAD_UDP || ip->is_fragment || offload->segment_len == 0 ||
        ip->payload_len < transport_min || ip->protocol != (is_tcp ? IP_TCP : IP_UDP))
        return false;
    if (is_tcp && ip->version != (offload->kind == OFFLOAD_TCP_IPV4 ? 4 : 6))
        return false;
    const uint32_t transport_len =
        is_tcp ? (uint32_t)(packet[ip->header_len + TCP_OFFSET_AT] >> 4) * 4 : UDP_HEADER_LEN;
    return transport_len >= transport_min && transport_len <= ip->payload_len;
}

int segment_begin(struct segmenter *segmenter, const void *packet, uint32_t len,
                  const struct offload *offload)
{
    struct ip_view ip;
    struct segmenter s = {.packet = packet, .len = len, .offload = *offload};
    if (offload->kind == OFFLOAD_NONE) {
        s.segment_len = len;
        *segmenter = s;
        return ERR_OK;
    }
    if (ip_parse(packet, len, &ip) != ERR_OK || ip.total_len != len ||
        !fits(&ip, s.packet, offload))
        return ERR_INVALID;
    const bool is_tcp = offload->kind != OFFLOAD_UDP;
    s.is_ipv6 = ip.version == 6;
    s.ip_len = ip.header_len;
    s.header_len = s.ip_len + (is_tcp ? (uint32_t)(s.packet[s.ip_len + TCP_OFFSET_AT] >> 4) * 4
                                      : UDP_HEADER_LEN);
    s.segment_len = offload->segment_len;
    s.at = s.header_len;
    /* The length, which differs, is added for each packet. */
    s.header_sum = checksum_add_pseudo(0, &ip.src, &ip.dst, ip.protocol, 0);
    *segmenter = s;
    return ERR_OK;
}

void segment_skip_ip(struct segmenter *segmenter)
{
    segmenter->skip = segmenter->ip_len;
}

uint32_t segment_len_max(const struct segmenter *s)
{
    const uint32_t all = s->len - s->header_len;
    return s->header_len + (s->segment_len < all ? s->segment_len : all);
}

int segment_complete(uint8_t *packet, uint32_t len, const struct offload *offload)
{
    if (!offload->needs_checksum)
        return ERR_OK;
    return checksum_complete(packet, len, offload->checksum_start, offload->checksum_offset);
}

static void write_ip(const struct segmenter *s, uint8_t *packet, uint32_t len)
{
    if (s->is_ipv6) {
        put16(packet + IP6_LENGTH_AT, len - IP6_HEADER_LEN);
        return;
    }
    put16(packet + IP4_LENGTH_AT, len);
    put16(packet + IP4_ID_AT, get16(s->packet + IP4_ID_AT) + s->number);
    put16(packet + IP4_CHECKSUM_AT, 0);
    put16(packet + IP4_CHECKSUM_AT, checksum_finish(checksum_add(0, packet, s->ip_len)));
}

static void write_tcp(const struct segmenter *s, uint8_t *tcp, bool is_last)
{
    uint8_t flags = tcp[TCP_FLAGS_AT];
    put32(tcp + TCP_SEQUENCE_AT, get32(tcp + TCP_SEQUENCE_AT) + s->number * s->segment_len);
    if (!is_last)
        flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (s->number > 0)
        flags &= (uint8_t)~TCP_CWR; /* RFC 3168, 6.1.2: once */
    tcp[TCP_FLAGS_AT] = flags;
}

static void write_checksum(const struct segmenter *s, uint8_t *transport, uint32_t len)
{
    const bool is_udp = s->offload.kind == OFFLOAD_UDP;
    uint8_t *const at = transport + (is_udp ? UDP_CHECKSUM_AT : TCP_CHECKSUM_AT);
    put16(at, 0);
    /* The pseudo-header's length, as one word of a sum that is folded later. */
    const uint16_t checksum = checksum_finish(checksum_add(s->header_sum + len, transport, len));
    put16(at, is_udp && checksum == 0 ? 0xffff : checksum);
}

static int make(struct segmenter *s, struct packet *packet)
{
    const uint32_t left = s->len - s->at;
    const uint32_t payload_len = left < s->segment_len ? left : s->segment_len;
    const uint32_t header_len = s->header_len - s->skip;
    const uint32_t len = header_len + payload_len;
    const bool is_last = payload_len == left;
    if (len > packet_tailroom(packet))
        return ERR_FULL;
    memcpy(packet->data, s->packet + s->skip, header_len);
    memcpy(packet->data + header_len, s->packet + s->at, payload_len);
    packet->len = len;
    if (header_len > 0) {
        uint8_t *transport = packet->data + s->ip_len - s->skip;
        const uint32_t transport_len = s->header_len - s->ip_len + payload_len;
        if (s->skip == 0)
            write_ip(s, packet->data, len);
        if (s->offload.kind == OFFLOAD_UDP)
            put16(transport + UDP_LENGTH_AT, transport_len);
        else
            write_tcp(s, transport, is_last);
        write_checksum(s, transport, transport_len);
    } else if (segment_complete(packet->data, len, &s->offload) != ERR_OK) {
        return ERR_INVALID;
    }
    s->at += payload_len;
    s->number++;
    s->is_done = is_last;
    return ERR_OK;
}

int segment_next(struct segmenter *segmenter, struct packet *packet)
{
    if (segmenter->is_done)
        return ERR_NOT_FOUND;
    packet_reset(packet);
    int error = make(segmenter, packet);
    if (error != ERR_OK)
        segmenter->is_done = true;
    return error;
}
