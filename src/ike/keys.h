/* Key derivation of IKEv2 (RFC 7296, 2.13 to 2.18) with PRF_HMAC_SHA2_256 and AEAD ciphers, and the
 * sealing of SK payloads (RFC 5282, 3). */
#ifndef IKE_KEYS_H
#define IKE_KEYS_H

#include "crypto/hash.h"
#include "crypto/kex.h"
#include "ike/suite.h"

#define IKE_PRF_LEN SHA256_LEN

struct ike_keys {
    enum ike_cipher cipher;
    uint8_t sk_d[IKE_PRF_LEN];
    uint8_t sk_ei[AEAD_KEY_LEN_MAX + IKE_SALT_LEN]; /* key, then salt */
    uint8_t sk_er[AEAD_KEY_LEN_MAX + IKE_SALT_LEN];
    uint8_t sk_pi[IKE_PRF_LEN];
    uint8_t sk_pr[IKE_PRF_LEN];
};

/* Both sides' contributions to one exchange. */
struct ike_nonces {
    const uint8_t *initiator;
    size_t initiator_len;
    const uint8_t *responder;
    size_t responder_len;
};

/* SKEYSEED = prf(Ni | Nr, g^ir), and the keys from it (2.14). */
MUST_USE int ike_keys_derive(enum ike_cipher cipher, const uint8_t secret[KEX_SECRET_LEN],
                             const struct ike_nonces *nonces, uint64_t spi_i, uint64_t spi_r,
                             struct ike_keys *ret_keys);
/* SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr) (2.18). */
MUST_USE int ike_keys_rekey(enum ike_cipher cipher, const struct ike_keys *old,
                            const uint8_t secret[KEX_SECRET_LEN], const struct ike_nonces *nonces,
                            uint64_t spi_i, uint64_t spi_r, struct ike_keys *ret_keys);
/* SKEYSEED = prf(SK_d (old), "Resumption" | Ni | Nr) (RFC 5723, 5.1). */
MUST_USE int ike_keys_resume(enum ike_cipher cipher, const uint8_t sk_d[IKE_PRF_LEN],
                             const struct ike_nonces *nonces, uint64_t spi_i, uint64_t spi_r,
                             struct ike_keys *ret_keys);
/* KEYMAT = prf+(SK_d, [g^ir |] Ni | Nr), the initiator's direction first (2.17). secret may be
 * NULL. Both outputs take suite_key_len(suite) bytes. */
MUST_USE int ike_keys_child(const struct ike_keys *keys, const uint8_t *secret,
                            const struct ike_nonces *nonces, enum suite suite,
                            uint8_t *ret_initiator, uint8_t *ret_responder);
void ike_keys_wipe(struct ike_keys *keys);

/* Seals a built message in place: fills in IV (the counter, never twice under one key) and tag.
 * is_initiator: the sender is the original initiator. */
MUST_USE int ike_keys_seal(const struct ike_keys *keys, bool is_initiator, uint64_t counter,
                           uint8_t *message, size_t len);
/* Opens a message in place: ret_data, inside message, holds the payloads. ERR_AUTH: not authentic.
 */
MUST_USE int ike_keys_open(const struct ike_keys *keys, bool is_initiator, uint8_t *message,
                           size_t len, uint8_t *ret_first, const uint8_t **ret_data,
                           size_t *ret_len);

#endif
