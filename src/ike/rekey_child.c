/* Rekeying a child by CREATE_CHILD_SA with a key exchange of its own (RFC 7296, 1.3.3 and 2.8). The
 * old child stays readable until its DELETE and a little longer: no packet is lost on the way. */
#include "crypto/memory.h"
#include "ike/child.h"
#include "ike/exchange.h"
#include "ike/life.h"
#include "ike/timer.h"

int ike_rekey_child_begin(struct ike_generation *g, struct ike_child *child, uint64_t now_us)
{
    struct ike_sa *sa = g->sa;
    struct ike_outgoing out;
    struct ike_rekey *rekey;
    const enum kex_group group = sa->lacks_pfs ? KEX_NONE : ike_rekey_group(g);

    child->wants_rekey = false;
    int error = ike_rekey_new(group, &rekey);
    if (error != ERR_OK)
        return error;
    g->request.rekey = rekey;
    rekey->child = child->number;
    error = ike_child_draw_spi(sa, &rekey->spi_in);
    if (error != ERR_OK)
        return error;
    ike_generation_begin(g, &out, IKE_EXCHANGE_CREATE_CHILD_SA, false, g->send_id);
    ike_build_child_notify(&out.b, IKE_NOTIFY_REKEY_SA, (uint8_t)suite_protocol(child->suite),
                           child->spi_in);
    ike_child_offer(sa, &out.b, rekey->spi_in, group != KEX_NONE);
    ike_build_nonce(&out.b, rekey->nonce, sizeof(rekey->nonce));
    if (group != KEX_NONE)
        ike_build_own_ke(&out.b, &rekey->kex);
    ike_child_offer_ts(sa, &out.b);
    return ike_generation_request(g, &out, IKE_REQUEST_REKEY_CHILD, now_us);
}

/* RFC 7296, 2.25.1: not a child that is being closed, or replaced already. */
static bool is_busy(const struct ike_generation *g, const struct ike_child *child)
{
    const struct ike_request *r = &g->request;

    if (r->kind == IKE_REQUEST_REKEY_IKE || r->kind == IKE_REQUEST_DELETE_IKE)
        return true;
    if (r->kind == IKE_REQUEST_DELETE_CHILD && r->child == child->number)
        return true;
    return child->state != IKE_CHILD_LIVE || child->wants_delete;
}

static void replace(struct ike_generation *g, struct ike_child *old, const struct ike_child *child,
                    const struct ike_nonces *nonces)
{
    struct ike_request *r = &g->request;
    old->state = IKE_CHILD_REPLACED;
    old->replaced_by = child->number;
    old->wants_rekey = false;
    if (r->kind == IKE_REQUEST_REKEY_CHILD && r->rekey->child == old->number) {
        ike_rekey_note_rival(r->rekey, nonces);
        r->rekey->rival_child = child->number;
    }
}

int ike_child_create(struct ike_generation *g, const struct ike_incoming *in, struct ike_child *old,
                     const struct ike_child_terms *terms, const struct ike_ke *peer,
                     struct ike_builder *b, struct ike_child **ret_child)
{
    struct ike_sa *sa = g->sa;
    const struct ike_payload *peer_nonce = &in->message->nonce;
    struct ike_rekey *rekey;
    struct ike_child *child;
    struct kex_secret secret;

    int error = ike_rekey_new(terms->choice.group, &rekey);
    if (error != ERR_OK)
        return error;
    struct ike_request ours = {.rekey = rekey};
    error = ike_child_draw_spi(sa, &rekey->spi_in);
    if (error != ERR_OK)
        goto done;
    if (peer != NULL && kex_derive(&rekey->kex, peer->data, peer->len, &secret) != ERR_OK) {
        ike_build_notify(b, IKE_NOTIFY_INVALID_SYNTAX, NULL, 0);
        goto done;
    }
    const struct ike_child_birth birth = {
        .terms = terms,
        .spi_in = rekey->spi_in,
        .keys = &g->keys,
        .secret = peer != NULL ? &secret : NULL,
        .nonces = {peer_nonce->body, peer_nonce->len, rekey->nonce, sizeof(rekey->nonce)},
        .rekey_of = old != NULL ? old->number : 0,
        .is_outbound = old == NULL, /* there is no other one, and the answer is on its way */
    };
    error = ike_child_install(sa, &birth, in->now_us, &child);
    if (error == ERR_LIMIT) {
        ike_build_notify(b, IKE_NOTIFY_TEMPORARY_FAILURE, NULL, 0);
        error = ERR_OK;
        goto done;
    }
    if (error != ERR_OK)
        goto done;
    if (old != NULL)
        replace(g, old, child, &birth.nonces);
    ike_child_answer(sa, b, terms, rekey->spi_in, peer != NULL);
    ike_build_nonce(b, rekey->nonce, sizeof(rekey->nonce));
    if (peer != NULL)
        ike_build_own_ke(b, &rekey->kex);
    ike_child_answer_ts(sa, b, terms);
    *ret_child = child;
done:
    kex_secret_done(&secret);
    ike_request_done(&ours);
    return error;
}

int ike_rekey_child_answer(struct ike_generation *g, const struct ike_incoming *in,
                           const struct ike_notify *rekey, struct ike_builder *b)
{
    struct ike_child_terms terms;
    struct reader r;
    struct ike_ke peer;

    reader_init(&r, rekey->spi, rekey->spi_len);
    uint32_t spi = reader_u32(&r);
    struct ike_child *old =
        rekey->spi_len == 4 ? ike_child_find_out(g->sa, rekey->protocol, spi) : NULL;
    if (old == NULL) {
        ike_build_child_notify(b, IKE_NOTIFY_CHILD_SA_NOT_FOUND, rekey->protocol, spi);
        return ERR_OK;
    }
    if (is_busy(g, old)) {
        ike_build_notify(b, IKE_NOTIFY_TEMPORARY_FAILURE, NULL, 0);
        return ERR_OK;
    }
    const bool has_ke = in->message->ke.body != NULL || !ike_sa_config(g->sa)->is_pfs_optional;
    uint16_t notify = ike_child_read_offer(g->sa, in->message, has_ke, &terms);
    if (notify == 0 && has_ke)
        notify = ike_read_ke(in->message, terms.choice.group, &peer);
    if (notify != 0) {
        ike_refuse_ke(b, notify, terms.choice.group);
        return ERR_OK;
    }
    struct ike_child *child;
    g->sa->lacks_pfs = !has_ke;
    return ike_child_create(g, in, old, &terms, has_ke ? &peer : NULL, b, &child);
}

/* The peer did not rekey. It may have lost the child; else we try again, until its hard lifetime.
 */
static int finish_refused(struct ike_sa *sa, struct ike_child *old, uint16_t notify,
                          uint64_t now_us)
{
    if (old == NULL || old->state != IKE_CHILD_LIVE)
        return ERR_OK; /* the peer's own rekey took its place, or it is gone */
    if (notify == IKE_NOTIFY_CHILD_SA_NOT_FOUND)
        return ike_child_end(sa, old, IKE_REASON_CLOSED_BY_PEER, now_us);
    old->rekey_us = ike_timer_retry(ike_sa_config(sa), now_us);
    return ERR_OK;
}

/* A peer that is configured without a key exchange for children refuses all that have one: true
 * where it is asked without, then. */
static bool drop_pfs(struct ike_sa *sa, const struct ike_rekey *rekey, uint16_t notify)
{
    if (notify != IKE_NOTIFY_NO_PROPOSAL_CHOSEN || rekey->kex.group == KEX_NONE ||
        !ike_sa_config(sa)->is_pfs_optional)
        return false;
    sa->lacks_pfs = true;
    return true;
}

/* Ours has lost against the peer's: it goes, by our DELETE. The peer deletes the old one once it
 * has our answer; only that makes the winner the one to send with. */
static void finish_loser(struct ike_child *born)
{
    born->state = IKE_CHILD_REPLACED;
    born->wants_delete = true;
}

/* Ours takes over: the old one goes, by our DELETE; a losing one of the peer's goes by the peer's,
 * or by ours should it forget. */
static void finish_winner(struct ike_sa *sa, struct ike_child *born, struct ike_child *old,
                          const struct ike_rekey *rekey, uint64_t now_us)
{
    struct ike_child *rival = rekey->has_rival ? ike_child_find(sa, rekey->rival_child) : NULL;

    if (rival != NULL && rival->state == IKE_CHILD_LIVE) {
        rival->state = IKE_CHILD_REPLACED;
        rival->replaced_by = born->number;
        rival->rekey_us = DEADLINE_NEVER;
        rival->hard_us = now_us + 2 * ike_sa_config(sa)->request_timeout_us;
    }
    if (old == NULL || old->state == IKE_CHILD_LINGERING)
        return;
    if (old->wants_delete && old->reason == IKE_REASON_CLOSED_HERE) {
        born->wants_delete = true; /* the owner closed it meanwhile */
        born->reason = IKE_REASON_CLOSED_HERE;
    }
    old->state = IKE_CHILD_REPLACED;
    old->replaced_by = born->number;
    old->wants_delete = true;
}

int ike_rekey_child_finish(struct ike_generation *g, struct ike_request *request,
                           const struct ike_incoming *in)
{
    struct ike_sa *sa = g->sa;
    const struct ike_message *m = in->message;
    const struct ike_rekey *rekey = request->rekey;
    struct ike_child *old = ike_child_find(sa, rekey->child);
    struct ike_child_terms terms;
    struct ike_child *born;
    struct ike_ke peer;
    struct kex_secret secret;

    if (m->sa.body == NULL && ike_rekey_regroup(g, m, rekey) && old != NULL) {
        old->wants_rekey = old->state == IKE_CHILD_LIVE;
        return ERR_OK;
    }
    if (m->sa.body == NULL && drop_pfs(sa, rekey, ike_message_error(m)) && old != NULL) {
        old->wants_rekey = old->state == IKE_CHILD_LIVE;
        return ERR_OK;
    }
    if (m->sa.body == NULL)
        return finish_refused(sa, old, ike_message_error(m), in->now_us);
    const bool has_ke = rekey->kex.group != KEX_NONE;
    if (m->nonce.body == NULL || ike_child_read_answer(sa, m, has_ke, &terms) != 0 ||
        terms.choice.group != rekey->kex.group ||
        (has_ke && (ike_read_ke(m, rekey->kex.group, &peer) != 0 ||
                    kex_derive(&rekey->kex, peer.data, peer.len, &secret) != ERR_OK))) {
        ike_sa_part(sa, IKE_REASON_PROTOCOL, in->now_us);
        return ERR_OK;
    }
    sa->regroup_count = 0;
    bool loses = ike_rekey_loses(rekey, m->nonce.body, m->nonce.len);
    const struct ike_child_birth birth = {
        .terms = &terms,
        .spi_in = rekey->spi_in,
        .keys = &g->keys,
        .secret = has_ke ? &secret : NULL,
        .nonces = {rekey->nonce, sizeof(rekey->nonce), m->nonce.body, m->nonce.len},
        .is_ours = true,
        .rekey_of = rekey->child,
        .is_outbound = !loses,
    };
    int error = ike_child_install(sa, &birth, in->now_us, &born);
    kex_secret_done(&secret);
    if (error != ERR_OK)
        return error;
    /* The old one may have made room for it. */
    old = ike_child_find(sa, rekey->child);
    if (loses)
        finish_loser(born);
    else
        finish_winner(sa, born, old, rekey, in->now_us);
    return ERR_OK;
}
