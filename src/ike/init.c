/* IKE_SA_INIT as the initiator (RFC 7296, 1.2, 2.4 to 2.7). Nothing here is authenticated: an error
 * notify is a hint at most, and up to IKE_RIVALS_MAX answers are tried side by side until one of
 * them proves itself in IKE_AUTH, so that a forged answer cannot stop the handshake. */
#include "crypto/memory.h"
#include "ike/auth.h"
#include "ike/child.h"
#include "ike/exchange.h"
#include "ike/fragment.h"
#include "ike/life.h"
#include "ike/nat.h"
#include "ike/offer.h"
#include <stdlib.h>
#include <string.h>

/* MD5 of "strongSwan". */
static const uint8_t beet_vendor[] = {0x88, 0x2f, 0xe5, 0x6d, 0x6f, 0xd2, 0x0d, 0xbc,
                                      0x22, 0x51, 0x61, 0x3b, 0x2e, 0xbe, 0x5b, 0xeb};

void ike_init_build_rest(struct ike_sa *sa, struct ike_builder *b,
                         const struct ike_handshake *handshake, uint64_t spi_i, uint64_t spi_r)
{
    ike_build_own_ke(b, &handshake->kex);
    ike_build_nonce(b, handshake->own_nonce, IKE_NONCE_LEN);
    ike_nat_build(sa, b, spi_i, spi_r, &sa->remote);
    if (ike_sa_config(sa)->has_beet_vendor) {
        ike_build_payload(b, IKE_PAYLOAD_VENDOR);
        writer_bytes(b->w, beet_vendor, sizeof(beet_vendor));
    }
    ike_auth_build_hashes(ike_sa_config(sa), b);
    ike_fragment_offer(sa, b);
}

int ike_init_derive(struct ike_generation *g, const struct ike_algorithms *algorithms,
                    const struct ike_ke *peer)
{
    const struct ike_handshake *h = g->handshake;
    struct ike_nonces nonces = {h->own_nonce, IKE_NONCE_LEN, h->peer_nonce, h->peer_nonce_len};
    struct kex_secret secret;

    if (!g->is_initiator)
        nonces = (struct ike_nonces){h->peer_nonce, h->peer_nonce_len, h->own_nonce, IKE_NONCE_LEN};
    int error = kex_derive(&h->kex, peer->data, peer->len, &secret);
    if (error != ERR_OK)
        return error;
    error = ike_keys_derive(algorithms, &secret, &nonces, g->spi_i, g->spi_r, &g->keys);
    kex_secret_done(&secret);
    return error;
}

/* Builds the request, with the cookie if one was asked for, and keeps a copy for AUTH. */
static int send_init(struct ike_generation *g, uint64_t now_us)
{
    struct ike_sa *sa = g->sa;
    struct ike_handshake *h = g->handshake;
    struct ike_outgoing out;

    g->send_id = 0; /* each try is message 0 (2.6) */
    ike_generation_begin(g, &out, IKE_EXCHANGE_SA_INIT, false, 0);
    if (h->cookie_len > 0)
        ike_build_notify(&out.b, IKE_NOTIFY_COOKIE, h->cookie, h->cookie_len);
    ike_offer_build(ike_sa_config(sa), &out.b, NULL);
    ike_init_build_rest(sa, &out.b, h, g->spi_i, 0);
    int error = ike_met_build(g, &out.b);
    if (error == ERR_OK)
        error = ike_generation_request(g, &out, IKE_REQUEST_INIT, now_us);
    if (error != ERR_OK)
        return error;
    uint8_t *copy = (uint8_t *)malloc(out.w.len);
    if (copy == NULL)
        return ERR_NOMEM;
    memcpy(copy, out.w.base, out.w.len);
    free(h->init_request);
    h->init_request = copy;
    h->init_request_len = out.w.len;
    return ERR_OK;
}

int ike_init_begin(struct ike_sa *sa, uint64_t now_us)
{
    struct ike_generation *g;
    uint64_t spi;

    int error = ike_generation_draw_spi(sa->table, &spi);
    if (error == ERR_OK)
        error = ike_generation_new(sa, true, spi, 0, IKE_GENERATION_INIT, &g);
    if (error != ERR_OK)
        return error;
    sa->current = g;
    g->handshake = (struct ike_handshake *)calloc(1, sizeof(*g->handshake));
    if (g->handshake == NULL)
        return ERR_NOMEM;
    error = kex_init(&g->handshake->kex, ike_sa_config(sa)->groups[0]);
    if (error == ERR_OK)
        error = crypto_random(g->handshake->own_nonce, IKE_NONCE_LEN);
    if (error == ERR_OK)
        error = ike_child_draw_spi(sa, &g->handshake->child_spi);
    return error != ERR_OK ? error : send_init(g, now_us);
}

/* What of ours an answer in this group belongs to. */
static bool find_attempt(const struct ike_handshake *h, unsigned group,
                         struct ike_attempt *ret_attempt)
{
    if ((unsigned)h->kex.group == group) {
        *ret_attempt = (struct ike_attempt){
            .kex = h->kex, .request = h->init_request, .len = h->init_request_len};
        return true;
    }
    for (const struct ike_attempt *a = h->earlier; a != NULL; a = a->next) {
        if ((unsigned)a->kex.group != group)
            continue;
        *ret_attempt = *a;
        return true;
    }
    return false;
}

/* A generation of its own for one answer, with a copy of what we sent and of what came. */
static int branch(struct ike_generation *g, const struct ike_attempt *attempt, uint64_t spi_r,
                  const uint8_t *message, size_t len, const struct ike_payload *nonce,
                  struct ike_generation **ret_branch)
{
    const struct ike_handshake *from = g->handshake;
    struct ike_generation *b;

    int error = ike_generation_new(g->sa, true, g->spi_i, spi_r, IKE_GENERATION_AUTH, &b);
    if (error != ERR_OK)
        return error;
    b->send_id = 1;
    struct ike_handshake *h = (struct ike_handshake *)calloc(1, sizeof(*h));
    b->handshake = h;
    if (h == NULL)
        goto free_branch;
    h->kex = attempt->kex;
    h->child_spi = from->child_spi;
    memcpy(h->own_nonce, from->own_nonce, IKE_NONCE_LEN);
    memcpy(h->peer_nonce, nonce->body, nonce->len);
    h->peer_nonce_len = nonce->len;
    h->init_request = (uint8_t *)malloc(attempt->len);
    if (h->init_request == NULL || ike_handshake_keep_answer(h, message, len) != ERR_OK)
        goto free_branch;
    memcpy(h->init_request, attempt->request, attempt->len);
    h->init_request_len = attempt->len;
    *ret_branch = b;
    return ERR_OK;

free_branch:
    ike_generation_free(b);
    return ERR_NOMEM;
}

/* ERR_REPLAY for an answer already being tried, ERR_LIMIT for one too many. */
static int check_rivals(const struct ike_sa *sa, const uint8_t *message, size_t len)
{
    size_t count = 0;

    for (const struct ike_generation *g = sa->generations; g != NULL; g = g->next) {
        if (g->state != IKE_GENERATION_AUTH)
            continue;
        for (size_t i = 0; i < g->handshake->init_response_count; i++, count++) {
            const struct ike_answer *answer = &g->handshake->init_responses[i];
            if (answer->len == len && memcmp(answer->data, message, len) == 0)
                return ERR_REPLAY;
        }
    }
    return count >= IKE_RIVALS_MAX ? ERR_LIMIT : ERR_OK;
}

/* Another generation with the very same keys: somebody has changed a copy of an answer, where it
 * does not matter to the keys. */
static struct ike_generation *find_twin(const struct ike_generation *born)
{
    for (struct ike_generation *g = born->sa->generations; g != NULL; g = g->next)
        if (g != born && g->spi_r == born->spi_r && ike_keys_are_equal(&g->keys, &born->keys))
            return g;
    return NULL;
}

/* Two generations with the same keys would both count their IVs from 0, and take each other's
 * messages: the newer one goes, and its answer is kept beside the older one's for AUTH to judge. */
static int join_twin(struct ike_generation *born, struct ike_generation *twin,
                     const uint8_t *message, size_t len)
{
    ike_generation_free(born);
    if (twin->state != IKE_GENERATION_AUTH)
        return ERR_REPLAY; /* that question has been decided */
    return ike_handshake_keep_answer(twin->handshake, message, len);
}

/* Only over TCP is an answer certain enough, and the only one, to give up at once. */
static int take_hint(struct ike_sa *sa, uint16_t notify)
{
    sa->hint = notify;
    if (!ike_sa_config(sa)->is_reliable)
        return ERR_AGAIN;
    bool is_choice =
        notify == IKE_NOTIFY_NO_PROPOSAL_CHOSEN || notify == IKE_NOTIFY_INVALID_KE_PAYLOAD;
    ike_sa_fail(sa, is_choice ? IKE_REASON_NO_PROPOSAL : IKE_REASON_PROTOCOL, notify);
    return ERR_OK;
}

static int take_cookie(struct ike_generation *g, const struct ike_notify *cookie, uint64_t now_us)
{
    struct ike_handshake *h = g->handshake;

    if (cookie->len == 0 || cookie->len > IKE_COOKIE_LEN_MAX)
        return ERR_INVALID;
    if (h->cookie_len == cookie->len && memcmp(h->cookie, cookie->data, cookie->len) == 0)
        return ERR_REPLAY;
    if (h->cookie_count >= IKE_COOKIES_MAX)
        return ERR_LIMIT;
    h->cookie_count++;
    memcpy(h->cookie, cookie->data, cookie->len);
    h->cookie_len = cookie->len;
    return send_init(g, now_us);
}

/* Another group is wanted, as somebody says. The private keys of both stay: whose word it was, no
 * answer to what has been sent before is lost by it. */
static int take_group(struct ike_generation *g, enum kex_group group, uint64_t now_us)
{
    struct ike_handshake *h = g->handshake;
    struct ike_attempt **at = &h->earlier;

    if (h->regroup_count >= IKE_REGROUPS_MAX)
        return ERR_LIMIT;
    while (*at != NULL && (*at)->kex.group != group)
        at = &(*at)->next;
    struct ike_attempt *attempt = *at;
    if (attempt == NULL) {
        attempt = (struct ike_attempt *)calloc(1, sizeof(*attempt));
        int error = attempt != NULL ? kex_init(&attempt->kex, group) : ERR_NOMEM;
        if (error != ERR_OK) {
            free(attempt);
            return error;
        }
        attempt->next = h->earlier;
        h->earlier = attempt;
    }
    const struct kex kex = attempt->kex;
    attempt->kex = h->kex;
    h->kex = kex;
    free(attempt->request);
    attempt->request = h->init_request;
    attempt->len = h->init_request_len;
    h->init_request = NULL;
    h->init_request_len = 0;
    h->regroup_count++;
    return send_init(g, now_us);
}

int ike_init_finish(struct ike_generation *g, const struct ike_header *header,
                    const uint8_t *message, size_t len, const struct endpoint *remote,
                    uint64_t now_us)
{
    struct ike_sa *sa = g->sa;
    const struct ike_config *config = ike_sa_config(sa);
    struct ike_message m;
    struct ike_notify cookie;
    struct ike_offer_choice choice;
    struct ike_attempt attempt;
    struct ike_generation *b;
    struct ike_ke peer;

    if (len > IKE_INIT_LEN_MAX)
        return ERR_LIMIT;
    int error =
        ike_message_parse(header->next_payload, message + IKE_HEADER_LEN, len - IKE_HEADER_LEN, &m);
    if (error != ERR_OK)
        return error;
    if (m.unknown_critical != 0)
        return ERR_UNSUPPORTED;
    if (m.sa.body == NULL && ike_message_find_notify(&m, IKE_NOTIFY_COOKIE, &cookie))
        return config->is_reliable ? ERR_STATE : take_cookie(g, &cookie, now_us);
    if (m.sa.body == NULL && ike_message_error(&m) != 0) {
        const enum kex_group group = ike_wanted_group(config, &m);
        if (group != KEX_NONE && group != g->handshake->kex.group)
            return take_group(g, group, now_us);
        return take_hint(sa, ike_message_error(&m));
    }
    if (header->spi_r == 0 || m.nonce.body == NULL || m.sa.body == NULL || m.ke.body == NULL)
        return ERR_INVALID;
    if (ike_offer_read(config, &m.sa, 0, &choice) != ERR_OK || !ike_auth_is_possible(config, &m))
        return take_hint(sa, IKE_NOTIFY_NO_PROPOSAL_CHOSEN);
    if (ike_read_ke(&m, choice.algorithms.group, &peer) != 0 ||
        !find_attempt(g->handshake, peer.group, &attempt))
        return ERR_INVALID;
    if (config->suites[0] == SUITE_NONE &&
        !ike_message_find_notify(&m, IKE_NOTIFY_CHILDLESS_IKEV2_SUPPORTED, NULL))
        return take_hint(sa, IKE_NOTIFY_NO_PROPOSAL_CHOSEN); /* RFC 6023, 3 */
    error = check_rivals(sa, message, len);
    if (error == ERR_OK)
        error = branch(g, &attempt, header->spi_r, message, len, &m.nonce, &b);
    crypto_wipe(&attempt.kex, sizeof(attempt.kex));
    if (error != ERR_OK)
        return error;
    ike_auth_read_wishes(b->handshake, &m);
    ike_fragment_read(b, &m);
    error = ike_init_derive(b, &choice.algorithms, &peer);
    if (error != ERR_OK) {
        ike_generation_free(b);
        return error;
    }
    struct ike_generation *twin = find_twin(b);
    if (twin != NULL)
        return join_twin(b, twin, message, len);
    if (!g->request.was_repeated && sa->current == g)
        ike_sa_measure(sa, now_us - g->request.sent_us);
    ike_nat_check(sa, &m, header->spi_i, header->spi_r, remote);
    ike_nat_float(sa, &m);
    if (sa->current == g)
        sa->current = b;
    /* Should this answer not be the peer's own, then asking again brings that one. */
    g->request.is_to_send = false;
    g->request.repeat_us =
        config->is_reliable ? DEADLINE_NEVER : now_us + 3 * g->request.interval_us;
    if (config->is_reliable)
        g->state = IKE_GENERATION_GONE;
    return ike_authenticate_begin(b, now_us);
}
