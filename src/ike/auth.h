/* Proof of identity in IKE_AUTH: what is signed, by whom, and what the peer's proof is worth
 * (RFC 7296, 2.15; RFC 7427 and 8420: Ed25519; RFC 7670: raw public keys). */
#ifndef IKE_AUTH_H
#define IKE_AUTH_H

#include "ike/state.h"

/* Can the sender of this IKE_SA_INIT message be one that we authenticate with? Detec hosts take
 * Ed25519 signatures, and say so (RFC 8420, 2). */
bool ike_auth_is_possible(const struct ike_config *config, const struct ike_message *init);
/* Says so of us; configured peers may use other hashes too. */
void ike_auth_build_hashes(const struct ike_config *config, struct ike_builder *b);
/* Appends the CERTREQ payloads that say what proofs we take (RFC 7296, 3.7). */
void ike_auth_build_requests(const struct ike_config *config, struct ike_builder *b);
/* Takes what an IKE_SA_INIT or IKE_AUTH message of the peer says of what it takes. */
void ike_auth_read_wishes(struct ike_handshake *handshake, const struct ike_message *message);
/* Appends our ID, CERT and AUTH. ERR_UNSUPPORTED: the peer takes nothing that we can make. */
MUST_USE int ike_auth_build(struct ike_generation *g, struct ike_builder *b);

struct ike_auth_result {
    enum ike_reason reason;             /* IKE_REASON_NONE: proven and as expected */
    const struct ike_peer_entry *entry; /* the configured peer that it is; NULL: see the key */
    struct public_key key;
    char id[NAME_TEXT_CAP];
};

/* Judges the peer's ID, CERT and AUTH; error only for failures of our own. */
MUST_USE int ike_auth_check(struct ike_generation *g, const struct ike_message *message,
                            struct ike_auth_result *ret_result);

#endif
