/* The SPUT header: message number (little-endian), command, next header, flags. Sealing and opening
 * are the tunnel's; docs/protocol.md describes the whole. */
#ifndef WIRE_SPUT_H
#define WIRE_SPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPUT_HEADER_LEN      8
#define SPUT_CLEAR_LEN       4  /* the message number: authenticated, not encrypted */
#define SPUT_MAC_LEN         32 /* suite paper: HMAC-SHA-256 */
#define SPUT_TAG_LEN         16 /* AEAD suites */
#define SPUT_PAPER_LEN_MIN   (SPUT_HEADER_LEN + SPUT_MAC_LEN)
#define SPUT_PAPER_CRYPT_MAX 4096 /* 256 key stream blocks of 16 bytes */
#define SPUT_PAPER_LEN_MAX   (SPUT_CLEAR_LEN + SPUT_PAPER_CRYPT_MAX + SPUT_MAC_LEN)
#define SPUT_AEAD_LEN_MIN    (SPUT_HEADER_LEN + SPUT_TAG_LEN)
#define SPUT_AEAD_LEN_MAX    65507 /* a UDP datagram over IPv4 */

enum sput_command {
    SPUT_DATA = 0,
    SPUT_CLOSE = 1,       /* empty payload */
    SPUT_PROBE = 2,       /* any padding as payload */
    SPUT_PROBE_REPLY = 3, /* payload: the probe's message number, 4 bytes little-endian */
};

/* Bit 0 of byte 6. The reserved field is a little-endian 16-bit number, as the message number is.
 */
#define SPUT_FLAG_IPV6 0x0001u /* the original packet was IPv6 */

struct sput_header {
    uint32_t number; /* never 0 on the wire: it would read as the non-ESP marker */
    uint8_t command; /* enum sput_command; others are ignored and counted */
    uint8_t next_header;
    uint16_t flags; /* SPUT_FLAG_...; unknown ones are sent as zero and ignored */
};

/* Both take exactly SPUT_HEADER_LEN bytes. Flags are passed on as they are. */
void sput_header_write(const struct sput_header *header, uint8_t bytes[SPUT_HEADER_LEN]);
void sput_header_read(const uint8_t bytes[SPUT_HEADER_LEN], struct sput_header *ret_header);
/* The message number alone, which is readable before the rest is decrypted. */
uint32_t sput_number_read(const uint8_t bytes[SPUT_CLEAR_LEN]);

/* Can a datagram of len bytes be a message of a suite with this much behind the payload
 * (SPUT_MAC_LEN or SPUT_TAG_LEN)? */
bool sput_len_is_valid(size_t len, size_t tag_len);
/* Longest payload that such a suite carries. */
size_t sput_payload_max(size_t tag_len);

#endif
