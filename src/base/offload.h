/* What the kernel leaves to the network card, and a TUN device therefore to us (VIRTIO 1.2, 5.1.6):
 * super-packets that stand for many, and checksums that are not complete yet. */
#ifndef BASE_OFFLOAD_H
#define BASE_OFFLOAD_H

#include <stdbool.h>
#include <stdint.h>

/* A super-packet is an IP packet with a transport header of one of these, and the payloads of many:
 * each is to become a packet of its own. */
enum offload_kind {
    OFFLOAD_NONE, /* an ordinary packet */
    OFFLOAD_TCP_IPV4,
    OFFLOAD_TCP_IPV6,
    OFFLOAD_UDP,
};

/* No super-packet is longer: an IPv6 packet's payload length has 16 bits. */
#define OFFLOAD_LEN_MAX (65535 + 40)

struct offload {
    uint8_t kind; /* enum offload_kind */
    /* The transport checksum holds the pseudo-header's sum alone; the rest, from checksum_start on,
     * is to be added, and the result goes to checksum_start + checksum_offset. */
    bool needs_checksum;
    uint16_t checksum_start;
    uint16_t checksum_offset;
    uint16_t header_len;  /* IP and transport header; 0 with OFFLOAD_NONE */
    uint16_t segment_len; /* payload of each packet but the last; 0 with OFFLOAD_NONE */
};

#endif
