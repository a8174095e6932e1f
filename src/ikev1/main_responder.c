/* Main Mode from the side that answers: messages 2, 4 and 6. Whoever sends message 1 costs a
 * half-open phase 1, of which there are few, in all and for one address; nobody hears of it before
 * message 5 has proven a shared key. */
#include "crypto/memory.h"
#include "ikev1/main_mode.h"
#include <string.h>

/* A refusal in the clear, as there are no keys yet (RFC 2408, 3.14). */
static void reply_error(struct ikev1_table *table, const struct ike_header *to, uint16_t type,
                        const struct endpoint *remote, uint64_t now_us)
{
    uint8_t bytes[IKE_HEADER_LEN + 32];
    struct writer w;
    struct ike_builder b;
    struct ike_header header = {
        .spi_i = to->spi_i,
        .major_version = ISAKMP_MAJOR_VERSION,
        .exchange = ISAKMP_EXCHANGE_INFORMATIONAL,
    };
    const struct ike_notify notify = {.protocol = ISAKMP_PROTOCOL_ISAKMP, .type = type};

    if (!bucket_take(&table->replies, table->limits.replies_per_second,
                     SECOND_US / table->limits.replies_per_second, now_us) ||
        crypto_random(&header.message_id, sizeof(header.message_id)) != ERR_OK)
        return;
    writer_init(&w, bytes, sizeof(bytes));
    ike_build_begin(&b, &w, &header);
    isakmp_build_notify(&b, &notify);
    ike_build_end(&b, 0);
    if (writer_is_ok(&w))
        ikev1_send(table, bytes, w.len, remote);
}

/* A copy of a message 1 that has been answered: answered again. */
static bool repeat_answer(struct ikev1_table *table, const struct ike_header *header,
                          const uint8_t *digest, const struct endpoint *remote)
{
    for (struct ikev1_phase *p = table->phases; p != NULL; p = p->next) {
        if (p->is_initiator || p->cookie_i != header->spi_i ||
            !address_is_equal(&p->remote.address, &remote->address))
            continue;
        if (p->state == IKEV1_PHASE_2 && crypto_is_equal(p->digest, digest, SHA256_LEN))
            ikev1_sent_repeat(&p->sent, table, remote);
        return true; /* one answer for a cookie, whatever else it says */
    }
    return false;
}

static bool has_room(const struct ikev1_table *table, const struct endpoint *remote)
{
    uint32_t there = 0;

    if (table->half_open_count >= table->limits.half_open_max)
        return false;
    for (const struct ikev1_phase *p = table->phases; p != NULL; p = p->next)
        there += p->sa == NULL && address_is_equal(&p->remote.address, &remote->address);
    return there < table->limits.half_open_per_address_max;
}

/* The first profile that takes something decides what; those that would take the same remain. */
static int choose(struct ikev1_handshake *h, struct ikev1_profile *const *responders, size_t count,
                  const struct ike_payload *sa, struct ikev1_choice *ret_choice)
{
    struct ikev1_choice choice;

    for (size_t i = 0; i < count && h->candidate_count < IKEV1_CANDIDATES_MAX; i++) {
        if (ikev1_suite_choose_phase1(&responders[i]->config, sa->body, sa->len, false, &choice) !=
            ERR_OK)
            continue;
        if (h->candidate_count == 0)
            *ret_choice = choice;
        else if (choice.transform.raw != ret_choice->transform.raw)
            continue;
        h->candidates[h->candidate_count++] = ikev1_profile_share(responders[i]);
    }
    return h->candidate_count > 0 ? ERR_OK : ERR_NOT_FOUND;
}

static int answer_1(struct ikev1_phase *phase, const struct ikev1_choice *choice, uint64_t now_us)
{
    const struct ikev1_config *config = &phase->handshake->candidates[0]->config;
    struct ikev1_draft draft;

    phase->proposal = choice->proposal;
    phase->life_us = choice->life_us;
    ikev1_draft_begin(&draft, phase, ISAKMP_EXCHANGE_MAIN, 0);
    ikev1_suite_answer_phase1(choice, &draft.b);
    ikev1_nat_answer(phase, &draft.b);
    const int error = ikev1_draft_end(&draft);
    if (error != ERR_OK)
        return error;
    phase->state = IKEV1_PHASE_2;
    phase->began_us = now_us;
    phase->until_us = now_us + config->half_open_timeout_us;
    return ikev1_sent_set(&phase->sent, phase->table, config, &draft.w, &phase->remote, 0, now_us);
}

/* What a well-formed message 1 leads to; the phase is new. */
static int take_1(struct ikev1_phase *phase, struct ikev1_profile *const *responders, size_t count,
                  const struct ike_header *header, const struct ikev1_message *m, uint64_t now_us)
{
    struct ikev1_handshake *h = phase->handshake;
    struct ikev1_choice choice;
    char text[160];

    phase->cookie_i = header->spi_i;
    int error = choose(h, responders, count, &m->sa, &choice);
    if (error != ERR_OK) {
        ikev1_suite_describe_phase1(m->sa.body, m->sa.len, text, sizeof(text));
        ikev1_event_refuse(phase->table, &phase->remote, now_us,
                           "it offers for IKEv1 only what is not taken here: %s", text);
        reply_error(phase->table, header, ISAKMP_NOTIFY_NO_PROPOSAL_CHOSEN, &phase->remote, now_us);
        return ERR_AGAIN;
    }
    error = ikev1_nat_read_vendors(phase, m);
    if (error != ERR_OK) {
        ikev1_event_refuse(phase->table, &phase->remote, now_us,
                           "it knows no NAT traversal (RFC 3947), and ESP is spoken in UDP alone");
        reply_error(phase->table, header, ISAKMP_NOTIFY_NO_PROPOSAL_CHOSEN, &phase->remote, now_us);
        return ERR_AGAIN;
    }
    memcpy(h->sa_body, m->sa.body, m->sa.len);
    h->sa_body_len = m->sa.len;
    return answer_1(phase, &choice, now_us);
}

int ikev1_main_accept(struct ikev1_table *table, struct ikev1_profile *const *responders,
                      size_t responder_count, const struct ike_header *header,
                      const uint8_t *message, size_t len, const struct endpoint *remote,
                      uint64_t now_us)
{
    uint8_t digest[SHA256_LEN];
    struct ikev1_phase *phase;
    struct ikev1_message m;

    if (responder_count == 0)
        return ERR_REFUSED;
    if (header->message_id != 0 || (header->flags & ISAKMP_FLAG_ENCRYPTED) != 0)
        return ERR_INVALID;
    int error = ikev1_digest(message, len, digest);
    if (error != ERR_OK)
        return error;
    if (repeat_answer(table, header, digest, remote))
        return ERR_AGAIN;
    error = ikev1_message_parse(&m, header->next_payload, message + IKE_HEADER_LEN,
                                len - IKE_HEADER_LEN, false);
    if (error != ERR_OK)
        return error;
    if (header->exchange == ISAKMP_EXCHANGE_AGGRESSIVE) {
        ikev1_event_refuse(table, remote, now_us,
                           "it wants Aggressive Mode, which gives away what a shared key can be "
                           "guessed by; Main Mode is taken");
        reply_error(table, header, ISAKMP_NOTIFY_UNSUPPORTED_EXCHANGE_TYPE, remote, now_us);
        return ERR_AGAIN;
    }
    if (m.first != ISAKMP_PAYLOAD_SA || m.sa.len > IKEV1_SA_BODY_MAX)
        return ERR_INVALID;
    error = isakmp_sa_check(m.sa.body, m.sa.len);
    if (error != ERR_OK)
        return error;
    if (!has_room(table, remote))
        return ERR_LIMIT;
    error = ikev1_phase_new(table, NULL, false, remote, &phase);
    if (error != ERR_OK)
        return error;
    memcpy(phase->digest, digest, sizeof(digest));
    error = take_1(phase, responders, responder_count, header, &m, now_us);
    if (error != ERR_OK)
        ikev1_phase_free(phase);
    return error;
}

int ikev1_main_receive_3(struct ikev1_phase *phase, const struct ikev1_message *message,
                         const struct endpoint *remote, uint64_t now_us)
{
    const struct ikev1_config *config = &phase->handshake->candidates[0]->config;
    struct ikev1_draft draft;

    if (!endpoint_is_equal(remote, &phase->remote))
        return ERR_STATE;
    int error = ikev1_main_read_keys(phase, message, remote);
    if (error == ERR_OK)
        error = ikev1_main_build_keys(phase, &draft);
    if (error == ERR_OK)
        error = ikev1_main_compute_secret(phase);
    if (error == ERR_OK)
        error = ikev1_sent_set(&phase->sent, phase->table, config, &draft.w, remote, 0, now_us);
    if (error == ERR_OK)
        phase->state = IKEV1_PHASE_4;
    return error;
}

/* The peer has been here already, or is being called at this very moment: one SA for both. */
static struct ikev1_sa *find_sa(const struct ikev1_phase *phase, struct ikev1_profile *profile,
                                const struct ikev1_id *id, const struct endpoint *remote)
{
    for (struct ikev1_sa *sa = phase->table->sas; sa != NULL; sa = sa->next) {
        if (sa->profile != profile || sa->state == IKEV1_STATE_CLOSED ||
            !address_is_equal(&sa->remote.address, &remote->address))
            continue;
        if (sa->state == IKEV1_STATE_CONNECTING || ikev1_id_is_equal(&sa->peer_id, id))
            return sa;
    }
    return NULL;
}

/* Message 5 is authentic; everything that may fail is done before anything is changed but what the
 * phase itself is. */
static int establish(struct ikev1_phase *phase, struct ikev1_profile *profile,
                     const struct ikev1_id *id, const struct endpoint *remote, uint64_t now_us)
{
    struct ikev1_sa *sa = find_sa(phase, profile, id, remote);
    struct ikev1_draft draft;
    int error = ERR_OK;

    if (sa == NULL)
        error = ikev1_sa_new(phase->table, profile, remote, false, &sa);
    if (error != ERR_OK)
        return error;
    phase->profile = ikev1_profile_share(profile);
    error = ikev1_main_build_proof(phase, &profile->config, &draft);
    if (error == ERR_OK)
        error = ikev1_sent_set(&phase->sent, phase->table, &profile->config, &draft.w, remote, 0,
                               now_us);
    if (error != ERR_OK) {
        ikev1_phase_free(phase);
        if (sa->state == IKEV1_STATE_CONNECTING && !sa->is_initiator)
            ikev1_sa_free(sa);
        return error;
    }
    phase->table->half_open_count--;
    phase->sa = sa;
    phase->remote = *remote;
    ikev1_main_up(phase, id, now_us);
    return ERR_OK;
}

int ikev1_main_receive_5(struct ikev1_phase *phase, const struct ike_header *header,
                         const uint8_t *message, size_t len, const struct endpoint *remote,
                         uint64_t now_us)
{
    struct ikev1_handshake *h = phase->handshake;
    uint8_t iv[CBC_BLOCK_LEN];
    struct ikev1_opened opened;
    struct ikev1_keys keys;
    struct ikev1_id id, other = {0};
    struct ikev1_profile *profile = NULL;
    const char *why = "it does not have the shared key, or another one";
    uint8_t digest[SHA256_LEN];
    bool is_counted = false;

    if ((header->flags & ISAKMP_FLAG_ENCRYPTED) == 0)
        return ERR_STATE;
    int error = ikev1_main_first_iv(phase, iv);
    if (error == ERR_OK)
        error = ikev1_digest(message, len, digest);
    for (size_t i = 0; i < h->candidate_count && profile == NULL && error == ERR_OK; i++) {
        const struct ikev1_config *config = &h->candidates[i]->config;
        error = ikev1_main_derive(phase, config, &keys);
        if (error != ERR_OK || ikev1_message_open(&keys, iv, header, message, len, &opened) != 0)
            continue;
        if (!is_counted && !ikev1_main_may_check(phase, &opened.message, now_us)) {
            error = ERR_LIMIT;
            break;
        }
        is_counted = true;
        const int result = ikev1_main_check_proof(phase, &keys, config, &opened.message, &id, &why);
        if (result == ERR_OK)
            profile = h->candidates[i];
        else if (result == ERR_REFUSED)
            other = id;
    }
    if (profile != NULL && error == ERR_OK) {
        phase->keys = keys;
        phase->is_contact = ikev1_main_has_initial_contact(&opened.message);
        memcpy(phase->digest, digest, sizeof(digest));
        memcpy(phase->iv, opened.last_block, sizeof(phase->iv));
        error = establish(phase, profile, &id, remote, now_us);
    } else if (error == ERR_OK) {
        /* Whoever made it up cannot end the half-open one with it. */
        error = ERR_AUTH;
        ikev1_main_refuse(phase, &other, why, remote, now_us);
    }
    crypto_wipe(&keys, sizeof(keys));
    crypto_wipe(&opened, sizeof(opened));
    return error;
}
