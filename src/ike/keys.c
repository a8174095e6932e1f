/* Keys of IKE SAs and children; see ike/keys.h. What seals with them: ike/seal.c. */
#include "ike/keys.h"
#include "crypto/memory.h"
#include <stdlib.h>
#include <string.h>

static void put_u64(uint8_t *bytes, uint64_t value)
{
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
}

static size_t part_len(const struct ike_algorithms *a, enum ike_key_part part)
{
    switch (part) {
    case IKE_SK_AI:
    case IKE_SK_AR:
        return hash_len(a->integ); /* none with an AEAD (RFC 5282, 7.1) */
    case IKE_SK_EI:
    case IKE_SK_ER:
        return ike_cipher_key_len(a->cipher);
    default:
        return hash_len(a->prf);
    }
}

const uint8_t *ike_keys_part(const struct ike_keys *keys, enum ike_key_part part, size_t *ret_len)
{
    const uint8_t *at = keys->material;

    for (unsigned p = IKE_SK_D; p < (unsigned)part; p++)
        at += part_len(&keys->algorithms, (enum ike_key_part)p);
    if (ret_len != NULL)
        *ret_len = part_len(&keys->algorithms, part);
    return at;
}

static size_t material_len(const struct ike_algorithms *a)
{
    size_t len = 0;
    for (unsigned p = IKE_SK_D; p <= IKE_SK_PR; p++)
        len += part_len(a, (enum ike_key_part)p);
    return len;
}

/* {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr).
 */
static int expand(const struct ike_algorithms *algorithms, const uint8_t *skeyseed,
                  size_t skeyseed_len, const struct ike_nonces *nonces, uint64_t spi_i,
                  uint64_t spi_r, struct ike_keys *ret_keys)
{
    uint8_t spis[16];
    const size_t len = material_len(algorithms);
    const bool is_aead = ike_cipher_is_aead(algorithms->cipher);

    if (ike_cipher_key_len(algorithms->cipher) == 0 || hash_len(algorithms->prf) == 0 ||
        is_aead != (algorithms->integ == HASH_NONE))
        return ERR_UNSUPPORTED;
    put_u64(spis, spi_i);
    put_u64(spis + 8, spi_r);
    const struct piece seed[] = {{nonces->initiator, nonces->initiator_len},
                                 {nonces->responder, nonces->responder_len},
                                 {spis, sizeof(spis)}};
    uint8_t *material = (uint8_t *)malloc(len);
    if (material == NULL)
        return ERR_NOMEM;
    int error = hash_prf_plus(algorithms->prf, skeyseed, skeyseed_len, seed, 3, material, len);
    if (error != ERR_OK) {
        free(material);
        return error;
    }
    *ret_keys = (struct ike_keys){.algorithms = *algorithms, .material = material};
    return ERR_OK;
}

int ike_keys_derive(const struct ike_algorithms *algorithms, const struct kex_secret *secret,
                    const struct ike_nonces *nonces, uint64_t spi_i, uint64_t spi_r,
                    struct ike_keys *ret_keys)
{
    uint8_t key[2 * IKE_NONCE_LEN_MAX];
    uint8_t skeyseed[IKE_PRF_LEN_MAX];
    const struct piece piece = {secret->bytes, secret->len};

    if (nonces->initiator_len > IKE_NONCE_LEN_MAX || nonces->responder_len > IKE_NONCE_LEN_MAX)
        return ERR_INVALID;
    memcpy(key, nonces->initiator, nonces->initiator_len);
    memcpy(key + nonces->initiator_len, nonces->responder, nonces->responder_len);
    int error = hash_hmac(algorithms->prf, key, nonces->initiator_len + nonces->responder_len,
                          &piece, 1, skeyseed);
    if (error == ERR_OK)
        error =
            expand(algorithms, skeyseed, hash_len(algorithms->prf), nonces, spi_i, spi_r, ret_keys);
    crypto_wipe(skeyseed, sizeof(skeyseed));
    return error;
}

int ike_keys_rekey(const struct ike_algorithms *algorithms, const struct ike_keys *old,
                   const struct kex_secret *secret, const struct ike_nonces *nonces, uint64_t spi_i,
                   uint64_t spi_r, struct ike_keys *ret_keys)
{
    uint8_t skeyseed[IKE_PRF_LEN_MAX];
    size_t sk_d_len;
    const uint8_t *sk_d = ike_keys_part(old, IKE_SK_D, &sk_d_len);
    const struct piece pieces[] = {{secret->bytes, secret->len},
                                   {nonces->initiator, nonces->initiator_len},
                                   {nonces->responder, nonces->responder_len}};

    int error = hash_hmac(old->algorithms.prf, sk_d, sk_d_len, pieces, 3, skeyseed);
    if (error == ERR_OK)
        error = expand(algorithms, skeyseed, hash_len(old->algorithms.prf), nonces, spi_i, spi_r,
                       ret_keys);
    crypto_wipe(skeyseed, sizeof(skeyseed));
    return error;
}

int ike_keys_resume(enum ike_cipher cipher, const uint8_t sk_d[IKE_PRF_LEN],
                    const struct ike_nonces *nonces, uint64_t spi_i, uint64_t spi_r,
                    struct ike_keys *ret_keys)
{
    static const char label[] = "Resumption";
    const struct ike_algorithms algorithms = {
        .cipher = cipher, .prf = HASH_SHA256, .group = KEX_X25519};
    uint8_t skeyseed[IKE_PRF_LEN_MAX];
    const struct piece pieces[] = {{label, sizeof(label) - 1},
                                   {nonces->initiator, nonces->initiator_len},
                                   {nonces->responder, nonces->responder_len}};

    int error = hash_hmac(HASH_SHA256, sk_d, IKE_PRF_LEN, pieces, 3, skeyseed);
    if (error == ERR_OK)
        error = expand(&algorithms, skeyseed, IKE_PRF_LEN, nonces, spi_i, spi_r, ret_keys);
    crypto_wipe(skeyseed, sizeof(skeyseed));
    return error;
}

int ike_keys_child(const struct ike_keys *keys, const struct kex_secret *secret,
                   const struct ike_nonces *nonces, enum suite suite, uint8_t *ret_initiator,
                   uint8_t *ret_responder)
{
    uint8_t out[2 * SUITE_KEY_CAP];
    size_t key_len = suite_key_len(suite);
    size_t sk_d_len;
    const uint8_t *sk_d = ike_keys_part(keys, IKE_SK_D, &sk_d_len);
    const struct piece seed[] = {
        {secret != NULL ? secret->bytes : NULL, secret != NULL ? secret->len : 0},
        {nonces->initiator, nonces->initiator_len},
        {nonces->responder, nonces->responder_len}};

    if (key_len == 0)
        return ERR_UNSUPPORTED;
    int error = hash_prf_plus(keys->algorithms.prf, sk_d, sk_d_len, seed, 3, out, 2 * key_len);
    if (error == ERR_OK) {
        memcpy(ret_initiator, out, key_len);
        memcpy(ret_responder, out + key_len, key_len);
    }
    crypto_wipe(out, sizeof(out));
    return error;
}

void ike_keys_wipe(struct ike_keys *keys)
{
    if (keys->material != NULL)
        crypto_wipe(keys->material, material_len(&keys->algorithms));
    free(keys->material);
    crypto_wipe(keys, sizeof(*keys));
}

bool ike_keys_are_equal(const struct ike_keys *a, const struct ike_keys *b)
{
    const struct ike_algorithms *x = &a->algorithms, *y = &b->algorithms;

    return a->material != NULL && b->material != NULL && x->cipher == y->cipher &&
           x->prf == y->prf && x->integ == y->integ &&
           crypto_is_equal(a->material, b->material, material_len(x));
}

int ike_keys_prf(const struct ike_keys *keys, const void *key, size_t key_len,
                 const struct piece *pieces, size_t count, uint8_t *ret_mac)
{
    return hash_hmac(keys->algorithms.prf, key, key_len, pieces, count, ret_mac);
}

size_t ike_keys_prf_len(const struct ike_keys *keys)
{
    return hash_len(keys->algorithms.prf);
}
