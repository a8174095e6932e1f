/* Ephemeral key exchange in the groups of IKEv2: X25519 (RFC 7748, RFC 8031), the NIST curves (RFC
 * 5903) and MODP (RFC 3526). Which of them may be used is the callers' to say. */
#ifndef CRYPTO_KEX_H
#define CRYPTO_KEX_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers of IKEv2's registry. */
enum kex_group {
    KEX_NONE = 0,
    KEX_MODP2048 = 14,
    KEX_MODP3072 = 15,
    KEX_ECP256 = 19,
    KEX_ECP384 = 20,
    KEX_X25519 = 31,
};
#define KEX_GROUP_COUNT 5

#define KEX_X25519_LEN  32  /* public value and secret */
#define KEX_PUBLIC_MAX  384 /* MODP-3072 */
#define KEX_SECRET_MAX  384
#define KEX_PRIVATE_MAX 48

struct kex {
    enum kex_group group;
    size_t public_len;
    uint8_t private_key[KEX_PRIVATE_MAX];
    uint8_t public_key[KEX_PUBLIC_MAX]; /* as KE payloads hold it: x ‖ y of a point on a curve */
};

struct kex_secret {
    size_t len;
    uint8_t bytes[KEX_SECRET_MAX];
};

bool kex_is_known(unsigned int group);
/* 0 for an unknown group. */
size_t kex_public_len(enum kex_group group);
/* Draws a fresh key pair. ERR_UNSUPPORTED for an unknown group. */
MUST_USE int kex_init(struct kex *kex, enum kex_group group);
/* Wipes. NULL is fine. */
void kex_done(struct kex *kex);
/* ERR_INVALID for a peer value of the wrong length, of small order (all-zero result, RFC 8031, 2),
 * out of range or not on the curve (RFC 6989, 2). */
MUST_USE int kex_derive(const struct kex *kex, const uint8_t *peer_public, size_t peer_len,
                        struct kex_secret *ret_secret);
/* Wipes. */
void kex_secret_done(struct kex_secret *secret);

#endif
