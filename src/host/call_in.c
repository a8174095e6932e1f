/* Incoming calls: who calls is judged before anything is sent back, and a refused stranger hears
 * nothing. */
#include "host/call_internal.h"

#include "host/call_carry.h"
#include "host/claim.h"
#include "host/wake.h"
#include "io/clock.h"
#include <stdio.h>
#include <string.h>

void call_refuse(struct host *host, const struct notify_call *notify, const char *reason,
                 uint64_t now_us)
{
    struct public_key key;
    memcpy(key.bytes, notify->caller_key, PUBLIC_KEY_LEN);
    host_note_refused(host, notify->caller, &key, reason, now_us);
}

/* The caller is who it says, and may call: answers, and begins to punch. */
static void accept_call(struct call *call, const struct notify_call *notify, uint64_t now_us)
{
    struct host *host = call->host;
    struct session *session = call->session;
    const uint64_t number = call->number;
    struct candidate_list own;
    struct notify_ike ike;
    task_set(&host->tasks, &call->task, now_us + host->config.attempt_us);
    call->view = host->view;
    call->is_unrelayed = !notify->wants_relay;
    host_candidates(host, &own);
    session_stun_prove(session, &own);
    int error = call_make_profile(call);
    if (error == ERR_OK)
        error = credentials_generate(&call->credentials);
    if (error == ERR_OK)
        error = call_punch_open(call, &own, now_us);
    if (error == ERR_OK)
        error = call_punch_at(call, &notify->credentials, &notify->candidates, now_us);
    if (error != ERR_OK) {
        call_attempt_failed(call, error_text(error), now_us);
        return;
    }
    /* What opens our own NAT goes out before the answer does: a check of the caller's that came
     * earlier would make some NATs give us another port. */
    call_step(call, CALL_PUNCHING, CALL_STEP_CANDIDATES, "it called", now_us);
    call_pump_punches(host, now_us);
    if (call_find(host, session, number) != call)
        return; /* failed already */
    if (!wake_respond(call, &notify->ike, &ike, now_us))
        call_carry_respond(call, &notify->ike, &ike, now_us);
    error = login_client_answer(session_login(session), number, ANSWER_ACCEPTED, &call->credentials,
                                &own, NULL, &ike, now_us);
    if (error != ERR_OK)
        call_attempt_failed(call, error_text(error), now_us);
    session_pump(session, now_us);
}

static bool is_trusted(struct host *host, const struct notify_call *notify, uint64_t now_us)
{
    struct trust_verdict verdict;
    struct public_key key;
    struct peer *peer = peer_find_by_name(host, notify->caller);
    uint32_t suppressed;
    memcpy(key.bytes, notify->caller_key, PUBLIC_KEY_LEN);
    if (trust_check(host->trust, TRUST_HOST, notify->caller, &key, TRUST_LEVEL_CONNECTOR,
                    (enum trust_level)host->config.accept, &verdict) != ERR_OK)
        return false;
    if (verdict.is_accepted)
        return true;
    if (log_limit_is_open(&host->stranger_log, now_us, 10, 10 * SECOND_US, &suppressed))
        log_error("%s: call from it refused: %s", notify->caller, verdict.message);
    if (peer != NULL)
        snprintf(peer->last_error, sizeof(peer->last_error),
                 "a host with another key than the trusted one called under this name");
    return false;
}

/* Both call each other at once: the call of the host with the smaller key goes on. True: the
 * incoming one does. */
static bool yields_to_incoming(struct peer *peer, const struct notify_call *notify, uint64_t now_us)
{
    struct call *call = peer->call;
    if (call == NULL)
        return true;
    if (call->is_incoming)
        return true; /* a newer attempt of the same caller */
    const struct public_key *own = identity_public(peer->host->identity);
    /* It has answered ours and knows more by now (call_anew.c). Without a tunnel or a hope of one
     * by the relay that is all there is. */
    if (call->state == CALL_PUNCHING && !call->is_renewal &&
        (call->is_upgrade || call->is_unrelayed || peer->host->config.relay == RELAY_MODE_NO))
        return true;
    return !call->is_asked || call_renew_gives_way(call, now_us) ||
           memcmp(own->bytes, notify->caller_key, PUBLIC_KEY_LEN) > 0;
}

size_t call_count_incoming(const struct host *host)
{
    size_t count = 0;
    for (struct map_node *node = NULL; (node = map_walk(&host->calls_by_number, node)) != NULL;)
        count += CONTAINER_OF(node, struct call, by_number)->is_incoming;
    return count;
}

void call_take_in(struct host *host, const struct notify_call *notify, bool is_static,
                  uint64_t now_us)
{
    struct session *session = session_own(host);
    struct peer *peer;
    if (session == NULL || host->is_stopping)
        return;
    if (!is_trusted(host, notify, now_us)) {
        call_refuse(host, notify, "its key is not the one that is trusted for this name", now_us);
        return;
    }
    if (peer_get(host, notify->caller, &peer) != ERR_OK) {
        call_refuse(host, notify, "no address for it in the pool", now_us);
        return;
    }
    if (!yields_to_incoming(peer, notify, now_us)) {
        call_renew_on_crossing(peer->call, now_us);
        return;
    }
    if (peer->call != NULL)
        call_free(peer->call); /* whoever waits for it now waits for this one */
    struct call *call = call_count_incoming(host) < HOST_CALLS_IN_MAX
                            ? call_new(peer, true, notify->number, now_us)
                            : NULL;
    if (call == NULL) {
        call_refuse(host, notify, "too many calls at once", now_us);
        peer_release(peer);
        return;
    }
    call->session = session;
    memcpy(call->key.bytes, notify->caller_key, PUBLIC_KEY_LEN);
    call->has_key = true;
    strcpy(call->zone, host->config.zone);
    peer->is_static = is_static;
    accept_call(call, notify, now_us);
}

void call_on_key(struct session *session, const struct notify_key *key, uint64_t now_us)
{
    if (claim_on_key(session, key, now_us))
        return;
    struct call *call = call_find(session_host(session), session, key->number);
    /* Only the own zone's connector can say that a name is a static one of the own zone. */
    if (call != NULL && !call->is_incoming)
        call->peer->is_static = session_is_own(session) && key->is_known && key->is_static;
}

/* Whoever we have a tunnel with may open another path for it; that gives access to nothing more. */
static bool may_call(struct host *host, const struct notify_call *notify, bool is_static)
{
    const struct peer *peer = peer_find_by_name(host, notify->caller);
    return access_may_call(host, notify->caller, is_static) ||
           (peer != NULL && peer->tunnel != NULL && peer->has_key &&
            memcmp(peer->key.bytes, notify->caller_key, PUBLIC_KEY_LEN) == 0);
}

void call_on_call(struct session *session, const struct notify_call *notify, uint64_t now_us)
{
    struct host *host = session_host(session);
    bool is_own_zone = name_is_in_zone(notify->caller, host->config.zone);
    bool is_static = is_own_zone && notify->is_static;
    /* Only the own zone's connector knows us by a name; anyone else has no business to pass calls.
     */
    if (!session_is_own(session) || strcmp(notify->called, host->name) != 0 || host->is_stopping)
        return;
    if (nat_defer_call(host, notify, now_us))
        return; /* comes again when the NAT's next port is known */
    if (notify->caller[0] == '\0' || strcmp(notify->caller, host->name) == 0)
        call_refuse(host, notify, "it gives no name of its own", now_us);
    else if (is_own_zone && !notify->is_vouched)
        call_refuse(host, notify, "its name is not vouched for by our connector", now_us);
    else if (!may_call(host, notify, is_static))
        call_refuse(host, notify, "[allow] does not let it call", now_us);
    else if (is_own_zone)
        call_take_in(host, notify, is_static, now_us);
    else
        claim_start(host, notify, now_us);
}
