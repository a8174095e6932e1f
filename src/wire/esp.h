/* ESP's bytes (RFC 4303): header, padding and trailer. Sealing and opening are the tunnel's, the
 * figures of each suite stand in wire/suite.h. */
#ifndef WIRE_ESP_H
#define WIRE_ESP_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

#define ESP_HEADER_LEN  8  /* SPI, sequence number */
#define ESP_TRAILER_LEN 2  /* pad length, next header */
#define ESP_ICV_LEN     16 /* of all our suites */
#define ESP_IV_LEN_MAX  16
#define ESP_PADDING_MAX 15    /* that we make; others may send up to 255 */
#define ESP_LEN_MAX     65507 /* a UDP datagram over IPv4 */
/* SPIs up to this one are reserved (2.1). */
#define ESP_SPI_MIN 256

enum esp_next_header {
    ESP_NEXT_DUMMY = 59,    /* no payload at all: dropped by the receiver (2.6) */
    ESP_NEXT_COMMAND = 253, /* between Detec hosts (docs/protocol.md); for experiments: RFC 3692 */
};

/* What such a payload begins with: the command (enum sput_command, not 0), three bytes of zero. */
#define ESP_COMMAND_LEN 4

struct esp_header {
    uint32_t spi;
    uint32_t sequence; /* its low half where extended numbers are in use */
};

/* Both take exactly ESP_HEADER_LEN bytes. */
void esp_header_write(const struct esp_header *header, uint8_t bytes[ESP_HEADER_LEN]);
void esp_header_read(const uint8_t bytes[ESP_HEADER_LEN], struct esp_header *ret_header);

/* Bytes of padding so that payload, padding and trailer are a multiple of alignment. */
size_t esp_padding_len(size_t payload_len, size_t alignment);
/* Writes padding (1, 2, 3, …: 2.4) and trailer: padding_len + ESP_TRAILER_LEN bytes. */
void esp_trailer_write(uint8_t *at, size_t padding_len, uint8_t next_header);
/* Of a decrypted and authentic text: where its payload ends, and what it is. What the padding holds
 * is not looked at. ERR_INVALID: shorter than it says. */
MUST_USE int esp_trailer_read(const uint8_t *text, size_t len, size_t *ret_payload_len,
                              uint8_t *ret_next_header);

#endif
