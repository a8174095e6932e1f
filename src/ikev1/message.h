/* IKEv1 messages as wholes: taking apart what has come, opening what is encrypted, and building,
 * proving (HASH) and sealing what goes out. What may be in which message: main_mode.c, quick.c,
 * informational.c. */
#ifndef IKEV1_MESSAGE_H
#define IKEV1_MESSAGE_H

#include "ikev1/state.h"

/* The payloads of one message; those of other types are found by walking it. */
struct ikev1_message {
    uint8_t first;
    const uint8_t *data; /* the payloads, without padding */
    size_t len;
    struct ike_payload sa, ke, hash, signature, nonce;
    struct ike_payload id[2];
    unsigned id_count;
};

/* data: behind the header. Padding is taken off where is_padded, else an error. ERR_INVALID where
 * something that may come once comes twice. */
MUST_USE int ikev1_message_parse(struct ikev1_message *message, uint8_t first, const uint8_t *data,
                                 size_t len, bool is_padded);
static inline void ikev1_message_walk(const struct ikev1_message *message,
                                      struct isakmp_chain *ret_chain)
{
    isakmp_chain_init(ret_chain, message->first, message->data, message->len);
}
/* What follows the HASH payload, which has to be the first; ERR_INVALID if it is not. */
MUST_USE int ikev1_message_hashed(const struct ikev1_message *message, struct piece *ret_rest);

/* A decrypted message. */
struct ikev1_opened {
    struct ikev1_message message;
    uint8_t last_block[CBC_BLOCK_LEN]; /* the next IV of this exchange */
    uint8_t bytes[IKEV1_MESSAGE_CAP];
};

/* Decrypts a copy. Nothing says yet that it is authentic; what a wrong key makes of it is mostly,
 * but not always, ERR_INVALID or ERR_TRUNCATED. */
MUST_USE int ikev1_message_open(const struct ikev1_keys *keys, const uint8_t iv[CBC_BLOCK_LEN],
                                const struct ike_header *header, const uint8_t *bytes, size_t len,
                                struct ikev1_opened *ret_opened);

/* A message being built. */
struct ikev1_draft {
    struct writer w;
    struct ike_builder b;
    size_t hash_at; /* body of the HASH payload */
    size_t hash_len;
    uint8_t bytes[IKEV1_MESSAGE_CAP];
};

void ikev1_draft_begin(struct ikev1_draft *draft, const struct ikev1_phase *phase,
                       enum isakmp_exchange exchange, uint32_t message_id);
/* Starts the HASH payload of a message that is proven by it, to be filled in at the end. */
void ikev1_draft_hash(struct ikev1_draft *draft, const struct ikev1_keys *keys);
/* Ends a message in the clear. */
MUST_USE int ikev1_draft_end(struct ikev1_draft *draft);
/* Ends it and encrypts it; iv becomes its last block. */
MUST_USE int ikev1_draft_seal(struct ikev1_draft *draft, const struct ikev1_keys *keys,
                              uint8_t iv[CBC_BLOCK_LEN]);
/* Fills in HASH(1), HASH(2) or that of an Informational, over `before` and all payloads behind it,
 * ends and encrypts. */
MUST_USE int ikev1_draft_prove(struct ikev1_draft *draft, const struct ikev1_keys *keys,
                               uint32_t message_id, const void *before, size_t before_len,
                               uint8_t iv[CBC_BLOCK_LEN]);

#endif
