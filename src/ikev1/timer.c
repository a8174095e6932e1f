/* What time brings: retransmission, renewal, liveness, ends. Tables are small (some hundred SAs at
 * most), so each look walks all of it. */
#include "ikev1/state.h"

static uint64_t phase_deadline(const struct ikev1_phase *p)
{
    uint64_t due_us = deadline_min(p->until_us, p->rekey_at_us);

    due_us = deadline_min(due_us, ikev1_sent_deadline(&p->sent));
    for (const struct ikev1_quick *q = p->quicks; q != NULL; q = q->next)
        due_us = deadline_min(due_us, ikev1_sent_deadline(&q->sent));
    return due_us;
}

static uint64_t liveness_at(const struct ikev1_sa *sa)
{
    const uint64_t interval_us = sa->profile->config.dpd_interval_us;

    if (sa->current == NULL || !sa->current->has_dpd)
        return DEADLINE_NEVER;
    if (sa->is_asking)
        return deadline_min(sa->ask_at_us, sa->ask_until_us);
    return interval_us != 0 ? sa->heard_us + interval_us : DEADLINE_NEVER;
}

uint64_t ikev1_table_deadline(const struct ikev1_table *table)
{
    uint64_t due_us = DEADLINE_NEVER;

    for (const struct ikev1_phase *p = table->phases; p != NULL; p = p->next)
        due_us = deadline_min(due_us, phase_deadline(p));
    for (const struct ikev1_sa *sa = table->sas; sa != NULL; sa = sa->next) {
        if (sa->state != IKEV1_STATE_ESTABLISHED)
            continue;
        due_us = deadline_min(due_us, ikev1_children_deadline(sa));
        due_us = deadline_min(due_us, liveness_at(sa));
    }
    return due_us;
}

/* True: one has ended, so the list is another. */
static bool expire_quicks(struct ikev1_phase *p, uint64_t now_us)
{
    const struct ikev1_config *config = &p->profile->config;

    for (struct ikev1_quick *q = p->quicks; q != NULL; q = q->next) {
        if (ikev1_sent_expire(&q->sent, p->table, config, now_us) == ERR_OK)
            continue;
        ikev1_quick_fail(p, q, IKEV1_REASON_TIMEOUT, 0);
        return true;
    }
    return false;
}

/* True: something has ended. */
static bool expire_phase(struct ikev1_phase *p, uint64_t now_us)
{
    if (p->state != IKEV1_PHASE_UP) {
        if (p->until_us <= now_us) {
            const uint16_t notify = p->handshake->notify;
            ikev1_phase_fail(p,
                             p->handshake->is_bad_told ? IKEV1_REASON_NOT_AUTHENTIC
                             : notify != 0             ? IKEV1_REASON_REFUSED_BY_PEER
                                                       : IKEV1_REASON_TIMEOUT,
                             notify);
            return true;
        }
        /* its end is the phase's */
        if (p->is_initiator)
            (void)!ikev1_sent_expire(&p->sent, p->table, &p->profile->config, now_us);
        return false;
    }
    if (p->until_us <= now_us) {
        ikev1_tell_phase_gone(p);
        ikev1_phase_fail(p, IKEV1_REASON_EXPIRED, 0);
        return true;
    }
    if (p->rekey_at_us <= now_us) {
        p->rekey_at_us = now_us + p->profile->config.establish_timeout_us + SECOND_US;
        /* Under way from the other side, or no memory: then later. */
        (void)!ikev1_main_renew(p->sa, now_us);
    }
    return expire_quicks(p, now_us);
}

static void expire_liveness(struct ikev1_sa *sa, uint64_t now_us)
{
    if (liveness_at(sa) > now_us)
        return;
    if (!sa->is_asking) {
        ikev1_sa_check_alive(sa, now_us);
        return;
    }
    if (sa->ask_until_us <= now_us) {
        if (sa->heard_us + sa->profile->config.request_timeout_us >= sa->ask_until_us) {
            sa->is_asking = false; /* these answers were lost, but it has said other things since */
            return;
        }
        ikev1_sa_end(sa, IKEV1_REASON_TIMEOUT, 0);
        return;
    }
    ikev1_ask(sa, &sa->remote, sa->dpd_sequence);
    sa->ask_interval_us = sa->ask_interval_us / 100 * sa->profile->config.retransmit_factor_percent;
    sa->ask_at_us = now_us + sa->ask_interval_us;
}

void ikev1_table_expire(struct ikev1_table *table, uint64_t now_us)
{
    struct ikev1_phase *p = table->phases;

    while (p != NULL) {
        if (phase_deadline(p) > now_us || !expire_phase(p, now_us))
            p = p->next;
        else
            p = table
                    ->phases; /* others may have gone with it; what has ended does not come again */
    }
    for (struct ikev1_sa *sa = table->sas; sa != NULL; sa = sa->next) {
        if (sa->state == IKEV1_STATE_ESTABLISHED)
            ikev1_children_expire(sa, now_us);
        if (sa->state == IKEV1_STATE_ESTABLISHED)
            expire_liveness(sa, now_us);
    }
}
