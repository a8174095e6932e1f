/* Moving an SA to another endpoint; see ike/mobility.h. */
#include "ike/mobility.h"
#include "crypto/memory.h"
#include "ike/addresses.h"
#include "ike/generation.h"
#include "ike/nat.h"
#include "ike/queue.h"
#include "ike/timer.h"
#include <string.h>

#define COOKIE2_LEN_MIN 8 /* RFC 4555, 4.2.5 */
#define COOKIE2_LEN_MAX 64
#define CHALLENGES_MAX  3 /* times that one is sent */
/* Candidates of the peer's: so many seconds' worth at once, then one each interval; each that has
 * not proven itself doubles the price of the next one. Behind some NATs every answer comes from
 * another port, and a peer may move for no other reason than to keep us busy. */
#define CANDIDATE_BURST_US  (5 * SECOND_US)
#define CANDIDATE_US        (500 * MS_US)
#define CANDIDATE_DOUBLINGS 4

void ike_mobility_offer(struct ike_sa *sa, struct ike_builder *b)
{
    if (ike_sa_config(sa)->is_reliable)
        return;
    ike_build_notify(b, IKE_NOTIFY_MOBIKE_SUPPORTED, NULL, 0);
    if (sa->entry == NULL)
        ike_build_notify(b, IKE_NOTIFY_EITHER_SIDE_MOVES, NULL, 0);
    ike_addresses_offer(sa, b);
}

void ike_mobility_read(struct ike_sa *sa, const struct ike_message *message)
{
    if (ike_sa_config(sa)->is_reliable)
        return;
    sa->is_mobile = ike_message_find_notify(message, IKE_NOTIFY_MOBIKE_SUPPORTED, NULL);
    sa->is_symmetric = sa->is_mobile && sa->entry == NULL &&
                       ike_message_find_notify(message, IKE_NOTIFY_EITHER_SIDE_MOVES, NULL);
    ike_addresses_read(sa, message);
}

/* Without MOBIKE a peer behind a NAT may still get another address or port from that (RFC
 * 7296, 2.23), and a new TCP connection has another port (RFC 9329, 6.1). It is asked there, and
 * believed when it has answered: nobody else has been sent that question. */
static bool follows_nat(const struct ike_sa *sa)
{
    return sa->entry != NULL && !sa->is_mobile &&
           (sa->is_nat_there || endpoint_is_stream(&sa->remote)) && !ike_sa_config(sa)->is_reliable;
}

/* By the RFC only the initiator moves. */
static bool peer_may_move(const struct ike_sa *sa)
{
    return follows_nat(sa) || sa->is_symmetric || (sa->is_mobile && !sa->is_initiator);
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

/* What is under way has its whole time again: the way to the peer is another one. */
static void allow_time(struct ike_sa *sa, uint64_t now_us)
{
    struct ike_request *r = &sa->current->request;

    if (r->kind != IKE_REQUEST_NONE && r->timeout_us != DEADLINE_NEVER)
        r->timeout_us = now_us + ike_sa_config(sa)->request_timeout_us;
}

/* By when a move that begins now is through on both sides, or never. */
static uint64_t move_end(const struct ike_sa *sa, uint64_t now_us)
{
    return now_us + IKE_MOVE_US + 3 * sa->round_trip_us;
}

static void set_candidate(struct ike_sa *sa, const struct endpoint *remote, bool is_own,
                          uint64_t now_us)
{
    sa->candidate = *remote;
    sa->has_candidate = true;
    sa->is_candidate_own = is_own;
    sa->is_candidate_asked = false;
    sa->challenges = 0;
    sa->current->request.goes_to_candidate = true;
    sa->current->request.is_challenge = false;
    hurry(sa, now_us);
}

static bool may_challenge(struct ike_sa *sa, uint64_t now_us)
{
    if (sa->challenged_us > now_us + CANDIDATE_BURST_US)
        return false;
    if (sa->challenged_us <= now_us) {
        sa->challenged_us = now_us;
        sa->unproven = 0;
    }
    sa->challenged_us += (uint64_t)CANDIDATE_US << sa->unproven;
    sa->unproven += sa->unproven < CANDIDATE_DOUBLINGS;
    return true;
}

static void set_spare(struct ike_sa *sa, const struct endpoint *remote)
{
    sa->spare = *remote;
    sa->has_spare = true;
}

/* Challenged at once, or when there is room for it. */
static void propose(struct ike_sa *sa, const struct endpoint *remote, bool is_asked,
                    uint64_t now_us)
{
    if (!may_challenge(sa, now_us)) {
        set_spare(sa, remote);
        return;
    }
    sa->has_spare = false;
    set_candidate(sa, remote, false, now_us);
    sa->is_candidate_asked = is_asked;
}

uint64_t ike_mobility_spare_due(const struct ike_sa *sa)
{
    if (!sa->has_spare || sa->has_candidate)
        return DEADLINE_NEVER;
    return sa->challenged_us > CANDIDATE_BURST_US ? sa->challenged_us - CANDIDATE_BURST_US : 0;
}

void ike_mobility_take_spare(struct ike_sa *sa, uint64_t now_us)
{
    if (now_us < ike_mobility_spare_due(sa) || sa->current == NULL)
        return;
    const struct endpoint spare = sa->spare;
    sa->has_spare = false;
    if (!endpoint_is_equal(&spare, &sa->remote))
        propose(sa, &spare, false, now_us);
}

/* Nobody answers there: what has gone there alone is now asked of the path. */
static void fail_candidate(struct ike_sa *sa, uint64_t now_us)
{
    sa->has_candidate = false;
    if (sa->current == NULL)
        return;
    sa->current->request.asked_us = now_us;
    ike_mobility_take_spare(sa, now_us);
}

/* Does what the peer now shows, or asks for, take the candidate's place? Not where it has asked for
 * that one and only shows itself elsewhere: it may still send the old way. And where both sides
 * move at once, each elsewhere, the way of the first exchange's initiator goes first. */
static bool gives_way(const struct ike_sa *sa, bool is_asked)
{
    if (sa->is_candidate_own)
        return is_asked && !sa->is_initiator;
    return is_asked || !sa->is_candidate_asked;
}

void ike_mobility_heard(struct ike_sa *sa, const struct endpoint *remote, bool is_request,
                        uint64_t now_us)
{
    const bool is_asked = sa->heard_update;

    sa->heard_update = false;
    if (sa->state != IKE_STATE_ESTABLISHED || !peer_may_move(sa) || sa->current == NULL ||
        ike_is_carried(remote))
        return;
    const bool is_here = endpoint_is_equal(remote, &sa->remote);
    /* What it had sent before it could know of the move. */
    if (!is_asked && !is_here && now_us < sa->left_until_us && endpoint_is_equal(remote, &sa->left))
        return;
    if (sa->has_candidate && endpoint_is_equal(remote, &sa->candidate)) {
        sa->is_candidate_asked |= is_asked;
    } else if (sa->has_candidate && !gives_way(sa, is_asked)) {
        if (!is_here)
            set_spare(sa, remote);
    } else if (is_here) {
        if (is_request) /* it is where it was; an answer only comes back the way of the question */
            sa->has_candidate = sa->has_spare = false;
    } else {
        propose(sa, remote, is_asked, now_us);
    }
    ike_timer_update(sa);
}

void ike_mobility_repeated(struct ike_sa *sa, const struct endpoint *remote)
{
    if (sa->state == IKE_STATE_ESTABLISHED && peer_may_move(sa) && sa->has_candidate &&
        !ike_is_carried(remote) && !sa->has_spare && !endpoint_is_equal(remote, &sa->candidate) &&
        !endpoint_is_equal(remote, &sa->remote))
        set_spare(sa, remote);
}

bool ike_mobility_is_urgent(const struct ike_sa *sa)
{
    return sa->has_candidate && sa->is_candidate_own;
}

int ike_mobility_expire(struct ike_sa *sa, uint64_t now_us)
{
    sa->move_by_us = DEADLINE_NEVER;
    if (!sa->has_move)
        return ERR_OK;
    sa->has_move = false;
    if (sa->has_candidate && sa->is_candidate_own) {
        fail_candidate(sa, now_us);
        hurry(sa, now_us);
    }
    struct ike_event *event = ike_events_add(sa, IKE_EVENT_MOVE_FAILED, 0);
    if (event == NULL)
        return ERR_NOMEM;
    event->path = sa->move;
    return ERR_OK;
}

int ike_mobility_ask(struct ike_generation *g, struct ike_builder *b)
{
    struct ike_sa *sa = g->sa;
    struct ike_request *r = &g->request;

    r->has_cookie2 = false;
    if (!sa->is_mobile) {
        sa->wants_update = false;
        r->is_challenge = sa->has_candidate;
        return ERR_OK;
    }
    int error = crypto_random(r->cookie2, sizeof(r->cookie2));
    if (error != ERR_OK)
        return error;
    r->has_cookie2 = true;
    r->is_challenge = sa->has_candidate;
    const bool wants_update = sa->wants_update || (sa->has_candidate && sa->is_candidate_own);
    if (wants_update && we_may_move(sa)) {
        ike_build_notify(b, IKE_NOTIFY_UPDATE_SA_ADDRESSES, NULL, 0);
        ike_nat_build(sa, b, g->spi_i, g->spi_r, r->is_challenge ? &sa->candidate : &sa->remote);
    }
    sa->wants_update = false;
    if (sa->wants_addresses)
        ike_addresses_announce(sa, b);
    sa->wants_addresses = false;
    ike_build_notify(b, IKE_NOTIFY_COOKIE2, r->cookie2, sizeof(r->cookie2));
    return ERR_OK;
}

void ike_mobility_answer(struct ike_generation *g, const struct ike_message *message,
                         const struct endpoint *remote, struct ike_builder *b)
{
    struct ike_notify cookie;

    if (!g->sa->is_mobile)
        return;
    if (ike_addresses_forbid(g->sa, message, remote)) {
        ike_build_notify(b, IKE_NOTIFY_UNEXPECTED_NAT_DETECTED, NULL, 0);
        return;
    }
    ike_addresses_read(g->sa, message);
    if (ike_message_find_notify(message, IKE_NOTIFY_UPDATE_SA_ADDRESSES, NULL) &&
        peer_may_move(g->sa)) {
        g->sa->heard_update = true;
        ike_nat_check(g->sa, message, g->spi_i, g->spi_r, remote);
        ike_nat_build(g->sa, b, g->spi_i, g->spi_r, remote);
    }
    if (ike_message_find_notify(message, IKE_NOTIFY_COOKIE2, &cookie) &&
        cookie.len >= COOKIE2_LEN_MIN && cookie.len <= COOKIE2_LEN_MAX)
        ike_build_notify(b, IKE_NOTIFY_COOKIE2, cookie.data, cookie.len);
}

int ike_mobility_finish(struct ike_sa *sa, const struct ike_request *request,
                        const struct ike_message *message, const struct endpoint *remote,
                        uint64_t now_us)
{
    struct ike_notify cookie;

    if (!request->is_challenge || !sa->has_candidate || !endpoint_is_equal(remote, &sa->candidate))
        return ERR_OK;
    if (sa->is_mobile &&
        (!request->has_cookie2 || !ike_message_find_notify(message, IKE_NOTIFY_COOKIE2, &cookie) ||
         cookie.len != sizeof(request->cookie2) ||
         !crypto_is_equal(cookie.data, request->cookie2, sizeof(request->cookie2))))
        return ERR_OK;
    struct ike_event *event = ike_events_add(sa, IKE_EVENT_PATH_CHANGED, 0);
    if (event == NULL)
        return ERR_NOMEM;
    event->path = sa->candidate;
    sa->left = sa->remote;
    sa->left_until_us = move_end(sa, now_us);
    sa->remote = sa->candidate;
    sa->has_candidate = sa->has_spare = sa->has_move = false;
    sa->unproven = 0;
    sa->move_by_us = DEADLINE_NEVER;
    return ERR_OK;
}

/* What has gone another way proves nothing: who listens there could send a copy of the answer from
 * the endpoint that is to be proven. So a challenge goes to the candidate alone: a few times, or as
 * long as our own move has time. What was under way before goes both ways, in turns where somebody
 * else may have chosen the candidate. */
const struct endpoint *ike_mobility_next(struct ike_sa *sa, struct ike_request *request,
                                         uint64_t now_us)
{
    if (sa->has_candidate && request->is_challenge) {
        if (sa->is_candidate_own || sa->challenges++ < CHALLENGES_MAX)
            return &sa->candidate;
        fail_candidate(sa, now_us);
    }
    request->is_challenge = false;
    bool is_turn = sa->has_candidate && request->goes_to_candidate;
    request->goes_to_candidate = !is_turn;
    request->is_to_send = is_turn && sa->is_candidate_own;
    return is_turn ? &sa->candidate : &sa->remote;
}

int ike_sa_move(struct ike_sa *sa, const struct endpoint *remote, uint64_t now_us)
{
    if (sa->state != IKE_STATE_ESTABLISHED || sa->current == NULL)
        return ERR_STATE;
    if (!we_may_move(sa))
        return ERR_UNSUPPORTED;
    allow_time(sa, now_us);
    set_candidate(sa, remote, true, now_us);
    sa->has_spare = false;
    sa->has_move = true;
    sa->move = *remote;
    sa->move_by_us = move_end(sa, now_us);
    ike_timer_update(sa);
    return ERR_OK;
}

void ike_sa_challenge(struct ike_sa *sa, const struct endpoint *remote, uint64_t now_us)
{
    sa->heard_update = false;
    ike_mobility_heard(sa, remote, false, now_us);
}

bool ike_sa_is_moving(const struct ike_sa *sa)
{
    return sa->has_move || sa->has_candidate;
}

void ike_sa_announce_move(struct ike_sa *sa, uint64_t now_us)
{
    if (sa->state != IKE_STATE_ESTABLISHED || sa->current == NULL)
        return;
    if (sa->is_mobile)
        sa->wants_update = true;
    else
        sa->wants_check = true;
    allow_time(sa, now_us);
    hurry(sa, now_us);
}

uint64_t ike_sa_unanswered_us(const struct ike_sa *sa, uint64_t now_us)
{
    const struct ike_request *r = sa->current != NULL ? &sa->current->request : NULL;

    if (r == NULL || r->kind == IKE_REQUEST_NONE || (sa->has_candidate && r->is_challenge))
        return 0;
    return now_us - r->asked_us;
}
