/* Main Mode from the side that begins it: messages 1, 3 and 5. */
#include "crypto/memory.h"
#include "ikev1/main_mode.h"
#include <string.h>

/* The SA payload's body in a message that has just been built: the first payload. */
static void keep_offer(struct ikev1_handshake *h, const struct ikev1_draft *draft, size_t end)
{
    const size_t at = IKE_HEADER_LEN + IKE_PAYLOAD_HEADER_LEN;

    h->sa_body_len = end - at;
    memcpy(h->sa_body, draft->bytes + at, h->sa_body_len);
}

int ikev1_main_start(struct ikev1_phase *phase, uint64_t now_us)
{
    const struct ikev1_config *config = &phase->profile->config;
    struct ikev1_draft draft;

    ikev1_draft_begin(&draft, phase, ISAKMP_EXCHANGE_MAIN, 0);
    ikev1_suite_offer_phase1(config, &draft.b);
    if (!writer_is_ok(&draft.w) || draft.w.len > IKEV1_SA_BODY_MAX)
        return ERR_FULL;
    keep_offer(phase->handshake, &draft, draft.w.len);
    ikev1_nat_offer(&draft.b);
    const int error = ikev1_draft_end(&draft);
    if (error != ERR_OK)
        return error;
    phase->state = IKEV1_PHASE_1;
    phase->began_us = now_us;
    phase->until_us = now_us + config->establish_timeout_us;
    return ikev1_sent_set(&phase->sent, phase->table, config, &draft.w, &phase->remote,
                          phase->until_us, now_us);
}

int ikev1_main_receive_2(struct ikev1_phase *phase, const struct ikev1_message *message,
                         const struct ike_header *header, const struct endpoint *remote,
                         uint64_t now_us)
{
    const struct ikev1_config *config = &phase->profile->config;
    struct ikev1_choice choice;
    struct ikev1_draft draft;

    if (!endpoint_is_equal(remote, &phase->remote))
        return ERR_STATE;
    if (message->sa.body == NULL)
        return ERR_INVALID;
    int error = isakmp_sa_check(message->sa.body, message->sa.len);
    if (error != ERR_OK)
        return error;
    error = ikev1_suite_choose_phase1(config, message->sa.body, message->sa.len, true, &choice);
    if (error != ERR_OK)
        return error == ERR_NOT_FOUND ? ERR_INVALID : error;
    error = ikev1_nat_read_vendors(phase, message);
    if (error != ERR_OK) {
        ikev1_event_refuse(
            phase->table, remote, now_us,
            "it answers, but knows no NAT traversal (RFC 3947), and ESP is spoken in "
            "UDP alone");
        return error;
    }
    phase->cookie_r = header->spi_r;
    phase->proposal = choice.proposal;
    phase->life_us = choice.life_us;
    error = ikev1_main_build_keys(phase, &draft);
    if (error == ERR_OK)
        error = ikev1_sent_set(&phase->sent, phase->table, config, &draft.w, &phase->remote,
                               phase->until_us, now_us);
    if (error != ERR_OK) {
        phase->cookie_r = 0;
        return error;
    }
    phase->state = IKEV1_PHASE_3;
    return ERR_OK;
}

int ikev1_main_receive_4(struct ikev1_phase *phase, const struct ikev1_message *message,
                         const struct endpoint *remote, uint64_t now_us)
{
    const struct ikev1_config *config = &phase->profile->config;
    struct ikev1_draft draft;

    if (!endpoint_is_equal(remote, &phase->remote))
        return ERR_STATE;
    int error = ikev1_main_read_keys(phase, message, remote);
    if (error == ERR_OK)
        error = ikev1_main_compute_secret(phase);
    if (error == ERR_OK)
        error = ikev1_main_derive(phase, config, &phase->keys);
    if (error == ERR_OK)
        error = ikev1_main_first_iv(phase, phase->iv);
    if (error == ERR_OK)
        error = ikev1_main_build_proof(phase, config, &draft);
    if (error != ERR_OK)
        return error;
    /* From here on over the port of NAT traversal, as ESP will be. */
    const struct endpoint to = ikev1_nat_float(config, &phase->remote);
    error =
        ikev1_sent_set(&phase->sent, phase->table, config, &draft.w, &to, phase->until_us, now_us);
    if (error != ERR_OK)
        return error;
    phase->remote = to;
    phase->state = IKEV1_PHASE_5;
    return ERR_OK;
}

int ikev1_main_receive_6(struct ikev1_phase *phase, const struct ike_header *header,
                         const uint8_t *message, size_t len, const struct endpoint *remote,
                         uint64_t now_us)
{
    const struct ikev1_config *config = &phase->profile->config;
    struct ikev1_opened opened;
    struct ikev1_id id = {0};
    const char *why = NULL;

    if (!endpoint_is_equal(remote, &phase->remote))
        return ERR_STATE;
    int error = ikev1_message_open(&phase->keys, phase->iv, header, message, len, &opened);
    if (error == ERR_OK && !ikev1_main_may_check(phase, &opened.message, now_us))
        return ERR_LIMIT;
    if (error == ERR_OK)
        error = ikev1_main_check_proof(phase, &phase->keys, config, &opened.message, &id, &why);
    if (error == ERR_REFUSED || (error == ERR_AUTH && why != NULL))
        ikev1_main_refuse(phase, &id, why, remote, now_us);
    if (error == ERR_REFUSED) { /* the right key in the wrong hands */
        ikev1_phase_fail(phase, IKEV1_REASON_PEER_ID, 0);
        return ERR_OK;
    }
    if (error != ERR_OK)
        return error == ERR_CRYPTO || error == ERR_NOMEM ? error : ERR_AUTH;
    phase->is_contact = ikev1_main_has_initial_contact(&opened.message);
    memcpy(phase->iv, opened.last_block, sizeof(phase->iv));
    ikev1_sent_done(&phase->sent);
    ikev1_main_up(phase, &id, now_us);
    return ERR_OK;
}

int ikev1_main_renew(struct ikev1_sa *sa, uint64_t now_us)
{
    struct ikev1_phase *phase;
    unsigned count = 0;

    if (sa->state != IKEV1_STATE_ESTABLISHED)
        return ERR_STATE;
    for (const struct ikev1_phase *p = sa->table->phases; p != NULL; p = p->next) {
        if (p->sa == sa && p->state != IKEV1_PHASE_UP)
            return ERR_STATE;
        count += p->sa == sa;
    }
    if (count > IKEV1_PHASES_MAX)
        return ERR_LIMIT;
    if (sa->current != NULL) /* once more if this comes to nothing */
        sa->current->rekey_at_us = now_us + sa->profile->config.establish_timeout_us + SECOND_US;
    int error = ikev1_phase_new(sa->table, sa, true, &sa->remote, &phase);
    if (error != ERR_OK)
        return error;
    phase->profile = ikev1_profile_share(sa->profile);
    error = ikev1_main_start(phase, now_us);
    if (error != ERR_OK)
        ikev1_phase_free(phase);
    return error;
}
