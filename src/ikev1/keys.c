/* Keys of IKEv1; see ikev1/keys.h. */
#include "ikev1/keys.h"
#include "base/writer.h"
#include "crypto/memory.h"
#include "wire/isakmp.h"

static void put_u64(uint8_t bytes[8], uint64_t value)
{
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
}

static void put_u32(uint8_t bytes[4], uint32_t value)
{
    for (size_t i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* SKEYID of pre-shared keys: prf(key, Ni_b | Nr_b); of signatures: prf(Ni_b | Nr_b, g^xy). */
static int derive_skeyid(const struct ikev1_material *m, struct ikev1_keys *keys)
{
    const struct piece nonces[] = {{m->nonce_i, m->nonce_i_len}, {m->nonce_r, m->nonce_r_len}};
    const struct piece secret = {m->secret->bytes, m->secret->len};
    uint8_t both[2 * IKE_NONCE_LEN_MAX];

    if (m->is_signed) {
        if (m->nonce_i_len > IKE_NONCE_LEN_MAX || m->nonce_r_len > IKE_NONCE_LEN_MAX)
            return ERR_LIMIT;
        memcpy(both, m->nonce_i, m->nonce_i_len);
        memcpy(both + m->nonce_i_len, m->nonce_r, m->nonce_r_len);
        return hash_hmac(m->hash, both, m->nonce_i_len + m->nonce_r_len, &secret, 1, keys->skeyid);
    }
    return hash_hmac(m->hash, m->psk, m->psk_len, nonces, 2, keys->skeyid);
}

int ikev1_keys_derive(const struct ikev1_material *m, struct ikev1_keys *ret_keys)
{
    struct ikev1_keys keys = {.hash = m->hash, .cipher_key_len = m->cipher_key_len};
    const size_t len = hash_len(m->hash);
    uint8_t *const outputs[] = {keys.skeyid_d, keys.skeyid_a, keys.skeyid_e};
    uint8_t cookies[16];

    if (len < m->cipher_key_len)
        return ERR_UNSUPPORTED;
    put_u64(cookies, m->cookie_i);
    put_u64(cookies + 8, m->cookie_r);
    int error = derive_skeyid(m, &keys);
    for (uint8_t i = 0; i < 3 && error == ERR_OK; i++) {
        const struct piece pieces[] = {{i > 0 ? outputs[i - 1] : NULL, i > 0 ? len : 0},
                                       {m->secret->bytes, m->secret->len},
                                       {cookies, sizeof(cookies)},
                                       {&i, 1}};
        error = hash_hmac(m->hash, keys.skeyid, len, pieces, 4, outputs[i]);
    }
    if (error == ERR_OK)
        *ret_keys = keys;
    crypto_wipe(&keys, sizeof(keys));
    return error;
}

int ikev1_keys_prove(const struct ikev1_keys *keys, const struct ikev1_proof *proof,
                     uint8_t ret_hash[HASH_LEN_MAX])
{
    uint8_t cookies[16];

    put_u64(cookies, proof->own_cookie);
    put_u64(cookies + 8, proof->other_cookie);
    const struct piece pieces[] = {{proof->own_public, proof->public_len},
                                   {proof->other_public, proof->public_len},
                                   {cookies, sizeof(cookies)},
                                   {proof->sa_body, proof->sa_body_len},
                                   {proof->id_body, proof->id_body_len}};
    return hash_hmac(proof->hash, keys->skeyid, hash_len(keys->hash), pieces, 5, ret_hash);
}

static int iv_of(enum hash_algorithm hash, const struct piece *pieces, size_t count,
                 uint8_t ret_iv[CBC_BLOCK_LEN])
{
    uint8_t digest[HASH_LEN_MAX];

    const int error = hash_digest(hash, pieces, count, digest);
    if (error == ERR_OK)
        memcpy(ret_iv, digest, CBC_BLOCK_LEN);
    return error;
}

int ikev1_iv_main(enum hash_algorithm hash, const uint8_t *public_i, const uint8_t *public_r,
                  size_t public_len, uint8_t ret_iv[CBC_BLOCK_LEN])
{
    const struct piece pieces[] = {{public_i, public_len}, {public_r, public_len}};

    return iv_of(hash, pieces, 2, ret_iv);
}

int ikev1_iv_exchange(enum hash_algorithm hash, const uint8_t last[CBC_BLOCK_LEN],
                      uint32_t message_id, uint8_t ret_iv[CBC_BLOCK_LEN])
{
    uint8_t id[4];

    put_u32(id, message_id);
    const struct piece pieces[] = {{last, CBC_BLOCK_LEN}, {id, sizeof(id)}};
    return iv_of(hash, pieces, 2, ret_iv);
}

int ikev1_keys_hash(const struct ikev1_keys *keys, uint32_t message_id, const struct piece *pieces,
                    size_t count, uint8_t ret_hash[HASH_LEN_MAX])
{
    uint8_t id[4];
    struct piece all[4] = {{id, sizeof(id)}};

    if (count > 3)
        return ERR_LIMIT;
    put_u32(id, message_id);
    for (size_t i = 0; i < count; i++)
        all[i + 1] = pieces[i];
    return hash_hmac(keys->hash, keys->skeyid_a, hash_len(keys->hash), all, count + 1, ret_hash);
}

int ikev1_keys_hash3(const struct ikev1_keys *keys, uint32_t message_id, const uint8_t *nonce_i,
                     size_t nonce_i_len, const uint8_t *nonce_r, size_t nonce_r_len,
                     uint8_t ret_hash[HASH_LEN_MAX])
{
    uint8_t id[5] = {0};

    put_u32(id + 1, message_id);
    const struct piece pieces[] = {
        {id, sizeof(id)}, {nonce_i, nonce_i_len}, {nonce_r, nonce_r_len}};
    return hash_hmac(keys->hash, keys->skeyid_a, hash_len(keys->hash), pieces, 3, ret_hash);
}

int ikev1_keys_child(const struct ikev1_keys *keys, const struct kex_secret *secret, uint32_t spi,
                     const uint8_t *nonce_i, size_t nonce_i_len, const uint8_t *nonce_r,
                     size_t nonce_r_len, enum suite suite, uint8_t *ret_key)
{
    const size_t len = hash_len(keys->hash);
    const size_t wanted = suite_key_len(suite);
    uint8_t head[5] = {ISAKMP_PROTOCOL_ESP};
    uint8_t block[HASH_LEN_MAX];
    int error = wanted > 0 ? ERR_OK : ERR_UNSUPPORTED;

    put_u32(head + 1, spi);
    for (size_t done = 0; done < wanted && error == ERR_OK; done += len) {
        /* K1, then each further block from the one before. */
        const struct piece pieces[] = {
            {block, done > 0 ? len : 0},
            {secret != NULL ? secret->bytes : NULL, secret != NULL ? secret->len : 0},
            {head, sizeof(head)},
            {nonce_i, nonce_i_len},
            {nonce_r, nonce_r_len}};
        error = hash_hmac(keys->hash, keys->skeyid_d, len, pieces, 5, block);
        if (error == ERR_OK)
            memcpy(ret_key + done, block, wanted - done < len ? wanted - done : len);
    }
    crypto_wipe(block, sizeof(block));
    return error;
}
