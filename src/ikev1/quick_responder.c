/* Quick Mode from the side that answers: message 2, and what message 3 proves. */
#include "crypto/memory.h"
#include "ikev1/main_mode.h"
#include "ikev1/quick.h"
#include <string.h>

/* What message 1 asks for and how we take it; 0, or the notify that refuses it. */
struct request {
    struct ikev1_choice choice;
    struct ikev1_selectors selectors;
};

static uint16_t judge(struct ikev1_phase *phase, const struct ikev1_message *m,
                      const struct endpoint *remote, uint64_t now_us, struct request *ret_request)
{
    const struct ikev1_config *config = &phase->sa->profile->config;
    char text[160] = "";

    if (m->sa.body == NULL || isakmp_sa_check(m->sa.body, m->sa.len) != ERR_OK ||
        ikev1_suite_choose_phase2(config, m->sa.body, m->sa.len, false, &ret_request->choice) !=
            ERR_OK) {
        if (m->sa.body != NULL && isakmp_sa_check(m->sa.body, m->sa.len) == ERR_OK)
            ikev1_suite_describe_phase2(m->sa.body, m->sa.len, text, sizeof(text));
        ikev1_event_refuse(phase->table, remote, now_us,
                           "it offers for ESP only what is not taken here: %s", text);
        return ISAKMP_NOTIFY_NO_PROPOSAL_CHOSEN;
    }
    if (ikev1_quick_read_ids(phase->sa, m, true, remote, &ret_request->selectors) != ERR_OK ||
        !ikev1_quick_allows(config, &ret_request->selectors)) {
        ikev1_event_refuse(phase->table, remote, now_us,
                           "it wants a tunnel between addresses that are not configured for it");
        return ISAKMP_NOTIFY_INVALID_ID_INFORMATION;
    }
    if (ikev1_quick_check_keys(m, ret_request->choice.group) != ERR_OK)
        return ISAKMP_NOTIFY_INVALID_KEY_INFORMATION;
    return 0;
}

/* Draws our part, and computes what both have. */
static int agree(struct ikev1_phase *phase, struct ikev1_quick *q, const struct ikev1_message *m,
                 enum kex_group group, struct kex_secret *ret_secret)
{
    memcpy(q->nonce_i, m->nonce.body, m->nonce.len);
    q->nonce_i_len = m->nonce.len;
    q->nonce_r_len = IKEV1_NONCE_LEN;
    int error = ikev1_child_draw_spi(phase->sa, &q->spi_in);
    if (error == ERR_OK)
        error = crypto_random(q->nonce_r, IKEV1_NONCE_LEN);
    if (error == ERR_OK && group != KEX_NONE)
        error = kex_init(&q->kex, group);
    if (error == ERR_OK && group != KEX_NONE)
        error = kex_derive(&q->kex, m->ke.body, m->ke.len, ret_secret);
    return error;
}

static int send_2(struct ikev1_phase *phase, struct ikev1_quick *q, const struct request *request,
                  bool has_ids, const struct endpoint *remote, uint64_t now_us)
{
    const struct ikev1_config *config = &phase->sa->profile->config;
    struct ikev1_draft draft;

    ikev1_draft_begin(&draft, phase, ISAKMP_EXCHANGE_QUICK, q->message_id);
    ikev1_draft_hash(&draft, &phase->keys);
    ikev1_suite_answer_phase2(&request->choice, q->spi_in, &draft.b);
    isakmp_build_payload(&draft.b, ISAKMP_PAYLOAD_NONCE);
    writer_bytes(&draft.w, q->nonce_r, q->nonce_r_len);
    if (q->kex.group != KEX_NONE) {
        isakmp_build_payload(&draft.b, ISAKMP_PAYLOAD_KE);
        writer_bytes(&draft.w, q->kex.public_key, q->kex.public_len);
    }
    if (has_ids)
        ikev1_quick_build_ids(&q->selectors, false, &draft.b);
    ikev1_nat_build_original(phase, config, &draft.b, false);
    const int error =
        ikev1_draft_prove(&draft, &phase->keys, q->message_id, q->nonce_i, q->nonce_i_len, q->iv);
    if (error != ERR_OK)
        return error;
    return ikev1_sent_set(&q->sent, phase->table, config, &draft.w, remote,
                          now_us + config->request_timeout_us, now_us);
}

/* An authentic and new message 1. */
static int take_1(struct ikev1_phase *phase, struct ikev1_quick *q, const struct ikev1_message *m,
                  const struct endpoint *remote, uint64_t now_us)
{
    struct request request = {.choice = {.number = 0}};
    struct kex_secret secret = {0};
    struct ikev1_child *child;
    const struct ikev1_child *before = ikev1_child_live(phase->sa);

    const uint16_t notify = judge(phase, m, remote, now_us, &request);
    if (notify != 0) {
        ikev1_tell_error(phase, remote, notify, 0);
        return ERR_AGAIN;
    }
    const enum kex_group group = request.choice.group;
    q->selectors = request.selectors;
    int error = agree(phase, q, m, group, &secret);
    if (error == ERR_INVALID) {
        ikev1_tell_error(phase, remote, ISAKMP_NOTIFY_INVALID_KEY_INFORMATION, 0);
        return ERR_AGAIN;
    }
    struct ikev1_birth birth = {
        .phase = phase,
        .quick = q,
        .suite = request.choice.suite,
        .spi_out = request.choice.spi,
        .life_us = request.choice.life_us,
        .secret = group != KEX_NONE ? &secret : NULL,
        .rekey_of = before != NULL ? before->number : 0,
        .is_outbound = false, /* once message 3 is here */
    };
    ikev1_nat_read_original(m, true, &birth.peer);
    if (error == ERR_OK)
        error = send_2(phase, q, &request, m->id_count == 2, remote, now_us);
    /* What the peer sends with it may overtake message 3. */
    if (error == ERR_OK)
        error = ikev1_child_install(phase->sa, &birth, now_us, &child);
    if (error == ERR_OK)
        q->child = child->number;
    kex_secret_done(&secret);
    kex_done(&q->kex);
    return error;
}

int ikev1_quick_accept(struct ikev1_phase *phase, const struct ike_header *header,
                       const uint8_t *message, size_t len, const struct endpoint *remote,
                       uint64_t now_us)
{
    const uint32_t id = header->message_id;
    uint8_t iv[CBC_BLOCK_LEN];
    struct ikev1_opened opened;
    struct ikev1_quick *q;

    int error = ikev1_iv_exchange(phase->keys.hash, phase->iv, id, iv);
    if (error == ERR_OK)
        error = ikev1_message_open(&phase->keys, iv, header, message, len, &opened);
    if (error == ERR_OK)
        error = ikev1_quick_check_hash(phase, &opened.message, id, NULL, 0);
    if (error != ERR_OK)
        goto wipe;
    /* An old one again would bring up a child that nobody has the keys of. */
    if (!ikev1_id_is_new(phase, id)) {
        error = ERR_REPLAY;
        goto wipe;
    }
    error = ikev1_quick_new(phase, false, id, now_us, &q);
    if (error != ERR_OK)
        goto wipe;
    memcpy(q->iv, opened.last_block, sizeof(q->iv));
    error = ikev1_digest(message, len, q->digest);
    if (error == ERR_OK)
        error = take_1(phase, q, &opened.message, remote, now_us);
    if (error != ERR_OK)
        ikev1_quick_end(phase, q);
    ikev1_heard(phase, remote, now_us);
wipe:
    crypto_wipe(&opened, sizeof(opened));
    return error;
}

int ikev1_quick_receive_3(struct ikev1_phase *phase, struct ikev1_quick *q,
                          const struct ikev1_opened *opened, uint64_t now_us)
{
    const struct ikev1_message *m = &opened->message;
    uint8_t hash[HASH_LEN_MAX];
    struct piece rest;

    int error = ikev1_keys_hash3(&phase->keys, q->message_id, q->nonce_i, q->nonce_i_len,
                                 q->nonce_r, q->nonce_r_len, hash);
    if (error != ERR_OK)
        return error;
    if (ikev1_message_hashed(m, &rest) != ERR_OK || m->hash.len != hash_len(phase->keys.hash) ||
        !crypto_is_equal(hash, m->hash.body, m->hash.len))
        return ERR_AUTH;
    struct ikev1_child *child = ikev1_child_find(phase->sa, q->child);
    if (child != NULL)
        ikev1_child_use(phase->sa, child, now_us);
    ikev1_quick_end(phase, q);
    return ERR_OK;
}
