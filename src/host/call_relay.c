/* Calls by relay: where punching does not open a path in time, keys are negotiated over the channel
 * that the connector has opened. The caller decides when; the called host only lets it. */
#include "host/call_carry.h"
#include "host/call_internal.h"

#include "host/relay.h"
#include "host/wake.h"
#include <stdio.h>
#include <string.h>

/* So long a direct path may take: a few round trips across the world. */
#define DIRECT_US (2 * SECOND_US)
/* So long what has left by the relay with the call may take. */
#define CARRIED_US SECOND_US

static void begin(struct call *call, const char *why, uint64_t now_us)
{
    struct host *host = call->host;
    char text[RELAY_TEXT_CAP];
    char detail[RELAY_TEXT_CAP + sizeof(call->why)];
    snprintf(call->peer->relay_why, sizeof(call->peer->relay_why), "%s", why);
    snprintf(detail, sizeof(detail), "%s: %s", relay_format(host, &call->relay, text), why);
    call->is_relaying = true;
    task_clear(&host->tasks, &call->relay_task);
    task_set(&host->tasks, &call->task, now_us + host->config.attempt_us);
    call_step(call, CALL_KEYING, CALL_STEP_PUNCH, detail, now_us);
    /* What has just left by it is on its way. */
    if (call->is_carried && call->sa != NULL && now_us < call->relay_us + CARRIED_US)
        call_carry_wait(call, &call->relay, call->relay_us + CARRIED_US);
    else
        call_begin_keys(call, &call->relay, now_us);
}

void call_relay_explain(const struct call *call, const struct punch_event *event, char *ret_text,
                        size_t cap)
{
    static const char *const no_relay[] = {
        [ANSWER_RELAY_UNSAID] = "",
        [ANSWER_RELAY_REFUSED] = "; the called host wants no relay",
        [ANSWER_RELAY_OFF] = "; its connector relays nothing",
    };
    const unsigned relay =
        call->no_relay <= ANSWER_RELAY_OFF ? call->no_relay : (unsigned)ANSWER_RELAY_REFUSED;
    struct endpoint reflexive;
    const char *cause = "";
    if (event == NULL || event->failure == PUNCH_NO_ANSWERS)
        cause = sessions_reflexive(call->host, &reflexive, 1) == 0
                    ? ": UDP is blocked here"
                    : ": a firewall blocks UDP, or both NATs give every destination another port";
    if (event == NULL)
        snprintf(ret_text, cap, "no direct path opens%s%s", cause, no_relay[relay]);
    else
        snprintf(ret_text, cap, "%s%s (%zu probed)%s", punch_failure_text(event->failure), cause,
                 event->address_count, no_relay[relay]);
}

bool call_try_relay(struct call *call, const char *why, uint64_t now_us)
{
    struct host *host = call->host;
    const bool is_wanted = host->config.relay != RELAY_MODE_NO && !call->is_upgrade;
    if (!is_wanted || call->is_relaying || call->state != CALL_PUNCHING)
        return false;
    if (call->is_incoming && call->has_relay) {
        /* The caller's turn: it has as long again. */
        call->is_relaying = true;
        snprintf(call->peer->relay_why, sizeof(call->peer->relay_why), "%s", why);
        task_set(&host->tasks, &call->task, now_us + host->config.attempt_us);
        return true;
    }
    if (call->has_relay)
        begin(call, why, now_us);
    /* Without candidates punching fails before the channel is there: its time is not over yet. */
    return call->has_relay || (host->config.relay == RELAY_MODE_ALWAYS &&
                               now_us < call->step_us + host->config.attempt_us);
}

static void on_relay_task(struct task *task, uint64_t now_us)
{
    struct call *call = CONTAINER_OF(task, struct call, relay_task);
    (void)call_try_relay(call,
                         "no direct path has opened: UDP is blocked, or both NATs give every "
                         "destination another port",
                         now_us);
}

void call_on_relay(struct session *session, const struct notify_relay *notify, uint64_t now_us)
{
    struct host *host = session_host(session);
    if (notify->is_closed) {
        relay_remove(session, notify->channel, now_us);
        return;
    }
    struct call *call = call_find(host, session, notify->number);
    if (call == NULL ||
        (call->is_upgrade && !call->is_renewal && !call->has_last && !call->was_half) ||
        call->has_relay || host->config.relay == RELAY_MODE_NO ||
        relay_add(session, notify, &call->peer->address, &call->relay) != ERR_OK)
        return;
    call->has_relay = true;
    call->relay_us = now_us;
    if (call->is_renewal) {
        call_renew_by_relay(call, now_us);
        return;
    }
    snprintf(call->peer->relay_why, sizeof(call->peer->relay_why),
             "a direct path is being looked for");
    if (call->was_half && call->is_upgrade && call->is_incoming && !call->has_last) {
        /* The tunnel is up here, but its caller may not have heard so where that was said. */
        call_carry_listen(call, &call->relay);
        return;
    }
    if (wake_on_way(call, &call->relay, now_us))
        return;
    call_carry_on_relay(call);
    if (call->is_incoming || call->state != CALL_PUNCHING)
        return;
    if (host->config.relay == RELAY_MODE_ALWAYS) {
        begin(call, "relay = always", now_us);
        return;
    }
    const uint64_t half_us = host->config.attempt_us / 2;
    call->relay_task.run = on_relay_task;
    task_set(&host->tasks, &call->relay_task, now_us + (half_us < DIRECT_US ? half_us : DIRECT_US));
}

struct call *call_find_relayed(struct host *host, const struct endpoint *relay)
{
    if (!relay_is_endpoint(relay))
        return NULL;
    for (struct map_node *node = NULL; (node = map_walk(&host->calls_by_number, node)) != NULL;) {
        struct call *call = CONTAINER_OF(node, struct call, by_number);
        if (call->has_relay && endpoint_is_equal(&call->relay, relay))
            return call;
    }
    return NULL;
}

bool call_is_replacing(const struct call *call)
{
    return call != NULL && call->is_upgrade && call->sa != NULL;
}

bool call_uses_relay(struct host *host, const struct endpoint *relay)
{
    return call_find_relayed(host, relay) != NULL;
}

void call_on_relay_gone(struct host *host, const struct endpoint *relay, const char *why,
                        uint64_t now_us)
{
    struct call *call = call_find_relayed(host, relay);
    if (call == NULL)
        return;
    const bool was_needed = call->is_relaying && call->nominated.port == 0;
    call->has_relay = call->is_relaying = false;
    if (was_needed)
        call_attempt_failed(call, why, now_us);
}
