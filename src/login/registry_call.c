/* Calls and look-ups at the connector: found, limited, passed on under numbers of our own. */
#include "crypto/memory.h"
#include "login/registry_internal.h"
#include <stdlib.h>
#include <string.h>

static struct call *find_call(const struct registry *registry, uint64_t number)
{
    struct map_node *node =
        map_first(&registry->calls, map_hash(&registry->calls, &number, sizeof number));
    for (; node != NULL; node = map_next(node)) {
        struct call *call = CONTAINER_OF(node, struct call, by_number);
        if (call->number == number)
            return call;
    }
    return NULL;
}

void registry_call_forget(struct registry *registry, struct call *call)
{
    struct session *caller = registry_find_session(registry, call->caller);
    if (caller != NULL && caller->pending > 0)
        caller->pending--;
    map_remove(&registry->calls, &call->by_number);
    deadline_clear(&registry->forgets, &call->forget);
    free(call);
}

static int new_call(struct registry *registry, struct session *caller, uint64_t caller_number,
                    const struct session *called, uint64_t now_us, struct call **ret_call)
{
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return ERR_NOMEM;
    call->caller = caller->id;
    call->caller_number = caller_number;
    call->called = called->id;
    int error;
    do
        error = crypto_random(&call->number, sizeof call->number);
    while (error == ERR_OK && (call->number == 0 || find_call(registry, call->number) != NULL));
    if (error == ERR_OK)
        error = deadline_set(&registry->forgets, &call->forget, now_us + REGISTRY_CALL_WAIT_US);
    if (error == ERR_OK)
        error = map_insert(&registry->calls, &call->by_number,
                           map_hash(&registry->calls, &call->number, sizeof call->number));
    if (error != ERR_OK) {
        deadline_clear(&registry->forgets, &call->forget);
        free(call);
        return error;
    }
    caller->pending++;
    *ret_call = call;
    return ERR_OK;
}

static void send_answer(struct registry *registry, const struct session *session,
                        const struct notify_answer *answer)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_answer(&w, answer);
    registry_emit_send(registry, session, NOTIFY_ANSWER, &w);
    crypto_wipe(buffer, sizeof buffer);
}

static int refuse_call(struct registry *registry, const struct session *caller, uint64_t number,
                       const char *reason)
{
    struct notify_answer answer = {.result = ANSWER_RATE_LIMIT, .number = number};
    memcpy(answer.reason, reason, strlen(reason) + 1);
    send_answer(registry, caller, &answer);
    return ERR_LIMIT;
}

static const struct prefix *pool_of(const struct registry *registry)
{
    return &registry->config.pool;
}

/* What may not be probed goes, and where we have seen the host is marked: where its connection
 * comes from, and where our STUN server has answered it. */
static void judge_candidates(const struct registry *registry, const struct session *session,
                             struct candidate_list *list)
{
    const struct registry_config *config = &registry->config;
    candidate_list_sanitize(list, pool_of(registry));
    candidate_list_observe(list, &session->observed);
    for (size_t i = 0; i < list->count && list->proof_len > 0 && config->has_seen != NULL; i++) {
        const struct candidate *c = &list->items[i];
        if (config->has_seen(config->context, &c->endpoint, list->proof, list->proof_len))
            candidate_list_observe_also(list, &c->endpoint.address);
    }
    list->proof_len = 0; /* nobody else's business */
}

/* The caller's name is vouched for only where this very session has it; other names of this zone
 * are lies. What it claims to be elsewhere, the called host checks there. */
static int check_claim(const struct registry *registry, const struct session *caller,
                       struct notify_call *call)
{
    const struct host *host = caller->host;
    call->is_vouched = false;
    call->is_static = false;
    if (call->caller[0] == '\0')
        return ERR_OK;
    if (host->name != NULL && strcmp(host->name, call->caller) == 0) {
        call->is_vouched = true;
        call->is_static = host->is_static;
        return ERR_OK;
    }
    return name_is_in_zone(call->caller, registry->config.zone) ? ERR_REFUSED : ERR_OK;
}

int registry_take_call(struct registry *registry, struct session *session, const void *data,
                       size_t len, uint64_t now_us)
{
    struct notify_call message;
    int error = notify_parse_call(data, len, &message);
    if (error != ERR_OK)
        return error;
    const uint64_t caller_number = message.number;
    if (!bucket_take(&session->calls, REGISTRY_CALLER_BURST, REGISTRY_CALLER_US, now_us))
        return refuse_call(registry, session, caller_number, "too many calls from this host");
    if (session->pending >= REGISTRY_PENDING_SESSION)
        return refuse_call(registry, session, caller_number, "too many calls without an answer");
    error = check_claim(registry, session, &message);
    if (error != ERR_OK)
        return error;
    if (registry->calls.count >=
        (message.is_static ? REGISTRY_PENDING_MAX : REGISTRY_PENDING_STRANGERS))
        return refuse_call(registry, session, caller_number, "this connector is busy");
    struct host *called = registry_find_host_name(registry, message.called);
    if (called == NULL || called->session == NULL || called->session == session) {
        registry->counters.absent++;
        return ERR_OK; /* silence: as a host that refuses */
    }
    if (!bucket_take(&called->called[message.is_static], REGISTRY_CALLED_BURST, REGISTRY_CALLED_US,
                     now_us))
        return refuse_call(registry, session, caller_number, "too many calls to that host");

    struct call *call;
    error = new_call(registry, session, caller_number, called->session, now_us, &call);
    if (error != ERR_OK)
        return error;
    call->wants_relay = message.wants_relay;
    message.number = call->number;
    memcpy(message.caller_key, session->key, sizeof message.caller_key);
    judge_candidates(registry, session, &message.candidates);
    if (message.is_vouched || message.caller[0] == '\0')
        message.has_voucher = false; /* ours is in the flags */
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_call(&w, &message);
    registry_emit_send(registry, called->session, NOTIFY_CALL, &w);
    crypto_wipe(buffer, sizeof buffer);
    registry->counters.calls++;
    return ERR_OK;
}

int registry_take_answer(struct registry *registry, struct session *session, const void *data,
                         size_t len)
{
    struct notify_answer answer;
    const int error = notify_parse_answer(data, len, &answer);
    if (error != ERR_OK)
        return error;
    struct call *call = find_call(registry, answer.number);
    if (call == NULL)
        return ERR_NOT_FOUND; /* late, twice, or made up */
    if (call->called != session->id)
        return ERR_REFUSED;
    const struct call answered = *call;
    answer.number = call->caller_number;
    registry_call_forget(registry, call);
    const struct session *caller = registry_find_session(registry, answered.caller);
    if (caller == NULL)
        return ERR_OK;
    memcpy(answer.called_key, session->key, sizeof answer.called_key);
    judge_candidates(registry, session, &answer.candidates);
    if (answer.result == ANSWER_ACCEPTED && answer.relay == ANSWER_RELAY_UNSAID &&
        !registry->config.has_relay)
        answer.relay = ANSWER_RELAY_OFF;
    send_answer(registry, caller, &answer);
    if (answered.wants_relay && answer.result == ANSWER_ACCEPTED &&
        answer.relay == ANSWER_RELAY_UNSAID)
        registry_emit_relay(registry, &answered);
    registry->counters.answers++;
    return ERR_OK;
}

int registry_take_lookup(struct registry *registry, struct session *session, const void *data,
                         size_t len, uint64_t now_us)
{
    struct notify_lookup lookup;
    int error = notify_parse_lookup(data, len, &lookup);
    if (error != ERR_OK)
        return error;
    if (!bucket_take(&session->lookups, REGISTRY_LOOKUP_BURST, REGISTRY_LOOKUP_US, now_us))
        return ERR_LIMIT;
    const struct registry_config *config = &registry->config;
    struct notify_key answer = {.number = lookup.number};
    if (name_is_in_zone(lookup.name, config->zone)) {
        struct registry_static row;
        error = config->find_static(config->context, lookup.name, &row);
        if (error != ERR_OK && error != ERR_NOT_FOUND)
            return error; /* "unknown" would be a lie */
        const struct host *host = registry_find_host_name(registry, lookup.name);
        answer.is_known = error == ERR_OK || host != NULL;
        answer.is_static = error == ERR_OK || (host != NULL && host->is_static);
        if (answer.is_known)
            memcpy(answer.key, error == ERR_OK ? row.key : host->key, sizeof answer.key);
    }
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_key(&w, &answer);
    registry_emit_send(registry, session, NOTIFY_KEY, &w);
    registry->counters.lookups++;
    return ERR_OK;
}

int registry_take_vouch(struct registry *registry, struct session *session, const void *data,
                        size_t len, uint64_t now_us)
{
    const struct registry_config *config = &registry->config;
    const struct host *host = session->host;
    struct notify_vouched vouched;
    int error = notify_parse_vouch(data, len);
    if (error != ERR_OK)
        return error;
    if (host->name == NULL || config->vouch == NULL)
        return ERR_STATE; /* a guest */
    if (!bucket_take(&session->logins, REGISTRY_LOGIN_BURST, REGISTRY_LOGIN_US, now_us))
        return ERR_LIMIT;
    /* The database has the last word, as for a look-up. */
    struct registry_static row;
    error = config->find_static(config->context, host->name, &row);
    if (error == ERR_OK && memcmp(row.key, host->key, sizeof row.key) != 0)
        return ERR_REFUSED;
    if (error == ERR_OK || error == ERR_NOT_FOUND)
        error = config->vouch(config->context, host->name, host->key, &vouched);
    if (error != ERR_OK)
        return error;
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_vouched(&w, &vouched);
    registry_emit_send(registry, session, NOTIFY_VOUCHER, &w);
    registry->counters.vouchers++;
    return ERR_OK;
}
