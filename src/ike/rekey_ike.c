/* Rekeying the IKE SA by CREATE_CHILD_SA (RFC 7296, 1.3.2, 2.8.2 and 2.18): a new generation takes
 * over children and queues; the old one ends by the DELETE of whoever asked for the rekey. */
#include "ike/exchange.h"
#include "ike/life.h"
#include "ike/offer.h"
#include "ike/timer.h"

static void put_spi(uint64_t spi, uint8_t ret_bytes[8])
{
    for (size_t i = 0; i < 8; i++)
        ret_bytes[i] = (uint8_t)(spi >> (56 - 8 * i));
}

static uint64_t get_spi(const uint8_t bytes[8])
{
    struct reader r;
    reader_init(&r, bytes, 8);
    return reader_u64(&r);
}

/* Waits for a DELETE, and vanishes by itself should none come. */
static void replace(struct ike_generation *g, bool wants_delete, uint64_t now_us)
{
    g->state = IKE_GENERATION_REPLACED;
    g->wants_delete = wants_delete;
    g->drop_us = now_us + 2 * ike_sa_config(g->sa)->request_timeout_us;
}

int ike_rekey_ike_begin(struct ike_generation *g, uint64_t now_us)
{
    struct ike_sa *sa = g->sa;
    struct ike_outgoing out;
    struct ike_rekey *rekey;
    uint8_t spi[8];

    sa->wants_rekey = false;
    int error = ike_rekey_new(ike_rekey_group(g), &rekey);
    if (error != ERR_OK)
        return error;
    g->request.rekey = rekey;
    error = ike_generation_draw_spi(sa->table, &rekey->spi);
    if (error != ERR_OK)
        return error;
    put_spi(rekey->spi, spi);
    ike_generation_begin(g, &out, IKE_EXCHANGE_CREATE_CHILD_SA, false, g->send_id);
    ike_offer_build(ike_sa_config(sa), &out.b, spi);
    ike_build_nonce(&out.b, rekey->nonce, sizeof(rekey->nonce));
    ike_build_own_ke(&out.b, &rekey->kex);
    return ike_generation_request(g, &out, IKE_REQUEST_REKEY_IKE, now_us);
}

/* RFC 7296, 2.25.2: not while a child is being rekeyed or closed from here, nor while closing. */
static bool is_busy(const struct ike_generation *g)
{
    const struct ike_request *r = &g->request;

    return r->kind == IKE_REQUEST_REKEY_CHILD || r->kind == IKE_REQUEST_DELETE_CHILD ||
           r->kind == IKE_REQUEST_DELETE_IKE ||
           (r->kind == IKE_REQUEST_REKEY_IKE && r->rekey->has_rival);
}

/* The generation that the peer asked for. ERR_INVALID: its public value is no good. */
static int bear(struct ike_generation *g, const struct ike_rekey *rekey,
                const struct ike_offer_choice *choice, const struct ike_nonces *nonces,
                const struct ike_ke *peer, bool is_ours, struct ike_generation **ret_born)
{
    struct ike_generation *born;
    struct kex_secret secret;
    uint64_t peer_spi = get_spi(choice->spi);
    uint64_t spi_i = is_ours ? rekey->spi : peer_spi;
    uint64_t spi_r = is_ours ? peer_spi : rekey->spi;

    if (peer_spi == 0 || kex_derive(&rekey->kex, peer->data, peer->len, &secret) != ERR_OK)
        return ERR_INVALID;
    int error = ike_generation_new(g->sa, is_ours, spi_i, spi_r, IKE_GENERATION_LIVE, &born);
    if (error == ERR_OK) {
        error = ike_keys_rekey(&choice->algorithms, &g->keys, &secret, nonces, spi_i, spi_r,
                               &born->keys);
        born->has_fragments = g->has_fragments;
        if (error == ERR_OK)
            *ret_born = born;
        else
            ike_generation_free(born);
    }
    kex_secret_done(&secret);
    return error;
}

static int accept_rekey(struct ike_generation *g, const struct ike_incoming *in,
                        const struct ike_offer_choice *choice, const struct ike_ke *peer,
                        struct ike_builder *b)
{
    const struct ike_payload *peer_nonce = &in->message->nonce;
    struct ike_rekey *rekey;
    struct ike_generation *born;
    uint8_t spi[8];

    int error = ike_rekey_new(choice->algorithms.group, &rekey);
    if (error != ERR_OK)
        return error;
    struct ike_request ours = {.rekey = rekey};
    const struct ike_nonces nonces = {peer_nonce->body, peer_nonce->len, rekey->nonce,
                                      sizeof(rekey->nonce)};
    error = ike_generation_draw_spi(g->sa->table, &rekey->spi);
    if (error == ERR_OK)
        error = bear(g, rekey, choice, &nonces, peer, false, &born);
    if (error == ERR_INVALID || error == ERR_LIMIT) {
        uint16_t notify =
            error == ERR_LIMIT ? IKE_NOTIFY_TEMPORARY_FAILURE : IKE_NOTIFY_INVALID_SYNTAX;
        ike_build_notify(b, notify, NULL, 0);
        error = ERR_OK;
        goto done;
    }
    if (error != ERR_OK)
        goto done;
    put_spi(rekey->spi, spi);
    ike_offer_answer(b, choice, spi);
    ike_build_nonce(b, rekey->nonce, sizeof(rekey->nonce));
    ike_build_own_ke(b, &rekey->kex);
    if (g->request.kind == IKE_REQUEST_REKEY_IKE) {
        ike_rekey_note_rival(g->request.rekey, &nonces);
        g->request.rekey->rival_generation = born;
    } else {
        replace(g, false, in->now_us);
        ike_sa_adopt(g->sa, born, in->now_us);
    }
done:
    ike_request_done(&ours);
    return error;
}

int ike_rekey_ike_answer(struct ike_generation *g, const struct ike_incoming *in,
                         struct ike_builder *b)
{
    const struct ike_message *m = in->message;
    struct ike_offer_choice choice;
    struct ike_ke peer;

    if (is_busy(g)) {
        ike_build_notify(b, IKE_NOTIFY_TEMPORARY_FAILURE, NULL, 0);
        return ERR_OK;
    }
    if (ike_offer_choose(ike_sa_config(g->sa), &m->sa, 8, ike_offer_ke_group(m), &choice) !=
        ERR_OK) {
        ike_build_notify(b, IKE_NOTIFY_NO_PROPOSAL_CHOSEN, NULL, 0);
        return ERR_OK;
    }
    uint16_t notify = ike_read_ke(m, choice.algorithms.group, &peer);
    if (notify == 0)
        return accept_rekey(g, in, &choice, &peer, b);
    ike_refuse_ke(b, notify, choice.algorithms.group);
    return ERR_OK;
}

int ike_rekey_ike_finish(struct ike_generation *g, struct ike_request *request,
                         const struct ike_incoming *in)
{
    struct ike_sa *sa = g->sa;
    const struct ike_message *m = in->message;
    const struct ike_rekey *rekey = request->rekey;
    struct ike_generation *rival = rekey->rival_generation;
    struct ike_generation *born;
    struct ike_offer_choice choice;
    struct ike_ke peer;

    if (rival != NULL && rival->state != IKE_GENERATION_LIVE)
        rival = NULL; /* the peer has compared first, and deleted it */
    if (m->sa.body == NULL) {
        if (rival != NULL) {
            replace(g, false, in->now_us);
            ike_sa_adopt(sa, rival, in->now_us);
        } else if (ike_rekey_regroup(g, m, rekey)) {
            sa->wants_rekey = true;
        } else {
            sa->rekey_us = ike_timer_retry(ike_sa_config(sa), in->now_us);
        }
        return ERR_OK;
    }
    if (m->nonce.body == NULL || ike_read_ke(m, rekey->kex.group, &peer) != 0 ||
        ike_offer_read(ike_sa_config(sa), &m->sa, 8, &choice) != ERR_OK ||
        choice.algorithms.group != rekey->kex.group) {
        ike_sa_part(sa, IKE_REASON_PROTOCOL, in->now_us);
        return ERR_OK;
    }
    const struct ike_nonces nonces = {rekey->nonce, sizeof(rekey->nonce), m->nonce.body,
                                      m->nonce.len};
    int error = bear(g, rekey, &choice, &nonces, &peer, true, &born);
    if (error == ERR_INVALID) {
        ike_sa_part(sa, IKE_REASON_PROTOCOL, in->now_us);
        return ERR_OK;
    }
    if (error != ERR_OK)
        return error;
    sa->regroup_count = 0;
    bool loses = rival != NULL && ike_rekey_loses(rekey, m->nonce.body, m->nonce.len);
    replace(g, !loses, in->now_us);
    if (loses) {
        replace(born, true, in->now_us);
        ike_sa_adopt(sa, rival, in->now_us);
        return ERR_OK;
    }
    if (rival != NULL)
        replace(rival, false, in->now_us);
    ike_sa_adopt(sa, born, in->now_us);
    return ERR_OK;
}
