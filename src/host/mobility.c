/* What moves, and what is done about it: tell the peers by IKE, look through connectors how we are
 * seen now, and where the peers do not answer any more, punch again by a call. */
#include "host/mobility.h"

#include "host/call.h"
#include "host/path_probe.h"
#include "host/plain.h"
#include "host/relay.h"
#include "host/session.h"
#include "host/streams.h"
#include "io/route.h"
#include <stdio.h>

#define BURST_US        (50 * MS_US)     /* addresses and routes change one after the other */
#define CHECK_US        SECOND_US        /* how often a tunnel is looked after */
#define SILENCE_US      (1500 * MS_US)   /* nothing heard for so long: ask by IKE */
#define ASK_SESSIONS_US SECOND_US        /* not more often than this */
#define MOVED_US        (10 * SECOND_US) /* our own move is behind what happens now */
/* Unanswered for so long, and for two round trips: the path is dead. Whoever has moved says so
 * first: two calls that cross each other, one of them through a connection that is dead, take
 * longer. */
#define PATIENCE_MOVED_US (200 * MS_US)
#define PATIENCE_US       (300 * MS_US)
#define LOST_US           (100 * MS_US) /* how often a tunnel without a path is looked after */
/* A relayed tunnel that has fallen back from a direct path looks for one again at once where that
 * path has lasted so long. */
#define STABLE_US  (60 * SECOND_US)
#define UPGRADE_US (3 * SECOND_US)

static bool find_source(struct host *host, const struct endpoint *to, struct address *ret_source)
{
    struct route_lookup lookup;
    if (route_lookup(&host->netlink, &to->address, HOST_MARK, &lookup) != ERR_OK ||
        lookup.is_unreachable)
        return false;
    *ret_source = lookup.source;
    return true;
}

void mobility_on_tunnel(struct peer *peer)
{
    struct address source;
    if (find_source(peer->host, &peer->path, &source))
        peer->source = source;
    peer->moved_us = peer->lost_us = peer->direct_us = 0;
    peer->asked_received_us = 0;
    peer->is_path_gone = false;
    peer->fallback = (struct endpoint){.port = 0};
}

static uint64_t patience(const struct peer *peer, uint64_t now_us)
{
    const bool has_moved = peer->moved_us != 0 && now_us - peer->moved_us < MOVED_US;
    const uint64_t least_us = has_moved ? PATIENCE_MOVED_US : PATIENCE_US;
    const uint64_t trips_us = peer->sa != NULL ? 2 * ike_sa_round_trip_us(peer->sa) : 0;
    return trips_us > least_us ? trips_us : least_us;
}

/* Our side of the path is another one. */
static void announce(struct peer *peer, uint64_t now_us)
{
    peer->moved_us = now_us;
    if (peer->sa == NULL)
        return;
    ike_sa_announce_move(peer->sa, now_us);
    task_set(&peer->host->tasks, &peer->task, now_us + patience(peer, now_us));
    host_pump_ike(peer->host, peer->sa, now_us);
}

/* No route leads to the peer any more: no word of ours would arrive there, so it is called anew, by
 * what there still is, the other family maybe. */
static void renew_elsewhere(struct peer *peer, uint64_t now_us)
{
    peer->moved_us = now_us;
    if (peer->sa != NULL && peer->call == NULL && now_us >= peer->held_until_us)
        call_renew(peer, now_us);
}

static void announce_one(struct sweep *sweep, struct peer *peer, uint64_t now_us)
{
    struct host *host = sweep->host;
    struct address source;
    if (peer->tunnel == NULL || peer->is_closing || host->is_stopping)
        return;
    bool has_source = find_source(host, &peer->path, &source);
    bool has_moved = has_source && !address_is_equal(&source, &peer->source);
    if (has_source)
        peer->source = source;
    if (has_moved || host->tells_all_moved)
        announce(peer, now_us);
    else if (!has_source && !relay_is_endpoint(&peer->path) &&
             !nat64_has_route(host, &peer->path.address))
        renew_elsewhere(peer, now_us);
}

/* Where one sweep has not come to its end, the next one does its work as well. */
static void announce_all(struct host *host, bool only_moved, uint64_t now_us)
{
    host->tells_all_moved = !only_moved || (host->moving.is_under_way && host->tells_all_moved);
    host->moving.visit = announce_one;
    sweep_start(host, &host->moving, now_us);
}

static void on_move_task(struct task *task, uint64_t now_us)
{
    struct host *host = CONTAINER_OF(task, struct host, move_task);
    if (host->is_stopping)
        return;
    for (struct session *session = sessions_first(host); session != NULL;
         session = session_next(session)) {
        struct address source;
        const struct endpoint *remote = session_remote(session);
        if (remote != NULL && find_source(host, remote, &source))
            session_on_route(session, &source, now_us);
        else if (remote != NULL)
            session_on_no_route(session, now_us);
    }
    streams_on_network(host, now_us);
    announce_all(host, true, now_us);
    plain_on_network(host, now_us);
}

void mobility_on_network(struct host *host, uint64_t now_us)
{
    keeper_on_network(host, now_us);
    host->move_task.run = on_move_task;
    task_set(&host->tasks, &host->move_task, now_us + BURST_US);
}

void mobility_on_public_endpoint(struct host *host, uint64_t now_us)
{
    keeper_on_network(host, now_us);
    announce_all(host, false, now_us);
}

/* From a relay to a direct path and back: the channel stays good for coming back, and a direct path
 * that does not last is not tried again so soon each time. */
static void note_change(struct peer *peer, const struct endpoint *path, bool was_gone,
                        uint64_t now_us)
{
    const bool was_relayed = relay_is_endpoint(&peer->path);
    const bool is_relayed = relay_is_endpoint(path);
    if (was_relayed && !is_relayed) {
        peer->fallback = was_gone ? peer->fallback : peer->path;
        peer->direct_us = now_us;
    }
    if (!was_relayed && is_relayed) {
        const bool was_stable = peer->direct_us == 0 || now_us - peer->direct_us >= STABLE_US;
        if (was_stable)
            peer->upgrade_wait_us = UPGRADE_US;
        peer->upgrade_us = now_us + peer->upgrade_wait_us;
        peer->fallback = (struct endpoint){.port = 0};
        snprintf(peer->relay_why, sizeof(peer->relay_why),
                 "the direct path carries nothing any more");
    }
}

void mobility_on_path(struct peer *peer, const struct endpoint *path, uint64_t now_us)
{
    struct host *host = peer->host;
    char text[RELAY_TEXT_CAP];
    char before[RELAY_TEXT_CAP];
    struct address source;
    const bool was_gone = peer->is_path_gone;
    peer->is_path_gone = false;
    peer->lost_us = 0;
    if (endpoint_is_equal(path, &peer->path))
        return; /* proven once more */
    if (path_probe_set_path(peer, path) != ERR_OK) {
        log_error("%s: out of memory for its new path", peer->name);
        return;
    }
    log_info("%s: moved from %s to %s", peer->name, relay_format(host, &peer->path, before),
             relay_format(host, path, text));
    if (!relay_is_endpoint(&peer->path))
        keeper_doubt(host);
    note_change(peer, path, was_gone, now_us);
    peer->path = *path;
    peer->keepalive_us = now_us;
    met_on_path(peer, now_us);
    call_on_path(peer);
    if (find_source(host, path, &source))
        peer->source = source;
}

/* Is the connectors' view of us still right, and are our connections to them alive? */
static void ask_sessions(struct host *host, uint64_t now_us)
{
    if (now_us - host->sessions_asked_us < ASK_SESSIONS_US)
        return;
    host->sessions_asked_us = now_us;
    sessions_check(host, now_us);
}

/* Nothing comes over the path any more: by the relay channel that is still open, if there is one,
 * and by a call for another path. */
static uint64_t seek_path(struct peer *peer, uint64_t heard_us, uint64_t now_us)
{
    struct host *host = peer->host;
    if (peer->lost_us == 0) {
        peer->lost_us = now_us;
        log_info("%s: nothing comes over its path any more; looking for another one", peer->name);
        if (peer->fallback.address.family != ADDRESS_NONE)
            (void)!ike_sa_move(peer->sa, &peer->fallback, now_us); /* else the call finds a path */
    }
    if (now_us - heard_us >= MOBILITY_GRACE_US && now_us - peer->lost_us >= MOBILITY_GRACE_US) {
        peer_down(peer, "it does not answer, and no other path to it opens", true, now_us);
        return 0;
    }
    if (now_us >= peer->held_until_us)
        call_renew(peer, now_us);
    ask_sessions(host, now_us);
    return now_us + LOST_US;
}

void mobility_on_relay_closed(struct peer *peer, const char *why, uint64_t now_us)
{
    if (peer->sa == NULL || peer->is_closing) {
        peer_down(peer, why, false, now_us);
        return;
    }
    log_info("%s: %s; looking for another path", peer->name, why);
    peer->is_path_gone = true;
    peer->lost_us = now_us;
    task_set(&peer->host->tasks, &peer->task, now_us + LOST_US);
}

void mobility_on_late(struct task_queue *queue, uint64_t late_us, uint64_t now_us)
{
    struct host *host = CONTAINER_OF(queue, struct host, tasks);
    if (host->is_stopping)
        return;
    log_info("this host has slept for %llu s: looking at connections and paths",
             (unsigned long long)(late_us / SECOND_US));
    announce_all(host, false, now_us);
    host->sessions_asked_us = 0;
    ask_sessions(host, now_us);
}

uint64_t mobility_watch(struct peer *peer, const struct tunnel_status *status, uint64_t now_us)
{
    struct ike_sa *sa = peer->sa;
    uint64_t heard_us = peer->up_since_us;
    if (sa == NULL)
        return now_us + CHECK_US;
    if (status->received_us > heard_us)
        heard_us = status->received_us;
    if (ike_sa_heard_us(sa) > heard_us)
        heard_us = ike_sa_heard_us(sa);
    if (peer->is_path_gone)
        return seek_path(peer, heard_us, now_us);
    /* What is heard while another path is being tried says nothing about this one. */
    if (heard_us > peer->lost_us && !ike_sa_is_moving(sa))
        peer->lost_us = 0;
    bool was_sent = status->sent_us > heard_us;
    /* A stream that stops is asked about once: who only receives sends nothing when it breaks. */
    bool has_stopped = status->received_us != peer->asked_received_us;
    uint64_t at_us = now_us + CHECK_US;
    if (was_sent || has_stopped) {
        if (now_us - heard_us >= SILENCE_US) {
            peer->asked_received_us = status->received_us;
            ike_sa_check_alive(sa);
            ask_sessions(peer->host, now_us);
        } else {
            at_us = deadline_min(at_us, heard_us + SILENCE_US);
        }
    }
    uint64_t unanswered_us = ike_sa_unanswered_us(sa, now_us);
    if (unanswered_us == 0) /* what has just been asked, if anything, goes out in a moment */
        return deadline_min(at_us, now_us + patience(peer, now_us));
    if (unanswered_us < patience(peer, now_us))
        return deadline_min(at_us, now_us + patience(peer, now_us) - unanswered_us);
    return seek_path(peer, heard_us, now_us);
}
