/* What both sides of Main Mode share (RFC 2409, 5): the exchange of keys and nonces, proofs, and
 * what follows once both are proven. */
#ifndef IKEV1_MAIN_MODE_H
#define IKEV1_MAIN_MODE_H

#include "ikev1/message.h"
#include "ikev1/nat.h"
#include "ikev1/suite.h"

/* Body of an ID payload: type, protocol, port, identity. */
#define IKEV1_ID_BODY_CAP (4 + IKEV1_ID_CAP)

/* Appends KE, nonce and NAT-D: messages 3 and 4. Draws key and nonce. */
MUST_USE int ikev1_main_build_keys(struct ikev1_phase *phase, struct ikev1_draft *draft);
/* Reads them; the secret is known then. Only the initiator has drawn its own before. */
MUST_USE int ikev1_main_read_keys(struct ikev1_phase *phase, const struct ikev1_message *message,
                                  const struct endpoint *remote);
MUST_USE int ikev1_main_compute_secret(struct ikev1_phase *phase);
/* SKEYID and all that, with this profile's key; then the first IV. */
MUST_USE int ikev1_main_derive(struct ikev1_phase *phase, const struct ikev1_config *config,
                               struct ikev1_keys *ret_keys);
MUST_USE int ikev1_main_first_iv(struct ikev1_phase *phase, uint8_t ret_iv[CBC_BLOCK_LEN]);
/* Appends our ID, its proof, and what else there is to say: messages 5 and 6; seals. */
MUST_USE int ikev1_main_build_proof(struct ikev1_phase *phase, const struct ikev1_config *config,
                                    struct ikev1_draft *draft);
/* Is what was opened a proof, of a known identity? ERR_AUTH: no, *ret_why says so in words;
 * ERR_REFUSED: of another identity, which ret_id then is. */
MUST_USE int ikev1_main_check_proof(const struct ikev1_phase *phase, const struct ikev1_keys *keys,
                                    const struct ikev1_config *config,
                                    const struct ikev1_message *message, struct ikev1_id *ret_id,
                                    const char **ret_why);
/* Whether the time of looking at this proof may be spent. */
bool ikev1_main_may_check(struct ikev1_phase *phase, const struct ikev1_message *message,
                          uint64_t now_us);
/* Tells it to the owner, once a handshake. */
void ikev1_main_refuse(struct ikev1_phase *phase, const struct ikev1_id *id, const char *why,
                       const struct endpoint *remote, uint64_t now_us);
bool ikev1_main_has_initial_contact(const struct ikev1_message *message);

/* Both are proven: the phase, whose SA is set, becomes that SA's present one. */
void ikev1_main_up(struct ikev1_phase *phase, const struct ikev1_id *peer_id, uint64_t now_us);

MUST_USE int ikev1_digest(const uint8_t *message, size_t len, uint8_t ret_digest[SHA256_LEN]);

MUST_USE int ikev1_main_receive_2(struct ikev1_phase *phase, const struct ikev1_message *message,
                                  const struct ike_header *header, const struct endpoint *remote,
                                  uint64_t now_us);
MUST_USE int ikev1_main_receive_3(struct ikev1_phase *phase, const struct ikev1_message *message,
                                  const struct endpoint *remote, uint64_t now_us);
MUST_USE int ikev1_main_receive_4(struct ikev1_phase *phase, const struct ikev1_message *message,
                                  const struct endpoint *remote, uint64_t now_us);
MUST_USE int ikev1_main_receive_5(struct ikev1_phase *phase, const struct ike_header *header,
                                  const uint8_t *message, size_t len, const struct endpoint *remote,
                                  uint64_t now_us);
MUST_USE int ikev1_main_receive_6(struct ikev1_phase *phase, const struct ike_header *header,
                                  const uint8_t *message, size_t len, const struct endpoint *remote,
                                  uint64_t now_us);

#endif
