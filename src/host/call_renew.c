/* Calls for tunnels that are up and whose path is dead: the SA and its children go on, over the
 * relay channel as soon as the connector has opened one, and over a direct path as soon as one is
 * nominated. Keys are negotiated anew only where the peer does not answer to the old ones. */
#include "host/call_internal.h"

#include "host/relay.h"

/* The connector's word may go to a connection that is dead; so soon the call is made again. Later
 * where the hosts are far from each other: an answer takes two round trips of theirs and what both
 * have to tell the connector before. */
#define ASK_US     (1500 * MS_US)
#define ASK_FAR_US SECOND_US /* and two round trips */
/* And so soon where the peer's call shows that it has another connection by now: the answer to ours
 * would have to be on its way, if it had got through. */
#define CROSSING_US (100 * MS_US)
/* Our own call has had so long, at least, before one of the peer's goes first: its may be the one
 * that gets through. */
#define PRECEDENCE_US     (500 * MS_US)
#define PRECEDENCE_FAR_US (300 * MS_US) /* and two round trips: else both could give way */

/* soonest_us, but not before two round trips of the hosts and far_us more. */
static uint64_t wait_for_peer(const struct call *call, uint64_t soonest_us, uint64_t far_us)
{
    const struct ike_sa *sa = call->peer->sa;
    const uint64_t wait_us = far_us + (sa != NULL ? 2 * ike_sa_round_trip_us(sa) : 0);
    return wait_us > soonest_us ? wait_us : soonest_us;
}

static uint64_t ask_us(const struct call *call)
{
    return wait_for_peer(call, ASK_US, ASK_FAR_US);
}

static bool offers_channel(const struct call *call)
{
    return call->has_relay && !endpoint_is_equal(&call->relay, &call->peer->path);
}

void call_renew(struct peer *peer, uint64_t now_us)
{
    if (peer->tunnel == NULL || peer->is_closing || peer->host->is_stopping || peer->plain != NULL)
        return;
    /* One that looks for a direct path since before: its addresses may be old ones, and it has no
     * other relay channel to offer. */
    if (peer->call != NULL && !peer->call->is_renewal && !offers_channel(peer->call) &&
        peer->call->sa == NULL && peer->call->started_us < peer->lost_us)
        call_free(peer->call);
    if (peer->call != NULL)
        return;
    struct call *call = call_make_out(peer, now_us);
    if (call == NULL)
        return; /* the next time */
    log_debug("%s: does not answer any more; calling it for another path", peer->name);
    call->is_upgrade = true;
    call->is_renewal = true;
    call_out_begin(call, now_us);
}

void call_renew_on_asked(struct call *call, uint64_t now_us)
{
    if (call->is_renewal && call->host->config.attempt_us > ask_us(call))
        task_set(&call->host->tasks, &call->task, now_us + ask_us(call));
}

void call_renew_on_answer(struct call *call, uint64_t now_us)
{
    if (call->is_renewal)
        task_set(&call->host->tasks, &call->task, now_us + call->host->config.attempt_us);
}

bool call_renew_gives_way(const struct call *call, uint64_t now_us)
{
    return call->is_renewal && call->state == CALL_ASKING &&
           now_us - call->step_us > wait_for_peer(call, PRECEDENCE_US, PRECEDENCE_FAR_US);
}

void call_renew_on_crossing(struct call *call, uint64_t now_us)
{
    const struct ike_sa *sa = call->peer->sa;
    const uint64_t wait_us = CROSSING_US + (sa != NULL ? ike_sa_round_trip_us(sa) : 0);
    if (call->is_renewal && call->state == CALL_ASKING &&
        now_us + wait_us < call->step_us + ask_us(call))
        task_set(&call->host->tasks, &call->task, now_us + wait_us);
}

static void move(struct call *call, const struct endpoint *path, uint64_t now_us)
{
    struct ike_sa *sa = call->peer->sa;
    if (sa != NULL && ike_sa_move(sa, path, now_us) == ERR_OK)
        host_pump_ike(call->host, sa, now_us);
    else if (call->sa == NULL)
        call_begin_keys(call, path, now_us);
}

void call_renew_by_relay(struct call *call, uint64_t now_us)
{
    struct peer *peer = call->peer;
    peer->fallback = call->relay;
    /* Where punching was faster, the path that it has found goes first. */
    if (!endpoint_is_equal(&peer->path, &call->relay) && call->nominated.port == 0)
        move(call, &call->relay, now_us);
}

void call_on_move_failed(struct peer *peer, const struct endpoint *path, uint64_t now_us)
{
    struct call *call = peer->call;
    if (call == NULL || !call->is_upgrade || call->is_incoming)
        return;
    const bool was_nominated =
        call->nominated.port != 0 && endpoint_is_equal(&call->nominated, path);
    const bool was_relay = call->has_relay && endpoint_is_equal(&call->relay, path);
    if (!was_nominated && !was_relay)
        return;
    if (peer->lost_us == 0) { /* the path there is still carries */
        call_attempt_failed(call, "the path that opened carries nothing", now_us);
        return;
    }
    /* The peer may have lost the SA; and if only this path carries nothing, the relay may. */
    if (call->sa == NULL)
        call_begin_keys(call, path, now_us);
    if (peer->call == call && was_nominated && call->is_renewal && call->has_relay &&
        !relay_is_endpoint(&peer->path))
        move(call, &call->relay, now_us);
}
