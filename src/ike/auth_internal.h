/* What both ways of authentication have in common: of Detec hosts (ike/auth.c) and of configured
 * peers (ike/prove.c, ike/judge.c). For this folder alone. */
#ifndef IKE_AUTH_INTERNAL_H
#define IKE_AUTH_INTERNAL_H

#include "ike/auth.h"

/* What is signed. */
struct ike_octets {
    uint8_t bytes[IKE_INIT_LEN_MAX + IKE_NONCE_LEN_MAX + IKE_PRF_LEN_MAX];
    size_t len;
};

/* Ours, over the ID payload's body that we send. */
MUST_USE int ike_auth_own_octets(const struct ike_generation *g, const void *id_body, size_t id_len,
                                 struct ike_octets *ret_octets);
/* The peer's, should its IKE_SA_INIT have been the index-th of those that it may be. ERR_NOT_FOUND
 * behind the last one. */
MUST_USE int ike_auth_peer_octets(const struct ike_generation *g, const struct ike_payload *id,
                                  size_t index, struct ike_octets *ret_octets);

/* AUTH = prf(prf(secret, "Key Pad for IKEv2"), octets) (RFC 7296, 2.15). */
MUST_USE int ike_auth_shared(const struct ike_generation *g, const void *secret, size_t len,
                             const struct ike_octets *octets, uint8_t ret_auth[IKE_PRF_LEN_MAX]);
/* The secret of RFC 7619, 2.1: SK_pi or SK_pr, by whose proof it is. */
const uint8_t *ike_auth_null_secret(const struct ike_generation *g, bool is_initiators,
                                    size_t *ret_len);

/* With a configured peer: appends our ID, CERT and AUTH. ERR_UNSUPPORTED: the peer takes no
 * signature that our key can make. */
MUST_USE int ike_prove(struct ike_generation *g, struct ike_builder *b);
/* Chooses among the configured peers by ID, and judges the proof. */
MUST_USE int ike_judge(struct ike_generation *g, const struct ike_message *message,
                       const struct ike_payload *id_payload, const struct ike_auth *auth,
                       struct ike_auth_result *result);

#endif
