/* Bursts: what a punch sends where one side's NAT gives every destination another port, so that no
 * candidate of it can be right. Who sweeps ports and who fans out sockets, when, and what the
 * answers belong to. See punch.h for the bounds. */
#include "path/punch_internal.h"

#include "crypto/memory.h"
#include <string.h>

#define PORT_MIN   1024u
#define PORT_COUNT (65536u - PORT_MIN)
/* Coprime to PORT_COUNT (2^10 * 3^2 * 7): every port comes once. */
#define PORT_FACTOR 40503u

/* ---- the budget of all bursts of a host ---- */

static uint64_t cost_us(unsigned packets)
{
    return packets * PUNCH_BUDGET_REFILL_US;
}

static bool budget_take(struct punch_budget *budget, unsigned packets, bool is_birthday,
                        uint64_t now_us)
{
    const uint64_t from_us = budget->full_us > now_us ? budget->full_us : now_us;
    if (from_us + cost_us(packets) - now_us > cost_us(PUNCH_BUDGET_PACKETS) ||
        (is_birthday && budget->birthdays >= PUNCH_BUDGET_BIRTHDAYS))
        return false;
    budget->full_us = from_us + cost_us(packets);
    budget->birthdays += is_birthday;
    return true;
}

/* What was not sent after all. */
static void budget_return(struct punch_budget *budget, unsigned packets, bool is_birthday)
{
    const uint64_t back_us = cost_us(packets);
    budget->full_us = budget->full_us > back_us ? budget->full_us - back_us : 0;
    budget->birthdays -= is_birthday;
}

/* ---- planning ---- */

/* The one address that bursts may go to: where the connector itself sees the peer. */
static const struct endpoint *find_observed(const struct punch *punch,
                                            const struct candidate_list *candidates)
{
    const struct endpoint *found = NULL;
    for (size_t i = 0; i < candidates->count; i++) {
        const struct candidate *c = &candidates->items[i];
        const struct address origin = punch_origin(punch, &c->endpoint.address);
        if (!c->is_observed || origin.family != ADDRESS_IPV4 ||
            !candidate_is_acceptable(c, &punch->config.pool))
            continue;
        if (found == NULL || c->type == CANDIDATE_REFLEXIVE)
            found = &c->endpoint;
    }
    return found;
}

static uint16_t wrap(int port)
{
    while (port > 65535)
        port -= (int)PORT_COUNT;
    while (port < (int)PORT_MIN)
        port += (int)PORT_COUNT;
    return (uint16_t)port;
}

/* The number-th that its NAT will give out. */
static uint16_t predicted_port(const struct port_pattern *pattern, unsigned number)
{
    return wrap(pattern->last + (int)number * pattern->step);
}

static uint16_t sweep_port(const struct burst *burst, unsigned number)
{
    if (burst->is_predicted)
        return predicted_port(&burst->pattern, 1 + number % PUNCH_PREDICT_PORTS);
    return (uint16_t)(PORT_MIN + (burst->offset + number * PORT_FACTOR) % PORT_COUNT);
}

static void plan_sweep(struct punch *punch, const struct port_pattern *pattern, uint64_t at_us)
{
    struct burst *burst = &punch->burst;
    burst->role = BURST_SWEEP;
    burst->pattern = *pattern;
    burst->is_predicted = pattern->kind == PORT_PATTERN_SEQUENTIAL;
    burst->count =
        burst->is_predicted ? PUNCH_PREDICT_ROUNDS * PUNCH_PREDICT_PORTS : PUNCH_BIRTHDAY_CHECKS;
    burst->pace_us = PUNCH_SWEEP_PACE_US;
    burst->begin_us = at_us;
}

static void plan_fan(struct punch *punch, bool is_predicted, unsigned sockets, uint64_t at_us)
{
    struct burst *burst = &punch->burst;
    burst->role = BURST_FAN;
    burst->is_predicted = is_predicted;
    burst->sockets = sockets;
    burst->count = 2 * burst->sockets;
    burst->pace_us = PUNCH_FAN_PACE_US;
    burst->begin_us = at_us;
}

/* All that leaves a NAT which gives out ports in order comes from new sockets: the tunnel port's
 * may have an older port towards the peer, of a call before, that no prediction knows.
 *
 * Two NATs that both give out ports in order: of the caller many sockets go to one port that the
 * called host's NAT will come by, of the called host one socket goes to all that the caller's will.
 * Some pair of the two agrees, whatever else the NATs have given out meanwhile. Where a NAT looks
 * at addresses alone, all that the sweep sends leaves from one port, and two sweeps do. */
static void plan_both(struct punch *punch, const struct port_pattern *own,
                      const struct port_pattern *peer, uint64_t now_us)
{
    if (punch->config.is_controlling && !own->is_by_address && !peer->is_by_address) {
        plan_fan(punch, true, PUNCH_PREDICT_PORTS, now_us);
        punch->burst.target.port = predicted_port(peer, PUNCH_PREDICT_PORTS / 2);
    } else {
        plan_sweep(punch, peer, now_us);
        punch->burst.sockets = 1;
    }
}

void punch_burst_plan(struct punch *punch, const struct candidate_list *candidates, uint64_t now_us)
{
    const struct port_pattern *own = &punch->config.own.pattern, *peer = &candidates->pattern;
    const struct endpoint *observed = find_observed(punch, candidates);
    const uint64_t late_us = now_us + PUNCH_BIRTHDAY_AFTER_US;
    const bool is_random = own->kind == PORT_PATTERN_RANDOM || peer->kind == PORT_PATTERN_RANDOM;
    punch->burst.begin_us = punch->burst.next_us = DEADLINE_NEVER;
    if (punch->config.budget == NULL || observed == NULL || !port_pattern_is_valid(peer) ||
        (is_random && !punch->config.may_try_birthday))
        return;
    punch->burst.target = *observed;
    if (own->kind == PORT_PATTERN_SEQUENTIAL && peer->kind == PORT_PATTERN_SEQUENTIAL)
        plan_both(punch, own, peer, now_us);
    else if (own->kind == PORT_PATTERN_NONE && peer->kind != PORT_PATTERN_NONE)
        plan_sweep(punch, peer, is_random ? late_us : now_us);
    else if (own->kind == PORT_PATTERN_RANDOM && peer->kind == PORT_PATTERN_NONE)
        plan_fan(punch, false, PUNCH_BIRTHDAY_SOCKETS, late_us);
    else if (own->kind == PORT_PATTERN_SEQUENTIAL && peer->kind == PORT_PATTERN_NONE)
        plan_fan(punch, true, PUNCH_PREDICT_SOCKETS, now_us);
}

/* ---- running ---- */

static bool is_birthday(const struct burst *burst)
{
    return !burst->is_predicted;
}

void punch_burst_stop(struct punch *punch)
{
    struct burst *burst = &punch->burst;
    if (burst->is_paid)
        budget_return(punch->config.budget, burst->count - burst->sent, is_birthday(burst));
    burst->is_paid = false;
    burst->begin_us = burst->next_us = DEADLINE_NEVER;
}

void punch_burst_expire(struct punch *punch, uint64_t now_us)
{
    struct burst *burst = &punch->burst;
    if (burst->begin_us > now_us)
        return;
    burst->begin_us = DEADLINE_NEVER;
    if (!budget_take(punch->config.budget, burst->count, is_birthday(burst), now_us) ||
        crypto_random(&burst->offset, sizeof burst->offset) != ERR_OK)
        return;
    burst->offset %= PORT_COUNT;
    burst->is_paid = true;
    if (burst->sockets == 0) {
        burst->next_us = burst->began_us = now_us;
        return;
    }
    const struct punch_event event = {.type = PUNCH_WANTS_SOCKETS, .socket_count = burst->sockets};
    punch_emit(punch, &event);
}

int punch_give_sockets(struct punch *punch, uint16_t first, unsigned count, uint64_t now_us)
{
    struct burst *burst = &punch->burst;
    if (punch->is_over || burst->sockets == 0 || !burst->is_paid || burst->first_socket != 0)
        return ERR_STATE;
    if (first == 0 || count == 0 || count > burst->sockets || first + count > 65536u)
        return ERR_INVALID;
    burst->first_socket = first;
    if (burst->role == BURST_FAN) {
        budget_return(punch->config.budget, 2 * (burst->sockets - count), false);
        burst->sockets = count;
        burst->count = 2 * count;
    }
    burst->next_us = burst->began_us = now_us;
    return ERR_OK;
}

uint64_t punch_burst_deadline(const struct punch *punch)
{
    return deadline_min(punch->burst.begin_us, punch->burst.next_us);
}

uint64_t punch_burst_next_us(const struct punch *punch)
{
    return punch->burst.next_us;
}

static struct endpoint endpoint_of(const struct burst *burst, unsigned number)
{
    struct endpoint endpoint = burst->target;
    if (burst->role == BURST_FAN)
        endpoint.socket = (uint16_t)(burst->first_socket + number % burst->sockets);
    else
        endpoint.port = sweep_port(burst, number);
    if (burst->role == BURST_SWEEP)
        endpoint.socket = burst->first_socket;
    return endpoint;
}

bool punch_burst_find(const struct punch *punch, unsigned number, struct endpoint *ret_endpoint,
                      uint64_t *ret_sent_us)
{
    const struct burst *burst = &punch->burst;
    if (burst->role == BURST_NONE || number >= burst->sent)
        return false;
    *ret_endpoint = endpoint_of(burst, number);
    *ret_sent_us = burst->began_us + number * burst->pace_us;
    return true;
}

bool punch_burst_is_target(const struct punch *punch, const struct endpoint *endpoint)
{
    const struct burst *burst = &punch->burst;
    const unsigned count = burst->sent < burst->count ? burst->sent : burst->count;
    for (unsigned i = 0; burst->role != BURST_NONE && i < count; i++) {
        const struct endpoint target = endpoint_of(burst, i);
        if (endpoint_is_equal(&target, endpoint))
            return true;
    }
    return false;
}

/* A fan's first round only opens our own NAT, so that nothing gets stuck in the other one before
 * that lets it in; where what sends it is lost on its way, the second round has to do. */
static bool is_opener(const struct burst *burst, unsigned number)
{
    return burst->role == BURST_FAN && number < burst->sockets;
}

static void schedule(struct punch *punch, uint64_t now_us)
{
    struct burst *burst = &punch->burst;
    burst->sent++;
    burst->next_us = burst->began_us + burst->sent * burst->pace_us;
    if (burst->sent >= burst->count)
        burst->next_us = DEADLINE_NEVER;
    if (burst->role != BURST_FAN || burst->sent != burst->sockets)
        return;
    /* The checks that follow the openers wait, so that none gets stuck in a NAT that has not been
     * opened for it yet: the called host's as its other ones, in a birthday attempt those of both.
     * What the other side sweeps comes in meanwhile. */
    const uint64_t at_us = burst->is_predicted ? punch->hold_us : now_us + PUNCH_FAN_GAP_US;
    if (at_us > burst->next_us) {
        burst->next_us = at_us;
        burst->began_us = at_us - burst->sent * burst->pace_us;
    }
}

int punch_burst_transmit(struct punch *punch, struct writer *w, uint64_t now_us,
                         struct punch_target *ret_target)
{
    struct burst *burst = &punch->burst;
    if (burst->next_us > now_us)
        return ERR_AGAIN;
    const unsigned number = burst->sent;
    *ret_target = (struct punch_target){.to = endpoint_of(burst, number),
                                        .is_opener = is_opener(burst, number)};
    /* Late ones don't catch up: a host that was asleep must not send all at once. */
    if (now_us - burst->next_us > burst->pace_us)
        burst->began_us = now_us - number * burst->pace_us;
    schedule(punch, now_us);
    punch->counters.burst_sent++;
    if (ret_target->is_opener) {
        writer_u8(w, KEEPALIVE_BYTE);
        return w->error;
    }
    struct check_request request = {.is_controlling = punch->config.is_controlling,
                                    .tie_breaker = punch->tie_breaker,
                                    .priority = candidate_priority(CANDIDATE_PEER, UINT16_MAX)};
    memcpy(request.id, punch->tag, PUNCH_TAG_LEN);
    request.id[PUNCH_TAG_LEN] = BURST_INDEX;
    request.id[PUNCH_TAG_LEN + 2] = (uint8_t)(number >> 8);
    request.id[PUNCH_TAG_LEN + 3] = (uint8_t)number;
    return check_build_request(w, &request, &punch->remote, punch->config.local.fragment);
}
