/* SAs at rest: without children, silent, kept for a while so that the two hosts meet again by one
 * exchange. What wakes one is a CREATE_CHILD_SA request that rekeys nothing (RFC 7296, 1.3.1). */
#ifndef IKE_REST_H
#define IKE_REST_H

#include "ike/exchange.h"

/* The peer's request for a child, of an SA at rest. */
MUST_USE int ike_wake_answer(struct ike_generation *g, const struct ike_incoming *in,
                             struct ike_builder *b);
MUST_USE int ike_wake_finish(struct ike_generation *g, struct ike_request *request,
                             const struct ike_incoming *in);
/* Nobody has answered our request for so long: it stays, and goes out no more until it is asked for
 * again. */
void ike_wake_park(struct ike_request *request);

#endif
