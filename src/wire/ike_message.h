/* A whole IKEv2 message, or the inside of its SK payload, sorted by payload type: everything is
 * checked for form before any of it is used (RFC 7296, 2.5 and 2.21). */
#ifndef WIRE_IKE_MESSAGE_H
#define WIRE_IKE_MESSAGE_H

#include "wire/ike_payload.h"
#include "wire/ike_proposal.h"

/* Sets of payload types, RFC 7296's own. */
#define IKE_BIT(type) ((uint32_t)1 << ((type)-IKE_PAYLOAD_SA))

struct ike_message {
    uint32_t present; /* IKE_BIT() of each type that is there */
    /* Types that come once; body NULL if absent. */
    struct ike_payload sa, ke, id_i, id_r, auth, nonce, ts_i, ts_r;
    struct ike_chain chain;   /* copy it to walk NOTIFY, DELETE, CERT and CERTREQ */
    uint8_t unknown_critical; /* the type of an unknown payload with the critical bit, or 0 */
};

/* data: the payloads, borrowed. ERR_OK also with an unknown critical payload: check that first.
 * ERR_INVALID, ERR_TRUNCATED: malformed, or twice what comes once. ERR_LIMIT: too many payloads. */
MUST_USE int ike_message_parse(uint8_t first, const uint8_t *data, size_t len,
                               struct ike_message *ret_message);
/* Walks the notifies: start with a copy of message->chain. false at the end. */
bool ike_message_next_notify(struct ike_chain *chain, struct ike_notify *ret_notify);
bool ike_message_next_delete(struct ike_chain *chain, struct ike_delete *ret_delete);
/* type: IKE_PAYLOAD_CERT or IKE_PAYLOAD_CERTREQ. */
bool ike_message_next_cert(struct ike_chain *chain, enum ike_payload_type type,
                           struct ike_cert *ret_cert);
/* The first notify of this type; ret_notify may be NULL. */
bool ike_message_find_notify(const struct ike_message *message, uint16_t type,
                             struct ike_notify *ret_notify);
/* The first error notify, or 0. */
uint16_t ike_message_error(const struct ike_message *message);

#endif
