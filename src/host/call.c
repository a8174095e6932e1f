/* The life of a call: attempts, time-outs, steps told to watchers, and the end. */
#include "host/call_internal.h"

#include "crypto/memory.h"
#include "host/call_carry.h"
#include "host/met.h"
#include "host/plain.h"
#include "host/relay.h"
#include "host/wake.h"
#include "io/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOLD_US                                                                                    \
    (2 * SECOND_US) /* after a failed call: packets are answered at once, no new call              \
                     */

const char *call_step_text(const struct call *call)
{
    static const char *const steps[] = {
        [CALL_NAMING] = CALL_STEP_NAME,       [CALL_CONNECTING] = CALL_STEP_CONNECTOR,
        [CALL_ASKING] = CALL_STEP_CANDIDATES, [CALL_PUNCHING] = CALL_STEP_PUNCH,
        [CALL_KEYING] = CALL_STEP_KEYS,
    };
    return steps[call->state];
}

static void on_timeout(struct task *task, uint64_t now_us)
{
    static const char *const reasons[] = {
        [CALL_NAMING] = "DNS does not answer in time",
        [CALL_CONNECTING] = "the connector cannot be reached",
        [CALL_ASKING] = "the called host does not answer",
        [CALL_KEYING] = "the key negotiation gets no answer",
    };
    struct call *call = CONTAINER_OF(task, struct call, task);
    char why[sizeof(call->why)];
    if (call->is_doomed && call->state <= CALL_CONNECTING)
        memcpy(why, call->why, sizeof(why));
    else if (call->state == CALL_PUNCHING)
        call_relay_explain(call, NULL, why, sizeof(why));
    else
        snprintf(why, sizeof(why), "%s", reasons[call->state]);
    if (!call_try_relay(call, why, now_us))
        call_attempt_failed(call, why, now_us);
}

bool call_has_room(struct host *host, const char *zone)
{
    size_t zone_count = 0, foreign_count = 0;
    if (strcmp(zone, host->config.zone) == 0)
        return true;
    for (struct map_node *node = NULL; (node = map_walk(&host->calls_by_number, node)) != NULL;) {
        const struct call *call = CONTAINER_OF(node, struct call, by_number);
        if (call->is_incoming || strcmp(call->zone, host->config.zone) == 0)
            continue;
        foreign_count++;
        zone_count += strcmp(call->zone, zone) == 0;
    }
    return zone_count < HOST_CALLS_ZONE_MAX && foreign_count < HOST_CALLS_FOREIGN_MAX;
}

bool call_uses_session(const struct session *session)
{
    struct host *host = session_host(session);
    for (struct map_node *node = NULL; (node = map_walk(&host->calls_by_number, node)) != NULL;) {
        if (CONTAINER_OF(node, struct call, by_number)->session == session)
            return true;
    }
    return false;
}

struct call *call_new(struct peer *peer, bool is_incoming, uint64_t number, uint64_t now_us)
{
    struct host *host = peer->host;
    if (host->call_count >= HOST_CALLS_MAX)
        return NULL;
    struct call *call = calloc(1, sizeof(*call));
    if (call == NULL)
        return NULL;
    if (map_insert(&host->calls_by_number, &call->by_number,
                   map_hash(&host->calls_by_number, &number, sizeof(number))) != ERR_OK) {
        free(call);
        return NULL;
    }
    host->call_count++;
    call->host = host;
    call->peer = peer;
    call->is_incoming = is_incoming;
    call->number = number;
    call->attempt = 1;
    call->started_us = call->step_us = now_us;
    call->task.run = on_timeout;
    peer->call = call;
    sessions_on_activity(host, now_us);
    return call;
}

void call_drop_attempt(struct call *call)
{
    if (call->session != NULL && !call->is_incoming)
        login_client_withdraw(session_login(call->session), call->number);
    call->is_asked = call->waits_for_voucher = false;
    lookup_cancel(call->lookup);
    finder_cancel(call->finder);
    call->lookup = NULL;
    call->finder = NULL;
    task_clear(&call->host->tasks, &call->keys_task);
    task_clear(&call->host->tasks, &call->anew_task);
    nat_wait_cancel(call->host, &call->nat_wait);
    sockets_release(call->host, call, 0);
    punch_table_close(call->host->punches, call->punch);
    call->punch = NULL;
    stage_clear(&call->early);
    if (call->sa != NULL && call->sa != call->peer->sa && call->sa != call->peer->rest)
        ike_sa_free(call->sa);
    call->sa = NULL;
    call_carry_clear(call);
    wake_drop(call);
    met_drop(call);
    call->is_doomed = false;
    ike_profile_free(call->profile);
    call->profile = NULL;
    crypto_wipe(&call->credentials, sizeof(call->credentials));
    task_clear(&call->host->tasks, &call->relay_task);
    call->has_relay = call->is_relaying = call->is_unrelayed = false;
    call->nominated = (struct endpoint){.port = 0};
}

void call_free(struct call *call)
{
    struct host *host = call->host;
    call_drop_attempt(call);
    task_clear(&host->tasks, &call->task);
    map_remove(&host->calls_by_number, &call->by_number);
    host->call_count--;
    call->peer->call = NULL;
    free(call);
}

struct call *call_find(struct host *host, const struct session *session, uint64_t number)
{
    uint64_t hash = map_hash(&host->calls_by_number, &number, sizeof(number));
    for (struct map_node *node = map_first(&host->calls_by_number, hash); node != NULL;
         node = map_next(node)) {
        struct call *call = CONTAINER_OF(node, struct call, by_number);
        if (call->number == number && call->session == session)
            return call;
    }
    return NULL;
}

enum call_state call_state(const struct call *call)
{
    return call->state;
}

void call_step(struct call *call, enum call_state next, const char *step, const char *detail,
               uint64_t now_us)
{
    log_debug("call %s: %s done in %llu ms: %s", call->peer->name, step,
              (unsigned long long)((now_us - call->step_us) / MS_US), detail);
    peer_tell_step(call->peer, step, now_us - call->step_us, detail);
    call->state = next;
    call->step_us = now_us;
}

/* The tunnel that was there already goes on. */
static void keep_tunnel(struct call *call, const char *why, uint64_t now_us)
{
    struct peer *peer = call->peer;
    log_debug("%s: no other path: %s: %s", peer->name, call_step_text(call), why);
    if (relay_is_endpoint(&peer->path) && call->state >= CALL_PUNCHING)
        snprintf(peer->relay_why, sizeof(peer->relay_why), "%s", why);
    call_free(call);
    peer_stage_flush(peer);
    peer_tell_done(peer, NULL, NULL, NULL);
    if (peer->sa == NULL)
        peer_down(peer, "closed by the peer", false, now_us);
}

/* Nothing leads to the called host but its last address, which has been asked already. */
static bool waits_for_last(struct call *call, const char *why, uint64_t now_us)
{
    const uint64_t wake_us = wake_pending_us(call, now_us), met_us = met_pending_us(call, now_us);
    const uint64_t until_us = wake_us > met_us ? wake_us : met_us;
    if (until_us == 0 || call->state > CALL_CONNECTING)
        return false;
    char reason[sizeof(call->why)];
    snprintf(reason, sizeof(reason), "%s", why);
    memcpy(call->why, reason, sizeof(reason));
    call->is_doomed = true;
    task_set(&call->host->tasks, &call->task, until_us);
    return true;
}

void call_fail(struct call *call, const char *why, const char *hint, uint64_t now_us)
{
    static const char *const hints[] = {
        [CALL_NAMING] = "check the name, and that this host reaches a DNS server",
        [CALL_CONNECTING] = "check that the zone's connector runs and that TCP to it gets out",
        [CALL_ASKING] =
            "the called host is offline, or does not allow this host: see `detec status` there",
        [CALL_PUNCHING] = "a firewall blocks UDP, or both NATs give every destination another port",
        [CALL_KEYING] = "look into the called host's log for its reason",
    };
    struct peer *peer = call->peer;
    const char *step = call_step_text(call);
    if (waits_for_last(call, why, now_us)) {
        call->attempt = CALL_ATTEMPTS;
        return;
    }
    if (peer->tunnel != NULL && !peer->is_closing) {
        keep_tunnel(call, why, now_us);
        return;
    }
    char reason[sizeof(peer->last_error)];
    snprintf(reason, sizeof(reason), "%s: %s", step, why);
    memcpy(peer->last_error, reason, sizeof(reason));
    if (!call->is_incoming)
        log_warn("%s: call failed at %s after %u attempt%s: %s", peer->name, step, call->attempt,
                 call->attempt == 1 ? "" : "s", why);
    if (hint == NULL)
        hint = hints[call->state];
    if (call->is_incoming && (peer->watchers != NULL || peer->stage.count > 0)) {
        /* Somebody here wants the tunnel too: on to a call of our own. */
        call_free(call);
        call_start(peer, false, now_us);
        return;
    }
    /* A caller that began without a connector may just have found another way. */
    if (!call->is_incoming || call->session != NULL)
        peer->held_until_us = now_us + HOLD_US;
    call_free(call);
    peer_stage_refuse(peer);
    peer_tell_done(peer, step, why, hint);
    peer_release(peer);
}

void call_attempt_failed(struct call *call, const char *why, uint64_t now_us)
{
    struct peer *peer = call->peer;
    char text[sizeof(call->why)];
    if (waits_for_last(call, why, now_us))
        return;
    const char *blame = wake_blame(call)[0] != '\0' ? wake_blame(call) : met_blame(call);
    snprintf(text, sizeof(text), "%s%s", why, call->state <= CALL_CONNECTING ? blame : "");
    memcpy(call->why, text, sizeof(text));
    if (call->is_incoming && (peer->watchers != NULL || peer->stage.count > 0)) {
        /* The peer has given up, but somebody here wants the tunnel as well. */
        log_debug("call %s: its own failed (%s), calling it", peer->name, why);
        call_free(call);
        call_start(peer, false, now_us);
        return;
    }
    if (call->is_incoming || call->is_upgrade || call->attempt >= CALL_ATTEMPTS) {
        char reason[sizeof(call->why)];
        memcpy(reason, call->why, sizeof(reason));
        call_fail(call, reason, NULL, now_us);
        return;
    }
    call->attempt++;
    log_debug("call %s: attempt %u failed (%s), next one", call->peer->name, call->attempt - 1,
              why);
    call_drop_attempt(call);
    call_out_begin(call, now_us);
}

void call_cancel(struct call *call)
{
    struct peer *peer = call->peer;
    call_free(call);
    peer_tell_done(peer, CALL_STEP_NAME, "given up", "it was ended from here");
    peer_stage_refuse(peer);
}

struct call *call_make_out(struct peer *peer, uint64_t now_us)
{
    struct host *host = peer->host;
    uint64_t number;
    const char *zone = name_is_in_zone(peer->name, host->config.zone) ? host->config.zone
                                                                      : name_parent(peer->name);
    if (zone == NULL || crypto_random(&number, sizeof(number)) != ERR_OK ||
        !call_has_room(host, zone))
        return NULL;
    struct call *call = call_new(peer, false, number, now_us);
    if (call == NULL)
        return NULL;
    strcpy(call->zone, zone);
    call->state = CALL_NAMING;
    return call;
}

static void begin(struct peer *peer, bool checks_name, uint64_t now_us)
{
    if (peer->call != NULL || peer->host->is_stopping)
        return;
    struct call *call = call_make_out(peer, now_us);
    if (call == NULL) {
        snprintf(peer->last_error, sizeof(peer->last_error), "too many calls at once");
        peer_stage_refuse(peer);
        peer_tell_done(peer, CALL_STEP_NAME, "too many calls at once",
                       "try again in a few seconds");
        return;
    }
    call->checks_name = checks_name;
    call_out_begin(call, now_us);
}

void call_start_upgrade(struct peer *peer, uint64_t now_us)
{
    if (peer->call != NULL || peer->tunnel == NULL || peer->is_closing || peer->host->is_stopping)
        return;
    struct call *call = call_make_out(peer, now_us);
    if (call == NULL)
        return; /* the next time */
    call->is_upgrade = true;
    call_out_begin(call, now_us);
}

void call_start(struct peer *peer, bool checks_name, uint64_t now_us)
{
    if (peer->plain != NULL)
        plain_call(peer->plain, now_us);
    else if (peer->tunnel == NULL)
        begin(peer, checks_name, now_us);
}

/* The tunnel is up by a relay, while a direct path is still being looked for: it moves there once
 * there is one. Or it is up here alone: a caller that got a spoilt answer begins anew. */
static bool call_go_on(struct call *call, bool is_relayed, uint64_t now_us)
{
    struct host *host = call->host;
    if (is_relayed ? host->config.relay == RELAY_MODE_ALWAYS || call->is_relaying
                   : !call->is_incoming || !call->was_half)
        return false;
    if (call->punch == NULL)
        return false;
    call->heard_us = ike_sa_heard_us(call->peer->sa);
    call_carry_clear(call);
    task_clear(&host->tasks, &call->relay_task);
    task_set(&host->tasks, &call->task, now_us + host->config.attempt_us);
    call->is_upgrade = true;
    call->state = CALL_PUNCHING;
    if (call->nominated.port != 0) {
        call->state = CALL_KEYING;
        if (!call->is_incoming)
            call_move(call, now_us);
    }
    return true;
}

void call_on_path(struct peer *peer)
{
    struct call *call = peer->call;
    const bool has_found =
        call != NULL && (call->is_upgrade || (call->is_incoming && call->sa == NULL));
    if (has_found && !relay_is_endpoint(&peer->path))
        call_free(call);
}

void call_on_refused(struct peer *peer)
{
    struct call *call = peer->call;
    if (call == NULL || !call->is_upgrade || !call->is_incoming)
        return;
    call->is_upgrade = false;
    call->state = CALL_KEYING;
}

void call_on_tunnel_down(struct peer *peer)
{
    if (peer->call != NULL && peer->call->is_upgrade)
        call_free(peer->call);
}

void call_on_tunnel(struct peer *peer, struct ike_sa *sa, uint64_t now_us)
{
    struct call *call = peer->call;
    char detail[RELAY_TEXT_CAP + 32];
    char text[RELAY_TEXT_CAP];
    const bool is_relayed = relay_is_endpoint(ike_sa_remote(sa));
    if (call == NULL || call->sa != sa)
        return;
    const bool is_stale = is_relayed && call_is_stale(call);
    snprintf(detail, sizeof(detail), "%s over %s", suite_name(ike_sa_suite(sa)),
             relay_format(peer->host, ike_sa_remote(sa), text));
    call_step(call, CALL_KEYING, CALL_STEP_KEYS, detail, now_us);
    if (!is_relayed && call->punch != NULL)
        punch_table_confirm(call->host->punches, call->punch, ike_sa_remote(sa), now_us);
    call->sa = NULL;
    task_clear(&call->host->tasks, &call->keys_task);
    call_carry_on_tunnel(call, now_us);
    call_flush_early(call, ike_sa_remote(sa));
    log_info("%s: tunnel up (%s, %s), in %llu ms", peer->name, detail,
             call->is_incoming ? "it called" : "we called",
             (unsigned long long)((now_us - call->started_us) / MS_US));
    const bool is_caller = !call->is_incoming;
    const bool goes_on = call_go_on(call, is_relayed, now_us);
    if (!goes_on)
        call_free(call);
    if (is_stale && goes_on)
        call_anew(call, now_us);
    else if (is_stale && is_caller)
        call_start_upgrade(peer, now_us);
    peer_stage_flush(peer);
    peer_tell_done(peer, NULL, NULL, NULL);
}
