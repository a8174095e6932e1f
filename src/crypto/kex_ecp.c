/* The NIST curves P-256 and P-384 as IKE uses them (RFC 5903): public values are x ‖ y without a
 * leading byte, the secret is the x coordinate. */
#include "crypto/kex_internal.h"

#include "crypto/libcrypto.h"
#include "crypto/memory.h"
#include <string.h>

#define POINT_MAX    97 /* the byte of the uncompressed form, x, y */
#define UNCOMPRESSED 4

static const char *group_name(const struct kex *kex)
{
    return kex->group == KEX_ECP256 ? "P-256" : "P-384";
}

/* A key from its parts; private_key NULL: the public half alone. NULL also where the point is not
 * on the curve. */
static EVP_PKEY *key_new(const struct kex *kex, const uint8_t *public_key,
                         const uint8_t *private_key)
{
    uint8_t point[POINT_MAX] = {UNCOMPRESSED};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    BIGNUM *number = NULL;
    EVP_PKEY *key = NULL;

    memcpy(point + 1, public_key, kex->public_len);
    if (ctx == NULL || builder == NULL ||
        OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, group_name(kex), 0) !=
            1 ||
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point,
                                         1 + kex->public_len) != 1)
        goto done;
    if (private_key != NULL) {
        number = BN_secure_new();
        if (number == NULL || BN_bin2bn(private_key, (int)kex->public_len / 2, number) == NULL ||
            OSSL_PARAM_BLD_push_BN_pad(builder, OSSL_PKEY_PARAM_PRIV_KEY, number,
                                       kex->public_len / 2) != 1)
            goto done;
    }
    params = OSSL_PARAM_BLD_to_param(builder);
    if (params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, private_key != NULL ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
                          params) != 1)
        key = NULL;
done:
    BN_clear_free(number);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

int kex_ecp_init(struct kex *kex)
{
    const size_t half = kex->public_len / 2;
    uint8_t point[POINT_MAX];
    size_t len = 0;
    BIGNUM *number = NULL;
    EVP_PKEY *key = EVP_EC_gen(group_name(kex));

    bool is_ready =
        key != NULL && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &number) == 1 &&
        BN_bn2binpad(number, kex->private_key, (int)half) == (int)half &&
        EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &len) ==
            1 &&
        len == 1 + kex->public_len && point[0] == UNCOMPRESSED;
    if (is_ready)
        memcpy(kex->public_key, point + 1, kex->public_len);
    BN_clear_free(number);
    EVP_PKEY_free(key);
    return is_ready ? ERR_OK : ERR_CRYPTO;
}

int kex_ecp_derive(const struct kex *kex, const uint8_t *peer_public, struct kex_secret *secret)
{
    EVP_PKEY *own = key_new(kex, kex->public_key, kex->private_key);
    EVP_PKEY *peer = key_new(kex, peer_public, NULL);
    EVP_PKEY_CTX *ctx = own != NULL ? EVP_PKEY_CTX_new(own, NULL) : NULL;
    size_t len = secret->len;
    int result = ERR_CRYPTO;

    if (own == NULL || ctx == NULL || EVP_PKEY_derive_init(ctx) != 1)
        goto done;
    result = ERR_INVALID;
    /* With the public-key check: a point off the curve would give our key away. */
    if (peer != NULL && EVP_PKEY_derive_set_peer_ex(ctx, peer, 1) == 1 &&
        EVP_PKEY_derive(ctx, secret->bytes, &len) == 1 && len == secret->len)
        result = ERR_OK;
done:
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
    return result;
}
