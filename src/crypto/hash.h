/* Hashes and HMAC over several pieces at once. SHA-1 only where a protocol fixes it: NAT detection
 * (RFC 7296, 2.23) and STUN's MESSAGE-INTEGRITY (RFC 8489, 14.5). */
#ifndef CRYPTO_HASH_H
#define CRYPTO_HASH_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

#define SHA1_LEN     20
#define SHA256_LEN   32
#define HASH_LEN_MAX 64

/* Those that IKE negotiates for its HMACs. */
enum hash_algorithm { HASH_NONE, HASH_SHA256, HASH_SHA384, HASH_SHA512 };

struct piece {
    const void *data;
    size_t len;
};

MUST_USE int sha1(const struct piece *pieces, size_t count, uint8_t ret_digest[SHA1_LEN]);
MUST_USE int sha256(const struct piece *pieces, size_t count, uint8_t ret_digest[SHA256_LEN]);
MUST_USE int hmac_sha1(const void *key, size_t key_len, const struct piece *pieces, size_t count,
                       uint8_t ret_mac[SHA1_LEN]);
MUST_USE int hmac_sha256(const void *key, size_t key_len, const struct piece *pieces, size_t count,
                         uint8_t ret_mac[SHA256_LEN]);
/* Bytes of a digest; 0 for HASH_NONE. */
size_t hash_len(enum hash_algorithm algorithm);
/* ERR_UNSUPPORTED for HASH_NONE. */
MUST_USE int hash_digest(enum hash_algorithm algorithm, const struct piece *pieces, size_t count,
                         uint8_t *ret_digest);
/* HMAC of hash_len() bytes. ERR_UNSUPPORTED for HASH_NONE. */
MUST_USE int hash_hmac(enum hash_algorithm algorithm, const void *key, size_t key_len,
                       const struct piece *pieces, size_t count, uint8_t *ret_mac);
/* prf+ of RFC 7296, 2.13, with the HMAC of this hash: len at most 255 digests. */
MUST_USE int hash_prf_plus(enum hash_algorithm algorithm, const uint8_t *key, size_t key_len,
                           const struct piece *seed, size_t count, uint8_t *ret_out, size_t len);

#endif
