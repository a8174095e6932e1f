/* Punching and keys: what the path and IKE engines report of a call, and what follows. */
#include "host/call_carry.h"
#include "host/call_internal.h"

#include "host/datapath.h"
#include "host/met.h"
#include "host/relay.h"
#include "host/session.h"
#include "host/wake.h"
#include "io/clock.h"
#include "io/route.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Later than MOBILITY_GRACE_US: what is to be done about a peer that does not answer is decided
 * there. */
#define DEAD_US (35 * SECOND_US)

#define EARLY_US (100 * MS_US) /* for what the data path has handed over last */
#define ANSWER_US                                                                                  \
    (20 * MS_US) /* at least, for the answer to keys begun early, after the nomination */

static bool is_natted(const struct host *host, const struct candidate *candidate)
{
    const struct address origin = nat64_origin(host, &candidate->endpoint.address);
    return origin.family == ADDRESS_IPV4 && !address_is_private(&origin) &&
           candidate->type != CANDIDATE_HOST;
}

/* Will the peer not know where we come from over IPv4, as we do not either, but for a moment? */
static bool is_unseen(const struct host *host, const struct candidate_list *own)
{
    for (size_t i = 0; i < own->count; i++) {
        const struct address *address = &own->items[i].endpoint.address;
        if (address->family == ADDRESS_IPV4 && !address_is_private(address))
            return false;
    }
    return sessions_expect_ipv4(host);
}

/* What we send to its NAT before the peer has sent anything to us gets stuck there (path/punch.h),
 * and spoils what comes later. */
static void leave_natted(const struct host *host, struct candidate_list *list)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (!is_natted(host, &list->items[i]))
            list->items[count++] = list->items[i];
    }
    list->count = count;
}

int call_punch_open(struct call *call, const struct candidate_list *own, uint64_t now_us)
{
    struct punch_config config = {
        .is_controlling = !call->is_incoming,
        .may_try_birthday = call->host->config.has_birthday,
        .local = call->credentials,
        .own = *own,
        .pool = call->host->config.pool,
        .timeout_us = call->host->config.attempt_us,
        .nat64 = call->host->nat64.prefixes,
        .ipv6 = sessions_ipv6(call->host),
    };
    call->is_unseen = is_unseen(call->host, own);
    /* There is a relayed tunnel: a long way to the connector must not spoil it every time. */
    if (call->peer->tunnel != NULL)
        config.hold_us = deadline_min(PUNCH_HOLD_LONG_US, config.timeout_us / 4);
    for (size_t i = 0; i < call->host->local_count && i < PUNCH_SUBNET_MAX; i++)
        config.subnets[config.subnet_count++] = call->host->subnets[i];
    return punch_table_open(call->host->punches, &config, call, now_us, &call->punch);
}

void call_reach(const struct call *call, const struct candidate_list *candidates,
                struct candidate_list *ret_reached)
{
    *ret_reached = *candidates;
    if (call->host->config.relay == RELAY_MODE_ALWAYS)
        ret_reached->count = 0;
    nat64_reach_candidates(call->host, ret_reached);
    if (call->is_unseen)
        leave_natted(call->host, ret_reached);
}

int call_punch_at(struct call *call, const struct credentials *credentials,
                  const struct candidate_list *candidates, uint64_t now_us)
{
    struct candidate_list reached;
    call_reach(call, candidates, &reached);
    return punch_table_set_remote(call->host->punches, call->punch, credentials, &reached, now_us);
}

void call_fill_config(const struct call *call, struct ike_config *ret_config)
{
    const struct host *host = call->host;
    ike_config_init(ret_config, host->identity);
    strcpy(ret_config->id, host->name);
    ret_config->has_expected_key =
        call->has_key; /* else nobody is let in before ANSWER has said it */
    ret_config->expected_key = call->key;
    strcpy(ret_config->expected_id, call->peer->name);
    ret_config->is_initial_contact = call->peer->sa == NULL;
    for (size_t i = 0; i < host->config.suite_count; i++)
        ret_config->suites[i] = host->config.suites[i];
    ret_config->esp_modes[0] = CHILD_BEET;
    ret_config->esp_mode_count = 1;
    ret_config->has_esp_commands = true;
    /* Analysers that the keys are for do not know extended sequence numbers. */
    ret_config->esn = host->export != NULL ? IKE_ESN_POLICY_NEVER : IKE_ESN_POLICY_PREFER;
    ret_config->addresses.own_ipv4 = host->own;
    ret_config->addresses.other_ipv4 = call->peer->address;
    ret_config->request_timeout_us = DEAD_US;
    ret_config->rekey_ike_us = host->config.rekey_us;
    ret_config->rekey_child_us = host->config.rekey_us;
}

int call_make_profile(struct call *call)
{
    struct ike_config config;
    call_fill_config(call, &config);
    return ike_profile_new(&config, &call->profile);
}

bool call_is_neighbour(const struct host *host, const struct address *address)
{
    for (size_t i = 0; i < host->local_count; i++) {
        if (prefix_contains(&host->subnets[i], address) &&
            !address_is_equal(address, &host->locals[i]))
            return true;
    }
    return false;
}

/* A neighbour's address, else one that others see, and not over IPv6 that does not work. */
const struct endpoint *call_guess_path(const struct call *call,
                                       const struct candidate_list *candidates)
{
    const bool is_ipv6_broken = sessions_ipv6(call->host) == PUNCH_IPV6_BROKEN;
    const struct endpoint *guess = NULL;
    if (call->host->config.relay == RELAY_MODE_ALWAYS)
        return NULL;
    bool is_guess_doubtful = false;
    for (size_t i = 0; i < candidates->count; i++) {
        const struct candidate *candidate = &candidates->items[i];
        if (!candidate_is_acceptable(candidate, &call->host->config.pool))
            continue;
        if (call_is_neighbour(call->host, &candidate->endpoint.address))
            return &candidate->endpoint;
        const bool is_doubtful =
            candidate->endpoint.address.family == ADDRESS_IPV6 && is_ipv6_broken;
        if ((guess == NULL || (is_guess_doubtful && !is_doubtful)) &&
            (candidate->type != CANDIDATE_HOST ||
             !address_is_private(&candidate->endpoint.address))) {
            guess = &candidate->endpoint;
            is_guess_doubtful = is_doubtful;
        }
    }
    return guess;
}

void call_begin_early(struct call *call, const struct endpoint *likeliest, uint64_t now_us)
{
    if (likeliest == NULL || call->is_upgrade)
        return; /* the nomination begins it */
    if ((call->profile == NULL && call_make_profile(call) != ERR_OK) ||
        ike_sa_initiate(call->host->ike, call->profile, likeliest, now_us, &call->sa) != ERR_OK)
        return;
    peer_take_sa(call->peer, call->sa);
    datapath_expect(call->host->datapath, now_us + call->host->config.attempt_us + EARLY_US);
    host_pump_ike(call->host, call->sa, now_us);
}

/* Keys over this path. */
void call_begin_keys(struct call *call, const struct endpoint *path, uint64_t now_us)
{
    struct host *host = call->host;
    ike_sa_free(call->sa);
    call->sa = NULL;
    call_carry_clear(call);
    int error = call->profile == NULL ? call_make_profile(call) : ERR_OK;
    if (error == ERR_OK)
        error = ike_sa_initiate(host->ike, call->profile, path, now_us, &call->sa);
    if (error != ERR_OK) {
        call_attempt_failed(call, error_text(error), now_us);
        return;
    }
    peer_take_sa(call->peer, call->sa);
    datapath_expect(host->datapath, now_us + host->config.attempt_us + EARLY_US);
    host_pump_ike(host, call->sa, now_us);
}

static void on_keys_task(struct task *task, uint64_t now_us)
{
    struct call *call = CONTAINER_OF(task, struct call, keys_task);
    if (call->state != CALL_KEYING || call->sa == NULL)
        return;
    if (call_carry_try_again(call)) {
        task_set(&call->host->tasks, task, now_us + call->keys_wait_us);
        return;
    }
    if (call->is_carried || !ike_sa_is_answered(call->sa)) {
        const struct endpoint path = call->nominated;
        call_begin_keys(call, &path, now_us);
    }
}

static void wait_for_keys(struct call *call, uint64_t wait_us, uint64_t now_us)
{
    call->keys_task.run = on_keys_task;
    task_set(&call->host->tasks, &call->keys_task, now_us + wait_us);
}

void call_carry_wait(struct call *call, const struct endpoint *path, uint64_t until_us)
{
    call->nominated = *path;
    call->was_repeated = true;
    call->keys_task.run = on_keys_task;
    task_set(&call->host->tasks, &call->keys_task, until_us);
}

void call_move(struct call *call, uint64_t now_us)
{
    const struct endpoint path = call->nominated;
    struct host *host = call->host;
    struct ike_sa *sa = call->peer->sa;
    task_set(&host->tasks, &call->task, now_us + host->config.attempt_us);
    if (sa != NULL && ike_sa_move(sa, &path, now_us) == ERR_OK)
        host_pump_ike(host, sa, now_us);
    else
        call_begin_keys(call, &path, now_us);
}

/* The caller has chosen a path: keys. Those begun early go on where they went the same way: the
 * answer comes right behind that of the check, unless the hole was not open yet. */
static void begin_keys(struct call *call, const struct punch_event *event, uint64_t now_us)
{
    const uint64_t wait_us =
        event->round_trip_us / 4 > ANSWER_US ? event->round_trip_us / 4 : ANSWER_US;
    const bool was_there = call->has_direct && endpoint_is_equal(&call->direct, &event->endpoint);
    if (call_carry_on_path(call, &event->endpoint)) {
        call->keys_wait_us = event->round_trip_us + wait_us;
        wait_for_keys(call, was_there ? wait_us : call->keys_wait_us, now_us);
        return;
    }
    if (call->sa == NULL || !endpoint_is_equal(ike_sa_remote(call->sa), &event->endpoint))
        call_begin_keys(call, &event->endpoint, now_us);
    else
        wait_for_keys(call, wait_us, now_us);
}

static void on_nominated(struct call *call, const struct punch_event *event, uint64_t now_us)
{
    char text[ENDPOINT_TEXT_CAP];
    char detail[ENDPOINT_TEXT_CAP + 64];
    if (call->state != CALL_PUNCHING)
        return;
    snprintf(
        detail, sizeof(detail), "%s %s, round trip %.1f ms", candidate_type_text(event->candidate),
        endpoint_format(&event->endpoint, text, sizeof(text)), (double)event->round_trip_us / 1000);
    call_step(call, CALL_KEYING, CALL_STEP_PUNCH, detail, now_us);
    call->nominated = event->endpoint;
    /* The other side may move first, and its data overtake the end of that. */
    datapath_expect(call->host->datapath, now_us + call->host->config.attempt_us + EARLY_US);
    if (wake_on_way(call, &event->endpoint, now_us))
        return;
    if (!call->is_incoming && call->is_upgrade)
        call_move(call, now_us);
    else if (!call->is_incoming)
        begin_keys(call, event, now_us);
}

static void on_failed(struct call *call, const struct punch_event *event, uint64_t now_us)
{
    char why[160];
    if (call->state != CALL_PUNCHING)
        return;
    call_relay_explain(call, event, why, sizeof(why));
    if (!call_try_relay(call, why, now_us))
        call_attempt_failed(call, why, now_us);
}

/* It has met on a socket that cannot be kept. */
static void on_no_room(struct call *call, uint64_t now_us)
{
    static const char why[] = "too many tunnels have a socket of their own";
    if (call->state == CALL_PUNCHING && !call_try_relay(call, why, now_us))
        call_attempt_failed(call, why, now_us);
}

static void on_port(struct nat_wait *wait, uint64_t now_us)
{
    struct call *call = CONTAINER_OF(wait, struct call, nat_wait);
    struct session *session = call->session;
    call->after_wait(call, now_us);
    session_pump(session, now_us);
}

bool call_waits_for_port(struct call *call, void (*then)(struct call *call, uint64_t now_us),
                         uint64_t now_us)
{
    call->nat_wait.run = on_port;
    call->after_wait = then;
    return nat_wait(call->host, &call->nat_wait, call_wants_all(call), now_us);
}

static void give_sockets(struct call *call, unsigned count, uint64_t now_us)
{
    uint16_t first = 0;
    count = sockets_open(call->host, call, count, &first);
    if (count > 0 &&
        punch_table_give_sockets(call->host->punches, call->punch, first, count, now_us) != ERR_OK)
        sockets_release(call->host, call, 0);
}

static void on_punch_task(struct task *task, uint64_t now_us)
{
    struct host *host = CONTAINER_OF(task, struct host, punch_task);
    punch_table_expire(host->punches, now_us);
    call_pump_punches(host, now_us);
}

static void send_punches(struct host *host, uint64_t now_us)
{
    uint8_t buffer[PUNCH_DATAGRAM_CAP];
    struct writer w;
    struct punch_target target;
    for (;;) {
        writer_init(&w, buffer, sizeof(buffer));
        if (punch_table_transmit(host->punches, &w, now_us, &target) != ERR_OK)
            return;
        if (target.is_opener)
            host_send_opener(host, &target.to, buffer, w.len);
        else
            host_send(host, &target.to, buffer, w.len);
    }
}

void call_pump_punches(struct host *host, uint64_t now_us)
{
    struct punch *punch;
    struct punch_event event;
    void *context;
    send_punches(host, now_us);
    while (punch_table_next_event(host->punches, &punch, &context, &event)) {
        struct call *call = context;
        if (call->punch != punch)
            continue;
        switch (event.type) {
        case PUNCH_NOMINATED:
            if (sockets_release(host, call, event.endpoint.socket))
                on_nominated(call, &event, now_us);
            else
                on_no_room(call, now_us);
            break;
        case PUNCH_FAILED:
            sockets_release(host, call, 0);
            on_failed(call, &event, now_us);
            break;
        case PUNCH_WANTS_SOCKETS:
            give_sockets(call, event.socket_count, now_us);
            break;
        case PUNCH_ENDED:
            punch_table_close(host->punches, punch);
            call->punch = NULL;
            break;
        }
        send_punches(host, now_us);
    }
    host->punch_task.run = on_punch_task;
    task_set(&host->tasks, &host->punch_task, punch_table_deadline(host->punches));
}

int call_on_stun(struct host *host, const uint8_t *data, size_t len, const struct endpoint *from,
                 uint64_t now_us)
{
    int error = punch_table_receive(host->punches, data, len, from, now_us);
    if (error == ERR_OK)
        call_pump_punches(host, now_us);
    return error;
}

struct ike_profile *call_responder_profile(struct host *host, const struct endpoint *from,
                                           struct peer **ret_peer)
{
    void *context = NULL;
    struct call *call = call_find_relayed(host, from);
    if (call == NULL && punch_table_find_validated(host->punches, from, &context) != NULL)
        call = context;
    if (call == NULL || !call->is_incoming || call->profile == NULL)
        return NULL;
    *ret_peer = call->peer;
    return call->profile;
}

bool call_is_for(const struct call *call, const struct ike_sa *sa)
{
    return call != NULL && call->sa == sa;
}

/* The SA is not to be: nothing that it still reports concerns the peer. */
static void reject_sa(struct call *call, struct ike_sa *sa, const char *why, const char *hint,
                      uint64_t now_us)
{
    log_error("%s: %s", call->peer->name, why);
    ike_sa_set_user(sa, NULL);
    ike_sa_close(sa, now_us);
    if (call->sa == sa)
        call->sa = NULL; /* whoever drives it frees it */
    call_fail(call, why, hint, now_us);
}

void call_on_early(struct host *host, const uint8_t *data, size_t len, const struct endpoint *from)
{
    for (struct map_node *node = NULL; (node = map_walk(&host->calls_by_number, node)) != NULL;) {
        struct call *call = CONTAINER_OF(node, struct call, by_number);
        const bool is_waking =
            call->wakes && call->peer->rest != NULL && call_carry_is_way(call, from);
        if (is_waking) {
            stage_add(&call->early, data, len);
            return;
        }
        if (!call->is_incoming && call->sa != NULL &&
            (endpoint_is_equal(ike_sa_remote(call->sa), from) || call_carry_is_way(call, from))) {
            stage_add(&call->early, data, len);
            return;
        }
        /* It moves, and the other side has done so already. */
        if (call->is_upgrade && call->peer->tunnel != NULL && call_carry_is_way(call, from)) {
            if (!datapath_receive(host->datapath, &call->peer->path, data, len))
                drop_count(tunnel_table_drops(host->tunnels), DROP_CONGESTION);
            return;
        }
    }
    /* Its keys may have come while it was on its way here. */
    if (tunnel_find_by_endpoint(host->tunnels, from) == NULL ||
        !datapath_receive(host->datapath, from, data, len))
        drop_count(tunnel_table_drops(host->tunnels), DROP_NO_TUNNEL);
}

void call_flush_early(struct call *call, const struct endpoint *from)
{
    struct staged *staged;
    while ((staged = stage_take(&call->early)) != NULL) {
        if (!datapath_receive(call->host->datapath, from, staged->data, staged->len))
            drop_count(tunnel_table_drops(call->host->tunnels), DROP_CONGESTION);
        free(staged);
    }
}

void call_on_established(struct peer *peer, struct ike_sa *sa, uint64_t now_us)
{
    struct host *host = peer->host;
    struct call *call = peer->call;
    struct trust_verdict verdict;
    bool is_new = false;
    if (call == NULL || (!met_take(call, sa, now_us) && !call->is_incoming && call->sa != sa))
        return;
    /* Without the key of the call there is none that could be right. */
    if (!call->has_key || !public_key_is_equal(ike_sa_peer_key(sa), &call->key)) {
        reject_sa(call, sa, "another host than the one of the call has negotiated keys", NULL,
                  now_us);
        return;
    }
    if (trust_pin(host->trust, TRUST_HOST, peer->name, &call->key, TRUST_LEVEL_CONNECTOR,
                  (enum trust_level)host->config.accept, (uint64_t)clock_wall_seconds(), &verdict,
                  &is_new) != ERR_OK) {
        reject_sa(call, sa, verdict.message, NULL, now_us);
        return;
    }
    if (is_new && state_save_pin(host, TRUST_HOST, peer->name) != ERR_OK)
        log_warn("%s: its key cannot be written down, so the next first contact trusts anew",
                 peer->name);
    if (call->state == CALL_PUNCHING) { /* overtook the nomination */
        char text[RELAY_TEXT_CAP];
        call_step(call, CALL_KEYING, CALL_STEP_PUNCH, relay_format(host, ike_sa_remote(sa), text),
                  now_us);
    }
    call->sa = sa;
    call->was_half = call->half == sa;
    if (call->half == sa)
        call->half = NULL;
    peer->key = call->key;
    peer->has_key = true;
    peer->is_caller = call->is_incoming;
    met_on_established(call, sa, now_us);
}

void call_on_sa_closed(struct peer *peer, struct ike_sa *sa, const char *why, uint64_t now_us)
{
    struct call *call = peer->call;
    if (call != NULL && call->half == sa)
        call->half = NULL; /* the caller may begin another one */
    if (call == NULL || call->sa != sa)
        return;
    call->sa = NULL; /* the owner frees it */
    call_attempt_failed(call, why, now_us);
}
