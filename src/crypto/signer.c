/* See crypto/signer.h. */
#include "crypto/signer.h"

#include "crypto/libcrypto.h"
#include "crypto/memory.h"
#include <limits.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define RSA_BITS_MIN  2048
#define RSA_BITS_MAX  8192
#define ECDSA_DER_MAX 144 /* two integers of P-521 */
#define DIGEST_MIN    SHA256_LEN

struct verifier {
    EVP_PKEY *key;
    enum key_kind kind;
    uint8_t *spki;
    size_t spki_len;
};

struct signer {
    struct verifier public_half; /* the key in it is private */
};

static int ec_kind(const EVP_PKEY *key, enum key_kind *ret_kind)
{
    char name[32];
    size_t len;

    if (EVP_PKEY_get_group_name(key, name, sizeof(name), &len) != 1)
        return ERR_UNSUPPORTED;
    switch (OBJ_sn2nid(name)) {
    case NID_X9_62_prime256v1:
        *ret_kind = KEY_ECDSA_P256;
        return ERR_OK;
    case NID_secp384r1:
        *ret_kind = KEY_ECDSA_P384;
        return ERR_OK;
    case NID_secp521r1:
        *ret_kind = KEY_ECDSA_P521;
        return ERR_OK;
    default:
        return ERR_UNSUPPORTED;
    }
}

static int find_kind(const EVP_PKEY *key, enum key_kind *ret_kind)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_ED25519:
        *ret_kind = KEY_ED25519;
        return ERR_OK;
    case EVP_PKEY_EC:
        return ec_kind(key, ret_kind);
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
        if (EVP_PKEY_get_bits(key) < RSA_BITS_MIN || EVP_PKEY_get_bits(key) > RSA_BITS_MAX)
            return ERR_UNSUPPORTED;
        *ret_kind = KEY_RSA;
        return ERR_OK;
    default:
        return ERR_UNSUPPORTED;
    }
}

/* Consumes key, also on failure; NULL: ERR_INVALID. */
static int fill(EVP_PKEY *key, struct verifier *v)
{
    unsigned char *spki = NULL;

    ERR_clear_error();
    if (key == NULL)
        return ERR_INVALID;
    v->key = key;
    const int error = find_kind(key, &v->kind);
    if (error != ERR_OK)
        return error;
    const int len = i2d_PUBKEY(key, &spki);
    if (len <= 0)
        return ERR_CRYPTO;
    v->spki = (uint8_t *)malloc((size_t)len);
    if (v->spki != NULL)
        memcpy(v->spki, spki, (size_t)len);
    OPENSSL_free(spki);
    v->spki_len = (size_t)len;
    return v->spki != NULL ? ERR_OK : ERR_NOMEM;
}

static void done(struct verifier *v)
{
    EVP_PKEY_free(v->key); /* wipes */
    free(v->spki);
}

static int verifier_new(EVP_PKEY *key, struct verifier **ret_verifier)
{
    struct verifier *v = (struct verifier *)calloc(1, sizeof(*v));

    if (v == NULL) {
        EVP_PKEY_free(key);
        return ERR_NOMEM;
    }
    const int error = fill(key, v);
    if (error != ERR_OK) {
        verifier_free(v);
        return error;
    }
    *ret_verifier = v;
    return ERR_OK;
}

int verifier_from_spki(const uint8_t *der, size_t len, struct verifier **ret_verifier)
{
    const unsigned char *at = der;

    if (len > LONG_MAX)
        return ERR_INVALID;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)len);
    if (key != NULL && at != der + len) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return verifier_new(key, ret_verifier);
}

/* Encrypted files are refused; the library's own callback would ask on the terminal. */
static int no_password(char *buffer, int size, int is_writing, void *user)
{
    return -1;
}

int verifier_from_pem(const char *text, size_t len, struct verifier **ret_verifier)
{
    BIO *bio = len <= INT_MAX ? BIO_new_mem_buf(text, (int)len) : NULL;

    if (bio == NULL)
        return ERR_INVALID;
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);
    BIO_free(bio);
    return verifier_new(key, ret_verifier);
}

void verifier_free(struct verifier *verifier)
{
    if (verifier == NULL)
        return;
    done(verifier);
    free(verifier);
}

enum key_kind verifier_kind(const struct verifier *verifier)
{
    return verifier->kind;
}

const uint8_t *verifier_spki(const struct verifier *verifier, size_t *ret_len)
{
    *ret_len = verifier->spki_len;
    return verifier->spki;
}

bool verifier_is_equal(const struct verifier *a, const struct verifier *b)
{
    return a->spki_len == b->spki_len && crypto_is_equal(a->spki, b->spki, a->spki_len);
}

int signer_from_pem(const char *text, size_t len, struct signer **ret_signer)
{
    BIO *bio = len <= INT_MAX ? BIO_new_mem_buf(text, (int)len) : NULL;
    struct signer *signer = (struct signer *)calloc(1, sizeof(*signer));

    if (bio == NULL || signer == NULL) {
        BIO_free(bio);
        free(signer);
        return ERR_NOMEM;
    }
    const int error =
        fill(PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL), &signer->public_half);
    BIO_free(bio);
    if (error != ERR_OK) {
        signer_free(signer);
        return error;
    }
    *ret_signer = signer;
    return ERR_OK;
}

void signer_free(struct signer *signer)
{
    if (signer == NULL)
        return;
    done(&signer->public_half);
    free(signer);
}

const struct verifier *signer_public(const struct signer *signer)
{
    return &signer->public_half;
}

static bool fits(enum key_kind key, enum signature_kind form)
{
    switch (form) {
    case SIGNATURE_ED25519:
        return key == KEY_ED25519;
    case SIGNATURE_ECDSA:
    case SIGNATURE_ECDSA_RAW:
        return key == KEY_ECDSA_P256 || key == KEY_ECDSA_P384 || key == KEY_ECDSA_P521;
    case SIGNATURE_RSA_PSS:
    case SIGNATURE_RSA_PKCS1:
        return key == KEY_RSA;
    default:
        return false;
    }
}

static const EVP_MD *digest_of(enum hash_algorithm hash)
{
    switch (hash) {
    case HASH_SHA256:
        return EVP_sha256();
    case HASH_SHA384:
        return EVP_sha384();
    case HASH_SHA512:
        return EVP_sha512();
    default:
        return NULL; /* Ed25519 */
    }
}

static bool set_padding(EVP_PKEY_CTX *ctx, const struct signature_form *form)
{
    if (form->kind == SIGNATURE_RSA_PKCS1)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    if (form->kind != SIGNATURE_RSA_PSS)
        return true;
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, digest_of(form->hash)) == 1;
}

/* Bytes of r and of s alone. */
static size_t half_len(enum key_kind kind)
{
    return kind == KEY_ECDSA_P256 ? 32 : kind == KEY_ECDSA_P384 ? 48 : 66;
}

static int raw_to_der(enum key_kind kind, const uint8_t *raw, size_t len,
                      uint8_t ret_der[ECDSA_DER_MAX])
{
    const size_t half = half_len(kind);
    uint8_t *at = ret_der;
    int der_len = ERR_AUTH;

    if (len != 2 * half)
        return ERR_AUTH;
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, (int)half, NULL);
    BIGNUM *s = BN_bin2bn(raw + half, (int)half, NULL);
    if (signature == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(signature, r, s) != 1) {
        BN_free(r);
        BN_free(s);
    } else if (i2d_ECDSA_SIG(signature, NULL) <= ECDSA_DER_MAX) {
        der_len = i2d_ECDSA_SIG(signature, &at);
    }
    ECDSA_SIG_free(signature);
    return der_len;
}

static int der_to_raw(enum key_kind kind, const uint8_t *der, size_t len, uint8_t *ret_raw)
{
    const unsigned char *at = der;
    const int half = (int)half_len(kind);
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)len);
    int result = ERR_CRYPTO;

    if (signature != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(signature), ret_raw, half) == half &&
        BN_bn2binpad(ECDSA_SIG_get0_s(signature), ret_raw + half, half) == half)
        result = 2 * half;
    ECDSA_SIG_free(signature);
    return result;
}

int verifier_check(const struct verifier *v, const struct signature_form *form, const void *data,
                   size_t len, const uint8_t *signature, size_t signature_len)
{
    uint8_t der[ECDSA_DER_MAX];
    EVP_PKEY_CTX *padding;
    int result = ERR_AUTH;

    if (!fits(v->kind, form->kind))
        return ERR_AUTH;
    if (form->kind == SIGNATURE_ECDSA_RAW) {
        const int der_len = raw_to_der(v->kind, signature, signature_len, der);
        if (der_len < 0)
            return ERR_AUTH;
        signature = der;
        signature_len = (size_t)der_len;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL)
        return ERR_NOMEM;
    if (EVP_DigestVerifyInit(ctx, &padding, digest_of(form->hash), NULL, v->key) == 1 &&
        set_padding(padding, form) &&
        EVP_DigestVerify(ctx, signature, signature_len, (const uint8_t *)data, len) == 1)
        result = ERR_OK;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return result;
}

int signer_sign(const struct signer *signer, const struct signature_form *form, const void *data,
                size_t len, uint8_t ret_signature[SIGNER_SIGNATURE_MAX])
{
    const struct verifier *v = &signer->public_half;
    uint8_t der[SIGNER_SIGNATURE_MAX];
    size_t signature_len = sizeof(der);
    EVP_PKEY_CTX *padding;
    int result = ERR_CRYPTO;

    if (!fits(v->kind, form->kind) || form->kind == SIGNATURE_RSA_PKCS1)
        return ERR_UNSUPPORTED;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL)
        return ERR_NOMEM;
    if (EVP_DigestSignInit(ctx, &padding, digest_of(form->hash), NULL, v->key) == 1 &&
        set_padding(padding, form) &&
        EVP_DigestSign(ctx, der, &signature_len, (const uint8_t *)data, len) == 1)
        result = ERR_OK;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (result != ERR_OK)
        return result;
    if (form->kind == SIGNATURE_ECDSA_RAW)
        return der_to_raw(v->kind, der, signature_len, ret_signature);
    memcpy(ret_signature, der, signature_len);
    return (int)signature_len;
}

/* Those of IKEv1. */
static bool is_for_digests(enum signature_kind kind, size_t digest_len)
{
    return (kind == SIGNATURE_RSA_PKCS1 || kind == SIGNATURE_ECDSA_RAW) &&
           digest_len >= DIGEST_MIN && digest_len <= HASH_LEN_MAX;
}

/* No digest is named to it, so that of PKCS#1's encoding the DigestInfo is left out. */
static bool set_bare_padding(EVP_PKEY_CTX *ctx, enum signature_kind kind)
{
    return kind != SIGNATURE_RSA_PKCS1 || EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
}

int verifier_check_digest(const struct verifier *v, enum signature_kind kind, const uint8_t *digest,
                          size_t digest_len, const uint8_t *signature, size_t signature_len)
{
    uint8_t der[ECDSA_DER_MAX];
    int result = ERR_AUTH;

    if (!fits(v->kind, kind) || !is_for_digests(kind, digest_len))
        return ERR_AUTH;
    if (kind == SIGNATURE_ECDSA_RAW) {
        const int der_len = raw_to_der(v->kind, signature, signature_len, der);
        if (der_len < 0)
            return ERR_AUTH;
        signature = der;
        signature_len = (size_t)der_len;
    }
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(v->key, NULL);
    if (ctx == NULL)
        return ERR_NOMEM;
    if (EVP_PKEY_verify_init(ctx) == 1 && set_bare_padding(ctx, kind) &&
        EVP_PKEY_verify(ctx, signature, signature_len, digest, digest_len) == 1)
        result = ERR_OK;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return result;
}

int signer_sign_digest(const struct signer *signer, enum signature_kind kind, const uint8_t *digest,
                       size_t digest_len, uint8_t ret_signature[SIGNER_SIGNATURE_MAX])
{
    const struct verifier *v = &signer->public_half;
    uint8_t der[SIGNER_SIGNATURE_MAX];
    size_t signature_len = sizeof(der);
    int result = ERR_CRYPTO;

    if (!fits(v->kind, kind) || !is_for_digests(kind, digest_len))
        return ERR_UNSUPPORTED;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(v->key, NULL);
    if (ctx == NULL)
        return ERR_NOMEM;
    if (EVP_PKEY_sign_init(ctx) == 1 && set_bare_padding(ctx, kind) &&
        EVP_PKEY_sign(ctx, der, &signature_len, digest, digest_len) == 1)
        result = ERR_OK;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    if (result != ERR_OK)
        return result;
    if (kind == SIGNATURE_ECDSA_RAW)
        return der_to_raw(v->kind, der, signature_len, ret_signature);
    memcpy(ret_signature, der, signature_len);
    return (int)signature_len;
}
