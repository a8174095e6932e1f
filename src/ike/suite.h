/* The algorithms that can be negotiated for children, and the choice among them: what the SA
 * payload says in terms of enum suite. The IKE SA's own are in ike/offer.h. */
#ifndef IKE_SUITE_H
#define IKE_SUITE_H

#include "crypto/aead.h"
#include "ike/config.h"
#include "wire/ike_proposal.h"

/* Bytes of salt behind an AEAD key (RFC 5282, 4; RFC 7634, 2). */
#define IKE_SALT_LEN 4
/* Explicit IV in an SK payload. */
#define IKE_IV_LEN 8

/* 0 for IKE_CIPHER_NONE: of one direction, with an AEAD's salt. */
size_t ike_cipher_key_len(enum ike_cipher cipher);
bool ike_cipher_is_aead(enum ike_cipher cipher);
/* ERR_UNSUPPORTED for what is no AEAD. */
MUST_USE int ike_cipher_algorithm(enum ike_cipher cipher, enum aead_algorithm *ret_algorithm);

/* What one side of a negotiation takes: a child, with or without a key exchange. */
struct ike_rule {
    const struct ike_config *config;
    uint8_t protocol; /* IKE_PROTOCOL_SPUT */
    uint8_t spi_len;
    bool has_ke; /* in the first child's offer there is none (RFC 7296, 1.2) */
    /* To choose from an offer: the group of its KE payload, which is preferred. */
    enum kex_group ke_group;
};

struct ike_choice {
    uint8_t number;       /* of the proposal */
    uint16_t value;       /* enum suite */
    enum kex_group group; /* KEX_NONE without a key exchange */
    uint8_t spi[IKE_SPI_LEN_MAX];
};

/* Writes the SA payload with all that the rule takes. */
void ike_rule_offer(const struct ike_rule *rule, struct ike_builder *b, const uint8_t *spi);
/* Chooses from an offer, the offerer's order deciding; from an answer, which may hold nothing but
 * one choice (is_answer). ERR_NOT_FOUND: nothing fits. */
MUST_USE int ike_rule_choose(const struct ike_rule *rule, const uint8_t *body, size_t len,
                             bool is_answer, struct ike_choice *ret_choice);
/* Writes the SA payload that accepts a choice, with our SPI. */
void ike_rule_answer(const struct ike_rule *rule, struct ike_builder *b,
                     const struct ike_choice *choice, const uint8_t *spi);

#endif
