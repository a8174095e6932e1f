/* Text encodings and the names of hosts. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 4648, 4, with padding. Encoders need cap for the text and its NUL; they return the text's
 * length or ERR_FULL. Decoders are strict (no white space, canonical padding and trailing bits) and
 * return the number of bytes, ERR_INVALID or ERR_FULL. */
#define BASE64_TEXT_CAP(len) (((len) + 2) / 3 * 4 + 1)
MUST_USE int base64_encode(const void *data, size_t len, char *ret_text, size_t cap);
MUST_USE int base64_decode(const char *text, void *ret_data, size_t cap);
/* RFC 4648, 6, lower case, no padding. */
#define BASE32_TEXT_CAP(len) (((len)*8 + 4) / 5 + 1)
MUST_USE int base32_encode(const void *data, size_t len, char *ret_text, size_t cap);
#define HEX_TEXT_CAP(len) ((len)*2 + 1)
MUST_USE int hex_encode(const void *data, size_t len, char *ret_text, size_t cap);
MUST_USE int hex_decode(const char *text, void *ret_data, size_t cap);

/* A MAC address: six pairs of hexadecimal digits of either case, parted by colons. ERR_INVALID. */
#define MAC_ADDRESS_LEN 6
#define MAC_TEXT_CAP    18
MUST_USE int mac_parse(const char *text, uint8_t ret_mac[MAC_ADDRESS_LEN]);
/* Lower case; writes into text and returns it. */
const char *mac_format(const uint8_t mac[MAC_ADDRESS_LEN], char text[MAC_TEXT_CAP]);

/* "90s", "10m", "1h", "2d", "250ms"; a bare number is seconds. ERR_INVALID otherwise or on
 * overflow. */
MUST_USE int duration_parse(const char *text, uint64_t *ret_us);
/* "2h 5m", "850 ms": for people; writes into buffer and returns it. */
const char *duration_format(uint64_t us, char *buffer, size_t cap);
/* "1.5 MB": for people. */
const char *size_format(uint64_t bytes, char *buffer, size_t cap);

/* Host names as text: lower case, no trailing dot, labels of 1-63 letters, digits, '-' and '_' not
 * starting or ending with '-', at most 253 characters (RFC 1035, 2.3.1; RFC 1123, 2.1). The last
 * label is never a mere number, so that no address passes for a name. */
#define NAME_TEXT_CAP 254
/* Makes the canonical form of text (a trailing dot is allowed there). ERR_INVALID if it is not a
 * host name. */
MUST_USE int name_normalize(const char *text, char ret_name[NAME_TEXT_CAP]);
/* Is name (canonical) the zone itself or below it? */
bool name_is_in_zone(const char *name, const char *zone);
/* The name without its first label; NULL if it has one label only. Points into name. */
const char *name_parent(const char *name);
/* Glob over a canonical name: '*' stands for any characters, dots included. The pattern's letters
 * may be of either case. */
bool name_matches(const char *pattern, const char *name);

/* Calls take for each word of a list, between spaces, tabs and commas, until it fails; its error.
 * ERR_INVALID: the text is of cap bytes or more with its end, or a word of 64. */
MUST_USE int text_each_word(const char *text, size_t cap,
                            int (*take)(const char *word, void *context), void *context);

#endif
