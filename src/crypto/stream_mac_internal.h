/* What stream_mac.c and mac_batch.c share. */
#ifndef CRYPTO_STREAM_MAC_INTERNAL_H
#define CRYPTO_STREAM_MAC_INTERNAL_H

#include "crypto/libcrypto.h"
#include "crypto/stream_mac.h"

#define STREAM_BLOCK_LEN    16
#define STREAM_BATCH_BLOCKS 96 /* to one library call: enough for a packet of a usual path */

struct stream_mac {
    EVP_CIPHER_CTX *cipher;
    EVP_MAC_CTX *mac;
    uint8_t salt[STREAM_SALT_LEN];
    /* SHA-256's state after the block of the key, XORed with HMAC's inner and outer pad (RFC 2104,
     * 4). Constant. */
    _Alignas(16) uint32_t inner[8];
    _Alignas(16) uint32_t outer[8];
    uint8_t blocks[STREAM_BATCH_BLOCKS * STREAM_BLOCK_LEN]; /* counter blocks, then key stream */
};

/* mac_batch.c: fills in the two states, where batches can be computed at all. */
void stream_mac_prepare(struct stream_mac *context, const uint8_t mac_key[MAC_KEY_LEN]);

#endif
