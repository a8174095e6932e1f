/* Key derivation of IKEv2 (RFC 7296, 2.13 to 2.18), and the sealing of SK payloads: with an AEAD
 * (RFC 5282, 3), or AES-CBC and an HMAC (RFC 7296, 3.14). */
#ifndef IKE_KEYS_H
#define IKE_KEYS_H

#include "crypto/hash.h"
#include "crypto/kex.h"
#include "ike/suite.h"

#define IKE_PRF_LEN     SHA256_LEN /* of the default PRF, and the only one of tickets */
#define IKE_PRF_LEN_MAX HASH_LEN_MAX

/* What an IKE SA is made of. */
struct ike_algorithms {
    enum ike_cipher cipher;
    enum hash_algorithm prf;
    enum hash_algorithm integ; /* HASH_NONE with an AEAD */
    enum kex_group group;
};

/* In the order of 2.14. Encryption keys have the salt of an AEAD behind them. */
enum ike_key_part { IKE_SK_D, IKE_SK_AI, IKE_SK_AR, IKE_SK_EI, IKE_SK_ER, IKE_SK_PI, IKE_SK_PR };

/* All zero: no keys. */
struct ike_keys {
    struct ike_algorithms algorithms;
    uint8_t *material; /* all parts, one behind the other */
};

/* Both sides' contributions to one exchange. */
struct ike_nonces {
    const uint8_t *initiator;
    size_t initiator_len;
    const uint8_t *responder;
    size_t responder_len;
};

/* SKEYSEED = prf(Ni | Nr, g^ir), and the keys from it (2.14). ret_keys: wipe them. */
MUST_USE int ike_keys_derive(const struct ike_algorithms *algorithms,
                             const struct kex_secret *secret, const struct ike_nonces *nonces,
                             uint64_t spi_i, uint64_t spi_r, struct ike_keys *ret_keys);
/* SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr) with the old PRF (2.18). */
MUST_USE int ike_keys_rekey(const struct ike_algorithms *algorithms, const struct ike_keys *old,
                            const struct kex_secret *secret, const struct ike_nonces *nonces,
                            uint64_t spi_i, uint64_t spi_r, struct ike_keys *ret_keys);
/* SKEYSEED = prf(SK_d (old), "Resumption" | Ni | Nr) (RFC 5723, 5.1); the PRF is the default one.
 */
MUST_USE int ike_keys_resume(enum ike_cipher cipher, const uint8_t sk_d[IKE_PRF_LEN],
                             const struct ike_nonces *nonces, uint64_t spi_i, uint64_t spi_r,
                             struct ike_keys *ret_keys);
/* KEYMAT = prf+(SK_d, [g^ir |] Ni | Nr), the initiator's direction first (2.17). secret may be
 * NULL. Both outputs take suite_key_len(suite) bytes. */
MUST_USE int ike_keys_child(const struct ike_keys *keys, const struct kex_secret *secret,
                            const struct ike_nonces *nonces, enum suite suite,
                            uint8_t *ret_initiator, uint8_t *ret_responder);
/* Wipes and frees what is inside. */
void ike_keys_wipe(struct ike_keys *keys);

/* One part, of *ret_len bytes (ret_len may be NULL). */
const uint8_t *ike_keys_part(const struct ike_keys *keys, enum ike_key_part part, size_t *ret_len);
bool ike_keys_are_equal(const struct ike_keys *a, const struct ike_keys *b);
/* HMAC of the negotiated PRF; ret_mac: IKE_PRF_LEN_MAX bytes, of which ike_keys_prf_len() are used.
 */
MUST_USE int ike_keys_prf(const struct ike_keys *keys, const void *key, size_t key_len,
                          const struct piece *pieces, size_t count, uint8_t *ret_mac);
size_t ike_keys_prf_len(const struct ike_keys *keys);

/* What an SK payload holds besides the payloads. */
size_t ike_keys_iv_len(const struct ike_keys *keys);
size_t ike_keys_block_len(const struct ike_keys *keys); /* 1: no padding is needed */
size_t ike_keys_tag_len(const struct ike_keys *keys);

/* Seals a built message in place: fills in IV and tag. counter: the IV of an AEAD, never twice
 * under one key; with CBC the IV is random. is_initiator: the sender is the original initiator. */
MUST_USE int ike_keys_seal(const struct ike_keys *keys, bool is_initiator, uint64_t counter,
                           uint8_t *message, size_t len);
/* Where the parts of a message's SK or SKF payload lie. ERR_INVALID. */
MUST_USE int ike_keys_locate(const struct ike_keys *keys, const uint8_t *message, size_t len,
                             struct ike_sk *ret_sk);
/* Opens a message in place: ret_data, inside message, holds the payloads. ERR_AUTH: not authentic.
 */
MUST_USE int ike_keys_open(const struct ike_keys *keys, bool is_initiator, uint8_t *message,
                           size_t len, uint8_t *ret_first, const uint8_t **ret_data,
                           size_t *ret_len);

#endif
