/* NAT traversal (RFC 3947, and drafts 02 and 03): vendor IDs, NAT-D, floating. ESP is always in UDP
 * here: the NAT-D payload of our own address is deliberately wrong, so that the peer sees us behind
 * a NAT, as RFC 3947, 3.2 allows. */
#ifndef IKEV1_NAT_H
#define IKEV1_NAT_H

#include "ikev1/message.h"

/* All that we do, or what both do. */
void ikev1_nat_offer(struct ike_builder *b);
void ikev1_nat_answer(const struct ikev1_phase *phase, struct ike_builder *b);
/* Reads the vendor IDs of message 1 or 2. ERR_UNSUPPORTED: no NAT traversal that we do. */
MUST_USE int ikev1_nat_read_vendors(struct ikev1_phase *phase, const struct ikev1_message *message);
/* NAT-D of the peer's end, then of ours. */
MUST_USE int ikev1_nat_build(const struct ikev1_phase *phase, struct ike_builder *b);
/* Who is behind a NAT? ERR_INVALID where the peer's payloads are missing. */
MUST_USE int ikev1_nat_check(struct ikev1_phase *phase, const struct ikev1_message *message,
                             const struct endpoint *remote);
/* Where message 5 goes: begun on port 500, all goes on over the other one (RFC 3947, 4). */
struct endpoint ikev1_nat_float(const struct ikev1_config *config, const struct endpoint *remote);
/* NAT-OA of both ends, if it is transport form (RFC 3947, 5.2). Drafts have but one's own. */
void ikev1_nat_build_original(const struct ikev1_phase *phase, const struct ikev1_config *config,
                              struct ike_builder *b, bool is_initiator);
/* What the peer's packets carry: from its NAT-OA payloads, else ADDRESS_NONE. */
void ikev1_nat_read_original(const struct ikev1_message *message, bool peer_is_initiator,
                             struct ikev1_addresses *ret_peer);

#endif
