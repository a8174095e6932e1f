/* IKEv1's key derivation and its proofs (RFC 2409, 5 and appendix B), and what it does to messages:
 * encryption with AES-CBC, whose IVs chain through an exchange. */
#ifndef IKEV1_KEYS_H
#define IKEV1_KEYS_H

#include "crypto/cbc.h"
#include "crypto/hash.h"
#include "crypto/kex.h"
#include "wire/suite.h"

struct ikev1_keys {
    enum hash_algorithm hash;
    size_t cipher_key_len;
    uint8_t skeyid[HASH_LEN_MAX]; /* hash_len() bytes each */
    uint8_t skeyid_d[HASH_LEN_MAX];
    uint8_t skeyid_a[HASH_LEN_MAX];
    uint8_t skeyid_e[HASH_LEN_MAX]; /* its start is the cipher's key */
};

/* Everything that Main Mode's keys come from. */
struct ikev1_material {
    enum hash_algorithm hash;
    size_t cipher_key_len;
    const uint8_t *psk;
    size_t psk_len;
    const uint8_t *nonce_i, *nonce_r;
    size_t nonce_i_len, nonce_r_len;
    const struct kex_secret *secret;
    uint64_t cookie_i, cookie_r;
    bool is_signed; /* the proofs are signatures: no shared key */
};

MUST_USE int ikev1_keys_derive(const struct ikev1_material *material, struct ikev1_keys *ret_keys);

/* HASH_I or HASH_R, hash_len(hash) bytes: the public values and cookies, those of the side that
 * proves itself first; the body of the initiator's SA payload; the body of the prover's ID payload.
 */
struct ikev1_proof {
    const uint8_t *own_public, *other_public;
    size_t public_len;
    uint64_t own_cookie, other_cookie;
    const uint8_t *sa_body;
    size_t sa_body_len;
    const uint8_t *id_body;
    size_t id_body_len;
    enum hash_algorithm hash; /* of the HMAC */
};
MUST_USE int ikev1_keys_prove(const struct ikev1_keys *keys, const struct ikev1_proof *proof,
                              uint8_t ret_hash[HASH_LEN_MAX]);

/* Main Mode's first IV, hash(g^xi | g^xr). */
MUST_USE int ikev1_iv_main(enum hash_algorithm hash, const uint8_t *public_i,
                           const uint8_t *public_r, size_t public_len,
                           uint8_t ret_iv[CBC_BLOCK_LEN]);
/* A later exchange's, hash(last block of phase 1 | message ID). */
MUST_USE int ikev1_iv_exchange(enum hash_algorithm hash, const uint8_t last[CBC_BLOCK_LEN],
                               uint32_t message_id, uint8_t ret_iv[CBC_BLOCK_LEN]);

/* HASH(1), (2), (3) and that of an Informational: prf(SKEYID_a, M-ID | pieces). */
MUST_USE int ikev1_keys_hash(const struct ikev1_keys *keys, uint32_t message_id,
                             const struct piece *pieces, size_t count,
                             uint8_t ret_hash[HASH_LEN_MAX]);
/* HASH(3) has a zero byte before the message ID. */
MUST_USE int ikev1_keys_hash3(const struct ikev1_keys *keys, uint32_t message_id,
                              const uint8_t *nonce_i, size_t nonce_i_len, const uint8_t *nonce_r,
                              size_t nonce_r_len, uint8_t ret_hash[HASH_LEN_MAX]);

/* KEYMAT of one SPI: suite_key_len() bytes. secret: of Quick Mode's own exchange, or NULL. */
MUST_USE int ikev1_keys_child(const struct ikev1_keys *keys, const struct kex_secret *secret,
                              uint32_t spi, const uint8_t *nonce_i, size_t nonce_i_len,
                              const uint8_t *nonce_r, size_t nonce_r_len, enum suite suite,
                              uint8_t *ret_key);

#endif
