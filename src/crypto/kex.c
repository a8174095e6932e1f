/* X25519 on libcrypto. Key pairs are raw bytes here; IKE's payloads around them are wire/'s matter.
 */
#include "crypto/kex.h"

#include "crypto/libcrypto.h"
#include "crypto/memory.h"
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

int kex_init(struct kex *kex)
{
    int result = crypto_random(kex->private_key, sizeof(kex->private_key));
    if (result != ERR_OK)
        return result;

    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, kex->private_key,
                                                 sizeof(kex->private_key));
    size_t len = sizeof(kex->public_key);
    bool is_ready = key != NULL && EVP_PKEY_get_raw_public_key(key, kex->public_key, &len) == 1 &&
                    len == sizeof(kex->public_key);
    EVP_PKEY_free(key);
    if (!is_ready) {
        kex_done(kex);
        return ERR_CRYPTO;
    }
    return ERR_OK;
}

void kex_done(struct kex *kex)
{
    if (kex != NULL)
        crypto_wipe(kex, sizeof(*kex));
}

int kex_derive(const struct kex *kex, const uint8_t peer_public[KEX_PUBLIC_LEN],
               uint8_t ret_secret[KEX_SECRET_LEN])
{
    static const uint8_t zero[KEX_SECRET_LEN];
    uint8_t secret[KEX_SECRET_LEN] = {0};
    size_t len = sizeof(secret);
    int result = ERR_CRYPTO;
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, kex->private_key,
                                                 sizeof(kex->private_key));
    EVP_PKEY *peer =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer_public, KEX_PUBLIC_LEN);
    EVP_PKEY_CTX *ctx = own != NULL ? EVP_PKEY_CTX_new(own, NULL) : NULL;

    /* Without the public-key check, which would refuse small orders with no cause that can be told.
     */
    if (ctx == NULL || peer == NULL || EVP_PKEY_derive_init(ctx) != 1 ||
        EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) != 1)
        goto free_keys;
    /* libcrypto fails here for the all-zero secret, and for nothing else with keys of right length.
     */
    result = ERR_INVALID;
    if (EVP_PKEY_derive(ctx, secret, &len) != 1 || len != sizeof(secret) ||
        crypto_is_equal(secret, zero, sizeof(secret)))
        goto free_keys;
    memcpy(ret_secret, secret, sizeof(secret));
    result = ERR_OK;
free_keys:
    crypto_wipe(secret, sizeof(secret));
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
    return result;
}
