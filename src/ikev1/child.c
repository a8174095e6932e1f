/* Children of an SA: their birth with keys, when to send with which, and their end. */
#include "crypto/memory.h"
#include "ikev1/state.h"
#include <stdlib.h>
#include <string.h>

/* Reserved below (RFC 4303, 2.1). */
#define SPI_MIN 256

uint64_t ikev1_soft_us(const struct ikev1_config *config, uint64_t soft_us)
{
    uint32_t chance;

    /* Without randomness nothing works anyhow; the time stands as it is. */
    if (config->rekey_jitter_percent == 0 || crypto_random(&chance, sizeof(chance)) != ERR_OK)
        return soft_us;
    return soft_us - soft_us / 100 * (chance % (config->rekey_jitter_percent + 1));
}

static bool spi_is_used(const struct ikev1_table *table, uint32_t spi)
{
    for (const struct ikev1_sa *sa = table->sas; sa != NULL; sa = sa->next)
        for (const struct ikev1_child *c = sa->children; c != NULL; c = c->next)
            if (c->spi_in == spi)
                return true;
    return false;
}

int ikev1_child_draw_spi(struct ikev1_sa *sa, uint32_t *ret_spi)
{
    uint32_t spi = 0;

    while (spi < SPI_MIN || spi_is_used(sa->table, spi)) {
        const int error = crypto_random(&spi, sizeof(spi));
        if (error != ERR_OK)
            return error;
    }
    *ret_spi = spi;
    return ERR_OK;
}

struct ikev1_child *ikev1_child_find(struct ikev1_sa *sa, uint32_t number)
{
    struct ikev1_child *c = sa->children;

    while (c != NULL && c->number != number)
        c = c->next;
    return c;
}

struct ikev1_child *ikev1_child_find_out(struct ikev1_sa *sa, uint32_t spi_out)
{
    struct ikev1_child *c = sa->children;

    while (c != NULL && c->spi_out != spi_out)
        c = c->next;
    return c;
}

struct ikev1_child *ikev1_child_live(const struct ikev1_sa *sa)
{
    struct ikev1_child *other = NULL;

    for (struct ikev1_child *c = sa->children; c != NULL; c = c->next) {
        if (c->is_outbound && !c->is_replaced)
            return c;
        if (other == NULL && !c->is_replaced)
            other = c;
    }
    return other;
}

/* No room: the oldest that has been replaced makes some. */
static bool make_room(struct ikev1_sa *sa)
{
    struct ikev1_child *oldest = NULL;

    if (sa->child_count < IKEV1_CHILDREN_MAX)
        return true;
    for (struct ikev1_child *c = sa->children; c != NULL; c = c->next)
        if (c->is_replaced)
            oldest = c;
    if (oldest == NULL)
        return false;
    ikev1_tell_child_gone(sa, oldest);
    ikev1_child_end(sa, oldest, IKEV1_REASON_REPLACED);
    return true;
}

static int derive(const struct ikev1_birth *birth, uint32_t spi, uint8_t *ret_key)
{
    const struct ikev1_quick *q = birth->quick;

    return ikev1_keys_child(&birth->phase->keys, birth->secret, spi, q->nonce_i, q->nonce_i_len,
                            q->nonce_r, q->nonce_r_len, birth->suite, ret_key);
}

int ikev1_child_install(struct ikev1_sa *sa, const struct ikev1_birth *birth, uint64_t now_us,
                        struct ikev1_child **ret_child)
{
    const struct ikev1_config *config = &sa->profile->config;
    const struct ikev1_quick *q = birth->quick;
    struct ikev1_event_child_ready ready = {
        .suite = birth->suite,
        .mode = config->mode,
        .key_len = suite_key_len(birth->suite),
        .spi_in = q->spi_in,
        .spi_out = birth->spi_out,
        .selectors = q->selectors,
        .peer_addresses = birth->peer,
        .rekey_of = birth->rekey_of,
        .is_outbound = birth->is_outbound,
    };

    if (!make_room(sa))
        return ERR_LIMIT;
    int error = derive(birth, q->spi_in, ready.key_in);
    if (error == ERR_OK)
        error = derive(birth, birth->spi_out, ready.key_out);
    struct ikev1_child *child = (struct ikev1_child *)calloc(1, sizeof(*child));
    if (error != ERR_OK || child == NULL)
        goto fail;
    struct ikev1_event *event = ikev1_event_add(sa->table, sa, IKEV1_EVENT_CHILD_READY);
    if (event == NULL)
        goto fail;
    ready.child = child->number = ++sa->next_child;
    event->child_ready = ready;
    const uint64_t soft_us = deadline_min(config->rekey_child_us, birth->life_us / 100 * 80);
    const uint64_t hard_us =
        deadline_min(config->rekey_child_us / 100 * config->hard_percent, birth->life_us);
    child->spi_in = q->spi_in;
    child->spi_out = birth->spi_out;
    child->suite = birth->suite;
    child->is_ours = q->is_initiator;
    child->began_us = q->began_us;
    child->used_us = birth->is_outbound ? now_us : DEADLINE_NEVER;
    child->outbound_at_us = DEADLINE_NEVER;
    child->rekey_at_us = now_us + ikev1_soft_us(config, soft_us);
    child->until_us = child->hard_us = now_us + hard_us;
    child->next = sa->children;
    sa->children = child;
    sa->child_count++;
    sa->wants_child = false;
    if (birth->is_outbound) {
        child->is_outbound = true;
    } else if (q->is_initiator) {
        child->outbound_at_us = now_us + IKEV1_OUTBOUND_US;
    }
    crypto_wipe(&ready, sizeof(ready));
    *ret_child = child;
    return ERR_OK;

fail:
    free(child);
    crypto_wipe(&ready, sizeof(ready));
    return error != ERR_OK ? error : ERR_NOMEM;
}

/* Both sides have asked at once. */
static bool is_crossing(const struct ikev1_child *a, const struct ikev1_child *b)
{
    return a->is_ours != b->is_ours &&
           ikev1_has_crossed(a->began_us, a->used_us, b->began_us, b->used_us);
}

/* Which of two crossing children stays: both sides must say the same. */
static bool is_before(const struct ikev1_child *a, const struct ikev1_child *b)
{
    const uint32_t low_a = a->spi_in < a->spi_out ? a->spi_in : a->spi_out;
    const uint32_t low_b = b->spi_in < b->spi_out ? b->spi_in : b->spi_out;
    return low_a < low_b;
}

/* Sends with it from now on. False: the owner cannot be told. */
static bool make_outbound(struct ikev1_sa *sa, struct ikev1_child *child, uint64_t now_us)
{
    if (child->is_outbound)
        return true;
    struct ikev1_event *event = ikev1_event_add(sa->table, sa, IKEV1_EVENT_CHILD_OUTBOUND);
    if (event == NULL)
        return false;
    event->child_outbound = child->number;
    child->is_outbound = true;
    child->used_us = now_us;
    return true;
}

/* Only what is surely older than what we asked for ourselves is deleted; all else rests until the
 * peer's DELETE or its lifetime's end: messages are lost, so the peer may see another order and
 * send with it still. */
static void replace(struct ikev1_child *child, bool is_ours_to_delete, uint64_t linger_us,
                    uint64_t now_us)
{
    child->is_replaced = true;
    child->is_unconfirmed = false;
    child->rekey_at_us = child->outbound_at_us = DEADLINE_NEVER;
    if (is_ours_to_delete)
        child->until_us = deadline_min(child->until_us, now_us + linger_us);
}

void ikev1_child_use(struct ikev1_sa *sa, struct ikev1_child *child, uint64_t now_us)
{
    const uint64_t linger_us = sa->profile->config.linger_us;
    bool is_older = false;

    child->outbound_at_us = DEADLINE_NEVER;
    child->is_unconfirmed = false;
    if (child->used_us == DEADLINE_NEVER)
        child->used_us = now_us;
    for (struct ikev1_child *c = sa->children; c != NULL; c = c->next) {
        if (c != child && c->is_outbound && !c->is_replaced && is_crossing(c, child) &&
            is_before(c, child)) {
            replace(child, false, linger_us, now_us);
            return;
        }
    }
    if (!make_outbound(sa, child, now_us))
        return;
    for (struct ikev1_child *c = sa->children; c != NULL; c = c->next) {
        const bool has_crossed = c != child && is_crossing(c, child);
        /* The one that stays may come to use only now, when its last message is repeated. */
        const bool is_to_come = has_crossed && is_before(c, child) && !c->is_outbound;
        if (c != child && !is_to_come && (is_older || (has_crossed && !c->is_replaced)))
            replace(c, child->is_ours && !has_crossed, linger_us, now_us);
        is_older = is_older || c == child;
    }
}

void ikev1_child_confirm(struct ikev1_sa *sa, uint32_t sequence, uint64_t now_us)
{
    for (struct ikev1_child *c = sa->children; c != NULL; c = c->next) {
        if (!c->is_unconfirmed || c->confirm_sequence != sequence)
            continue;
        c->is_unconfirmed = false;
        ikev1_child_use(sa, c, now_us);
        return;
    }
}

void ikev1_child_revive(struct ikev1_sa *sa, uint64_t now_us)
{
    struct ikev1_child *child = NULL;

    for (struct ikev1_child *c = sa->children; c != NULL; c = c->next) {
        if (c->is_outbound && !c->is_replaced)
            return;
        /* Of what we asked for, the peer has made its half first. */
        if (child == NULL || (c->is_ours && !child->is_ours))
            child = c;
    }
    if (child == NULL)
        return;
    child->is_outbound = false; /* so that the owner is told, once more perhaps */
    if (!make_outbound(sa, child, now_us))
        return;
    child->is_replaced = child->is_unconfirmed = false;
    child->outbound_at_us = DEADLINE_NEVER;
    child->until_us = child->hard_us;
    child->rekey_at_us = now_us + sa->profile->config.retransmit_first_us * 5;
}

void ikev1_child_end(struct ikev1_sa *sa, struct ikev1_child *child, enum ikev1_reason reason)
{
    struct ikev1_child **at = &sa->children;

    while (*at != child)
        at = &(*at)->next;
    *at = child->next;
    sa->child_count--;
    struct ikev1_event *event = ikev1_event_add(sa->table, sa, IKEV1_EVENT_CHILD_CLOSED);
    if (event != NULL)
        event->child_closed = (struct ikev1_event_child_closed){child->number, reason, 0};
    free(child);
}

void ikev1_children_free(struct ikev1_sa *sa)
{
    while (sa->children != NULL) {
        struct ikev1_child *child = sa->children;
        sa->children = child->next;
        free(child);
    }
    sa->child_count = 0;
}

static bool is_being_rekeyed(const struct ikev1_sa *sa, uint32_t number)
{
    for (const struct ikev1_phase *p = sa->table->phases; p != NULL; p = p->next)
        for (const struct ikev1_quick *q = p->sa == sa ? p->quicks : NULL; q != NULL; q = q->next)
            if (q->is_initiator && !q->is_done && q->rekey_of == number)
                return true;
    return false;
}

static void rekey(struct ikev1_sa *sa, struct ikev1_child *c, uint64_t now_us)
{
    /* Once more if this comes to nothing, until its end. */
    c->rekey_at_us = now_us + sa->profile->config.retransmit_first_us * 5;
    if (!is_being_rekeyed(sa, c->number) && ikev1_quick_start(sa, c->number, now_us) != ERR_OK)
        return;
}

void ikev1_children_expire(struct ikev1_sa *sa, uint64_t now_us)
{
    struct ikev1_child *next;
    bool has_ended = false;

    for (struct ikev1_child *c = sa->children; c != NULL; c = next) {
        next = c->next;
        if (c->until_us <= now_us) {
            has_ended = true;
            ikev1_tell_child_gone(sa, c);
            ikev1_child_end(sa, c, c->is_replaced ? IKEV1_REASON_REPLACED : IKEV1_REASON_EXPIRED);
            continue;
        }
        if (c->outbound_at_us <= now_us)
            ikev1_child_use(sa, c, now_us);
        if (c->rekey_at_us <= now_us)
            rekey(sa, c, now_us);
    }
    if (has_ended)
        ikev1_child_revive(sa, now_us);
}

uint64_t ikev1_children_deadline(const struct ikev1_sa *sa)
{
    uint64_t due_us = DEADLINE_NEVER;

    for (const struct ikev1_child *c = sa->children; c != NULL; c = c->next) {
        due_us = deadline_min(due_us, c->until_us);
        due_us = deadline_min(due_us, c->outbound_at_us);
        due_us = deadline_min(due_us, c->rekey_at_us);
    }
    return due_us;
}
