/* Our certificates and the CAs, and judging chains; see crypto/chain.h. Names are in
 * crypto/chain_name.c. */
#include "crypto/chain_internal.h"

#include <limits.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* 112 bits: no SHA-1, no RSA below 2048 bits. */
#define SECURITY_LEVEL 2

struct chain {
    size_t count;
    struct {
        uint8_t *der;
        size_t len;
    } certificates[CHAIN_MAX];
};

struct anchors {
    X509_STORE *store;
    size_t count;
    uint8_t hashes[ANCHORS_HASHES_MAX];
    struct {
        uint16_t len; /* 0: too long */
        uint8_t der[DN_LEN_MAX];
    } subjects[ANCHORS_MAX];
};

/* The next certificate of a PEM file; NULL at its end, *ret_is_bad where it is malformed. */
static X509 *read_pem(BIO *bio, bool *ret_is_bad)
{
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    *ret_is_bad = x == NULL && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
    ERR_clear_error();
    return x;
}

static int chain_add(struct chain *chain, X509 *x)
{
    unsigned char *der = NULL;

    if (chain->count == CHAIN_MAX)
        return ERR_LIMIT;
    const int len = i2d_X509(x, &der);
    if (len <= 0)
        return ERR_CRYPTO;
    uint8_t *copy = (uint8_t *)malloc((size_t)len);
    if (copy != NULL)
        memcpy(copy, der, (size_t)len);
    OPENSSL_free(der);
    if (copy == NULL)
        return ERR_NOMEM;
    chain->certificates[chain->count].der = copy;
    chain->certificates[chain->count++].len = (size_t)len;
    return ERR_OK;
}

int chain_from_pem(const char *text, size_t len, struct chain **ret_chain)
{
    BIO *bio = len <= INT_MAX ? BIO_new_mem_buf(text, (int)len) : NULL;
    struct chain *chain = (struct chain *)calloc(1, sizeof(*chain));
    int error = chain != NULL && bio != NULL ? ERR_OK : ERR_NOMEM;
    bool is_bad = false;
    X509 *x;

    while (error == ERR_OK && (x = read_pem(bio, &is_bad)) != NULL) {
        error = chain_add(chain, x);
        X509_free(x);
    }
    BIO_free(bio);
    if (error == ERR_OK && (is_bad || chain->count == 0))
        error = ERR_INVALID;
    if (error != ERR_OK) {
        chain_free(chain);
        return error;
    }
    *ret_chain = chain;
    return ERR_OK;
}

void chain_free(struct chain *chain)
{
    if (chain == NULL)
        return;
    for (size_t i = 0; i < chain->count; i++)
        free(chain->certificates[i].der);
    free(chain);
}

size_t chain_count(const struct chain *chain)
{
    return chain->count;
}

const uint8_t *chain_der(const struct chain *chain, size_t index, size_t *ret_len)
{
    *ret_len = chain->certificates[index].len;
    return chain->certificates[index].der;
}

static X509 *read_der(const uint8_t *der, size_t len)
{
    const unsigned char *at = der;
    X509 *x = len <= INT_MAX ? d2i_X509(NULL, &at, (long)len) : NULL;

    if (x != NULL && at != der + len) {
        X509_free(x);
        x = NULL;
    }
    ERR_clear_error();
    return x;
}

/* The SubjectPublicKeyInfo; the caller frees with OPENSSL_free(). */
static int spki_of(X509 *x, unsigned char **ret_spki)
{
    return i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), ret_spki);
}

bool chain_fits(const struct chain *chain, const struct verifier *key)
{
    size_t key_len;
    const uint8_t *key_spki = verifier_spki(key, &key_len);
    unsigned char *spki = NULL;
    X509 *x = read_der(chain->certificates[0].der, chain->certificates[0].len);
    const int len = x != NULL ? spki_of(x, &spki) : 0;

    bool is_equal = len > 0 && (size_t)len == key_len && memcmp(spki, key_spki, key_len) == 0;
    OPENSSL_free(spki);
    X509_free(x);
    return is_equal;
}

static void keep_subject(struct anchors *anchors, size_t index, X509 *x)
{
    unsigned char *der = NULL;
    const int len = i2d_X509_NAME(X509_get_subject_name(x), &der);

    if (len > 0 && len <= DN_LEN_MAX) {
        memcpy(anchors->subjects[index].der, der, (size_t)len);
        anchors->subjects[index].len = (uint16_t)len;
    }
    OPENSSL_free(der);
}

static int anchors_add(struct anchors *anchors, X509 *x)
{
    unsigned char *spki = NULL;

    if (anchors->count == ANCHORS_MAX)
        return ERR_LIMIT;
    const int len = spki_of(x, &spki);
    if (len <= 0)
        return ERR_CRYPTO;
    const struct piece piece = {spki, (size_t)len};
    int error = sha1(&piece, 1, anchors->hashes + anchors->count * SHA1_LEN);
    OPENSSL_free(spki);
    if (error == ERR_OK && X509_STORE_add_cert(anchors->store, x) != 1)
        error = ERR_CRYPTO;
    keep_subject(anchors, anchors->count, x);
    anchors->count += error == ERR_OK;
    return error;
}

int anchors_from_pem(const char *text, size_t len, struct anchors **ret_anchors)
{
    BIO *bio = len <= INT_MAX ? BIO_new_mem_buf(text, (int)len) : NULL;
    struct anchors *anchors = (struct anchors *)calloc(1, sizeof(*anchors));
    bool is_bad = false;
    X509 *x;

    if (anchors != NULL)
        anchors->store = X509_STORE_new();
    int error = anchors != NULL && anchors->store != NULL && bio != NULL ? ERR_OK : ERR_NOMEM;
    while (error == ERR_OK && (x = read_pem(bio, &is_bad)) != NULL) {
        error = anchors_add(anchors, x);
        X509_free(x);
    }
    BIO_free(bio);
    if (error == ERR_OK && (is_bad || anchors->count == 0))
        error = ERR_INVALID;
    if (error != ERR_OK) {
        anchors_free(anchors);
        return error;
    }
    *ret_anchors = anchors;
    return ERR_OK;
}

void anchors_free(struct anchors *anchors)
{
    if (anchors == NULL)
        return;
    X509_STORE_free(anchors->store);
    free(anchors);
}

int anchors_hashes(const struct anchors *anchors, uint8_t ret_hashes[ANCHORS_HASHES_MAX])
{
    memcpy(ret_hashes, anchors->hashes, anchors->count * SHA1_LEN);
    return (int)(anchors->count * SHA1_LEN);
}

size_t anchors_count(const struct anchors *anchors)
{
    return anchors->count;
}

const uint8_t *anchors_subject(const struct anchors *anchors, size_t index, size_t *ret_len)
{
    *ret_len = anchors->subjects[index].len;
    return anchors->subjects[index].der;
}

/* RFC 4945, 5.1.3.2 and 5.1.3.12: signatures, and IKE or whatever is usual in its place. */
static bool is_for_ike(X509 *x)
{
    static const char *const uses[] = {
        "2.5.29.37.0",                                                  /* any */
        "1.3.6.1.5.5.7.3.17",                                           /* IKE */
        "1.3.6.1.5.5.8.2.2",                                            /* IKE intermediate */
        "1.3.6.1.5.5.7.3.5",  "1.3.6.1.5.5.7.3.6", "1.3.6.1.5.5.7.3.7", /* IPsec, of old */
        "1.3.6.1.5.5.7.3.1",  "1.3.6.1.5.5.7.3.2",                      /* TLS server and client */
    };
    char text[64];
    bool is_fitting = false;

    if ((X509_get_extension_flags(x) & EXFLAG_INVALID) != 0)
        return false;
    if ((X509_get_key_usage(x) & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)) == 0)
        return false;
    if ((X509_get_extension_flags(x) & EXFLAG_XKUSAGE) == 0)
        return true;
    EXTENDED_KEY_USAGE *usage =
        (EXTENDED_KEY_USAGE *)X509_get_ext_d2i(x, NID_ext_key_usage, NULL, NULL);
    for (int i = 0; i < sk_ASN1_OBJECT_num(usage); i++) {
        if (OBJ_obj2txt(text, sizeof(text), sk_ASN1_OBJECT_value(usage, i), 1) <= 0)
            continue;
        for (size_t j = 0; j < sizeof(uses) / sizeof(uses[0]); j++)
            is_fitting |= strcmp(text, uses[j]) == 0;
    }
    EXTENDED_KEY_USAGE_free(usage);
    return is_fitting;
}

static bool verify(const struct anchors *anchors, X509 *leaf, STACK_OF(X509) * others,
                   uint64_t now_s)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool is_good = false;

    if (ctx != NULL && X509_STORE_CTX_init(ctx, anchors->store, leaf, others) == 1) {
        X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
        X509_VERIFY_PARAM_set_time(param, (time_t)now_s);
        X509_VERIFY_PARAM_set_depth(param, CHAIN_MAX);
        X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
        /* A CA that is configured is trusted, be it a root or not. */
        is_good = X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
                  X509_verify_cert(ctx) == 1 && X509_STORE_CTX_get_error(ctx) == X509_V_OK;
    }
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return is_good;
}

int anchors_check(const struct anchors *anchors, const struct piece *ders, size_t count,
                  uint64_t now_s, struct certificate **ret_certificate)
{
    int error = ERR_AUTH;

    if (count == 0 || count > CHAIN_MAX || now_s == 0 || now_s > INT64_MAX)
        return ERR_AUTH;
    X509 *leaf = read_der((const uint8_t *)ders[0].data, ders[0].len);
    STACK_OF(X509) *others = sk_X509_new_null();
    struct certificate *certificate = (struct certificate *)calloc(1, sizeof(*certificate));
    if (others == NULL || certificate == NULL)
        error = ERR_NOMEM;
    for (size_t i = 1; i < count && others != NULL; i++) {
        X509 *x = read_der((const uint8_t *)ders[i].data, ders[i].len);
        if (x != NULL && sk_X509_push(others, x) <= 0)
            X509_free(x);
    }
    if (error != ERR_NOMEM && leaf != NULL && verify(anchors, leaf, others, now_s) &&
        is_for_ike(leaf)) {
        certificate->x509 = leaf;
        *ret_certificate = certificate;
        leaf = NULL;
        certificate = NULL;
        error = ERR_OK;
    }
    sk_X509_pop_free(others, X509_free);
    X509_free(leaf);
    free(certificate);
    return error;
}

void certificate_free(struct certificate *certificate)
{
    if (certificate == NULL)
        return;
    X509_free(certificate->x509);
    verifier_free(certificate->key);
    free(certificate);
}

int certificate_key(struct certificate *certificate, const struct verifier **ret_key)
{
    unsigned char *spki = NULL;

    if (certificate->key == NULL) {
        const int len = spki_of(certificate->x509, &spki);
        const int error =
            len > 0 ? verifier_from_spki(spki, (size_t)len, &certificate->key) : ERR_CRYPTO;
        OPENSSL_free(spki);
        if (error != ERR_OK)
            return error;
    }
    *ret_key = certificate->key;
    return ERR_OK;
}
