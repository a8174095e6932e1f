/* What a datagram on the one UDP port is, told by its start alone (RFC 3948, 2; RFC 8489, 5). Only
 * the first three rules can be told so; whose STUN or data it is depends on state that others keep.
 */
#ifndef WIRE_DEMUX_H
#define WIRE_DEMUX_H

#include <stddef.h>
#include <stdint.h>

#define DEMUX_MARKER_LEN   4    /* non-ESP marker: four zero bytes before an IKE message */
#define DEMUX_KEEPALIVE    0xff /* the one byte of a NAT keepalive that we send (RFC 3948, 2.3) */
#define DEMUX_STUN_LEN_MIN 20

enum datagram_kind {
    DATAGRAM_KEEPALIVE,  /* shorter than 4 bytes: dropped */
    DATAGRAM_IKE,        /* behind the marker, DEMUX_MARKER_LEN bytes, which the caller strips */
    DATAGRAM_STUN_MAYBE, /* looks like STUN: data with 2^-39 chance too, so DATA if it belongs to no
                          * call and no transaction of ours */
    DATAGRAM_DATA,       /* SPUT or ESP */
};

enum datagram_kind datagram_classify(const uint8_t *datagram, size_t len);

#endif
