/* Quick Mode from the side that begins it: messages 1 and 3. */
#include "crypto/memory.h"
#include "ikev1/quick.h"
#include <string.h>

static int draw(struct ikev1_phase *phase, struct ikev1_quick *q, enum kex_group group)
{
    int error = ikev1_child_draw_spi(phase->sa, &q->spi_in);
    if (error == ERR_OK)
        error = crypto_random(q->nonce_i, IKEV1_NONCE_LEN);
    if (error == ERR_OK && group != KEX_NONE)
        error = kex_init(&q->kex, group);
    q->nonce_i_len = IKEV1_NONCE_LEN;
    return error;
}

static int send_1(struct ikev1_phase *phase, struct ikev1_quick *q, uint64_t now_us)
{
    const struct ikev1_config *config = &phase->sa->profile->config;
    struct ikev1_draft draft;

    ikev1_draft_begin(&draft, phase, ISAKMP_EXCHANGE_QUICK, q->message_id);
    ikev1_draft_hash(&draft, &phase->keys);
    ikev1_suite_offer_phase2(config, phase->natt, config->pfs, q->spi_in, &draft.b);
    isakmp_build_payload(&draft.b, ISAKMP_PAYLOAD_NONCE);
    writer_bytes(&draft.w, q->nonce_i, q->nonce_i_len);
    if (q->kex.group != KEX_NONE) {
        isakmp_build_payload(&draft.b, ISAKMP_PAYLOAD_KE);
        writer_bytes(&draft.w, q->kex.public_key, q->kex.public_len);
    }
    ikev1_quick_build_ids(&q->selectors, true, &draft.b);
    ikev1_nat_build_original(phase, config, &draft.b, true);
    const int error = ikev1_draft_prove(&draft, &phase->keys, q->message_id, NULL, 0, q->iv);
    if (error != ERR_OK)
        return error;
    return ikev1_sent_set(&q->sent, phase->table, config, &draft.w, &phase->sa->remote,
                          now_us + config->request_timeout_us, now_us);
}

int ikev1_quick_start(struct ikev1_sa *sa, uint32_t rekey_of, uint64_t now_us)
{
    struct ikev1_phase *phase = sa->current;
    struct ikev1_quick *q;
    uint32_t message_id = 0;

    if (phase == NULL || sa->state != IKEV1_STATE_ESTABLISHED)
        return ERR_STATE;
    while (message_id == 0 || !ikev1_id_is_new(phase, message_id)) {
        const int error = crypto_random(&message_id, sizeof(message_id));
        if (error != ERR_OK)
            return error;
    }
    int error = ikev1_quick_new(phase, true, message_id, now_us, &q);
    if (error != ERR_OK)
        return error;
    q->rekey_of = rekey_of;
    q->selectors = ikev1_quick_wish(sa);
    error = draw(phase, q, sa->profile->config.pfs);
    if (error == ERR_OK)
        error = send_1(phase, q, now_us);
    if (error != ERR_OK)
        ikev1_quick_end(phase, q);
    return error;
}

/* Asks whether the peer lives: an answer comes from behind message 3. */
static void confirm(struct ikev1_phase *phase, struct ikev1_child *child, uint64_t now_us)
{
    struct ikev1_sa *sa = phase->sa;

    if (child->is_outbound || !phase->has_dpd)
        return;
    sa->is_asking = false; /* one that was asked before says nothing of this */
    ikev1_sa_check_alive(sa, now_us);
    child->is_unconfirmed = sa->is_asking;
    child->confirm_sequence = sa->dpd_sequence;
    child->outbound_at_us = now_us + IKEV1_CONFIRM_US;
}

static int send_3(struct ikev1_phase *phase, struct ikev1_quick *q, uint64_t now_us)
{
    const struct ikev1_config *config = &phase->sa->profile->config;
    uint8_t hash[HASH_LEN_MAX];
    struct ikev1_draft draft;

    int error = ikev1_keys_hash3(&phase->keys, q->message_id, q->nonce_i, q->nonce_i_len,
                                 q->nonce_r, q->nonce_r_len, hash);
    if (error != ERR_OK)
        return error;
    ikev1_draft_begin(&draft, phase, ISAKMP_EXCHANGE_QUICK, q->message_id);
    ikev1_draft_hash(&draft, &phase->keys);
    if (!writer_is_ok(&draft.w))
        return draft.w.error;
    memcpy(draft.bytes + draft.hash_at, hash, draft.hash_len);
    error = ikev1_draft_seal(&draft, &phase->keys, q->iv);
    if (error != ERR_OK)
        return error;
    error = ikev1_sent_set(&q->sent, phase->table, config, &draft.w, &phase->sa->remote, 0, now_us);
    /* Nothing answers message 3: it is kept for copies of message 2, as long as those may come. */
    q->sent.until_us = now_us + config->request_timeout_us;
    return error;
}

static bool is_same(const struct ikev1_selectors *a, const struct ikev1_selectors *b)
{
    return a->local.bits == b->local.bits && a->remote.bits == b->remote.bits &&
           address_is_equal(&a->local.address, &b->local.address) &&
           address_is_equal(&a->remote.address, &b->remote.address) && a->protocol == b->protocol &&
           a->local_port == b->local_port && a->remote_port == b->remote_port;
}

/* An authentic answer that does not fit what was asked for. */
static int misfit(struct ikev1_phase *phase, struct ikev1_quick *q, const struct endpoint *remote,
                  uint16_t notify)
{
    ikev1_tell_error(phase, remote, notify, q->spi_in);
    ikev1_quick_fail(phase, q, IKEV1_REASON_NO_PROPOSAL, notify);
    return ERR_AGAIN;
}

int ikev1_quick_receive_2(struct ikev1_phase *phase, struct ikev1_quick *q,
                          const struct ikev1_opened *opened, const struct endpoint *remote,
                          uint64_t now_us)
{
    const struct ikev1_config *config = &phase->sa->profile->config;
    const struct ikev1_message *m = &opened->message;
    struct ikev1_choice choice;
    struct ikev1_selectors selectors;
    struct kex_secret secret = {0};
    struct ikev1_child *child;

    int error = ikev1_quick_check_hash(phase, m, q->message_id, q->nonce_i, q->nonce_i_len);
    if (error != ERR_OK)
        return error;
    if (m->sa.body == NULL || isakmp_sa_check(m->sa.body, m->sa.len) != ERR_OK ||
        ikev1_suite_choose_phase2(config, m->sa.body, m->sa.len, true, &choice) != ERR_OK)
        return misfit(phase, q, remote, ISAKMP_NOTIFY_NO_PROPOSAL_CHOSEN);
    /* RFC 2409, 5.5: the identities are repeated; in transport form the peer may have put those in
     * that it knows us both by. */
    if (ikev1_quick_read_ids(phase->sa, m, false, remote, &selectors) != ERR_OK ||
        (m->id_count == 2 && config->mode == CHILD_TUNNEL && !is_same(&selectors, &q->selectors)))
        return misfit(phase, q, remote, ISAKMP_NOTIFY_INVALID_ID_INFORMATION);
    if (ikev1_quick_check_keys(m, q->kex.group) != ERR_OK ||
        (q->kex.group != KEX_NONE && kex_derive(&q->kex, m->ke.body, m->ke.len, &secret) != ERR_OK))
        return misfit(phase, q, remote, ISAKMP_NOTIFY_INVALID_KEY_INFORMATION);
    memcpy(q->nonce_r, m->nonce.body, m->nonce.len);
    q->nonce_r_len = m->nonce.len;
    memcpy(q->iv, opened->last_block, sizeof(q->iv));

    struct ikev1_birth birth = {
        .phase = phase,
        .quick = q,
        .suite = choice.suite,
        .spi_out = choice.spi,
        .life_us = choice.life_us,
        .secret = q->kex.group != KEX_NONE ? &secret : NULL,
        .rekey_of = q->rekey_of,
        /* The peer has it once it has taken message 3: where there is another child meanwhile, that
         * one is used until then. */
        .is_outbound = ikev1_child_live(phase->sa) == NULL && !phase->has_dpd,
    };
    ikev1_nat_read_original(m, false, &birth.peer);
    error = send_3(phase, q, now_us);
    if (error == ERR_OK)
        error = ikev1_child_install(phase->sa, &birth, now_us, &child);
    kex_secret_done(&secret);
    if (error != ERR_OK) {
        ikev1_quick_fail(phase, q, IKEV1_REASON_FAILED_HERE, 0);
        return ERR_AGAIN;
    }
    confirm(phase, child, now_us);
    kex_done(&q->kex);
    q->is_done = true;
    return ERR_OK;
}
