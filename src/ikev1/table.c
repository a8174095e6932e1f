/* The table: creation and end of phase 1s and SAs, finding what a message belongs to, the queues of
 * messages and events. What time brings: timer.c. */
#include "ikev1/table.h"
#include "crypto/memory.h"
#include "ikev1/state.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFUSALS_PER_MINUTE 30

void ikev1_table_limits_init(struct ikev1_table_limits *limits)
{
    *limits = (struct ikev1_table_limits){
        .sas_max = 128,
        .half_open_max = 32,
        .half_open_per_address_max = 4,
        .replies_per_second = 5,
    };
}

int ikev1_table_new(const struct ikev1_table_limits *limits, struct ikev1_table **ret_table)
{
    uint8_t seed[16];
    struct ikev1_table *table = (struct ikev1_table *)calloc(1, sizeof(*table));

    if (table == NULL)
        return ERR_NOMEM;
    int error = crypto_random(seed, sizeof(seed));
    if (error == ERR_OK)
        error = map_init(&table->by_cookie, seed);
    if (error != ERR_OK) {
        free(table);
        return error;
    }
    table->limits = *limits;
    table->events_end = &table->events;
    *ret_table = table;
    return ERR_OK;
}

void ikev1_table_free(struct ikev1_table *table)
{
    struct ikev1_event event;

    if (table == NULL)
        return;
    while (table->sas != NULL)
        ikev1_sa_free(table->sas);
    while (table->phases != NULL)
        ikev1_phase_free(table->phases);
    do {
        ikev1_table_next_event(table, &event);
    } while (event.type != IKEV1_EVENT_NONE);
    crypto_wipe(&event, sizeof(event));
    for (; table->outbox_count > 0; table->outbox_count--) {
        free(table->outbox[table->outbox_at].bytes);
        table->outbox_at = (table->outbox_at + 1) % IKEV1_OUTBOX_MAX;
    }
    map_done(&table->by_cookie);
    free(table);
}

static struct ikev1_phase *find_phase(const struct ikev1_table *table, uint64_t own_cookie)
{
    struct map_node *node =
        map_first(&table->by_cookie, map_hash(&table->by_cookie, &own_cookie, sizeof(own_cookie)));

    for (; node != NULL; node = map_next(node)) {
        struct ikev1_phase *p = CONTAINER_OF(node, struct ikev1_phase, node);
        if (ikev1_phase_own_cookie(p) == own_cookie)
            return p;
    }
    return NULL;
}

static int draw_cookie(const struct ikev1_table *table, uint64_t *ret_cookie)
{
    uint64_t cookie = 0;

    while (cookie == 0 || find_phase(table, cookie) != NULL) {
        const int error = crypto_random(&cookie, sizeof(cookie));
        if (error != ERR_OK)
            return error;
    }
    *ret_cookie = cookie;
    return ERR_OK;
}

int ikev1_phase_new(struct ikev1_table *table, struct ikev1_sa *sa, bool is_initiator,
                    const struct endpoint *remote, struct ikev1_phase **ret_phase)
{
    uint64_t cookie;
    int error = draw_cookie(table, &cookie);
    if (error != ERR_OK)
        return error;
    struct ikev1_phase *p = (struct ikev1_phase *)calloc(1, sizeof(*p));
    if (p == NULL)
        return ERR_NOMEM;
    p->handshake = (struct ikev1_handshake *)calloc(1, sizeof(*p->handshake));
    error = p->handshake != NULL ? ERR_OK : ERR_NOMEM;
    if (error == ERR_OK)
        error = map_insert(&table->by_cookie, &p->node,
                           map_hash(&table->by_cookie, &cookie, sizeof(cookie)));
    if (error != ERR_OK) {
        free(p->handshake);
        free(p);
        return error;
    }
    p->table = table;
    p->sa = sa;
    p->is_initiator = is_initiator;
    *(is_initiator ? &p->cookie_i : &p->cookie_r) = cookie;
    p->remote = *remote;
    p->rekey_at_us = p->until_us = DEADLINE_NEVER;
    p->sent.due_us = p->sent.until_us = DEADLINE_NEVER;
    p->next = table->phases;
    if (p->next != NULL)
        p->next->previous = p;
    table->phases = p;
    table->half_open_count += sa == NULL;
    *ret_phase = p;
    return ERR_OK;
}

void ikev1_handshake_free(struct ikev1_handshake *h)
{
    if (h == NULL)
        return;
    for (size_t i = 0; i < h->candidate_count; i++)
        ikev1_profile_free(h->candidates[i]);
    kex_done(&h->kex);
    crypto_wipe(h, sizeof(*h));
    free(h);
}

void ikev1_phase_free(struct ikev1_phase *p)
{
    if (p == NULL)
        return;
    if (p->sa != NULL && p->sa->current == p)
        p->sa->current = NULL;
    while (p->quicks != NULL)
        ikev1_quick_end(p, p->quicks);
    if (p->next != NULL)
        p->next->previous = p->previous;
    *(p->previous != NULL ? &p->previous->next : &p->table->phases) = p->next;
    p->table->half_open_count -= p->sa == NULL;
    map_remove(&p->table->by_cookie, &p->node);
    ikev1_handshake_free(p->handshake);
    ikev1_profile_free(p->profile);
    ikev1_sent_done(&p->sent);
    crypto_wipe(p, sizeof(*p));
    free(p);
}

int ikev1_sa_new(struct ikev1_table *table, struct ikev1_profile *profile,
                 const struct endpoint *remote, bool is_initiator, struct ikev1_sa **ret_sa)
{
    if (table->sa_count >= table->limits.sas_max)
        return ERR_LIMIT;
    struct ikev1_sa *sa = (struct ikev1_sa *)calloc(1, sizeof(*sa));
    if (sa == NULL)
        return ERR_NOMEM;
    sa->table = table;
    sa->profile = ikev1_profile_share(profile);
    sa->is_initiator = is_initiator;
    sa->remote = *remote;
    sa->ask_at_us = sa->ask_until_us = DEADLINE_NEVER;
    sa->next = table->sas;
    if (sa->next != NULL)
        sa->next->previous = sa;
    table->sas = sa;
    table->sa_count++;
    *ret_sa = sa;
    return ERR_OK;
}

static void free_phases(struct ikev1_sa *sa)
{
    struct ikev1_phase *next;

    for (struct ikev1_phase *p = sa->table->phases; p != NULL; p = next) {
        next = p->next;
        if (p->sa == sa)
            ikev1_phase_free(p);
    }
}

/* Events of an SA that is no more would lead nowhere. */
static void drop_events(struct ikev1_table *table, const struct ikev1_sa *sa)
{
    struct ikev1_event_node **at = &table->events;

    while (*at != NULL) {
        struct ikev1_event_node *node = *at;
        if (node->event.sa != sa) {
            at = &node->next;
            continue;
        }
        *at = node->next;
        table->event_count--;
        crypto_wipe(node, sizeof(*node));
        free(node);
    }
    table->events_end = at;
}

void ikev1_sa_free(struct ikev1_sa *sa)
{
    if (sa == NULL)
        return;
    free_phases(sa);
    ikev1_children_free(sa);
    drop_events(sa->table, sa);
    if (sa->next != NULL)
        sa->next->previous = sa->previous;
    *(sa->previous != NULL ? &sa->previous->next : &sa->table->sas) = sa->next;
    sa->table->sa_count--;
    ikev1_profile_free(sa->profile);
    crypto_wipe(sa, sizeof(*sa));
    free(sa);
}

void ikev1_sa_end(struct ikev1_sa *sa, enum ikev1_reason reason, uint16_t notify)
{
    const bool was_established = sa->state == IKEV1_STATE_ESTABLISHED;

    if (sa->state == IKEV1_STATE_CLOSED)
        return;
    struct ikev1_event *event = ikev1_event_add(sa->table, sa, IKEV1_EVENT_CLOSED);
    if (event == NULL)
        return; /* timer.c tries again: it has come to its end by then, too */
    event->closed =
        (struct ikev1_event_closed){reason, was_established, notify, ikev1_reason_text(reason)};
    sa->state = IKEV1_STATE_CLOSED;
    free_phases(sa);
    ikev1_children_free(sa);
}

void ikev1_phase_fail(struct ikev1_phase *phase, enum ikev1_reason reason, uint16_t notify)
{
    struct ikev1_sa *sa = phase->sa;
    bool has_other = false;

    for (struct ikev1_phase *p = phase->table->phases; p != NULL && sa != NULL; p = p->next)
        has_other = has_other || (p->sa == sa && p != phase);
    if (sa != NULL && !has_other) {
        ikev1_sa_end(sa, reason, notify);
        return;
    }
    ikev1_phase_free(phase);
    for (struct ikev1_phase *p = sa != NULL ? sa->table->phases : NULL; p != NULL; p = p->next) {
        if (p->sa != sa || p->state != IKEV1_PHASE_UP || sa->current != NULL)
            continue;
        /* It was to give way to the one that is gone: now another one follows, soon. */
        sa->current = p;
        p->until_us = p->hard_us;
        p->rekey_at_us = 0;
    }
}

struct ikev1_event *ikev1_event_add(struct ikev1_table *table, struct ikev1_sa *sa,
                                    enum ikev1_event_type type)
{
    const bool is_refusal = type == IKEV1_EVENT_REFUSED;
    /* An SA's end always has room: there are no more SAs than that. */
    const uint32_t max =
        IKEV1_EVENTS_MAX + (type == IKEV1_EVENT_CLOSED ? table->limits.sas_max : 0);

    if (table->event_count >= max || (is_refusal && table->refusal_count >= IKEV1_REFUSALS_MAX))
        return NULL;
    struct ikev1_event_node *node = (struct ikev1_event_node *)calloc(1, sizeof(*node));
    if (node == NULL)
        return NULL;
    node->event.type = type;
    node->event.sa = sa;
    *table->events_end = node;
    table->events_end = &node->next;
    table->event_count++;
    table->refusal_count += is_refusal;
    return &node->event;
}

void ikev1_event_refuse(struct ikev1_table *table, const struct endpoint *remote, uint64_t now_us,
                        const char *format, ...)
{
    va_list arguments;

    if (!bucket_take(&table->refusals, REFUSALS_PER_MINUTE, 60 * SECOND_US / REFUSALS_PER_MINUTE,
                     now_us))
        return;
    struct ikev1_event *event = ikev1_event_add(table, NULL, IKEV1_EVENT_REFUSED);
    if (event == NULL)
        return;
    event->refused.remote = *remote;
    va_start(arguments, format);
    vsnprintf(event->refused.text, sizeof(event->refused.text), format, arguments);
    va_end(arguments);
}

void ikev1_table_next_event(struct ikev1_table *table, struct ikev1_event *ret_event)
{
    struct ikev1_event_node *node = table->events;

    if (node == NULL) {
        *ret_event = (struct ikev1_event){.type = IKEV1_EVENT_NONE};
        return;
    }
    *ret_event = node->event;
    table->events = node->next;
    if (table->events == NULL)
        table->events_end = &table->events;
    table->event_count--;
    table->refusal_count -= node->event.type == IKEV1_EVENT_REFUSED;
    crypto_wipe(node, sizeof(*node));
    free(node);
}

int ikev1_table_transmit(struct ikev1_table *table, struct writer *w, struct endpoint *ret_remote)
{
    struct ikev1_outgoing *out = &table->outbox[table->outbox_at];

    if (table->outbox_count == 0)
        return ERR_AGAIN;
    if (!writer_is_ok(w) || w->cap - w->len < out->len)
        return ERR_FULL;
    writer_bytes(w, out->bytes, out->len);
    *ret_remote = out->remote;
    free(out->bytes);
    table->outbox_at = (table->outbox_at + 1) % IKEV1_OUTBOX_MAX;
    table->outbox_count--;
    return ERR_OK;
}

void ikev1_table_set_time(struct ikev1_table *table, uint64_t wall_s)
{
    table->wall_s = wall_s;
}

bool ikev1_is_message(const uint8_t *message, size_t len)
{
    return len >= IKE_HEADER_LEN && message[17] >> 4 == ISAKMP_MAJOR_VERSION;
}

/* Initiators are found by their own cookie, whoever answers first; else both cookies must fit. */
static struct ikev1_phase *find(const struct ikev1_table *table, const struct ike_header *header)
{
    struct ikev1_phase *p = find_phase(table, header->spi_i);

    if (p != NULL && p->is_initiator && (p->cookie_r == header->spi_r || p->cookie_r == 0))
        return p;
    p = header->spi_r != 0 ? find_phase(table, header->spi_r) : NULL;
    return p != NULL && !p->is_initiator && p->cookie_i == header->spi_i ? p : NULL;
}

int ikev1_table_receive(struct ikev1_table *table, struct ikev1_profile *const *responders,
                        size_t responder_count, const uint8_t *message, size_t len,
                        const struct endpoint *remote, uint64_t now_us)
{
    struct ike_header header;

    if (len > IKEV1_MESSAGE_CAP)
        return ERR_LIMIT;
    int error = ike_header_parse(message, len, &header);
    if (error != ERR_OK)
        return error;
    if (header.major_version != ISAKMP_MAJOR_VERSION)
        return ERR_UNSUPPORTED;
    if (header.spi_i == 0 || (header.flags & ~(ISAKMP_FLAG_ENCRYPTED | ISAKMP_FLAG_COMMIT)) != 0)
        return ERR_INVALID;
    const bool is_first = header.spi_r == 0 && (header.exchange == ISAKMP_EXCHANGE_MAIN ||
                                                header.exchange == ISAKMP_EXCHANGE_AGGRESSIVE);
    if (is_first)
        return ikev1_main_accept(table, responders, responder_count, &header, message, len, remote,
                                 now_us);
    struct ikev1_phase *phase = find(table, &header);
    if (phase == NULL)
        return ERR_NOT_FOUND;
    switch (header.exchange) {
    case ISAKMP_EXCHANGE_MAIN:
        return ikev1_main_receive(phase, &header, message, len, remote, now_us);
    case ISAKMP_EXCHANGE_QUICK:
        return ikev1_quick_receive(phase, &header, message, len, remote, now_us);
    case ISAKMP_EXCHANGE_INFORMATIONAL:
        return ikev1_informational_receive(phase, &header, message, len, remote, now_us);
    default:
        return ERR_UNSUPPORTED;
    }
}

struct ikev1_sa *ikev1_table_walk(struct ikev1_table *table, struct ikev1_sa *previous)
{
    return previous == NULL ? table->sas : previous->next;
}

uint32_t ikev1_table_count(const struct ikev1_table *table)
{
    return table->sa_count;
}

uint32_t ikev1_table_half_open_count(const struct ikev1_table *table)
{
    return table->half_open_count;
}
