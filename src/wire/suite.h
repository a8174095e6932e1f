/* The suites of children, SPUT's and ESP's in one number space (docs/protocol.md): names, numbers,
 * lengths, for those who negotiate them and those who seal with them. What they compute is in
 * crypto/. */
#ifndef WIRE_SUITE_H
#define WIRE_SUITE_H

#include "base/error.h"
#include "wire/ike.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* SPUT's numbers are its encryption transform IDs in IKE (private use). ESP's are local: on the
 * wire they are transforms of RFC 7296 and its kin (ike/suite.h). */
enum suite {
    SUITE_NONE = 0,
    SPUT_PAPER = 1025,
    SPUT_AES128_GCM = 1026,
    SPUT_AES256_GCM = 1027,
    SPUT_CHACHA20_POLY1305 = 1028,
    ESP_AES128_GCM = 0x2000, /* RFC 4106, ICV of 16 bytes */
    ESP_AES256_GCM = 0x2001,
    ESP_CHACHA20_POLY1305 = 0x2002, /* RFC 7634 */
    ESP_AES128_GCM_IIV = 0x2003,    /* RFC 8750, like the next two: no IV on the wire */
    ESP_AES256_GCM_IIV = 0x2004,
    ESP_CHACHA20_POLY1305_IIV = 0x2005,
    ESP_AES128_CBC_SHA256 = 0x2006, /* RFC 3602, RFC 4868 */
    ESP_AES256_CBC_SHA256 = 0x2007,
    ESP_AES128_CTR_SHA256 = 0x2008, /* RFC 3686, RFC 4868 */
    ESP_AES256_CTR_SHA256 = 0x2009,
};
#define SPUT_SUITE_COUNT 4
#define ESP_SUITE_COUNT  10
#define SUITE_COUNT      (SPUT_SUITE_COUNT + ESP_SUITE_COUNT)

/* How the packets of an ESP child travel. */
enum child_mode {
    CHILD_TRANSPORT, /* RFC 4303, 3.1.1: without their header, which is the outer one */
    CHILD_BEET,      /* without their header, whose addresses are those of the SA */
    CHILD_TUNNEL,    /* RFC 4303, 3.1.2: whole */
};
#define CHILD_MODE_COUNT 3
/* "transport", "beet", "tunnel". */
const char *child_mode_name(enum child_mode mode);

/* Longest key material of one direction: AES-256 key 32, CTR nonce 4, MAC key 32. */
#define SUITE_KEY_CAP 68
/* SPUT: `paper` has AES key 16, MAC key 32, salt 11; the AEAD suites a key and this salt. */
#define SUITE_AEAD_SALT_LEN 8
/* ESP: salt behind an AEAD key, nonce behind a CTR key (RFC 4106, 8.1; RFC 3686, 5.1). */
#define SUITE_ESP_SALT_LEN 4
/* ESP with HMAC: its key, which follows those of encryption (RFC 7296, 2.17). */
#define SUITE_ESP_MAC_KEY_LEN 32

bool suite_is_known(unsigned int id);
/* "paper", "aes128-gcm", …, "esp-aes128-gcm", …; "none", "unknown" for others. */
const char *suite_name(enum suite suite);
/* ERR_NOT_FOUND if there is no suite of that name. */
MUST_USE int suite_parse(const char *name, enum suite *ret_suite);
/* IKE_PROTOCOL_SPUT or IKE_PROTOCOL_ESP; IKE_PROTOCOL_NONE for an unknown suite. */
enum ike_protocol suite_protocol(enum suite suite);
static inline bool suite_is_esp(enum suite suite)
{
    return suite_protocol(suite) == IKE_PROTOCOL_ESP;
}

/* The rest are 0 for an unknown suite. */
/* Bytes of key material of one direction: encryption key, salt or nonce, MAC key. */
size_t suite_key_len(enum suite suite);
/* The encryption key's part of it, at its start. */
size_t suite_cipher_key_len(enum suite suite);
/* Bytes of MAC or ICV behind everything else: 32 or 16. */
size_t suite_tag_len(enum suite suite);
/* ESP: bytes of IV between header and payload: 0, 8 or 16. */
size_t suite_iv_len(enum suite suite);
/* ESP: what payload, padding and trailer together are a multiple of: 4 or 16. 1 for SPUT. */
size_t suite_alignment(enum suite suite);
/* Bytes that the protocol adds to a payload, at least: ESP's padding comes on top. UDP and IP are
 * not in it. */
size_t suite_overhead(enum suite suite);
/* Longest payload of one message: 4092 bytes for paper. */
size_t suite_payload_max(enum suite suite);
/* Longest payload of a message that, within its datagram, has len bytes in all. 0: not even an
 * empty one fits, or just that. */
size_t suite_payload_in(enum suite suite, size_t len);

#endif
