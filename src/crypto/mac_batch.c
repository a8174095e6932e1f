/* By intel-ipsec-mb's bursts of hash jobs. */
#include "crypto/mac_batch.h"

#include "crypto/ipsec_mb.h"
#include "crypto/memory.h"
#include "crypto/stream_mac_internal.h"
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_IPSEC_MB
#define BLOCK_LEN 64 /* SHA-256's */

void mac_states_init(struct mac_states *states, const uint8_t mac_key[MAC_KEY_LEN])
{
    uint8_t block[BLOCK_LEN];
    IMB_MGR *const manager = ipsec_mb_shared();
    if (manager == NULL)
        return;
    for (int outer = 0; outer < 2; outer++) {
        memset(block, outer ? 0x5c : 0x36, sizeof(block));
        for (size_t i = 0; i < MAC_KEY_LEN; i++)
            block[i] ^= mac_key[i];
        IMB_SHA256_ONE_BLOCK(manager, block, outer ? states->outer : states->inner);
    }
    crypto_wipe(block, sizeof(block));
}

struct mac_batch {
    IMB_MGR *manager;
    IMB_JOB jobs[MAC_BATCH_MAX];
};

void mac_batch_free(struct mac_batch *batch)
{
    if (batch == NULL)
        return;
    free_mb_mgr(batch->manager);
    crypto_wipe(batch, sizeof(*batch));
    free(batch);
}

int mac_batch_compute(struct mac_batch *batch, const struct mac_message *messages, unsigned count)
{
    if (count > MAC_BATCH_MAX)
        return ERR_LIMIT;
    for (unsigned i = 0; i < count; i++) {
        const struct mac_message *message = &messages[i];
        IMB_JOB *job = &batch->jobs[i];
        memset(job, 0, sizeof(*job));
        job->cipher_mode = IMB_CIPHER_NULL;
        job->cipher_direction = IMB_DIR_ENCRYPT;
        job->chain_order = IMB_ORDER_HASH_CIPHER;
        job->hash_alg = IMB_AUTH_HMAC_SHA_256;
        job->src = message->data;
        job->msg_len_to_hash_in_bytes = message->len;
        job->auth_tag_output = message->ret_mac;
        job->auth_tag_output_len_in_bytes = MAC_LEN;
        job->u.HMAC._hashed_auth_key_xor_ipad = (const uint8_t *)message->states->inner;
        job->u.HMAC._hashed_auth_key_xor_opad = (const uint8_t *)message->states->outer;
    }
    if (IMB_SUBMIT_HASH_BURST(batch->manager, batch->jobs, count, IMB_AUTH_HMAC_SHA_256) != count)
        return ERR_CRYPTO;
    for (unsigned i = 0; i < count; i++) {
        if (batch->jobs[i].status != IMB_STATUS_COMPLETED)
            return ERR_CRYPTO;
    }
    return ERR_OK;
}

/* The same as one by one, for messages of many lengths? */
static bool is_right(struct mac_batch *batch)
{
    static const uint8_t keys[STREAM_KEY_LEN + MAC_KEY_LEN + STREAM_SALT_LEN] = {7, 5, 3};
    uint8_t text[200], macs[MAC_BATCH_MIN][MAC_LEN], expected[MAC_LEN];
    struct mac_message messages[MAC_BATCH_MIN];
    struct stream_mac *context = NULL;
    bool result = false;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)i;
    if (stream_mac_new(keys, keys + STREAM_KEY_LEN, keys + STREAM_KEY_LEN + MAC_KEY_LEN,
                       &context) != ERR_OK)
        return false;
    for (unsigned i = 0; i < MAC_BATCH_MIN; i++)
        messages[i] = (struct mac_message){&context->states, text, 8 + i * 27u, macs[i]};
    if (mac_batch_compute(batch, messages, MAC_BATCH_MIN) == ERR_OK) {
        result = true;
        for (unsigned i = 0; i < MAC_BATCH_MIN; i++)
            result = result &&
                     stream_mac_compute(context, text, messages[i].len, expected) == ERR_OK &&
                     crypto_is_equal(expected, macs[i], MAC_LEN);
    }
    stream_mac_free(context);
    return result;
}

int mac_batch_new(struct mac_batch **ret_batch)
{
    struct mac_batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL)
        return ERR_NOMEM;
    batch->manager = alloc_mb_mgr(0);
    if (batch->manager == NULL) {
        free(batch);
        return ERR_NOMEM;
    }
    init_mb_mgr_auto(batch->manager, NULL);
    if (imb_get_errno(batch->manager) != 0 || !is_right(batch)) {
        mac_batch_free(batch);
        return ERR_UNSUPPORTED;
    }
    *ret_batch = batch;
    return ERR_OK;
}
#else
void mac_states_init(struct mac_states *states, const uint8_t mac_key[MAC_KEY_LEN])
{
}

int mac_batch_new(struct mac_batch **ret_batch)
{
    return ERR_UNSUPPORTED;
}

void mac_batch_free(struct mac_batch *batch)
{
}

int mac_batch_compute(struct mac_batch *batch, const struct mac_message *messages, unsigned count)
{
    return ERR_UNSUPPORTED;
}
#endif
