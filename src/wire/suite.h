/* The suites of SPUT (docs/protocol.md): names, numbers, lengths, for those who negotiate them and
 * those who seal with them. What they compute is in crypto/. */
#ifndef WIRE_SUITE_H
#define WIRE_SUITE_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The encryption transform IDs of IKE (private use). */
enum sput_suite {
    SPUT_SUITE_NONE = 0,
    SPUT_PAPER = 1025,
    SPUT_AES128_GCM = 1026,
    SPUT_AES256_GCM = 1027,
    SPUT_CHACHA20_POLY1305 = 1028,
};
#define SUITE_COUNT 4

/* Longest key material of one direction: paper, AES key 16, MAC key 32, salt 11. AEAD suites: key
 * and salt of 8 bytes. */
#define SUITE_KEY_CAP       59
#define SUITE_AEAD_SALT_LEN 8

bool suite_is_known(unsigned int id);
/* "paper", "aes128-gcm", "aes256-gcm", "chacha20-poly1305"; "none", "unknown" for others. */
const char *suite_name(enum sput_suite suite);
/* ERR_NOT_FOUND if there is no suite of that name. */
MUST_USE int suite_parse(const char *name, enum sput_suite *ret_suite);
/* The rest are 0 for an unknown suite. */
/* Bytes of key material of one direction: 59, 24, 40, 40. */
size_t suite_key_len(enum sput_suite suite);
/* Bytes behind the payload: 32 or 16. */
size_t suite_tag_len(enum sput_suite suite);
/* Bytes that SPUT adds to a payload: 40 or 24. UDP and IP are not in it. */
size_t suite_overhead(enum sput_suite suite);
/* Longest payload of one message: 4092 bytes for paper. */
size_t suite_payload_max(enum sput_suite suite);

#endif
