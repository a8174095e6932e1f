/* AES-CBC without padding, for protocols that authenticate by a MAC of their own (RFC 3602). */
#ifndef CRYPTO_CBC_H
#define CRYPTO_CBC_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

#define CBC_BLOCK_LEN 16

/* In place; key_len 16 or 32, len a multiple of the block (ERR_INVALID else). The IV must be
 * unpredictable. */
MUST_USE int cbc_encrypt(const uint8_t *key, size_t key_len, const uint8_t iv[CBC_BLOCK_LEN],
                         uint8_t *data, size_t len);
/* Only of data whose MAC has been checked. */
MUST_USE int cbc_decrypt(const uint8_t *key, size_t key_len, const uint8_t iv[CBC_BLOCK_LEN],
                         uint8_t *data, size_t len);

#endif
