/* Birth and end of an SA as a whole. */
#ifndef IKE_LIFE_H
#define IKE_LIFE_H

#include "ike/state.h"

/* An SA without generations, in the table. ERR_LIMIT when the table is full. */
MUST_USE int ike_sa_new(struct ike_table *table, struct ike_profile *profile,
                        const struct endpoint *remote, bool is_initiator, uint64_t now_us,
                        struct ike_sa **ret_sa);
/* It is in no struct ike_sa_list any more. */
void ike_sa_leave_list(struct ike_sa *sa);
/* Ends it at once; notify: the peer's error notify behind it, or 0. The first reason stays. */
void ike_sa_fail(struct ike_sa *sa, enum ike_reason reason, uint16_t notify);
/* Ends it with a DELETE where it is established, else at once. */
void ike_sa_part(struct ike_sa *sa, enum ike_reason reason, uint64_t now_us);
struct ike_auth_result;
/* The peer is authentic: remembers who it is, goes on with its profile, tells the owner, drops the
 * rivals of this generation. */
MUST_USE int ike_sa_establish(struct ike_generation *g, const struct ike_auth_result *peer,
                              bool is_initial_contact, uint64_t now_us);
/* Makes a generation the current one, with its lifetimes. */
void ike_sa_adopt(struct ike_sa *sa, struct ike_generation *g, uint64_t now_us);
/* Frees generations that are gone. Call when nothing refers to them any more. */
void ike_sa_sweep(struct ike_sa *sa);

#endif
