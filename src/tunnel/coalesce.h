/* Coalescing: packets of one flow that came behind each other become one super-packet, so that the
 * kernel's stack runs once for many. The way back of segment.h: only packets that segmentation
 * would have made of the whole are joined, so nothing is lost but their number. TCP (data without
 * any flag but ACK and PSH, in sequence, alike in all else) and UDP (of one length, the last may be
 * shorter). Packets leave in the order in which they came, as far as they are of one flow.
 *
 * No I/O, no allocation, no waiting: the owner drains it at the end of each batch. */
#ifndef TUNNEL_COALESCE_H
#define TUNNEL_COALESCE_H

#include "base/offload.h"
#include "base/packet.h"

#define COALESCE_BUNDLES  64 /* drained when there are so many */
#define COALESCE_SEGMENTS 64 /* of one bundle */
#define COALESCE_LEN_MAX  65535
#define COALESCE_SLOTS    128 /* of the hash table; a power of two */

/* One packet, or those that became one: the first with its header, of the others the payload only
 * (list by packet->next). */
struct bundle {
    struct packet *first, *last;
    uint32_t len;   /* of the whole IP packet */
    uint32_t count; /* packets */
    struct offload offload;
    uint32_t sequence; /* TCP: that a packet must have to be joined */
    uint32_t hash;
    bool is_open; /* more may be joined */
};

struct coalescer {
    bool joins_udp;
    uint32_t count, drained;
    struct bundle bundles[COALESCE_BUNDLES];
    uint8_t slots[COALESCE_SLOTS]; /* number of the flow's latest bundle, plus 1 */
};

/* joins_udp: the kernel takes UDP super-packets. */
void coalesce_init(struct coalescer *coalescer, bool joins_udp);
/* Takes a packet that translate_in() has made; it stays the coalescer's until its bundle is taken.
 * False: full; drain it first, and add the packet again. */
MUST_USE bool coalesce_add(struct coalescer *coalescer, struct packet *packet);
/* The next bundle, with its header made ready; NULL at the end, and the coalescer is empty then.
 * The caller has its packets, and gives them back before the next coalesce_add(). */
struct bundle *coalesce_next(struct coalescer *coalescer);

#endif
