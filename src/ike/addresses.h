/* What plain peers that do MOBIKE tell each other of addresses (RFC 4555, 3.4, 3.5, 3.9): those
 * beside the one in use, and that no NAT may be on the way. Detec hosts have calls for that. */
#ifndef IKE_ADDRESSES_H
#define IKE_ADDRESSES_H

#include "ike/state.h"

/* Appends our other addresses, where there are any: to IKE_AUTH, behind MOBIKE_SUPPORTED. */
void ike_addresses_offer(const struct ike_sa *sa, struct ike_builder *b);
/* The same in an INFORMATIONAL request, where none is said as well. */
void ike_addresses_announce(const struct ike_sa *sa, struct ike_builder *b);
/* Takes what an authentic message says of the peer's: the whole list anew, or nothing. */
void ike_addresses_read(struct ike_sa *sa, const struct ike_message *message);
/* Does the peer forbid a NAT that is there? Then it is told so, and nothing else in its request
 * counts. */
bool ike_addresses_forbid(const struct ike_sa *sa, const struct ike_message *message,
                          const struct endpoint *remote);

#endif
