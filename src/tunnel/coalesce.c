/* A packet is joined to its flow's latest bundle, or begins one. */
#include "tunnel/coalesce.h"

#include "tunnel/bytes.h"
#include "wire/checksum.h"
#include "wire/ip.h"
#include <string.h>

#define TCP_HEADER_MIN   20
#define TCP_SEQUENCE_AT  4
#define TCP_OFFSET_AT    12
#define TCP_FLAGS_AT     13
#define TCP_CHECKSUM_AT  16
#define TCP_PSH          0x08
#define TCP_ACK          0x10
#define UDP_HEADER_LEN   8
#define PORTS_LEN        4
#define UDP_LENGTH_AT    4
#define UDP_CHECKSUM_AT  6
#define IP4_LENGTH_AT    2
#define IP4_FRAGMENT_AT  6
#define IP4_PROTOCOL_AT  9
#define IP4_CHECKSUM_AT  10
#define IP4_ADDRESSES_AT 12
#define IP6_LENGTH_AT    4
#define IP6_NEXT_AT      6
#define IP6_ADDRESSES_AT 8

/* What of a packet decides whether it can be joined. */
struct shape {
    enum offload_kind kind; /* OFFLOAD_NONE: cannot be */
    bool has_ports;         /* its flow is known */
    uint32_t ip_len;
    uint32_t header_len;
    uint32_t payload_len;
    uint32_t sequence;
    bool is_pushed; /* TCP PSH */
};

static bool is_ipv6(const uint8_t *packet)
{
    return packet[0] >> 4 == 6;
}

/* Only packets without IP options, extension headers and fragments; translate_in() has checked that
 * the lengths are true. 0: another. */
static uint32_t plain_ip_len(const struct packet *packet, uint8_t *ret_protocol)
{
    const uint8_t *ip = packet->data;
    if (packet->len >= IP4_HEADER_LEN && ip[0] == 0x45) {
        *ret_protocol = ip[IP4_PROTOCOL_AT];
        /* Atomic: DF, and the identification means nothing (RFC 6864, 4.1). */
        return get16(ip + IP4_FRAGMENT_AT) == 0x4000 && get16(ip + IP4_LENGTH_AT) == packet->len
                   ? IP4_HEADER_LEN
                   : 0;
    }
    if (packet->len >= IP6_HEADER_LEN && is_ipv6(ip)) {
        *ret_protocol = ip[IP6_NEXT_AT];
        return get16(ip + IP6_LENGTH_AT) == packet->len - IP6_HEADER_LEN ? IP6_HEADER_LEN : 0;
    }
    return 0;
}

/* TCP: data alone, with no flag but ACK and PSH. */
static bool look_at_tcp(const uint8_t *tcp, uint32_t len, struct shape *shape)
{
    const uint32_t header_len = len >= TCP_HEADER_MIN ? (uint32_t)(tcp[TCP_OFFSET_AT] >> 4) * 4 : 0;
    if (header_len < TCP_HEADER_MIN || header_len >= len ||
        (tcp[TCP_FLAGS_AT] & ~TCP_PSH) != TCP_ACK)
        return false;
    shape->header_len = shape->ip_len + header_len;
    shape->payload_len = len - header_len;
    shape->sequence = get32(tcp + TCP_SEQUENCE_AT);
    shape->is_pushed = (tcp[TCP_FLAGS_AT] & TCP_PSH) != 0;
    return true;
}

static bool look_at_udp(const uint8_t *udp, uint32_t len, struct shape *shape)
{
    if (len <= UDP_HEADER_LEN || get16(udp + UDP_LENGTH_AT) != len ||
        get16(udp + UDP_CHECKSUM_AT) == 0)
        return false;
    shape->header_len = shape->ip_len + UDP_HEADER_LEN;
    shape->payload_len = len - UDP_HEADER_LEN;
    return true;
}

static void look(const struct packet *packet, bool joins_udp, struct shape *shape)
{
    uint8_t protocol = 0;
    *shape = (struct shape){.kind = OFFLOAD_NONE};
    shape->ip_len = plain_ip_len(packet, &protocol);
    const uint8_t *transport = packet->data + shape->ip_len;
    const uint32_t len = packet->len - shape->ip_len;
    if (shape->ip_len == 0 || len < PORTS_LEN || (protocol != IP_TCP && protocol != IP_UDP))
        return;
    shape->has_ports = true;
    if (protocol == IP_TCP && look_at_tcp(transport, len, shape))
        shape->kind = is_ipv6(packet->data) ? OFFLOAD_TCP_IPV6 : OFFLOAD_TCP_IPV4;
    else if (protocol == IP_UDP && joins_udp && look_at_udp(transport, len, shape))
        shape->kind = OFFLOAD_UDP;
}

static uint32_t flow_hash(const uint8_t *packet, const struct shape *shape)
{
    const bool v6 = is_ipv6(packet);
    const uint8_t *at = packet + (v6 ? IP6_ADDRESSES_AT : IP4_ADDRESSES_AT);
    const uint8_t *end =
        packet + shape->ip_len + PORTS_LEN; /* addresses and ports are neighbours */
    uint32_t hash = 0x9e3779b1u;
    for (; at < end; at += 4) {
        uint32_t word;
        memcpy(&word, at, sizeof(word));
        hash = (hash ^ word) * 0x85ebca6bu;
        hash ^= hash >> 13;
    }
    return hash;
}

/* The two headers are alike in all that segmentation copies. */
static bool is_alike(const uint8_t *a, const uint8_t *b, const struct shape *shape)
{
    const uint32_t ip_len = shape->ip_len;
    if (is_ipv6(a)) {
        if (memcmp(a, b, IP6_LENGTH_AT) != 0 ||
            memcmp(a + IP6_NEXT_AT, b + IP6_NEXT_AT, IP6_HEADER_LEN - IP6_NEXT_AT) != 0)
            return false;
    } else if (memcmp(a, b, IP4_LENGTH_AT) != 0 || /* version, DSCP, ECN */
               memcmp(a + 8, b + 8, 2) != 0 ||     /* TTL, protocol */
               memcmp(a + IP4_ADDRESSES_AT, b + IP4_ADDRESSES_AT, 8) != 0) {
        return false;
    }
    a += ip_len, b += ip_len;
    if (memcmp(a, b, PORTS_LEN) != 0)
        return false;
    if (shape->kind == OFFLOAD_UDP)
        return true;
    const uint32_t tcp_len = shape->header_len - ip_len;
    return a[TCP_OFFSET_AT] == b[TCP_OFFSET_AT] &&
           memcmp(a + 8, b + 8, 4) == 0 &&   /* acknowledgement */
           memcmp(a + 14, b + 14, 2) == 0 && /* window */
           memcmp(a + 18, b + 18, 2) == 0 && /* urgent pointer */
           memcmp(a + TCP_HEADER_MIN, b + TCP_HEADER_MIN, tcp_len - TCP_HEADER_MIN) == 0;
}

static bool can_join(const struct bundle *bundle, const struct packet *packet,
                     const struct shape *shape)
{
    const struct packet *first = bundle->first;
    if (!bundle->is_open || bundle->offload.kind != shape->kind ||
        bundle->offload.header_len != shape->header_len || bundle->count >= COALESCE_SEGMENTS ||
        shape->payload_len > bundle->offload.segment_len ||
        bundle->len + shape->payload_len > COALESCE_LEN_MAX)
        return false;
    if (shape->kind != OFFLOAD_UDP && shape->sequence != bundle->sequence)
        return false;
    return is_alike(first->data, packet->data, shape);
}

static void join(struct bundle *bundle, struct packet *packet, const struct shape *shape)
{
    (void)packet_pull(packet, shape->header_len);
    packet->next = NULL;
    bundle->last->next = packet;
    bundle->last = packet;
    bundle->len += shape->payload_len;
    bundle->count++;
    bundle->sequence += shape->payload_len;
    if (shape->is_pushed) {
        uint8_t *flags = bundle->first->data + shape->ip_len + TCP_FLAGS_AT;
        *flags |= TCP_PSH;
    }
    if (shape->payload_len < bundle->offload.segment_len || shape->is_pushed)
        bundle->is_open = false;
}

static void begin(struct bundle *bundle, struct packet *packet, const struct shape *shape,
                  uint32_t hash)
{
    packet->next = NULL;
    *bundle = (struct bundle){
        .first = packet,
        .last = packet,
        .len = packet->len,
        .count = 1,
        .offload = {.kind = (uint8_t)shape->kind,
                    .header_len = (uint16_t)shape->header_len,
                    .segment_len = (uint16_t)shape->payload_len},
        .sequence = shape->sequence + shape->payload_len,
        .hash = hash,
        .is_open = shape->kind != OFFLOAD_NONE && !shape->is_pushed,
    };
}

void coalesce_init(struct coalescer *coalescer, bool joins_udp)
{
    memset(coalescer, 0, sizeof(*coalescer));
    coalescer->joins_udp = joins_udp;
}

bool coalesce_add(struct coalescer *coalescer, struct packet *packet)
{
    struct shape shape;
    uint32_t hash = 0;
    uint8_t *slot = NULL;
    look(packet, coalescer->joins_udp, &shape);
    if (shape.has_ports) {
        hash = flow_hash(packet->data, &shape);
        slot = &coalescer->slots[hash % COALESCE_SLOTS];
        struct bundle *bundle = *slot > 0 ? &coalescer->bundles[*slot - 1] : NULL;
        if (bundle != NULL && bundle->hash == hash && can_join(bundle, packet, &shape)) {
            join(bundle, packet, &shape);
            return true;
        }
    }
    if (coalescer->count == COALESCE_BUNDLES)
        return false;
    begin(&coalescer->bundles[coalescer->count++], packet, &shape, hash);
    /* What came before it of its flow takes nothing more, or the order would be lost. */
    if (slot != NULL)
        *slot = (uint8_t)coalescer->count;
    else
        memset(coalescer->slots, 0, sizeof(coalescer->slots));
    return true;
}

/* The checksum that the kernel completes, or believes: it has been authentic all the way. */
static void finish(struct bundle *bundle)
{
    struct offload *offload = &bundle->offload;
    uint8_t *packet = bundle->first->data;
    if (offload->kind == OFFLOAD_NONE)
        return;
    const bool v6 = is_ipv6(packet);
    const uint32_t ip_len = v6 ? IP6_HEADER_LEN : IP4_HEADER_LEN;
    const bool is_udp = offload->kind == OFFLOAD_UDP;
    const uint32_t transport_len = bundle->len - ip_len;
    offload->needs_checksum = true;
    offload->checksum_start = (uint16_t)ip_len;
    offload->checksum_offset = is_udp ? UDP_CHECKSUM_AT : TCP_CHECKSUM_AT;
    if (bundle->count > 1) {
        put16(packet + (v6 ? IP6_LENGTH_AT : IP4_LENGTH_AT), v6 ? transport_len : bundle->len);
        if (!v6) {
            put16(packet + IP4_CHECKSUM_AT, 0);
            put16(packet + IP4_CHECKSUM_AT,
                  checksum_finish(checksum_add(0, packet, IP4_HEADER_LEN)));
        }
        if (is_udp)
            put16(packet + ip_len + UDP_LENGTH_AT, transport_len);
    } else {
        offload->kind = OFFLOAD_NONE;
        offload->header_len = offload->segment_len = 0;
    }
    uint32_t sum =
        checksum_add(0, packet + (v6 ? IP6_ADDRESSES_AT : IP4_ADDRESSES_AT), v6 ? 32 : 8);
    sum += (is_udp ? IP_UDP : IP_TCP) + transport_len;
    put16(packet + ip_len + offload->checksum_offset, (uint16_t)~checksum_finish(sum));
}

struct bundle *coalesce_next(struct coalescer *coalescer)
{
    if (coalescer->drained == coalescer->count) {
        if (coalescer->count > 0)
            memset(coalescer->slots, 0, sizeof(coalescer->slots));
        coalescer->count = coalescer->drained = 0;
        return NULL;
    }
    struct bundle *bundle = &coalescer->bundles[coalescer->drained++];
    finish(bundle);
    return bundle;
}
