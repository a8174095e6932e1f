/* Keys of peers that are not Detec hosts, of every algorithm that IKE signs with: Ed25519, ECDSA on
 * P-256, P-384 and P-521, RSA from 2048 bits. Detec's own identities are crypto/identity.h. */
#ifndef CRYPTO_SIGNER_H
#define CRYPTO_SIGNER_H

#include "crypto/signature.h"
#include <stdbool.h>

enum key_kind { KEY_ED25519, KEY_ECDSA_P256, KEY_ECDSA_P384, KEY_ECDSA_P521, KEY_RSA };

#define SIGNER_SIGNATURE_MAX 1024 /* RSA of 8192 bits */

struct verifier; /* a public key */

/* ERR_INVALID for what is no key, ERR_UNSUPPORTED for other algorithms and short RSA keys. */
MUST_USE int verifier_from_spki(const uint8_t *der, size_t len, struct verifier **ret_verifier);
/* "BEGIN PUBLIC KEY". */
MUST_USE int verifier_from_pem(const char *text, size_t len, struct verifier **ret_verifier);
/* NULL is fine. */
void verifier_free(struct verifier *verifier);
enum key_kind verifier_kind(const struct verifier *verifier);
/* SubjectPublicKeyInfo in DER; borrowed. */
const uint8_t *verifier_spki(const struct verifier *verifier, size_t *ret_len);
bool verifier_is_equal(const struct verifier *a, const struct verifier *b);
/* ERR_AUTH: the signature is wrong, or of a form that this key cannot have made. */
MUST_USE int verifier_check(const struct verifier *verifier, const struct signature_form *form,
                            const void *data, size_t len, const uint8_t *signature,
                            size_t signature_len);

/* The same for what IKEv1 signs: a digest as it is, neither hashed again nor named (RFC 2409, 5.1;
 * RFC 4754). kind: SIGNATURE_RSA_PKCS1 or SIGNATURE_ECDSA_RAW. Digests of less than 32 bytes,
 * SHA-1's among them, are ERR_AUTH. */
MUST_USE int verifier_check_digest(const struct verifier *verifier, enum signature_kind kind,
                                   const uint8_t *digest, size_t digest_len,
                                   const uint8_t *signature, size_t signature_len);

struct signer; /* a private key with its public half */

/* A PEM file with one private key, not encrypted. Errors as above. */
MUST_USE int signer_from_pem(const char *text, size_t len, struct signer **ret_signer);
/* Wipes. NULL is fine. */
void signer_free(struct signer *signer);
const struct verifier *signer_public(const struct signer *signer);
/* Returns the signature's length. ERR_UNSUPPORTED: this key makes no such form. */
MUST_USE int signer_sign(const struct signer *signer, const struct signature_form *form,
                         const void *data, size_t len, uint8_t ret_signature[SIGNER_SIGNATURE_MAX]);
/* As verifier_check_digest() takes it. ERR_UNSUPPORTED: not with this key, or too short a digest.
 */
MUST_USE int signer_sign_digest(const struct signer *signer, enum signature_kind kind,
                                const uint8_t *digest, size_t digest_len,
                                uint8_t ret_signature[SIGNER_SIGNATURE_MAX]);

#endif
