/* On the keyed contexts of libcrypto (crypto/keyed.h): a message costs no allocation. */
#include "crypto/cipher_mac.h"

#include "crypto/keyed.h"
#include "crypto/memory.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct cipher_mac {
    enum cipher_mode mode;
    EVP_CIPHER_CTX *encrypt, *decrypt; /* key schedules of both directions */
    EVP_MAC_CTX *mac;
    struct mac_states states; /* constant */
};

_Static_assert(CIPHER_MAC_KEY_LEN == MAC_KEY_LEN, "the same HMAC");

int cipher_mac_new(enum cipher_mode mode, const uint8_t *key, size_t key_len,
                   const uint8_t mac_key[CIPHER_MAC_KEY_LEN], struct cipher_mac **ret_context)
{
    static const char *const names[2][2] = {[CIPHER_AES_CBC] = {"AES-128-CBC", "AES-256-CBC"},
                                            [CIPHER_AES_CTR] = {"AES-128-CTR", "AES-256-CTR"}};
    if (key_len != 16 && key_len != 32)
        return ERR_INVALID;
    const char *name = names[mode][key_len == 32];
    struct cipher_mac *context = calloc(1, sizeof(*context));
    if (context == NULL)
        return ERR_NOMEM;
    context->mode = mode;
    mac_states_init(&context->states, mac_key);
    context->encrypt = keyed_cipher_new(name, key, true);
    context->decrypt = keyed_cipher_new(name, key, false);
    context->mac = keyed_hmac_new("SHA256", mac_key, CIPHER_MAC_KEY_LEN);
    if (context->encrypt == NULL || context->decrypt == NULL || context->mac == NULL) {
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
    crypto_wipe(context, sizeof(*context));
    free(context);
}

const struct mac_states *cipher_mac_states(const struct cipher_mac *context)
{
    return &context->states;
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

int cipher_mac_compute(struct cipher_mac *context, const struct piece *pieces, size_t count,
                       uint8_t ret_mac[CIPHER_MAC_LEN])
{
    uint8_t mac[SHA256_LEN];
    int result = keyed_hmac_compute(context->mac, pieces, count, mac, sizeof(mac));

    if (result == ERR_OK)
        memcpy(ret_mac, mac, CIPHER_MAC_LEN);
    crypto_wipe(mac, sizeof(mac));
    return result;
}

int cipher_mac_check(struct cipher_mac *context, const struct piece *pieces, size_t count,
                     const uint8_t mac[CIPHER_MAC_LEN])
{
    uint8_t expected[SHA256_LEN];
    int result = keyed_hmac_compute(context->mac, pieces, count, expected, sizeof(expected));

    if (result == ERR_OK && !crypto_is_equal(expected, mac, CIPHER_MAC_LEN))
        result = ERR_AUTH;
    crypto_wipe(expected, sizeof(expected));
    return result;
}
