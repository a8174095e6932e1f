/* Collects what needs an HMAC, in portions. */
#include "tunnel/sput_batch.h"

#include "crypto/mac_batch.h"
#include "crypto/memory.h"
#include "tunnel/bytes.h"
#include "tunnel/tunnel_internal.h"
#include "wire/demux.h"
#include "wire/sput.h"
#include <stdlib.h>
#include <string.h>

#define ESP_HIGH_LEN 4 /* of an extended number */

struct sput_batch {
    struct mac_batch *computer; /* who computes; NULL: one by one */
    unsigned count;
    struct packet *packets[MAC_BATCH_MAX];
    struct mac_message messages[MAC_BATCH_MAX];
    uint8_t macs[MAC_BATCH_MAX][MAC_LEN];      /* of ESP, which sends half of them */
    uint8_t icvs[MAC_BATCH_MAX][ESP_HIGH_LEN]; /* what stood where a high half does now */
};

int sput_batch_new(struct sput_batch **ret_batch)
{
    struct sput_batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL)
        return ERR_NOMEM;
    if (mac_batch_new(&batch->computer) != ERR_OK)
        batch->computer = NULL;
    *ret_batch = batch;
    return ERR_OK;
}

void sput_batch_free(struct sput_batch *batch)
{
    if (batch == NULL)
        return;
    mac_batch_free(batch->computer);
    free(batch);
}

static int compute_one(struct packet *packet, const struct mac_message *message)
{
    if (packet->tag_is_esp)
        return esp_keys_mac((struct esp_keys *)(uintptr_t)packet->tag_keys, message->data,
                            message->len, message->ret_mac);
    struct sput_keys *keys = (struct sput_keys *)(uintptr_t)packet->tag_keys;
    return sput_keys_mac(keys, message->data, message->len, message->ret_mac);
}

static void finish_sealing(struct sput_batch *batch)
{
    const bool is_batch = batch->computer != NULL && batch->count >= MAC_BATCH_MIN;
    int error =
        is_batch ? mac_batch_compute(batch->computer, batch->messages, batch->count) : ERR_OK;
    for (unsigned i = 0; i < batch->count; i++) {
        struct packet *packet = batch->packets[i];
        if (!is_batch)
            error = compute_one(packet, &batch->messages[i]);
        packet->tag_keys = NULL;
        if (packet->tag_is_esp)
            memcpy(packet->data + packet->len - ESP_ICV_LEN, batch->macs[i], ESP_ICV_LEN);
        if (error != ERR_OK) {
            crypto_wipe(packet->data, packet->len);
            packet->len = 0;
        }
    }
    batch->count = 0;
}

static struct mac_message describe_sput(struct packet *packet)
{
    const struct sput_keys *keys = packet->tag_keys;
    const uint32_t len = packet->len - SPUT_MAC_LEN;
    return (struct mac_message){stream_mac_states(keys->stream), packet->data, len,
                                packet->data + len};
}

static struct mac_message describe_esp(const struct packet *packet, uint8_t *ret_mac)
{
    const struct esp_keys *keys = packet->tag_keys;
    return (struct mac_message){esp_keys_states(keys), packet->data, esp_keys_mac_len(keys, packet),
                                ret_mac};
}

void sput_batch_seal(struct sput_batch *batch, struct packet *const *packets, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct packet *packet = packets[i];
        if (packet->tag_keys == NULL)
            continue;
        batch->packets[batch->count] = packet;
        batch->messages[batch->count] = packet->tag_is_esp
                                            ? describe_esp(packet, batch->macs[batch->count])
                                            : describe_sput(packet);
        batch->count++;
        if (batch->count == MAC_BATCH_MAX)
            finish_sealing(batch);
    }
    finish_sealing(batch);
}

/* What the high half of an extended number had displaced is back, then. */
static void restore_icvs(struct sput_batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++) {
        const struct packet *packet = batch->packets[i];
        if (packet->tag_is_esp)
            memcpy(packet->data + packet->len - ESP_ICV_LEN, batch->icvs[i], ESP_HIGH_LEN);
    }
}

static void finish_foreseeing(struct sput_batch *batch)
{
    const bool is_done =
        batch->count >= MAC_BATCH_MIN &&
        mac_batch_compute(batch->computer, batch->messages, batch->count) == ERR_OK;
    restore_icvs(batch);
    for (unsigned i = 0; i < batch->count && !is_done; i++)
        batch->packets[i]->tag_keys = NULL;
    batch->count = 0;
}

static bool has_hmac(const struct child *child)
{
    return child->is_esp
               ? !child->is_in_kernel && esp_keys_states(&child->esp.receiver.keys) != NULL
               : child->suite == SPUT_PAPER;
}

/* What most likely opens what comes from there: the newest child of the tunnel at that endpoint.
 * NULL: of a suite without HMAC. */
static const struct child *find_child(struct tunnel_table *table, const struct endpoint *peer)
{
    const struct tunnel *tunnel = tunnel_find_by_endpoint(table, peer);
    if (tunnel == NULL)
        return NULL;
    const struct child_set *set = atomic_load_explicit(&tunnel->children, memory_order_acquire);
    return set != NULL && set->count > 0 && has_hmac(set->inbound[0]) ? set->inbound[0] : NULL;
}

/* False: no message of that child. */
static bool foresee(struct sput_batch *batch, const struct child *child, struct packet *packet)
{
    uint32_t high;
    packet->tag_keys = NULL;
    if (child == NULL || datagram_classify(packet->data, packet->len) != DATAGRAM_DATA)
        return false;
    packet->tag_is_esp = child->is_esp;
    if (!child->is_esp) {
        if (!sput_len_is_valid(packet->len, SPUT_MAC_LEN))
            return false;
        packet->tag_keys = &child->sput.receiver.keys;
        batch->messages[batch->count] = describe_sput(packet);
    } else {
        if (!esp_receiver_guess(&child->esp.receiver, packet, &high))
            return false;
        packet->tag_keys = &child->esp.receiver.keys;
        packet->foreseen_high = high;
        uint8_t *icv = packet->data + packet->len - ESP_ICV_LEN;
        memcpy(batch->icvs[batch->count], icv, ESP_HIGH_LEN);
        if (child->esp.receiver.keys.has_esn)
            put32(icv, high);
        batch->messages[batch->count] = describe_esp(packet, NULL);
    }
    batch->messages[batch->count].ret_mac = packet->foreseen_tag;
    batch->packets[batch->count++] = packet;
    return true;
}

void sput_batch_foresee(struct sput_batch *batch, struct tunnel_table *table,
                        struct packet *const *packets, unsigned count)
{
    const struct child *likely = NULL;
    if (batch->computer == NULL || count < MAC_BATCH_MIN)
        return;
    for (unsigned i = 0; i < count; i++) {
        struct packet *packet = packets[i];
        if (i == 0 || !endpoint_is_equal(&packet->peer, &packets[i - 1]->peer))
            likely = find_child(table, &packet->peer);
        if (foresee(batch, likely, packet) && batch->count == MAC_BATCH_MAX)
            finish_foreseeing(batch);
    }
    finish_foreseeing(batch);
}
