/* IKEv1's SA payload (RFC 2408, 3.4 to 3.6; RFC 2407, 4.6.1): proposals, transforms, attributes. An
 * acceptance repeats the chosen transform as it came, so transforms keep their bytes. */
#ifndef WIRE_ISAKMP_SA_H
#define WIRE_ISAKMP_SA_H

#include "wire/ike_proposal.h"
#include "wire/isakmp.h"

#define ISAKMP_SPI_LEN_MAX 16 /* RFC 2408, 3.5 */

enum isakmp_transform_id {
    ISAKMP_TRANSFORM_KEY_IKE = 1, /* of phase 1 */
    ISAKMP_ESP_AES_CBC = 12,      /* RFC 3602 */
    ISAKMP_ESP_AES_CTR = 13,      /* RFC 3686 */
    ISAKMP_ESP_AES_GCM_16 = 20,   /* RFC 4106 */
};

/* Of phase 1 (RFC 2409, appendix A). */
enum isakmp_phase1_attribute {
    ISAKMP_P1_CIPHER = 1,
    ISAKMP_P1_HASH = 2,
    ISAKMP_P1_AUTH = 3,
    ISAKMP_P1_GROUP = 4,
    ISAKMP_P1_LIFE_TYPE = 11,
    ISAKMP_P1_LIFE = 12,
    ISAKMP_P1_KEY_LENGTH = 14,
};

/* Of phase 2 (RFC 2407, 4.5). */
enum isakmp_phase2_attribute {
    ISAKMP_P2_LIFE_TYPE = 1,
    ISAKMP_P2_LIFE = 2,
    ISAKMP_P2_GROUP = 3,
    ISAKMP_P2_MODE = 4,
    ISAKMP_P2_INTEG = 5,
    ISAKMP_P2_KEY_LENGTH = 6,
};

enum isakmp_value {
    ISAKMP_CIPHER_DES = 1,
    ISAKMP_CIPHER_3DES = 5,
    ISAKMP_CIPHER_AES_CBC = 7,
    ISAKMP_HASH_MD5 = 1,
    ISAKMP_HASH_SHA1 = 2,
    ISAKMP_HASH_SHA2_256 = 4,
    ISAKMP_HASH_SHA2_384 = 5,
    ISAKMP_HASH_SHA2_512 = 6,
    ISAKMP_AUTH_PSK = 1,
    ISAKMP_AUTH_DSS = 2,
    ISAKMP_AUTH_RSA = 3,
    ISAKMP_AUTH_ECDSA_256 = 9, /* RFC 4754 */
    ISAKMP_AUTH_ECDSA_384 = 10,
    ISAKMP_AUTH_ECDSA_521 = 11,
    ISAKMP_LIFE_SECONDS = 1,
    ISAKMP_LIFE_KILOBYTES = 2,
    ISAKMP_MODE_TUNNEL = 1,
    ISAKMP_MODE_TRANSPORT = 2,
    ISAKMP_MODE_UDP_TUNNEL = 3, /* RFC 3947, 5.1 */
    ISAKMP_MODE_UDP_TRANSPORT = 4,
    ISAKMP_MODE_UDP_TUNNEL_DRAFT = 61443,
    ISAKMP_MODE_UDP_TRANSPORT_DRAFT = 61444,
    ISAKMP_INTEG_SHA2_256 = 5, /* RFC 4868 */
};

struct isakmp_attribute {
    uint16_t type;
    uint32_t value; /* UINT32_MAX where it is longer than that */
};

struct isakmp_transform {
    uint8_t number;
    uint8_t id;
    struct reader attributes; /* for isakmp_attribute_next() */
    const uint8_t *raw;       /* the attributes */
    size_t raw_len;
};

/* Walks proposals, whose layout is IKEv2's: start with the payload's body. ERR_OK with the next
 * one, ERR_NOT_FOUND at the end, ERR_UNSUPPORTED for another domain of interpretation or situation.
 */
struct isakmp_proposals {
    struct reader reader;
    bool is_last;
};

MUST_USE int isakmp_proposals_init(struct isakmp_proposals *proposals, const uint8_t *body,
                                   size_t len);
MUST_USE int isakmp_proposals_next(struct isakmp_proposals *proposals,
                                   struct ike_proposal *ret_proposal);
MUST_USE int isakmp_transform_next(struct ike_proposal *proposal,
                                   struct isakmp_transform *ret_transform);
MUST_USE int isakmp_attribute_next(struct isakmp_transform *transform,
                                   struct isakmp_attribute *ret_attribute);
/* Is the whole payload well-formed, to the last attribute? Then the walks above cannot fail. */
MUST_USE int isakmp_sa_check(const uint8_t *body, size_t len);

/* Starts the SA payload. */
void isakmp_build_sa(struct ike_builder *b);
/* Starts a proposal in it; its transforms follow, then isakmp_build_proposal_end(). Returns what
 * that one wants. */
MUST_USE size_t isakmp_build_proposal(struct ike_builder *b, bool is_last, uint8_t number,
                                      uint8_t protocol, const void *spi, uint8_t spi_len,
                                      uint8_t transform_count);
void isakmp_build_proposal_end(struct ike_builder *b, size_t proposal_at);
/* Likewise a transform, whose attributes follow. */
MUST_USE size_t isakmp_build_transform(struct ike_builder *b, bool is_last, uint8_t number,
                                       uint8_t id);
void isakmp_build_transform_end(struct ike_builder *b, size_t transform_at);
/* In the short form where the value has 16 bits, else in four bytes. */
void isakmp_build_attribute(struct ike_builder *b, uint16_t type, uint32_t value);

#endif
