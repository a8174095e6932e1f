/* Forms of signatures as IKE names them: an algorithm with its hash and encoding, and the DER
 * AlgorithmIdentifier that stands for it in AUTH payloads (RFC 7427, 3 and A). */
#ifndef CRYPTO_SIGNATURE_H
#define CRYPTO_SIGNATURE_H

#include "crypto/hash.h"

enum signature_kind {
    SIGNATURE_NONE,
    SIGNATURE_ED25519,   /* RFC 8420; no hash */
    SIGNATURE_ECDSA,     /* ECDSA-Sig-Value in DER */
    SIGNATURE_ECDSA_RAW, /* r ‖ s (RFC 4754) */
    SIGNATURE_RSA_PSS,   /* MGF1 with the same hash, salt as long as that */
    SIGNATURE_RSA_PKCS1, /* v1.5; judged, never made but for IKEv1 */
};

struct signature_form {
    enum signature_kind kind;
    enum hash_algorithm hash;
};

#define SIGNATURE_NAME_CAP 80

/* The AlgorithmIdentifier; ERR_UNSUPPORTED for what has none. Returns its length. */
MUST_USE int signature_form_build(const struct signature_form *form,
                                  uint8_t ret_der[SIGNATURE_NAME_CAP]);
/* der: exactly one. ERR_UNSUPPORTED for other algorithms (SHA-1 among them), ERR_INVALID for what
 * is none. */
MUST_USE int signature_form_parse(const uint8_t *der, size_t len, struct signature_form *ret_form);

#endif
