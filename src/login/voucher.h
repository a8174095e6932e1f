/* Vouchers: a connector's word, signed in advance, that a name of its zone has a key
 * (docs/protocol.md, Callers of other zones). Whose key the connector's is, and what follows, is
 * left to whoever takes one. */
#ifndef LOGIN_VOUCHER_H
#define LOGIN_VOUCHER_H

#include "crypto/identity.h"
#include "wire/notify.h"

#define VOUCHER_LIFE_S 120 /* as the connector gives them */
#define VOUCHER_SKEW_S 60  /* by which clocks may differ */

/* What a voucher is about; names are canonical. */
struct voucher_claim {
    const char *zone;
    const char *name;
    const uint8_t *key; /* NOTIFY_KEY_LEN bytes */
};

/* The connector's: good for VOUCHER_LIFE_S from now_s (seconds since 1970) on. ERR_CRYPTO, or
 * ERR_INVALID for names that are too long. */
MUST_USE int voucher_sign(const struct identity *connector, const struct voucher_claim *claim,
                          uint64_t now_s, struct notify_voucher *ret_voucher);
/* Does this connector vouch for the claim? ERR_AUTH: it does not, and has maybe never seen this
 * voucher. Says nothing of the time. */
MUST_USE int voucher_check(const struct notify_voucher *voucher, const struct public_key *connector,
                           const struct voucher_claim *claim);
/* Neither too old, nor good for longer than any connector would say. */
bool voucher_is_fresh(const struct notify_voucher *voucher, uint64_t now_s);

#endif
