/* Sealing and opening of SK payloads; see ike/keys.h. A context per message: IKE messages are rare,
 * and an idle SA then holds its keys and no more. */
#include "crypto/cbc.h"
#include "crypto/memory.h"
#include "ike/keys.h"
#include <string.h>

size_t ike_keys_iv_len(const struct ike_keys *keys)
{
    return keys->algorithms.integ == HASH_NONE ? IKE_IV_LEN : CBC_BLOCK_LEN;
}

size_t ike_keys_block_len(const struct ike_keys *keys)
{
    return keys->algorithms.integ == HASH_NONE ? 1 : CBC_BLOCK_LEN;
}

/* HMACs are cut to half their length (RFC 4868, 2.3). */
size_t ike_keys_tag_len(const struct ike_keys *keys)
{
    const enum hash_algorithm integ = keys->algorithms.integ;
    return integ == HASH_NONE ? AEAD_TAG_LEN : hash_len(integ) / 2;
}

static void put_counter(uint8_t *bytes, uint64_t value)
{
    for (size_t i = 0; i < IKE_IV_LEN; i++)
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* The context, and the nonce of the message. */
static int aead_context(const struct ike_keys *keys, bool is_initiator, const uint8_t *iv,
                        struct aead **ret_aead, uint8_t ret_nonce[AEAD_NONCE_LEN])
{
    enum aead_algorithm algorithm;
    const uint8_t *key = ike_keys_part(keys, is_initiator ? IKE_SK_EI : IKE_SK_ER, NULL);

    int error = ike_cipher_algorithm(keys->algorithms.cipher, &algorithm);
    if (error != ERR_OK)
        return error;
    memcpy(ret_nonce, key + aead_key_len(algorithm), IKE_SALT_LEN);
    memcpy(ret_nonce + IKE_SALT_LEN, iv, IKE_IV_LEN);
    return aead_new(algorithm, key, ret_aead);
}

static int seal_aead(const struct ike_keys *keys, bool is_initiator, uint64_t counter,
                     uint8_t *message, const struct ike_sk *sk)
{
    struct aead *aead;
    uint8_t nonce[AEAD_NONCE_LEN];

    put_counter(message + sk->iv_at, counter);
    int error = aead_context(keys, is_initiator, message + sk->iv_at, &aead, nonce);
    if (error != ERR_OK)
        return error;
    error = aead_seal(aead, nonce, message, sk->ad_len, message + sk->data_at, sk->data_len,
                      message + sk->tag_at);
    aead_free(aead);
    return error;
}

static int open_aead(const struct ike_keys *keys, bool is_initiator, uint8_t *message,
                     const struct ike_sk *sk)
{
    struct aead *aead;
    uint8_t nonce[AEAD_NONCE_LEN];

    int error = aead_context(keys, is_initiator, message + sk->iv_at, &aead, nonce);
    if (error != ERR_OK)
        return error;
    error = aead_open(aead, nonce, message, sk->ad_len, message + sk->data_at, sk->data_len,
                      message + sk->tag_at);
    aead_free(aead);
    return error;
}

/* Over all that precedes the tag. */
static int compute_tag(const struct ike_keys *keys, bool is_initiator, const uint8_t *message,
                       const struct ike_sk *sk, uint8_t ret_mac[HASH_LEN_MAX])
{
    const struct piece piece = {message, sk->tag_at};
    size_t len;
    const uint8_t *key = ike_keys_part(keys, is_initiator ? IKE_SK_AI : IKE_SK_AR, &len);

    return hash_hmac(keys->algorithms.integ, key, len, &piece, 1, ret_mac);
}

static int seal_cbc(const struct ike_keys *keys, bool is_initiator, uint8_t *message,
                    const struct ike_sk *sk)
{
    uint8_t mac[HASH_LEN_MAX];
    size_t len;
    const uint8_t *key = ike_keys_part(keys, is_initiator ? IKE_SK_EI : IKE_SK_ER, &len);

    int error = crypto_random(message + sk->iv_at, CBC_BLOCK_LEN);
    if (error == ERR_OK)
        error = cbc_encrypt(key, len, message + sk->iv_at, message + sk->data_at, sk->data_len);
    if (error == ERR_OK)
        error = compute_tag(keys, is_initiator, message, sk, mac);
    if (error == ERR_OK)
        memcpy(message + sk->tag_at, mac, ike_keys_tag_len(keys));
    return error;
}

static int open_cbc(const struct ike_keys *keys, bool is_initiator, uint8_t *message,
                    const struct ike_sk *sk)
{
    uint8_t mac[HASH_LEN_MAX];
    size_t len;
    const uint8_t *key = ike_keys_part(keys, is_initiator ? IKE_SK_EI : IKE_SK_ER, &len);

    int error = compute_tag(keys, is_initiator, message, sk, mac);
    if (error != ERR_OK)
        return error;
    if (!crypto_is_equal(mac, message + sk->tag_at, ike_keys_tag_len(keys)))
        return ERR_AUTH;
    return cbc_decrypt(key, len, message + sk->iv_at, message + sk->data_at, sk->data_len);
}

int ike_keys_locate(const struct ike_keys *keys, const uint8_t *message, size_t len,
                    struct ike_sk *ret_sk)
{
    int error = ike_sk_locate(message, len, ike_keys_iv_len(keys), ike_keys_tag_len(keys), ret_sk);
    if (error == ERR_OK && keys->material == NULL)
        error = ERR_STATE;
    if (error == ERR_OK && ret_sk->data_len % ike_keys_block_len(keys) != 0)
        error = ERR_INVALID;
    return error;
}

int ike_keys_seal(const struct ike_keys *keys, bool is_initiator, uint64_t counter,
                  uint8_t *message, size_t len)
{
    struct ike_sk sk;

    int error = ike_keys_locate(keys, message, len, &sk);
    if (error != ERR_OK)
        return error;
    return keys->algorithms.integ == HASH_NONE
               ? seal_aead(keys, is_initiator, counter, message, &sk)
               : seal_cbc(keys, is_initiator, message, &sk);
}

int ike_keys_open(const struct ike_keys *keys, bool is_initiator, uint8_t *message, size_t len,
                  uint8_t *ret_first, const uint8_t **ret_data, size_t *ret_len)
{
    struct ike_sk sk;

    int error = ike_keys_locate(keys, message, len, &sk);
    if (error != ERR_OK)
        return error;
    error = keys->algorithms.integ == HASH_NONE ? open_aead(keys, is_initiator, message, &sk)
                                                : open_cbc(keys, is_initiator, message, &sk);
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
