/* Ed25519 public keys: verifying, text, SubjectPublicKeyInfo, the label of a dynamic name. What a
 * key may do, and whose it is, is decided by the callers. */
#include "crypto/identity.h"

#include "base/text.h"
#include "crypto/hash.h"
#include "crypto/libcrypto.h"
#include "crypto/memory.h"
#include <string.h>

/* SEQUENCE { SEQUENCE { OID 1.3.101.112 } BIT STRING } (RFC 8410, 4) up to the key itself. */
static const uint8_t spki_head[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                    0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

/* Encodings of the points whose order divides 8, the sign bit left out, with those that are not
 * reduced modulo p. Under such a key one signature fits many messages. */
static const uint8_t small_orders[][PUBLIC_KEY_LEN] = {
    /* y = 0: order 4 */
    {0},
    /* y = 1: order 1 */
    {0x01},
    /* y = -1: order 2 */
    {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    /* order 8 */
    {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
     0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
     0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
    {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
     0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
     0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
    /* y = p, not reduced: order 4 */
    {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    /* y = p + 1, not reduced: order 1 */
    {0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
};

static bool is_small_order(const struct public_key *key)
{
    uint8_t y[PUBLIC_KEY_LEN];

    memcpy(y, key->bytes, sizeof(y));
    y[31] &= 0x7f;
    for (size_t i = 0; i < sizeof(small_orders) / sizeof(small_orders[0]); i++) {
        if (memcmp(y, small_orders[i], sizeof(y)) == 0)
            return true;
    }
    return false;
}

int public_key_verify(const struct public_key *key, const void *data, size_t len,
                      const uint8_t signature[SIGNATURE_LEN])
{
    int result = ERR_AUTH;

    if (is_small_order(key))
        return ERR_AUTH;
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->bytes, PUBLIC_KEY_LEN);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (pkey == NULL || ctx == NULL || EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) != 1)
        result = ERR_CRYPTO;
    else if (EVP_DigestVerify(ctx, signature, SIGNATURE_LEN, (const uint8_t *)data, len) == 1)
        result = ERR_OK;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return result;
}

bool public_key_is_equal(const struct public_key *a, const struct public_key *b)
{
    return crypto_is_equal(a->bytes, b->bytes, PUBLIC_KEY_LEN);
}

int public_key_parse(const char *base64, struct public_key *ret_key)
{
    struct public_key key;
    int len = base64_decode(base64, key.bytes, sizeof(key.bytes));

    if (len != PUBLIC_KEY_LEN)
        return ERR_INVALID;
    *ret_key = key;
    return ERR_OK;
}

const char *public_key_format(const struct public_key *key, char text[PUBLIC_KEY_TEXT_CAP])
{
    if (base64_encode(key->bytes, PUBLIC_KEY_LEN, text, PUBLIC_KEY_TEXT_CAP) < 0)
        text[0] = '\0'; /* not reached: the text has the room */
    return text;
}

void public_key_to_spki(const struct public_key *key, uint8_t ret_der[PUBLIC_KEY_SPKI_LEN])
{
    memcpy(ret_der, spki_head, sizeof(spki_head));
    memcpy(ret_der + sizeof(spki_head), key->bytes, PUBLIC_KEY_LEN);
}

int public_key_from_spki(const uint8_t *der, size_t len, struct public_key *ret_key)
{
    if (len == PUBLIC_KEY_SPKI_LEN && memcmp(der, spki_head, sizeof(spki_head)) == 0) {
        memcpy(ret_key->bytes, der + sizeof(spki_head), PUBLIC_KEY_LEN);
        return ERR_OK;
    }
    /* Some other algorithm, or a badly made key: neither is used. */
    return len >= 2 && der[0] == spki_head[0] ? ERR_UNSUPPORTED : ERR_INVALID;
}

const char *public_key_label(const struct public_key *key, char label[PUBLIC_KEY_LABEL_CAP])
{
    const struct piece piece = {key->bytes, PUBLIC_KEY_LEN};
    uint8_t digest[SHA256_LEN];
    char digits[BASE32_TEXT_CAP(10)];

    label[0] = '\0';
    if (sha256(&piece, 1, digest) != ERR_OK ||
        base32_encode(digest, 10, digits, sizeof(digits)) < 13)
        return label;
    memcpy(label, "h-", 2);
    memcpy(label + 2, digits, 13);
    label[15] = '\0';
    return label;
}
