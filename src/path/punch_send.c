/* What a punch sends: openers, which check is next, how fast, and the answers to the peer's checks.
 */
#include "path/punch_internal.h"
#include <string.h>

/* Transaction ids are the punch's random tag, the pair's index and the number of the check: a
 * response tells which check it answers. They need not be secret, as responses carry an HMAC. */
static void make_id(const struct punch *punch, const struct pair *pair,
                    uint8_t ret_id[STUN_TRANSACTION_LEN])
{
    memcpy(ret_id, punch->tag, PUNCH_TAG_LEN);
    ret_id[PUNCH_TAG_LEN] = (uint8_t)(pair - punch->pairs);
    ret_id[PUNCH_TAG_LEN + 1] = 0;
    ret_id[PUNCH_TAG_LEN + 2] = (uint8_t)(pair->sent >> 8);
    ret_id[PUNCH_TAG_LEN + 3] = (uint8_t)pair->sent;
}

void punch_queue_answer(struct punch *punch, const struct stun_message *request,
                        const struct endpoint *to, uint16_t code)
{
    if (punch->answer_count == ANSWER_MAX ||
        punch->counters.answers_sent + punch->answer_count >= PUNCH_ANSWERS_MAX)
        return;
    struct answer *a = &punch->answers[(punch->answer_first + punch->answer_count++) % ANSWER_MAX];
    *a = (struct answer){.to = *to, .code = code};
    memcpy(a->id, request->transaction_id, sizeof a->id);
    a->unknown_count =
        request->unknown_count < STUN_UNKNOWN_MAX ? request->unknown_count : STUN_UNKNOWN_MAX;
    memcpy(a->unknown, request->unknown, sizeof a->unknown);
}

static int transmit_answer(struct punch *punch, struct writer *w, struct punch_target *ret_target)
{
    const struct answer *a = &punch->answers[punch->answer_first];
    punch->answer_first = (punch->answer_first + 1) % ANSWER_MAX;
    punch->answer_count--;
    const char *password = punch->config.local.password;
    const int error =
        a->code == 0 ? check_build_success(w, a->id, &a->to, password)
                     : check_build_error(w, a->id, a->code, a->unknown, a->unknown_count, password);
    if (error != ERR_OK)
        return error;
    punch->counters.answers_sent++;
    *ret_target = (struct punch_target){.to = a->to};
    return ERR_OK;
}

/* A token bucket of PUNCH_BURST: when the next token is there. */
static uint64_t pace_free_us(const struct punch *punch)
{
    const uint64_t ahead_us = (PUNCH_BURST - 1) * PUNCH_PACE_US;
    return punch->pace_us > ahead_us ? punch->pace_us - ahead_us : 0;
}

static bool is_nomination(const struct punch *punch, const struct pair *pair)
{
    return punch->config.is_controlling && pair == punch->nominated;
}

static uint64_t check_us(const struct punch *punch, const struct pair *pair)
{
    if (pair->next_us == DEADLINE_NEVER || is_nomination(punch, pair))
        return pair->next_us;
    uint64_t at_us = pace_free_us(punch);
    if (pair->is_natted && punch->hold_us > at_us)
        at_us = punch->hold_us;
    return pair->next_us > at_us ? pair->next_us : at_us;
}

uint64_t punch_next_check_us(const struct punch *punch)
{
    uint64_t at_us = DEADLINE_NEVER;
    for (size_t i = 0; i < punch->pair_count; i++)
        at_us = deadline_min(
            at_us, deadline_min(check_us(punch, &punch->pairs[i]), punch->pairs[i].opener_us));
    return at_us;
}

bool punch_has_output(const struct punch *punch, uint64_t now_us)
{
    return punch->answer_count > 0 || punch_next_check_us(punch) <= now_us ||
           punch_burst_next_us(punch) <= now_us;
}

/* Of all that are due: urgent ones first, then by priority. */
static struct pair *next_pair(struct punch *punch, uint64_t now_us)
{
    struct pair *best = NULL;
    for (size_t i = 0; i < punch->pair_count; i++) {
        struct pair *pair = &punch->pairs[i];
        if (check_us(punch, pair) > now_us)
            continue;
        if (best == NULL || pair->is_urgent > best->is_urgent ||
            (pair->is_urgent == best->is_urgent && pair->priority > best->priority))
            best = pair;
    }
    return best;
}

static void schedule_next(struct punch *punch, struct pair *pair, uint64_t now_us)
{
    pair->sent_us[pair->sent % SENT_MAX] = now_us;
    pair->sent++;
    pair->is_urgent = false;
    pair->next_us = now_us + pair->rto_us;
    pair->rto_us = deadline_min(pair->rto_us * 3 / 2, PUNCH_RTO_MAX_US);
    if (pair->sent >= PUNCH_ADDRESS_CHECKS)
        pair->next_us = DEADLINE_NEVER;
    punch->pace_us = (punch->pace_us > now_us ? punch->pace_us : now_us) + PUNCH_PACE_US;
    if (++punch->counters.checks_sent < PUNCH_CHECKS_MAX)
        return;
    for (size_t i = 0; i < punch->pair_count; i++)
        punch->pairs[i].next_us = DEADLINE_NEVER;
}

static struct pair *next_opener(struct punch *punch, uint64_t now_us)
{
    for (size_t i = 0; i < punch->pair_count; i++) {
        if (punch->pairs[i].opener_us <= now_us)
            return &punch->pairs[i];
    }
    return NULL;
}

/* Its content is of no account: should it arrive after all, it is taken for a keepalive. */
static int transmit_opener(struct punch *punch, struct pair *pair, struct writer *w,
                           struct punch_target *ret_target, uint64_t now_us)
{
    const uint64_t again_us = now_us + PUNCH_RTO_FIRST_US;
    pair->openers++;
    pair->opener_us =
        again_us < punch->hold_us && pair->openers < PUNCH_OPENERS ? again_us : DEADLINE_NEVER;
    punch->counters.openers_sent++;
    *ret_target = (struct punch_target){.to = pair->endpoint, .is_opener = true};
    writer_u8(w, KEEPALIVE_BYTE);
    return w->error;
}

static int transmit_check(struct punch *punch, struct pair *pair, struct writer *w,
                          struct punch_target *ret_target, uint64_t now_us)
{
    struct check_request request = {.is_controlling = punch->config.is_controlling,
                                    .use_candidate = is_nomination(punch, pair),
                                    .tie_breaker = punch->tie_breaker,
                                    .priority = candidate_priority(CANDIDATE_PEER, UINT16_MAX)};
    make_id(punch, pair, request.id);
    *ret_target = (struct punch_target){.to = pair->endpoint};
    /* Also when building fails: else the deadline would never move on. */
    schedule_next(punch, pair, now_us);
    return check_build_request(w, &request, &punch->remote, punch->config.local.fragment);
}

int punch_transmit(struct punch *punch, struct writer *w, uint64_t now_us,
                   struct punch_target *ret_target)
{
    if (punch->is_ended)
        return ERR_AGAIN;
    if (punch->answer_count > 0)
        return transmit_answer(punch, w, ret_target);
    struct pair *pair = next_opener(punch, now_us);
    if (pair != NULL)
        return transmit_opener(punch, pair, w, ret_target, now_us);
    pair = next_pair(punch, now_us);
    return pair != NULL ? transmit_check(punch, pair, w, ret_target, now_us)
                        : punch_burst_transmit(punch, w, now_us, ret_target);
}
