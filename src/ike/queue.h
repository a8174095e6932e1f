/* The event queue towards the owner and the queue of notifies towards the peer. */
#ifndef IKE_QUEUE_H
#define IKE_QUEUE_H

#include "ike/state.h"

/* Appends a zeroed event of this type with data_len bytes behind it; NULL without memory. */
struct ike_event *ike_events_add(struct ike_sa *sa, enum ike_event_type type, size_t data_len);
/* Hands a private notify up; dropped when the owner has let too many pile up. */
MUST_USE int ike_events_add_notify(struct ike_sa *sa, const struct ike_notify *notify);
void ike_events_done(struct ike_sa *sa);

/* Takes notifies off the head of the queue, as many as fit one request. */
struct ike_notify_node *ike_notifies_take(struct ike_sa *sa);
/* Puts those of a request that died with its generation back to the head. They may then arrive
 * twice: the peer may have taken the request before it replaced the generation. */
void ike_notifies_put_back(struct ike_sa *sa, struct ike_notify_node *notifies);
/* Frees a list. */
void ike_notifies_free(struct ike_notify_node *notifies);

#endif
