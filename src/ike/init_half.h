/* Half-open responders, whichever exchange began them: counted, limited, known by their request. */
#ifndef IKE_INIT_HALF_H
#define IKE_INIT_HALF_H

#include "ike/generation.h"

/* Identical requests of one sender are one (RFC 7296, 2.1): keyed, so equal means identical. */
uint64_t ike_half_open_hash(const struct ike_table *table, const uint8_t *message, size_t len,
                            const struct endpoint *remote);
/* ERR_LIMIT: there are too many, of all or of this address (IPv6: its /64). */
MUST_USE int ike_half_open_check(const struct ike_table *table, const struct endpoint *remote);
/* The generation of a new responder SA, with both nonces and a copy of the request. */
/* Is any of that address's (IPv6: of its /64) half open? */
bool ike_half_open_has(const struct ike_table *table, const struct endpoint *remote);
MUST_USE int ike_half_open_new(struct ike_sa *sa, const struct ike_header *header,
                               const struct ike_payload *nonce, const uint8_t *message, size_t len,
                               struct ike_generation **ret_generation);
/* Counts it, and finds it by its request from now on. */
MUST_USE int ike_half_open_insert(struct ike_generation *g, uint64_t hash);

#endif
