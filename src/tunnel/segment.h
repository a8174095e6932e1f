/* Segmentation: a super-packet that the kernel has handed over whole becomes the packets that a
 * network card would have made of it (TCP: RFC 9293; UDP: one datagram each), and checksums that it
 * has left open are completed, for the far end gets every packet complete. No state beyond the
 * walk, no allocation. */
#ifndef TUNNEL_SEGMENT_H
#define TUNNEL_SEGMENT_H

#include "base/error.h"
#include "base/offload.h"
#include "base/packet.h"

struct segmenter {
    const uint8_t *packet; /* borrowed: stays until the walk is over */
    uint32_t len;
    uint32_t at;          /* of the next payload byte */
    uint32_t ip_len;      /* IP header, with options or extension headers */
    uint32_t header_len;  /* and the transport header */
    uint32_t segment_len; /* payload of each packet; all of it without super-packet */
    uint32_t number;      /* of the next packet, from 0 */
    uint32_t skip;        /* bytes in front that the caller does without: 0, or ip_len */
    uint32_t header_sum;  /* of those parts of the pseudo-header that are the same for all */
    struct offload offload;
    bool is_ipv6;
    bool is_done;
};

/* Begins the walk. ERR_INVALID: the offload does not fit the packet (nothing of it may be sent). */
MUST_USE int segment_begin(struct segmenter *segmenter, const void *packet, uint32_t len,
                           const struct offload *offload);
/* The next packet, behind the head-room of `packet`. ERR_NOT_FOUND: there are no more. ERR_FULL: it
 * has no room for one; the walk is over. */
MUST_USE int segment_next(struct segmenter *segmenter, struct packet *packet);
/* The next packets come without their IP header. Only of super-packets. */
void segment_skip_ip(struct segmenter *segmenter);
/* Length of the largest packet, IP header included. */
uint32_t segment_len_max(const struct segmenter *segmenter);
/* Makes an OFFLOAD_NONE packet's checksum complete, in place. ERR_INVALID as above. */
MUST_USE int segment_complete(uint8_t *packet, uint32_t len, const struct offload *offload);

#endif
