/* The bodies of IKEv2 payloads other than SA (RFC 7296, 3.4 to 3.13). Parsers take a body and
 * borrow from it; builders append one whole payload to the message under construction. */
#ifndef WIRE_IKE_PAYLOAD_H
#define WIRE_IKE_PAYLOAD_H

#include "base/address.h"
#include "wire/ike.h"

enum ike_id_type {
    IKE_ID_IPV4_ADDR = 1,
    IKE_ID_FQDN = 2,
    IKE_ID_RFC822_ADDR = 3,
    IKE_ID_IPV6_ADDR = 5,
    IKE_ID_DER_ASN1_DN = 9,
    IKE_ID_KEY_ID = 11,
    IKE_ID_NULL = 13, /* RFC 7619 */
};

enum ike_auth_method {
    IKE_AUTH_SHARED_KEY = 2,
    IKE_AUTH_ECDSA_256 = 9, /* RFC 4754, like the next two */
    IKE_AUTH_ECDSA_384 = 10,
    IKE_AUTH_ECDSA_521 = 11,
    IKE_AUTH_NULL = 13,              /* RFC 7619 */
    IKE_AUTH_DIGITAL_SIGNATURE = 14, /* RFC 7427 */
};

enum ike_hash_algorithm {
    IKE_HASH_SHA2_256 = 2, /* RFC 7427, like the next two */
    IKE_HASH_SHA2_384 = 3,
    IKE_HASH_SHA2_512 = 4,
    IKE_HASH_IDENTITY = 5, /* RFC 8420 */
};

enum ike_cert_encoding {
    IKE_CERT_X509_SIGNATURE = 4,  /* a certificate in DER */
    IKE_CERT_RAW_PUBLIC_KEY = 15, /* SubjectPublicKeyInfo (RFC 7670) */
};

struct ike_ke {
    uint16_t group;
    const uint8_t *data;
    size_t len;
};

struct ike_id {
    uint8_t type;
    const uint8_t *data;
    size_t len;
};

struct ike_cert { /* CERT, and CERTREQ likewise */
    uint8_t encoding;
    const uint8_t *data;
    size_t len;
};

struct ike_auth {
    uint8_t method;
    const uint8_t *data;
    size_t len;
};

struct ike_notify {
    uint8_t protocol;
    uint16_t type;
    const uint8_t *spi;
    size_t spi_len;
    const uint8_t *data;
    size_t len;
};

struct ike_delete {
    uint8_t protocol;
    uint8_t spi_len; /* 0 for the IKE SA */
    uint16_t count;
    const uint8_t *spis; /* count times spi_len bytes */
};

/* One address range of a traffic selector; port and protocol 0..65535 and 0 mean any. */
struct ike_selector {
    uint8_t protocol;
    uint16_t port_first, port_last;
    struct address first, last;
};

/* All: ERR_TRUNCATED or ERR_INVALID for a malformed body. */
MUST_USE int ike_ke_parse(const uint8_t *body, size_t len, struct ike_ke *ret_ke);
MUST_USE int ike_id_parse(const uint8_t *body, size_t len, struct ike_id *ret_id);
MUST_USE int ike_cert_parse(const uint8_t *body, size_t len, struct ike_cert *ret_cert);
MUST_USE int ike_auth_parse(const uint8_t *body, size_t len, struct ike_auth *ret_auth);
MUST_USE int ike_notify_parse(const uint8_t *body, size_t len, struct ike_notify *ret_notify);
MUST_USE int ike_delete_parse(const uint8_t *body, size_t len, struct ike_delete *ret_delete);
/* The first cap selectors of known types; all are checked. */
MUST_USE int ike_ts_parse(const uint8_t *body, size_t len, struct ike_selector *ret_selectors,
                          size_t cap, size_t *ret_count);

void ike_build_ke(struct ike_builder *b, uint16_t group, const void *data, size_t len);
void ike_build_id(struct ike_builder *b, enum ike_payload_type type, uint8_t id_type,
                  const void *data, size_t len);
/* type: IKE_PAYLOAD_CERT or IKE_PAYLOAD_CERTREQ. */
void ike_build_cert(struct ike_builder *b, enum ike_payload_type type, uint8_t encoding,
                    const void *data, size_t len);
void ike_build_auth(struct ike_builder *b, uint8_t method, const void *data, size_t len);
void ike_build_nonce(struct ike_builder *b, const void *data, size_t len);
/* About the IKE SA, or nothing in particular. */
void ike_build_notify(struct ike_builder *b, uint16_t type, const void *data, size_t len);
/* About one child. */
void ike_build_child_notify(struct ike_builder *b, uint16_t type, uint8_t protocol, uint32_t spi);
void ike_build_delete_ike(struct ike_builder *b);
void ike_build_delete_children(struct ike_builder *b, uint8_t protocol, const uint32_t *spis,
                               uint16_t count);
/* type: IKE_PAYLOAD_TSI or IKE_PAYLOAD_TSR. */
void ike_build_ts(struct ike_builder *b, enum ike_payload_type type,
                  const struct ike_selector *selectors, uint8_t count);

#endif
