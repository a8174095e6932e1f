/* The paper's suite: a key stream of AES-128 over counter blocks whose counter is the *first* byte
 * (docs/protocol.md, SPUT), and HMAC-SHA-256 (RFC 2104, FIPS 198-1) over header and ciphertext.
 * One context belongs to one thread. */
#ifndef CRYPTO_STREAM_MAC_H
#define CRYPTO_STREAM_MAC_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

#define STREAM_KEY_LEN  16
#define STREAM_SALT_LEN 11
#define STREAM_LEN_MAX  4096 /* 256 blocks of 16 bytes: the block counter has 8 bits */
#define MAC_KEY_LEN     32
#define MAC_LEN         32

struct stream_mac; /* keyed context */

/* All are copied. */
MUST_USE int stream_mac_new(const uint8_t key[STREAM_KEY_LEN], const uint8_t mac_key[MAC_KEY_LEN],
                            const uint8_t salt[STREAM_SALT_LEN], struct stream_mac **ret_context);
/* Wipes the keys. */
void stream_mac_free(struct stream_mac *context);
/* XORs data with the key stream of one message number; len at most STREAM_LEN_MAX, else ERR_FULL.
 */
MUST_USE int stream_mac_crypt(struct stream_mac *context, uint32_t number, uint8_t *data,
                              size_t len);
MUST_USE int stream_mac_compute(struct stream_mac *context, const uint8_t *data, size_t len,
                                uint8_t ret_mac[MAC_LEN]);
/* Constant time; ERR_AUTH if the MAC is wrong. */
MUST_USE int stream_mac_check(struct stream_mac *context, const uint8_t *data, size_t len,
                              const uint8_t mac[MAC_LEN]);

#endif
