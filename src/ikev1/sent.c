/* Messages on their way out: the outbox, and retransmission. IKEv1 has no rule of its own: who
 * waits for an answer repeats its message; who has answered repeats the answer for a copy of the
 * question, a few times, so that nobody is used as an amplifier. */
#include "ikev1/state.h"
#include <stdlib.h>
#include <string.h>

void ikev1_send(struct ikev1_table *table, const uint8_t *bytes, size_t len,
                const struct endpoint *remote)
{
    if (table->outbox_count == IKEV1_OUTBOX_MAX)
        return;
    uint8_t *copy = (uint8_t *)malloc(len);
    if (copy == NULL)
        return;
    memcpy(copy, bytes, len);
    const size_t at = (table->outbox_at + table->outbox_count++) % IKEV1_OUTBOX_MAX;
    table->outbox[at] = (struct ikev1_outgoing){*remote, copy, len};
}

void ikev1_sent_done(struct ikev1_sent *sent)
{
    free(sent->bytes);
    *sent = (struct ikev1_sent){.due_us = DEADLINE_NEVER, .until_us = DEADLINE_NEVER};
}

int ikev1_sent_set(struct ikev1_sent *sent, struct ikev1_table *table,
                   const struct ikev1_config *config, const struct writer *w,
                   const struct endpoint *remote, uint64_t until_us, uint64_t now_us)
{
    uint8_t *copy = (uint8_t *)malloc(w->len);

    if (copy == NULL)
        return ERR_NOMEM;
    memcpy(copy, w->base, w->len);
    ikev1_sent_done(sent);
    sent->bytes = copy;
    sent->len = w->len;
    sent->remote = *remote;
    if (until_us != 0) {
        sent->interval_us = config->retransmit_first_us;
        sent->due_us = now_us + sent->interval_us;
        sent->until_us = until_us;
    }
    ikev1_send(table, copy, w->len, remote);
    return ERR_OK;
}

void ikev1_sent_repeat(struct ikev1_sent *sent, struct ikev1_table *table,
                       const struct endpoint *remote)
{
    if (sent->bytes == NULL || sent->repeats >= IKEV1_REPEATS_MAX)
        return;
    sent->repeats++;
    ikev1_send(table, sent->bytes, sent->len, remote);
}

int ikev1_sent_expire(struct ikev1_sent *sent, struct ikev1_table *table,
                      const struct ikev1_config *config, uint64_t now_us)
{
    if (sent->bytes == NULL)
        return ERR_OK;
    if (sent->until_us <= now_us)
        return ERR_TIMEOUT;
    if (sent->due_us <= now_us) {
        ikev1_send(table, sent->bytes, sent->len, &sent->remote);
        sent->interval_us = sent->interval_us / 100 * config->retransmit_factor_percent;
        sent->due_us = now_us + sent->interval_us;
    }
    return ERR_OK;
}

uint64_t ikev1_sent_deadline(const struct ikev1_sent *sent)
{
    return sent->bytes != NULL ? deadline_min(sent->due_us, sent->until_us) : DEADLINE_NEVER;
}
