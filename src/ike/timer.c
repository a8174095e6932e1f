/* Deadlines; see ike/timer.h. */
#include "ike/timer.h"
#include "crypto/memory.h"
#include "ike/child.h"
#include "ike/fragment.h"
#include "ike/generation.h"
#include "ike/life.h"
#include "ike/mobility.h"
#include "ike/rest.h"

/* 0 .. limit_us; without randomness, no jitter. */
static uint64_t random_up_to(uint64_t limit_us)
{
    uint64_t value;

    if (limit_us == 0 || crypto_random(&value, sizeof(value)) != ERR_OK)
        return 0;
    return value % (limit_us + 1);
}

void ike_timer_lifetime(const struct ike_config *config, uint64_t lifetime_us, uint64_t now_us,
                        uint64_t *ret_rekey_us, uint64_t *ret_hard_us)
{
    if (lifetime_us == 0) {
        *ret_rekey_us = *ret_hard_us = DEADLINE_NEVER;
        return;
    }
    *ret_rekey_us =
        now_us + lifetime_us - random_up_to(lifetime_us / 100 * config->rekey_jitter_percent);
    /* However short the lifetime, a rekey has the time that a request may take, repeats and a
     * refusal for the moment included. */
    uint64_t margin_us = lifetime_us / 100 * (config->hard_percent - 100);
    if (margin_us < config->request_timeout_us)
        margin_us = config->request_timeout_us;
    *ret_hard_us = now_us + lifetime_us + margin_us;
}

uint64_t ike_timer_retry(const struct ike_config *config, uint64_t now_us)
{
    return now_us + config->rekey_retry_us / 2 + random_up_to(config->rekey_retry_us);
}

static uint64_t dpd_due(const struct ike_sa *sa)
{
    uint64_t interval_us = ike_sa_config(sa)->dpd_interval_us;

    if (interval_us != 0 && sa->liveness_us != 0)
        interval_us = sa->liveness_us;
    if (interval_us == 0 || sa->is_resting || sa->wants_check || sa->current == NULL ||
        sa->current->request.kind != IKE_REQUEST_NONE)
        return DEADLINE_NEVER;
    return sa->heard_us + interval_us;
}

static uint64_t generation_due(const struct ike_generation *g)
{
    uint64_t due_us = g->drop_us;

    if (g->reassembly != NULL)
        due_us = deadline_min(due_us, g->reassembly->expires_us);
    if (g->request.kind == IKE_REQUEST_NONE)
        return due_us;
    if (g->request.data != NULL)
        due_us = deadline_min(due_us, g->request.repeat_us);
    return deadline_min(due_us, g->request.timeout_us);
}

static uint64_t child_due(const struct ike_child *c)
{
    if (c->state == IKE_CHILD_LINGERING)
        return c->linger_us;
    uint64_t due_us = c->hard_us;
    if (c->state == IKE_CHILD_LIVE)
        due_us = deadline_min(due_us, c->rekey_us);
    return due_us;
}

static uint64_t sa_due(const struct ike_sa *sa)
{
    uint64_t due_us = DEADLINE_NEVER;

    if (sa->state == IKE_STATE_CLOSED)
        return due_us;
    if (sa->state == IKE_STATE_CONNECTING)
        due_us = sa->establish_by_us;
    if (sa->state == IKE_STATE_CLOSING)
        due_us = sa->close_by_us;
    if (sa->state == IKE_STATE_ESTABLISHED)
        due_us = deadline_min(deadline_min(deadline_min(sa->rekey_us, sa->hard_us), dpd_due(sa)),
                              deadline_min(sa->move_by_us, ike_mobility_spare_due(sa)));
    for (const struct ike_generation *g = sa->generations; g != NULL; g = g->next)
        due_us = deadline_min(due_us, generation_due(g));
    for (const struct ike_child *c = sa->children; c != NULL; c = c->next)
        due_us = deadline_min(due_us, child_due(c));
    return due_us;
}

void ike_timer_update(struct ike_sa *sa)
{
    uint64_t due_us = deadline_min(sa_due(sa), DEADLINE_NEVER - 1);

    /* Its place in the heap exists since the SA's birth: this only moves it. */
    if (deadline_set(&sa->table->deadlines, &sa->deadline, due_us) != ERR_OK)
        ike_sa_fail(sa, IKE_REASON_FAILED_HERE, 0);
}

static void expire_generation(struct ike_generation *g, uint64_t now_us)
{
    struct ike_sa *sa = g->sa;

    if (g->reassembly != NULL && now_us >= g->reassembly->expires_us) {
        ike_reassembly_free(g->reassembly);
        g->reassembly = NULL;
    }
    ike_generation_repeat(g, now_us);
    bool is_unanswered = g->request.kind != IKE_REQUEST_NONE && now_us >= g->request.timeout_us;
    if (is_unanswered && g->request.kind == IKE_REQUEST_WAKE && sa->is_resting)
        ike_wake_park(&g->request);
    else if (is_unanswered && g->state == IKE_GENERATION_LIVE)
        ike_sa_fail(sa, IKE_REASON_TIMEOUT, 0);
    else if (is_unanswered || now_us >= g->drop_us) {
        ike_generation_retire(g, now_us);
        g->state = IKE_GENERATION_GONE;
    }
}

static int expire_child(struct ike_sa *sa, struct ike_child *c, uint64_t now_us)
{
    if (c->state == IKE_CHILD_LINGERING)
        return now_us >= c->linger_us ? ike_child_bury(sa, c) : ERR_OK;
    if (now_us >= c->hard_us) {
        c->hard_us = DEADLINE_NEVER;
        c->wants_delete = true;
        c->wants_rekey = false;
        c->reason = IKE_REASON_EXPIRED;
    }
    if (c->state == IKE_CHILD_LIVE && now_us >= c->rekey_us) {
        c->rekey_us = DEADLINE_NEVER;
        c->wants_rekey = !c->wants_delete;
    }
    return ERR_OK;
}

static enum ike_reason hint_reason(uint16_t hint)
{
    switch (hint) {
    case 0:
        return IKE_REASON_TIMEOUT;
    case IKE_NOTIFY_NO_PROPOSAL_CHOSEN:
    case IKE_NOTIFY_INVALID_KE_PAYLOAD:
        return IKE_REASON_NO_PROPOSAL;
    default:
        return IKE_REASON_PROTOCOL;
    }
}

static void expire_sa(struct ike_sa *sa, uint64_t now_us)
{
    if (sa->state == IKE_STATE_CONNECTING && now_us >= sa->establish_by_us) {
        if (sa->refused_reason != IKE_REASON_NONE)
            ike_sa_fail(sa, sa->refused_reason, sa->refused_notify);
        else
            ike_sa_fail(sa, hint_reason(sa->hint), sa->hint);
    }
    if (sa->state == IKE_STATE_CLOSING && now_us >= sa->close_by_us)
        ike_sa_fail(sa, IKE_REASON_TIMEOUT, 0);
    if (sa->state != IKE_STATE_ESTABLISHED)
        return;
    if (now_us >= sa->hard_us && sa->is_resting) {
        ike_sa_fail(sa, IKE_REASON_EXPIRED, 0); /* long after its path */
        return;
    }
    if (now_us >= sa->hard_us) {
        ike_sa_part(sa, IKE_REASON_EXPIRED, now_us);
        return;
    }
    if (now_us >= sa->move_by_us && ike_mobility_expire(sa, now_us) != ERR_OK) {
        ike_sa_fail(sa, IKE_REASON_FAILED_HERE, 0);
        return;
    }
    ike_mobility_take_spare(sa, now_us);
    if (now_us >= sa->rekey_us) {
        sa->rekey_us = DEADLINE_NEVER;
        sa->wants_rekey = true;
    }
    if (now_us >= dpd_due(sa))
        sa->wants_check = true;
}

void ike_sa_expire(struct ike_sa *sa, uint64_t now_us)
{
    struct ike_child *next;

    expire_sa(sa, now_us);
    for (struct ike_generation *g = sa->generations; g != NULL && sa->state != IKE_STATE_CLOSED;
         g = g->next)
        expire_generation(g, now_us);
    for (struct ike_child *c = sa->children; c != NULL && sa->state != IKE_STATE_CLOSED; c = next) {
        next = c->next;
        if (expire_child(sa, c, now_us) != ERR_OK)
            ike_sa_fail(sa, IKE_REASON_FAILED_HERE, 0);
    }
    ike_sa_sweep(sa);
    ike_timer_update(sa);
}
