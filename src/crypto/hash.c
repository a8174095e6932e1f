/* Hashes, HMAC and prf+ for the control side: contexts live for one call. The packet path has its
 * own keyed contexts (crypto/keyed.h). */
#include "crypto/hash.h"

#include "crypto/keyed.h"
#include "crypto/memory.h"
#include <string.h>

static int digest(const EVP_MD *md, const struct piece *pieces, size_t count, uint8_t *ret_digest)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int result = ERR_CRYPTO;

    if (ctx == NULL)
        return ERR_NOMEM;
    if (EVP_DigestInit_ex(ctx, md, NULL) != 1)
        goto free_ctx;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].len > 0 && EVP_DigestUpdate(ctx, pieces[i].data, pieces[i].len) != 1)
            goto free_ctx;
    }
    if (EVP_DigestFinal_ex(ctx, ret_digest, NULL) == 1)
        result = ERR_OK;
free_ctx:
    EVP_MD_CTX_free(ctx);
    return result;
}

int sha1(const struct piece *pieces, size_t count, uint8_t ret_digest[SHA1_LEN])
{
    return digest(EVP_sha1(), pieces, count, ret_digest);
}

int sha256(const struct piece *pieces, size_t count, uint8_t ret_digest[SHA256_LEN])
{
    return digest(EVP_sha256(), pieces, count, ret_digest);
}

static int hmac(const char *digest_name, const void *key, size_t key_len,
                const struct piece *pieces, size_t count, uint8_t *ret_mac, size_t mac_len)
{
    EVP_MAC_CTX *ctx = keyed_hmac_new(digest_name, key, key_len);
    uint8_t mac[HASH_LEN_MAX];
    size_t len = 0;
    int result = ERR_CRYPTO;

    if (ctx == NULL)
        return ERR_CRYPTO;
    if (keyed_hmac_update(ctx, pieces, count) == ERR_OK &&
        EVP_MAC_final(ctx, mac, &len, sizeof(mac)) == 1 && len == mac_len) {
        memcpy(ret_mac, mac, mac_len);
        result = ERR_OK;
    }
    EVP_MAC_CTX_free(ctx);
    crypto_wipe(mac, sizeof(mac));
    return result;
}

int hmac_sha1(const void *key, size_t key_len, const struct piece *pieces, size_t count,
              uint8_t ret_mac[SHA1_LEN])
{
    return hmac("SHA1", key, key_len, pieces, count, ret_mac, SHA1_LEN);
}

int hmac_sha256(const void *key, size_t key_len, const struct piece *pieces, size_t count,
                uint8_t ret_mac[SHA256_LEN])
{
    return hmac("SHA256", key, key_len, pieces, count, ret_mac, SHA256_LEN);
}

static const char *hash_name(enum hash_algorithm algorithm)
{
    static const char *const names[] = {NULL, "SHA256", "SHA384", "SHA512"};
    return (size_t)algorithm < sizeof(names) / sizeof(names[0]) ? names[algorithm] : NULL;
}

size_t hash_len(enum hash_algorithm algorithm)
{
    static const size_t lens[] = {0, 32, 48, 64};
    return (size_t)algorithm < sizeof(lens) / sizeof(lens[0]) ? lens[algorithm] : 0;
}

int hash_digest(enum hash_algorithm algorithm, const struct piece *pieces, size_t count,
                uint8_t *ret_digest)
{
    switch (algorithm) {
    case HASH_SHA256:
        return digest(EVP_sha256(), pieces, count, ret_digest);
    case HASH_SHA384:
        return digest(EVP_sha384(), pieces, count, ret_digest);
    case HASH_SHA512:
        return digest(EVP_sha512(), pieces, count, ret_digest);
    case HASH_NONE:
        break;
    }
    return ERR_UNSUPPORTED;
}

int hash_hmac(enum hash_algorithm algorithm, const void *key, size_t key_len,
              const struct piece *pieces, size_t count, uint8_t *ret_mac)
{
    const char *name = hash_name(algorithm);
    if (name == NULL)
        return ERR_UNSUPPORTED;
    return hmac(name, key, key_len, pieces, count, ret_mac, hash_len(algorithm));
}

int hash_prf_plus(enum hash_algorithm algorithm, const uint8_t *key, size_t key_len,
                  const struct piece *seed, size_t count, uint8_t *ret_out, size_t len)
{
    uint8_t block[HASH_LEN_MAX];
    const size_t block_len = hash_len(algorithm);
    size_t done = 0;
    int result = ERR_CRYPTO;

    if (block_len == 0)
        return ERR_UNSUPPORTED;
    if (len > 255 * block_len)
        return ERR_LIMIT;
    EVP_MAC_CTX *ctx = keyed_hmac_new(hash_name(algorithm), key, key_len);
    if (ctx == NULL)
        return ERR_CRYPTO;
    for (uint8_t counter = 1; done < len; counter++) {
        size_t part = len - done < block_len ? len - done : block_len;
        if (counter > 1 &&
            (EVP_MAC_init(ctx, NULL, 0, NULL) != 1 || EVP_MAC_update(ctx, block, block_len) != 1))
            goto wipe;
        if (keyed_hmac_update(ctx, seed, count) != ERR_OK ||
            EVP_MAC_update(ctx, &counter, 1) != 1 ||
            EVP_MAC_final(ctx, block, NULL, sizeof(block)) != 1)
            goto wipe;
        memcpy(ret_out + done, block, part);
        done += part;
    }
    result = ERR_OK;
wipe:
    if (result != ERR_OK)
        crypto_wipe(ret_out, done);
    crypto_wipe(block, sizeof(block));
    EVP_MAC_CTX_free(ctx);
    return result;
}
