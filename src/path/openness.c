/* Three questions, one after the other, each with its own transaction number. */
#include "path/openness.h"

#include "crypto/memory.h"
#include "path/behaviour_internal.h"
#include "wire/stun.h"
#include <stdlib.h>
#include <string.h>

enum step { STEP_REACH, STEP_UNASKED, STEP_MAPPING, STEP_DONE };

struct openness {
    struct endpoint server;
    struct endpoint elsewhere; /* port 0: there is none */
    const struct prefix *pool;
    enum step step;
    unsigned tries;
    bool is_due;
    uint64_t at_us;
    uint8_t id[STUN_TRANSACTION_LEN];
    struct openness_result result;
};

static void begin(struct openness *o, enum step step, uint64_t now_us)
{
    o->step = step;
    o->tries = 0;
    o->at_us = now_us;
    o->is_due = step != STEP_DONE;
    /* Without randomness nothing is asked that others could answer. */
    if (step != STEP_DONE && crypto_random(o->id, sizeof o->id) != ERR_OK)
        begin(o, STEP_DONE, now_us);
}

int openness_new(const struct endpoint *server, const struct prefix *pool, uint64_t now_us,
                 struct openness **ret_openness)
{
    if (address_len(&server->address) == 0 || server->port == 0)
        return ERR_INVALID;
    struct openness *o = calloc(1, sizeof *o);
    if (o == NULL)
        return ERR_NOMEM;
    o->server = *server;
    o->pool = pool;
    begin(o, STEP_REACH, now_us);
    *ret_openness = o;
    return ERR_OK;
}

void openness_free(struct openness *o)
{
    free(o);
}

static bool is_by_address(const struct openness *o)
{
    return !address_is_equal(&o->elsewhere.address, &o->server.address);
}

static void take_answer(struct openness *o, const struct stun_message *m, uint64_t now_us)
{
    switch (o->step) {
    case STEP_REACH:
        o->result.mapped = m->xor_mapped;
        o->result.is_known = behaviour_find_elsewhere(m, &o->server, o->pool, NULL, &o->elsewhere);
        begin(o, o->result.is_known ? STEP_UNASKED : STEP_DONE, now_us);
        break;
    case STEP_UNASKED:
        o->result.is_open = true;
        o->result.is_by_address = is_by_address(o);
        begin(o, is_by_address(o) ? STEP_MAPPING : STEP_DONE, now_us);
        break;
    case STEP_MAPPING:
        o->result.is_mapping_same = endpoint_is_equal(&m->xor_mapped, &o->result.mapped);
        begin(o, STEP_DONE, now_us);
        break;
    case STEP_DONE:
        break;
    }
}

int openness_receive(struct openness *o, const void *data, size_t len, const struct endpoint *from,
                     uint64_t now_us)
{
    const struct endpoint *expected = o->step == STEP_REACH ? &o->server : &o->elsewhere;
    struct stun_message m;
    if (o->step == STEP_DONE || o->tries == 0 || stun_parse(data, len, &m) != ERR_OK ||
        m.method != STUN_BINDING || memcmp(m.transaction_id, o->id, sizeof o->id) != 0 ||
        (m.class != STUN_SUCCESS && m.class != STUN_ERROR))
        return ERR_NOT_FOUND;
    /* Refused, or answered from where it was asked: a server that does not do that. */
    if (m.class == STUN_ERROR || !endpoint_is_equal(from, expected)) {
        if (!endpoint_is_equal(from, &o->server) && !endpoint_is_equal(from, expected))
            return ERR_NOT_FOUND;
        o->result.is_known = o->result.is_known && o->step == STEP_MAPPING;
        begin(o, STEP_DONE, now_us);
        return ERR_OK;
    }
    if (m.unknown_count > 0 || !m.has_xor_mapped ||
        (m.has_fingerprint && !m.is_fingerprint_right) || m.xor_mapped.port == 0 ||
        address_is_unspecified(&m.xor_mapped.address) ||
        address_is_multicast(&m.xor_mapped.address))
        return ERR_INVALID;
    take_answer(o, &m, now_us);
    return ERR_OK;
}

int openness_transmit(struct openness *o, struct writer *w, struct endpoint *ret_to,
                      uint64_t now_us)
{
    if (!o->is_due)
        return ERR_AGAIN;
    stun_build_begin(w, STUN_REQUEST, STUN_BINDING, o->id);
    if (o->step == STEP_UNASKED)
        stun_build_change_request(w, is_by_address(o), true);
    stun_build_padding(w, OPENNESS_CAP - w->len - 4); /* room for the whole answer */
    const int error = stun_build_end(w);
    if (error != ERR_OK)
        return error;
    o->is_due = false;
    o->at_us = now_us + (OPENNESS_RTO_US << o->tries);
    o->tries++;
    *ret_to = o->step == STEP_MAPPING ? o->elsewhere : o->server;
    return ERR_OK;
}

uint64_t openness_deadline(const struct openness *o)
{
    return o->step == STEP_DONE ? DEADLINE_NEVER : o->at_us;
}

void openness_expire(struct openness *o, uint64_t now_us)
{
    if (o->step == STEP_DONE || o->is_due || o->at_us > now_us)
        return;
    if (o->tries < OPENNESS_TRIES)
        o->is_due = true;
    else
        begin(o, STEP_DONE, now_us);
}

bool openness_is_done(const struct openness *o, struct openness_result *ret_result)
{
    if (o->step != STEP_DONE)
        return false;
    *ret_result = o->result;
    return true;
}
