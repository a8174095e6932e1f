/* Collects what needs an HMAC, in portions. */
#include "tunnel/sput_batch.h"

#include "crypto/mac_batch.h"
#include "crypto/memory.h"
#include "tunnel/tunnel_internal.h"
#include "wire/demux.h"
#include "wire/sput.h"
#include <stdlib.h>

struct sput_batch {
    struct mac_batch *macs; /* NULL: one by one */
    unsigned count;
    struct packet *packets[MAC_BATCH_MAX];
    struct mac_message messages[MAC_BATCH_MAX];
};

int sput_batch_new(struct sput_batch **ret_batch)
{
    struct sput_batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL)
        return ERR_NOMEM;
    if (mac_batch_new(&batch->macs) != ERR_OK)
        batch->macs = NULL;
    *ret_batch = batch;
    return ERR_OK;
}

void sput_batch_free(struct sput_batch *batch)
{
    if (batch == NULL)
        return;
    mac_batch_free(batch->macs);
    free(batch);
}

static int compute_one(struct packet *packet, const struct mac_message *message)
{
    struct sput_keys *keys = (struct sput_keys *)(uintptr_t)packet->tag_keys;
    return sput_keys_mac(keys, message->data, message->len, message->ret_mac);
}

static void finish_sealing(struct sput_batch *batch)
{
    const bool is_batch = batch->macs != NULL && batch->count >= MAC_BATCH_MIN;
    int error = is_batch ? mac_batch_compute(batch->macs, batch->messages, batch->count) : ERR_OK;
    for (unsigned i = 0; i < batch->count; i++) {
        struct packet *packet = batch->packets[i];
        if (!is_batch)
            error = compute_one(packet, &batch->messages[i]);
        packet->tag_keys = NULL;
        if (error != ERR_OK) {
            crypto_wipe(packet->data, packet->len);
            packet->len = 0;
        }
    }
    batch->count = 0;
}

void sput_batch_seal(struct sput_batch *batch, struct packet *const *packets, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct packet *packet = packets[i];
        const struct sput_keys *keys = packet->tag_keys;
        if (keys == NULL)
            continue;
        const uint32_t len = packet->len - SPUT_MAC_LEN;
        batch->packets[batch->count] = packet;
        batch->messages[batch->count++] =
            (struct mac_message){keys->stream, packet->data, len, packet->data + len};
        if (batch->count == MAC_BATCH_MAX)
            finish_sealing(batch);
    }
    finish_sealing(batch);
}

static void finish_foreseeing(struct sput_batch *batch)
{
    if (batch->count >= MAC_BATCH_MIN &&
        mac_batch_compute(batch->macs, batch->messages, batch->count) == ERR_OK) {
        batch->count = 0;
        return;
    }
    for (unsigned i = 0; i < batch->count; i++)
        batch->packets[i]->tag_keys = NULL;
    batch->count = 0;
}

static bool may_be_message(const struct packet *packet)
{
    return sput_len_is_valid(packet->len, SPUT_MAC_LEN) &&
           datagram_classify(packet->data, packet->len) == DATAGRAM_DATA;
}

/* Those that most likely open what comes from there: the newest of the tunnel at that endpoint.
 * NULL: of a suite without HMAC. */
static const struct sput_keys *find_keys(struct tunnel_table *table, const struct endpoint *peer)
{
    const struct tunnel *tunnel = tunnel_find_by_endpoint(table, peer);
    if (tunnel == NULL)
        return NULL;
    const struct child_set *set = atomic_load_explicit(&tunnel->children, memory_order_acquire);
    if (set == NULL || set->count == 0 || set->inbound[0]->suite != SPUT_PAPER)
        return NULL;
    return &set->inbound[0]->sput.receiver.keys;
}

void sput_batch_foresee(struct sput_batch *batch, struct tunnel_table *table,
                        struct packet *const *packets, unsigned count)
{
    const struct sput_keys *likely = NULL;
    if (batch->macs == NULL || count < MAC_BATCH_MIN)
        return;
    for (unsigned i = 0; i < count; i++) {
        struct packet *packet = packets[i];
        if (i == 0 || !endpoint_is_equal(&packet->peer, &packets[i - 1]->peer))
            likely = find_keys(table, &packet->peer);
        const struct sput_keys *keys = may_be_message(packet) ? likely : NULL;
        packet->tag_keys = keys;
        if (keys == NULL)
            continue;
        batch->packets[batch->count] = packet;
        batch->messages[batch->count++] = (struct mac_message){
            keys->stream, packet->data, packet->len - SPUT_MAC_LEN, packet->foreseen_tag};
        if (batch->count == MAC_BATCH_MAX)
            finish_foreseeing(batch);
    }
    finish_foreseeing(batch);
}
