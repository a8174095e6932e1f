/* The kinds of group behind crypto/kex.h; for this folder alone. Each fills in or uses the bytes of
 * struct kex; lengths have been checked. */
#ifndef CRYPTO_KEX_INTERNAL_H
#define CRYPTO_KEX_INTERNAL_H

#include "crypto/kex.h"

MUST_USE int kex_ecp_init(struct kex *kex);
MUST_USE int kex_ecp_derive(const struct kex *kex, const uint8_t *peer_public,
                            struct kex_secret *secret);
MUST_USE int kex_modp_init(struct kex *kex);
MUST_USE int kex_modp_derive(const struct kex *kex, const uint8_t *peer_public,
                             struct kex_secret *secret);

#endif
