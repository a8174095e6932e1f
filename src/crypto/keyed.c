/* See crypto/keyed.h. */
#include "crypto/keyed.h"

#include <string.h>

EVP_CIPHER_CTX *keyed_cipher_new(const char *name, const uint8_t *key, bool is_encrypting)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    const bool is_ready = cipher != NULL && ctx != NULL &&
                          EVP_CipherInit_ex2(ctx, cipher, key, NULL, is_encrypting, NULL) == 1 &&
                          EVP_CIPHER_CTX_set_padding(ctx, 0) == 1;

    EVP_CIPHER_free(cipher); /* the context holds its own reference */
    if (is_ready)
        return ctx;
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

EVP_MAC_CTX *keyed_hmac_new(const char *digest_name, const void *key, size_t key_len)
{
    static const uint8_t empty_key[1];
    char name[16];
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;

    EVP_MAC_free(mac); /* the context holds its own reference */
    if (ctx == NULL)
        return NULL;
    strncpy(name, digest_name, sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_end(),
    };
    /* A NULL key would mean "keep the key", even with length 0. */
    if (EVP_MAC_init(ctx, key_len > 0 ? (const uint8_t *)key : empty_key, key_len, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

int keyed_hmac_update(EVP_MAC_CTX *ctx, const struct piece *pieces, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].len > 0 &&
            EVP_MAC_update(ctx, (const uint8_t *)pieces[i].data, pieces[i].len) != 1)
            return ERR_CRYPTO;
    }
    return ERR_OK;
}

int keyed_hmac_compute(EVP_MAC_CTX *ctx, const struct piece *pieces, size_t count, uint8_t *ret_mac,
                       size_t mac_len)
{
    size_t len = 0;

    if (EVP_MAC_init(ctx, NULL, 0, NULL) != 1 || keyed_hmac_update(ctx, pieces, count) != ERR_OK ||
        EVP_MAC_final(ctx, ret_mac, &len, mac_len) != 1 || len != mac_len)
        return ERR_CRYPTO;
    return ERR_OK;
}
