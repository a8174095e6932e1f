/* IKE_AUTH: both sides prove their keys, and the first child comes with it, or none (RFC 7296, 1.2;
 * RFC 6023). */
#include "ike/addresses.h"
#include "ike/auth.h"
#include "ike/child.h"
#include "ike/exchange.h"
#include "ike/init_half.h"
#include "ike/life.h"
#include "ike/mobility.h"
#include "ike/queue.h"
#include "ike/resume.h"
#include <string.h>

static struct ike_nonces handshake_nonces(const struct ike_generation *g)
{
    const struct ike_handshake *h = g->handshake;

    if (g->is_initiator)
        return (struct ike_nonces){h->own_nonce, IKE_NONCE_LEN, h->peer_nonce, h->peer_nonce_len};
    return (struct ike_nonces){h->peer_nonce, h->peer_nonce_len, h->own_nonce, IKE_NONCE_LEN};
}

int ike_authenticate_begin(struct ike_generation *g, uint64_t now_us)
{
    struct ike_sa *sa = g->sa;
    const struct ike_config *config = ike_sa_config(sa);
    struct ike_outgoing out;

    sa->entry = config->peer_count > 0 ? &config->peers[0] : NULL;
    ike_generation_begin(g, &out, IKE_EXCHANGE_AUTH, false, g->send_id);
    int error = ike_auth_build(g, &out.b);
    if (error == ERR_UNSUPPORTED) /* so the peer has said, or somebody in its place */
        return ike_authenticate_refuse(g, IKE_REASON_NO_PROPOSAL, IKE_NOTIFY_NO_PROPOSAL_CHOSEN,
                                       now_us);
    if (error != ERR_OK)
        return error;
    if (g->handshake->resumed == NULL)
        ike_auth_build_requests(config, &out.b);
    ike_resume_ask(sa, &out.b);
    if (sa->entry != NULL && sa->entry->expected.name.type != 0)
        ike_build_id(&out.b, IKE_PAYLOAD_IDR, sa->entry->expected.name.type,
                     sa->entry->expected.name.bytes, sa->entry->expected.name.len);
    else if (config->expected_id[0] != '\0')
        ike_build_id(&out.b, IKE_PAYLOAD_IDR, IKE_ID_FQDN, config->expected_id,
                     strlen(config->expected_id));
    /* The peer may be calling at the same time: then ours is not the only one. Strangers who forge
     * its address can feign that; the peer's liveness checks then do what this notify would. */
    if (config->is_initial_contact && !ike_half_open_has(sa->table, &sa->remote))
        ike_build_notify(&out.b, IKE_NOTIFY_INITIAL_CONTACT, NULL, 0);
    if (config->suites[0] != SUITE_NONE) {
        ike_child_offer(sa, &out.b, g->handshake->child_spi, false);
        ike_child_offer_ts(sa, &out.b);
    }
    ike_mobility_offer(sa, &out.b);
    const bool has_early =
        config->is_reliable && (config->sends_early || g->handshake->resumed != NULL);
    struct ike_notify_node *early = has_early ? ike_notifies_take(sa) : NULL;
    for (const struct ike_notify_node *n = early; n != NULL; n = n->next)
        ike_build_notify(&out.b, n->type, n->data, n->len);
    error = ike_generation_request(g, &out, IKE_REQUEST_AUTH, now_us);
    g->request.notifies = early;
    return error;
}

/* Private notifies beside the proof: as good as those of the first INFORMATIONAL. */
static int take_early(struct ike_sa *sa, const struct ike_message *message)
{
    struct ike_chain chain = message->chain;
    struct ike_notify notify;
    int error = ERR_OK;

    while (error == ERR_OK && ike_sa_config(sa)->is_reliable &&
           ike_message_next_notify(&chain, &notify))
        if (notify.type >= IKE_NOTIFY_PRIVATE_MIN)
            error = ike_events_add_notify(sa, &notify);
    return error;
}

/* Appends the answer to the child that IKE_AUTH asks for, and installs it; a refused child leaves
 * the IKE SA standing (1.2). */
static int answer_child(struct ike_generation *g, const struct ike_incoming *in,
                        const struct ike_nonces *nonces, struct ike_builder *b)
{
    struct ike_sa *sa = g->sa;
    struct ike_child_terms terms;
    struct ike_child *child;
    uint32_t spi;

    if (ike_sa_config(sa)->suites[0] == SUITE_NONE) {
        ike_build_notify(b, IKE_NOTIFY_NO_ADDITIONAL_SAS, NULL, 0);
        return ERR_OK;
    }
    uint16_t notify = ike_child_read_offer(sa, in->message, false, &terms);
    if (notify != 0) {
        ike_build_notify(b, notify, NULL, 0);
        return ERR_OK;
    }
    int error = ike_child_draw_spi(sa, &spi);
    if (error != ERR_OK)
        return error;
    const struct ike_child_birth birth = {
        .terms = &terms, .spi_in = spi, .keys = &g->keys, .nonces = *nonces, .is_outbound = true};
    error = ike_child_install(sa, &birth, in->now_us, &child);
    if (error != ERR_OK)
        return error;
    ike_child_answer(sa, b, &terms, spi, false);
    ike_child_answer_ts(sa, b, &terms);
    return ERR_OK;
}

int ike_authenticate_answer(struct ike_generation *g, const struct ike_incoming *in,
                            struct ike_builder *b)
{
    struct ike_sa *sa = g->sa;
    struct ike_auth_result result;
    struct ike_nonces nonces = handshake_nonces(g);

    int error = ike_auth_check(g, in->message, &result);
    if (error != ERR_OK)
        return error;
    if (result.reason != IKE_REASON_NONE) {
        ike_build_notify(b, IKE_NOTIFY_AUTHENTICATION_FAILED, NULL, 0);
        ike_sa_fail(sa, result.reason, 0);
        return ERR_OK;
    }
    sa->entry = result.entry;
    /* RFC 4555, 3.9. */
    if (ike_addresses_forbid(sa, in->message, in->remote)) {
        ike_build_notify(b, IKE_NOTIFY_UNEXPECTED_NAT_DETECTED, NULL, 0);
        ike_sa_fail(sa, IKE_REASON_PROTOCOL, IKE_NOTIFY_UNEXPECTED_NAT_DETECTED);
        return ERR_OK;
    }
    ike_auth_read_wishes(g->handshake, in->message);
    const struct ike_builder start = *b;
    const size_t start_len = b->w->len;
    error = ike_auth_build(g, b);
    if (error == ERR_UNSUPPORTED) {
        *b = start; /* our own name is not for a peer that we cannot prove it to */
        b->w->len = start_len;
        ike_build_notify(b, IKE_NOTIFY_AUTHENTICATION_FAILED, NULL, 0);
        ike_sa_fail(sa, IKE_REASON_NO_PROPOSAL, 0);
        return ERR_OK;
    }
    if (error != ERR_OK)
        return error;
    sa->remote = *in->remote;
    ike_mobility_read(sa, in->message);
    bool is_initial = ike_message_find_notify(in->message, IKE_NOTIFY_INITIAL_CONTACT, NULL);
    error = ike_sa_establish(g, &result, is_initial, in->now_us);
    if (error == ERR_OK)
        error = take_early(sa, in->message);
    if (error == ERR_OK && in->message->sa.body != NULL)
        error = answer_child(g, in, &nonces, b);
    if (error == ERR_OK) {
        ike_mobility_offer(sa, b);
        ike_resume_give(g, in->message, b);
    }
    ike_generation_free_handshake(g);
    return error;
}

static int child_failed(struct ike_sa *sa, enum ike_reason reason, uint16_t notify)
{
    struct ike_event *event = ike_events_add(sa, IKE_EVENT_CHILD_CLOSED, 0);
    if (event == NULL)
        return ERR_NOMEM;
    event->child_closed.reason = reason;
    event->child_closed.notify = notify;
    return ERR_OK;
}

static int finish_child(struct ike_generation *g, const struct ike_incoming *in,
                        const struct ike_nonces *nonces, uint32_t spi)
{
    struct ike_sa *sa = g->sa;
    const struct ike_message *m = in->message;
    struct ike_child_terms terms;
    struct ike_child *child;

    if (ike_sa_config(sa)->suites[0] == SUITE_NONE)
        return ERR_OK;
    if (m->sa.body == NULL) {
        const uint16_t notify = ike_message_error(m);
        const bool is_choice = notify == IKE_NOTIFY_NO_PROPOSAL_CHOSEN;
        return child_failed(sa, is_choice ? IKE_REASON_NO_PROPOSAL : IKE_REASON_CHILD_REFUSED,
                            notify);
    }
    if (ike_child_read_answer(sa, m, false, &terms) != 0) {
        ike_sa_part(sa, IKE_REASON_PROTOCOL, in->now_us); /* it holds a child that we cannot use */
        return ERR_OK;
    }
    const struct ike_child_birth birth = {.terms = &terms,
                                          .spi_in = spi,
                                          .keys = &g->keys,
                                          .nonces = *nonces,
                                          .is_ours = true,
                                          .is_outbound = true};
    return ike_child_install(sa, &birth, in->now_us, &child);
}

/* One more IKE_SA_INIT while there is time: the answer, or our request, may have been changed on
 * its way, which only AUTH brings to light. */
static void ask_again(struct ike_sa *sa, uint64_t now_us)
{
    sa->establish_by_us = deadline_min(sa->establish_by_us, now_us + IKE_GRACE_US);
    for (struct ike_generation *g = sa->generations; g != NULL; g = g->next)
        if (g->state == IKE_GENERATION_INIT)
            g->request.repeat_us = deadline_min(g->request.repeat_us, now_us + IKE_GRACE_US / 4);
}

int ike_authenticate_refuse(struct ike_generation *g, enum ike_reason reason, uint16_t notify,
                            uint64_t now_us)
{
    struct ike_sa *sa = g->sa;

    g->state = IKE_GENERATION_OUTDONE;
    g->drop_us = now_us + ike_sa_config(sa)->request_timeout_us;
    sa->refused_reason = reason;
    sa->refused_notify = notify;
    if (ike_sa_config(sa)->is_reliable)
        ike_sa_fail(sa, reason, notify);
    else
        ask_again(sa, now_us);
    /* A responder that we refuse believes to be established (2.21.2). */
    return notify == 0 ? ike_farewell_begin(g, now_us) : ERR_OK;
}

int ike_authenticate_finish(struct ike_generation *g, struct ike_request *request,
                            const struct ike_incoming *in)
{
    const struct ike_message *m = in->message;
    struct ike_auth_result result;
    struct ike_nonces nonces = handshake_nonces(g);

    (void)request;
    if (g->state == IKE_GENERATION_OUTDONE) {
        g->wants_delete = m->auth.body != NULL;
        if (!g->wants_delete)
            g->state = IKE_GENERATION_GONE;
        return ERR_OK;
    }
    if (m->auth.body == NULL) {
        uint16_t notify = ike_message_error(m);
        enum ike_reason reason = notify == IKE_NOTIFY_AUTHENTICATION_FAILED
                                     ? IKE_REASON_REFUSED_BY_PEER
                                     : IKE_REASON_PROTOCOL;
        return ike_authenticate_refuse(g, reason, notify != 0 ? notify : IKE_NOTIFY_INVALID_SYNTAX,
                                       in->now_us);
    }
    int error = ike_auth_check(g, m, &result);
    if (error != ERR_OK)
        return error;
    if (result.reason != IKE_REASON_NONE)
        return ike_authenticate_refuse(g, result.reason, 0, in->now_us);
    bool is_initial = ike_message_find_notify(m, IKE_NOTIFY_INITIAL_CONTACT, NULL);
    ike_mobility_read(g->sa, m);
    error = ike_sa_establish(g, &result, is_initial, in->now_us);
    if (error == ERR_OK)
        ike_resume_keep(g, m, in->now_us);
    if (error == ERR_OK)
        error = finish_child(g, in, &nonces, g->handshake->child_spi);
    ike_generation_free_handshake(g);
    return error;
}
