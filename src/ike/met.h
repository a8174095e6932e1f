/* Hosts that have met before prove it to each other in the first message of a new IKE_SA_INIT, so
 * that a host which answers no strangers can tell an acquaintance from them: a notify of the keys
 * of an earlier SA between the two. It says nothing of who sends the message now, and no key comes
 * from it: that is IKE_AUTH's business, as ever. */
#ifndef IKE_MET_H
#define IKE_MET_H

#include "base/error.h"
#include "crypto/identity.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IKE_MET_ID_LEN     8
#define IKE_MET_SECRET_LEN 32
#define IKE_MET_MAC_LEN    32
/* That one request may use up: once more for each cookie and group. */
#define IKE_MET_NUMBERS 32
#define IKE_MET_LEN     (1 + IKE_MET_ID_LEN + 8 + IKE_MET_MAC_LEN)

struct ike_builder;
struct ike_generation;
struct ike_sa;

/* What both sides of an SA know, and nobody else. Secret: wipe it. */
struct ike_met {
    uint8_t id[IKE_MET_ID_LEN]; /* told openly, to be found by */
    uint8_t secret[IKE_MET_SECRET_LEN];
};

/* Of an SA that has just been established: the same on both sides until it is rekeyed. ERR_STATE:
 * it is not established. */
MUST_USE int ike_sa_met(const struct ike_sa *sa, struct ike_met *ret_met);

/* What somebody claims. Borrows from the message. */
struct ike_met_claim {
    const uint8_t *id; /* IKE_MET_ID_LEN bytes */
    uint64_t number;   /* grows from one message of the same sender to the next */
    const uint8_t *mac;
    const uint8_t *spi; /* the initiator's, 8 bytes */
    const uint8_t *nonce;
    size_t nonce_len;
    const uint8_t *exchange; /* its public value */
    size_t exchange_len;
};

/* Of an IKE_SA_INIT request. ERR_NOT_FOUND: it is none, or claims nothing; ERR_INVALID and others:
 * malformed. */
MUST_USE int ike_met_parse(const uint8_t *message, size_t len, struct ike_met_claim *ret_claim);
/* Does the message come from one who has the secret, as `initiator` to `responder`? Which numbers
 * are too old is the owner's business. */
bool ike_met_is_right(const struct ike_met *met, const struct ike_met_claim *claim,
                      const struct public_key *initiator, const struct public_key *responder);

/* For the engine: the notify of an IKE_SA_INIT request, if the profile wants one. */
MUST_USE int ike_met_build(const struct ike_generation *g, struct ike_builder *b);

#endif
