/* See crypto/cbc.h: a context for each call, as control messages are rare. */
#include "crypto/cbc.h"

#include "crypto/libcrypto.h"
#include <limits.h>
#include <stdbool.h>

static int run(const uint8_t *key, size_t key_len, const uint8_t iv[CBC_BLOCK_LEN], uint8_t *data,
               size_t len, int is_encrypting)
{
    const EVP_CIPHER *cipher = key_len == 16 ? EVP_aes_128_cbc() : EVP_aes_256_cbc();
    int done = 0, rest = 0;

    if ((key_len != 16 && key_len != 32) || len % CBC_BLOCK_LEN != 0 || len > INT_MAX)
        return ERR_INVALID;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx == NULL)
        return ERR_NOMEM;
    bool is_done = EVP_CipherInit_ex(ctx, cipher, NULL, key, iv, is_encrypting) == 1 &&
                   EVP_CIPHER_CTX_set_padding(ctx, 0) == 1 &&
                   EVP_CipherUpdate(ctx, data, &done, data, (int)len) == 1 &&
                   EVP_CipherFinal_ex(ctx, data + done, &rest) == 1 && (size_t)(done + rest) == len;
    EVP_CIPHER_CTX_free(ctx);
    return is_done ? ERR_OK : ERR_CRYPTO;
}

int cbc_encrypt(const uint8_t *key, size_t key_len, const uint8_t iv[CBC_BLOCK_LEN], uint8_t *data,
                size_t len)
{
    return run(key, key_len, iv, data, len, 1);
}

int cbc_decrypt(const uint8_t *key, size_t key_len, const uint8_t iv[CBC_BLOCK_LEN], uint8_t *data,
                size_t len)
{
    return run(key, key_len, iv, data, len, 0);
}
