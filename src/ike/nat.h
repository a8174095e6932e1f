/* NAT detection in IKE_SA_INIT (RFC 7296, 2.23). */
#ifndef IKE_NAT_H
#define IKE_NAT_H

#include "ike/state.h"

/* Appends both notifies, for a message to this endpoint; an unknown own address makes the peer see
 * a NAT before us: the safe side.
 */
void ike_nat_build(const struct ike_sa *sa, struct ike_builder *b, uint64_t spi_i, uint64_t spi_r,
                   const struct endpoint *remote);
/* As the initiator, once IKE_SA_INIT has been answered: goes on with the peer's port for NATs,
 * where the configuration has one and there is reason to. */
void ike_nat_float(struct ike_sa *sa, const struct ike_message *message);
/* Compares the peer's notifies with the addresses that the message really carried. */
void ike_nat_check(struct ike_sa *sa, const struct ike_message *message, uint64_t spi_i,
                   uint64_t spi_r, const struct endpoint *remote);

#endif
