/* The table of groups, and X25519 on libcrypto. Key pairs are raw bytes here; IKE's payloads around
 * them are wire/'s matter. */
#include "crypto/kex_internal.h"

#include "crypto/libcrypto.h"
#include "crypto/memory.h"
#include <string.h>

static int x25519_init(struct kex *kex)
{
    int result = crypto_random(kex->private_key, KEX_X25519_LEN);
    if (result != ERR_OK)
        return result;

    EVP_PKEY *key =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, kex->private_key, KEX_X25519_LEN);
    size_t len = KEX_X25519_LEN;
    bool is_ready = key != NULL && EVP_PKEY_get_raw_public_key(key, kex->public_key, &len) == 1 &&
                    len == KEX_X25519_LEN;
    EVP_PKEY_free(key);
    return is_ready ? ERR_OK : ERR_CRYPTO;
}

static int x25519_derive(const struct kex *kex, const uint8_t *peer_public,
                         struct kex_secret *secret)
{
    static const uint8_t zero[KEX_X25519_LEN];
    size_t len = KEX_X25519_LEN;
    int result = ERR_CRYPTO;
    EVP_PKEY *own =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, kex->private_key, KEX_X25519_LEN);
    EVP_PKEY *peer =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer_public, KEX_X25519_LEN);
    EVP_PKEY_CTX *ctx = own != NULL ? EVP_PKEY_CTX_new(own, NULL) : NULL;

    /* Without the public-key check, which would refuse small orders with no cause that can be told.
     */
    if (ctx == NULL || peer == NULL || EVP_PKEY_derive_init(ctx) != 1 ||
        EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) != 1)
        goto free_keys;
    /* libcrypto fails here for the all-zero secret, and for nothing else with keys of right length.
     */
    result = ERR_INVALID;
    if (EVP_PKEY_derive(ctx, secret->bytes, &len) == 1 && len == KEX_X25519_LEN &&
        !crypto_is_equal(secret->bytes, zero, sizeof(zero)))
        result = ERR_OK;
free_keys:
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
    return result;
}

static const struct group {
    enum kex_group id;
    size_t public_len;
    size_t secret_len;
    int (*init)(struct kex *kex);
    int (*derive)(const struct kex *kex, const uint8_t *peer_public, struct kex_secret *secret);
} groups[KEX_GROUP_COUNT] = {
    {KEX_X25519, KEX_X25519_LEN, KEX_X25519_LEN, x25519_init, x25519_derive},
    {KEX_ECP256, 64, 32, kex_ecp_init, kex_ecp_derive},
    {KEX_ECP384, 96, 48, kex_ecp_init, kex_ecp_derive},
    {KEX_MODP3072, 384, 384, kex_modp_init, kex_modp_derive},
    {KEX_MODP2048, 256, 256, kex_modp_init, kex_modp_derive},
};

static const struct group *find(unsigned int id)
{
    for (size_t i = 0; i < KEX_GROUP_COUNT; i++)
        if ((unsigned int)groups[i].id == id)
            return &groups[i];
    return NULL;
}

bool kex_is_known(unsigned int group)
{
    return find(group) != NULL;
}

size_t kex_public_len(enum kex_group group)
{
    const struct group *g = find(group);
    return g != NULL ? g->public_len : 0;
}

int kex_init(struct kex *kex, enum kex_group group)
{
    const struct group *g = find(group);

    if (g == NULL)
        return ERR_UNSUPPORTED;
    *kex = (struct kex){.group = group, .public_len = g->public_len};
    const int result = g->init(kex);
    if (result != ERR_OK)
        kex_done(kex);
    return result;
}

void kex_done(struct kex *kex)
{
    if (kex != NULL)
        crypto_wipe(kex, sizeof(*kex));
}

int kex_derive(const struct kex *kex, const uint8_t *peer_public, size_t peer_len,
               struct kex_secret *ret_secret)
{
    const struct group *g = find(kex->group);
    struct kex_secret secret;

    if (g == NULL)
        return ERR_UNSUPPORTED;
    if (peer_len != g->public_len)
        return ERR_INVALID;
    secret.len = g->secret_len;
    const int result = g->derive(kex, peer_public, &secret);
    if (result == ERR_OK) {
        ret_secret->len = secret.len;
        memcpy(ret_secret->bytes, secret.bytes, secret.len);
    }
    ERR_clear_error();
    kex_secret_done(&secret);
    return result;
}

void kex_secret_done(struct kex_secret *secret)
{
    crypto_wipe(secret, sizeof(*secret));
}
