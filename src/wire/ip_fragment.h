/* IPv4 fragmentation (RFC 791, 2.3): a packet too long for its way, which allows it, in parts. */
#ifndef WIRE_IP_FRAGMENT_H
#define WIRE_IP_FRAGMENT_H

#include <stdint.h>

#include "base/error.h"
#include "base/writer.h"

struct ip_fragmenter {
    const uint8_t *packet; /* borrowed */
    uint32_t total_len;
    uint32_t at;   /* first byte not yet in a fragment */
    uint32_t room; /* payload bytes of each but the last, a multiple of 8 */
};

/* packet (borrowed until the last fragment is out) may itself be a fragment. ERR_REFUSED: it has DF
 * set or options, is not IPv4, or mtu leaves no room. ERR_TRUNCATED, ERR_INVALID: it is no packet.
 */
MUST_USE int ip_fragment_begin(const uint8_t *packet, uint32_t len, uint32_t mtu,
                               struct ip_fragmenter *ret_fragmenter);
/* Writes the next one, of at most mtu bytes. ERR_AGAIN: that was all; ERR_FULL. */
MUST_USE int ip_fragment_next(struct ip_fragmenter *fragmenter, struct writer *w);

#endif
