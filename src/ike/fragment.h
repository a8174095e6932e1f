/* Messages in fragments (RFC 7383): cutting ours where they are longer than one datagram should be,
 * and putting the peer's together again. Only authentic fragments are kept. */
#ifndef IKE_FRAGMENT_H
#define IKE_FRAGMENT_H

#include "ike/generation.h"

#define IKE_FRAGMENTS_MAX 32 /* of one message */

/* The fragments of one message of the peer's that have come so far. */
struct ike_reassembly {
    uint32_t message_id;
    bool is_response;
    uint8_t first; /* type of the first payload */
    uint16_t total, count;
    size_t len; /* all together */
    uint64_t expires_us;
    uint64_t hash; /* of the first fragment as it came: tells repeated requests */
    struct {
        uint8_t *data;
        size_t len;
    } parts[IKE_FRAGMENTS_MAX];
};

/* Says in IKE_SA_INIT that we take fragments, where the configuration does. */
void ike_fragment_offer(const struct ike_sa *sa, struct ike_builder *b);
/* Takes what the peer's IKE_SA_INIT message says of it. */
void ike_fragment_read(struct ike_generation *g, const struct ike_message *message);

/* Is this message, built and not sealed yet, to go in fragments? */
bool ike_fragment_is_due(const struct ike_generation *g, size_t len);
/* Seals it as fragments, one whole message behind the other: *ret_data, which the caller frees. */
MUST_USE int ike_fragment_seal(struct ike_generation *g, const struct ike_outgoing *out,
                               uint8_t **ret_data, size_t *ret_len);
/* How long the message at the head of data is: for walking what ike_fragment_seal() has made. */
size_t ike_fragment_next_len(const uint8_t *data, size_t len);

/* One fragment, opened in the table's buffer. ERR_AGAIN: kept, others are missing; ERR_OK: all are
 * there, in the table's buffer: the payloads, their first type, and the hash of the first fragment.
 * ERR_AUTH, ERR_INVALID, ERR_LIMIT, ERR_REPLAY: ignored. */
MUST_USE int ike_fragment_take(struct ike_generation *g, const struct ike_header *header,
                               const uint8_t *message, size_t len, uint64_t now_us,
                               uint8_t *ret_first, size_t *ret_len, uint64_t *ret_hash);
/* Wipes and frees. NULL is fine. */
void ike_reassembly_free(struct ike_reassembly *reassembly);

#endif
