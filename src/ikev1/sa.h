/* One IKEv1 security association with one peer, for its owner: a phase 1 (and, while it is renewed,
 * two of them) and the children made under it. The pointer stays valid across renewals, from
 * creation to ikev1_sa_free().
 *
 * Driving: after every call that may change something (receive, expire, and those below) call
 * ikev1_table_transmit() until ERR_AGAIN, ikev1_table_next_event() until IKEV1_EVENT_NONE, and set
 * the timer by ikev1_table_deadline(). After IKEV1_EVENT_CLOSED free the SA. */
#ifndef IKEV1_SA_H
#define IKEV1_SA_H

#include "base/deadline.h"
#include "ikev1/event.h"

struct ikev1_table;
struct ikev1_sa;

enum ikev1_state { IKEV1_STATE_CONNECTING, IKEV1_STATE_ESTABLISHED, IKEV1_STATE_CLOSED };

/* Begins Main Mode; Quick Mode for the profile's child follows by itself. ERR_LIMIT: the table is
 * full. */
MUST_USE int ikev1_sa_initiate(struct ikev1_table *table, struct ikev1_profile *profile,
                               const struct endpoint *remote, uint64_t now_us,
                               struct ikev1_sa **ret_sa);
/* Tells the peer nothing (close first for that). Wipes. NULL is fine. */
void ikev1_sa_free(struct ikev1_sa *sa);

/* Deletes the children and phase 1, which the peer is told once (IKEv1 has no answer to that);
 * CLOSED follows at once. */
void ikev1_sa_close(struct ikev1_sa *sa, uint64_t now_us);
/* Asks for a child: another one in place of the live one, or the first. ERR_STATE: not established,
 * or being asked for already. */
MUST_USE int ikev1_sa_rekey_child(struct ikev1_sa *sa, uint64_t now_us);
/* Renews phase 1. ERR_STATE: not established, or under way. */
MUST_USE int ikev1_sa_rekey(struct ikev1_sa *sa, uint64_t now_us);
/* Deletes all children; phase 1 stays. */
void ikev1_sa_close_children(struct ikev1_sa *sa, uint64_t now_us);
/* Asks now whether the peer lives (RFC 3706), where it can be asked. Silence ends in CLOSED, reason
 * TIMEOUT. */
void ikev1_sa_check_alive(struct ikev1_sa *sa, uint64_t now_us);
/* Is an answer to that awaited? */
bool ikev1_sa_is_asking(const struct ikev1_sa *sa);
/* Something authentic came from the peer by other means, say ESP: it lives. */
void ikev1_sa_heard(struct ikev1_sa *sa, uint64_t now_us);

void ikev1_sa_set_user(struct ikev1_sa *sa, void *user);
void *ikev1_sa_user(const struct ikev1_sa *sa);
enum ikev1_state ikev1_sa_state(const struct ikev1_sa *sa);
bool ikev1_sa_is_initiator(const struct ikev1_sa *sa);
struct ikev1_profile *ikev1_sa_profile(const struct ikev1_sa *sa);
/* Type 0 until it is authenticated. */
const struct ikev1_id *ikev1_sa_peer_id(const struct ikev1_sa *sa);
const struct endpoint *ikev1_sa_remote(const struct ikev1_sa *sa);
/* The child to send with; 0 and SUITE_NONE if none. */
uint32_t ikev1_sa_child(const struct ikev1_sa *sa);
enum suite ikev1_sa_suite(const struct ikev1_sa *sa);
/* What protects phase 1; key_len 0 before. */
struct ikev1_proposal ikev1_sa_proposal(const struct ikev1_sa *sa);
/* When the last authentic message arrived; 0 if none did. */
uint64_t ikev1_sa_heard_us(const struct ikev1_sa *sa);
/* What NAT detection found (RFC 3947, 3.2). */
bool ikev1_sa_is_nat_here(const struct ikev1_sa *sa);
bool ikev1_sa_is_nat_there(const struct ikev1_sa *sa);
enum isakmp_natt ikev1_sa_natt(const struct ikev1_sa *sa);
/* The cookies of the present phase 1, for logs. */
void ikev1_sa_cookies(const struct ikev1_sa *sa, uint64_t *ret_initiator, uint64_t *ret_responder);

#endif
