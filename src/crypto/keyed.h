/* Keyed contexts of libcrypto: algorithms are fetched and keys expanded once, a message costs no
 * allocation then. For the .c files of this folder alone. */
#ifndef CRYPTO_KEYED_H
#define CRYPTO_KEYED_H

#include "crypto/hash.h"
#include "crypto/libcrypto.h"
#include <stdbool.h>

/* Without padding; the key is as long as the cipher of this name wants it. NULL if the library
 * fails. EVP_CIPHER_CTX_free() wipes the key. */
EVP_CIPHER_CTX *keyed_cipher_new(const char *name, const uint8_t *key, bool is_encrypting);
/* NULL if the library fails. EVP_MAC_CTX_free() wipes the key. */
EVP_MAC_CTX *keyed_hmac_new(const char *digest_name, const void *key, size_t key_len);
/* Adds the pieces to the message that the context is at. */
MUST_USE int keyed_hmac_update(EVP_MAC_CTX *ctx, const struct piece *pieces, size_t count);
/* A whole message, with the key that the context has. ret_mac: mac_len bytes, all of the digest. */
MUST_USE int keyed_hmac_compute(EVP_MAC_CTX *ctx, const struct piece *pieces, size_t count,
                                uint8_t *ret_mac, size_t mac_len);

#endif
