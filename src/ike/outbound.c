/* Messages on their way out: answers first, then what is asked next in each free window. */
#include "ike/child.h"
#include "ike/exchange.h"
#include "ike/fragment.h"
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

/* Writes the next message of data, which is one, or several fragments. ERR_OK: *ret_is_last tells
 * whether it was the last one. */
static int write_next(struct writer *w, const uint8_t *data, size_t len, size_t *next_at,
                      bool *ret_is_last)
{
    const size_t next_len = ike_fragment_next_len(data + *next_at, len - *next_at);

    writer_bytes(w, data + *next_at, next_len);
    if (!writer_is_ok(w))
        return w->error;
    *next_at += next_len;
    *ret_is_last = *next_at >= len;
    if (*ret_is_last)
        *next_at = 0;
    return ERR_OK;
}

/* Over a reliable transport nothing is kept. */
static void drop_sent(const struct ike_sa *sa, uint8_t **data)
{
    if (!ike_sa_config(sa)->is_reliable)
        return;
    free(*data);
    *data = NULL;
}

static int write_response(const struct ike_sa *sa, struct ike_response *response, struct writer *w,
                          struct endpoint *ret_remote)
{
    bool is_last;

    int error = write_next(w, response->data, response->len, &response->next_at, &is_last);
    if (error != ERR_OK)
        return error;
    *ret_remote = response->remote;
    if (is_last) {
        response->is_to_send = false;
        drop_sent(sa, &response->data);
    }
    return ERR_OK;
}

/* All fragments go the way of the first one. */
static int write_request(struct ike_sa *sa, struct ike_request *request, struct writer *w,
                         struct endpoint *ret_remote, uint64_t now_us)
{
    const bool is_first = request->next_at == 0;
    bool is_last;

    int error = write_next(w, request->data, request->len, &request->next_at, &is_last);
    if (error != ERR_OK)
        return error;
    if (is_first) {
        request->is_to_send = false;
        request->to = *ike_mobility_next(sa, request, now_us);
        request->goes_again = request->is_to_send;
    }
    *ret_remote = request->to;
    request->is_to_send = !is_last || request->goes_again;
    if (is_last)
        drop_sent(sa, &request->data);
    return ERR_OK;
}

int ike_sa_transmit(struct ike_sa *sa, struct writer *w, struct endpoint *ret_remote,
                    uint64_t now_us)
{
    if (ike_outbound_start(sa, now_us) != ERR_OK)
        ike_sa_fail(sa, IKE_REASON_FAILED_HERE, 0);
    ike_timer_update(sa);
    for (struct ike_generation *g = sa->generations; g != NULL; g = g->next) {
        if (g->response.is_to_send && g->response.data != NULL)
            return write_response(sa, &g->response, w, ret_remote);
        if (g->request.is_to_send && g->request.data != NULL)
            return write_request(sa, &g->request, w, ret_remote, now_us);
    }
    return ERR_AGAIN;
}
