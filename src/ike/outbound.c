/* Messages on their way out: answers first, then what is asked next in each free window. */
#include "ike/child.h"
#include "ike/exchange.h"
#include "ike/life.h"
#include "ike/mobility.h"
#include "ike/timer.h"
#include <stdlib.h>

/* A child that the peer asked for is left alone until its DELETE of the old one shows that it has
 * our answer: before, it would not know the child that we speak of. */
static struct ike_child *find_wanting(struct ike_sa *sa, bool wants_delete)
{
    for (struct ike_child *c = sa->children; c != NULL; c = c->next) {
        bool is_known =
            c->state == IKE_CHILD_REPLACED || (c->state == IKE_CHILD_LIVE && c->is_outbound);
        bool is_wanting =
            wants_delete ? c->wants_delete : c->wants_rekey && c->state == IKE_CHILD_LIVE;
        if (is_known && is_wanting)
            return c;
    }
    return NULL;
}

/* The next request on the current generation, if there is anything to ask. */
static int start_current(struct ike_sa *sa, uint64_t now_us)
{
    struct ike_generation *g = sa->current;
    struct ike_child *child;
    bool wants_check = sa->wants_check;

    if (sa->state == IKE_STATE_CLOSING)
        return ike_delete_begin(g, now_us);
    sa->wants_check = false; /* any answer tells that the peer lives */
    if (sa->has_candidate || sa->wants_update)
        return ike_notify_begin(g, now_us);
    child = find_wanting(sa, true);
    if (child != NULL)
        return ike_delete_child_begin(g, child, now_us);
    if (sa->notifies != NULL)
        return ike_notify_begin(g, now_us);
    child = find_wanting(sa, false);
    if (child != NULL)
        return ike_rekey_child_begin(g, child, now_us);
    if (sa->wants_rekey)
        return ike_rekey_ike_begin(g, now_us);
    return wants_check ? ike_notify_begin(g, now_us) : ERR_OK;
}

int ike_outbound_start(struct ike_sa *sa, uint64_t now_us)
{
    if (sa->state != IKE_STATE_ESTABLISHED && sa->state != IKE_STATE_CLOSING)
        return ERR_OK;
    for (struct ike_generation *g = sa->generations; g != NULL; g = g->next) {
        int error = ERR_OK;
        if (g->request.kind != IKE_REQUEST_NONE)
            continue;
        if (g->wants_delete &&
            (g->state == IKE_GENERATION_REPLACED || g->state == IKE_GENERATION_OUTDONE))
            error = ike_delete_begin(g, now_us);
        else if (g == sa->current && g->state == IKE_GENERATION_LIVE)
            error = start_current(sa, now_us);
        if (error != ERR_OK)
            return error;
    }
    return ERR_OK;
}

/* Writes one message if it is due; over a reliable transport it is not kept. */
static int write_due(const struct ike_sa *sa, struct writer *w, uint8_t **data, size_t len,
                     bool *is_to_send)
{
    writer_bytes(w, *data, len);
    if (!writer_is_ok(w))
        return w->error;
    *is_to_send = false;
    if (ike_sa_config(sa)->is_reliable) {
        free(*data);
        *data = NULL;
    }
    return ERR_OK;
}

int ike_sa_transmit(struct ike_sa *sa, struct writer *w, struct endpoint *ret_remote,
                    uint64_t now_us)
{
    if (ike_outbound_start(sa, now_us) != ERR_OK)
        ike_sa_fail(sa, IKE_REASON_FAILED_HERE, 0);
    ike_timer_update(sa);
    for (struct ike_generation *g = sa->generations; g != NULL; g = g->next) {
        struct ike_response *response = &g->response;
        struct ike_request *request = &g->request;
        if (response->is_to_send && response->data != NULL) {
            int error = write_due(sa, w, &response->data, response->len, &response->is_to_send);
            if (error == ERR_OK)
                *ret_remote = response->remote;
            return error;
        }
        if (request->is_to_send && request->data != NULL) {
            int error = write_due(sa, w, &request->data, request->len, &request->is_to_send);
            if (error == ERR_OK)
                *ret_remote = *ike_mobility_next(sa, request, now_us);
            return error;
        }
    }
    return ERR_AGAIN;
}
