/* A connection that does not answer: others are tried meanwhile, over the connector's other
 * addresses and ways, and what DNS says now. Whichever answers first goes on: the old one where it
 * does before any other has, else the new one, which logs in anew. */
#include "host/session_internal.h"

#include "host/finder.h"
#include "io/clock.h"

/* A request that is not answered for so long, and several round trips, is a reason to doubt. */
#define DOUBT_US          (2 * SECOND_US)
#define DOUBT_ROUND_TRIPS 6

static uint64_t doubt_us(const struct session *session)
{
    const uint64_t trips_us = DOUBT_ROUND_TRIPS * ike_sa_round_trip_us(session->sa);
    return trips_us > DOUBT_US ? trips_us : DOUBT_US;
}

void session_seek_stop(struct session *session)
{
    task_clear(&session->host->tasks, &session->seek_task);
    session->has_sought = false;
    if (!session->is_seeking)
        return;
    session->is_seeking = false;
    finder_cancel(session->finder);
    session->finder = NULL;
    dial_stop(session->dial);
}

static void begin(struct session *session, uint64_t now_us)
{
    session->is_seeking = session->has_sought = true;
    log_info("%s: its connector does not answer; trying it anew meanwhile", session->zone);
    session_search(session, now_us);
}

static bool may_watch(const struct session *session)
{
    return session_is_up(session) && session->sa != NULL && session->carrier != NULL &&
           !session->host->is_stopping;
}

static void on_task(struct task *task, uint64_t now_us)
{
    struct session *session = CONTAINER_OF(task, struct session, seek_task);
    const uint64_t unanswered_us =
        may_watch(session) ? ike_sa_unanswered_us(session->sa, now_us) : 0;
    if (unanswered_us == 0 || session->has_sought)
        return; /* or the old one has the rest of its time */
    if (unanswered_us >= doubt_us(session))
        begin(session, now_us);
    else
        task_set(&session->host->tasks, task, now_us + doubt_us(session) - unanswered_us);
}

void session_seek_watch(struct session *session, uint64_t now_us)
{
    if (!may_watch(session) || ike_sa_unanswered_us(session->sa, now_us) == 0)
        session_seek_stop(session);
    if (!may_watch(session) || session->has_sought || session->seek_task.deadline.index != 0)
        return;
    /* What has been asked just now is looked at then. */
    session->seek_task.run = on_task;
    task_set(&session->host->tasks, &session->seek_task, now_us + doubt_us(session));
}

void session_seek_lost(struct session *session)
{
    session->is_seeking = false;
}

void session_seek_take(struct session *session, struct carrier *carrier, struct ike_sa *sa,
                       struct login_early early, uint64_t now_us)
{
    session->is_seeking = session->has_sought = false;
    task_clear(&session->host->tasks, &session->seek_task);
    finder_cancel(session->finder);
    session->finder = NULL;
    ike_sa_free(session->sa);
    session->sa = NULL;
    session_let_go(session);
    session->next_carrier = carrier;
    session->next_sa = sa;
    session->early = early;
    session_note_error(session, "connection to its connector: no answer; there is a newer one");
    login_client_disconnected(session->login, LOGIN_END_LOST, now_us);
    login_client_hurry(session->login, now_us);
    login_client_expire(session->login, now_us);
}

bool session_seek_adopt(struct session *session)
{
    if (session->next_carrier == NULL)
        return false;
    session->carrier = session->next_carrier;
    session->sa = session->next_sa;
    session->next_carrier = NULL;
    session->next_sa = NULL;
    return true;
}

void session_seek_drop(struct session *session)
{
    ike_sa_free(session->next_sa);
    carrier_close(session->next_carrier);
    session->next_sa = NULL;
    session->next_carrier = NULL;
}
