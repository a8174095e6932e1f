/* Calls that have told the other host less than is known by now: one that begins right after the
 * log-in goes out before the connector has said how it sees us, and before it is known how our NAT
 * gives out ports. Such a call goes on for what it is good for, the tunnel over the relay; for the
 * direct path another one takes its place, from either side. */
#include "host/call_carry.h"
#include "host/call_internal.h"

#include "host/nat.h"
#include "host/relay.h"

/* The called host has its tunnel first: the caller's end must be up, too, before another call comes
 * there. */
#define CALLED_US (300 * MS_US)

bool call_is_stale(const struct call *call)
{
    return call->view != call->host->view;
}

/* No data flows before there is a direct path. */
static bool is_all_or_nothing(const struct call *call)
{
    return call->host->config.relay == RELAY_MODE_NO || call->is_unrelayed;
}

bool call_wants_all(const struct call *call)
{
    return call->peer->tunnel == NULL && call->host->config.relay == RELAY_MODE_NO;
}

static void on_anew(struct task *task, uint64_t now_us)
{
    call_anew(CONTAINER_OF(task, struct call, anew_task), now_us);
}

static void upgrade_anew(struct call *call, uint64_t now_us)
{
    struct peer *peer = call->peer;
    const uint64_t ready_us = peer->up_since_us + (call->is_incoming ? CALLED_US : 0);
    if (now_us < ready_us) {
        call->anew_task.run = on_anew;
        task_set(&call->host->tasks, &call->anew_task, ready_us);
        return;
    }
    log_debug("%s: more is known of how it can reach us: another call for a direct path",
              peer->name);
    call_carry_settle(call, now_us);
    call_free(call);
    call_start_upgrade(peer, now_us);
}

static void begin_anew(struct call *call, uint64_t now_us)
{
    struct peer *peer = call->peer;
    log_debug("%s: more is known of how it can reach us: calling anew", peer->name);
    if (call->is_incoming) {
        call_free(call);
        call_start(peer, false, now_us);
    } else {
        call_out_restart(call, now_us);
    }
}

void call_anew(struct call *call, uint64_t now_us)
{
    const struct host *host = call->host;
    const bool is_early = call->state == CALL_ASKING || call->state == CALL_PUNCHING;
    if (!call_is_stale(call) || !is_early || call->is_renewal || host->is_stopping ||
        host->config.relay == RELAY_MODE_ALWAYS)
        return;
    if (call->is_upgrade && call->peer->tunnel != NULL)
        upgrade_anew(call, now_us);
    else if (call->peer->tunnel == NULL && is_all_or_nothing(call))
        begin_anew(call, now_us);
    /* else: when the tunnel is up by the relay */
}

static void look_at(struct peer *peer, uint64_t now_us)
{
    const bool is_relayed =
        peer->tunnel != NULL && !peer->is_closing && relay_is_endpoint(&peer->path);
    if (peer->call != NULL)
        call_anew(peer->call, now_us);
    else if (is_relayed && peer->host->config.relay != RELAY_MODE_ALWAYS)
        call_start_upgrade(peer, now_us);
}

static void on_news(struct task *task, uint64_t now_us)
{
    struct host *host = CONTAINER_OF(task, struct host, news_task);
    struct map_node *next;
    for (struct map_node *node = map_walk(&host->peers_by_name, NULL); node != NULL; node = next) {
        next = map_walk(&host->peers_by_name, node);
        look_at(CONTAINER_OF(node, struct peer, by_name), now_us);
    }
}

void calls_on_news(struct host *host, uint64_t now_us)
{
    host->view++;
    host->news_task.run = on_news;
    if (!host->is_stopping)
        task_set(&host->tasks, &host->news_task, now_us);
}
