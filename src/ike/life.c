/* SAs from birth to end, and what their owner asks of them; see ike/sa.h and ike/life.h. */
#include "ike/life.h"
#include "crypto/memory.h"
#include "ike/auth.h"
#include "ike/child.h"
#include "ike/exchange.h"
#include "ike/queue.h"
#include "ike/resume.h"
#include "ike/timer.h"
#include <stdlib.h>
#include <string.h>

int ike_sa_new(struct ike_table *table, struct ike_profile *profile, const struct endpoint *remote,
               bool is_initiator, uint64_t now_us, struct ike_sa **ret_sa)
{
    const struct ike_config *config = &profile->config;

    if (table->count >= table->limits.sas_max)
        return ERR_LIMIT;
    struct ike_sa *sa = (struct ike_sa *)calloc(1, sizeof(*sa));
    if (sa == NULL)
        return ERR_NOMEM;
    sa->table = table;
    sa->remote = *remote;
    sa->is_initiator = is_initiator;
    sa->state = IKE_STATE_CONNECTING;
    sa->events_end = &sa->events;
    sa->notifies_end = &sa->notifies;
    sa->close_by_us = sa->rekey_us = sa->hard_us = sa->move_by_us = DEADLINE_NEVER;
    sa->establish_by_us =
        now_us + (is_initiator ? config->establish_timeout_us : config->half_open_timeout_us);
    /* The place in the heap is kept to the end, so that moving the deadline cannot fail. */
    int error = deadline_set(&table->deadlines, &sa->deadline, sa->establish_by_us);
    if (error != ERR_OK) {
        free(sa);
        return error;
    }
    sa->profile = ike_profile_share(profile);
    sa->next = table->sas;
    if (sa->next != NULL)
        sa->next->previous = sa;
    table->sas = sa;
    table->count++;
    *ret_sa = sa;
    return ERR_OK;
}

int ike_sa_initiate(struct ike_table *table, struct ike_profile *profile,
                    const struct endpoint *remote, uint64_t now_us, struct ike_sa **ret_sa)
{
    struct ike_sa *sa;

    int error = ike_sa_new(table, profile, remote, true, now_us, &sa);
    if (error != ERR_OK)
        return error;
    error = ike_init_begin(sa, now_us);
    if (error != ERR_OK) {
        ike_sa_free(sa);
        return error;
    }
    ike_timer_update(sa);
    *ret_sa = sa;
    return ERR_OK;
}

int ike_sa_resume(struct ike_table *table, struct ike_profile *profile,
                  const struct ike_resumption *resumption, const struct endpoint *remote,
                  uint64_t now_us, struct ike_sa **ret_sa)
{
    struct ike_sa *sa;

    int error = ike_sa_new(table, profile, remote, true, now_us, &sa);
    if (error != ERR_OK)
        return error;
    error = ike_resume_begin(sa, resumption, now_us);
    if (error != ERR_OK) {
        ike_sa_free(sa);
        return error;
    }
    ike_timer_update(sa);
    *ret_sa = sa;
    return ERR_OK;
}

void ike_sa_free(struct ike_sa *sa)
{
    if (sa == NULL)
        return;
    struct ike_table *table = sa->table;
    ike_sa_leave_list(sa);
    while (sa->generations != NULL)
        ike_generation_free(sa->generations);
    ike_children_free(sa);
    ike_events_done(sa);
    ike_notifies_free(sa->notifies);
    if (sa->has_init_node)
        map_remove(&table->by_init, &sa->init_node);
    deadline_clear(&table->deadlines, &sa->deadline);
    if (sa->previous != NULL)
        sa->previous->next = sa->next;
    else
        table->sas = sa->next;
    if (sa->next != NULL)
        sa->next->previous = sa->previous;
    table->count--;
    ike_profile_free(sa->profile);
    free(sa->peer_id);
    ike_resumption_free(sa->resumption);
    free(sa);
}

void ike_sa_fail(struct ike_sa *sa, enum ike_reason reason, uint16_t notify)
{
    if (sa->state == IKE_STATE_CLOSED)
        return;
    if (sa->state != IKE_STATE_CLOSING) {
        sa->closed_reason = reason;
        sa->closed_notify = notify;
    }
    sa->state = IKE_STATE_CLOSED;
    for (struct ike_generation *g = sa->generations; g != NULL; g = g->next) {
        g->request.is_to_send = false;
        if (g->handshake != NULL && g->handshake->is_half_open) {
            map_remove(&sa->table->half_open, &g->handshake->half_open_node);
            g->handshake->is_half_open = false;
        }
    }
}

void ike_sa_part(struct ike_sa *sa, enum ike_reason reason, uint64_t now_us)
{
    if (sa->state == IKE_STATE_CONNECTING)
        ike_sa_fail(sa, reason, 0);
    if (sa->state != IKE_STATE_ESTABLISHED)
        return;
    sa->state = IKE_STATE_CLOSING;
    sa->closed_reason = reason;
    sa->close_by_us = now_us + ike_sa_config(sa)->close_timeout_us;
}

void ike_sa_close(struct ike_sa *sa, uint64_t now_us)
{
    ike_sa_part(sa, IKE_REASON_CLOSED_HERE, now_us);
    ike_timer_update(sa);
}

/* Another answer to our IKE_SA_INIT has won. Should the peer have made an SA of this one too, then
 * its answer to IKE_AUTH is yet to come, and is answered with a DELETE. */
static void outdo(struct ike_generation *g, uint64_t now_us)
{
    g->state = g->state == IKE_GENERATION_AUTH ? IKE_GENERATION_OUTDONE : IKE_GENERATION_GONE;
    g->request.is_to_send = false;
    g->request.repeat_us = DEADLINE_NEVER;
    g->drop_us = now_us + ike_sa_config(g->sa)->request_timeout_us;
}

int ike_sa_establish(struct ike_generation *g, const struct ike_auth_result *peer,
                     bool is_initial_contact, uint64_t now_us)
{
    struct ike_sa *sa = g->sa;

    if (peer->id[0] != '\0') {
        sa->peer_id = strdup(peer->id);
        if (sa->peer_id == NULL)
            return ERR_NOMEM;
    }
    struct ike_event *event = ike_events_add(sa, IKE_EVENT_ESTABLISHED, 0);
    if (event == NULL)
        return ERR_NOMEM;
    sa->peer_key = peer->key;
    sa->has_peer_key = peer->entry == NULL;
    sa->entry = peer->entry;
    if (peer->entry != NULL && peer->entry->profile != NULL)
        ike_sa_set_profile(sa, peer->entry->profile);
    sa->state = IKE_STATE_ESTABLISHED;
    sa->was_established = true;
    sa->hint = 0;
    sa->establish_by_us = DEADLINE_NEVER;
    event->established.entry = peer->entry;
    event->established.peer_key = peer->key;
    event->established.peer_id = sa->peer_id != NULL ? sa->peer_id : "";
    event->established.is_initiator = sa->is_initiator;
    event->established.is_initial_contact = is_initial_contact;
    event->established.is_resumed = g->handshake->resumed != NULL;
    for (struct ike_generation *other = sa->generations; other != NULL; other = other->next)
        if (other != g)
            outdo(other, now_us);
    struct ike_handshake *h = g->handshake;
    if (h->is_half_open) {
        map_remove(&sa->table->half_open, &h->half_open_node);
        h->is_half_open = false;
    }
    g->state = IKE_GENERATION_LIVE;
    ike_sa_adopt(sa, g, now_us);
    return ERR_OK;
}

void ike_sa_adopt(struct ike_sa *sa, struct ike_generation *g, uint64_t now_us)
{
    const struct ike_config *config = ike_sa_config(sa);

    sa->current = g;
    sa->wants_rekey = false;
    ike_timer_lifetime(config, config->rekey_ike_us, now_us, &sa->rekey_us, &sa->hard_us);
}

void ike_sa_sweep(struct ike_sa *sa)
{
    struct ike_generation *next;

    for (struct ike_generation *g = sa->generations; g != NULL; g = next) {
        next = g->next;
        if (g->state == IKE_GENERATION_GONE)
            ike_generation_free(g);
    }
}

int ike_sa_rekey_child(struct ike_sa *sa)
{
    struct ike_child *child = ike_child_live(sa);

    if (sa->state != IKE_STATE_ESTABLISHED || child == NULL)
        return ERR_STATE;
    child->wants_rekey = true;
    return ERR_OK;
}

int ike_sa_rekey(struct ike_sa *sa)
{
    if (sa->state != IKE_STATE_ESTABLISHED)
        return ERR_STATE;
    sa->wants_rekey = true;
    return ERR_OK;
}

int ike_sa_close_child(struct ike_sa *sa)
{
    struct ike_child *live = ike_child_live(sa);

    if (sa->state != IKE_STATE_ESTABLISHED || live == NULL)
        return ERR_STATE;
    for (struct ike_child *c = sa->children; c != NULL; c = c->next) {
        if (c->state != IKE_CHILD_LIVE)
            continue;
        c->wants_delete = true;
        c->wants_rekey = false;
        c->reason = IKE_REASON_CLOSED_HERE;
    }
    return ERR_OK;
}

void ike_sa_set_liveness(struct ike_sa *sa, uint64_t interval_us)
{
    if (sa->liveness_us == interval_us)
        return;
    sa->liveness_us = interval_us;
    ike_timer_update(sa);
}

void ike_sa_check_alive(struct ike_sa *sa)
{
    if (sa->current != NULL && sa->current->request.kind == IKE_REQUEST_NONE)
        sa->wants_check = true;
}
