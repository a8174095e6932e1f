/* The Internet checksum (RFC 1071): in full, over pseudo-headers, and adjusted incrementally where
 * addresses are replaced (RFC 1624). Sums are of big-endian words, whatever the machine. */
#ifndef WIRE_CHECKSUM_H
#define WIRE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"

/* Adds len bytes to a running sum that began with 0. Only the last piece may have an odd length. */
uint32_t checksum_add(uint32_t sum, const void *data, size_t len);
/* The checksum of a sum: folded and complemented, in host order. Over data with a right checksum in
 * it the result is 0. */
uint16_t checksum_finish(uint32_t sum);
/* Adds the pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1): len is of the whole transport segment. */
uint32_t checksum_add_pseudo(uint32_t sum, const struct address *src, const struct address *dst,
                             uint8_t protocol, uint32_t len);

/* The checksum after one 16-bit word (or a whole address) that it covers has been replaced
 * (RFC 1624, eqn. 3). Checksums are in host order; the addresses may even be of two families, as
 * their pseudo-headers sum up alike otherwise. */
uint16_t checksum_replace_u16(uint16_t checksum, uint16_t old_word, uint16_t new_word);
uint16_t checksum_replace_address(uint16_t checksum, const struct address *old_address,
                                  const struct address *new_address);

/* Where a transport protocol keeps the checksum that covers the addresses too, in bytes from the
 * start of its header; ERR_NOT_FOUND for protocols whose checksum does not cover them (ICMP) or
 * that are unknown. TCP, UDP, UDP-Lite, DCCP and ICMPv6. */
MUST_USE int checksum_offset(uint8_t protocol);

/* Corrects the transport checksum of an IP payload whose source and destination are replaced. The
 * payload starts with the transport header: never call it on a later fragment. A UDP checksum of 0
 * (none) stays; a UDP or UDP-Lite checksum that comes out as 0 is written as 0xFFFF (RFC 768;
 * RFC 3828, 3.1). Nothing to do for other protocols: ERR_OK. ERR_TRUNCATED: the payload ends before
 * its checksum, and is unchanged. */
MUST_USE int checksum_fix_payload(uint8_t protocol, uint8_t *payload, size_t len,
                                  const struct address *old_src, const struct address *old_dst,
                                  const struct address *new_src, const struct address *new_dst);

/* Computes the transport checksum of a whole payload and writes it; ERR_OK without a change for
 * protocols without one. The payload must be whole (no fragment). */
MUST_USE int checksum_write_payload(uint8_t protocol, uint8_t *payload, size_t len,
                                    const struct address *src, const struct address *dst);

/* Completes a partial checksum as the kernel leaves it with offloads (VIRTIO_NET_HDR_F_NEEDS_CSUM,
 * VIRTIO 1.2, 5.1.6.2): sums data from `start` to the end, and writes the checksum at start +
 * offset. ERR_INVALID if those are not inside. */
MUST_USE int checksum_complete(uint8_t *packet, size_t len, size_t start, size_t offset);

#endif
