/* STUN messages (RFC 8489) with the attributes of ICE (RFC 8445): parsed into a struct that borrows
 * the message, and built. No crypto: the caller computes the HMAC-SHA1 of MESSAGE-INTEGRITY over
 * the region given here. Nothing parsed is authentic before it has. */
#ifndef WIRE_STUN_H
#define WIRE_STUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"
#include "base/writer.h"

#define STUN_HEADER_LEN      20
#define STUN_TRANSACTION_LEN 12
#define STUN_INTEGRITY_LEN   20 /* HMAC-SHA1 */
#define STUN_MAGIC_COOKIE    0x2112a442u
#define STUN_MESSAGE_CAP     1280 /* longest that we build, and whose integrity we check */
#define STUN_USERNAME_MAX    508  /* bytes (RFC 8489, 14.3) */
#define STUN_TEXT_MAX        763  /* bytes of SOFTWARE and of a reason phrase (14.8, 14.14) */
#define STUN_UNKNOWN_MAX     8    /* unknown comprehension-required attributes that are listed */
#define STUN_TICKET_MAX      64   /* bytes */

enum stun_class { STUN_REQUEST = 0, STUN_INDICATION = 1, STUN_SUCCESS = 2, STUN_ERROR = 3 };

#define STUN_BINDING 0x001 /* the only method used */

enum stun_attribute {
    STUN_MAPPED_ADDRESS = 0x0001,
    STUN_CHANGE_REQUEST = 0x0003, /* RFC 5780, 7 */
    STUN_USERNAME = 0x0006,
    STUN_MESSAGE_INTEGRITY = 0x0008,
    STUN_ERROR_CODE = 0x0009,
    STUN_UNKNOWN_ATTRIBUTES = 0x000a,
    STUN_REALM = 0x0014,
    STUN_NONCE = 0x0015,
    STUN_XOR_MAPPED_ADDRESS = 0x0020,
    STUN_PRIORITY = 0x0024,
    STUN_USE_CANDIDATE = 0x0025,
    STUN_PADDING = 0x0026,
    STUN_RESPONSE_PORT = 0x0027,
    STUN_SOFTWARE = 0x8022,
    STUN_FINGERPRINT = 0x8028,
    STUN_ICE_CONTROLLED = 0x8029,
    STUN_ICE_CONTROLLING = 0x802a,
    STUN_RESPONSE_ORIGIN = 0x802b,
    STUN_OTHER_ADDRESS = 0x802c,
    /* Our own: docs/protocol.md, "What kind of NAT". */
    STUN_OTHER_PORT = 0xde7e,
    STUN_TICKET = 0xde7f,
};

enum stun_error_code {
    STUN_BAD_REQUEST = 400,
    STUN_UNAUTHENTICATED = 401,
    STUN_UNKNOWN_ATTRIBUTE = 420,
    STUN_ROLE_CONFLICT = 487, /* RFC 8445, 7.3.1.1 */
    STUN_SERVER_ERROR = 500,
};

struct stun_message {
    uint16_t method;
    uint8_t class; /* enum stun_class */
    uint8_t transaction_id[STUN_TRANSACTION_LEN];

    const uint8_t *username; /* NULL: absent; not NUL-terminated */
    size_t username_len;
    const uint8_t *software; /* NULL: absent; UTF-8, not checked */
    size_t software_len;

    bool has_mapped, has_xor_mapped;
    struct endpoint mapped, xor_mapped;

    bool has_priority, use_candidate, has_ice_controlling, has_ice_controlled;
    uint32_t priority;
    uint64_t tie_breaker; /* of ICE-CONTROLLING or ICE-CONTROLLED */

    uint16_t error_code; /* 300 to 699; 0: absent */
    const uint8_t *reason;
    size_t reason_len;

    /* Behaviour discovery (RFC 5780). The first three are comprehension-required and stand in
     * `unknown` too, as only the server of that discovery understands them. */
    bool has_change_request, change_address, change_port;
    bool has_padding;
    uint16_t response_port; /* 0: absent */
    bool has_response_origin, has_other_address;
    struct endpoint response_origin, other_address;
    uint16_t other_port;   /* 0: absent */
    const uint8_t *ticket; /* NULL: absent; may have no bytes */
    size_t ticket_len;

    /* Comprehension-required attributes (below 0x8000) that this parser does not know, in order. A
     * request with any is answered by error 420 (RFC 8489, 6.3.1), a response with any is
     * discarded. */
    uint16_t unknown[STUN_UNKNOWN_MAX];
    size_t unknown_count; /* all of them: may exceed STUN_UNKNOWN_MAX */

    bool has_integrity;
    size_t integrity_offset;  /* of the attribute from the message's start */
    const uint8_t *integrity; /* STUN_INTEGRITY_LEN bytes to compare, in constant time */
    bool has_fingerprint;
    bool is_fingerprint_right; /* only where has_fingerprint */
};

/* Parses a datagram that must be one STUN message and nothing else. Attributes behind
 * MESSAGE-INTEGRITY are not taken, but for FINGERPRINT (RFC 8489, 14.5); the first of several of
 * one type counts (14). ERR_TRUNCATED or ERR_INVALID. */
MUST_USE int stun_parse(const void *message, size_t len, struct stun_message *ret_message);

/* The bytes over which MESSAGE-INTEGRITY is computed: those before it, with the header's length as
 * if it were the last attribute (14.5). Copies them to ret_region and returns how many,
 * ERR_NOT_FOUND if it has none, ERR_FULL. message is what stun_parse parsed. */
MUST_USE int stun_integrity_region(const void *message, const struct stun_message *parsed,
                                   uint8_t *ret_region, size_t cap);

/* Building: begin, attributes, integrity, fingerprint, end. The message starts at the writer's
 * start, which must be empty. Errors stick to the writer and are told by stun_build_end. */
void stun_build_begin(struct writer *w, enum stun_class class, uint16_t method,
                      const uint8_t transaction_id[STUN_TRANSACTION_LEN]);
void stun_build_username(struct writer *w, const void *username, size_t len);
void stun_build_software(struct writer *w, const char *software);
void stun_build_xor_mapped(struct writer *w, const struct endpoint *endpoint);
void stun_build_mapped(struct writer *w, const struct endpoint *endpoint);
void stun_build_priority(struct writer *w, uint32_t priority);
void stun_build_use_candidate(struct writer *w);
void stun_build_ice_controlling(struct writer *w, uint64_t tie_breaker);
void stun_build_ice_controlled(struct writer *w, uint64_t tie_breaker);
/* reason: a short text, may be "". */
void stun_build_error(struct writer *w, uint16_t code, const char *reason);
void stun_build_unknown(struct writer *w, const uint16_t *types, size_t count);
/* Behaviour discovery (RFC 5780, 7). padding: len zero bytes, a multiple of 4. */
void stun_build_change_request(struct writer *w, bool change_address, bool change_port);
void stun_build_padding(struct writer *w, size_t len);
void stun_build_response_port(struct writer *w, uint16_t port);
void stun_build_response_origin(struct writer *w, const struct endpoint *endpoint);
void stun_build_other_address(struct writer *w, const struct endpoint *endpoint);
void stun_build_other_port(struct writer *w, uint16_t port);
void stun_build_ticket(struct writer *w, const void *ticket, size_t len);
/* Sets the header's length as 14.5 wants it and tells what to compute HMAC-SHA1 over: the first
 * *ret_len bytes of the writer. stun_build_integrity_finish must come next. */
MUST_USE int stun_build_integrity_prepare(struct writer *w, const uint8_t **ret_region,
                                          size_t *ret_len);
void stun_build_integrity_finish(struct writer *w, const uint8_t mac[STUN_INTEGRITY_LEN]);
/* Last, if at all (14.7). */
void stun_build_fingerprint(struct writer *w);
/* Sets the header's length. The message is the writer's content. */
MUST_USE int stun_build_end(struct writer *w);

/* CRC-32 (ISO 3309) as FINGERPRINT uses it, before the XOR with 0x5354554e. */
uint32_t stun_crc32(const void *data, size_t len);

#endif
