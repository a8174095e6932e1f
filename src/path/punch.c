/* One hole punching: what the peer's checks and answers mean, and when a pair is nominated. */
#include "path/punch.h"

#include "crypto/memory.h"
#include "path/punch_internal.h"
#include <stdlib.h>
#include <string.h>

int punch_new(const struct punch_config *config, uint64_t now_us, struct punch **ret_punch)
{
    if (!credentials_are_valid(&config->local) || config->subnet_count > PUNCH_SUBNET_MAX ||
        config->own.count > CANDIDATE_MAX)
        return ERR_INVALID;
    struct punch *punch = calloc(1, sizeof *punch);
    if (punch == NULL)
        return ERR_NOMEM;
    punch->config = *config;
    if (punch->config.timeout_us == 0)
        punch->config.timeout_us = PUNCH_TIMEOUT_US;
    punch->grace_us = punch->end_us = punch->linger_us = DEADLINE_NEVER;
    punch->burst.begin_us = punch->burst.next_us = DEADLINE_NEVER;
    int error = crypto_random(punch->tag, sizeof punch->tag);
    if (error == ERR_OK)
        error = crypto_random(&punch->tie_breaker, sizeof punch->tie_breaker);
    if (error != ERR_OK) {
        punch_free(punch);
        return error;
    }
    *ret_punch = punch;
    return ERR_OK;
}

void punch_free(struct punch *punch)
{
    if (punch == NULL)
        return;
    punch_burst_stop(punch);
    crypto_wipe(punch, sizeof *punch);
    free(punch);
}

void punch_emit(struct punch *punch, const struct punch_event *event)
{
    if (punch->event_count < sizeof punch->events / sizeof punch->events[0])
        punch->events[punch->event_count++] = *event;
}

bool punch_next_event(struct punch *punch, struct punch_event *ret_event)
{
    if (punch->event_count == 0)
        return false;
    *ret_event = punch->events[0];
    punch->event_count--;
    memmove(&punch->events[0], &punch->events[1], punch->event_count * sizeof punch->events[0]);
    return true;
}

/* Is an answer from there so likely that it is worth waiting for? */
static bool is_worth_waiting(const struct punch *punch, const struct pair *pair)
{
    return pair->is_heard || (pair->is_likely && (pair->endpoint.address.family == ADDRESS_IPV4 ||
                                                  punch->config.ipv6 == PUNCH_IPV6_PROVEN));
}

/* Requests from before the credentials were known stay only where they are from the same peer. */
static void drop_other_fragments(struct punch *punch)
{
    size_t kept = 0;
    for (size_t i = 0; i < punch->pair_count; i++) {
        const struct pair *pair = &punch->pairs[i];
        if (memcmp(pair->fragment, punch->remote.fragment, CREDENTIALS_FRAGMENT_LEN) == 0)
            punch->pairs[kept++] = *pair;
        else
            punch->counters.forged++;
    }
    punch->pair_count = kept;
}

/* May a private address of the peer's be near although it is in no subnet of ours? Where both hosts
 * show the world the same address there is one NAT around both. */
static bool may_share_nat(const struct punch *punch)
{
    bool is_peer_seen = false, are_we_seen = false;
    for (size_t i = 0; i < punch->pair_count; i++)
        is_peer_seen |= punch->pairs[i].type != CANDIDATE_HOST && !punch->pairs[i].is_peer;
    for (size_t i = 0; i < punch->config.own.count; i++) {
        const struct candidate *own = &punch->config.own.items[i];
        if (own->type == CANDIDATE_HOST)
            continue;
        are_we_seen = true;
        for (size_t j = 0; j < punch->pair_count; j++) {
            const struct pair *pair = &punch->pairs[j];
            if (pair->type != CANDIDATE_HOST &&
                address_is_equal(&pair->endpoint.address, &own->endpoint.address))
                return true;
        }
    }
    return !is_peer_seen || !are_we_seen;
}

/* The caller need not hold anything back: the called host has sent its openers before its ANSWER.
 * Nor need the called host once it has heard the caller. */
static void begin_checks(struct punch *punch, uint64_t now_us)
{
    bool is_heard = false;
    for (size_t i = 0; i < punch->pair_count; i++)
        is_heard |= punch->pairs[i].is_heard;
    if (!punch->config.is_controlling && !is_heard)
        punch->hold_us =
            now_us + (punch->config.hold_us > 0 ? punch->config.hold_us : PUNCH_HOLD_US);
    const bool are_all_likely = may_share_nat(punch);
    const uint64_t unlikely_us =
        now_us + deadline_min(PUNCH_UNLIKELY_US, punch->config.timeout_us / 4);
    for (size_t i = 0; i < punch->pair_count; i++) {
        struct pair *pair = &punch->pairs[i];
        pair->is_likely |= are_all_likely;
        pair->next_us = pair->is_likely || pair->is_heard ? now_us : unlikely_us;
        pair->is_urgent = pair->is_heard;
        if (pair->is_natted && !pair->is_heard &&
            !punch_is_attached(punch, &pair->endpoint.address) &&
            pair->endpoint.address.family == ADDRESS_IPV4) /* IPv6 has nothing to make one of */
            pair->opener_us = now_us;
    }
}

int punch_set_remote(struct punch *punch, const struct credentials *remote,
                     const struct candidate_list *candidates, uint64_t now_us)
{
    if (punch->has_remote || punch->is_over)
        return ERR_STATE;
    if (!credentials_are_valid(remote) || candidates->count > CANDIDATE_MAX)
        return ERR_INVALID;
    punch->remote = *remote;
    punch->has_remote = true;
    punch->end_us = now_us + punch->config.timeout_us;
    drop_other_fragments(punch);
    for (size_t i = 0; i < candidates->count; i++) {
        const struct candidate *c = &candidates->items[i];
        struct pair *pair = punch_pair_find(punch, &c->endpoint);
        if (!punch_pair_is_wanted(punch, c) || c->type == CANDIDATE_PEER)
            continue;
        if (pair == NULL) {
            punch_pair_add(punch, c);
        } else {
            /* Heard already as peer-reflexive: now its right name is known. */
            pair->type = (enum candidate_type)c->type;
            pair->priority = punch_pair_priority(punch, c);
            pair->is_peer = false;
        }
    }
    begin_checks(punch, now_us);
    punch_burst_plan(punch, candidates, now_us);
    punch_burst_expire(punch, now_us);
    return ERR_OK;
}

static void stop_checks(struct punch *punch, uint64_t now_us)
{
    punch->is_over = true;
    punch->grace_us = punch->end_us = DEADLINE_NEVER;
    punch->linger_us = now_us + PUNCH_LINGER_US;
    punch_burst_stop(punch);
    for (size_t i = 0; i < punch->pair_count; i++)
        punch->pairs[i].next_us = punch->pairs[i].opener_us = DEADLINE_NEVER;
}

/* The caller was heard: it has sent its openers, so checks can do no harm any more. */
static void end_hold(struct punch *punch)
{
    punch->hold_us = 0;
    for (size_t i = 0; i < punch->pair_count && !punch->config.is_controlling; i++)
        punch->pairs[i].opener_us = DEADLINE_NEVER;
}

static void nominate(struct punch *punch, struct pair *pair, uint64_t now_us)
{
    stop_checks(punch, now_us);
    punch->nominated = pair;
    if (punch->config.is_controlling && pair->sent < PUNCH_ADDRESS_CHECKS &&
        punch->counters.checks_sent < PUNCH_CHECKS_MAX) {
        pair->nominated_at = pair->sent;
        pair->rto_us = PUNCH_RTO_FIRST_US;
        pair->next_us = now_us;
        pair->is_urgent = true;
    }
    const struct punch_event event = {.type = PUNCH_NOMINATED,
                                      .endpoint = pair->endpoint,
                                      .candidate = pair->type,
                                      .round_trip_us = pair->round_trip_us};
    punch_emit(punch, &event);
}

static struct pair *best_valid(struct punch *punch)
{
    struct pair *best = NULL;
    for (size_t i = 0; i < punch->pair_count; i++) {
        struct pair *pair = &punch->pairs[i];
        if (pair->is_valid && (best == NULL || pair->priority > best->priority))
            best = pair;
    }
    return best;
}

/* Called when a pair has become valid. The best there can be is taken at once. Else a better one
 * gets a little time: one that leads to a public address or into a network of ours may be slow by
 * half a round trip; a private address of some other network, which is hardly the peer, gets the
 * least. */
static void consider(struct punch *punch, uint64_t now_us)
{
    struct pair *best = best_valid(punch);
    if (punch->is_over || best == NULL)
        return;
    if (!punch->config.is_controlling) {
        for (size_t i = 0; i < punch->pair_count && !punch->is_over; i++) {
            if (punch->pairs[i].is_chosen && punch->pairs[i].is_valid)
                nominate(punch, &punch->pairs[i], now_us);
        }
        return;
    }
    bool has_better = false, has_likely_better = false;
    for (size_t i = 0; i < punch->pair_count; i++) {
        const struct pair *pair = &punch->pairs[i];
        const bool is_better = !pair->is_valid && pair->priority > best->priority &&
                               pair->next_us != DEADLINE_NEVER &&
                               (pair->is_likely || pair->sent > 0);
        has_better |= is_better;
        has_likely_better |= is_better && is_worth_waiting(punch, pair);
    }
    if (!has_better) {
        nominate(punch, best, now_us);
        return;
    }
    uint64_t grace_us = PUNCH_GRACE_MIN_US;
    if (has_likely_better && best->round_trip_us / 2 > grace_us)
        grace_us = deadline_min(best->round_trip_us / 2, PUNCH_GRACE_MAX_US);
    punch->grace_us = deadline_min(punch->grace_us, now_us + grace_us);
}

/* The pair that an authentic request came over; NULL: from where nothing may be sent. */
static struct pair *pair_of_request(struct punch *punch, const struct stun_message *m,
                                    const struct endpoint *from)
{
    struct pair *pair = punch_pair_find(punch, from);
    if (pair != NULL)
        return pair;
    const struct candidate peer = {CANDIDATE_PEER, *from};
    if (punch->is_over || !punch_pair_is_wanted(punch, &peer))
        return NULL;
    if (m->use_candidate &&
        !punch->config.is_controlling) /* a check of the caller's was answered */
        pair = punch_pair_add_proven(punch, from);
    else
        pair = punch_pair_add(punch, &peer);
    if (pair != NULL)
        memcpy(pair->fragment, m->username + CREDENTIALS_FRAGMENT_LEN + 1, sizeof pair->fragment);
    return pair;
}

/* RFC 8445, 7.3.1.4: a check in return, now, unless one has just left. */
static void trigger(struct punch *punch, struct pair *pair, uint64_t now_us)
{
    if (!punch->has_remote || punch->is_over || pair->is_valid ||
        pair->sent >= PUNCH_ADDRESS_CHECKS || punch->counters.checks_sent >= PUNCH_CHECKS_MAX)
        return;
    const bool is_news = !pair->is_heard;
    if (!is_news && pair->sent > 0 &&
        now_us - pair->sent_us[(pair->sent - 1) % SENT_MAX] < PUNCH_RTO_FIRST_US / 2)
        return;
    pair->next_us = now_us;
    pair->rto_us = PUNCH_RTO_FIRST_US;
    pair->is_urgent = true;
}

static int take_request(struct punch *punch, const void *data, const struct stun_message *m,
                        const struct endpoint *from, uint64_t now_us)
{
    const char *remote = (const char *)m->username + CREDENTIALS_FRAGMENT_LEN + 1;
    if (check_verify(data, m, punch->config.local.password) != ERR_OK ||
        (punch->has_remote &&
         memcmp(remote, punch->remote.fragment, CREDENTIALS_FRAGMENT_LEN) != 0)) {
        punch->counters.forged++;
        return ERR_AUTH;
    }
    if (m->unknown_count > 0) {
        punch_queue_answer(punch, m, from, STUN_UNKNOWN_ATTRIBUTE);
        return ERR_OK;
    }
    if (!m->has_priority || m->has_ice_controlling == m->has_ice_controlled) {
        punch_queue_answer(punch, m, from, STUN_BAD_REQUEST);
        return ERR_OK;
    }
    if (m->has_ice_controlling == punch->config.is_controlling) {
        punch->counters.conflicts++; /* roles are fixed: who calls, controls */
        punch_queue_answer(punch, m, from, STUN_ROLE_CONFLICT);
        return ERR_OK;
    }
    struct pair *pair = pair_of_request(punch, m, from);
    const bool is_met = pair == NULL && punch_burst_is_target(punch, from);
    if (pair == NULL && !is_met)
        return ERR_LIMIT;
    punch->counters.requests++;
    punch_queue_answer(punch, m, from, 0);
    end_hold(punch);
    if (is_met)
        return ERR_OK; /* the burst checks it already */
    trigger(punch, pair, now_us);
    pair->is_heard = true;
    /* Nominated only once a check of ours was answered from there: a request that somebody caught
     * and sent again from elsewhere must not move the tunnel. */
    if (m->use_candidate && !punch->config.is_controlling) {
        pair->is_chosen = true;
        consider(punch, now_us);
    }
    return ERR_OK;
}

static unsigned number_of(const uint8_t *id)
{
    return (unsigned)id[PUNCH_TAG_LEN + 1] << 16 | (unsigned)id[PUNCH_TAG_LEN + 2] << 8 |
           id[PUNCH_TAG_LEN + 3];
}

/* Is it an answer from where its check went? */
static int verify_response(struct punch *punch, const void *data, const struct stun_message *m,
                           const struct endpoint *asked, const struct endpoint *from)
{
    if (check_verify(data, m, punch->remote.password) != ERR_OK ||
        !endpoint_is_equal(asked, from)) { /* RFC 8445, 7.2.5.2.1 */
        punch->counters.forged++;
        return ERR_AUTH;
    }
    punch->counters.responses++;
    if (m->class == STUN_ERROR) {
        punch->counters.conflicts += m->error_code == STUN_ROLE_CONFLICT;
        return ERR_AGAIN;
    }
    return m->unknown_count > 0 || !m->has_xor_mapped ? ERR_INVALID : ERR_OK;
}

static void become_valid(struct punch *punch, struct pair *pair, uint64_t sent_us, uint64_t now_us)
{
    if (pair->is_valid || punch->is_over)
        return;
    pair->is_valid = true;
    pair->round_trip_us = now_us > sent_us ? now_us - sent_us : 0;
    pair->next_us = DEADLINE_NEVER;
    punch_burst_stop(punch);
    consider(punch, now_us);
}

/* The burst has met: from now on that endpoint is a pair as any other. */
static int take_burst_response(struct punch *punch, const void *data, const struct stun_message *m,
                               const struct endpoint *from, uint64_t now_us)
{
    struct endpoint asked;
    uint64_t sent_us;
    if (!punch_burst_find(punch, number_of(m->transaction_id), &asked, &sent_us))
        return ERR_NOT_FOUND;
    const int error = verify_response(punch, data, m, &asked, from);
    if (error != ERR_OK)
        return error == ERR_AGAIN ? ERR_OK : error;
    struct pair *pair = punch_pair_find(punch, from);
    if (pair == NULL && !punch->is_over)
        pair = punch_pair_add_proven(punch, from);
    if (pair == NULL)
        return ERR_LIMIT;
    become_valid(punch, pair, sent_us, now_us);
    return ERR_OK;
}

static int take_response(struct punch *punch, const void *data, const struct stun_message *m,
                         const struct endpoint *from, uint64_t now_us)
{
    const size_t index = m->transaction_id[PUNCH_TAG_LEN];
    const unsigned number = number_of(m->transaction_id);
    if (index == BURST_INDEX)
        return take_burst_response(punch, data, m, from, now_us);
    if (index >= punch->pair_count || number >= punch->pairs[index].sent)
        return ERR_NOT_FOUND;
    struct pair *pair = &punch->pairs[index];
    const int error = verify_response(punch, data, m, &pair->endpoint, from);
    if (error != ERR_OK)
        return error == ERR_AGAIN ? ERR_OK : error;
    if (pair == punch->nominated && number >= pair->nominated_at) {
        pair->is_told = true;
        pair->next_us = DEADLINE_NEVER;
    }
    become_valid(punch, pair, pair->sent_us[number % SENT_MAX], now_us);
    return ERR_OK;
}

int punch_take(struct punch *punch, const void *data, const struct stun_message *m,
               const struct endpoint *from, uint64_t now_us)
{
    if (punch->is_ended || m->method != STUN_BINDING)
        return ERR_NOT_FOUND;
    if (m->class == STUN_REQUEST)
        return check_is_for(m, punch->config.local.fragment)
                   ? take_request(punch, data, m, from, now_us)
                   : ERR_NOT_FOUND;
    if ((m->class != STUN_SUCCESS && m->class != STUN_ERROR) ||
        memcmp(m->transaction_id, punch->tag, PUNCH_TAG_LEN) != 0)
        return ERR_NOT_FOUND;
    return take_response(punch, data, m, from, now_us);
}

int punch_receive(struct punch *punch, const void *data, size_t len, const struct endpoint *from,
                  uint64_t now_us)
{
    struct stun_message message;
    if (stun_parse(data, len, &message) != ERR_OK)
        return ERR_INVALID;
    return punch_take(punch, data, &message, from, now_us);
}

uint64_t punch_deadline(const struct punch *punch)
{
    if (punch->is_ended)
        return DEADLINE_NEVER;
    const uint64_t at_us = deadline_min(punch_next_check_us(punch), punch->grace_us);
    const uint64_t end_us = deadline_min(punch->end_us, punch->linger_us);
    return deadline_min(deadline_min(at_us, punch_burst_deadline(punch)), end_us);
}

static void fail(struct punch *punch, uint64_t now_us)
{
    struct punch_event event = {.type = PUNCH_FAILED, .failure = PUNCH_NO_CANDIDATES};
    if (punch->pair_count > 0)
        event.failure = PUNCH_NO_ANSWERS;
    for (size_t i = 0; i < punch->pair_count; i++) {
        const struct pair *pair = &punch->pairs[i];
        event.address_count += pair->sent > 0;
        if (pair->is_valid)
            event.failure = PUNCH_NOT_NOMINATED;
        else if (pair->is_heard && event.failure == PUNCH_NO_ANSWERS)
            event.failure = PUNCH_ONE_WAY;
    }
    stop_checks(punch, now_us);
    punch_emit(punch, &event);
}

void punch_expire(struct punch *punch, uint64_t now_us)
{
    if (punch->is_ended)
        return;
    if (punch->grace_us <= now_us)
        nominate(punch, best_valid(punch), now_us);
    if (punch->end_us <= now_us)
        fail(punch, now_us);
    punch_burst_expire(punch, now_us);
    if (punch->linger_us <= now_us) {
        const struct punch_event event = {.type = PUNCH_ENDED};
        punch->is_ended = true;
        punch_emit(punch, &event);
    }
}

void punch_confirm(struct punch *punch, const struct endpoint *endpoint, uint64_t now_us)
{
    if (punch->is_ended)
        return;
    if (punch->nominated == NULL)
        punch->nominated = punch_pair_find(punch, endpoint);
    stop_checks(punch, now_us);
}

bool punch_is_nominated(const struct punch *punch)
{
    return punch->nominated != NULL;
}

const struct punch_counters *punch_counters(const struct punch *punch)
{
    return &punch->counters;
}

const char *punch_fragment(const struct punch *punch)
{
    return punch->config.local.fragment;
}

const uint8_t *punch_tag(const struct punch *punch)
{
    return punch->tag;
}

const char *punch_failure_text(enum punch_failure failure)
{
    switch (failure) {
    case PUNCH_NO_CANDIDATES:
        return "the other host gave no address that may be probed";
    case PUNCH_NO_ANSWERS:
        return "nothing came back from any address of the other host";
    case PUNCH_ONE_WAY:
        return "the other host's probes arrive, but ours do not reach it";
    case PUNCH_NOT_NOMINATED:
        return "probes were answered, but the caller chose no path";
    }
    return "unknown";
}
