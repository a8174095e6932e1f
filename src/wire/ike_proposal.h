/* The SA payload (RFC 7296, 3.3): proposals, their transforms and attributes. */
#ifndef WIRE_IKE_PROPOSAL_H
#define WIRE_IKE_PROPOSAL_H

#include "wire/ike.h"

#define IKE_SPI_LEN_MAX 8

struct ike_transform {
    uint8_t type;
    uint16_t id;
    uint16_t key_bits; /* Key Length attribute; 0: none */
    bool has_unknown;  /* an attribute that we don't know: never choose it */
};

struct ike_proposal {
    uint8_t number;
    uint8_t protocol;
    uint8_t spi_len;
    const uint8_t *spi;
    uint8_t transform_count;
    struct reader transforms; /* for ike_transform_next() */
};

/* Reads one proposal as it stands in the payload, whatever its number; IKEv1's too. is_last:
 * whether the one before said that it was the last; set anew. ERR_NOT_FOUND at the end,
 * ERR_INVALID. */
MUST_USE int ike_proposal_read(struct reader *r, bool *is_last, struct ike_proposal *ret_proposal);

/* Walks proposals: start with a reader over the payload's body. ERR_OK with the next one,
 * ERR_NOT_FOUND at the end. A bad order of numbers, "last" marks or lengths is ERR_INVALID. */
struct ike_proposals {
    struct reader reader;
    uint8_t number; /* of the one before */
    bool is_last;
};

void ike_proposals_init(struct ike_proposals *proposals, const uint8_t *body, size_t len);
MUST_USE int ike_proposals_next(struct ike_proposals *proposals, struct ike_proposal *ret_proposal);
/* Likewise for the transforms of one (on a copy, to walk them again). */
MUST_USE int ike_transform_next(struct ike_proposal *proposal, struct ike_transform *ret_transform);
/* Is the whole payload well-formed, to the last attribute? Then the walks above cannot fail. */
MUST_USE int ike_proposals_check(const uint8_t *body, size_t len);

/* Starts the SA payload. */
void ike_build_sa(struct ike_builder *b);
/* Appends one proposal to it. */
void ike_build_proposal(struct ike_builder *b, bool is_last, uint8_t number, uint8_t protocol,
                        const void *spi, uint8_t spi_len, const struct ike_transform *transforms,
                        uint8_t count);

#endif
