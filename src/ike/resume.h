/* IKE_SESSION_RESUME (RFC 5723, 4.3), in place of IKE_SA_INIT where the initiator has a ticket: one
 * round trip without any public-key operation. Over a reliable transport alone. */
#ifndef IKE_RESUME_H
#define IKE_RESUME_H

#include "ike/generation.h"
#include "ike/ticket.h"

/* A handshake that began with a ticket: what both sides know of each other. */
struct ike_resumed {
    struct public_key peer_key;
    char peer_id[NAME_TEXT_CAP];
    uint8_t sk_d[IKE_PRF_LEN]; /* of the SA before; wiped once the new keys exist */
    enum ike_cipher cipher;
    uint64_t expires_s; /* responders: of the ticket */
};

MUST_USE int ike_resume_begin(struct ike_sa *sa, const struct ike_resumption *resumption,
                              uint64_t now_us);
MUST_USE int ike_resume_finish(struct ike_generation *g, const struct ike_header *header,
                               const uint8_t *message, size_t len, uint64_t now_us);
MUST_USE int ike_resume_accept(struct ike_table *table, struct ike_profile *profile,
                               const struct ike_header *header, const uint8_t *message, size_t len,
                               const struct endpoint *remote, uint64_t now_us,
                               struct ike_sa **ret_sa);
/* AUTH = prf(SK_px, octets) (RFC 5723, 5.1), of the initiator or the responder. */
MUST_USE int ike_resume_proof(const struct ike_generation *g, bool is_initiator, const void *octets,
                              size_t len, uint8_t ret_proof[IKE_PRF_LEN]);

/* In IKE_AUTH: asks for a ticket where the profile wants one. */
void ike_resume_ask(struct ike_sa *sa, struct ike_builder *b);
/* … answers that; a ticket that cannot be made is left out. */
void ike_resume_give(struct ike_generation *g, const struct ike_message *request,
                     struct ike_builder *b);
/* … and keeps the answer in the SA. */
void ike_resume_keep(struct ike_generation *g, const struct ike_message *response, uint64_t now_us);

#endif
