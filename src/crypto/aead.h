/* Authenticated encryption with 96-bit nonces and 128-bit tags, in place: AES-GCM (NIST SP 800-38D)
 * and ChaCha20-Poly1305 (RFC 8439). One context belongs to one thread. */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum aead_algorithm { AEAD_AES128_GCM, AEAD_AES256_GCM, AEAD_CHACHA20_POLY1305 };

#define AEAD_NONCE_LEN   12
#define AEAD_TAG_LEN     16
#define AEAD_KEY_LEN_MAX 32

struct aead; /* keyed context */
struct arena;

/* 16 or 32. */
size_t aead_key_len(enum aead_algorithm algorithm);
/* Chooses now what else is chosen at first use, by a self-test and some milliseconds of measurement
 * that a handshake would have to wait for. */
void aead_choose(void);
/* "libcrypto" or "ipsec-mb": what computes it on this machine. */
const char *aead_backend_name(enum aead_algorithm algorithm);
/* key: aead_key_len() bytes, copied. */
MUST_USE int aead_new(enum aead_algorithm algorithm, const uint8_t *key, struct aead **ret_aead);
/* The same in an arena (NULL: on the heap), which stays until it is freed. */
MUST_USE int aead_new_in(struct arena *arena, enum aead_algorithm algorithm, const uint8_t *key,
                         struct aead **ret_aead);
/* Wipes the key. */
void aead_free(struct aead *aead);
/* It will be used soon, for so many bytes: has it on its way from memory. Does not touch it. */
void aead_look_ahead(const struct aead *aead, size_t len);
/* Encrypts data in place and writes the tag. */
MUST_USE int aead_seal(struct aead *aead, const uint8_t nonce[AEAD_NONCE_LEN], const void *ad,
                       size_t ad_len, uint8_t *data, size_t len, uint8_t ret_tag[AEAD_TAG_LEN]);
/* Decrypts data in place. ERR_AUTH: the tag is wrong, and data is wiped. */
MUST_USE int aead_open(struct aead *aead, const uint8_t nonce[AEAD_NONCE_LEN], const void *ad,
                       size_t ad_len, uint8_t *data, size_t len, const uint8_t tag[AEAD_TAG_LEN]);
/* As aead_open(), but on ERR_AUTH data is what it was before, so that another key can be tried. */
MUST_USE int aead_open_or_keep(struct aead *aead, const uint8_t nonce[AEAD_NONCE_LEN],
                               const void *ad, size_t ad_len, uint8_t *data, size_t len,
                               const uint8_t tag[AEAD_TAG_LEN]);

#endif
