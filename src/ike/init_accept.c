/* IKE_SA_INIT as the responder: what can be refused is refused before anything is kept; then a
 * half-open SA of bounded size (RFC 7296, 2.6 and 2.21.1). */
#include "crypto/memory.h"
#include "ike/auth.h"
#include "ike/exchange.h"
#include "ike/fragment.h"
#include "ike/init_half.h"
#include "ike/life.h"
#include "ike/nat.h"
#include "ike/offer.h"
#include "ike/reply.h"
#include <stdlib.h>
#include <string.h>

/* A request that has made an SA already: answered again while it is half-open, ignored later. */
static int repeat_answer(struct ike_sa *sa)
{
    struct ike_generation *g = sa->current;

    if (g == NULL || g->state != IKE_GENERATION_AUTH || g->response.data == NULL)
        return ERR_REPLAY;
    g->response.is_to_send = true;
    return ERR_OK;
}

/* What a request is after it has passed all checks that need no state. */
struct accepted {
    struct ike_message message;
    struct ike_offer_choice choice;
    struct ike_ke peer;
};

/* ERR_OK: no cookie is needed, or a valid one came. ERR_AGAIN: one was asked for. */
static int check_cookie(struct ike_table *table, const struct ike_message *m,
                        const struct ike_header *header, const struct endpoint *remote,
                        uint64_t now_us)
{
    const struct ike_cookie_bind bind = {m->nonce.body, m->nonce.len, header->spi_i, *remote};
    uint8_t cookie[IKE_COOKIE_LEN];
    struct ike_notify n;

    if (table->half_open.count < table->limits.cookie_threshold)
        return ERR_OK;
    if (ike_message_find_notify(m, IKE_NOTIFY_COOKIE, &n) &&
        ike_cookies_check(&table->cookies, &bind, n.data, n.len, now_us) == ERR_OK)
        return ERR_OK;
    int error = ike_cookies_make(&table->cookies, &bind, now_us, cookie);
    if (error == ERR_OK)
        error =
            ike_reply_add(table, header, remote, IKE_NOTIFY_COOKIE, cookie, sizeof(cookie), now_us);
    return error == ERR_OK ? ERR_AGAIN : error;
}

/* Refuses statelessly; ERR_AGAIN once the refusal is queued. */
static int refuse(struct ike_table *table, const struct ike_header *header,
                  const struct endpoint *remote, uint16_t notify, const void *data, size_t len,
                  uint64_t now_us)
{
    int error = ike_reply_add(table, header, remote, notify, data, len, now_us);
    return error == ERR_OK ? ERR_AGAIN : error;
}

static int check_request(struct ike_table *table, const struct ike_config *config,
                         const struct ike_header *header, const uint8_t *message, size_t len,
                         const struct endpoint *remote, uint64_t now_us,
                         struct accepted *ret_accepted)
{
    struct accepted a;

    int error = ike_message_parse(header->next_payload, message + IKE_HEADER_LEN,
                                  len - IKE_HEADER_LEN, &a.message);
    if (error != ERR_OK)
        return error;
    const struct ike_message *m = &a.message;
    if (m->unknown_critical != 0)
        return refuse(table, header, remote, IKE_NOTIFY_UNSUPPORTED_CRITICAL_PAYLOAD,
                      &m->unknown_critical, 1, now_us);
    if (m->sa.body == NULL || m->ke.body == NULL || m->nonce.body == NULL)
        return ERR_INVALID;
    /* Who speaks over TCP is where it says (RFC 9329, 6.3). */
    if (!config->is_reliable && !ike_is_carried(remote) && !endpoint_is_stream(remote)) {
        error = check_cookie(table, m, header, remote, now_us);
        if (error != ERR_OK)
            return error;
    }
    error = ike_half_open_check(table, remote);
    if (error != ERR_OK)
        return error;
    if (ike_offer_choose(config, &m->sa, 0, ike_offer_ke_group(m), &a.choice) != ERR_OK ||
        !ike_auth_is_possible(config, m))
        return refuse(table, header, remote, IKE_NOTIFY_NO_PROPOSAL_CHOSEN, NULL, 0, now_us);
    const enum kex_group group = a.choice.algorithms.group;
    const uint8_t our_group[] = {(uint8_t)(group >> 8), (uint8_t)group};
    uint16_t notify = ike_read_ke(m, group, &a.peer);
    if (notify == IKE_NOTIFY_INVALID_KE_PAYLOAD)
        return refuse(table, header, remote, notify, our_group, sizeof(our_group), now_us);
    if (notify != 0)
        return ERR_INVALID;
    *ret_accepted = a;
    return ERR_OK;
}

static int answer(struct ike_generation *g, const struct ike_offer_choice *choice,
                  const struct endpoint *remote, uint64_t hash)
{
    struct ike_handshake *h = g->handshake;
    struct ike_outgoing out;

    ike_generation_begin(g, &out, IKE_EXCHANGE_SA_INIT, true, 0);
    ike_offer_answer(&out.b, choice, NULL);
    ike_init_build_rest(g->sa, &out.b, h, g->spi_i, g->spi_r);
    ike_build_notify(&out.b, IKE_NOTIFY_CHILDLESS_IKEV2_SUPPORTED, NULL, 0);
    ike_auth_build_requests(ike_sa_config(g->sa), &out.b);
    int error = ike_generation_respond(g, &out, remote, hash);
    if (error != ERR_OK)
        return error;
    return ike_handshake_keep_answer(h, out.w.base, out.w.len);
}

/* Fills in a new responder SA. */
static int open_half(struct ike_sa *sa, const struct ike_header *header,
                     const struct accepted *accepted, const uint8_t *message, size_t len,
                     uint64_t hash)
{
    struct ike_generation *g;

    int error = ike_half_open_new(sa, header, &accepted->message.nonce, message, len, &g);
    if (error == ERR_OK)
        ike_auth_read_wishes(g->handshake, &accepted->message);
    if (error == ERR_OK)
        error = kex_init(&g->handshake->kex, accepted->choice.algorithms.group);
    if (error == ERR_OK)
        error = ike_init_derive(g, &accepted->choice.algorithms, &accepted->peer);
    if (error == ERR_OK)
        error = answer(g, &accepted->choice, &sa->remote, hash);
    return error == ERR_OK ? ike_half_open_insert(g, hash) : error;
}

int ike_init_accept(struct ike_table *table, struct ike_profile *profile,
                    const struct ike_header *header, const uint8_t *message, size_t len,
                    const struct endpoint *remote, uint64_t now_us, struct ike_sa **ret_sa)
{
    struct accepted accepted;
    struct ike_sa *sa;

    if (len > IKE_INIT_LEN_MAX)
        return ERR_LIMIT;
    uint64_t hash = ike_half_open_hash(table, message, len, remote);
    struct map_node *known = map_first(&table->by_init, hash);
    if (known != NULL) {
        sa = CONTAINER_OF(known, struct ike_sa, init_node);
        int error = repeat_answer(sa);
        if (error == ERR_OK)
            *ret_sa = sa;
        return error;
    }
    if (profile == NULL || header->spi_i == 0 || header->message_id != 0)
        return ERR_STATE;
    int error =
        check_request(table, &profile->config, header, message, len, remote, now_us, &accepted);
    if (error == ERR_OK)
        error = ike_sa_new(table, profile, remote, false, now_us, &sa);
    if (error != ERR_OK)
        return error;
    error = open_half(sa, header, &accepted, message, len, hash);
    if (error != ERR_OK) {
        ike_sa_free(sa);
        return error;
    }
    ike_nat_check(sa, &accepted.message, header->spi_i, 0, remote);
    ike_fragment_read(sa->current, &accepted.message);
    *ret_sa = sa;
    return ERR_OK;
}
