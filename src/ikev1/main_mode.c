/* Main Mode, both sides' parts; see ikev1/main_mode.h. */
#include "ikev1/main_mode.h"
#include "crypto/memory.h"
#include "ikev1/signature.h"
#include <string.h>

#define NONCE_LEN_MIN 8 /* RFC 2409, 5 */
/* A responder leaves it to the initiator to renew phase 1, and does so itself if that does not
 * come: after half of what is left. */
#define RESPONDER_PART 2

int ikev1_digest(const uint8_t *message, size_t len, uint8_t ret_digest[SHA256_LEN])
{
    const struct piece piece = {message, len};
    return sha256(&piece, 1, ret_digest);
}

int ikev1_main_build_keys(struct ikev1_phase *phase, struct ikev1_draft *draft)
{
    struct ikev1_handshake *h = phase->handshake;
    uint8_t *nonce = phase->is_initiator ? h->nonce_i : h->nonce_r;

    int error = kex_init(&h->kex, phase->proposal.group);
    if (error == ERR_OK)
        error = crypto_random(nonce, IKEV1_NONCE_LEN);
    if (error != ERR_OK)
        return error;
    *(phase->is_initiator ? &h->nonce_i_len : &h->nonce_r_len) = IKEV1_NONCE_LEN;
    ikev1_draft_begin(draft, phase, ISAKMP_EXCHANGE_MAIN, 0);
    isakmp_build_payload(&draft->b, ISAKMP_PAYLOAD_KE);
    writer_bytes(&draft->w, h->kex.public_key, h->kex.public_len);
    isakmp_build_payload(&draft->b, ISAKMP_PAYLOAD_NONCE);
    writer_bytes(&draft->w, nonce, IKEV1_NONCE_LEN);
    if (phase->is_initiator)
        ikev1_signature_ask(&phase->profile, 1, &draft->b);
    else
        ikev1_signature_ask(h->candidates, h->candidate_count, &draft->b);
    error = ikev1_nat_build(phase, &draft->b);
    return error == ERR_OK ? ikev1_draft_end(draft) : error;
}

int ikev1_main_read_keys(struct ikev1_phase *phase, const struct ikev1_message *message,
                         const struct endpoint *remote)
{
    struct ikev1_handshake *h = phase->handshake;
    const struct ike_payload *ke = &message->ke, *nonce = &message->nonce;

    if (ke->body == NULL || nonce->body == NULL || ke->len != kex_public_len(phase->proposal.group))
        return ERR_INVALID;
    if (nonce->len < NONCE_LEN_MIN || nonce->len > IKE_NONCE_LEN_MAX)
        return ERR_INVALID;
    const int error = ikev1_nat_check(phase, message, remote);
    if (error != ERR_OK)
        return error;
    memcpy(h->peer_public, ke->body, ke->len);
    memcpy(phase->is_initiator ? h->nonce_r : h->nonce_i, nonce->body, nonce->len);
    *(phase->is_initiator ? &h->nonce_r_len : &h->nonce_i_len) = nonce->len;
    return ERR_OK;
}

int ikev1_main_compute_secret(struct ikev1_phase *phase)
{
    struct ikev1_handshake *h = phase->handshake;
    return kex_derive(&h->kex, h->peer_public, h->kex.public_len, &h->secret);
}

int ikev1_main_derive(struct ikev1_phase *phase, const struct ikev1_config *config,
                      struct ikev1_keys *ret_keys)
{
    const struct ikev1_handshake *h = phase->handshake;
    const struct ikev1_material material = {
        .hash = phase->proposal.hash,
        .cipher_key_len = phase->proposal.key_len,
        .is_signed = config->signer != NULL,
        .psk = config->psk,
        .psk_len = config->psk_len,
        .nonce_i = h->nonce_i,
        .nonce_r = h->nonce_r,
        .nonce_i_len = h->nonce_i_len,
        .nonce_r_len = h->nonce_r_len,
        .secret = &h->secret,
        .cookie_i = phase->cookie_i,
        .cookie_r = phase->cookie_r,
    };
    return ikev1_keys_derive(&material, ret_keys);
}

int ikev1_main_first_iv(struct ikev1_phase *phase, uint8_t ret_iv[CBC_BLOCK_LEN])
{
    const struct ikev1_handshake *h = phase->handshake;
    const bool is_ours = phase->is_initiator;

    return ikev1_iv_main(phase->proposal.hash, is_ours ? h->kex.public_key : h->peer_public,
                         is_ours ? h->peer_public : h->kex.public_key, h->kex.public_len, ret_iv);
}

/* HASH_I or HASH_R over the body of an ID payload. */
static int prove(const struct ikev1_phase *phase, const struct ikev1_keys *keys,
                 enum hash_algorithm hash, bool by_initiator, const void *id_body, size_t id_len,
                 uint8_t ret_hash[HASH_LEN_MAX])
{
    const struct ikev1_handshake *h = phase->handshake;
    const bool is_ours = by_initiator == phase->is_initiator;
    const struct ikev1_proof proof = {
        .hash = hash,
        .own_public = is_ours ? h->kex.public_key : h->peer_public,
        .other_public = is_ours ? h->peer_public : h->kex.public_key,
        .public_len = h->kex.public_len,
        .own_cookie = by_initiator ? phase->cookie_i : phase->cookie_r,
        .other_cookie = by_initiator ? phase->cookie_r : phase->cookie_i,
        .sa_body = h->sa_body,
        .sa_body_len = h->sa_body_len,
        .id_body = (const uint8_t *)id_body,
        .id_body_len = id_len,
    };
    return ikev1_keys_prove(keys, &proof, ret_hash);
}

int ikev1_main_build_proof(struct ikev1_phase *phase, const struct ikev1_config *config,
                           struct ikev1_draft *draft)
{
    const struct isakmp_id id = {
        .type = config->id.type, .data = config->id.bytes, .len = config->id.len};
    const enum hash_algorithm algorithm = ikev1_signature_hash(config, phase->keys.hash);
    uint8_t hash[HASH_LEN_MAX];
    struct writer *w = &draft->w;

    ikev1_draft_begin(draft, phase, ISAKMP_EXCHANGE_MAIN, 0);
    isakmp_build_id(&draft->b, &id);
    if (!writer_is_ok(w))
        return w->error;
    const size_t id_at = IKE_HEADER_LEN + IKE_PAYLOAD_HEADER_LEN;
    int error = prove(phase, &phase->keys, algorithm, phase->is_initiator, draft->bytes + id_at,
                      w->len - id_at, hash);
    if (error == ERR_OK && config->signer != NULL)
        error = ikev1_signature_build(config, hash, hash_len(algorithm), &draft->b);
    if (error != ERR_OK)
        return error;
    if (config->signer == NULL) {
        isakmp_build_payload(&draft->b, ISAKMP_PAYLOAD_HASH);
        writer_bytes(w, hash, hash_len(algorithm));
    }
    /* Of a renewal it would not be true, and who answers is not asked. */
    if (config->is_initial_contact && phase->is_initiator &&
        phase->sa->state == IKEV1_STATE_CONNECTING) {
        uint8_t cookies[ISAKMP_COOKIES_LEN];
        struct writer spi;
        writer_init(&spi, cookies, sizeof(cookies));
        writer_u64(&spi, phase->cookie_i);
        writer_u64(&spi, phase->cookie_r);
        const struct ike_notify notify = {.protocol = ISAKMP_PROTOCOL_ISAKMP,
                                          .type = ISAKMP_NOTIFY_INITIAL_CONTACT,
                                          .spi = cookies,
                                          .spi_len = sizeof(cookies)};
        isakmp_build_notify(&draft->b, &notify);
    }
    return ikev1_draft_seal(draft, &phase->keys, phase->iv);
}

int ikev1_main_check_proof(const struct ikev1_phase *phase, const struct ikev1_keys *keys,
                           const struct ikev1_config *config, const struct ikev1_message *message,
                           struct ikev1_id *ret_id, const char **ret_why)
{
    const enum hash_algorithm algorithm = ikev1_signature_hash(config, keys->hash);
    const struct ike_payload *body = &message->id[0];
    uint8_t hash[HASH_LEN_MAX];
    struct isakmp_id id;

    *ret_why = config->signer == NULL ? "it does not have the shared key, or another one"
                                      : "its proof is not that of an identity";
    if (message->id_count != 1 || isakmp_id_parse(body->body, body->len, &id) != ERR_OK ||
        id.len == 0 || id.len > IKEV1_ID_CAP)
        return ERR_AUTH;
    int error = prove(phase, keys, algorithm, !phase->is_initiator, body->body, body->len, hash);
    if (error == ERR_OK && config->signer != NULL)
        error = ikev1_signature_check(config, message, &id, hash, hash_len(algorithm),
                                      phase->table->wall_s, ret_why);
    else if (error == ERR_OK &&
             (message->hash.body == NULL || message->hash.len != hash_len(algorithm) ||
              !crypto_is_equal(hash, message->hash.body, message->hash.len)))
        error = ERR_AUTH;
    if (error != ERR_OK)
        return error;
    *ret_id = (struct ikev1_id){.type = id.type, .len = (uint16_t)id.len};
    memcpy(ret_id->bytes, id.data, id.len);
    if (config->peer_id.type != 0 && !ikev1_id_is_equal(&config->peer_id, ret_id))
        return ERR_REFUSED;
    return ERR_OK;
}

bool ikev1_main_may_check(struct ikev1_phase *phase, const struct ikev1_message *message,
                          uint64_t now_us)
{
    return message->signature.body == NULL ||
           bucket_take(&phase->handshake->proofs, IKEV1_PROOFS_MAX, SECOND_US / IKEV1_PROOFS_MAX,
                       now_us);
}

void ikev1_main_refuse(struct ikev1_phase *phase, const struct ikev1_id *id, const char *why,
                       const struct endpoint *remote, uint64_t now_us)
{
    struct ikev1_handshake *h = phase->handshake;
    char text[IKEV1_ID_TEXT_CAP];

    if (!h->is_bad_told && id->type != 0)
        ikev1_event_refuse(phase->table, remote, now_us,
                           "it has the right key, but is %.160s, which is nobody expected",
                           ikev1_id_format(id, text, sizeof(text)));
    else if (!h->is_bad_told)
        ikev1_event_refuse(phase->table, remote, now_us, "%s", why);
    h->is_bad_told = true;
}

bool ikev1_main_has_initial_contact(const struct ikev1_message *message)
{
    struct isakmp_chain chain;
    struct ike_payload p;
    struct ike_notify n;

    ikev1_message_walk(message, &chain);
    while (isakmp_chain_next(&chain, &p) == ERR_OK) {
        if (p.type == ISAKMP_PAYLOAD_NOTIFY && isakmp_notify_parse(p.body, p.len, &n) == ERR_OK &&
            n.type == ISAKMP_NOTIFY_INITIAL_CONTACT)
            return true;
    }
    return false;
}

/* As with children, only what is surely older than what we asked for ourselves is deleted. */
static void retire(struct ikev1_phase *phase, bool is_ours_to_delete, uint64_t now_us)
{
    phase->rekey_at_us = DEADLINE_NEVER;
    if (is_ours_to_delete)
        phase->until_us = deadline_min(phase->until_us, now_us + phase->profile->config.linger_us);
}

/* The others give way; but of two that cross, both sides keep the one with the lower cookie. */
static void replace_others(struct ikev1_phase *phase, uint64_t now_us)
{
    struct ikev1_sa *sa = phase->sa;
    struct ikev1_phase *oldest = NULL, *winner = phase;
    unsigned count = 0;

    for (struct ikev1_phase *p = phase->table->phases; p != NULL; p = p->next) {
        if (p == phase || p->sa != sa || p->state != IKEV1_PHASE_UP)
            continue;
        const bool is_crossing =
            p->is_initiator != phase->is_initiator &&
            ikev1_has_crossed(p->began_us, p->up_us, phase->began_us, phase->up_us);
        if (is_crossing && p->cookie_i < phase->cookie_i && p == sa->current) {
            winner = p;
            retire(phase, false, now_us);
            continue;
        }
        retire(p, phase->is_initiator && !is_crossing, now_us);
        oldest = p;
        count++;
    }
    sa->current = winner;
    if (count >= IKEV1_PHASES_MAX && oldest != winner)
        ikev1_phase_free(oldest);
}

/* The peer has begun anew: what it had with us is no more (RFC 2407, 4.6.3.3). */
static void begin_anew(struct ikev1_phase *phase)
{
    struct ikev1_sa *sa = phase->sa;
    struct ikev1_phase *next;

    while (sa->children != NULL)
        ikev1_child_end(sa, sa->children, IKEV1_REASON_CLOSED_BY_PEER);
    for (struct ikev1_phase *p = phase->table->phases; p != NULL; p = next) {
        next = p->next;
        if (p->sa == sa && p != phase && p->state == IKEV1_PHASE_UP)
            ikev1_phase_free(p);
    }
    (void)ikev1_event_add(sa->table, sa, IKEV1_EVENT_INITIAL_CONTACT);
}

void ikev1_main_up(struct ikev1_phase *phase, const struct ikev1_id *peer_id, uint64_t now_us)
{
    struct ikev1_sa *sa = phase->sa;
    const struct ikev1_config *config = &sa->profile->config;
    const uint64_t soft_us =
        ikev1_soft_us(config, deadline_min(config->rekey_us, phase->life_us / 100 * 80));
    const uint64_t hard_us =
        deadline_min(config->rekey_us / 100 * config->hard_percent, phase->life_us);

    phase->state = IKEV1_PHASE_UP;
    phase->until_us = phase->hard_us = now_us + hard_us;
    phase->rekey_at_us =
        now_us + (phase->is_initiator ? soft_us : soft_us + (hard_us - soft_us) / RESPONDER_PART);
    /* Only HASH_I and HASH_R need SKEYID itself. */
    crypto_wipe(phase->keys.skeyid, sizeof(phase->keys.skeyid));
    ikev1_handshake_free(phase->handshake);
    phase->handshake = NULL;
    phase->up_us = now_us;
    replace_others(phase, now_us);
    sa->heard_us = now_us;
    sa->is_asking = false;
    if (sa->state == IKEV1_STATE_CONNECTING) {
        struct ikev1_event *event = ikev1_event_add(sa->table, sa, IKEV1_EVENT_ESTABLISHED);
        if (event == NULL) {
            ikev1_sa_end(sa, IKEV1_REASON_FAILED_HERE, 0);
            return;
        }
        sa->state = IKEV1_STATE_ESTABLISHED;
        sa->peer_id = *peer_id;
        sa->remote = phase->remote;
        event->established =
            (struct ikev1_event_established){sa->profile, *peer_id, sa->is_initiator};
    } else if (!endpoint_is_equal(&sa->remote, &phase->remote)) {
        /* A whole Main Mode has gone to and fro there: proof enough. */
        sa->remote = phase->remote;
        struct ikev1_event *event = ikev1_event_add(sa->table, sa, IKEV1_EVENT_PATH_CHANGED);
        if (event != NULL)
            event->path = sa->remote;
    }
    if (phase->is_contact)
        begin_anew(phase);
    if (sa->wants_child && ikev1_quick_start(sa, 0, now_us) != ERR_OK)
        ikev1_sa_end(sa, IKEV1_REASON_FAILED_HERE, 0);
}

static bool is_copy(struct ikev1_phase *phase, const uint8_t *digest)
{
    return crypto_is_equal(digest, phase->digest, SHA256_LEN);
}

int ikev1_main_receive(struct ikev1_phase *phase, const struct ike_header *header,
                       const uint8_t *message, size_t len, const struct endpoint *remote,
                       uint64_t now_us)
{
    const uint8_t *body = message + IKE_HEADER_LEN;
    uint8_t digest[SHA256_LEN];
    struct ikev1_message m;

    if (header->message_id != 0)
        return ERR_INVALID;
    int error = ikev1_digest(message, len, digest);
    if (error != ERR_OK)
        return error;
    if (is_copy(phase, digest)) {
        if (!phase->is_initiator)
            ikev1_sent_repeat(&phase->sent, phase->table, remote);
        return ERR_AGAIN;
    }
    if (phase->state == IKEV1_PHASE_UP)
        return ERR_STATE;
    if (phase->state == IKEV1_PHASE_4 || phase->state == IKEV1_PHASE_5) {
        if (phase->state == IKEV1_PHASE_4)
            return ikev1_main_receive_5(phase, header, message, len, remote, now_us);
        return ikev1_main_receive_6(phase, header, message, len, remote, now_us);
    }
    if ((header->flags & ISAKMP_FLAG_ENCRYPTED) != 0)
        return ERR_STATE;
    error = ikev1_message_parse(&m, header->next_payload, body, len - IKE_HEADER_LEN, false);
    if (error != ERR_OK)
        return error;
    if (phase->state == IKEV1_PHASE_1)
        error = ikev1_main_receive_2(phase, &m, header, remote, now_us);
    else if (phase->state == IKEV1_PHASE_2)
        error = ikev1_main_receive_3(phase, &m, remote, now_us);
    else
        error = ikev1_main_receive_4(phase, &m, remote, now_us);
    if (error == ERR_OK)
        memcpy(phase->digest, digest, sizeof(digest));
    return error;
}
