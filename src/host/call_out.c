/* Outgoing calls: the name, the zone's connector, CALL and its ANSWER. */
#include "host/call_internal.h"

#include "crypto/memory.h"
#include "host/call_carry.h"
#include "host/met.h"
#include "host/vouch.h"
#include "host/wake.h"
#include "io/clock.h"
#include "names/lookup.h"
#include "wire/dns.h"
#include <stdio.h>
#include <string.h>

/* A fresh number for a fresh attempt, so that late answers to the last one find nothing. */
static int renumber(struct call *call)
{
    struct map *map = &call->host->calls_by_number;
    uint64_t number;
    int error = crypto_random(&number, sizeof(number));
    if (error != ERR_OK)
        return error;
    map_remove(map, &call->by_number);
    call->number = number;
    return map_insert(map, &call->by_number, map_hash(map, &number, sizeof(number)));
}

/* Gives the session the CALL, which goes as soon as it can. */
static void send_call(struct call *call, uint64_t now_us)
{
    struct host *host = call->host;
    const struct notify_voucher *voucher =
        session_is_own(call->session) ? NULL : vouch_get(host, now_us);
    struct candidate_list own;
    struct notify_ike ike;
    call->is_asked = true;
    call->view = host->view;
    host_candidates(host, &own);
    session_stun_prove(call->session, &own);
    int error = credentials_generate(&call->credentials);
    if (error == ERR_OK)
        error = call_punch_open(call, &own, now_us);
    if (error == ERR_OK) {
        call_carry_begin(call, &ike, now_us);
        wake_carry(call, &ike);
        error = login_client_call(session_login(call->session), call->number, call->peer->name,
                                  host->name, &call->credentials, &own, &ike, voucher, now_us);
        call_renew_on_asked(call, now_us);
    }
    if (error != ERR_OK)
        call_attempt_failed(call, error_text(error), now_us);
}

static bool waits_for_voucher(struct call *call, uint64_t now_us)
{
    call->waits_for_voucher = !session_is_own(call->session) && vouch_is_coming(call->host, now_us);
    return call->waits_for_voucher;
}

/* The session is up: sends CALL, if that did not go with the log-in. */
static void ask(struct call *call, uint64_t now_us)
{
    char text[ENDPOINT_TEXT_CAP];
    char detail[ENDPOINT_TEXT_CAP + NAME_TEXT_CAP];
    if (!call->is_asked &&
        (waits_for_voucher(call, now_us) || call_waits_for_port(call, ask, now_us)))
        return;
    snprintf(detail, sizeof(detail), "%s at %s", call->zone,
             endpoint_format(session_connector(call->session), text, sizeof(text)));
    call_step(call, CALL_ASKING, CALL_STEP_CONNECTOR, detail, now_us);
    if (!call->is_asked)
        send_call(call, now_us);
}

static void join_session(struct call *call, struct session *session, uint64_t now_us)
{
    call->session = session;
    if (!session_is_own(session))
        vouch_want(call->host, now_us);
    call_step(call, CALL_CONNECTING, CALL_STEP_NAME, call->peer->name, now_us);
    /* Also wakes a guest session that sleeps; its answer says whether the name is a static one. */
    int error = login_client_lookup(session_login(session), call->number, call->peer->name, now_us);
    if (error != ERR_OK) {
        call_attempt_failed(call, error_text(error), now_us);
        return;
    }
    if (session_is_up(session))
        ask(call, now_us);
    session_pump(session, now_us);
}

static void on_found(void *context, int error, const struct finder_result *result, const char *why)
{
    struct call *call = context;
    struct session *session;
    uint64_t now_us = clock_now_us();
    call->finder = NULL;
    if (error != ERR_OK) {
        if (error == ERR_NOT_FOUND || error == ERR_REFUSED)
            call_fail(call, why, NULL, now_us);
        else
            call_attempt_failed(call, why, now_us);
        return;
    }
    /* Several names' parents may turn out to be one zone. */
    call->zone[0] = '\0';
    if (!call_has_room(call->host, result->zone)) {
        call_fail(call, "too many calls to its zone at once", NULL, now_us);
        return;
    }
    strcpy(call->zone, result->zone);
    error = session_get(call->host, call->peer->name, result, &session);
    if (error != ERR_OK)
        call_fail(call, error_text(error), NULL, now_us);
    else
        join_session(call, session, now_us);
}

/* The session of the zone that the name lies in, where there is one already. */
static struct session *find_session(struct call *call)
{
    for (const char *zone = name_parent(call->peer->name); zone != NULL; zone = name_parent(zone)) {
        struct session *session = session_find(call->host, zone);
        if (session != NULL) {
            strcpy(call->zone, zone);
            return session;
        }
    }
    return NULL;
}

static void find_connector(struct call *call, uint64_t now_us)
{
    struct session *session = find_session(call);
    if (session != NULL)
        join_session(call, session, now_us);
    else if (finder_start_name(call->host, call->peer->name, on_found, call, &call->finder) !=
             ERR_OK)
        call_attempt_failed(call, "DNS queries cannot be sent", now_us);
}

/* Where DNS has no answer, a peer that was met before may still be where it was. */
static void on_no_name(struct call *call, const char *why, uint64_t now_us)
{
    if (met_knows(call->host, call->peer->name))
        find_connector(call, now_us);
    else
        call_attempt_failed(call, why, now_us);
}

static void on_name(void *context, int error, const uint8_t *answer, size_t len)
{
    struct call *call = context;
    struct lookup_addresses addresses;
    uint64_t now_us = clock_now_us();
    const struct address special = address_from_ipv4(1);
    call->lookup = NULL;
    if (answer == NULL) {
        on_no_name(call, "no DNS server answers", now_us);
        return;
    }
    error = lookup_parse_addresses(answer, len, call->peer->name, DNS_TYPE_A, &addresses);
    if (error == ERR_NOT_FOUND && len >= DNS_HEADER_LEN && (answer[3] & 15) == DNS_RCODE_NOERROR) {
        /* A resolver with rebind protection may have taken 0.0.0.1 out: let the connector tell. */
        find_connector(call, now_us);
        return;
    }
    if (error == ERR_NOT_FOUND) {
        call_fail(call, "there is no such name",
                  "the host is not logged in, or its name is another", now_us);
        return;
    }
    if (error != ERR_OK) {
        on_no_name(call, "the DNS server fails", now_us);
        return;
    }
    for (size_t i = 0; i < addresses.count; i++) {
        if (address_is_equal(&addresses.items[i], &special) ||
            address_is_equal(&addresses.items[i], &call->peer->address)) {
            find_connector(call, now_us);
            return;
        }
    }
    call_fail(call, "the name has an ordinary address", "reach it without Detec", now_us);
}

void call_out_begin(struct call *call, uint64_t now_us)
{
    struct host *host = call->host;
    task_set(&host->tasks, &call->task, now_us + host->config.attempt_us);
    call->state = CALL_NAMING;
    wake_begin(call, now_us);
    if (call->attempt > 1 && renumber(call) != ERR_OK) {
        call_fail(call, "out of memory", NULL, now_us);
        return;
    }
    const struct session *session = find_session(call);
    if (session == NULL || !session_is_up(session) || call->attempt > 1)
        met_begin(call, now_us);
    if (call->checks_name && call->attempt == 1) {
        if (lookup_start(&host->loop, HOST_MARK, call->peer->name, DNS_TYPE_A, on_name, call,
                         &call->lookup) != ERR_OK)
            call_attempt_failed(call, "DNS queries cannot be sent", now_us);
        return;
    }
    find_connector(call, now_us);
}

void call_out_restart(struct call *call, uint64_t now_us)
{
    call_drop_attempt(call);
    call->why[0] = '\0';
    if (renumber(call) != ERR_OK) {
        call_fail(call, "out of memory", NULL, now_us);
        return;
    }
    call->checks_name = false;
    call_out_begin(call, now_us);
}

/* The calls that wait for this session; walking the map itself would not survive what is done to
 * them. */
static size_t collect_waiting(struct session *session, enum call_state state,
                              struct call *ret_calls[HOST_CALLS_MAX])
{
    struct host *host = session_host(session);
    size_t count = 0;
    for (struct map_node *node = NULL; (node = map_walk(&host->calls_by_number, node)) != NULL;) {
        struct call *call = CONTAINER_OF(node, struct call, by_number);
        if (call->session == session && !call->is_incoming && call->state == state &&
            count < HOST_CALLS_MAX)
            ret_calls[count++] = call;
    }
    return count;
}

void call_on_session_up(struct session *session, uint64_t now_us)
{
    struct call *calls[HOST_CALLS_MAX];
    size_t count = collect_waiting(session, CALL_CONNECTING, calls);
    for (size_t i = 0; i < count; i++)
        ask(calls[i], now_us);
}

void call_on_session_near(struct session *session, uint64_t now_us)
{
    struct call *calls[HOST_CALLS_MAX];
    struct port_pattern pattern;
    struct endpoint seen;
    size_t count = collect_waiting(session, CALL_CONNECTING, calls);
    nat_pattern(session_host(session), &pattern);
    /* As soon as we know what to say: where we are seen, and which port a NAT gives next, which
     * has to be asked as late as possible. */
    if (pattern.kind == PORT_PATTERN_SEQUENTIAL ||
        sessions_reflexive(session_host(session), &seen, 1) == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        if (!calls[i]->is_asked && !calls[i]->is_upgrade && !waits_for_voucher(calls[i], now_us))
            send_call(calls[i], now_us);
    }
}

static void go_on(struct session *session, uint64_t now_us)
{
    struct call *calls[HOST_CALLS_MAX];
    const bool is_up = session_is_up(session);
    size_t count = collect_waiting(session, CALL_CONNECTING, calls), left = 0;
    for (size_t i = 0; i < count; i++) {
        if (!calls[i]->waits_for_voucher)
            continue;
        calls[i]->waits_for_voucher = false;
        left++;
        if (is_up)
            ask(calls[i], now_us);
    }
    if (left == 0)
        return;
    if (!is_up) {
        call_on_session_near(session, now_us);
        session_hurry_waiting(session, now_us);
    }
    session_pump(session, now_us);
}

void call_on_voucher(struct host *host, uint64_t now_us)
{
    struct session *next;
    for (struct session *session = sessions_first(host); session != NULL; session = next) {
        next = session_next(session);
        go_on(session, now_us);
    }
}

void call_on_session_failed(struct session *session, const char *why, uint64_t now_us)
{
    struct call *calls[HOST_CALLS_MAX];
    size_t count = collect_waiting(session, CALL_CONNECTING, calls);
    for (size_t i = 0; i < count; i++)
        call_fail(calls[i], why, NULL, now_us);
}

void call_on_answer(struct session *session, const struct notify_answer *answer, uint64_t now_us)
{
    const uint64_t number = answer->number;
    struct call *call = call_find(session_host(session), session, number);
    if (call == NULL || call->is_incoming || call->state != CALL_ASKING)
        return;
    struct host *host = call->host;
    struct trust_verdict verdict;
    char detail[64];
    if (answer->result != ANSWER_ACCEPTED) {
        const char *text = answer->result == ANSWER_RATE_LIMIT
                               ? "the connector says: too many calls"
                               : "the called host is busy";
        call_attempt_failed(call, answer->reason[0] != '\0' ? answer->reason : text, now_us);
        return;
    }
    memcpy(call->key.bytes, answer->called_key, PUBLIC_KEY_LEN);
    call->has_key = true;
    if (trust_check(host->trust, TRUST_HOST, call->peer->name, &call->key, TRUST_LEVEL_CONNECTOR,
                    (enum trust_level)host->config.accept, &verdict) != ERR_OK ||
        !verdict.is_accepted) {
        log_error("%s: call refused: %s", call->peer->name, verdict.message);
        call_fail(call, verdict.message, "if the change is known to be right: `detec trust NAME`",
                  now_us);
        return;
    }
    met_drop(call);
    snprintf(detail, sizeof(detail), "%zu from the called host", answer->candidates.count);
    call_step(call, CALL_PUNCHING, CALL_STEP_CANDIDATES, detail, now_us);
    int error = call_punch_at(call, &answer->credentials, &answer->candidates, now_us);
    if (error != ERR_OK) {
        call_attempt_failed(call, "the called host's answer makes no sense", now_us);
        return;
    }
    call->no_relay = answer->relay;
    call->is_unrelayed = answer->relay != ANSWER_RELAY_UNSAID;
    call_renew_on_answer(call, now_us);
    call_pump_punches(host, now_us);
    /* Right behind the checks that open the way: it saves their round trip. */
    if (call_find(host, session, number) != call || call->state != CALL_PUNCHING)
        return;
    if (wake_finish(call, &answer->ike, now_us)) {
        if (call->has_relay)
            (void)wake_on_way(call, &call->relay, now_us);
        return;
    }
    struct candidate_list reached;
    call_reach(call, &answer->candidates, &reached);
    const struct endpoint *likeliest = call_guess_path(call, &reached);
    call_carry_finish(call, &answer->ike, likeliest, now_us);
    if (call->sa == NULL)
        call_begin_early(call, likeliest, now_us);
}

void call_on_session_lost(struct session *session, uint64_t now_us)
{
    struct call *calls[HOST_CALLS_MAX];
    size_t count = collect_waiting(session, CALL_ASKING, calls);
    for (size_t i = 0; i < count; i++)
        call_attempt_failed(calls[i], "the connection to the connector was lost", now_us);
}
