/* IKEv1 messages (RFC 2408, RFC 2409, RFC 2407, RFC 3947, RFC 3706): numbers, the chain of
 * payloads, and reading and building each payload. Headers are as IKEv2's but for the version and
 * flags, so ike_header_parse() and the builder of wire/ike.h serve. The SA payload:
 * wire/isakmp_sa.h. What it all means: the engine (ikev1). */
#ifndef WIRE_ISAKMP_H
#define WIRE_ISAKMP_H

#include "base/address.h"
#include "wire/ike.h"
#include "wire/ike_payload.h"

#define ISAKMP_MAJOR_VERSION 1
#define ISAKMP_VENDOR_LEN    16 /* of those that we know */
#define ISAKMP_COOKIES_LEN   16 /* both cookies, as the SPI of an ISAKMP SA */

enum isakmp_exchange {
    ISAKMP_EXCHANGE_MAIN = 2, /* "identity protection" */
    ISAKMP_EXCHANGE_AGGRESSIVE = 4,
    ISAKMP_EXCHANGE_INFORMATIONAL = 5,
    ISAKMP_EXCHANGE_QUICK = 32,
};

#define ISAKMP_FLAG_ENCRYPTED 0x01
#define ISAKMP_FLAG_COMMIT    0x02

enum isakmp_payload_type {
    ISAKMP_PAYLOAD_NONE = 0,
    ISAKMP_PAYLOAD_SA = 1,
    ISAKMP_PAYLOAD_KE = 4,
    ISAKMP_PAYLOAD_ID = 5,
    ISAKMP_PAYLOAD_CERT = 6,
    ISAKMP_PAYLOAD_CERTREQ = 7,
    ISAKMP_PAYLOAD_HASH = 8,
    ISAKMP_PAYLOAD_SIGNATURE = 9,
    ISAKMP_PAYLOAD_NONCE = 10,
    ISAKMP_PAYLOAD_NOTIFY = 11,
    ISAKMP_PAYLOAD_DELETE = 12,
    ISAKMP_PAYLOAD_VENDOR = 13,
    ISAKMP_PAYLOAD_NAT_D = 20, /* RFC 3947, 3.2 */
    ISAKMP_PAYLOAD_NAT_OA = 21,
    ISAKMP_PAYLOAD_NAT_D_DRAFT = 130, /* draft-ietf-ipsec-nat-t-ike-02 and -03 */
    ISAKMP_PAYLOAD_NAT_OA_DRAFT = 131,
};

enum isakmp_protocol {
    ISAKMP_PROTOCOL_ISAKMP = 1,
    ISAKMP_PROTOCOL_AH = 2,
    ISAKMP_PROTOCOL_ESP = 3,
};

enum isakmp_id_type { /* RFC 2407, 4.6.2.1; the single ones have the same numbers in IKEv2 */
                      ISAKMP_ID_IPV4 = 1,
                      ISAKMP_ID_FQDN = 2,
                      ISAKMP_ID_USER_FQDN = 3,
                      ISAKMP_ID_IPV4_SUBNET = 4,
                      ISAKMP_ID_IPV6 = 5,
                      ISAKMP_ID_IPV6_SUBNET = 6,
                      ISAKMP_ID_DER_DN = 9,
                      ISAKMP_ID_KEY_ID = 11,
};

enum isakmp_notify_type {
    ISAKMP_NOTIFY_INVALID_MAJOR_VERSION = 5,
    ISAKMP_NOTIFY_INVALID_EXCHANGE_TYPE = 7,
    ISAKMP_NOTIFY_NO_PROPOSAL_CHOSEN = 14,
    ISAKMP_NOTIFY_PAYLOAD_MALFORMED = 16,
    ISAKMP_NOTIFY_INVALID_KEY_INFORMATION = 17,
    ISAKMP_NOTIFY_INVALID_ID_INFORMATION = 18,
    ISAKMP_NOTIFY_INVALID_HASH_INFORMATION = 23,
    ISAKMP_NOTIFY_AUTHENTICATION_FAILED = 24,
    ISAKMP_NOTIFY_INVALID_SIGNATURE = 25,
    ISAKMP_NOTIFY_UNSUPPORTED_EXCHANGE_TYPE = 29,
    ISAKMP_NOTIFY_ERROR_MAX = 16383,
    ISAKMP_NOTIFY_INITIAL_CONTACT = 24578, /* RFC 2407, 4.6.3.3 */
    ISAKMP_NOTIFY_R_U_THERE = 36136,       /* RFC 3706, 6 */
    ISAKMP_NOTIFY_R_U_THERE_ACK = 36137,
};

/* The RFC's name of a notify type, NULL where unknown. */
const char *isakmp_notify_name(uint16_t type);

/* Which NAT traversal a peer speaks, the better the greater. */
enum isakmp_natt { ISAKMP_NATT_NONE, ISAKMP_NATT_DRAFT, ISAKMP_NATT_RFC };

/* Vendor IDs that mean something to us. */
enum isakmp_vendor {
    ISAKMP_VENDOR_UNKNOWN,
    ISAKMP_VENDOR_NATT_RFC,      /* RFC 3947, 3.1 */
    ISAKMP_VENDOR_NATT_DRAFT_03, /* draft-ietf-ipsec-nat-t-ike-03 */
    ISAKMP_VENDOR_NATT_DRAFT_02, /* -02, hashed with the line feed that its text was printed with */
    ISAKMP_VENDOR_NATT_DRAFT_02N, /* -02, hashed without it */
    ISAKMP_VENDOR_DPD,            /* RFC 3706, 5.1 */
};
#define ISAKMP_VENDOR_COUNT 6

enum isakmp_vendor isakmp_vendor_find(const uint8_t *body, size_t len);
/* Appends a vendor ID payload; not of ISAKMP_VENDOR_UNKNOWN. */
void isakmp_build_vendor(struct ike_builder *b, enum isakmp_vendor vendor);

/* One payload of a chain. */
/* Walks the payloads behind the header. In an encrypted message what follows the last one is
 * padding (RFC 2409, appendix B); isakmp_chain_end() tells where. */
struct isakmp_chain {
    struct reader reader;
    uint8_t next;
    uint8_t count;
};

void isakmp_chain_init(struct isakmp_chain *chain, uint8_t first, const uint8_t *data, size_t len);
/* ERR_OK with the next payload; ERR_NOT_FOUND behind the last one; ERR_TRUNCATED, ERR_INVALID, or
 * ERR_LIMIT beyond IKE_PAYLOADS_MAX. */
MUST_USE int isakmp_chain_next(struct isakmp_chain *chain, struct ike_payload *ret_payload);
/* Bytes of the payloads walked so far. */
static inline size_t isakmp_chain_end(const struct isakmp_chain *chain)
{
    return reader_offset(&chain->reader);
}

/* Starts a payload in a message begun with ike_build_begin(). */
void isakmp_build_payload(struct ike_builder *b, enum isakmp_payload_type type);

/* Identification (RFC 2407, 4.6.2). */
struct isakmp_id {
    uint8_t type;
    uint8_t protocol; /* 0: any */
    uint16_t port;    /* 0: any */
    const uint8_t *data;
    size_t len;
};

MUST_USE int isakmp_id_parse(const uint8_t *body, size_t len, struct isakmp_id *ret_id);
void isakmp_build_id(struct ike_builder *b, const struct isakmp_id *id);
/* An address, or a subnet with a proper mask, as a prefix; ERR_UNSUPPORTED for other types,
 * ERR_INVALID for wrong lengths, masks with holes, or host bits that are set. */
MUST_USE int isakmp_id_prefix(const struct isakmp_id *id, struct prefix *ret_prefix);
/* The address where prefix is one, else the subnet. */
void isakmp_build_id_prefix(struct ike_builder *b, const struct prefix *prefix, uint8_t protocol,
                            uint16_t port);

/* CERT (RFC 2408, 3.9) and CERTREQ (3.10): a byte for the encoding (the numbers of enum
 * ike_cert_encoding) before the certificate, or before the name of who is to have issued it; read
 * by ike_cert_parse(). type: ISAKMP_PAYLOAD_CERT or ISAKMP_PAYLOAD_CERTREQ. */
void isakmp_build_cert(struct ike_builder *b, enum isakmp_payload_type type, uint8_t encoding,
                       const void *data, size_t len);

/* NAT-OA (RFC 3947, 5.2): the layout of an ID with an address. */
void isakmp_build_nat_oa(struct ike_builder *b, enum isakmp_natt natt, const struct address *a);

/* Notification (RFC 2408, 3.14): IKEv2's behind a domain of interpretation.
 * ERR_UNSUPPORTED for another domain of interpretation than IPsec's, or ISAKMP's own (0). */
MUST_USE int isakmp_notify_parse(const uint8_t *body, size_t len, struct ike_notify *ret_notify);
void isakmp_build_notify(struct ike_builder *b, const struct ike_notify *notify);

/* Delete (RFC 2408, 3.15): count SPIs of spi_len bytes each. */
struct isakmp_delete {
    uint8_t protocol;
    uint8_t spi_len;
    uint16_t count;
    const uint8_t *spis;
};

MUST_USE int isakmp_delete_parse(const uint8_t *body, size_t len, struct isakmp_delete *ret_delete);
/* One SPI. */
void isakmp_build_delete(struct ike_builder *b, uint8_t protocol, const void *spi, uint8_t spi_len);

#endif
