/* Informational exchanges: each one message that nobody answers (RFC 2409, 5.7). Deletes, liveness
 * (RFC 3706), errors; and what hearing from another endpoint leads to. */
#include "crypto/memory.h"
#include "ikev1/message.h"
#include <string.h>

/* A candidate that does not answer is one for this long. */
#define CANDIDATE_US SECOND_US

bool ikev1_id_is_new(struct ikev1_phase *phase, uint32_t message_id)
{
    const uint32_t known =
        phase->seen_count < IKEV1_IDS_REMEMBERED ? phase->seen_count : IKEV1_IDS_REMEMBERED;

    for (uint32_t i = 0; i < known; i++)
        if (phase->seen_ids[i] == message_id)
            return false;
    phase->seen_ids[phase->seen_count++ % IKEV1_IDS_REMEMBERED] = message_id;
    return true;
}

/* Begins one; the payload follows, then finish(). False: cannot be done now. */
static bool begin(struct ikev1_phase *phase, struct ikev1_draft *draft, uint32_t *ret_id)
{
    uint32_t id = 0;

    while (id == 0 || !ikev1_id_is_new(phase, id))
        if (crypto_random(&id, sizeof(id)) != ERR_OK)
            return false;
    ikev1_draft_begin(draft, phase, ISAKMP_EXCHANGE_INFORMATIONAL, id);
    ikev1_draft_hash(draft, &phase->keys);
    *ret_id = id;
    return true;
}

static void finish(struct ikev1_phase *phase, struct ikev1_draft *draft, uint32_t id,
                   const struct endpoint *remote)
{
    uint8_t iv[CBC_BLOCK_LEN];

    if (ikev1_iv_exchange(phase->keys.hash, phase->iv, id, iv) == ERR_OK &&
        ikev1_draft_prove(draft, &phase->keys, id, NULL, 0, iv) == ERR_OK)
        ikev1_send(phase->table, draft->bytes, draft->w.len, remote);
}

static void put_cookies(const struct ikev1_phase *phase, uint8_t ret_cookies[ISAKMP_COOKIES_LEN])
{
    struct writer w;

    writer_init(&w, ret_cookies, ISAKMP_COOKIES_LEN);
    writer_u64(&w, phase->cookie_i);
    writer_u64(&w, phase->cookie_r);
}

static void put_u32(uint8_t bytes[4], uint32_t value)
{
    for (size_t i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void send_notify(struct ikev1_phase *phase, const struct ike_notify *notify,
                        const struct endpoint *remote)
{
    struct ikev1_draft draft;
    uint32_t id;

    if (!begin(phase, &draft, &id))
        return;
    isakmp_build_notify(&draft.b, notify);
    finish(phase, &draft, id, remote);
}

void ikev1_tell_child_gone(struct ikev1_sa *sa, const struct ikev1_child *child)
{
    struct ikev1_phase *phase = sa->current;
    struct ikev1_draft draft;
    uint8_t spi[4];
    uint32_t id;

    if (phase == NULL || !begin(phase, &draft, &id))
        return;
    put_u32(spi, child->spi_in);
    isakmp_build_delete(&draft.b, ISAKMP_PROTOCOL_ESP, spi, sizeof(spi));
    finish(phase, &draft, id, &sa->remote);
}

void ikev1_tell_phase_gone(struct ikev1_phase *phase)
{
    uint8_t cookies[ISAKMP_COOKIES_LEN];
    struct ikev1_draft draft;
    uint32_t id;

    if (phase->state != IKEV1_PHASE_UP || phase->sa == NULL || !begin(phase, &draft, &id))
        return;
    put_cookies(phase, cookies);
    isakmp_build_delete(&draft.b, ISAKMP_PROTOCOL_ISAKMP, cookies, sizeof(cookies));
    finish(phase, &draft, id, &phase->sa->remote);
}

void ikev1_tell_error(struct ikev1_phase *phase, const struct endpoint *remote, uint16_t type,
                      uint32_t spi)
{
    uint8_t bytes[4];

    put_u32(bytes, spi);
    const struct ike_notify notify = {.protocol = ISAKMP_PROTOCOL_ESP,
                                      .type = type,
                                      .spi = bytes,
                                      .spi_len = spi != 0 ? sizeof(bytes) : 0};
    send_notify(phase, &notify, remote);
}

static void send_liveness(struct ikev1_phase *phase, uint16_t type, uint32_t sequence,
                          const struct endpoint *remote)
{
    uint8_t cookies[ISAKMP_COOKIES_LEN];
    uint8_t number[4];

    put_cookies(phase, cookies);
    put_u32(number, sequence);
    const struct ike_notify notify = {
        .protocol = ISAKMP_PROTOCOL_ISAKMP,
        .type = type,
        .spi = cookies,
        .spi_len = sizeof(cookies),
        .data = number,
        .len = sizeof(number),
    };
    send_notify(phase, &notify, remote);
}

void ikev1_ask(struct ikev1_sa *sa, const struct endpoint *remote, uint32_t sequence)
{
    if (sa->current != NULL)
        send_liveness(sa->current, ISAKMP_NOTIFY_R_U_THERE, sequence, remote);
}

void ikev1_heard(struct ikev1_phase *phase, const struct endpoint *remote, uint64_t now_us)
{
    struct ikev1_sa *sa = phase->sa;

    if (sa == NULL || sa->state != IKEV1_STATE_ESTABLISHED)
        return;
    sa->heard_us = now_us;
    if (endpoint_is_equal(remote, &sa->remote)) {
        sa->has_candidate = false;
        return;
    }
    /* Perhaps its NAT has a new mapping; perhaps somebody has only carried the message there. Who
     * answers a question that was sent there alone is there (as 2.23 of RFC 7296 wants of IKEv2).
     */
    if (!phase->has_dpd || sa->current == NULL ||
        (sa->has_candidate && now_us - sa->candidate_us < CANDIDATE_US))
        return;
    if (crypto_random(&sa->candidate_sequence, sizeof(sa->candidate_sequence)) != ERR_OK)
        return;
    sa->has_candidate = true;
    sa->candidate = *remote;
    sa->candidate_us = now_us;
    ikev1_ask(sa, remote, sa->candidate_sequence);
}

static void take_liveness(struct ikev1_phase *phase, const struct ike_notify *n,
                          const struct endpoint *remote, uint64_t now_us)
{
    struct ikev1_sa *sa = phase->sa;
    uint8_t cookies[ISAKMP_COOKIES_LEN];
    struct reader r;

    put_cookies(phase, cookies);
    if (n->spi_len != sizeof(cookies) || memcmp(n->spi, cookies, sizeof(cookies)) != 0 ||
        n->len != 4)
        return;
    reader_init(&r, n->data, n->len);
    const uint32_t sequence = reader_u32(&r);
    if (n->type == ISAKMP_NOTIFY_R_U_THERE) {
        send_liveness(phase, ISAKMP_NOTIFY_R_U_THERE_ACK, sequence, remote);
        return;
    }
    if (sa->is_asking && sequence == sa->dpd_sequence)
        sa->is_asking = false;
    ikev1_child_confirm(sa, sequence, now_us);
    if (sa->has_candidate && sequence == sa->candidate_sequence &&
        endpoint_is_equal(remote, &sa->candidate)) {
        struct ikev1_event *event = ikev1_event_add(sa->table, sa, IKEV1_EVENT_PATH_CHANGED);
        if (event == NULL)
            return;
        sa->has_candidate = false;
        sa->remote = *remote;
        event->path = *remote;
    }
}

/* An error about a Quick Mode of ours. Which one it does not say by its message ID; where it names
 * an SPI, that; else the one that waits. */
static void take_error(struct ikev1_phase *phase, const struct ike_notify *n)
{
    struct reader r;

    reader_init(&r, n->spi, n->spi_len);
    const uint32_t spi = n->spi_len == 4 ? reader_u32(&r) : 0;
    for (struct ikev1_quick *q = phase->quicks; q != NULL; q = q->next) {
        if (q->is_done || !q->is_initiator || (spi != 0 && spi != q->spi_in))
            continue;
        ikev1_quick_fail(phase, q, IKEV1_REASON_REFUSED_BY_PEER, n->type);
        return;
    }
}

static void take_notify(struct ikev1_phase *phase, const struct ike_notify *n,
                        const struct endpoint *remote, uint64_t now_us)
{
    if (n->type == ISAKMP_NOTIFY_R_U_THERE || n->type == ISAKMP_NOTIFY_R_U_THERE_ACK)
        take_liveness(phase, n, remote, now_us);
    else if (n->type == ISAKMP_NOTIFY_INITIAL_CONTACT)
        (void)ikev1_event_add(phase->table, phase->sa, IKEV1_EVENT_INITIAL_CONTACT);
    else if (n->type <= ISAKMP_NOTIFY_ERROR_MAX)
        take_error(phase, n);
}

/* True: the phase is gone with it. */
static bool take_delete(struct ikev1_phase *phase, const struct isakmp_delete *d, uint64_t now_us)
{
    uint8_t cookies[ISAKMP_COOKIES_LEN];
    struct reader r;

    reader_init(&r, d->spis, (size_t)d->spi_len * d->count);
    if (d->protocol == ISAKMP_PROTOCOL_ESP && d->spi_len == 4) {
        for (unsigned i = 0; i < d->count; i++) {
            struct ikev1_child *child = ikev1_child_find_out(phase->sa, reader_u32(&r));
            if (child != NULL)
                ikev1_child_end(phase->sa, child,
                                child->is_replaced ? IKEV1_REASON_REPLACED
                                                   : IKEV1_REASON_CLOSED_BY_PEER);
        }
        ikev1_child_revive(phase->sa, now_us);
        return false;
    }
    put_cookies(phase, cookies);
    if (d->protocol != ISAKMP_PROTOCOL_ISAKMP || d->spi_len != sizeof(cookies) || d->count != 1 ||
        memcmp(d->spis, cookies, sizeof(cookies)) != 0)
        return false;
    ikev1_phase_fail(phase, IKEV1_REASON_CLOSED_BY_PEER, 0);
    return true;
}

/* An error in the clear, while there are no keys: anybody may have made it up. It is kept for the
 * case that nothing better comes. */
static int take_hint(struct ikev1_phase *phase, const struct ike_header *header,
                     const uint8_t *message, size_t len, const struct endpoint *remote)
{
    struct isakmp_chain chain;
    struct ike_payload p;
    struct ike_notify n;

    if (phase->handshake == NULL || (header->flags & ISAKMP_FLAG_ENCRYPTED) != 0 ||
        !endpoint_is_equal(remote, &phase->remote))
        return ERR_STATE;
    isakmp_chain_init(&chain, header->next_payload, message + IKE_HEADER_LEN, len - IKE_HEADER_LEN);
    while (isakmp_chain_next(&chain, &p) == ERR_OK) {
        if (p.type == ISAKMP_PAYLOAD_NOTIFY && isakmp_notify_parse(p.body, p.len, &n) == ERR_OK &&
            n.type <= ISAKMP_NOTIFY_ERROR_MAX)
            phase->handshake->notify = n.type;
    }
    return ERR_AGAIN;
}

/* An authentic and new one. */
static void take_all(struct ikev1_phase *phase, const struct ikev1_message *m,
                     const struct endpoint *remote, uint64_t now_us)
{
    struct isakmp_chain chain;
    struct ike_payload p;
    struct ike_notify n;
    struct isakmp_delete d;

    ikev1_message_walk(m, &chain);
    while (isakmp_chain_next(&chain, &p) == ERR_OK) {
        if (p.type == ISAKMP_PAYLOAD_NOTIFY && isakmp_notify_parse(p.body, p.len, &n) == ERR_OK)
            take_notify(phase, &n, remote, now_us);
        else if (p.type == ISAKMP_PAYLOAD_DELETE &&
                 isakmp_delete_parse(p.body, p.len, &d) == ERR_OK && take_delete(phase, &d, now_us))
            return;
    }
}

int ikev1_informational_receive(struct ikev1_phase *phase, const struct ike_header *header,
                                const uint8_t *message, size_t len, const struct endpoint *remote,
                                uint64_t now_us)
{
    const uint32_t id = header->message_id;
    uint8_t iv[CBC_BLOCK_LEN], hash[HASH_LEN_MAX];
    struct ikev1_opened opened;
    struct piece rest;

    if (phase->state != IKEV1_PHASE_UP)
        return take_hint(phase, header, message, len, remote);
    if (phase->sa == NULL || phase->sa->state != IKEV1_STATE_ESTABLISHED)
        return ERR_STATE;
    int error = ikev1_iv_exchange(phase->keys.hash, phase->iv, id, iv);
    if (error == ERR_OK)
        error = ikev1_message_open(&phase->keys, iv, header, message, len, &opened);
    if (error == ERR_OK)
        error = ikev1_message_hashed(&opened.message, &rest);
    if (error == ERR_OK)
        error = ikev1_keys_hash(&phase->keys, id, &rest, 1, hash);
    if (error == ERR_OK &&
        (opened.message.hash.len != hash_len(phase->keys.hash) ||
         !crypto_is_equal(hash, opened.message.hash.body, hash_len(phase->keys.hash))))
        error = ERR_AUTH;
    if (error == ERR_OK && !ikev1_id_is_new(phase, id))
        error = ERR_REPLAY;
    if (error == ERR_OK) {
        ikev1_heard(phase, remote, now_us);
        take_all(phase, &opened.message, remote, now_us);
    }
    crypto_wipe(&opened, sizeof(opened));
    return error;
}
