/* A host's or connector's lasting identity: an Ed25519 key (RFC 8032). Files are PKCS#8 PEM (RFC
 * 8410), as `openssl genpkey -algorithm ed25519` writes them; public keys are shown as base64 of
 * the raw 32 bytes. Files themselves are read and written by the caller. */
#ifndef CRYPTO_IDENTITY_H
#define CRYPTO_IDENTITY_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PUBLIC_KEY_LEN      32
#define PUBLIC_KEY_TEXT_CAP 45 /* base64 */
#define SIGNATURE_LEN       64
#define PUBLIC_KEY_SPKI_LEN 44 /* DER SubjectPublicKeyInfo (RFC 8410, 4) */
#define IDENTITY_PEM_CAP    256

struct public_key {
    uint8_t bytes[PUBLIC_KEY_LEN];
};

struct identity; /* private key with its public half */

MUST_USE int identity_generate(struct identity **ret_identity);
/* ERR_INVALID if text is not a PEM private key, ERR_UNSUPPORTED if it is not Ed25519. */
MUST_USE int identity_from_pem(const char *text, size_t len, struct identity **ret_identity);
/* Writes PEM and NUL; returns its length. */
MUST_USE int identity_to_pem(const struct identity *identity, char *ret_text, size_t cap);
/* Wipes. NULL is fine. */
void identity_free(struct identity *identity);
const struct public_key *identity_public(const struct identity *identity);
MUST_USE int identity_sign(const struct identity *identity, const void *data, size_t len,
                           uint8_t ret_signature[SIGNATURE_LEN]);

/* ERR_AUTH if the signature is wrong; keys of small order never verify. */
MUST_USE int public_key_verify(const struct public_key *key, const void *data, size_t len,
                               const uint8_t signature[SIGNATURE_LEN]);
bool public_key_is_equal(const struct public_key *a, const struct public_key *b);
MUST_USE int public_key_parse(const char *base64, struct public_key *ret_key);
const char *public_key_format(const struct public_key *key, char text[PUBLIC_KEY_TEXT_CAP]);
void public_key_to_spki(const struct public_key *key, uint8_t ret_der[PUBLIC_KEY_SPKI_LEN]);
/* ERR_UNSUPPORTED for other algorithms, ERR_INVALID for what is no SubjectPublicKeyInfo at all. */
MUST_USE int public_key_from_spki(const uint8_t *der, size_t len, struct public_key *ret_key);
/* The dynamic name's first label: "h-" and 13 base32 digits of SHA-256(key) (65 bits).
 * Empty if the crypto library fails. */
#define PUBLIC_KEY_LABEL_CAP 16
const char *public_key_label(const struct public_key *key, char label[PUBLIC_KEY_LABEL_CAP]);

#endif
