/* Local packets lose their header where the far end can build it again; and the sizes that fit. */
#include "tunnel/translate_internal.h"
#include "wire/ip.h"
#include "wire/sput.h"

#define UDP_HEADER_LEN 8

enum drop_reason translate_select(const struct translation *t, bool is_ipv6,
                                  struct address_map *ret_map)
{
    const struct view *local = &t->local, *remote = &t->remote;
    const struct address_map map = {
        .own = is_ipv6 ? &local->own_ipv6 : &local->own_ipv4,
        .peer = is_ipv6 ? &local->peer_ipv6 : &local->peer_ipv4,
        .remote_own = is_ipv6 ? &remote->own_ipv6 : &remote->own_ipv4,
        .remote_peer = is_ipv6 ? &remote->peer_ipv6 : &remote->peer_ipv4,
    };
    const uint8_t family = is_ipv6 ? ADDRESS_IPV6 : ADDRESS_IPV4;

    if (map.own->family != family || map.peer->family != family ||
        map.remote_own->family != family || map.remote_peer->family != family)
        return DROP_FAMILY;
    *ret_map = map;
    return DROP_NONE;
}

/* A packet whose header says more than what translate_in() would put there. */
static bool needs_header(const struct ip_view *v)
{
    return v->is_fragment || v->has_options || v->protocol == IP_IPV4 || v->protocol == IP_IPV6;
}

enum drop_reason translate_out(const struct translation *t, struct packet *packet,
                               struct inner *ret_inner)
{
    struct ip_view v;
    struct address_map map;

    if (ip_parse(packet->data, packet->len, &v) != ERR_OK)
        return DROP_MALFORMED;
    enum drop_reason reason = translate_select(t, v.version == 6, &map);
    if (reason != DROP_NONE)
        return reason;
    if (!address_is_equal(&v.src, map.own))
        return DROP_SOURCE;
    if (!address_is_equal(&v.dst, map.peer))
        return DROP_DESTINATION;
    if (v.has_source_route)
        return DROP_SOURCE_ROUTE;

    ret_inner->is_ipv6 = v.version == 6;
    ret_inner->tos = v.tos;
    packet->len = v.total_len;
    if (needs_header(&v)) {
        ret_inner->next_header = v.version == 6 ? IP_IPV6 : IP_IPV4;
    } else {
        ret_inner->next_header = v.protocol;
        (void)packet_pull(packet, v.header_len);
    }
    return DROP_NONE;
}

uint32_t translate_payload_max(uint32_t path_mtu, enum suite suite, enum address_family outer)
{
    const size_t overhead = ip_header_len(outer) + UDP_HEADER_LEN + suite_overhead(suite);
    const size_t buffer = PACKET_CAP - PACKET_HEADROOM - SPUT_MAC_LEN;

    if (path_mtu <= overhead)
        return 0;
    size_t len = path_mtu - overhead;
    if (len > suite_payload_max(suite))
        len = suite_payload_max(suite);
    return (uint32_t)(len < buffer ? len : buffer);
}

uint32_t translate_mtu(uint32_t path_mtu, enum suite suite, enum address_family outer)
{
    return translate_payload_max(path_mtu, suite, outer);
}
