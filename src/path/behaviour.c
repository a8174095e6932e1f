/* The questions: what is asked when, sent again, and taken as answered. */
#include "path/behaviour.h"

#include "crypto/memory.h"
#include "path/behaviour_internal.h"
#include "wire/notify.h"
#include <stdlib.h>
#include <string.h>

#define IPV4_HEADERS 28u
#define IPV6_HEADERS 48u

/* Silences tried, up to the longest wanted: home gateways forget after 30 s at the earliest as a
 * rule, RFC 4787 wants 2 min, and conservative defaults are 20 s. */
static const uint16_t silences_s[BEHAVIOUR_LIFETIMES] = {5,  10, 15,  20,  30,  45,
                                                         60, 90, 120, 180, 240, 300};

static unsigned count_silences(uint64_t lifetime_us)
{
    unsigned count = 0;
    while (count < BEHAVIOUR_LIFETIMES && silences_s[count] * SECOND_US <= lifetime_us)
        count++;
    /* A shorter wish than the shortest is tried as it is. */
    return lifetime_us > 0 && count == 0 ? 1 : count;
}

unsigned behaviour_socket_count(uint64_t lifetime_us)
{
    return BEHAVIOUR_SOCKETS + count_silences(lifetime_us);
}

const struct question *behaviour_find(const struct behaviour *b, enum question_kind kind,
                                      unsigned at_socket)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->questions[i].kind == kind && b->questions[i].at_socket == at_socket)
            return &b->questions[i];
    }
    return NULL;
}

bool behaviour_has_alternate_address(const struct behaviour *b)
{
    return b->elsewhere.port != 0 &&
           !address_is_equal(&b->elsewhere.address, &b->config.server.address);
}

/* A place for one more; those of the MTU are used again. NULL only if there are too many. */
static struct question *take_place(struct behaviour *b, enum question_kind kind)
{
    for (size_t i = 0; kind == ASK_MTU && i < b->count; i++) {
        if (b->questions[i].kind == ASK_MTU && b->questions[i].state != QUESTION_ASKING)
            return &b->questions[i];
    }
    return b->count < QUESTIONS_MAX ? &b->questions[b->count++] : NULL;
}

static struct question *ask(struct behaviour *b, enum question_kind kind, unsigned socket,
                            const struct endpoint *to, uint64_t now_us)
{
    struct question *q = take_place(b, kind);
    if (q == NULL)
        return NULL;
    uint64_t rto_us = b->round_trip_us > 0 ? 2 * b->round_trip_us : BEHAVIOUR_RTO_US;
    if (rto_us < BEHAVIOUR_RTO_MIN_US)
        rto_us = BEHAVIOUR_RTO_MIN_US;
    *q = (struct question){.kind = (uint8_t)kind,
                           .state = QUESTION_ASKING,
                           .socket = (uint8_t)socket,
                           .at_socket = (uint8_t)socket,
                           .to = *to,
                           .from = *to,
                           .len = BINDING_DISCOVERY_CAP,
                           .tries_max = BEHAVIOUR_TRIES,
                           .is_due = true,
                           .at_us = now_us,
                           .rto_us = deadline_min(rto_us, BEHAVIOUR_RTO_MAX_US)};
    if (crypto_random(q->id, sizeof q->id) != ERR_OK) {
        q->tries = q->tries_max; /* nothing goes out that others could guess: it stays unanswered */
        q->is_due = false;
    }
    return q;
}

/* ---- what is asked ---- */

static void ask_mtu(struct behaviour *b, uint32_t size, uint64_t now_us)
{
    const bool is_ipv6 = b->config.server.address.family == ADDRESS_IPV6;
    struct question *q = ask(b, ASK_MTU, SOCKET_SPARE, &b->config.server, now_us);
    if (q == NULL) {
        b->is_mtu_done = true;
        return;
    }
    q->len = (uint16_t)(size - (is_ipv6 ? IPV6_HEADERS : IPV4_HEADERS));
    q->tries_max = BEHAVIOUR_MTU_TRIES;
}

/* All of one round have ended: the next one divides what is left between good and bad. Lengths are
 * multiples of 4, as STUN's are. */
static void go_on_with_mtu(struct behaviour *b, uint64_t now_us)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct question *q = &b->questions[i];
        if (q->kind == ASK_MTU && q->state == QUESTION_ASKING)
            return;
    }
    const uint32_t left = (b->mtu_bad - b->mtu_good) / 4;
    if (left <= 1) {
        b->is_mtu_done = true;
        return;
    }
    const uint32_t parts = left - 1 < BEHAVIOUR_MTU_AT_A_TIME ? left : BEHAVIOUR_MTU_AT_A_TIME + 1;
    const uint32_t good = b->mtu_good;
    for (uint32_t i = parts - 1; i >= 1; i--)
        ask_mtu(b, good + left * i / parts * 4, now_us);
}

static void note_mtu(struct behaviour *b, const struct question *q)
{
    const bool is_ipv6 = b->config.server.address.family == ADDRESS_IPV6;
    const uint32_t size = q->len + (is_ipv6 ? IPV6_HEADERS : IPV4_HEADERS);
    if (q->state == QUESTION_ANSWERED && size > b->mtu_good)
        b->mtu_good = size;
    if (q->state != QUESTION_ANSWERED && size < b->mtu_bad)
        b->mtu_bad = size;
    /* A lost probe must not turn the order round. */
    if (b->mtu_bad <= b->mtu_good)
        b->mtu_bad = b->mtu_good + 4;
}

static void begin_mtu(struct behaviour *b, uint64_t now_us)
{
    const bool is_ipv6 = b->config.server.address.family == ADDRESS_IPV6;
    uint32_t most =
        b->config.mtu != 0 && b->config.mtu < BEHAVIOUR_MTU_MAX ? b->config.mtu : BEHAVIOUR_MTU_MAX;
    most -= most % 4;
    b->mtu_good = BINDING_DISCOVERY_CAP + (is_ipv6 ? IPV6_HEADERS : IPV4_HEADERS);
    b->mtu_bad = most + 4;
    if (b->is_padding_refused || most <= b->mtu_good)
        b->is_mtu_done = true;
    else
        ask_mtu(b, most, now_us);
}

/* A call may be waiting for what a brief run finds. */
static void hurry(const struct behaviour *b, struct question *q)
{
    if (!b->config.is_brief)
        return;
    q->tries_max = BEHAVIOUR_BRIEF_TRIES;
    q->is_paced = true;
    q->rto_us =
        b->round_trip_us > 0 /* q->rto_us: twice that, or more */
            ? deadline_min(BEHAVIOUR_BRIEF_WAIT_US + q->rto_us * 3 / 4, BEHAVIOUR_RTO_MAX_US)
            : BEHAVIOUR_RTO_MAX_US;
}

/* Before anything is sent to the other address and port: some filters look at what the host as a
 * whole has sent to, not at each of its sockets. */
static void begin_filtering(struct behaviour *b, uint64_t now_us)
{
    const struct endpoint *server = &b->config.server;
    struct question *q;
    if (behaviour_has_alternate_address(b)) {
        q = ask(b, ASK_FROM_ELSEWHERE, SOCKET_FILTERING, server, now_us);
        if (q != NULL) {
            q->from = b->elsewhere;
            hurry(b, q);
        }
    }
    q = ask(b, ASK_FROM_OTHER_PORT, SOCKET_FILTERING, server, now_us);
    if (q != NULL) {
        q->from.port = b->elsewhere.port;
        hurry(b, q);
    }
}

static void begin_mapping(struct behaviour *b, uint64_t now_us)
{
    if (behaviour_has_alternate_address(b)) {
        const struct endpoint other_address = {b->elsewhere.address, b->config.server.port};
        (void)ask(b, ASK_OTHER_ADDRESS, SOCKET_MAPPING, &other_address, now_us);
    }
    (void)ask(b, ASK_OTHER_PORT, SOCKET_MAPPING, &b->elsewhere, now_us);
}

static bool is_settled(const struct question *q)
{
    return q == NULL || q->state != QUESTION_ASKING;
}

/* Each of the two opens its filter for the other. */
static void begin_hairpin(struct behaviour *b, uint64_t now_us)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct question *target = behaviour_find(b, ASK_REACH, SOCKET_HAIRPIN_A + i);
        struct question *q;
        if (target == NULL || target->state != QUESTION_ANSWERED)
            continue;
        q = ask(b, ASK_HAIRPIN, SOCKET_HAIRPIN_B - i, &target->mapped, now_us);
        if (q != NULL) {
            q->at_socket = (uint8_t)(SOCKET_HAIRPIN_A + i);
            q->tries_max = BEHAVIOUR_HAIRPIN_TRIES;
        }
    }
}

/* Asks after each mapping once its silence is over, the shortest first; behind a dead one none. */
static void go_on_with_lifetime(struct behaviour *b, uint64_t now_us)
{
    for (unsigned i = 0; i < b->lifetime_count; i++) {
        const struct question *made = behaviour_find(b, ASK_TICKET, SOCKET_LIFETIME + i);
        const struct question *alive = behaviour_find(b, ASK_ALIVE, SOCKET_LIFETIME + i);
        if (alive != NULL && alive->state == QUESTION_SILENT) {
            b->lifetime_count = i + 1;
            return;
        }
        if (b->is_asked[i] || made == NULL || !b->has_ticket[i] ||
            made->answered_us + b->silences_us[i] > now_us)
            continue;
        struct question *q = ask(b, ASK_ALIVE, SOCKET_SPARE, &b->config.server, now_us);
        b->is_asked[i] = true;
        if (q == NULL)
            continue;
        q->at_socket = (uint8_t)(SOCKET_LIFETIME + i);
        q->response_port = made->mapped.port;
        q->len = 0;
    }
}

/* The address beside the server's that the other one is reached at: behind a translator, which the
 * server knows nothing of, not the one that it says. */
static struct address reach_beside(const struct endpoint *server, const struct address *other,
                                   const struct nat64_prefixes *nat64)
{
    struct address origin, reached;
    for (size_t i = 0; nat64 != NULL && i < nat64->count; i++) {
        if (other->family == ADDRESS_IPV4 &&
            nat64_extract(&nat64->items[i], &server->address, &origin) == ERR_OK &&
            nat64_embed(&nat64->items[i], other, &reached) == ERR_OK)
            return reached;
    }
    return *other;
}

bool behaviour_find_elsewhere(const struct stun_message *m, const struct endpoint *server,
                              const struct prefix *pool, const struct nat64_prefixes *nat64,
                              struct endpoint *ret_elsewhere)
{
    struct candidate other = {CANDIDATE_REFLEXIVE, m->other_address};
    if (m->has_other_address && candidate_is_acceptable(&other, pool))
        other.endpoint.address = reach_beside(server, &m->other_address.address, nat64);
    /* It is the connector that we are about to trust with a handful of packets, not any target it
     * likes: an address that must not be probed is none. */
    if (m->has_other_address && other.endpoint.address.family == server->address.family &&
        other.endpoint.port != server->port &&
        !address_is_equal(&other.endpoint.address, &server->address) &&
        candidate_is_acceptable(&other, pool)) {
        *ret_elsewhere = other.endpoint;
    } else if (m->other_port != 0 && m->other_port != server->port) {
        *ret_elsewhere = (struct endpoint){server->address, m->other_port};
    } else {
        return false;
    }
    return true;
}

static void learn_elsewhere(struct behaviour *b, const struct stun_message *m)
{
    if (b->elsewhere.port == 0)
        (void)behaviour_find_elsewhere(m, &b->config.server, b->config.pool, &b->config.nat64,
                                       &b->elsewhere);
}

static void begin_tests(struct behaviour *b, uint64_t now_us)
{
    bool is_reached = false;
    for (unsigned i = 0; i < BEHAVIOUR_SOCKETS; i++) {
        const struct question *q = behaviour_find(b, ASK_REACH, i);
        if (!is_settled(q))
            return;
        is_reached = is_reached || q->state == QUESTION_ANSWERED;
    }
    b->has_begun = true;
    if (!is_reached) {
        b->is_mtu_done = true;
        b->lifetime_count = 0;
        b->has_mapping = b->has_hairpin = true;
        return;
    }
    if (b->elsewhere.port != 0)
        begin_filtering(b, now_us);
    else
        b->lifetime_count = 0;
    if (b->config.is_brief) {
        b->is_mtu_done = b->has_hairpin = true;
        b->lifetime_count = 0;
        return;
    }
    begin_mtu(b, now_us);
    for (unsigned i = 0; i < b->lifetime_count; i++)
        (void)ask(b, ASK_TICKET, SOCKET_LIFETIME + i, &b->config.server, now_us);
}

/* Whatever has become possible by what is known now. */
static void advance(struct behaviour *b, uint64_t now_us)
{
    if (!b->has_begun)
        begin_tests(b, now_us);
    if (!b->has_begun)
        return;
    if (!b->has_mapping && is_settled(behaviour_find(b, ASK_FROM_ELSEWHERE, SOCKET_FILTERING)) &&
        is_settled(behaviour_find(b, ASK_FROM_OTHER_PORT, SOCKET_FILTERING))) {
        b->has_mapping = true;
        if (b->elsewhere.port != 0)
            begin_mapping(b, now_us);
    }
    /* Behind the mapping tests, whose order shows how ports are given out. */
    if (b->has_mapping && !b->has_hairpin &&
        is_settled(behaviour_find(b, ASK_OTHER_ADDRESS, SOCKET_MAPPING)) &&
        is_settled(behaviour_find(b, ASK_OTHER_PORT, SOCKET_MAPPING))) {
        b->has_hairpin = true;
        begin_hairpin(b, now_us);
    }
    if (!b->is_mtu_done)
        go_on_with_mtu(b, now_us);
    go_on_with_lifetime(b, now_us);
}

/* ---- the engine's face ---- */

int behaviour_new(const struct behaviour_config *config, uint64_t now_us,
                  struct behaviour **ret_behaviour)
{
    if (address_len(&config->server.address) == 0 || config->server.port == 0 ||
        config->local_count > BEHAVIOUR_LOCALS_MAX)
        return ERR_INVALID;
    struct behaviour *b = calloc(1, sizeof *b);
    if (b == NULL)
        return ERR_NOMEM;
    b->config = *config;
    b->lifetime_count = count_silences(config->lifetime_us);
    for (unsigned i = 0; i < b->lifetime_count; i++)
        b->silences_us[i] = deadline_min(silences_s[i] * SECOND_US, config->lifetime_us);
    for (unsigned i = 0; i < BEHAVIOUR_SOCKETS; i++)
        (void)ask(b, ASK_REACH, i, &config->server, now_us);
    *ret_behaviour = b;
    return ERR_OK;
}

void behaviour_free(struct behaviour *b)
{
    free(b);
}

static void answer(struct behaviour *b, struct question *q, enum question_state state,
                   uint64_t now_us)
{
    q->state = (uint8_t)state;
    q->is_due = false;
    q->answered_us = now_us;
    if (state == QUESTION_ANSWERED && q->tries == 1 && q->kind != ASK_ALIVE) {
        q->round_trip_us = now_us - q->sent_us;
        if (q->kind != ASK_HAIRPIN && q->round_trip_us > 0 &&
            (b->round_trip_us == 0 || q->round_trip_us < b->round_trip_us))
            b->round_trip_us = q->round_trip_us;
    }
    if (q->kind == ASK_MTU)
        note_mtu(b, q);
}

static struct question *find_asked(struct behaviour *b, const uint8_t id[STUN_TRANSACTION_LEN])
{
    for (size_t i = 0; i < b->count; i++) {
        struct question *q = &b->questions[i];
        const bool is_open =
            q->state == QUESTION_ASKING || (q->state == QUESTION_SILENT && q->is_paced);
        if (is_open && q->tries > 0 && memcmp(q->id, id, sizeof q->id) == 0)
            return q;
    }
    return NULL;
}

static bool is_from_expected(const struct question *q, unsigned socket, const struct endpoint *from)
{
    return socket == q->at_socket && endpoint_is_equal(from, &q->from);
}

/* A server without RFC 5780 refuses what it does not know, or answers as if it were not there. */
static bool is_refusal(const struct question *q, const struct stun_message *m, unsigned socket,
                       const struct endpoint *from)
{
    return socket == q->socket && endpoint_is_equal(from, &q->to) &&
           (m->class == STUN_ERROR || !is_from_expected(q, socket, from));
}

/* A server that knows nothing of RFC 5780 still tells where it sees us, if asked plainly. */
static bool ask_plainly(struct behaviour *b, struct question *q, uint64_t now_us)
{
    uint8_t id[STUN_TRANSACTION_LEN];
    if (q->kind != ASK_REACH || q->len == 0 || crypto_random(id, sizeof id) != ERR_OK)
        return false;
    b->is_padding_refused = true;
    memcpy(q->id, id, sizeof q->id);
    q->len = 0;
    q->tries = 0;
    q->is_due = true;
    q->at_us = now_us;
    return true;
}

static int take_success(struct behaviour *b, struct question *q, const struct stun_message *m)
{
    if (m->unknown_count > 0 || !m->has_xor_mapped ||
        (m->has_fingerprint && !m->is_fingerprint_right) || m->xor_mapped.port == 0 ||
        address_is_unspecified(&m->xor_mapped.address) ||
        address_is_multicast(&m->xor_mapped.address))
        return ERR_INVALID;
    q->mapped = m->xor_mapped;
    if (q->kind == ASK_REACH)
        learn_elsewhere(b, m);
    if (q->kind == ASK_TICKET && m->ticket != NULL && m->ticket_len == BINDING_TICKET_LEN) {
        const unsigned i = q->at_socket - SOCKET_LIFETIME;
        memcpy(b->tickets[i], m->ticket, BINDING_TICKET_LEN);
        b->has_ticket[i] = true;
    }
    return ERR_OK;
}

int behaviour_receive(struct behaviour *b, unsigned socket, const void *data, size_t len,
                      const struct endpoint *from, uint64_t now_us)
{
    struct stun_message m;
    if (stun_parse(data, len, &m) != ERR_OK || m.method != STUN_BINDING)
        return ERR_NOT_FOUND;
    struct question *q = find_asked(b, m.transaction_id);
    if (q == NULL)
        return ERR_NOT_FOUND;
    if (m.class == STUN_REQUEST) {
        if (q->kind != ASK_HAIRPIN || socket != q->at_socket)
            return ERR_NOT_FOUND;
        answer(b, q, QUESTION_ANSWERED, now_us);
    } else if (q->kind == ASK_HAIRPIN) {
        return ERR_NOT_FOUND;
    } else if (is_refusal(q, &m, socket, from)) {
        if (!ask_plainly(b, q, now_us))
            answer(b, q, QUESTION_REFUSED, now_us);
    } else {
        if (m.class != STUN_SUCCESS || !is_from_expected(q, socket, from))
            return ERR_NOT_FOUND;
        const int error = take_success(b, q, &m);
        if (error != ERR_OK)
            return error;
        answer(b, q, q->state == QUESTION_SILENT ? QUESTION_LATE : QUESTION_ANSWERED, now_us);
    }
    advance(b, now_us);
    return ERR_OK;
}

static int build(const struct behaviour *b, const struct question *q, struct writer *w)
{
    stun_build_begin(w, STUN_REQUEST, STUN_BINDING, q->id);
    if (q->kind == ASK_FROM_ELSEWHERE || q->kind == ASK_FROM_OTHER_PORT)
        stun_build_change_request(w, q->kind == ASK_FROM_ELSEWHERE, true);
    if (q->kind == ASK_TICKET)
        stun_build_ticket(w, "", 0);
    if (q->response_port != 0) {
        stun_build_response_port(w, q->response_port);
        stun_build_ticket(w, b->tickets[q->at_socket - SOCKET_LIFETIME], BINDING_TICKET_LEN);
    }
    if (q->len != 0)
        stun_build_padding(w, q->len - w->len - 4);
    return stun_build_end(w);
}

/* Much of what is waited for never comes, so that waiting long where the connector is near helps
 * nobody. */
static uint64_t next_rto_us(const struct behaviour *b, uint64_t rto_us)
{
    uint64_t max_us = BEHAVIOUR_RTO_MAX_US;
    if (b->round_trip_us > 0 && 2 * b->round_trip_us < BEHAVIOUR_RTO_NEAR_US)
        max_us = BEHAVIOUR_RTO_NEAR_US;
    return deadline_min(2 * rto_us, max_us);
}

int behaviour_transmit(struct behaviour *b, struct writer *w, unsigned *ret_socket,
                       struct endpoint *ret_to, uint64_t now_us)
{
    for (size_t i = 0; i < b->count; i++) {
        struct question *q = &b->questions[i];
        if (!q->is_due)
            continue;
        const int error = build(b, q, w);
        if (error != ERR_OK)
            return error;
        q->is_due = false;
        q->tries++;
        q->sent_us = now_us;
        q->at_us = now_us + q->rto_us;
        if (!q->is_paced)
            q->rto_us = next_rto_us(b, q->rto_us);
        else if (q->tries < q->tries_max)
            q->at_us = now_us + BEHAVIOUR_BRIEF_PACE_US;
        *ret_socket = q->socket;
        *ret_to = q->to;
        return ERR_OK;
    }
    return ERR_AGAIN;
}

/* When a mapping has been silent for long enough to be asked after. */
static uint64_t silence_ends_us(const struct behaviour *b, unsigned i)
{
    const struct question *made = behaviour_find(b, ASK_TICKET, SOCKET_LIFETIME + i);
    if (b->is_asked[i] || made == NULL || !b->has_ticket[i])
        return DEADLINE_NEVER;
    return made->answered_us + b->silences_us[i];
}

uint64_t behaviour_deadline(const struct behaviour *b)
{
    uint64_t at_us = DEADLINE_NEVER;
    for (size_t i = 0; i < b->count; i++) {
        if (b->questions[i].state == QUESTION_ASKING)
            at_us = deadline_min(at_us, b->questions[i].at_us);
    }
    for (unsigned i = 0; i < b->lifetime_count; i++)
        at_us = deadline_min(at_us, silence_ends_us(b, i));
    return at_us;
}

void behaviour_expire(struct behaviour *b, uint64_t now_us)
{
    for (size_t i = 0; i < b->count; i++) {
        struct question *q = &b->questions[i];
        if (q->state != QUESTION_ASKING || q->is_due || q->at_us > now_us)
            continue;
        if (q->tries < q->tries_max)
            q->is_due = true;
        else
            answer(b, q, QUESTION_SILENT, now_us);
    }
    advance(b, now_us);
}

bool behaviour_is_done(const struct behaviour *b)
{
    return b->has_begun && b->has_mapping && b->has_hairpin && b->is_mtu_done &&
           behaviour_deadline(b) == DEADLINE_NEVER;
}
