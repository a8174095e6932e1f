/* See ike/resume.h. */
#include "ike/resume.h"

#include "crypto/memory.h"
#include "ike/exchange.h"
#include "ike/init_half.h"
#include "ike/life.h"
#include "ike/reply.h"
#include <stdlib.h>
#include <string.h>

static int derive(struct ike_generation *g)
{
    struct ike_handshake *h = g->handshake;
    struct ike_nonces nonces = {h->own_nonce, IKE_NONCE_LEN, h->peer_nonce, h->peer_nonce_len};

    if (!g->is_initiator)
        nonces = (struct ike_nonces){h->peer_nonce, h->peer_nonce_len, h->own_nonce, IKE_NONCE_LEN};
    const int error = ike_keys_resume(h->resumed->cipher, h->resumed->sk_d, &nonces, g->spi_i,
                                      g->spi_r, &g->keys);
    crypto_wipe(h->resumed->sk_d, sizeof(h->resumed->sk_d));
    return error;
}

int ike_resume_proof(const struct ike_generation *g, bool is_initiator, const void *octets,
                     size_t len, uint8_t ret_proof[IKE_PRF_LEN])
{
    const struct piece piece = {octets, len};
    return hash_hmac(HASH_SHA256,
                     ike_keys_part(&g->keys, is_initiator ? IKE_SK_PI : IKE_SK_PR, NULL),
                     IKE_PRF_LEN, &piece, 1, ret_proof);
}

/* ---- initiator ---- */

static int keep_request(struct ike_handshake *h, const struct ike_outgoing *out)
{
    h->init_request = (uint8_t *)malloc(out->w.len);
    if (h->init_request == NULL)
        return ERR_NOMEM;
    memcpy(h->init_request, out->w.base, out->w.len);
    h->init_request_len = out->w.len;
    return ERR_OK;
}

int ike_resume_begin(struct ike_sa *sa, const struct ike_resumption *resumption, uint64_t now_us)
{
    struct ike_generation *g;
    struct ike_outgoing out;
    uint64_t spi;

    if (!ike_sa_config(sa)->is_reliable)
        return ERR_STATE;
    int error = ike_generation_draw_spi(sa->table, &spi);
    if (error == ERR_OK)
        error = ike_generation_new(sa, true, spi, 0, IKE_GENERATION_INIT, &g);
    if (error != ERR_OK)
        return error;
    sa->current = g;
    struct ike_handshake *h = (struct ike_handshake *)calloc(1, sizeof(*h));
    g->handshake = h;
    if (h == NULL)
        return ERR_NOMEM;
    h->resumed = (struct ike_resumed *)calloc(1, sizeof(*h->resumed));
    if (h->resumed == NULL)
        return ERR_NOMEM;
    h->resumed->peer_key = resumption->peer_key;
    h->resumed->cipher = resumption->cipher;
    memcpy(h->resumed->peer_id, resumption->peer_id, sizeof(h->resumed->peer_id));
    memcpy(h->resumed->sk_d, resumption->sk_d, sizeof(h->resumed->sk_d));
    error = crypto_random(h->own_nonce, IKE_NONCE_LEN);
    if (error != ERR_OK)
        return error;
    ike_generation_begin(g, &out, IKE_EXCHANGE_SESSION_RESUME, false, 0);
    ike_build_nonce(&out.b, h->own_nonce, IKE_NONCE_LEN);
    ike_build_notify(&out.b, IKE_NOTIFY_TICKET_OPAQUE, resumption->ticket, resumption->ticket_len);
    error = ike_generation_request(g, &out, IKE_REQUEST_INIT, now_us);
    return error == ERR_OK ? keep_request(h, &out) : error;
}

/* The ticket is refused, by whomever: nobody is harmed by the full handshake (RFC 5723, 4.3.2). */
static int begin_anew(struct ike_generation *g, uint64_t now_us)
{
    g->state = IKE_GENERATION_GONE;
    ike_generation_clear_request(g);
    return ike_init_begin(g->sa, now_us);
}

int ike_resume_finish(struct ike_generation *g, const struct ike_header *header,
                      const uint8_t *message, size_t len, uint64_t now_us)
{
    struct ike_handshake *h = g->handshake;
    struct ike_message m;

    if (h->resumed == NULL)
        return ERR_STATE;
    if (len > IKE_INIT_LEN_MAX)
        return ERR_LIMIT;
    int error =
        ike_message_parse(header->next_payload, message + IKE_HEADER_LEN, len - IKE_HEADER_LEN, &m);
    if (error != ERR_OK)
        return error;
    if (m.unknown_critical != 0)
        return ERR_UNSUPPORTED;
    if (m.nonce.body == NULL || header->spi_r == 0)
        return begin_anew(g, now_us);
    memcpy(h->peer_nonce, m.nonce.body, m.nonce.len);
    h->peer_nonce_len = m.nonce.len;
    error = ike_handshake_keep_answer(h, message, len);
    if (error != ERR_OK)
        return error;
    ike_sa_measure(g->sa, now_us - g->request.sent_us);
    ike_generation_clear_request(g);
    g->spi_r = header->spi_r;
    g->send_id = 1;
    error = derive(g);
    if (error != ERR_OK)
        return error;
    g->state = IKE_GENERATION_AUTH;
    return ike_authenticate_begin(g, now_us);
}

/* ---- responder ---- */

static int answer(struct ike_generation *g, const struct endpoint *remote, uint64_t hash)
{
    struct ike_outgoing out;

    ike_generation_begin(g, &out, IKE_EXCHANGE_SESSION_RESUME, true, 0);
    ike_build_nonce(&out.b, g->handshake->own_nonce, IKE_NONCE_LEN);
    const int error = ike_generation_respond(g, &out, remote, hash);
    return error == ERR_OK ? ike_handshake_keep_answer(g->handshake, out.w.base, out.w.len) : error;
}

static int open_half(struct ike_sa *sa, const struct ike_header *header,
                     const struct ike_payload *nonce, const struct ike_ticket_state *state,
                     const uint8_t *message, size_t len, uint64_t hash)
{
    struct ike_generation *g;

    int error = ike_half_open_new(sa, header, nonce, message, len, &g);
    if (error != ERR_OK)
        return error;
    struct ike_resumed *resumed = (struct ike_resumed *)calloc(1, sizeof(*resumed));
    g->handshake->resumed = resumed;
    if (resumed == NULL)
        return ERR_NOMEM;
    resumed->peer_key = state->key;
    resumed->cipher = state->cipher;
    resumed->expires_s = state->expires_s;
    memcpy(resumed->peer_id, state->id, sizeof(resumed->peer_id));
    memcpy(resumed->sk_d, state->sk_d, sizeof(resumed->sk_d));
    error = derive(g);
    if (error == ERR_OK)
        error = answer(g, &sa->remote, hash);
    return error == ERR_OK ? ike_half_open_insert(g, hash) : error;
}

int ike_resume_accept(struct ike_table *table, struct ike_profile *profile,
                      const struct ike_header *header, const uint8_t *message, size_t len,
                      const struct endpoint *remote, uint64_t now_us, struct ike_sa **ret_sa)
{
    struct ike_ticket_state state;
    struct ike_message m;
    struct ike_notify ticket;
    struct ike_sa *sa;

    if (len > IKE_INIT_LEN_MAX)
        return ERR_LIMIT;
    const uint64_t hash = ike_half_open_hash(table, message, len, remote);
    if (profile == NULL || !profile->config.is_reliable || header->spi_i == 0 ||
        header->message_id != 0 || map_first(&table->by_init, hash) != NULL)
        return ERR_STATE;
    int error =
        ike_message_parse(header->next_payload, message + IKE_HEADER_LEN, len - IKE_HEADER_LEN, &m);
    if (error != ERR_OK)
        return error;
    if (m.unknown_critical != 0)
        return ERR_UNSUPPORTED;
    if (m.nonce.body == NULL || !ike_message_find_notify(&m, IKE_NOTIFY_TICKET_OPAQUE, &ticket))
        return ERR_INVALID;
    error = ike_half_open_check(table, remote);
    if (error != ERR_OK)
        return error;
    if (profile->config.tickets == NULL ||
        ike_ticket_open(profile->config.tickets, ticket.data, ticket.len, &state) != ERR_OK) {
        error = ike_reply_add(table, header, remote, IKE_NOTIFY_TICKET_NACK, NULL, 0, now_us);
        return error == ERR_OK ? ERR_AGAIN : error;
    }
    error = ike_sa_new(table, profile, remote, false, now_us, &sa);
    if (error == ERR_OK) {
        error = open_half(sa, header, &m.nonce, &state, message, len, hash);
        if (error != ERR_OK)
            ike_sa_free(sa);
    }
    crypto_wipe(&state, sizeof(state));
    if (error == ERR_OK)
        *ret_sa = sa;
    return error;
}

/* ---- tickets in IKE_AUTH ---- */

/* Tickets tell the cipher, and nothing of the rest. */
static bool fits_ticket(const struct ike_keys *keys)
{
    return keys->algorithms.prf == HASH_SHA256 && keys->algorithms.integ == HASH_NONE;
}

void ike_resume_ask(struct ike_sa *sa, struct ike_builder *b)
{
    if (ike_sa_config(sa)->wants_ticket)
        ike_build_notify(b, IKE_NOTIFY_TICKET_REQUEST, NULL, 0);
}

void ike_resume_give(struct ike_generation *g, const struct ike_message *request,
                     struct ike_builder *b)
{
    const struct ike_sa *sa = g->sa;
    const struct ike_resumed *resumed = g->handshake->resumed;
    struct ike_ticket_state state = {.cipher = g->keys.algorithms.cipher, .key = sa->peer_key};
    uint8_t data[4 + IKE_TICKET_LEN_MAX];
    uint32_t lifetime_s = 0;
    struct writer w;

    if (ike_sa_config(sa)->tickets == NULL || !fits_ticket(&g->keys) ||
        !ike_message_find_notify(request, IKE_NOTIFY_TICKET_REQUEST, NULL))
        return;
    memcpy(state.sk_d, ike_keys_part(&g->keys, IKE_SK_D, NULL), sizeof(state.sk_d));
    if (sa->peer_id != NULL)
        strcpy(state.id, sa->peer_id);
    state.expires_s = resumed != NULL ? resumed->expires_s : 0;
    writer_init(&w, data, sizeof(data));
    writer_u32(&w, 0);
    if (ike_ticket_seal(ike_sa_config(sa)->tickets, &state, &w, &lifetime_s) == ERR_OK) {
        const size_t len = w.len;
        writer_init(&w, data, sizeof(data));
        writer_u32(&w, lifetime_s);
        ike_build_notify(b, IKE_NOTIFY_TICKET_LT_OPAQUE, data, len);
    }
    crypto_wipe(&state, sizeof(state));
}

void ike_resume_keep(struct ike_generation *g, const struct ike_message *response, uint64_t now_us)
{
    struct ike_sa *sa = g->sa;
    struct ike_notify notify;
    struct reader r;

    if (!ike_sa_config(sa)->wants_ticket || !fits_ticket(&g->keys) ||
        !ike_message_find_notify(response, IKE_NOTIFY_TICKET_LT_OPAQUE, &notify))
        return;
    reader_init(&r, notify.data, notify.len);
    const uint32_t lifetime_s = reader_u32(&r);
    const size_t len = reader_left(&r);
    if (!reader_is_ok(&r) || len == 0 || len > IKE_TICKET_LEN_MAX || lifetime_s == 0)
        return;
    struct ike_resumption *kept = (struct ike_resumption *)calloc(1, sizeof(*kept));
    if (kept == NULL)
        return; /* the next handshake is a full one */
    reader_copy(&r, kept->ticket, len);
    kept->ticket_len = len;
    kept->expires_us = now_us + lifetime_s * SECOND_US;
    kept->cipher = g->keys.algorithms.cipher;
    kept->peer_key = sa->peer_key;
    if (sa->peer_id != NULL)
        strcpy(kept->peer_id, sa->peer_id);
    memcpy(kept->sk_d, ike_keys_part(&g->keys, IKE_SK_D, NULL), sizeof(kept->sk_d));
    ike_resumption_free(sa->resumption);
    sa->resumption = kept;
}

void ike_resumption_free(struct ike_resumption *resumption)
{
    if (resumption == NULL)
        return;
    crypto_wipe(resumption, sizeof(*resumption));
    free(resumption);
}

struct ike_resumption *ike_sa_take_resumption(struct ike_sa *sa)
{
    struct ike_resumption *resumption = sa->resumption;
    sa->resumption = NULL;
    return resumption;
}
