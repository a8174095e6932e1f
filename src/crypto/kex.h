/* Ephemeral key exchange: X25519 (RFC 7748; RFC 8031 in IKEv2, group 31). */
#ifndef CRYPTO_KEX_H
#define CRYPTO_KEX_H

#include "base/error.h"
#include <stdint.h>

#define KEX_PUBLIC_LEN 32
#define KEX_SECRET_LEN 32

struct kex {
    uint8_t private_key[32];
    uint8_t public_key[KEX_PUBLIC_LEN];
};

/* Draws a fresh key pair. */
MUST_USE int kex_init(struct kex *kex);
/* Wipes. */
void kex_done(struct kex *kex);
/* ERR_INVALID for a peer value of small order (all-zero result, RFC 8031, 2). */
MUST_USE int kex_derive(const struct kex *kex, const uint8_t peer_public[KEX_PUBLIC_LEN],
                        uint8_t ret_secret[KEX_SECRET_LEN]);

#endif
