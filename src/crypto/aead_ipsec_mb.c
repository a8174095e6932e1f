/* AEAD on intel-ipsec-mb's direct calls: the same bytes with less to do around them for each
 * packet, on x86-64 with AES and vector instructions. */
#include "crypto/aead_backend.h"

#include "crypto/ipsec_mb.h"
#include "crypto/memory.h"
#include <string.h>

#ifdef HAVE_IPSEC_MB
struct keyed {
    struct aead aead;
    IMB_MGR *manager;
    enum aead_algorithm algorithm;
    union {
        _Alignas(64) struct gcm_key_data gcm; /* its vectors */
        uint8_t chacha_key[64]; /* 32, but the library loads a whole vector from there */
    };
};

static void destroy(void *opaque)
{
    struct keyed *keyed = (struct keyed *)opaque;
    crypto_wipe(&keyed->gcm, sizeof(keyed->gcm));
}

static int make(enum aead_algorithm algorithm, const uint8_t *key, void *opaque)
{
    struct keyed *keyed = (struct keyed *)opaque;
    IMB_MGR *const manager = ipsec_mb_shared();
    if (manager == NULL)
        return ERR_UNSUPPORTED;
    keyed->algorithm = algorithm;
    keyed->manager = manager;
    if (algorithm == AEAD_AES128_GCM)
        IMB_AES128_GCM_PRE(keyed->manager, key, &keyed->gcm);
    else if (algorithm == AEAD_AES256_GCM)
        IMB_AES256_GCM_PRE(keyed->manager, key, &keyed->gcm);
    else
        memcpy(keyed->chacha_key, key, aead_key_len(algorithm));
    return ERR_OK;
}

/* tag: made, not compared. */
static void run(struct keyed *keyed, bool is_sealing, const uint8_t *nonce, const void *ad,
                size_t ad_len, uint8_t *data, size_t len, uint8_t *ret_tag)
{
    IMB_MGR *const manager = keyed->manager;
    if (keyed->algorithm == AEAD_CHACHA20_POLY1305) {
        struct chacha20_poly1305_context_data context;
        IMB_CHACHA20_POLY1305_INIT(manager, keyed->chacha_key, &context, nonce, ad, ad_len);
        if (is_sealing)
            IMB_CHACHA20_POLY1305_ENC_UPDATE(manager, keyed->chacha_key, &context, data, data, len);
        else
            IMB_CHACHA20_POLY1305_DEC_UPDATE(manager, keyed->chacha_key, &context, data, data, len);
        IMB_CHACHA20_POLY1305_ENC_FINALIZE(manager, &context, ret_tag, AEAD_TAG_LEN);
        crypto_wipe(&context, sizeof(context));
        return;
    }
    struct gcm_context_data context;
    aes_gcm_enc_dec_t call = keyed->algorithm == AEAD_AES128_GCM
                                 ? (is_sealing ? manager->gcm128_enc : manager->gcm128_dec)
                                 : (is_sealing ? manager->gcm256_enc : manager->gcm256_dec);
    call(&keyed->gcm, &context, data, data, len, nonce, ad, ad_len, ret_tag, AEAD_TAG_LEN);
}

static int seal(void *keyed, const uint8_t *nonce, const void *ad, size_t ad_len, uint8_t *data,
                size_t len, uint8_t *ret_tag)
{
    run(keyed, true, nonce, ad, ad_len, data, len, ret_tag);
    return ERR_OK;
}

static int open_message(void *keyed, const uint8_t *nonce, const void *ad, size_t ad_len,
                        uint8_t *data, size_t len, const uint8_t *tag)
{
    uint8_t expected[AEAD_TAG_LEN];
    run(keyed, false, nonce, ad, ad_len, data, len, expected);
    const bool is_right = crypto_is_equal(expected, tag, AEAD_TAG_LEN);
    crypto_wipe(expected, sizeof(expected));
    return is_right ? ERR_OK : ERR_AUTH;
}
#else
struct keyed {
    struct aead aead;
};

static int make(enum aead_algorithm algorithm, const uint8_t *key, void *keyed)
{
    return ERR_UNSUPPORTED;
}

static void destroy(void *keyed)
{
}

static int seal(void *keyed, const uint8_t *nonce, const void *ad, size_t ad_len, uint8_t *data,
                size_t len, uint8_t *ret_tag)
{
    return ERR_UNSUPPORTED;
}

static int open_message(void *keyed, const uint8_t *nonce, const void *ad, size_t ad_len,
                        uint8_t *data, size_t len, const uint8_t *tag)
{
    return ERR_UNSUPPORTED;
}
#endif

const struct aead_backend aead_ipsec_mb = {.name = "ipsec-mb",
                                           .size = sizeof(struct keyed),
                                           .make = make,
                                           .destroy = destroy,
                                           .seal = seal,
                                           .open = open_message};
