/* What stream_mac.c and mac_batch.c share. */
#ifndef CRYPTO_STREAM_MAC_INTERNAL_H
#define CRYPTO_STREAM_MAC_INTERNAL_H

#include "crypto/libcrypto.h"
#include "crypto/mac_batch.h"

#define STREAM_BLOCK_LEN    16
#define STREAM_BATCH_BLOCKS 96 /* to one library call: enough for a packet of a usual path */

struct stream_mac {
    EVP_CIPHER_CTX *cipher;
    EVP_MAC_CTX *mac;
    uint8_t salt[STREAM_SALT_LEN];
    struct mac_states states;                               /* constant */
    uint8_t blocks[STREAM_BATCH_BLOCKS * STREAM_BLOCK_LEN]; /* counter blocks, then key stream */
};

#endif
