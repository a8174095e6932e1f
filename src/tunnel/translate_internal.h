/* What the files of address translation share. Private to them. */
#ifndef TUNNEL_TRANSLATE_INTERNAL_H
#define TUNNEL_TRANSLATE_INTERNAL_H

#include "tunnel/translate.h"
#include "wire/ip.h"

/* Both views of one family. */
struct address_map {
    const struct address *own, *peer;               /* here */
    const struct address *remote_own, *remote_peer; /* at the far end */
};

/* DROP_FAMILY where an end lacks one of them. That of what comes in. */
MUST_USE enum drop_reason translate_select(const struct translation *t, bool is_ipv6,
                                           struct address_map *ret_map);

/* Tunnel form may have a network behind the peer: a packet between this host's one address, which
 * is translated, and any of theirs, which is not. Puts theirs into the map where that is so. */
void translate_side(const struct translation *t, const struct ip_view *v, bool is_inbound,
                    struct address_map *map);
/* A payload that starts with a whole transport header, or at least with the start of one: corrects
 * its checksums from the far end's addresses to those here. */
MUST_USE enum drop_reason translate_transport(const struct address_map *map,
                                              const struct ip_view *v, uint8_t *payload);
/* A whole packet: its transport's checksums, its addresses, TTL and ECN. */
MUST_USE enum drop_reason translate_whole(const struct address_map *map, const struct ip_view *v,
                                          uint8_t ttl, uint8_t ecn, uint8_t *packet);

/* Corrects an ICMP or ICMPv6 message from the far end, which is whole: of errors the packet that
 * they quote, with all checksums but the pseudo-header's part of the message's own. */
MUST_USE enum drop_reason translate_icmp(const struct address_map *map, bool is_ipv6,
                                         uint8_t *message, size_t len);

#endif
