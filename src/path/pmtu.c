/* Rounds of a few sizes at once: each size has its tries, a larger one that arrives speaks for the
 * smaller ones, and the next round divides what is left. */
#include "path/pmtu.h"

#include <string.h>

#define TIMER_SLACK_US (20 * MS_US)

enum verdict { ASKING, GOOD, BAD };

/* Of the first round, below the largest: what links in wide use carry (IPv6's minimum, tunnels,
 * PPPoE). */
static const uint32_t common_sizes[] = {PMTU_BASE, 1280, 1400, 1492};

void pmtu_init(struct pmtu *p, uint32_t max, uint32_t guess, uint64_t round_trip_us)
{
    memset(p, 0, sizeof *p);
    pmtu_move(p, max, guess, round_trip_us);
}

void pmtu_move(struct pmtu *p, uint32_t max, uint32_t guess, uint64_t round_trip_us)
{
    *p = (struct pmtu){.token_last = p->token_last};
    p->max = max < PMTU_MIN ? PMTU_MIN : max;
    p->limit = p->max;
    p->mtu = guess < PMTU_MIN ? PMTU_MIN : guess > p->max ? p->max : guess;
    p->round_trip_us = round_trip_us;
}

/* A check that is not answered in time may only be late, behind all that an application has put
 * into a slow line's queue: it waits ever longer. */
static uint64_t check_timer_us(const struct pmtu *p, unsigned tries)
{
    uint64_t us = p->round_trip_us + TIMER_SLACK_US;
    us = us < PMTU_TIMER_MIN_US ? PMTU_TIMER_MIN_US : us;
    return deadline_min(us << 2 * (tries - 1), PMTU_TIMER_SLOW_US);
}

/* After so many tries. */
static uint64_t timer_us(const struct pmtu *p, unsigned tries)
{
    if (p->is_check)
        return check_timer_us(p, tries);
    if (p->round_trip_us == 0)
        return deadline_min(PMTU_TIMER_FIRST_US << (tries - 1), PMTU_TIMER_MAX_US);
    const uint64_t us = deadline_min(2 * p->round_trip_us + TIMER_SLACK_US, PMTU_TIMER_SLOW_US);
    return us < PMTU_TIMER_MIN_US ? PMTU_TIMER_MIN_US : deadline_min(us, PMTU_TIMER_SLOW_US);
}

/* ---- rounds ---- */

/* Keeps the order; sizes outside the search, and those that are there, are passed over. */
static void add_size(struct pmtu *p, uint32_t size)
{
    unsigned at = 0;
    if (size <= p->good || size >= p->bad || p->count == PMTU_SIZES)
        return;
    while (at < p->count && p->sizes[at].size < size)
        at++;
    if (at < p->count && p->sizes[at].size == size)
        return;
    memmove(&p->sizes[at + 1], &p->sizes[at], (p->count - at) * sizeof p->sizes[0]);
    p->sizes[at] = (struct pmtu_size){.size = size, .verdict = ASKING, .is_due = true};
    p->count++;
}

static void begin_round(struct pmtu *p)
{
    p->count = 0;
    p->is_check = p->is_least = false;
}

/* A hint takes the place of the common size that is next to it, so that there is room. */
static void begin_first_round(struct pmtu *p)
{
    const size_t common = sizeof common_sizes / sizeof common_sizes[0];
    begin_round(p);
    add_size(p, p->limit);
    add_size(p, PMTU_BASE);
    add_size(p, p->mtu);
    if (p->hint >= PMTU_MIN)
        add_size(p, p->hint);
    for (size_t i = common; i-- > 1;)
        add_size(p, common_sizes[i]);
    p->hint = 0;
    p->state = PMTU_IN_BASE;
}

/* What is left between good and bad, in quarters. */
static void begin_next_round(struct pmtu *p)
{
    const uint32_t left = p->bad - p->good;
    begin_round(p);
    for (uint32_t i = 1; i < 4; i++)
        add_size(p, p->good + left * i / 4);
}

/* What was refuted so far was so while nothing arrived: it does not count. */
static void begin_least_round(struct pmtu *p)
{
    begin_round(p);
    p->bad = p->limit + 1;
    add_size(p, PMTU_MIN);
    p->is_least = true;
    p->state = PMTU_ERROR;
}

static void begin_check(struct pmtu *p, uint64_t now_us)
{
    p->good = 0;
    p->bad = p->max + 1;
    begin_round(p);
    add_size(p, p->mtu);
    p->is_check = true;
    p->round_us = now_us;
}

static void begin_search(struct pmtu *p, uint64_t now_us)
{
    p->good = 0;
    p->bad = p->limit + 1;
    p->round_us = now_us;
    begin_first_round(p);
}

/* ---- verdicts ---- */

static bool is_asking(const struct pmtu *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        if (p->sizes[i].verdict == ASKING)
            return true;
    }
    return false;
}

/* On a path that loses small packets too, the loss of large ones says less; and while none at all
 * has arrived, nothing. */
static unsigned tries_wanted(const struct pmtu *p)
{
    unsigned tries = PMTU_TRIES;
    if (p->is_check)
        return p->good == 0 ? PMTU_CHECK_TRIES : 2;
    if (p->good == 0)
        return PMTU_TRIES_MAX;
    for (unsigned i = 0; i < p->count; i++) {
        if (p->sizes[i].verdict == GOOD && p->sizes[i].tries > 1)
            tries += p->sizes[i].tries - 1u;
    }
    return tries < PMTU_TRIES_MAX ? tries : PMTU_TRIES_MAX;
}

static void complete(struct pmtu *p, uint64_t now_us)
{
    p->count = 0;
    p->mtu = p->good;
    p->state = p->mtu < PMTU_BASE ? PMTU_ERROR : PMTU_COMPLETE;
    p->confirmed_us = now_us;
    p->raise_us = now_us + PMTU_RAISE_US;
    p->dead_wait_us = 0;
}

/* Nothing says that it is the size: the path may be dead, which is others' to find out. */
static void give_up(struct pmtu *p, uint64_t now_us)
{
    p->count = 0;
    p->state = PMTU_IN_BASE;
    p->dead_wait_us =
        p->dead_wait_us == 0 ? PMTU_DEAD_US : deadline_min(2 * p->dead_wait_us, PMTU_DEAD_MAX_US);
    p->dead_us = now_us + p->dead_wait_us;
}

static void end_round(struct pmtu *p, uint64_t now_us)
{
    if (p->is_check && p->good == p->mtu) {
        p->count = 0;
        p->confirmed_us = now_us;
    } else if (p->is_check) {
        begin_search(p, now_us);
    } else if (p->good == 0 && p->is_least) {
        give_up(p, now_us);
    } else if (p->good == 0) {
        begin_least_round(p);
    } else if (p->is_least) {
        begin_first_round(p);
    } else if (p->bad - p->good > PMTU_STEP) {
        p->state = p->good < PMTU_BASE ? PMTU_ERROR : PMTU_SEARCHING;
        begin_next_round(p);
    } else {
        complete(p, now_us);
    }
}

/* Draws the conclusions from all verdicts. Down it goes only when all larger sizes are refuted, and
 * a smaller one has arrived: a path that is dead says nothing about sizes. */
static void conclude(struct pmtu *p, uint64_t now_us)
{
    bool is_open = false; /* something between what arrives and what is in force is still asked */
    if (p->count == 0)
        return;
    for (unsigned i = 0; i < p->count; i++) {
        if (p->sizes[i].verdict == GOOD && p->sizes[i].size > p->good)
            p->good = p->sizes[i].size;
    }
    for (unsigned i = p->count; i-- > 0;) {
        struct pmtu_size *s = &p->sizes[i];
        if (s->size <= p->good) {
            s->verdict = s->verdict == ASKING ? GOOD : s->verdict;
            s->is_due = false;
        } else if (s->verdict == BAD && s->size < p->bad) {
            p->bad = s->size;
        } else if (s->verdict == ASKING && s->size <= p->mtu) {
            is_open = true;
        }
    }
    if (p->good > p->mtu)
        p->mtu = p->good;
    else if (p->good > 0 && p->good < p->mtu && !is_open && p->bad <= p->mtu && !p->is_check)
        p->mtu = p->good;
    if (!is_asking(p))
        end_round(p, now_us);
}

/* ---- what happens ---- */

void pmtu_search(struct pmtu *p, uint64_t now_us)
{
    if (p->count == 0 && now_us >= p->dead_us)
        begin_search(p, now_us);
}

/* How long nothing may be heard after large packets. */
static uint64_t silence_us(const struct pmtu *p)
{
    const uint64_t us = deadline_min(2 * p->round_trip_us + TIMER_SLACK_US, PMTU_TIMER_SLOW_US);
    return us > PMTU_SILENCE_US ? us : PMTU_SILENCE_US;
}

/* When traffic like this is a reason to ask. */
static uint64_t ask_at_us(const struct pmtu *p, uint64_t large_us, uint64_t heard_us)
{
    const uint64_t trips_us = deadline_min(4 * p->round_trip_us, PMTU_TIMER_SLOW_US);
    const uint64_t confirm_us = trips_us > PMTU_CONFIRM_US ? trips_us : PMTU_CONFIRM_US;
    if (p->count > 0 || large_us == 0)
        return DEADLINE_NEVER;
    if (p->state == PMTU_UNTRIED)
        return 0;
    if (p->state == PMTU_IN_BASE)
        return large_us > p->round_us ? p->dead_us : DEADLINE_NEVER;
    if (large_us <= p->confirmed_us)
        return DEADLINE_NEVER;
    uint64_t at_us = p->confirmed_us + confirm_us;
    if (heard_us < large_us)
        at_us = deadline_min(at_us, heard_us + silence_us(p));
    const uint64_t again_us = p->round_us + PMTU_ROUND_US;
    return at_us > again_us ? at_us : again_us;
}

uint64_t pmtu_note_traffic(struct pmtu *p, uint64_t large_us, uint64_t heard_us, uint64_t now_us)
{
    const uint64_t at_us = ask_at_us(p, large_us, heard_us);
    if (at_us > now_us)
        return at_us;
    const bool has_state = p->state != PMTU_UNTRIED && p->state != PMTU_IN_BASE;
    if (has_state && (p->mtu == p->max || now_us < p->raise_us)) {
        begin_check(p, now_us);
    } else {
        p->limit = p->max; /* the interface may have changed */
        begin_search(p, now_us);
    }
    return DEADLINE_NEVER;
}

void pmtu_on_hint(struct pmtu *p, uint32_t size, uint64_t now_us)
{
    /* RFC 8899, 4.6.2: what cannot be, and what is no news, is passed over. */
    if (size < PMTU_MIN || size >= p->mtu)
        return;
    if (p->count > 0 && !p->is_check)
        return; /* what is under way finds out by itself */
    if (now_us < p->hint_us)
        return;
    p->hint_us = now_us + PMTU_HINT_US;
    p->hint = size;
    begin_search(p, now_us);
}

void pmtu_on_limit(struct pmtu *p, uint32_t size, uint64_t now_us)
{
    if (size < PMTU_MIN || size >= p->limit)
        return;
    p->limit = size;
    if (p->mtu > size)
        p->mtu = size;
    if (p->count == 0)
        return;
    if (p->is_check || p->bad > size + 1)
        p->bad = size + 1;
    for (unsigned i = 0; i < p->count; i++) {
        if (p->sizes[i].size > size)
            p->sizes[i].verdict = BAD;
    }
    /* The largest that can be is the likeliest. */
    if (p->is_check || p->state == PMTU_IN_BASE) {
        begin_search(p, now_us);
        return;
    }
    conclude(p, now_us);
}

int pmtu_transmit(struct pmtu *p, uint32_t *ret_size, uint32_t *ret_token, uint64_t now_us)
{
    for (unsigned n = 0; n < p->count; n++) {
        /* In a check the answer to the smaller one, which comes later, speaks of the larger one. */
        struct pmtu_size *s = &p->sizes[p->is_check ? p->count - 1 - n : n];
        if (!s->is_due || s->tries == PMTU_TRIES_MAX)
            continue;
        if (++p->token_last == 0)
            p->token_last = 1;
        s->is_due = false;
        s->sent_us[s->tries] = now_us;
        s->tokens[s->tries] = p->token_last;
        s->numbers[s->tries] = 0;
        s->tries++;
        s->at_us = now_us + timer_us(p, s->tries);
        *ret_size = s->size;
        *ret_token = p->token_last;
        return ERR_OK;
    }
    return ERR_AGAIN;
}

void pmtu_on_sent(struct pmtu *p, uint32_t token, uint32_t number)
{
    for (unsigned i = 0; i < p->count; i++) {
        for (unsigned t = 0; t < p->sizes[i].tries; t++) {
            if (p->sizes[i].tokens[t] == token)
                p->sizes[i].numbers[t] = number;
        }
    }
}

/* With the round trip known the tries under way need not wait for longer. */
static void hurry(struct pmtu *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        struct pmtu_size *s = &p->sizes[i];
        if (s->tries > 0)
            s->at_us = deadline_min(s->at_us, s->sent_us[s->tries - 1] + timer_us(p, s->tries));
    }
}

static void take_answer(struct pmtu *p, struct pmtu_size *s, unsigned try, uint64_t now_us)
{
    p->round_trip_us = now_us - s->sent_us[try];
    if (p->round_trip_us == 0)
        p->round_trip_us = 1;
    p->dead_wait_us = 0;
    s->verdict = GOOD; /* a late one, too */
    hurry(p);
    for (unsigned i = 0; p->is_check && i < p->count; i++)
        p->sizes[i].at_us = deadline_min(p->sizes[i].at_us, now_us + TIMER_SLACK_US);
    if (p->bad <= s->size)
        p->bad = p->limit + 1; /* what was refuted was not; conclude() says what still is */
    conclude(p, now_us);
}

bool pmtu_on_answer(struct pmtu *p, uint32_t number, uint64_t now_us)
{
    if (number == 0)
        return false;
    for (unsigned i = 0; i < p->count; i++) {
        for (unsigned t = 0; t < p->sizes[i].tries; t++) {
            if (p->sizes[i].numbers[t] == number) {
                take_answer(p, &p->sizes[i], t, now_us);
                return true;
            }
        }
    }
    return false;
}

uint64_t pmtu_deadline(const struct pmtu *p)
{
    uint64_t at_us = DEADLINE_NEVER;
    for (unsigned i = 0; i < p->count; i++) {
        if (p->sizes[i].verdict == ASKING)
            at_us = deadline_min(at_us, p->sizes[i].is_due ? 0 : p->sizes[i].at_us);
    }
    return at_us;
}

void pmtu_expire(struct pmtu *p, uint64_t now_us)
{
    const unsigned tries = tries_wanted(p);
    bool has_lost = false;
    for (unsigned i = 0; i < p->count; i++) {
        struct pmtu_size *s = &p->sizes[i];
        if (s->verdict != ASKING || s->is_due || s->at_us > now_us)
            continue;
        if (s->tries >= tries) {
            s->verdict = BAD;
            has_lost = true;
        } else {
            s->is_due = true;
        }
    }
    /* Narrower, or merely slow, or dead? A small one beside it tells. */
    if (p->is_check && p->count == 1 && p->sizes[0].is_due)
        add_size(p, PMTU_MIN);
    if (has_lost)
        conclude(p, now_us);
}

uint32_t pmtu_mtu(const struct pmtu *p)
{
    return p->mtu;
}

enum pmtu_state pmtu_state(const struct pmtu *p)
{
    return p->state;
}

const char *pmtu_state_text(enum pmtu_state state)
{
    static const char *const texts[] = {"untried", "base", "searching", "complete", "error"};
    return texts[state];
}
