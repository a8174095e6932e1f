/* AEAD on libcrypto's EVP: the algorithm is fetched and the key expanded once per context, a packet
 * costs no allocation. Another back-end replaces this file alone. */
#include "crypto/aead.h"

#include "crypto/libcrypto.h"
#include "crypto/memory.h"
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>

struct aead {
    EVP_CIPHER_CTX *ctx;
};

static const struct {
    const char *name;
    size_t key_len;
} algorithms[] = {
    [AEAD_AES128_GCM] = {"AES-128-GCM", 16},
    [AEAD_AES256_GCM] = {"AES-256-GCM", 32},
    [AEAD_CHACHA20_POLY1305] = {"ChaCha20-Poly1305", 32},
};

size_t aead_key_len(enum aead_algorithm algorithm)
{
    return algorithms[algorithm].key_len;
}

int aead_new(enum aead_algorithm algorithm, const uint8_t *key, struct aead **ret_aead)
{
    struct aead *aead = (struct aead *)calloc(1, sizeof(*aead));
    if (aead == NULL)
        return ERR_NOMEM;

    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, algorithms[algorithm].name, NULL);
    aead->ctx = EVP_CIPHER_CTX_new();
    bool is_ready = cipher != NULL && aead->ctx != NULL &&
                    EVP_CipherInit_ex2(aead->ctx, cipher, key, NULL, 1, NULL) == 1 &&
                    EVP_CIPHER_CTX_get_iv_length(aead->ctx) == AEAD_NONCE_LEN;
    EVP_CIPHER_free(cipher);
    if (!is_ready) {
        aead_free(aead);
        return ERR_CRYPTO;
    }
    *ret_aead = aead;
    return ERR_OK;
}

void aead_free(struct aead *aead)
{
    if (aead == NULL)
        return;
    EVP_CIPHER_CTX_free(aead->ctx); /* wipes the key schedule */
    free(aead);
}

/* Starts a message and passes the associated data and the text through. */
static int run(struct aead *aead, bool is_sealing, const uint8_t *nonce, const void *ad,
               size_t ad_len, uint8_t *data, size_t len)
{
    int out = 0;

    if (len > INT_MAX || ad_len > INT_MAX)
        return ERR_LIMIT;
    if (EVP_CipherInit_ex2(aead->ctx, NULL, NULL, nonce, is_sealing ? 1 : 0, NULL) != 1)
        return ERR_CRYPTO;
    if (ad_len > 0 &&
        EVP_CipherUpdate(aead->ctx, NULL, &out, (const uint8_t *)ad, (int)ad_len) != 1)
        return ERR_CRYPTO;
    if (len > 0 &&
        (EVP_CipherUpdate(aead->ctx, data, &out, data, (int)len) != 1 || out != (int)len))
        return ERR_CRYPTO;
    return ERR_OK;
}

int aead_seal(struct aead *aead, const uint8_t nonce[AEAD_NONCE_LEN], const void *ad, size_t ad_len,
              uint8_t *data, size_t len, uint8_t ret_tag[AEAD_TAG_LEN])
{
    uint8_t none[AEAD_TAG_LEN];
    int out = 0;
    int result = run(aead, true, nonce, ad, ad_len, data, len);

    if (result != ERR_OK)
        return result;
    if (EVP_CipherFinal_ex(aead->ctx, none, &out) != 1 ||
        EVP_CIPHER_CTX_ctrl(aead->ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN, ret_tag) != 1)
        return ERR_CRYPTO;
    return ERR_OK;
}

/* The library compares the tag in constant time. On ERR_AUTH data holds the unauthentic text. */
static int open_raw(struct aead *aead, const uint8_t *nonce, const void *ad, size_t ad_len,
                    uint8_t *data, size_t len, const uint8_t *tag)
{
    uint8_t expected[AEAD_TAG_LEN];
    uint8_t none[AEAD_TAG_LEN];
    int out = 0;
    int result = run(aead, false, nonce, ad, ad_len, data, len);

    if (result != ERR_OK)
        return result;
    for (size_t i = 0; i < AEAD_TAG_LEN; i++)
        expected[i] = tag[i]; /* the control takes no const */
    if (EVP_CIPHER_CTX_ctrl(aead->ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN, expected) != 1)
        return ERR_CRYPTO;
    return EVP_CipherFinal_ex(aead->ctx, none, &out) == 1 ? ERR_OK : ERR_AUTH;
}

int aead_open(struct aead *aead, const uint8_t nonce[AEAD_NONCE_LEN], const void *ad, size_t ad_len,
              uint8_t *data, size_t len, const uint8_t tag[AEAD_TAG_LEN])
{
    int result = open_raw(aead, nonce, ad, ad_len, data, len, tag);
    if (result != ERR_OK)
        crypto_wipe(data, len);
    return result;
}

int aead_open_or_keep(struct aead *aead, const uint8_t nonce[AEAD_NONCE_LEN], const void *ad,
                      size_t ad_len, uint8_t *data, size_t len, const uint8_t tag[AEAD_TAG_LEN])
{
    int result = open_raw(aead, nonce, ad, ad_len, data, len, tag);
    if (result == ERR_OK)
        return ERR_OK;
    /* All three are stream ciphers: encrypting under the same nonce undoes the decryption. */
    if (result != ERR_AUTH || run(aead, true, nonce, NULL, 0, data, len) != ERR_OK) {
        crypto_wipe(data, len);
        return ERR_CRYPTO;
    }
    return ERR_AUTH;
}
