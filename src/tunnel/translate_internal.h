/* What the files of address translation share. Private to them. */
#ifndef TUNNEL_TRANSLATE_INTERNAL_H
#define TUNNEL_TRANSLATE_INTERNAL_H

#include "tunnel/translate.h"

/* Both views of one family. */
struct address_map {
    const struct address *own, *peer;               /* here */
    const struct address *remote_own, *remote_peer; /* at the far end */
};

/* DROP_FAMILY where an end lacks one of them. */
MUST_USE enum drop_reason translate_select(const struct translation *t, bool is_ipv6,
                                           struct address_map *ret_map);

/* Corrects an ICMP or ICMPv6 message from the far end, which is whole: of errors the packet that
 * they quote, with all checksums but the pseudo-header's part of the message's own. */
MUST_USE enum drop_reason translate_icmp(const struct address_map *map, bool is_ipv6,
                                         uint8_t *message, size_t len);

#endif
