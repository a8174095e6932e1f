/* See crypto/signature.h. What is written stands in a table; what is read may be encoded in more
 * than one way, and goes through the library's parser. */
#include "crypto/signature.h"

#include "crypto/libcrypto.h"
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

static const struct {
    struct signature_form form;
    uint8_t len;
    uint8_t der[SIGNATURE_NAME_CAP];
} names[] = {
    {{SIGNATURE_ED25519, HASH_NONE}, 7, {0x30, 5, 6, 3, 0x2b, 0x65, 0x70}},
    {{SIGNATURE_ECDSA, HASH_SHA256}, 12, {0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2}},
    {{SIGNATURE_ECDSA, HASH_SHA384}, 12, {0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3}},
    {{SIGNATURE_ECDSA, HASH_SHA512}, 12, {0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4}},
#define PSS(hash, oid, salt)                                                                       \
    {                                                                                              \
        {SIGNATURE_RSA_PSS, hash}, 67,                                                             \
        {                                                                                          \
            0x30, 0x41, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10, 0x30, 0x34, 0xa0,      \
                0x0f, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, oid, 5, 0, 0xa1, 0x1c, \
                0x30, 0x1a, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8, 0x30, 0x0d, 6, 9,   \
                0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, oid, 5, 0, 0xa2, 3, 2, 1, salt                 \
        }                                                                                          \
    }
    PSS(HASH_SHA256, 1, 32),
    PSS(HASH_SHA384, 2, 48),
    PSS(HASH_SHA512, 3, 64),
#undef PSS
};

int signature_form_build(const struct signature_form *form, uint8_t ret_der[SIGNATURE_NAME_CAP])
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].form.kind != form->kind || names[i].form.hash != form->hash)
            continue;
        memcpy(ret_der, names[i].der, names[i].len);
        return names[i].len;
    }
    return ERR_UNSUPPORTED;
}

static enum hash_algorithm read_hash(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *object;
    int type;

    if (algorithm == NULL)
        return HASH_NONE; /* the default, SHA-1 */
    X509_ALGOR_get0(&object, &type, NULL, algorithm);
    if (type != V_ASN1_UNDEF && type != V_ASN1_NULL)
        return HASH_NONE;
    switch (OBJ_obj2nid(object)) {
    case NID_sha256:
        return HASH_SHA256;
    case NID_sha384:
        return HASH_SHA384;
    case NID_sha512:
        return HASH_SHA512;
    default:
        return HASH_NONE;
    }
}

static int read_pss(const void *parameter, struct signature_form *ret_form)
{
    RSA_PSS_PARAMS *pss = (RSA_PSS_PARAMS *)ASN1_item_unpack((const ASN1_STRING *)parameter,
                                                             ASN1_ITEM_rptr(RSA_PSS_PARAMS));
    X509_ALGOR *mask_hash = NULL;
    const ASN1_OBJECT *mask;
    const void *mask_parameter;
    int mask_type;
    int result = ERR_UNSUPPORTED;

    if (pss == NULL)
        return ERR_INVALID;
    const enum hash_algorithm hash = read_hash(pss->hashAlgorithm);
    if (hash == HASH_NONE || pss->maskGenAlgorithm == NULL || pss->saltLength == NULL ||
        ASN1_INTEGER_get(pss->saltLength) != (long)hash_len(hash) ||
        (pss->trailerField != NULL && ASN1_INTEGER_get(pss->trailerField) != 1))
        goto done;
    X509_ALGOR_get0(&mask, &mask_type, &mask_parameter, pss->maskGenAlgorithm);
    if (OBJ_obj2nid(mask) != NID_mgf1 || mask_type != V_ASN1_SEQUENCE)
        goto done;
    mask_hash = (X509_ALGOR *)ASN1_item_unpack((const ASN1_STRING *)mask_parameter,
                                               ASN1_ITEM_rptr(X509_ALGOR));
    if (mask_hash == NULL || read_hash(mask_hash) != hash)
        goto done;
    *ret_form = (struct signature_form){SIGNATURE_RSA_PSS, hash};
    result = ERR_OK;
done:
    X509_ALGOR_free(mask_hash);
    RSA_PSS_PARAMS_free(pss);
    return result;
}

static int read_form(int nid, int type, const void *parameter, struct signature_form *ret_form)
{
    static const struct {
        int nid;
        struct signature_form form;
    } known[] = {
        {NID_ED25519, {SIGNATURE_ED25519, HASH_NONE}},
        {NID_ecdsa_with_SHA256, {SIGNATURE_ECDSA, HASH_SHA256}},
        {NID_ecdsa_with_SHA384, {SIGNATURE_ECDSA, HASH_SHA384}},
        {NID_ecdsa_with_SHA512, {SIGNATURE_ECDSA, HASH_SHA512}},
        {NID_sha256WithRSAEncryption, {SIGNATURE_RSA_PKCS1, HASH_SHA256}},
        {NID_sha384WithRSAEncryption, {SIGNATURE_RSA_PKCS1, HASH_SHA384}},
        {NID_sha512WithRSAEncryption, {SIGNATURE_RSA_PKCS1, HASH_SHA512}},
    };

    if (nid == NID_rsassaPss)
        return type == V_ASN1_SEQUENCE ? read_pss(parameter, ret_form) : ERR_UNSUPPORTED;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].nid != nid)
            continue;
        if (type != V_ASN1_UNDEF && type != V_ASN1_NULL)
            return ERR_INVALID;
        *ret_form = known[i].form;
        return ERR_OK;
    }
    return ERR_UNSUPPORTED;
}

int signature_form_parse(const uint8_t *der, size_t len, struct signature_form *ret_form)
{
    const unsigned char *at = der;
    const ASN1_OBJECT *object;
    const void *parameter;
    int type;
    int result = ERR_INVALID;

    if (len > SIGNATURE_NAME_CAP)
        return ERR_UNSUPPORTED;
    X509_ALGOR *algorithm = d2i_X509_ALGOR(NULL, &at, (long)len);
    if (algorithm != NULL && at == der + len) {
        X509_ALGOR_get0(&object, &type, &parameter, algorithm);
        result = read_form(OBJ_obj2nid(object), type, parameter, ret_form);
    }
    X509_ALGOR_free(algorithm);
    ERR_clear_error();
    return result;
}
