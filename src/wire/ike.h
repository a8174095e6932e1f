/* IKEv2 messages (RFC 7296, 3): numbers, header, the chain of payloads, and building both. What is
 * in a payload: wire/ike_payload.h, wire/ike_proposal.h. What it means: the engine (ike). */
#ifndef WIRE_IKE_H
#define WIRE_IKE_H

#include "base/reader.h"
#include "base/writer.h"

/* Where IKE is spoken (RFC 7296, 2; RFC 3948, 2.2). */
#define IKE_PORT     500
#define IKE_NAT_PORT 4500

#define IKE_HEADER_LEN         28
#define IKE_PAYLOAD_HEADER_LEN 4
#define IKE_MAJOR_VERSION      2
#define IKE_NONCE_LEN_MIN      16 /* RFC 7296, 3.9 */
#define IKE_NONCE_LEN_MAX      256
#define IKE_COOKIE_LEN_MAX     64 /* RFC 7296, 2.6 */
#define IKE_PAYLOADS_MAX       64 /* in one message */

enum ike_exchange {
    IKE_EXCHANGE_SA_INIT = 34,
    IKE_EXCHANGE_AUTH = 35,
    IKE_EXCHANGE_CREATE_CHILD_SA = 36,
    IKE_EXCHANGE_INFORMATIONAL = 37,
    IKE_EXCHANGE_SESSION_RESUME = 38, /* RFC 5723 */
};

enum ike_flag {
    IKE_FLAG_INITIATOR = 0x08, /* the sender is the original initiator of this IKE SA */
    IKE_FLAG_VERSION = 0x10,
    IKE_FLAG_RESPONSE = 0x20,
};

enum ike_payload_type {
    IKE_PAYLOAD_NONE = 0,
    IKE_PAYLOAD_SA = 33,
    IKE_PAYLOAD_KE = 34,
    IKE_PAYLOAD_IDI = 35,
    IKE_PAYLOAD_IDR = 36,
    IKE_PAYLOAD_CERT = 37,
    IKE_PAYLOAD_CERTREQ = 38,
    IKE_PAYLOAD_AUTH = 39,
    IKE_PAYLOAD_NONCE = 40,
    IKE_PAYLOAD_NOTIFY = 41,
    IKE_PAYLOAD_DELETE = 42,
    IKE_PAYLOAD_VENDOR = 43,
    IKE_PAYLOAD_TSI = 44,
    IKE_PAYLOAD_TSR = 45,
    IKE_PAYLOAD_SK = 46,
    IKE_PAYLOAD_CP = 47,
    IKE_PAYLOAD_EAP =
        48, /* up to here RFC 7296's own: never "unknown", whatever their critical bit */
    IKE_PAYLOAD_SKF = 53, /* RFC 7383: one fragment of what an SK payload would hold */
};

enum ike_protocol {
    IKE_PROTOCOL_NONE = 0,
    IKE_PROTOCOL_IKE = 1,
    IKE_PROTOCOL_AH = 2,
    IKE_PROTOCOL_ESP = 3,
    IKE_PROTOCOL_SPUT = 201, /* private use (docs/protocol.md) */
};

enum ike_transform_type {
    IKE_TRANSFORM_ENCR = 1,
    IKE_TRANSFORM_PRF = 2,
    IKE_TRANSFORM_INTEG = 3,
    IKE_TRANSFORM_KE = 4,
    IKE_TRANSFORM_ESN = 5,
};

enum ike_transform_id {
    IKE_ENCR_AES_CBC = 12,           /* RFC 3602 */
    IKE_ENCR_AES_CTR = 13,           /* RFC 3686, ESP only */
    IKE_ENCR_AES_GCM_16 = 20,        /* RFC 5282 */
    IKE_ENCR_CHACHA20_POLY1305 = 28, /* RFC 7634 */
    IKE_ENCR_AES_GCM_16_IIV = 30,    /* RFC 8750, ESP only, like the next */
    IKE_ENCR_CHACHA20_POLY1305_IIV = 31,
    IKE_PRF_HMAC_SHA2_256 = 5, /* RFC 4868, like those below */
    IKE_PRF_HMAC_SHA2_384 = 6,
    IKE_PRF_HMAC_SHA2_512 = 7,
    IKE_INTEG_NONE = 0,
    IKE_ESN_NONE = 0, /* RFC 7296, 3.3.2 */
    IKE_ESN = 1,
    IKE_INTEG_HMAC_SHA2_256_128 = 12,
    IKE_INTEG_HMAC_SHA2_384_192 = 13,
    IKE_INTEG_HMAC_SHA2_512_256 = 14,
    /* Key exchange groups are those of crypto/kex.h. */
    IKE_GROUP_CURVE25519 = 31, /* RFC 8031 */
};

enum ike_notify_type {
    IKE_NOTIFY_UNSUPPORTED_CRITICAL_PAYLOAD = 1,
    IKE_NOTIFY_INVALID_IKE_SPI = 4,
    IKE_NOTIFY_INVALID_MAJOR_VERSION = 5,
    IKE_NOTIFY_INVALID_SYNTAX = 7,
    IKE_NOTIFY_INVALID_MESSAGE_ID = 9,
    IKE_NOTIFY_INVALID_SPI = 11,
    IKE_NOTIFY_NO_PROPOSAL_CHOSEN = 14,
    IKE_NOTIFY_INVALID_KE_PAYLOAD = 17,
    IKE_NOTIFY_AUTHENTICATION_FAILED = 24,
    IKE_NOTIFY_SINGLE_PAIR_REQUIRED = 34,
    IKE_NOTIFY_NO_ADDITIONAL_SAS = 35,
    IKE_NOTIFY_INTERNAL_ADDRESS_FAILURE = 36,
    IKE_NOTIFY_FAILED_CP_REQUIRED = 37,
    IKE_NOTIFY_TS_UNACCEPTABLE = 38,
    IKE_NOTIFY_INVALID_SELECTORS = 39,
    IKE_NOTIFY_UNEXPECTED_NAT_DETECTED = 41, /* RFC 4555 */
    IKE_NOTIFY_TEMPORARY_FAILURE = 43,
    IKE_NOTIFY_CHILD_SA_NOT_FOUND = 44,
    IKE_NOTIFY_ERROR_MAX = 16383, /* errors end, status types begin */
    IKE_NOTIFY_INITIAL_CONTACT = 16384,
    IKE_NOTIFY_NAT_DETECTION_SOURCE_IP = 16388,
    IKE_NOTIFY_NAT_DETECTION_DESTINATION_IP = 16389,
    IKE_NOTIFY_COOKIE = 16390,
    IKE_NOTIFY_USE_TRANSPORT_MODE = 16391,
    IKE_NOTIFY_REKEY_SA = 16393,
    IKE_NOTIFY_ESP_TFC_PADDING_NOT_SUPPORTED = 16394,
    IKE_NOTIFY_MOBIKE_SUPPORTED = 16396, /* RFC 4555, like the next six */
    IKE_NOTIFY_ADDITIONAL_IP4_ADDRESS = 16397,
    IKE_NOTIFY_ADDITIONAL_IP6_ADDRESS = 16398,
    IKE_NOTIFY_NO_ADDITIONAL_ADDRESSES = 16399,
    IKE_NOTIFY_UPDATE_SA_ADDRESSES = 16400,
    IKE_NOTIFY_COOKIE2 = 16401,
    IKE_NOTIFY_NO_NATS_ALLOWED = 16402,
    IKE_NOTIFY_TICKET_LT_OPAQUE = 16409, /* RFC 5723, like the next four */
    IKE_NOTIFY_TICKET_REQUEST = 16410,
    IKE_NOTIFY_TICKET_ACK = 16411,
    IKE_NOTIFY_TICKET_NACK = 16412,
    IKE_NOTIFY_TICKET_OPAQUE = 16413,
    IKE_NOTIFY_CHILDLESS_IKEV2_SUPPORTED = 16418, /* RFC 6023 */
    IKE_NOTIFY_FRAGMENTATION_SUPPORTED = 16430,   /* RFC 7383 */
    IKE_NOTIFY_SIGNATURE_HASH_ALGORITHMS = 16431, /* RFC 7427 */
    IKE_NOTIFY_PRIVATE_MIN = 40960,
    IKE_NOTIFY_USE_BEET_MODE = 40961, /* others' (strongSwan): no data, both sides send it */
    /* Detec hosts, in IKE_AUTH: MOBIKE, and not only the initiator may move. */
    IKE_NOTIFY_EITHER_SIDE_MOVES = 56820,
    /* Likewise, beside an offer or answer of ESP: commands and whole packets in it are understood.
     */
    IKE_NOTIFY_ESP_COMMANDS = 56821,
};

/* The RFC's name of a notify type, NULL where unknown. */
const char *ike_notify_name(uint16_t type);

struct ike_header {
    uint64_t spi_i; /* as a number, big-endian on the wire */
    uint64_t spi_r;
    uint8_t next_payload;
    uint8_t major_version;
    uint8_t minor_version;
    uint8_t exchange;
    uint8_t flags;
    uint32_t message_id;
};

/* The length field of the message that data begins with; 0 below IKE_HEADER_LEN. */
uint32_t ike_header_len(const uint8_t *data, size_t len);
/* message: exactly one. ERR_TRUNCATED below IKE_HEADER_LEN; ERR_INVALID when its length field is
 * not len. Any version is taken: check major_version before anything else. */
MUST_USE int ike_header_parse(const uint8_t *message, size_t len, struct ike_header *ret_header);

struct ike_payload {
    uint8_t type;
    uint8_t next; /* type of the following one; of an SK payload: the first one inside */
    bool is_critical;
    const uint8_t *body; /* borrowed; NULL: there is none of this type */
    size_t len;
};

/* Reads the header that every payload has (3.2; IKEv1's too) and the body behind it. type: what the
 * payload before, or the message's header, says that this one is. ERR_TRUNCATED, ERR_INVALID. */
MUST_USE int ike_payload_read(struct reader *r, uint8_t type, struct ike_payload *ret_payload);

/* Walks a chain of payloads: those behind the header, or those inside an SK payload. */
struct ike_chain {
    struct reader reader;
    uint8_t next;
};

void ike_chain_init(struct ike_chain *chain, uint8_t first, const uint8_t *data, size_t len);
/* ERR_OK with the next payload, ERR_NOT_FOUND at a proper end, ERR_TRUNCATED or ERR_INVALID for a
 * broken chain (lengths, bytes behind the end). An SK payload ends the chain. */
MUST_USE int ike_chain_next(struct ike_chain *chain, struct ike_payload *ret_payload);

/* Builds one message into a writer: begin, payloads, end; all lengths and next-payload fields are
 * filled in behind. Errors stick to the writer. */
struct ike_builder {
    struct writer *w;
    size_t message_at; /* offsets in the writer */
    size_t next_at;    /* the byte that the next payload's type goes into */
    size_t payload_at; /* payload still open, or 0 */
    size_t sk_at;      /* SK payload, or 0 */
    size_t sealed_at;  /* what is encrypted in it */
    size_t block_len;  /* that it is padded to */
};

void ike_build_begin(struct ike_builder *b, struct writer *w, const struct ike_header *header);
/* Starts a payload (and ends the one before); write its body to b->w. */
void ike_build_payload(struct ike_builder *b, enum ike_payload_type type);
/* Starts the SK payload with an IV of iv_len bytes (zero, to be filled in): what follows is inside,
 * and padded to a multiple of block_len (1: not at all). */
void ike_build_sk(struct ike_builder *b, size_t iv_len, size_t block_len);
/* The same for an SKF payload (RFC 7383, 2.5). */
void ike_build_skf(struct ike_builder *b, uint8_t first, uint16_t number, uint16_t total,
                   size_t iv_len, size_t block_len);
/* Ends the payload that is open, and no more: what stands behind b->sealed_at is then a chain. */
void ike_build_close(struct ike_builder *b);
/* Ends the message; with an SK payload adds padding, its length, and room for tag_len bytes. */
void ike_build_end(struct ike_builder *b, size_t tag_len);

#define IKE_SKF_HEAD_LEN 4 /* fragment number and total, before the IV */

/* Where the parts of an SK or SKF payload lie (RFC 7296, 3.14; RFC 5282, 3; RFC 7383, 2.5). */
struct ike_sk {
    size_t ad_len;   /* associated data: from the start of the message */
    size_t iv_at;    /* right behind it */
    size_t data_at;  /* ciphertext: payloads, padding, pad length */
    size_t data_len; /* at least 1 */
    size_t tag_at;
    uint8_t inner;            /* type of the first payload inside */
    uint16_t fragment_number; /* from 1 */
    uint16_t fragment_total;  /* 0: an SK payload */
};

/* Locates the parts in a whole message, which must consist of one SK or SKF payload. ERR_INVALID
 * otherwise, when it is too short, or for numbers of fragments that cannot be. */
MUST_USE int ike_sk_locate(const uint8_t *message, size_t len, size_t iv_len, size_t tag_len,
                           struct ike_sk *ret_sk);
/* Takes the padding off decrypted data: the length of the payloads in it. ERR_INVALID when the pad
 * length exceeds it. */
MUST_USE int ike_sk_strip(const uint8_t *data, size_t len, size_t *ret_len);

#endif
