/* Incoming calls: who calls is judged before anything is sent back, and a refused stranger hears
 * nothing. */
#include "host/call_internal.h"

#include "crypto/memory.h"
#include "io/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse(struct host *host, const struct notify_call *notify, const char *reason,
                   uint64_t now_us)
{
    struct public_key key;
    memcpy(key.bytes, notify->caller_key, PUBLIC_KEY_LEN);
    host_note_refused(host, notify->caller, &key, reason, now_us);
}

/* Refuses a call that has begun: forgets it as if it had never been. */
static void refuse_call(struct call *call, const char *reason, uint64_t now_us)
{
    struct peer *peer = call->peer;
    host_note_refused(call->host, peer->name, &call->key, reason, now_us);
    call_free(call);
    peer_release(peer);
}

/* The caller is who it says, and may call: answers, and begins to punch. */
static void accept_call(struct call *call, const struct notify_call *notify, uint64_t now_us)
{
    struct host *host = call->host;
    struct candidate_list own;
    host_candidates(host, &own);
    int error = call_make_profile(call);
    if (error == ERR_OK)
        error = credentials_generate(&call->credentials);
    if (error == ERR_OK)
        error = call_punch_open(call, &own, now_us);
    if (error == ERR_OK)
        error = punch_table_set_remote(host->punches, call->punch, &notify->credentials,
                                       &notify->candidates, now_us);
    /* What opens our own NAT goes out before the answer does: a check of the caller's that came
     * earlier would make some NATs give us another port. */
    call_step(call, CALL_PUNCHING, CALL_STEP_CANDIDATES, "it called", now_us);
    call_pump_punches(host, now_us);
    if (error == ERR_OK)
        error = login_client_answer(session_login(call->session), call->number, ANSWER_ACCEPTED,
                                    &call->credentials, &own, NULL, now_us);
    task_set(&host->tasks, &call->task, now_us + host->config.attempt_us);
    session_pump(call->session, now_us);
    if (error != ERR_OK)
        call_attempt_failed(call, error_text(error), now_us);
}

static bool is_trusted(struct call *call, uint64_t now_us)
{
    struct trust_verdict verdict;
    if (trust_check(call->host->trust, TRUST_HOST, call->peer->name, &call->key,
                    TRUST_LEVEL_CONNECTOR, (enum trust_level)call->host->config.accept,
                    &verdict) == ERR_OK &&
        verdict.is_accepted)
        return true;
    log_error("%s: call from it refused: %s", call->peer->name, verdict.message);
    snprintf(call->peer->last_error, sizeof(call->peer->last_error),
             "its key differs from the pinned one");
    refuse_call(call, "its key is not the one that is trusted for this name", now_us);
    return false;
}

static void join_zone(struct call *call, struct session *session, uint64_t now_us)
{
    call->verifier = session;
    if (crypto_random(&call->query, sizeof(call->query)) != ERR_OK ||
        login_client_lookup(session_login(session), call->query, call->peer->name, now_us) !=
            ERR_OK) {
        refuse_call(call, "its zone cannot be asked for its key", now_us);
        return;
    }
    session_pump(session, now_us);
}

static void on_zone_found(void *context, int error, const struct finder_result *result,
                          const char *why)
{
    struct call *call = context;
    struct session *session;
    uint64_t now_us = clock_now_us();
    call->finder = NULL;
    if (error != ERR_OK || session_get(call->host, result->zone, &result->connector,
                                       result->has_key, &result->key, &session) != ERR_OK)
        refuse_call(call, "its zone's connector cannot be found", now_us);
    else
        join_zone(call, session, now_us);
}

/* A caller of another zone: its name is only a claim until its own zone's connector confirms the
 * key. */
static void verify(struct call *call, const struct notify_call *notify, uint64_t now_us)
{
    struct host *host = call->host;
    call->state = CALL_VERIFYING;
    task_set(&host->tasks, &call->task, now_us + host->config.attempt_us);
    call->asked = malloc(sizeof(*call->asked));
    if (call->asked == NULL) {
        refuse_call(call, "out of memory", now_us);
        return;
    }
    *call->asked = *notify;
    for (const char *zone = name_parent(call->peer->name); zone != NULL; zone = name_parent(zone)) {
        struct session *session = session_find(host, zone);
        if (session != NULL) {
            join_zone(call, session, now_us);
            return;
        }
    }
    if (finder_start_name(host, call->peer->name, on_zone_found, call, &call->finder) != ERR_OK)
        refuse_call(call, "its zone's connector cannot be looked up", now_us);
}

void call_on_key(struct session *session, const struct notify_key *key, uint64_t now_us)
{
    struct host *host = session_host(session);
    struct call *call = call_find(host, session, key->number);
    if (call != NULL && !call->is_incoming) {
        call->peer->is_static = key->is_known && key->is_static;
        return;
    }
    call = NULL;
    for (struct map_node *node = NULL; (node = map_walk(&host->calls_by_number, node)) != NULL;) {
        struct call *other = CONTAINER_OF(node, struct call, by_number);
        if (other->state == CALL_VERIFYING && other->verifier == session &&
            other->query == key->number)
            call = other;
    }
    if (call == NULL)
        return;
    if (!key->is_known || memcmp(key->key, call->key.bytes, PUBLIC_KEY_LEN) != 0) {
        refuse_call(call,
                    key->is_known ? "its zone says that the name has another key"
                                  : "its zone does not know the name",
                    now_us);
        return;
    }
    call->peer->is_static = key->is_static;
    if (!is_trusted(call, now_us))
        return;
    struct notify_call *asked = call->asked;
    call->asked = NULL;
    accept_call(call, asked, now_us);
    crypto_wipe(asked, sizeof(*asked));
    free(asked);
}

/* Both call each other at once: the call of the host with the smaller key goes on. True: the
 * incoming one does. */
static bool yields_to_incoming(struct peer *peer, const struct notify_call *notify)
{
    struct call *call = peer->call;
    if (call == NULL)
        return true;
    if (call->is_incoming)
        return true; /* a newer attempt of the same caller */
    const struct public_key *own = identity_public(peer->host->identity);
    return call->state < CALL_ASKING || memcmp(own->bytes, notify->caller_key, PUBLIC_KEY_LEN) > 0;
}

void call_on_call(struct session *session, const struct notify_call *notify, uint64_t now_us)
{
    struct host *host = session_host(session);
    struct peer *peer;
    bool is_own_zone = name_is_in_zone(notify->caller, host->config.zone);
    /* Only the own zone's connector knows us by a name; anyone else has no business to pass calls.
     */
    if (!session_is_own(session) || strcmp(notify->called, host->name) != 0 || host->is_stopping)
        return;
    if (notify->caller[0] == '\0' || strcmp(notify->caller, host->name) == 0) {
        refuse(host, notify, "it gives no name of its own", now_us);
        return;
    }
    if (is_own_zone && !notify->is_vouched) {
        refuse(host, notify, "its name is not vouched for by our connector", now_us);
        return;
    }
    if (!access_may_call(host, notify->caller, is_own_zone && notify->is_static)) {
        refuse(host, notify, "[allow] does not let it call", now_us);
        return;
    }
    if (peer_get(host, notify->caller, &peer) != ERR_OK) {
        refuse(host, notify, "no address for it in the pool", now_us);
        return;
    }
    if (!yields_to_incoming(peer, notify))
        return;
    if (peer->call != NULL)
        call_free(peer->call); /* whoever waits for it now waits for this one */
    struct call *call = call_new(peer, true, notify->number, now_us);
    if (call == NULL) {
        refuse(host, notify, "too many calls at once", now_us);
        peer_release(peer);
        return;
    }
    call->session = session;
    memcpy(call->key.bytes, notify->caller_key, PUBLIC_KEY_LEN);
    call->has_key = true;
    strcpy(call->zone, host->config.zone);
    if (!is_own_zone) {
        verify(call, notify, now_us);
        return;
    }
    peer->is_static = notify->is_static;
    if (is_trusted(call, now_us))
        accept_call(call, notify, now_us);
}
