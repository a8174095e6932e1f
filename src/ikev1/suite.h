/* What SA payloads say, in terms of struct ikev1_proposal and enum suite: offering, choosing, and
 * saying in words what was not chosen. */
#ifndef IKEV1_SUITE_H
#define IKEV1_SUITE_H

#include "ikev1/config.h"
#include "wire/isakmp_sa.h"

/* The transform chosen, as it came: an acceptance repeats it (RFC 2408, 4.2). Borrows from the
 * payload. */
struct ikev1_choice {
    uint8_t number; /* of the proposal */
    struct isakmp_transform transform;
    uint64_t life_us;               /* the shortest that it says; DEADLINE_NEVER: none */
    struct ikev1_proposal proposal; /* phase 1 */
    enum suite suite;               /* phase 2, like those below */
    enum kex_group group;
    uint32_t spi;
};

/* Writes the SA payload with all that the config takes. */
void ikev1_suite_offer_phase1(const struct ikev1_config *config, struct ike_builder *b);
void ikev1_suite_offer_phase2(const struct ikev1_config *config, enum isakmp_natt natt,
                              enum kex_group group, uint32_t spi, struct ike_builder *b);
/* The first transform of the offer that the config takes; is_answer: there is only one. body must
 * have passed isakmp_sa_check(). ERR_NOT_FOUND: none. */
MUST_USE int ikev1_suite_choose_phase1(const struct ikev1_config *config, const uint8_t *body,
                                       size_t len, bool is_answer, struct ikev1_choice *ret_choice);
MUST_USE int ikev1_suite_choose_phase2(const struct ikev1_config *config, const uint8_t *body,
                                       size_t len, bool is_answer, struct ikev1_choice *ret_choice);
/* Writes the SA payload that accepts it. */
void ikev1_suite_answer_phase1(const struct ikev1_choice *choice, struct ike_builder *b);
void ikev1_suite_answer_phase2(const struct ikev1_choice *choice, uint32_t spi,
                               struct ike_builder *b);

/* The transforms of an offer for people: "3DES-CBC, SHA-1, group 2, pre-shared key; …", cut where
 * there is no room. body must have passed isakmp_sa_check(). */
void ikev1_suite_describe_phase1(const uint8_t *body, size_t len, char *text, size_t cap);
void ikev1_suite_describe_phase2(const uint8_t *body, size_t len, char *text, size_t cap);

/* Is it a group, a suite that this engine does? */
bool ikev1_group_is_known(enum kex_group group);
bool ikev1_suite_is_known(enum suite suite);

#endif
