/* Keys of IKE SAs and children; see ike/keys.h. */
#include "ike/keys.h"
#include "crypto/memory.h"
#include <string.h>

static void put_u64(uint8_t *bytes, uint64_t value)
{
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* {SK_d | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr); an AEAD has no
 * SK_a (RFC 5282, 7.1). */
static int expand(enum ike_cipher cipher, const uint8_t *skeyseed, const struct ike_nonces *nonces,
                  uint64_t spi_i, uint64_t spi_r, struct ike_keys *ret_keys)
{
    enum aead_algorithm algorithm;
    uint8_t spis[16];
    uint8_t out[3 * IKE_PRF_LEN + 2 * (AEAD_KEY_LEN_MAX + IKE_SALT_LEN)];

    int error = ike_cipher_algorithm(cipher, &algorithm);
    if (error != ERR_OK)
        return error;
    size_t key_len = aead_key_len(algorithm) + IKE_SALT_LEN;
    put_u64(spis, spi_i);
    put_u64(spis + 8, spi_r);
    const struct piece seed[] = {{nonces->initiator, nonces->initiator_len},
                                 {nonces->responder, nonces->responder_len},
                                 {spis, sizeof(spis)}};
    error = prf_plus_sha256(skeyseed, IKE_PRF_LEN, seed, 3, out, 3 * IKE_PRF_LEN + 2 * key_len);
    if (error == ERR_OK) {
        struct reader r;
        reader_init(&r, out, sizeof(out));
        memset(ret_keys, 0, sizeof(*ret_keys));
        ret_keys->cipher = cipher;
        reader_copy(&r, ret_keys->sk_d, IKE_PRF_LEN);
        reader_copy(&r, ret_keys->sk_ei, key_len);
        reader_copy(&r, ret_keys->sk_er, key_len);
        reader_copy(&r, ret_keys->sk_pi, IKE_PRF_LEN);
        reader_copy(&r, ret_keys->sk_pr, IKE_PRF_LEN);
    }
    crypto_wipe(out, sizeof(out));
    return error;
}

int ike_keys_derive(enum ike_cipher cipher, const uint8_t secret[KEX_SECRET_LEN],
                    const struct ike_nonces *nonces, uint64_t spi_i, uint64_t spi_r,
                    struct ike_keys *ret_keys)
{
    uint8_t key[2 * IKE_NONCE_LEN_MAX];
    uint8_t skeyseed[IKE_PRF_LEN];
    const struct piece pieces[] = {{secret, KEX_SECRET_LEN}};

    if (nonces->initiator_len > IKE_NONCE_LEN_MAX || nonces->responder_len > IKE_NONCE_LEN_MAX)
        return ERR_INVALID;
    memcpy(key, nonces->initiator, nonces->initiator_len);
    memcpy(key + nonces->initiator_len, nonces->responder, nonces->responder_len);
    int error =
        hmac_sha256(key, nonces->initiator_len + nonces->responder_len, pieces, 1, skeyseed);
    if (error == ERR_OK)
        error = expand(cipher, skeyseed, nonces, spi_i, spi_r, ret_keys);
    crypto_wipe(skeyseed, sizeof(skeyseed));
    return error;
}

int ike_keys_rekey(enum ike_cipher cipher, const struct ike_keys *old,
                   const uint8_t secret[KEX_SECRET_LEN], const struct ike_nonces *nonces,
                   uint64_t spi_i, uint64_t spi_r, struct ike_keys *ret_keys)
{
    uint8_t skeyseed[IKE_PRF_LEN];
    const struct piece pieces[] = {{secret, KEX_SECRET_LEN},
                                   {nonces->initiator, nonces->initiator_len},
                                   {nonces->responder, nonces->responder_len}};

    int error = hmac_sha256(old->sk_d, IKE_PRF_LEN, pieces, 3, skeyseed);
    if (error == ERR_OK)
        error = expand(cipher, skeyseed, nonces, spi_i, spi_r, ret_keys);
    crypto_wipe(skeyseed, sizeof(skeyseed));
    return error;
}

int ike_keys_resume(enum ike_cipher cipher, const uint8_t sk_d[IKE_PRF_LEN],
                    const struct ike_nonces *nonces, uint64_t spi_i, uint64_t spi_r,
                    struct ike_keys *ret_keys)
{
    static const char label[] = "Resumption";
    uint8_t skeyseed[IKE_PRF_LEN];
    const struct piece pieces[] = {{label, sizeof(label) - 1},
                                   {nonces->initiator, nonces->initiator_len},
                                   {nonces->responder, nonces->responder_len}};

    int error = hmac_sha256(sk_d, IKE_PRF_LEN, pieces, 3, skeyseed);
    if (error == ERR_OK)
        error = expand(cipher, skeyseed, nonces, spi_i, spi_r, ret_keys);
    crypto_wipe(skeyseed, sizeof(skeyseed));
    return error;
}

int ike_keys_child(const struct ike_keys *keys, const uint8_t *secret,
                   const struct ike_nonces *nonces, enum suite suite, uint8_t *ret_initiator,
                   uint8_t *ret_responder)
{
    uint8_t out[2 * SUITE_KEY_CAP];
    size_t key_len = suite_key_len(suite);
    const struct piece seed[] = {{secret, secret != NULL ? KEX_SECRET_LEN : 0},
                                 {nonces->initiator, nonces->initiator_len},
                                 {nonces->responder, nonces->responder_len}};
    size_t skip = secret != NULL ? 0 : 1;

    if (key_len == 0)
        return ERR_UNSUPPORTED;
    int error = prf_plus_sha256(keys->sk_d, IKE_PRF_LEN, seed + skip, 3 - skip, out, 2 * key_len);
    if (error == ERR_OK) {
        memcpy(ret_initiator, out, key_len);
        memcpy(ret_responder, out + key_len, key_len);
    }
    crypto_wipe(out, sizeof(out));
    return error;
}

void ike_keys_wipe(struct ike_keys *keys)
{
    crypto_wipe(keys, sizeof(*keys));
}

/* A context per message: IKE messages are rare, and an idle SA then holds its keys and no more. */
static int context_new(const struct ike_keys *keys, bool is_initiator, struct aead **ret_aead,
                       const uint8_t **ret_salt)
{
    enum aead_algorithm algorithm;
    const uint8_t *key = is_initiator ? keys->sk_ei : keys->sk_er;

    int error = ike_cipher_algorithm(keys->cipher, &algorithm);
    if (error != ERR_OK)
        return error;
    *ret_salt = key + aead_key_len(algorithm);
    return aead_new(algorithm, key, ret_aead);
}

int ike_keys_seal(const struct ike_keys *keys, bool is_initiator, uint64_t counter,
                  uint8_t *message, size_t len)
{
    struct ike_sk sk;
    struct aead *aead;
    const uint8_t *salt;
    uint8_t nonce[AEAD_NONCE_LEN];

    int error = ike_sk_locate(message, len, IKE_IV_LEN, AEAD_TAG_LEN, &sk);
    if (error == ERR_OK)
        error = context_new(keys, is_initiator, &aead, &salt);
    if (error != ERR_OK)
        return error;
    put_u64(message + sk.iv_at, counter);
    memcpy(nonce, salt, IKE_SALT_LEN);
    memcpy(nonce + IKE_SALT_LEN, message + sk.iv_at, IKE_IV_LEN);
    error = aead_seal(aead, nonce, message, sk.ad_len, message + sk.data_at, sk.data_len,
                      message + sk.tag_at);
    aead_free(aead);
    return error;
}

int ike_keys_open(const struct ike_keys *keys, bool is_initiator, uint8_t *message, size_t len,
                  uint8_t *ret_first, const uint8_t **ret_data, size_t *ret_len)
{
    struct ike_sk sk;
    struct aead *aead;
    const uint8_t *salt;
    uint8_t nonce[AEAD_NONCE_LEN];

    int error = ike_sk_locate(message, len, IKE_IV_LEN, AEAD_TAG_LEN, &sk);
    if (error == ERR_OK)
        error = context_new(keys, is_initiator, &aead, &salt);
    if (error != ERR_OK)
        return error;
    memcpy(nonce, salt, IKE_SALT_LEN);
    memcpy(nonce + IKE_SALT_LEN, message + sk.iv_at, IKE_IV_LEN);
    error = aead_open(aead, nonce, message, sk.ad_len, message + sk.data_at, sk.data_len,
                      message + sk.tag_at);
    aead_free(aead);
    size_t payloads_len;
    if (error == ERR_OK)
        error = ike_sk_strip(message + sk.data_at, sk.data_len, &payloads_len);
    if (error != ERR_OK)
        return error;
    *ret_first = sk.inner;
    *ret_data = message + sk.data_at;
    *ret_len = payloads_len;
    return ERR_OK;
}
