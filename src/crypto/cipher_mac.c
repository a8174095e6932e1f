/* On libcrypto's EVP: algorithms are fetched and keys expanded once per context, a message costs no
 * allocation. */
#include "crypto/cipher_mac.h"

#include "crypto/libcrypto.h"
#include "crypto/memory.h"
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct cipher_mac {
    enum cipher_mode mode;
    EVP_CIPHER_CTX *encrypt, *decrypt; /* key schedules of both directions */
    EVP_MAC_CTX *mac;
};

static bool cipher_new(enum cipher_mode mode, const uint8_t *key, size_t key_len,
                       bool is_encrypting, EVP_CIPHER_CTX **ret_ctx)
{
    static const char *const names[2][2] = {[CIPHER_AES_CBC] = {"AES-128-CBC", "AES-256-CBC"},
                                            [CIPHER_AES_CTR] = {"AES-128-CTR", "AES-256-CTR"}};
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, names[mode][key_len == 32], NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool is_ready = cipher != NULL && ctx != NULL &&
                    EVP_CipherInit_ex2(ctx, cipher, key, NULL, is_encrypting, NULL) == 1 &&
                    EVP_CIPHER_CTX_set_padding(ctx, 0) == 1;

    EVP_CIPHER_free(cipher);
    *ret_ctx = ctx;
    return is_ready;
}

static bool mac_new(const uint8_t *key, EVP_MAC_CTX **ret_ctx)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;

    EVP_MAC_free(mac);
    *ret_ctx = ctx;
    return ctx != NULL && EVP_MAC_init(ctx, key, CIPHER_MAC_KEY_LEN, params) == 1;
}

int cipher_mac_new(enum cipher_mode mode, const uint8_t *key, size_t key_len,
                   const uint8_t mac_key[CIPHER_MAC_KEY_LEN], struct cipher_mac **ret_context)
{
    if (key_len != 16 && key_len != 32)
        return ERR_INVALID;
    struct cipher_mac *context = calloc(1, sizeof(*context));
    if (context == NULL)
        return ERR_NOMEM;
    context->mode = mode;
    if (!cipher_new(mode, key, key_len, true, &context->encrypt) ||
        !cipher_new(mode, key, key_len, false, &context->decrypt) ||
        !mac_new(mac_key, &context->mac)) {
        cipher_mac_free(context);
        return ERR_CRYPTO;
    }
    *ret_context = context;
    return ERR_OK;
}

void cipher_mac_free(struct cipher_mac *context)
{
    if (context == NULL)
        return;
    EVP_CIPHER_CTX_free(context->encrypt); /* all three wipe their keys */
    EVP_CIPHER_CTX_free(context->decrypt);
    EVP_MAC_CTX_free(context->mac);
    free(context);
}

static int crypt(const struct cipher_mac *context, EVP_CIPHER_CTX *ctx, const uint8_t *iv,
                 uint8_t *data, size_t len)
{
    int out = 0;

    if (len > INT_MAX || (context->mode == CIPHER_AES_CBC && len % CIPHER_BLOCK_LEN != 0))
        return ERR_INVALID;
    if (len == 0)
        return ERR_OK;
    if (EVP_CipherInit_ex2(ctx, NULL, NULL, iv, -1, NULL) != 1 ||
        EVP_CipherUpdate(ctx, data, &out, data, (int)len) != 1 || out != (int)len)
        return ERR_CRYPTO;
    return ERR_OK;
}

int cipher_mac_encrypt(struct cipher_mac *context, const uint8_t iv[CIPHER_BLOCK_LEN],
                       uint8_t *data, size_t len)
{
    return crypt(context, context->encrypt, iv, data, len);
}

int cipher_mac_decrypt(struct cipher_mac *context, const uint8_t iv[CIPHER_BLOCK_LEN],
                       uint8_t *data, size_t len)
{
    return crypt(context, context->decrypt, iv, data, len);
}

static int compute(struct cipher_mac *context, const struct piece *pieces, size_t count,
                   uint8_t ret_mac[SHA256_LEN])
{
    size_t out = 0;

    if (EVP_MAC_init(context->mac, NULL, 0, NULL) != 1)
        return ERR_CRYPTO;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].len > 0 && EVP_MAC_update(context->mac, pieces[i].data, pieces[i].len) != 1)
            return ERR_CRYPTO;
    }
    if (EVP_MAC_final(context->mac, ret_mac, &out, SHA256_LEN) != 1 || out != SHA256_LEN)
        return ERR_CRYPTO;
    return ERR_OK;
}

int cipher_mac_compute(struct cipher_mac *context, const struct piece *pieces, size_t count,
                       uint8_t ret_mac[CIPHER_MAC_LEN])
{
    uint8_t mac[SHA256_LEN];
    int result = compute(context, pieces, count, mac);

    if (result == ERR_OK)
        memcpy(ret_mac, mac, CIPHER_MAC_LEN);
    crypto_wipe(mac, sizeof(mac));
    return result;
}

int cipher_mac_check(struct cipher_mac *context, const struct piece *pieces, size_t count,
                     const uint8_t mac[CIPHER_MAC_LEN])
{
    uint8_t expected[SHA256_LEN];
    int result = compute(context, pieces, count, expected);

    if (result == ERR_OK && !crypto_is_equal(expected, mac, CIPHER_MAC_LEN))
        result = ERR_AUTH;
    crypto_wipe(expected, sizeof(expected));
    return result;
}
