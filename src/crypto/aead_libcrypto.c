/* AEAD on libcrypto's EVP: the algorithm is fetched and the key expanded once per context, a packet
 * costs no allocation. */
#include "crypto/aead_backend.h"

#include "crypto/libcrypto.h"
#include <limits.h>
#include <stdbool.h>

static const char *const names[] = {
    [AEAD_AES128_GCM] = "AES-128-GCM",
    [AEAD_AES256_GCM] = "AES-256-GCM",
    [AEAD_CHACHA20_POLY1305] = "ChaCha20-Poly1305",
};

struct keyed {
    struct aead aead;
    EVP_CIPHER_CTX *ctx;
};

static void destroy(void *opaque)
{
    EVP_CIPHER_CTX_free(((struct keyed *)opaque)->ctx); /* wipes the key schedule */
}

static int make(enum aead_algorithm algorithm, const uint8_t *key, void *opaque)
{
    struct keyed *keyed = (struct keyed *)opaque;
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, names[algorithm], NULL);
    EVP_CIPHER_CTX *ctx = keyed->ctx = EVP_CIPHER_CTX_new();
    bool is_ready = cipher != NULL && ctx != NULL &&
                    EVP_CipherInit_ex2(ctx, cipher, key, NULL, 1, NULL) == 1 &&
                    EVP_CIPHER_CTX_get_iv_length(ctx) == AEAD_NONCE_LEN;
    EVP_CIPHER_free(cipher);
    return is_ready ? ERR_OK : ERR_CRYPTO;
}

/* Starts a message and passes the associated data and the text through. */
static int run(EVP_CIPHER_CTX *ctx, bool is_sealing, const uint8_t *nonce, const void *ad,
               size_t ad_len, uint8_t *data, size_t len)
{
    int out = 0;

    if (len > INT_MAX || ad_len > INT_MAX)
        return ERR_LIMIT;
    if (EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, is_sealing ? 1 : 0, NULL) != 1)
        return ERR_CRYPTO;
    if (ad_len > 0 && EVP_CipherUpdate(ctx, NULL, &out, (const uint8_t *)ad, (int)ad_len) != 1)
        return ERR_CRYPTO;
    if (len > 0 && (EVP_CipherUpdate(ctx, data, &out, data, (int)len) != 1 || out != (int)len))
        return ERR_CRYPTO;
    return ERR_OK;
}

static int seal(void *opaque, const uint8_t *nonce, const void *ad, size_t ad_len, uint8_t *data,
                size_t len, uint8_t *ret_tag)
{
    uint8_t none[AEAD_TAG_LEN];
    EVP_CIPHER_CTX *ctx = ((struct keyed *)opaque)->ctx;
    int out = 0;
    int result = run(ctx, true, nonce, ad, ad_len, data, len);

    if (result != ERR_OK)
        return result;
    if (EVP_CipherFinal_ex(ctx, none, &out) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN, ret_tag) != 1)
        return ERR_CRYPTO;
    return ERR_OK;
}

/* The library compares the tag in constant time. */
static int open_message(void *opaque, const uint8_t *nonce, const void *ad, size_t ad_len,
                        uint8_t *data, size_t len, const uint8_t *tag)
{
    uint8_t expected[AEAD_TAG_LEN];
    uint8_t none[AEAD_TAG_LEN];
    EVP_CIPHER_CTX *ctx = ((struct keyed *)opaque)->ctx;
    int out = 0;
    int result = run(ctx, false, nonce, ad, ad_len, data, len);

    if (result != ERR_OK)
        return result;
    for (size_t i = 0; i < AEAD_TAG_LEN; i++)
        expected[i] = tag[i]; /* the control takes no const */
    if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN, expected) != 1)
        return ERR_CRYPTO;
    return EVP_CipherFinal_ex(ctx, none, &out) == 1 ? ERR_OK : ERR_AUTH;
}

const struct aead_backend aead_libcrypto = {.name = "libcrypto",
                                            .size = sizeof(struct keyed),
                                            .make = make,
                                            .destroy = destroy,
                                            .seal = seal,
                                            .open = open_message};
