/* STUN Binding, the client's half: one outstanding request, refreshed for ever. */
#include "path/reflexive.h"

#include "crypto/memory.h"
#include "wire/stun.h"
#include <stdlib.h>
#include <string.h>

struct reflexive {
    struct endpoint server;
    uint64_t refresh_us;
    uint64_t at_us; /* next transmission, refresh or retry */
    uint64_t rto_us;
    uint64_t retry_us;
    unsigned tries; /* of the request that is out; 0: none is */
    bool is_due;    /* a transmission waits for transmit */
    bool is_known;  /* endpoint is the last answer */
    uint8_t id[STUN_TRANSACTION_LEN];
    uint64_t sent_us[REFLEXIVE_TRIES];
    struct endpoint endpoint;
    uint64_t round_trip_us;
    struct reflexive_event event;
    bool has_event;
    bool wants_ticket, is_ticket_refused;
    bool is_asking_ticket; /* the request that is out */
    uint64_t ticket_us;    /* when the ticket came */
    size_t ticket_len;     /* 0: none */
    uint8_t ticket[REFLEXIVE_TICKET_MAX];
};

static void emit(struct reflexive *r, enum reflexive_event_type type)
{
    r->event = (struct reflexive_event){type, r->endpoint, r->round_trip_us};
    r->has_event = true;
}

static void start_request(struct reflexive *r)
{
    r->tries = 0;
    r->rto_us = REFLEXIVE_RTO_FIRST_US;
    r->is_due = true;
}

int reflexive_new(const struct endpoint *server, uint64_t refresh_us, uint64_t now_us,
                  struct reflexive **ret_reflexive)
{
    if (address_len(&server->address) == 0 || server->port == 0)
        return ERR_INVALID;
    struct reflexive *r = calloc(1, sizeof *r);
    if (r == NULL)
        return ERR_NOMEM;
    r->server = *server;
    r->refresh_us = refresh_us > 0 ? refresh_us : REFLEXIVE_REFRESH_US;
    r->retry_us = REFLEXIVE_RETRY_US;
    r->at_us = now_us;
    start_request(r);
    *ret_reflexive = r;
    return ERR_OK;
}

void reflexive_free(struct reflexive *r)
{
    free(r);
}

/* The same answer again is no news: events tell changes only. */
static void take_answer(struct reflexive *r, const struct endpoint *endpoint, uint64_t now_us)
{
    const bool is_same = r->is_known && endpoint_is_equal(&r->endpoint, endpoint);
    const bool was_known = r->is_known;
    if (!is_same)
        r->ticket_len = 0;
    r->round_trip_us = now_us - r->sent_us[r->tries - 1];
    r->endpoint = *endpoint;
    r->is_known = true;
    r->tries = 0;
    r->is_due = false;
    r->retry_us = REFLEXIVE_RETRY_US;
    r->at_us = now_us + (r->wants_ticket && !r->is_ticket_refused
                             ? deadline_min(r->refresh_us, REFLEXIVE_TICKET_US)
                             : r->refresh_us);
    if (!is_same)
        emit(r, was_known ? REFLEXIVE_CHANGED : REFLEXIVE_FOUND);
}

int reflexive_receive(struct reflexive *r, const void *data, size_t len,
                      const struct endpoint *from, uint64_t now_us)
{
    struct stun_message m;
    if (r->tries == 0 || !endpoint_is_equal(from, &r->server) ||
        stun_parse(data, len, &m) != ERR_OK)
        return ERR_NOT_FOUND;
    if (m.method != STUN_BINDING || (m.class != STUN_SUCCESS && m.class != STUN_ERROR) ||
        memcmp(m.transaction_id, r->id, sizeof r->id) != 0)
        return ERR_NOT_FOUND;
    if (m.class == STUN_ERROR && r->is_asking_ticket) { /* a server that knows no PADDING */
        r->is_ticket_refused = true;
        start_request(r);
        return ERR_OK;
    }
    if (m.class == STUN_ERROR || m.unknown_count > 0 || !m.has_xor_mapped ||
        (m.has_fingerprint && !m.is_fingerprint_right))
        return ERR_INVALID;
    /* What cannot be a public endpoint of this socket is a faulty or lying server. */
    if (address_is_unspecified(&m.xor_mapped.address) || m.xor_mapped.port == 0 ||
        address_is_multicast(&m.xor_mapped.address))
        return ERR_INVALID;
    take_answer(r, &m.xor_mapped, now_us);
    if (r->is_asking_ticket && m.ticket != NULL && m.ticket_len <= sizeof r->ticket) {
        memcpy(r->ticket, m.ticket, m.ticket_len);
        r->ticket_len = m.ticket_len;
        r->ticket_us = now_us;
    }
    return ERR_OK;
}

/* Answers are no longer than what they answer: PADDING makes room for the ticket. */
static void build_wish(struct reflexive *r, struct writer *w)
{
    stun_build_ticket(w, "", 0);
    if (r->server.address.family == ADDRESS_IPV6)
        stun_build_padding(w, REFLEXIVE_WISH_LEN_IPV6 - w->len - 4);
    else
        stun_build_padding(w, REFLEXIVE_WISH_LEN - w->len - 4);
}

int reflexive_transmit(struct reflexive *r, struct writer *w, struct endpoint *ret_to,
                       uint64_t now_us)
{
    if (!r->is_due)
        return ERR_AGAIN;
    if (r->tries == 0 && crypto_random(r->id, sizeof r->id) != ERR_OK) {
        r->is_due = false;
        r->at_us = now_us + r->retry_us;
        return ERR_CRYPTO;
    }
    stun_build_begin(w, STUN_REQUEST, STUN_BINDING, r->id);
    if (r->tries == 0)
        r->is_asking_ticket = r->wants_ticket && !r->is_ticket_refused &&
                              (r->ticket_len == 0 || now_us - r->ticket_us >= REFLEXIVE_TICKET_US);
    if (r->is_asking_ticket)
        build_wish(r, w);
    const int error = stun_build_end(w);
    if (error != ERR_OK)
        return error;
    r->is_due = false;
    r->sent_us[r->tries++] = now_us;
    r->at_us = now_us + r->rto_us;
    r->rto_us = deadline_min(2 * r->rto_us, REFLEXIVE_RTO_MAX_US);
    *ret_to = r->server;
    return ERR_OK;
}

uint64_t reflexive_deadline(const struct reflexive *r)
{
    return r->at_us;
}

static void take_loss(struct reflexive *r, uint64_t now_us)
{
    r->tries = 0;
    r->at_us = now_us + r->retry_us;
    r->retry_us = deadline_min(2 * r->retry_us, REFLEXIVE_RETRY_MAX_US);
    /* Told once for each loss, and once if there never was an answer. */
    if (r->is_known || r->retry_us == 2 * REFLEXIVE_RETRY_US)
        emit(r, REFLEXIVE_LOST);
    r->is_known = false;
    r->ticket_len = 0;
}

void reflexive_expire(struct reflexive *r, uint64_t now_us)
{
    if (r->at_us > now_us || r->is_due)
        return;
    if (r->tries == REFLEXIVE_TRIES)
        take_loss(r, now_us);
    else if (r->tries > 0)
        r->is_due = true;
    else
        start_request(r);
}

bool reflexive_next_event(struct reflexive *r, struct reflexive_event *ret_event)
{
    if (!r->has_event)
        return false;
    r->has_event = false;
    *ret_event = r->event;
    return true;
}

void reflexive_refresh(struct reflexive *r, uint64_t now_us)
{
    r->at_us = now_us;
    r->retry_us = REFLEXIVE_RETRY_US;
    start_request(r);
}

void reflexive_set_refresh(struct reflexive *r, uint64_t refresh_us, uint64_t now_us)
{
    r->refresh_us = refresh_us;
    if (r->is_known && r->tries == 0 && !r->is_due)
        r->at_us = deadline_min(r->at_us, now_us + refresh_us);
}

void reflexive_want_ticket(struct reflexive *r)
{
    r->wants_ticket = true;
}

const uint8_t *reflexive_ticket(const struct reflexive *r, size_t *ret_len)
{
    if (!r->is_known || r->ticket_len == 0)
        return NULL;
    *ret_len = r->ticket_len;
    return r->ticket;
}

const struct endpoint *reflexive_endpoint(const struct reflexive *r)
{
    return r->is_known ? &r->endpoint : NULL;
}

uint64_t reflexive_round_trip_us(const struct reflexive *r)
{
    return r->is_known ? r->round_trip_us : 0;
}

bool reflexive_is_silent(const struct reflexive *r)
{
    return r->is_known && r->tries > REFLEXIVE_SILENT_TRIES;
}

const struct endpoint *reflexive_server(const struct reflexive *r)
{
    return &r->server;
}
