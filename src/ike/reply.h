/* Answers to IKE_SA_INIT requests that leave no state behind: queued, bounded, rate-limited. */
#ifndef IKE_REPLY_H
#define IKE_REPLY_H

#include "ike/state.h"

/* Queues a response to the request with this header, holding one notify. Dropped (ERR_LIMIT) when
 * too many wait, or too many errors went out this second. */
MUST_USE int ike_reply_add(struct ike_table *table, const struct ike_header *request,
                           const struct endpoint *remote, uint16_t notify, const void *data,
                           size_t len, uint64_t now_us);
void ike_replies_done(struct ike_table *table);

#endif
