/* See ike/fragment.h. */
#include "ike/fragment.h"
#include "crypto/memory.h"
#include <stdlib.h>
#include <string.h>

#define REASSEMBLY_US (15 * SECOND_US)

void ike_fragment_offer(const struct ike_sa *sa, struct ike_builder *b)
{
    const struct ike_config *config = ike_sa_config(sa);

    if (config->fragment_len > 0 && !config->is_reliable)
        ike_build_notify(b, IKE_NOTIFY_FRAGMENTATION_SUPPORTED, NULL, 0);
}

void ike_fragment_read(struct ike_generation *g, const struct ike_message *message)
{
    const struct ike_config *config = ike_sa_config(g->sa);

    g->has_fragments = config->fragment_len > 0 && !config->is_reliable &&
                       ike_message_find_notify(message, IKE_NOTIFY_FRAGMENTATION_SUPPORTED, NULL);
}

bool ike_fragment_is_due(const struct ike_generation *g, size_t len)
{
    const uint16_t limit = ike_sa_config(g->sa)->fragment_len;

    return g->has_fragments && limit > 0 && len > limit && !ike_is_carried(&g->sa->remote) &&
           !endpoint_is_stream(&g->sa->remote); /* RFC 9329, 6.7 */
}

/* What a fragment of that length has room for, in whole blocks. */
static size_t room_of(const struct ike_generation *g)
{
    const size_t block_len = ike_keys_block_len(&g->keys);
    const size_t around = IKE_HEADER_LEN + IKE_PAYLOAD_HEADER_LEN + IKE_SKF_HEAD_LEN +
                          ike_keys_iv_len(&g->keys) + ike_keys_tag_len(&g->keys);
    const size_t len = ike_sa_config(g->sa)->fragment_len;
    const size_t inside = len > around ? (len - around) / block_len * block_len : 0;

    return inside > 1 ? inside - 1 : 0; /* the pad length */
}

/* One fragment, appended to w. */
static int seal_one(struct ike_generation *g, const struct ike_header *header, uint8_t first,
                    const uint8_t *data, size_t len, uint16_t number, uint16_t total,
                    struct writer *w)
{
    struct ike_builder b;
    struct writer one;

    writer_init(&one, w->base + w->len, w->cap - w->len);
    ike_build_begin(&b, &one, header);
    ike_build_skf(&b, number == 1 ? first : IKE_PAYLOAD_NONE, number, total,
                  ike_keys_iv_len(&g->keys), ike_keys_block_len(&g->keys));
    writer_bytes(&one, data, len);
    ike_build_end(&b, ike_keys_tag_len(&g->keys));
    if (!writer_is_ok(&one))
        return one.error;
    w->len += one.len;
    return ike_keys_seal(&g->keys, g->is_initiator, g->iv_counter++, one.base, one.len);
}

int ike_fragment_seal(struct ike_generation *g, const struct ike_outgoing *out, uint8_t **ret_data,
                      size_t *ret_len)
{
    struct writer w;
    const uint8_t *payloads = out->w.base + out->b.sealed_at;
    const size_t len = out->w.len - out->b.sealed_at;
    const size_t room = room_of(g);
    const size_t total = room > 0 ? (len + room - 1) / room : 0;

    if (total == 0 || total > IKE_FRAGMENTS_MAX)
        return ERR_LIMIT;
    int error = ERR_OK;
    const size_t cap = total * ike_sa_config(g->sa)->fragment_len;
    uint8_t *data = (uint8_t *)malloc(cap);
    if (data == NULL)
        return ERR_NOMEM;
    writer_init(&w, data, cap);
    for (size_t i = 0; i < total && error == ERR_OK; i++) {
        const size_t at = i * room;
        error = seal_one(g, &out->header, out->w.base[out->b.sk_at], payloads + at,
                         len - at < room ? len - at : room, (uint16_t)(i + 1), (uint16_t)total, &w);
    }
    if (error != ERR_OK) {
        free(data);
        return error;
    }
    *ret_data = data;
    *ret_len = w.len;
    return ERR_OK;
}

size_t ike_fragment_next_len(const uint8_t *data, size_t len)
{
    const size_t next = ike_header_len(data, len);
    return next >= IKE_HEADER_LEN && next <= len ? next : len;
}

void ike_reassembly_free(struct ike_reassembly *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < IKE_FRAGMENTS_MAX; i++) {
        if (r->parts[i].data != NULL)
            crypto_wipe(r->parts[i].data, r->parts[i].len);
        free(r->parts[i].data);
    }
    free(r);
}

/* The reassembly that a fragment belongs to, a new one where it is the first. */
static int find_reassembly(struct ike_generation *g, const struct ike_header *header,
                           const struct ike_sk *sk, uint64_t now_us)
{
    struct ike_reassembly *r = g->reassembly;
    const bool is_response = (header->flags & IKE_FLAG_RESPONSE) != 0;
    const bool is_same = r != NULL && r->message_id == header->message_id &&
                         r->is_response == is_response && now_us < r->expires_us;

    /* The peer has cut it anew, into smaller ones (2.6.1). */
    if (is_same && sk->fragment_total < r->total)
        return ERR_REPLAY;
    if (is_same && sk->fragment_total == r->total)
        return ERR_OK;
    ike_reassembly_free(r);
    g->reassembly = r = (struct ike_reassembly *)calloc(1, sizeof(*r));
    if (r == NULL)
        return ERR_NOMEM;
    r->message_id = header->message_id;
    r->is_response = is_response;
    r->total = sk->fragment_total;
    r->expires_us = now_us + REASSEMBLY_US;
    return ERR_OK;
}

/* All of them, into the table's buffer. */
static void join(const struct ike_reassembly *r, uint8_t *ret_data)
{
    for (size_t i = 0; i < r->total; i++) {
        memcpy(ret_data, r->parts[i].data, r->parts[i].len);
        ret_data += r->parts[i].len;
    }
}

static int keep(struct ike_reassembly *r, const struct ike_sk *sk, const uint8_t *data, size_t len,
                uint64_t hash)
{
    const size_t at = (size_t)sk->fragment_number - 1;

    if (r->parts[at].data != NULL)
        return ERR_REPLAY;
    /* Payloads of all take no more room than a whole message may. */
    if (len == 0 || r->len + len > IKE_JOINED_CAP)
        return ERR_LIMIT;
    r->parts[at].data = (uint8_t *)malloc(len);
    if (r->parts[at].data == NULL)
        return ERR_NOMEM;
    memcpy(r->parts[at].data, data, len);
    r->parts[at].len = len;
    r->len += len;
    r->count++;
    if (at == 0) {
        r->first = sk->inner;
        r->hash = hash;
    }
    return ERR_OK;
}

int ike_fragment_take(struct ike_generation *g, const struct ike_header *header,
                      const uint8_t *message, size_t len, uint64_t now_us, uint8_t *ret_first,
                      size_t *ret_len, uint64_t *ret_hash)
{
    struct ike_table *table = g->sa->table;
    const struct ike_reassembly *known = g->reassembly;
    struct ike_sk sk;
    const uint8_t *data;
    size_t data_len;

    if (!g->has_fragments)
        return ERR_UNSUPPORTED;
    int error = ike_keys_locate(&g->keys, message, len, &sk);
    if (error != ERR_OK)
        return error;
    if (sk.fragment_total > IKE_FRAGMENTS_MAX)
        return ERR_LIMIT;
    /* What is there already need not be opened again. */
    if (known != NULL && known->message_id == header->message_id &&
        known->total == sk.fragment_total && now_us < known->expires_us &&
        known->is_response == ((header->flags & IKE_FLAG_RESPONSE) != 0) &&
        known->parts[sk.fragment_number - 1].data != NULL)
        return ERR_REPLAY;
    memcpy(table->in, message, len);
    uint8_t first;
    error = ike_keys_open(&g->keys, !g->is_initiator, table->in, len, &first, &data, &data_len);
    if (error == ERR_OK)
        error = find_reassembly(g, header, &sk, now_us);
    if (error == ERR_OK)
        error = keep(g->reassembly, &sk, data, data_len, siphash(table->hash_key, message, len));
    if (error != ERR_OK)
        return error;
    if (g->reassembly->count < g->reassembly->total)
        return ERR_AGAIN;
    join(g->reassembly, table->in);
    *ret_first = g->reassembly->first;
    *ret_len = g->reassembly->len;
    *ret_hash = g->reassembly->hash;
    ike_reassembly_free(g->reassembly);
    g->reassembly = NULL;
    return ERR_OK;
}
