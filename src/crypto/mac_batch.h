/* The MACs of many messages at once: HMAC-SHA-256 is a chain of steps that a processor cannot
 * overlap within one message, but across sixteen it can. Messages may have different keys. One
 * batch belongs to one thread. */
#ifndef CRYPTO_MAC_BATCH_H
#define CRYPTO_MAC_BATCH_H

#include "crypto/stream_mac.h"

#define MAC_BATCH_MAX 64
/* Fewer are computed as quickly one by one. */
#define MAC_BATCH_MIN 8

struct mac_batch;

/* What HMAC-SHA-256 has come to once it knows its key (RFC 2104, 4): SHA-256's state after the
 * block of the key XORed with the inner and with the outer pad. Constant, so for any thread. */
struct mac_states {
    _Alignas(16) uint32_t inner[8];
    _Alignas(16) uint32_t outer[8];
};

/* Where batches can be computed at all. A secret like the key. */
void mac_states_init(struct mac_states *states, const uint8_t mac_key[MAC_KEY_LEN]);
const struct mac_states *stream_mac_states(const struct stream_mac *context);

struct mac_message {
    const struct mac_states *states;
    const uint8_t *data;
    size_t len;
    uint8_t *ret_mac; /* MAC_LEN bytes */
};

/* ERR_UNSUPPORTED: this machine, or the library on it, does not do it (or not rightly). */
MUST_USE int mac_batch_new(struct mac_batch **ret_batch);
/* NULL is fine. */
void mac_batch_free(struct mac_batch *batch);
/* At most MAC_BATCH_MAX. ERR_CRYPTO: no MAC is to be believed. Touches nothing of a context that
 * changes, so other threads may use it. */
MUST_USE int mac_batch_compute(struct mac_batch *batch, const struct mac_message *messages,
                               unsigned count);

#endif
