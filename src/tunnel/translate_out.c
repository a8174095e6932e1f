/* Local packets lose their header where the far end can build it again; and the sizes that fit. */
#include "tunnel/translate_internal.h"
#include "wire/esp.h"
#include "wire/ip.h"
#include "wire/sput.h"

#define UDP_HEADER_LEN 8
#define TAIL_MAX       (ESP_PADDING_MAX + ESP_TRAILER_LEN + ESP_ICV_LEN) /* and more than a MAC */

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

/* Outwards our own addresses are what is replaced, by those that the far end knows. false: they are
 * the same. */
static bool select_outward(const struct translation *t, bool is_ipv6, struct address_map *ret_map)
{
    const struct view *local = &t->local, *wire = &t->wire;
    const struct address_map map = {
        .own = is_ipv6 ? &wire->peer_ipv6 : &wire->peer_ipv4,
        .peer = is_ipv6 ? &wire->own_ipv6 : &wire->own_ipv4,
        .remote_own = is_ipv6 ? &local->own_ipv6 : &local->own_ipv4,
        .remote_peer = is_ipv6 ? &local->peer_ipv6 : &local->peer_ipv4,
    };

    if (map.own->family == ADDRESS_NONE ||
        (address_is_equal(map.own, map.remote_peer) && address_is_equal(map.peer, map.remote_own)))
        return false;
    *ret_map = map;
    return true;
}

bool translate_bare_is_ipv6(const struct translation *t)
{
    struct address_map map;
    return translate_select(t, false, &map) != DROP_NONE;
}

/* Between networks of both sides, as tunnel form allows. */
static bool passes(const struct translation *t, const struct ip_view *v)
{
    return t->form == TRANSLATE_WHOLE && t->selectors != NULL &&
           selectors_cover(&t->selectors->own, v, true) &&
           selectors_cover(&t->selectors->peer, v, false);
}

/* A packet whose header says more than what translate_in() would put there. */
static bool needs_header(const struct ip_view *v)
{
    return v->is_fragment || v->has_options || v->protocol == IP_IPV4 || v->protocol == IP_IPV6;
}

static bool goes_whole(const struct translation *t, const struct ip_view *v)
{
    switch (t->form) {
    case TRANSLATE_WHOLE:
        return true;
    case TRANSLATE_BARE:
        return false;
    case TRANSLATE_ESP:
        return needs_header(v) || (v->version == 6) != translate_bare_is_ipv6(t);
    case TRANSLATE_SPUT:
        break;
    }
    return needs_header(v);
}

void translate_side(const struct translation *t, const struct ip_view *v, bool is_inbound,
                    struct address_map *map)
{
    if (t->form != TRANSLATE_WHOLE || t->selectors == NULL)
        return;
    if (is_inbound && !address_is_equal(&v->src, map->remote_own) &&
        selectors_cover(&t->selectors->peer, v, true))
        map->remote_own = map->peer = &v->src;
    if (!is_inbound && !address_is_equal(&v->dst, map->remote_peer) &&
        !address_is_equal(&v->dst, map->own) && selectors_cover(&t->selectors->peer, v, false))
        map->remote_peer = map->own = &v->dst;
}

/* What is checked against the selectors is what the wire will carry (RFC 4301, 5.1). */
static enum drop_reason check_own(const struct translation *t, const struct ip_view *v)
{
    struct address_map map, out;
    const enum drop_reason reason = translate_select(t, v->version == 6, &map);

    if (reason != DROP_NONE)
        return reason;
    if (!address_is_equal(&v->src, map.own))
        return DROP_SOURCE;
    if (t->form != TRANSLATE_WHOLE || t->selectors == NULL)
        return address_is_equal(&v->dst, map.peer) ? DROP_NONE : DROP_DESTINATION;
    struct ip_view wire = *v;
    if (select_outward(t, v->version == 6, &out)) {
        wire.src = *out.peer;
        if (address_is_equal(&v->dst, map.peer))
            wire.dst = *out.own;
    }
    if (!selectors_cover(&t->selectors->peer, &wire, false))
        return DROP_DESTINATION;
    return selectors_cover(&t->selectors->own, &wire, true) ? DROP_NONE : DROP_SOURCE;
}

enum drop_reason translate_parsed_out(const struct translation *t, const struct ip_view *v,
                                      struct packet *packet, struct inner *ret_inner)
{
    if (v->has_source_route)
        return DROP_SOURCE_ROUTE;
    if (!passes(t, v)) {
        const enum drop_reason reason = check_own(t, v);
        if (reason != DROP_NONE)
            return reason;
    }
    if (t->form == TRANSLATE_BARE && (v->is_fragment || v->has_options))
        return DROP_NEEDS_HEADER;
    if (t->form == TRANSLATE_BARE && (v->version == 6) != translate_bare_is_ipv6(t))
        return DROP_FAMILY;

    ret_inner->is_ipv6 = v->version == 6;
    ret_inner->tos = v->tos;
    ret_inner->protocol = v->protocol;
    packet->len = v->total_len;
    if (goes_whole(t, v)) {
        ret_inner->next_header = v->version == 6 ? IP_IPV6 : IP_IPV4;
    } else {
        ret_inner->next_header = v->protocol;
        (void)packet_pull(packet, v->header_len);
    }
    return DROP_NONE;
}

enum drop_reason translate_out(const struct translation *t, struct packet *packet,
                               struct inner *ret_inner)
{
    struct ip_view v;

    return ip_parse(packet->data, packet->len, &v) == ERR_OK
               ? translate_parsed_out(t, &v, packet, ret_inner)
               : DROP_MALFORMED;
}

static enum drop_reason whole_to_wire(const struct translation *t, struct packet *packet)
{
    struct address_map map;
    struct ip_view v;

    if (ip_parse(packet->data, packet->len, &v) != ERR_OK)
        return DROP_MALFORMED;
    if (!select_outward(t, v.version == 6, &map))
        return DROP_NONE;
    translate_side(t, &v, false, &map);
    if (!address_is_equal(&v.src, map.remote_own) || !address_is_equal(&v.dst, map.remote_peer))
        return DROP_NONE; /* what passes stays as it is */
    return translate_whole(&map, &v, v.ttl, v.tos & 3, packet->data);
}

enum drop_reason translate_to_wire(const struct translation *t, struct packet *packet,
                                   const struct inner *inner)
{
    const bool is_whole = inner->next_header == IP_IPV4 || inner->next_header == IP_IPV6;
    struct address_map map;

    if (t->wire.own_ipv4.family == ADDRESS_NONE && t->wire.own_ipv6.family == ADDRESS_NONE)
        return DROP_NONE;
    if (is_whole && t->form != TRANSLATE_BARE)
        return whole_to_wire(t, packet);
    if (!select_outward(t, inner->is_ipv6, &map))
        return DROP_NONE;
    const struct ip_view v = {.version = inner->is_ipv6 ? 6 : 4,
                              .protocol = inner->next_header,
                              .payload_len = packet->len};
    return translate_transport(&map, &v, packet->data);
}

uint32_t translate_payload_max(uint32_t path_mtu, enum suite suite, enum address_family outer)
{
    const size_t headers = ip_header_len(outer) + UDP_HEADER_LEN;
    const size_t buffer = PACKET_CAP - PACKET_HEADROOM - TAIL_MAX;

    if (path_mtu <= headers)
        return 0;
    const size_t len = suite_payload_in(suite, path_mtu - headers);
    return (uint32_t)(len < buffer ? len : buffer);
}

uint32_t translate_mtu(uint32_t path_mtu, enum suite suite, enum address_family outer)
{
    return translate_payload_max(path_mtu, suite, outer);
}
