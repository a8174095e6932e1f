/* MOBIKE (RFC 4555), made symmetric by a private notify: an SA's path moves when an authentic
 * message has come from another endpoint and a random COOKIE2 sent there has come back from there.
 * The old path stays in use until then. */
#ifndef IKE_MOBILITY_H
#define IKE_MOBILITY_H

#include "ike/state.h"

/* Says in IKE_AUTH that we do MOBIKE, and that either side may move. Nothing over TCP. */
void ike_mobility_offer(struct ike_sa *sa, struct ike_builder *b);
/* Takes what the peer's IKE_AUTH message says of it. */
void ike_mobility_read(struct ike_sa *sa, const struct ike_message *message);
/* A fresh message of the authenticated peer came from this endpoint: another one than the path's
 * is to be challenged. Call once the message has been acted on. */
void ike_mobility_heard(struct ike_sa *sa, const struct endpoint *remote, bool is_request,
                        uint64_t now_us);
/* The last request of the peer has come once more, from here: that one of the two may be a copy, so
 * that this endpoint is challenged if the candidate fails. */
void ike_mobility_repeated(struct ike_sa *sa, const struct endpoint *remote);
/* Is a move of ours under way? Then repeats are not put off further each time. */
bool ike_mobility_is_urgent(const struct ike_sa *sa);
/* When an endpoint is to be challenged for which the rate of challenges had no room yet. */
uint64_t ike_mobility_spare_due(const struct ike_sa *sa);
/* Does so, if that is due. */
void ike_mobility_take_spare(struct ike_sa *sa, uint64_t now_us);
/* A move of ours has had its time. */
MUST_USE int ike_mobility_expire(struct ike_sa *sa, uint64_t now_us);
/* Appends what a request of ours says of paths: COOKIE2 always, UPDATE_SA_ADDRESSES where our own
 * addresses have changed, or we move. */
MUST_USE int ike_mobility_ask(struct ike_generation *g, struct ike_builder *b);
/* Appends what the answer to a peer's request has to say of them. */
void ike_mobility_answer(struct ike_generation *g, const struct ike_message *message,
                         const struct endpoint *remote, struct ike_builder *b);
/* The answer to such a request has come from this endpoint: moves the path if that is the one which
 * was challenged, and its cookie is right. */
MUST_USE int ike_mobility_finish(struct ike_sa *sa, const struct ike_request *request,
                                 const struct ike_message *message, const struct endpoint *remote,
                                 uint64_t now_us);
/* Where the outstanding request goes to this time. */
const struct endpoint *ike_mobility_next(struct ike_sa *sa, struct ike_request *request,
                                         uint64_t now_us);

#endif
