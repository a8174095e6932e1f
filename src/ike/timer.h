/* All deadlines of an SA: when the next is due, and what happens then. */
#ifndef IKE_TIMER_H
#define IKE_TIMER_H

#include "ike/state.h"

/* When an SA made now is to be rekeyed (with jitter, so that ends and many SAs don't coincide) and
 * when it must be gone. lifetime_us 0: never. */
void ike_timer_lifetime(const struct ike_config *config, uint64_t lifetime_us, uint64_t now_us,
                        uint64_t *ret_rekey_us, uint64_t *ret_hard_us);
/* When to try again after TEMPORARY_FAILURE: half to one and a half of the configured time. */
uint64_t ike_timer_retry(const struct ike_config *config, uint64_t now_us);
/* Recomputes the SA's deadline in the table. Call at the end of whatever may have changed it. */
void ike_timer_update(struct ike_sa *sa);

#endif
