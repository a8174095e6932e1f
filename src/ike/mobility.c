/* Moving an SA to another endpoint; see ike/mobility.h. */
#include "ike/mobility.h"
#include "crypto/memory.h"
#include "ike/generation.h"
#include "ike/nat.h"
#include "ike/queue.h"
#include "ike/timer.h"
#include <string.h>

#define COOKIE2_LEN_MIN 8 /* RFC 4555, 4.2.5 */
#define COOKIE2_LEN_MAX 64
#define CHALLENGES_MAX  3 /* times that one is sent */

void ike_mobility_offer(struct ike_sa *sa, struct ike_builder *b)
{
    if (ike_sa_config(sa)->is_reliable)
        return;
    ike_build_notify(b, IKE_NOTIFY_MOBIKE_SUPPORTED, NULL, 0);
    ike_build_notify(b, IKE_NOTIFY_EITHER_SIDE_MOVES, NULL, 0);
}

void ike_mobility_read(struct ike_sa *sa, const struct ike_message *message)
{
    if (ike_sa_config(sa)->is_reliable)
        return;
    sa->is_mobile = ike_message_find_notify(message, IKE_NOTIFY_MOBIKE_SUPPORTED, NULL);
    sa->is_symmetric =
        sa->is_mobile && ike_message_find_notify(message, IKE_NOTIFY_EITHER_SIDE_MOVES, NULL);
}

/* By the RFC only the initiator moves. */
static bool peer_may_move(const struct ike_sa *sa)
{
    return sa->is_symmetric || (sa->is_mobile && !sa->is_initiator);
}

static bool we_may_move(const struct ike_sa *sa)
{
    return sa->is_symmetric || (sa->is_mobile && sa->is_initiator);
}

/* What is under way goes out at once, and from now on as often as something new would. */
static void hurry(struct ike_sa *sa, uint64_t now_us)
{
    struct ike_request *r = &sa->current->request;

    if (r->kind == IKE_REQUEST_NONE || r->data == NULL)
        return;
    r->is_to_send = true;
    r->was_repeated = true;
    r->interval_us = ike_sa_first_interval(sa);
    r->repeat_us = now_us + r->interval_us;
}

void ike_mobility_heard(struct ike_sa *sa, const struct endpoint *remote, uint64_t now_us)
{
    if (sa->state != IKE_STATE_ESTABLISHED || !peer_may_move(sa) || sa->current == NULL)
        return;
    if (endpoint_is_equal(remote, &sa->remote)) {
        sa->has_candidate = false; /* it is where it was */
        return;
    }
    if (sa->has_candidate && endpoint_is_equal(remote, &sa->candidate))
        return;
    sa->candidate = *remote;
    sa->has_candidate = true;
    sa->wants_challenge = true;
    sa->current->request.goes_to_candidate = true;
    sa->current->request.is_challenge = false;
    hurry(sa, now_us);
}

int ike_mobility_ask(struct ike_generation *g, struct ike_builder *b)
{
    struct ike_sa *sa = g->sa;
    struct ike_request *r = &g->request;

    sa->wants_challenge = false;
    r->has_cookie2 = false;
    if (!sa->is_mobile)
        return ERR_OK;
    int error = crypto_random(r->cookie2, sizeof(r->cookie2));
    if (error != ERR_OK)
        return error;
    r->has_cookie2 = true;
    r->is_challenge = sa->has_candidate;
    r->challenges = 0;
    if (sa->wants_update && we_may_move(sa)) {
        ike_build_notify(b, IKE_NOTIFY_UPDATE_SA_ADDRESSES, NULL, 0);
        ike_nat_build(sa, b, g->spi_i, g->spi_r);
    }
    sa->wants_update = false;
    ike_build_notify(b, IKE_NOTIFY_COOKIE2, r->cookie2, sizeof(r->cookie2));
    return ERR_OK;
}

void ike_mobility_answer(struct ike_generation *g, const struct ike_message *message,
                         const struct endpoint *remote, struct ike_builder *b)
{
    struct ike_notify cookie;

    if (!g->sa->is_mobile)
        return;
    if (ike_message_find_notify(message, IKE_NOTIFY_UPDATE_SA_ADDRESSES, NULL) &&
        peer_may_move(g->sa)) {
        ike_nat_check(g->sa, message, g->spi_i, g->spi_r, remote);
        ike_nat_build(g->sa, b, g->spi_i, g->spi_r);
    }
    if (ike_message_find_notify(message, IKE_NOTIFY_COOKIE2, &cookie) &&
        cookie.len >= COOKIE2_LEN_MIN && cookie.len <= COOKIE2_LEN_MAX)
        ike_build_notify(b, IKE_NOTIFY_COOKIE2, cookie.data, cookie.len);
}

int ike_mobility_finish(struct ike_sa *sa, const struct ike_request *request,
                        const struct ike_message *message, const struct endpoint *remote)
{
    struct ike_notify cookie;

    if (!request->has_cookie2 || !request->is_challenge || !sa->has_candidate ||
        !endpoint_is_equal(remote, &sa->candidate) ||
        !ike_message_find_notify(message, IKE_NOTIFY_COOKIE2, &cookie) ||
        cookie.len != sizeof(request->cookie2) ||
        !crypto_is_equal(cookie.data, request->cookie2, sizeof(request->cookie2)))
        return ERR_OK;
    struct ike_event *event = ike_events_add(sa, IKE_EVENT_PATH_CHANGED, 0);
    if (event == NULL)
        return ERR_NOMEM;
    event->path = sa->candidate;
    sa->remote = sa->candidate;
    sa->has_candidate = sa->wants_challenge = false;
    return ERR_OK;
}

/* What has gone another way proves nothing: who listens there could send a copy of the answer from
 * the endpoint that is to be proven. So a challenge goes to the candidate alone, a few times; what
 * was under way before, in turns to both. */
const struct endpoint *ike_mobility_next(struct ike_sa *sa, struct ike_request *request)
{
    if (sa->has_candidate && request->is_challenge) {
        if (request->challenges++ < CHALLENGES_MAX)
            return &sa->candidate;
        sa->has_candidate = false; /* nobody answers there */
    }
    request->is_challenge = false;
    bool is_turn = sa->has_candidate && request->goes_to_candidate;
    request->goes_to_candidate = !is_turn;
    return is_turn ? &sa->candidate : &sa->remote;
}

void ike_sa_announce_move(struct ike_sa *sa, uint64_t now_us)
{
    if (sa->state != IKE_STATE_ESTABLISHED || sa->current == NULL)
        return;
    if (sa->is_mobile)
        sa->wants_update = true;
    else
        sa->wants_check = true;
    hurry(sa, now_us);
}

uint64_t ike_sa_unanswered_us(const struct ike_sa *sa, uint64_t now_us)
{
    if (sa->current == NULL || sa->current->request.kind == IKE_REQUEST_NONE)
        return 0;
    return now_us - sa->current->request.sent_us;
}
