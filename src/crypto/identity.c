/* Ed25519 private keys on libcrypto: making, PEM, signing. Public keys are in public_key.c; files,
 * their modes and places are the programs' matter. */
#include "crypto/identity.h"

#include "crypto/libcrypto.h"
#include "crypto/memory.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct identity {
    EVP_PKEY *key;
    struct public_key public_key;
};

/* Consumes key (also on failure). */
static int from_key(EVP_PKEY *key, struct identity **ret_identity)
{
    size_t len = PUBLIC_KEY_LEN;
    struct identity *identity = (struct identity *)calloc(1, sizeof(*identity));

    if (identity == NULL) {
        EVP_PKEY_free(key);
        return ERR_NOMEM;
    }
    identity->key = key;
    if (EVP_PKEY_get_raw_public_key(key, identity->public_key.bytes, &len) != 1 ||
        len != PUBLIC_KEY_LEN) {
        identity_free(identity);
        return ERR_CRYPTO;
    }
    *ret_identity = identity;
    return ERR_OK;
}

int identity_generate(struct identity **ret_identity)
{
    uint8_t seed[32];
    int result = crypto_random(seed, sizeof(seed));
    if (result != ERR_OK)
        return result;

    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
    crypto_wipe(seed, sizeof(seed));
    return key != NULL ? from_key(key, ret_identity) : ERR_CRYPTO;
}

/* Encrypted files are refused; the library's own callback would ask on the terminal. */
static int no_password(char *buffer, int size, int is_writing, void *user)
{
    return -1;
}

int identity_from_pem(const char *text, size_t len, struct identity **ret_identity)
{
    if (len > INT_MAX)
        return ERR_INVALID;
    BIO *bio = BIO_new_mem_buf(text, (int)len);
    if (bio == NULL)
        return ERR_NOMEM;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (key == NULL)
        return ERR_INVALID;
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519) {
        EVP_PKEY_free(key);
        return ERR_UNSUPPORTED;
    }
    return from_key(key, ret_identity);
}

int identity_to_pem(const struct identity *identity, char *ret_text, size_t cap)
{
    BIO *bio = BIO_new(BIO_s_mem()); /* wipes its memory */
    char *text = NULL;
    int result = ERR_CRYPTO;

    if (bio == NULL)
        return ERR_NOMEM;
    if (PEM_write_bio_PKCS8PrivateKey(bio, identity->key, NULL, NULL, 0, NULL, NULL) != 1)
        goto free_bio;
    long len = BIO_get_mem_data(bio, &text);
    if (len <= 0)
        goto free_bio;
    result = ERR_FULL;
    if ((size_t)len >= cap)
        goto free_bio;
    memcpy(ret_text, text, (size_t)len);
    ret_text[len] = '\0';
    result = (int)len;
free_bio:
    BIO_free(bio);
    return result;
}

void identity_free(struct identity *identity)
{
    if (identity == NULL)
        return;
    EVP_PKEY_free(identity->key); /* wipes */
    free(identity);
}

const struct public_key *identity_public(const struct identity *identity)
{
    return &identity->public_key;
}

int identity_sign(const struct identity *identity, const void *data, size_t len,
                  uint8_t ret_signature[SIGNATURE_LEN])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t signature_len = SIGNATURE_LEN;

    if (ctx == NULL)
        return ERR_NOMEM;
    bool is_signed =
        EVP_DigestSignInit(ctx, NULL, NULL, NULL, identity->key) == 1 &&
        EVP_DigestSign(ctx, ret_signature, &signature_len, (const uint8_t *)data, len) == 1 &&
        signature_len == SIGNATURE_LEN;
    EVP_MD_CTX_free(ctx);
    return is_signed ? ERR_OK : ERR_CRYPTO;
}
