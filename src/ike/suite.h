/* The algorithms of children and the choice among them: what the SA payload says in terms of enum
 * suite, SPUT's and ESP's. The IKE SA's own are in ike/offer.h. */
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
    bool has_ke; /* in the first child's offer there is none (RFC 7296, 1.2) */
    bool no_esp; /* of the suites those of ESP cannot be taken: no mode in common */
    /* To choose from an offer: the group of its KE payload, which is preferred. */
    enum kex_group ke_group;
};

struct ike_choice {
    uint8_t number; /* of the proposal */
    enum suite suite;
    bool has_esn;         /* ESP: extended sequence numbers */
    enum kex_group group; /* KEX_NONE without a key exchange */
    uint32_t spi;         /* of the peer */
};

/* Writes the SA payload with all that the rule takes: a proposal for each run of suites of one
 * protocol and kind (AEADs stand apart from ciphers with an HMAC: RFC 7296, 3.3), all with one SPI.
 */
void ike_rule_offer(const struct ike_rule *rule, struct ike_builder *b, uint32_t spi);
/* Chooses from an offer, the offerer's order deciding; from an answer, which may hold nothing but
 * one choice (is_answer). ERR_NOT_FOUND: nothing fits. */
MUST_USE int ike_rule_choose(const struct ike_rule *rule, const uint8_t *body, size_t len,
                             bool is_answer, struct ike_choice *ret_choice);
/* Writes the SA payload that accepts a choice, with our SPI. */
void ike_rule_answer(const struct ike_rule *rule, struct ike_builder *b,
                     const struct ike_choice *choice, uint32_t spi);

#endif
