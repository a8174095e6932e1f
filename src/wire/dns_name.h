/* Domain names in DNS messages (RFC 1035, 3.1 and 4.1.4): reading with compression, comparing,
 * text. Any byte may occur in a label (RFC 2181, 11); host names proper are a subset (base/text.h).
 */
#ifndef WIRE_DNS_NAME_H
#define WIRE_DNS_NAME_H

#include "base/error.h"
#include "base/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_LEN_MAX  255 /* RFC 1035, 2.3.4 */
#define DNS_LABEL_LEN_MAX 63
/* Longest text of dns_name_format: every byte as \DDD, and NUL. */
#define DNS_NAME_TEXT_CAP (4 * DNS_NAME_LEN_MAX + 1)

/* Uncompressed wire form with the root label, letters as they came. len 0: no name. */
struct dns_name {
    uint8_t len;
    uint8_t bytes[DNS_NAME_LEN_MAX];
};

/* Reads the name at offset of a whole message. Compression pointers must point before the part of
 * the name that holds them, so no loop is possible. ret_end (may be NULL): the offset after the
 * name where it stands. ERR_TRUNCATED or ERR_INVALID. */
MUST_USE int dns_name_parse(const uint8_t *message, size_t len, size_t offset,
                            struct dns_name *ret_name, size_t *ret_end);
/* From host name text or "_detec._tcp.example.net", with or without the last dot; "." is the root.
 * No escapes: ERR_INVALID for a backslash, empty or long label, or long name. Letters stay as
 * given. */
MUST_USE int dns_name_from_text(const char *text, struct dns_name *ret_name);
/* The canonical host name (lower case, no last dot). ERR_INVALID if it is not a host name. */
MUST_USE int dns_name_to_host(const struct dns_name *name, char ret_host[NAME_TEXT_CAP]);
/* For messages to people: lower case, odd bytes as \DDD, the root as ".". Returns buffer. */
const char *dns_name_format(const struct dns_name *name, char *buffer, size_t cap);

/* Letters of ASCII compare without case (RFC 4343). */
bool dns_name_is_equal(const struct dns_name *a, const struct dns_name *b);
/* Is name the zone itself or below it? */
bool dns_name_is_in(const struct dns_name *name, const struct dns_name *zone);
/* Lower-cases ASCII letters in place (RFC 4034, 6.2). */
void dns_name_lower(struct dns_name *name);
/* Without the root: "a.b." has 2. */
unsigned dns_name_label_count(const struct dns_name *name);
/* The name without its first `count` labels; ERR_INVALID if it has fewer. */
MUST_USE int dns_name_strip(const struct dns_name *name, unsigned count, struct dns_name *ret_name);

#endif
