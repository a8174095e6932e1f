/* What an owner can ask of an SA, and see of it; see ikev1/sa.h. */
#include "ikev1/sa.h"
#include "crypto/memory.h"
#include "ikev1/state.h"

int ikev1_sa_initiate(struct ikev1_table *table, struct ikev1_profile *profile,
                      const struct endpoint *remote, uint64_t now_us, struct ikev1_sa **ret_sa)
{
    struct ikev1_phase *phase;
    struct ikev1_sa *sa;

    int error = ikev1_sa_new(table, profile, remote, true, &sa);
    if (error != ERR_OK)
        return error;
    sa->wants_child = true;
    error = ikev1_phase_new(table, sa, true, remote, &phase);
    if (error == ERR_OK) {
        phase->profile = ikev1_profile_share(profile);
        error = ikev1_main_start(phase, now_us);
    }
    if (error != ERR_OK) {
        ikev1_sa_free(sa);
        return error;
    }
    *ret_sa = sa;
    return ERR_OK;
}

void ikev1_sa_close_children(struct ikev1_sa *sa, uint64_t now_us)
{
    sa->wants_child = false;
    while (sa->children != NULL) {
        ikev1_tell_child_gone(sa, sa->children);
        ikev1_child_end(sa, sa->children, IKEV1_REASON_CLOSED_HERE);
    }
}

void ikev1_sa_close(struct ikev1_sa *sa, uint64_t now_us)
{
    if (sa->state == IKEV1_STATE_CLOSED)
        return;
    for (const struct ikev1_child *c = sa->children; c != NULL; c = c->next)
        ikev1_tell_child_gone(sa, c);
    for (struct ikev1_phase *p = sa->table->phases; p != NULL; p = p->next)
        if (p->sa == sa)
            ikev1_tell_phase_gone(p);
    ikev1_sa_end(sa, IKEV1_REASON_CLOSED_HERE, 0);
}

int ikev1_sa_rekey_child(struct ikev1_sa *sa, uint64_t now_us)
{
    const struct ikev1_child *live = ikev1_child_live(sa);

    if (sa->state != IKEV1_STATE_ESTABLISHED || sa->current == NULL)
        return ERR_STATE;
    for (const struct ikev1_quick *q = sa->current->quicks; q != NULL; q = q->next)
        if (q->is_initiator && !q->is_done)
            return ERR_STATE;
    return ikev1_quick_start(sa, live != NULL ? live->number : 0, now_us);
}

int ikev1_sa_rekey(struct ikev1_sa *sa, uint64_t now_us)
{
    return ikev1_main_renew(sa, now_us);
}

void ikev1_sa_check_alive(struct ikev1_sa *sa, uint64_t now_us)
{
    const struct ikev1_config *config = &sa->profile->config;

    if (sa->state != IKEV1_STATE_ESTABLISHED || sa->current == NULL || !sa->current->has_dpd ||
        sa->is_asking)
        return;
    if (sa->dpd_sequence == 0) {
        /* RFC 3706, 6.2: a first number by chance, its top bit clear. */
        if (crypto_random(&sa->dpd_sequence, sizeof(sa->dpd_sequence)) != ERR_OK)
            return;
        sa->dpd_sequence &= 0x7fffffffu;
    }
    sa->dpd_sequence++;
    sa->is_asking = true;
    sa->ask_interval_us = config->retransmit_first_us;
    sa->ask_at_us = now_us + sa->ask_interval_us;
    sa->ask_until_us = now_us + config->request_timeout_us;
    ikev1_ask(sa, &sa->remote, sa->dpd_sequence);
}

bool ikev1_sa_is_asking(const struct ikev1_sa *sa)
{
    return sa->is_asking;
}

void ikev1_sa_heard(struct ikev1_sa *sa, uint64_t now_us)
{
    if (sa->state == IKEV1_STATE_ESTABLISHED)
        sa->heard_us = now_us;
}

void ikev1_sa_set_user(struct ikev1_sa *sa, void *user)
{
    sa->user = user;
}

void *ikev1_sa_user(const struct ikev1_sa *sa)
{
    return sa->user;
}

enum ikev1_state ikev1_sa_state(const struct ikev1_sa *sa)
{
    return sa->state;
}

bool ikev1_sa_is_initiator(const struct ikev1_sa *sa)
{
    return sa->is_initiator;
}

struct ikev1_profile *ikev1_sa_profile(const struct ikev1_sa *sa)
{
    return sa->profile;
}

const struct ikev1_id *ikev1_sa_peer_id(const struct ikev1_sa *sa)
{
    return &sa->peer_id;
}

const struct endpoint *ikev1_sa_remote(const struct ikev1_sa *sa)
{
    return &sa->remote;
}

uint32_t ikev1_sa_child(const struct ikev1_sa *sa)
{
    const struct ikev1_child *child = ikev1_child_live(sa);
    return child != NULL ? child->number : 0;
}

enum suite ikev1_sa_suite(const struct ikev1_sa *sa)
{
    const struct ikev1_child *child = ikev1_child_live(sa);
    return child != NULL ? child->suite : SUITE_NONE;
}

struct ikev1_proposal ikev1_sa_proposal(const struct ikev1_sa *sa)
{
    return sa->current != NULL ? sa->current->proposal : (struct ikev1_proposal){0};
}

uint64_t ikev1_sa_heard_us(const struct ikev1_sa *sa)
{
    return sa->heard_us;
}

bool ikev1_sa_is_nat_here(const struct ikev1_sa *sa)
{
    return sa->current != NULL && sa->current->is_nat_here;
}

bool ikev1_sa_is_nat_there(const struct ikev1_sa *sa)
{
    return sa->current != NULL && sa->current->is_nat_there;
}

enum isakmp_natt ikev1_sa_natt(const struct ikev1_sa *sa)
{
    return sa->current != NULL ? sa->current->natt : ISAKMP_NATT_NONE;
}

void ikev1_sa_cookies(const struct ikev1_sa *sa, uint64_t *ret_initiator, uint64_t *ret_responder)
{
    *ret_initiator = sa->current != NULL ? sa->current->cookie_i : 0;
    *ret_responder = sa->current != NULL ? sa->current->cookie_r : 0;
}
