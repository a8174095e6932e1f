/* The Port Control Protocol (RFC 6887) and its predecessor NAT-PMP (RFC 6886): what a host asks its
 * gateway for, and what that answers. Both live on one port and tell themselves apart by the first
 * byte. Client's side only; no options. */
#ifndef WIRE_PCP_H
#define WIRE_PCP_H

#include "base/address.h"
#include "base/writer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCP_SERVER_PORT 5351 /* RFC 6887, 19.1 */
#define PCP_ANNOUNCE_PORT                                                                          \
    5350 /* clients listen here, on 224.0.0.1, for restarts of the gateway                         \
          */
#define PCP_NONCE_LEN    12
#define PCP_REQUEST_CAP  60
#define PCP_MESSAGE_CAP  1100 /* RFC 6887, 7: no message is longer */
#define PCP_PROTOCOL_UDP 17

enum pcp_version { PCP_VERSION_NAT_PMP = 0, PCP_VERSION = 2 };

/* The numbers are the same in both protocols. */
enum pcp_opcode {
    PCP_ANNOUNCE = 0, /* NAT-PMP: the external address */
    PCP_MAP = 1,      /* NAT-PMP: of a UDP port */
};

/* RFC 6887, 7.4. NAT-PMP's (RFC 6886, 3.5) are translated to these. */
enum pcp_result {
    PCP_SUCCESS = 0,
    PCP_UNSUPP_VERSION = 1,
    PCP_NOT_AUTHORIZED = 2,
    PCP_MALFORMED_REQUEST = 3,
    PCP_UNSUPP_OPCODE = 4,
    PCP_UNSUPP_OPTION = 5,
    PCP_MALFORMED_OPTION = 6,
    PCP_NETWORK_FAILURE = 7,
    PCP_NO_RESOURCES = 8,
    PCP_UNSUPP_PROTOCOL = 9,
    PCP_USER_EX_QUOTA = 10,
    PCP_CANNOT_PROVIDE_EXTERNAL = 11,
    PCP_ADDRESS_MISMATCH = 12,
    PCP_EXCESSIVE_REMOTE_PEERS = 13,
};

/* A UDP port that the host wants to be reached at. */
struct pcp_map_request {
    struct address client; /* the source address of the request */
    uint8_t nonce[PCP_NONCE_LEN];
    uint16_t internal_port;
    struct endpoint external; /* wished for; family ADDRESS_NONE and port 0: any */
    uint32_t lifetime_s;      /* 0: delete */
};

struct pcp_response {
    uint8_t version;     /* enum pcp_version; another one only with PCP_UNSUPP_VERSION */
    uint8_t opcode;      /* enum pcp_opcode, or another below 128 */
    uint16_t result;     /* enum pcp_result, or a later one */
    uint32_t lifetime_s; /* of the mapping; PCP: of the error. 0 where the message has none */
    uint32_t epoch_s;    /* since the gateway's tables are what they are */
    bool has_map;        /* the next four are there */
    uint8_t nonce[PCP_NONCE_LEN]; /* PCP */
    uint8_t protocol;             /* PCP; NAT-PMP: PCP_PROTOCOL_UDP */
    uint16_t internal_port;
    struct endpoint external; /* NAT-PMP MAP: the port alone; NAT-PMP address: the address alone */
};

/* RFC 6887, 11.1. The writer needs PCP_REQUEST_CAP. ERR_FULL. */
MUST_USE int pcp_map_request_build(struct writer *w, const struct pcp_map_request *request);
/* RFC 6886, 3.2. */
MUST_USE int pcp_address_request_build(struct writer *w);
/* RFC 6886, 3.3: of request's fields the ports and the lifetime. A deletion wishes for no port. */
MUST_USE int pcp_legacy_map_request_build(struct writer *w, const struct pcp_map_request *request);

/* ERR_TRUNCATED, ERR_INVALID (no response, lengths off), ERR_UNSUPPORTED (another version, another
 * opcode of NAT-PMP). */
MUST_USE int pcp_response_parse(const void *data, size_t len, struct pcp_response *ret_response);

/* Why a gateway refused, for people; never NULL. */
const char *pcp_result_text(uint16_t result);

#endif
