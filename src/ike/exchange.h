/* The exchanges, one file each: how a request of ours begins, how the peer's is answered, and what
 * our answer came to. Errors returned are failures of our own (memory, crypto) and end the SA;
 * whatever is wrong with the peer is answered or judged inside. */
#ifndef IKE_EXCHANGE_H
#define IKE_EXCHANGE_H

#include "ike/generation.h"

/* A decrypted, well-formed request, and where its answer is being built. */
struct ike_incoming {
    const struct ike_message *message;
    const struct endpoint *remote;
    uint64_t now_us;
};

/* IKE_SA_INIT (ike/init.c, ike/init_accept.c). */
MUST_USE int ike_init_begin(struct ike_sa *sa, uint64_t now_us);
MUST_USE int ike_init_finish(struct ike_generation *g, const struct ike_header *header,
                             const uint8_t *message, size_t len, const struct endpoint *remote,
                             uint64_t now_us);
MUST_USE int ike_init_accept(struct ike_table *table, struct ike_profile *profile,
                             const struct ike_header *header, const uint8_t *message, size_t len,
                             const struct endpoint *remote, uint64_t now_us,
                             struct ike_sa **ret_sa);
/* What INIT messages of both sides hold besides SA: KE, nonce, notifies. */
void ike_init_build_rest(struct ike_sa *sa, struct ike_builder *b,
                         const struct ike_handshake *handshake, uint64_t spi_i, uint64_t spi_r);
/* Derives the generation's keys from its handshake and the peer's public value. */
MUST_USE int ike_init_derive(struct ike_generation *g, const struct ike_algorithms *algorithms,
                             const struct ike_ke *peer);
/* Appends our KE payload. */
void ike_build_own_ke(struct ike_builder *b, const struct kex *kex);
/* A KE payload of this group. 0 or the notify to answer with. */
uint16_t ike_read_ke(const struct ike_message *message, enum kex_group group,
                     struct ike_ke *ret_ke);
/* Says so; INVALID_KE_PAYLOAD with the group that we want instead (1.3). */
void ike_refuse_ke(struct ike_builder *b, uint16_t notify, enum kex_group group);
/* The group that an INVALID_KE_PAYLOAD notify asks for, if it is one of ours; else KEX_NONE. */
enum kex_group ike_wanted_group(const struct ike_config *config, const struct ike_message *message);

/* IKE_AUTH (ike/authenticate.c). */
MUST_USE int ike_authenticate_begin(struct ike_generation *g, uint64_t now_us);
MUST_USE int ike_authenticate_answer(struct ike_generation *g, const struct ike_incoming *in,
                                     struct ike_builder *b);
MUST_USE int ike_authenticate_finish(struct ike_generation *g, struct ike_request *request,
                                     const struct ike_incoming *in);

/* Gives up on an answer to IKE_SA_INIT that does not lead to the peer. Over UDP anybody may have
 * sent it, so the SA ends only if no other answer does better within IKE_GRACE_US. notify: what the
 * peer said, or 0 where it is we who refuse. */
MUST_USE int ike_authenticate_refuse(struct ike_generation *g, enum ike_reason reason,
                                     uint16_t notify, uint64_t now_us);

/* CREATE_CHILD_SA (ike/create_child.c decides which). */
MUST_USE int ike_create_child_answer(struct ike_generation *g, const struct ike_incoming *in,
                                     struct ike_builder *b);
MUST_USE int ike_rekey_child_begin(struct ike_generation *g, struct ike_child *child,
                                   uint64_t now_us);
MUST_USE int ike_rekey_child_answer(struct ike_generation *g, const struct ike_incoming *in,
                                    const struct ike_notify *rekey, struct ike_builder *b);
MUST_USE int ike_rekey_child_finish(struct ike_generation *g, struct ike_request *request,
                                    const struct ike_incoming *in);
MUST_USE int ike_rekey_ike_begin(struct ike_generation *g, uint64_t now_us);
MUST_USE int ike_rekey_ike_answer(struct ike_generation *g, const struct ike_incoming *in,
                                  struct ike_builder *b);
MUST_USE int ike_rekey_ike_finish(struct ike_generation *g, struct ike_request *request,
                                  const struct ike_incoming *in);
/* Shared by both: draws key pair (KEX_NONE: none) and nonce. */
MUST_USE int ike_rekey_new(enum kex_group group, struct ike_rekey **ret_rekey);
/* The group to rekey in. */
enum kex_group ike_rekey_group(const struct ike_generation *g);
/* The peer refuses this rekey for its group: true where another one is to be tried at once. */
bool ike_rekey_regroup(struct ike_generation *g, const struct ike_message *message,
                       const struct ike_rekey *rekey);
/* Notes that the peer rekeyed the same, with these nonces (the lower one counts). */
void ike_rekey_note_rival(struct ike_rekey *rekey, const struct ike_nonces *nonces);
/* Does the peer's exchange stand, and ours fall, because ours has the lowest nonce (2.8.1)? */
bool ike_rekey_loses(const struct ike_rekey *rekey, const uint8_t *peer_nonce, size_t len);

/* INFORMATIONAL (ike/informational.c). */
MUST_USE int ike_informational_answer(struct ike_generation *g, const struct ike_incoming *in,
                                      struct ike_builder *b);
MUST_USE int ike_notify_begin(struct ike_generation *g, uint64_t now_us);
MUST_USE int ike_delete_child_begin(struct ike_generation *g, struct ike_child *child,
                                    uint64_t now_us);
MUST_USE int ike_delete_child_finish(struct ike_generation *g, struct ike_request *request,
                                     const struct ike_incoming *in);
MUST_USE int ike_delete_begin(struct ike_generation *g, uint64_t now_us);
MUST_USE int ike_delete_finish(struct ike_generation *g, struct ike_request *request,
                               const struct ike_incoming *in);
MUST_USE int ike_farewell_begin(struct ike_generation *g, uint64_t now_us);

/* A whole message for one of the SA's generations (ike/inbound.c). */
MUST_USE int ike_inbound_receive(struct ike_generation *g, const struct ike_header *header,
                                 const uint8_t *message, size_t len, const struct endpoint *remote,
                                 uint64_t now_us);
/* Starts what is to be started next on each generation whose window is free (ike/outbound.c). */
MUST_USE int ike_outbound_start(struct ike_sa *sa, uint64_t now_us);

#endif
