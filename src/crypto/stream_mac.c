/* The paper's suite on libcrypto: AES-128 in ECB mode over batches of counter blocks (the library's
 * CTR mode counts in the last bytes, the paper in the first), and one keyed HMAC context that is
 * restarted per message. No allocation per message. */
#include "crypto/stream_mac_internal.h"

#include "crypto/keyed.h"
#include "crypto/memory.h"
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_LEN STREAM_BLOCK_LEN

int stream_mac_new(const uint8_t key[STREAM_KEY_LEN], const uint8_t mac_key[MAC_KEY_LEN],
                   const uint8_t salt[STREAM_SALT_LEN], struct stream_mac **ret_context)
{
    struct stream_mac *context = (struct stream_mac *)calloc(1, sizeof(*context));
    if (context == NULL)
        return ERR_NOMEM;
    memcpy(context->salt, salt, STREAM_SALT_LEN);
    mac_states_init(&context->states, mac_key);
    context->cipher = keyed_cipher_new("AES-128-ECB", key, true);
    context->mac = keyed_hmac_new("SHA256", mac_key, MAC_KEY_LEN);
    if (context->cipher == NULL || context->mac == NULL) {
        stream_mac_free(context);
        return ERR_CRYPTO;
    }
    *ret_context = context;
    return ERR_OK;
}

void stream_mac_free(struct stream_mac *context)
{
    if (context == NULL)
        return;
    EVP_CIPHER_CTX_free(context->cipher); /* both wipe their keys */
    EVP_MAC_CTX_free(context->mac);
    crypto_wipe(context, sizeof(*context));
    free(context);
}

const struct mac_states *stream_mac_states(const struct stream_mac *context)
{
    return &context->states;
}

/* Replaces the counter blocks first, first + 1, … by their key stream. They are written in halves
 * from registers: a block put together in memory byte by byte would be waited for each time. */
static int fill_stream(struct stream_mac *context, uint32_t number, size_t first, size_t count)
{
    uint8_t block[BLOCK_LEN] = {0, (uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16),
                                (uint8_t)(number >> 24)};
    uint64_t halves[2];
    int len = (int)(count * BLOCK_LEN);
    int out = 0;

    memcpy(block + 5, context->salt, STREAM_SALT_LEN);
    memcpy(halves, block, BLOCK_LEN);
    const uint64_t rest = le64toh(halves[0]);
    for (size_t i = 0; i < count; i++) {
        halves[0] = htole64(rest | (first + i));
        memcpy(context->blocks + i * BLOCK_LEN, halves, BLOCK_LEN);
    }
    if (EVP_EncryptUpdate(context->cipher, context->blocks, &out, context->blocks, len) != 1 ||
        out != len)
        return ERR_CRYPTO;
    return ERR_OK;
}

/* As wide as the compiler can. */
typedef uint64_t lanes __attribute__((vector_size(64)));

static void xor_into(uint8_t *data, const uint8_t *stream, size_t len)
{
    size_t i = 0;

    for (; len - i >= sizeof(lanes); i += sizeof(lanes)) {
        lanes a, b;
        memcpy(&a, data + i, sizeof(a));
        memcpy(&b, stream + i, sizeof(b));
        a ^= b;
        memcpy(data + i, &a, sizeof(a));
    }
    for (; i < len; i++)
        data[i] ^= stream[i];
}

int stream_mac_crypt(struct stream_mac *context, uint32_t number, uint8_t *data, size_t len)
{
    int result = ERR_OK;

    if (len > STREAM_LEN_MAX)
        return ERR_FULL;
    for (size_t done = 0; done < len && result == ERR_OK;) {
        size_t part = len - done < sizeof(context->blocks) ? len - done : sizeof(context->blocks);
        result = fill_stream(context, number, done / BLOCK_LEN, (part + BLOCK_LEN - 1) / BLOCK_LEN);
        if (result == ERR_OK)
            xor_into(data + done, context->blocks, part);
        done += part;
    }
    return result;
}

int stream_mac_compute(struct stream_mac *context, const uint8_t *data, size_t len,
                       uint8_t ret_mac[MAC_LEN])
{
    const struct piece piece = {data, len};
    return keyed_hmac_compute(context->mac, &piece, 1, ret_mac, MAC_LEN);
}

int stream_mac_check(struct stream_mac *context, const uint8_t *data, size_t len,
                     const uint8_t mac[MAC_LEN])
{
    uint8_t expected[MAC_LEN];
    int result = stream_mac_compute(context, data, len, expected);

    if (result == ERR_OK && !crypto_is_equal(expected, mac, MAC_LEN))
        result = ERR_AUTH;
    crypto_wipe(expected, sizeof(expected));
    return result;
}
