/* See ike/rest.h. The request that wakes an SA may go several ways at once and for several times,
 * each copy the same: its number in the window is used up only when it has been answered. */
#include "ike/rest.h"
#include "ike/child.h"
#include "ike/life.h"
#include "ike/timer.h"

/* An SA that should have been rekeyed while it was at rest is so soon after. */
#define REKEY_US (5 * SECOND_US)

static bool has_live_child(const struct ike_sa *sa)
{
    return ike_child_live(sa) != NULL;
}

int ike_sa_rest(struct ike_sa *sa, bool tells, uint64_t until_us, uint64_t now_us)
{
    const struct ike_generation *g = sa->current;

    if (sa->state != IKE_STATE_ESTABLISHED || g == NULL || g->state != IKE_GENERATION_LIVE ||
        sa->is_resting || ike_sa_config(sa)->is_reliable)
        return ERR_STATE;
    if (g->request.kind != IKE_REQUEST_NONE && g->request.kind != IKE_REQUEST_NOTIFY)
        return ERR_STATE; /* a rekey is under way: what it ends in belongs to an SA in use */
    ike_sa_set_remote(sa, &sa->remote); /* no move goes on */
    sa->wants_rekey = sa->wants_check = sa->wants_update = false;
    for (struct ike_child *c = sa->children; c != NULL; c = c->next) {
        if (c->state != IKE_CHILD_LIVE)
            continue;
        c->rekey_us = DEADLINE_NEVER;
        c->wants_rekey = false;
        c->wants_delete = tells;
        c->reason = IKE_REASON_CLOSED_HERE;
    }
    sa->is_resting = true;
    sa->rest_rekey_us = sa->rekey_us;
    sa->rekey_us = DEADLINE_NEVER;
    sa->hard_us = until_us;
    (void)now_us;
    ike_timer_update(sa);
    return ERR_OK;
}

bool ike_sa_is_resting(const struct ike_sa *sa)
{
    return sa->is_resting;
}

bool ike_sa_is_waking(const struct ike_sa *sa)
{
    return sa->is_resting && sa->current != NULL && sa->current->request.kind == IKE_REQUEST_WAKE &&
           sa->current->request.timeout_us != DEADLINE_NEVER;
}

bool ike_sa_can_wake(const struct ike_sa *sa)
{
    const struct ike_generation *g = sa->current;

    return sa->is_resting && sa->state == IKE_STATE_ESTABLISHED && g != NULL &&
           g->state == IKE_GENERATION_LIVE && !has_live_child(sa) &&
           (g->request.kind == IKE_REQUEST_NONE || g->request.kind == IKE_REQUEST_WAKE);
}

/* What the request is about. */
static int begin(struct ike_generation *g, uint64_t now_us)
{
    struct ike_sa *sa = g->sa;
    struct ike_outgoing out;
    struct ike_rekey *ours;

    int error = ike_rekey_new(ike_rekey_group(g), &ours);
    if (error != ERR_OK)
        return error;
    g->request.rekey = ours;
    error = ike_child_draw_spi(sa, &ours->spi_in);
    if (error != ERR_OK)
        return error;
    ike_generation_begin(g, &out, IKE_EXCHANGE_CREATE_CHILD_SA, false, g->send_id);
    ike_child_offer(sa, &out.b, ours->spi_in, true);
    ike_build_nonce(&out.b, ours->nonce, sizeof(ours->nonce));
    ike_build_own_ke(&out.b, &ours->kex);
    ike_child_offer_ts(sa, &out.b);
    return ike_generation_request(g, &out, IKE_REQUEST_WAKE, now_us);
}

int ike_sa_wake(struct ike_sa *sa, uint64_t now_us)
{
    struct ike_generation *g = sa->current;

    if (!ike_sa_can_wake(sa))
        return ERR_STATE;
    struct ike_request *r = &g->request;
    if (r->kind == IKE_REQUEST_NONE) {
        int error = begin(g, now_us);
        if (error != ERR_OK) {
            ike_generation_clear_request(g);
            return error;
        }
    } else {
        r->is_to_send = r->was_repeated = true;
        r->interval_us = ike_sa_first_interval(sa);
        r->repeat_us = now_us + r->interval_us;
    }
    r->timeout_us = now_us + IKE_WAKE_US;
    ike_timer_update(sa);
    return ERR_OK;
}

int ike_sa_copy_wake(const struct ike_sa *sa, struct writer *w)
{
    const struct ike_request *r = sa->current != NULL ? &sa->current->request : NULL;

    if (r == NULL || r->kind != IKE_REQUEST_WAKE || r->data == NULL)
        return ERR_NOT_FOUND;
    writer_bytes(w, r->data, r->len);
    return writer_is_ok(w) ? ERR_OK : w->error;
}

void ike_wake_park(struct ike_request *request)
{
    request->is_to_send = false;
    request->repeat_us = request->timeout_us = DEADLINE_NEVER;
}

static void wake_up(struct ike_sa *sa, uint64_t now_us)
{
    const struct ike_config *config = ike_sa_config(sa);

    struct ike_request *ours = &sa->current->request;

    if (!sa->is_resting)
        return;
    sa->is_resting = false;
    if (ours->kind == IKE_REQUEST_WAKE) {
        /* The peer's was faster. Its number in the window is used, so it has to be answered. */
        ours->repeat_us = now_us + ike_sa_first_interval(sa);
        ours->timeout_us = now_us + config->request_timeout_us;
    }
    sa->rekey_us = sa->rest_rekey_us;
    sa->hard_us = DEADLINE_NEVER;
    if (sa->rekey_us == DEADLINE_NEVER)
        return;
    if (sa->rekey_us < now_us + REKEY_US)
        sa->rekey_us = now_us + REKEY_US;
    sa->hard_us = sa->rekey_us + 2 * config->request_timeout_us;
}

int ike_wake_answer(struct ike_generation *g, const struct ike_incoming *in, struct ike_builder *b)
{
    struct ike_sa *sa = g->sa;
    struct ike_child_terms terms;
    struct ike_ke peer;

    /* Where both sides wake it at once, each by its own request, that of the first exchange's
     * initiator stands. Of carried ones the calls have decided. */
    const bool is_ours_first =
        sa->is_initiator && ike_sa_is_waking(sa) && !ike_is_carried(in->remote);
    if (is_ours_first || has_live_child(sa)) {
        ike_build_notify(b, IKE_NOTIFY_TEMPORARY_FAILURE, NULL, 0);
        return ERR_OK;
    }
    uint16_t notify = ike_child_read_offer(sa, in->message, true, &terms);
    if (notify == 0)
        notify = ike_read_ke(in->message, terms.choice.group, &peer);
    if (notify != 0) {
        ike_refuse_ke(b, notify, terms.choice.group);
        return ERR_OK;
    }
    struct ike_child *child = NULL;
    const int error = ike_child_create(g, in, NULL, &terms, &peer, b, &child);
    if (child != NULL)
        wake_up(sa, in->now_us);
    return error;
}

/* Of two that were made at once, the older one is closed. */
static void replace_others(struct ike_sa *sa, const struct ike_child *born)
{
    for (struct ike_child *c = sa->children; c != NULL; c = c->next) {
        if (c == born || c->state != IKE_CHILD_LIVE)
            continue;
        c->state = IKE_CHILD_REPLACED;
        c->replaced_by = born->number;
        c->wants_delete = true;
        c->wants_rekey = false;
    }
}

int ike_wake_finish(struct ike_generation *g, struct ike_request *request,
                    const struct ike_incoming *in)
{
    struct ike_sa *sa = g->sa;
    const struct ike_message *m = in->message;
    const struct ike_rekey *ours = request->rekey;
    struct ike_child_terms terms;
    struct ike_child *born;
    struct ike_ke peer;
    struct kex_secret secret;

    if (m->sa.body == NULL) {
        if (ike_message_error(m) != IKE_NOTIFY_TEMPORARY_FAILURE && sa->is_resting)
            ike_sa_part(sa, IKE_REASON_CHILD_REFUSED, in->now_us);
        return ERR_OK;
    }
    if (m->nonce.body == NULL || ike_child_read_answer(sa, m, true, &terms) != 0 ||
        ike_read_ke(m, ours->kex.group, &peer) != 0 || terms.choice.group != ours->kex.group ||
        kex_derive(&ours->kex, peer.data, peer.len, &secret) != ERR_OK) {
        ike_sa_part(sa, IKE_REASON_PROTOCOL, in->now_us);
        return ERR_OK;
    }
    const struct ike_child_birth birth = {
        .terms = &terms,
        .spi_in = ours->spi_in,
        .keys = &g->keys,
        .secret = &secret,
        .nonces = {ours->nonce, sizeof(ours->nonce), m->nonce.body, m->nonce.len},
        .is_ours = true,
        .is_outbound = true,
    };
    int error = ike_child_install(sa, &birth, in->now_us, &born);
    kex_secret_done(&secret);
    if (error != ERR_OK)
        return error;
    replace_others(sa, born);
    wake_up(sa, in->now_us);
    return ERR_OK;
}
