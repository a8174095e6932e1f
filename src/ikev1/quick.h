/* What both sides of Quick Mode share (RFC 2409, 5.5): selectors as identities, keys, ends. */
#ifndef IKEV1_QUICK_H
#define IKEV1_QUICK_H

#include "ikev1/message.h"
#include "ikev1/nat.h"
#include "ikev1/suite.h"

MUST_USE int ikev1_quick_new(struct ikev1_phase *phase, bool is_initiator, uint32_t message_id,
                             uint64_t now_us, struct ikev1_quick **ret_quick);
struct ikev1_quick *ikev1_quick_find(struct ikev1_phase *phase, uint32_t message_id);
/* What we ask for: tunnel form as configured, transport form between the two ends. */
struct ikev1_selectors ikev1_quick_wish(const struct ikev1_sa *sa);
/* IDci and IDcr. */
void ikev1_quick_build_ids(const struct ikev1_selectors *s, bool is_initiator,
                           struct ike_builder *b);
/* The selectors that a message has, from our side; without any, the two ends'. ERR_INVALID. */
MUST_USE int ikev1_quick_read_ids(const struct ikev1_sa *sa, const struct ikev1_message *message,
                                  bool peer_is_initiator, const struct endpoint *remote,
                                  struct ikev1_selectors *ret_selectors);
/* Does the configuration allow a peer to ask for them? */
bool ikev1_quick_allows(const struct ikev1_config *config, const struct ikev1_selectors *s);
/* Is the message what its HASH payload says? `before` stands in front of the payloads. */
MUST_USE int ikev1_quick_check_hash(const struct ikev1_phase *phase,
                                    const struct ikev1_message *message, uint32_t message_id,
                                    const void *before, size_t before_len);
/* The peer's nonce, and KE where there is to be one. */
MUST_USE int ikev1_quick_check_keys(const struct ikev1_message *message, enum kex_group group);

MUST_USE int ikev1_quick_receive_2(struct ikev1_phase *phase, struct ikev1_quick *quick,
                                   const struct ikev1_opened *opened, const struct endpoint *remote,
                                   uint64_t now_us);
MUST_USE int ikev1_quick_accept(struct ikev1_phase *phase, const struct ike_header *header,
                                const uint8_t *message, size_t len, const struct endpoint *remote,
                                uint64_t now_us);
MUST_USE int ikev1_quick_receive_3(struct ikev1_phase *phase, struct ikev1_quick *quick,
                                   const struct ikev1_opened *opened, uint64_t now_us);

#endif
