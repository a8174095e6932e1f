/* AES in CBC or CTR mode (NIST SP 800-38A) beside HMAC-SHA-256 cut to 16 bytes (RFC 4868), for
 * protocols that encrypt and then authenticate with two keys. In which order, and over what, is the
 * caller's matter. One context belongs to one thread. */
#ifndef CRYPTO_CIPHER_MAC_H
#define CRYPTO_CIPHER_MAC_H

#include "crypto/hash.h"
#include "crypto/mac_batch.h"
#include <stddef.h>
#include <stdint.h>

enum cipher_mode { CIPHER_AES_CBC, CIPHER_AES_CTR };

#define CIPHER_BLOCK_LEN   16
#define CIPHER_MAC_LEN     16
#define CIPHER_MAC_KEY_LEN 32

struct cipher_mac; /* keyed context */

/* key_len: 16 or 32, else ERR_INVALID. Keys are copied. */
MUST_USE int cipher_mac_new(enum cipher_mode mode, const uint8_t *key, size_t key_len,
                            const uint8_t mac_key[CIPHER_MAC_KEY_LEN],
                            struct cipher_mac **ret_context);
/* Wipes the keys. NULL is fine. */
void cipher_mac_free(struct cipher_mac *context);
/* In place. iv: CBC's, or CTR's first counter block. CBC: len is a multiple of CIPHER_BLOCK_LEN,
 * else ERR_INVALID. */
MUST_USE int cipher_mac_encrypt(struct cipher_mac *context, const uint8_t iv[CIPHER_BLOCK_LEN],
                                uint8_t *data, size_t len);
MUST_USE int cipher_mac_decrypt(struct cipher_mac *context, const uint8_t iv[CIPHER_BLOCK_LEN],
                                uint8_t *data, size_t len);
MUST_USE int cipher_mac_compute(struct cipher_mac *context, const struct piece *pieces,
                                size_t count, uint8_t ret_mac[CIPHER_MAC_LEN]);
/* For MACs in batches; of 32 bytes, of which the first CIPHER_MAC_LEN count. Any thread. */
const struct mac_states *cipher_mac_states(const struct cipher_mac *context);
/* Constant time; ERR_AUTH if the MAC is wrong. */
MUST_USE int cipher_mac_check(struct cipher_mac *context, const struct piece *pieces, size_t count,
                              const uint8_t mac[CIPHER_MAC_LEN]);

#endif
