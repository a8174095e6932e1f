/* Proof of identity in IKE_AUTH: what is signed, by whom, and what the peer's proof is worth
 * (RFC 7296, 2.15; RFC 7427 and 8420: Ed25519; RFC 7670: raw public keys). */
#ifndef IKE_AUTH_H
#define IKE_AUTH_H

#include "ike/state.h"

/* Does an IKE_SA_INIT message say that its sender takes Ed25519 signatures (RFC 8420, 2)? */
bool ike_auth_is_possible(const struct ike_message *init);
/* Says it of us. */
void ike_auth_build_hashes(struct ike_builder *b);
/* Appends our ID, CERT and AUTH. */
MUST_USE int ike_auth_build(struct ike_generation *g, struct ike_builder *b);

struct ike_auth_result {
    enum ike_reason reason; /* IKE_REASON_NONE: proven and as expected */
    struct public_key key;
    char id[NAME_TEXT_CAP];
};

/* Judges the peer's ID, CERT and AUTH; error only for failures of our own. */
MUST_USE int ike_auth_check(struct ike_generation *g, const struct ike_message *message,
                            struct ike_auth_result *ret_result);

#endif
