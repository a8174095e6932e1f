/* The negotiation of the IKE SA itself: what its SA payload says in terms of struct ike_algorithms.
 * Children have their own (ike/suite.h). */
#ifndef IKE_OFFER_H
#define IKE_OFFER_H

#include "ike/keys.h"
#include "wire/ike_message.h"

struct ike_offer_choice {
    uint8_t number; /* of the proposal */
    struct ike_algorithms algorithms;
    uint8_t spi[IKE_SPI_LEN_MAX];
};

/* Writes the SA payload with all that the configuration takes: AEADs in one proposal, ciphers with
 * an HMAC in another (RFC 7296, 3.3). spi: of 8 bytes in a rekey, else NULL. */
void ike_offer_build(const struct ike_config *config, struct ike_builder *b, const uint8_t *spi);
/* Chooses from the peer's offer, its order deciding, but for the group: that of its KE payload
 * (KEX_NONE: none) where it may be, as that saves a round trip. ERR_NOT_FOUND: nothing fits. */
MUST_USE int ike_offer_choose(const struct ike_config *config, const struct ike_payload *sa,
                              uint8_t spi_len, enum kex_group ke_group,
                              struct ike_offer_choice *ret_choice);
/* Reads the answer to ike_offer_build(), which holds one choice. ERR_NOT_FOUND: not one of ours. */
MUST_USE int ike_offer_read(const struct ike_config *config, const struct ike_payload *sa,
                            uint8_t spi_len, struct ike_offer_choice *ret_choice);
/* Writes the SA payload that accepts a choice. */
void ike_offer_answer(struct ike_builder *b, const struct ike_offer_choice *choice,
                      const uint8_t *spi);

/* Is this group one of the configuration's? */
bool ike_offer_has_group(const struct ike_config *config, unsigned int group);
/* The group of a KE payload; KEX_NONE without one, or where it is unknown. */
enum kex_group ike_offer_ke_group(const struct ike_message *message);

#endif
