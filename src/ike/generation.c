/* Generations and their windows; see ike/generation.h. */
#include "ike/generation.h"
#include "crypto/memory.h"
#include "ike/fragment.h"
#include "ike/mobility.h"
#include "ike/queue.h"
#include "ike/resume.h"
#include <stdlib.h>
#include <string.h>

#define INTERVAL_MAX_US (10 * SECOND_US) /* between retransmissions */
/* Some repeated requests in a row are losses, or a path that was dead; so many say that the path is
 * slower than it was. */
#define UNMEASURED_MAX      5
#define ROUND_TRIP_BOUND_US SECOND_US

static uint64_t spi_hash(const struct ike_table *table, uint64_t spi)
{
    return map_hash(&table->by_spi, &spi, sizeof(spi));
}

int ike_generation_draw_spi(struct ike_table *table, uint64_t *ret_spi)
{
    for (;;) {
        uint64_t spi;
        int error = crypto_random(&spi, sizeof(spi));
        if (error != ERR_OK)
            return error;
        bool is_taken = spi == 0;
        struct map_node *node = map_first(&table->by_spi, spi_hash(table, spi));
        for (; node != NULL; node = map_next(node))
            is_taken |=
                ike_generation_own_spi(CONTAINER_OF(node, struct ike_generation, node)) == spi;
        if (is_taken)
            continue;
        *ret_spi = spi;
        return ERR_OK;
    }
}

/* Room for one more: of those that only answer repeated requests the oldest goes before its time.
 * False: there is none. */
static bool make_room(struct ike_sa *sa)
{
    struct ike_generation *oldest = NULL;
    size_t count = 0;
    for (struct ike_generation *g = sa->generations; g != NULL; g = g->next) {
        if (g->state == IKE_GENERATION_GONE)
            continue;
        count++;
        if (g->state == IKE_GENERATION_DEAD && (oldest == NULL || g->drop_us < oldest->drop_us))
            oldest = g;
    }
    if (count < IKE_GENERATIONS_MAX)
        return true;
    if (oldest == NULL)
        return false;
    oldest->state = IKE_GENERATION_GONE;
    return true;
}

int ike_generation_new(struct ike_sa *sa, bool is_initiator, uint64_t spi_i, uint64_t spi_r,
                       enum ike_generation_state state, struct ike_generation **ret_generation)
{
    if (!make_room(sa))
        return ERR_LIMIT;
    struct ike_generation *g = (struct ike_generation *)calloc(1, sizeof(*g));
    if (g == NULL)
        return ERR_NOMEM;
    g->sa = sa;
    g->is_initiator = is_initiator;
    g->spi_i = spi_i;
    g->spi_r = spi_r;
    g->state = state;
    g->drop_us = DEADLINE_NEVER;
    struct ike_table *table = sa->table;
    int error = map_insert(&table->by_spi, &g->node, spi_hash(table, ike_generation_own_spi(g)));
    if (error != ERR_OK) {
        free(g);
        return error;
    }
    g->next = sa->generations;
    sa->generations = g;
    *ret_generation = g;
    return ERR_OK;
}

void ike_generation_free_handshake(struct ike_generation *g)
{
    struct ike_handshake *h = g->handshake;

    if (h == NULL)
        return;
    if (h->is_half_open)
        map_remove(&g->sa->table->half_open, &h->half_open_node);
    kex_done(&h->kex);
    free(h->init_request);
    while (h->earlier != NULL) {
        struct ike_attempt *attempt = h->earlier;
        h->earlier = attempt->next;
        kex_done(&attempt->kex);
        free(attempt->request);
        free(attempt);
    }
    if (h->resumed != NULL)
        crypto_wipe(h->resumed, sizeof(*h->resumed));
    free(h->resumed);
    for (size_t i = 0; i < h->init_response_count; i++)
        free(h->init_responses[i].data);
    crypto_wipe(h, sizeof(*h));
    free(h);
    g->handshake = NULL;
}

int ike_handshake_keep_answer(struct ike_handshake *h, const uint8_t *message, size_t len)
{
    if (h->init_response_count == IKE_RIVALS_MAX)
        return ERR_LIMIT;
    uint8_t *data = (uint8_t *)malloc(len);
    if (data == NULL)
        return ERR_NOMEM;
    memcpy(data, message, len);
    h->init_responses[h->init_response_count++] = (struct ike_answer){data, len};
    return ERR_OK;
}

/* No rekey may point to a generation that is about to vanish. */
static void forget_rival(struct ike_sa *sa, const struct ike_generation *gone)
{
    for (struct ike_generation *g = sa->generations; g != NULL; g = g->next)
        if (g->request.rekey != NULL && g->request.rekey->rival_generation == gone)
            g->request.rekey->rival_generation = NULL;
}

void ike_generation_free(struct ike_generation *g)
{
    struct ike_sa *sa = g->sa;

    for (struct ike_generation **at = &sa->generations; *at != NULL; at = &(*at)->next) {
        if (*at == g) {
            *at = g->next;
            break;
        }
    }
    if (sa->current == g)
        sa->current = NULL;
    forget_rival(sa, g);
    map_remove(&sa->table->by_spi, &g->node);
    ike_generation_free_handshake(g);
    ike_generation_clear_request(g);
    free(g->response.data);
    ike_reassembly_free(g->reassembly);
    ike_keys_wipe(&g->keys);
    free(g);
}

void ike_request_done(struct ike_request *request)
{
    if (request->rekey != NULL) {
        kex_done(&request->rekey->kex);
        crypto_wipe(request->rekey, sizeof(*request->rekey));
        free(request->rekey);
    }
    ike_notifies_free(request->notifies);
    free(request->data);
    memset(request, 0, sizeof(*request));
}

void ike_generation_clear_request(struct ike_generation *g)
{
    ike_request_done(&g->request);
}

void ike_generation_retire(struct ike_generation *g, uint64_t now_us)
{
    struct ike_sa *sa = g->sa;
    struct ike_request *r = &g->request;

    for (struct ike_child *c = sa->children; c != NULL; c = c->next) {
        if (r->kind == IKE_REQUEST_DELETE_CHILD && c->number == r->child)
            c->wants_delete = true;
        if (r->kind == IKE_REQUEST_REKEY_CHILD && c->number == r->rekey->child)
            c->wants_rekey = c->state == IKE_CHILD_LIVE;
    }
    ike_notifies_put_back(sa, r->notifies);
    r->notifies = NULL;
    ike_generation_clear_request(g);
    g->wants_delete = false;
    g->state = IKE_GENERATION_DEAD;
    g->drop_us = now_us + (ike_sa_config(sa)->is_reliable ? SECOND_US
                                                          : ike_sa_config(sa)->request_timeout_us);
}

void ike_generation_begin(struct ike_generation *g, struct ike_outgoing *out, uint8_t exchange,
                          bool is_response, uint32_t id)
{
    const struct ike_header header = {
        .spi_i = g->spi_i,
        .spi_r = g->spi_r,
        .major_version = IKE_MAJOR_VERSION,
        .exchange = exchange,
        .flags = (uint8_t)((g->is_initiator ? IKE_FLAG_INITIATOR : 0) |
                           (is_response ? IKE_FLAG_RESPONSE : 0)),
        .message_id = id,
    };

    out->header = header;
    writer_init(&out->w, g->sa->table->out, sizeof(g->sa->table->out));
    ike_build_begin(&out->b, &out->w, &header);
    if (exchange != IKE_EXCHANGE_SA_INIT && exchange != IKE_EXCHANGE_SESSION_RESUME)
        ike_build_sk(&out->b, ike_keys_iv_len(&g->keys), ike_keys_block_len(&g->keys));
}

/* Ends and seals; a copy of the message, or of its fragments, in ret_data. */
static int finish(struct ike_generation *g, struct ike_outgoing *out, uint8_t **ret_data,
                  size_t *ret_len)
{
    bool is_sealed = out->b.sk_at != 0;

    ike_build_close(&out->b);
    if (is_sealed && writer_is_ok(&out->w) &&
        ike_fragment_is_due(g, out->w.len + ike_keys_tag_len(&g->keys)))
        return ike_fragment_seal(g, out, ret_data, ret_len);
    ike_build_end(&out->b, is_sealed ? ike_keys_tag_len(&g->keys) : 0);
    if (!writer_is_ok(&out->w))
        return out->w.error;
    if (out->w.len > IKE_MESSAGE_CAP)
        return ERR_FULL;
    if (is_sealed) {
        int error =
            ike_keys_seal(&g->keys, g->is_initiator, g->iv_counter++, out->w.base, out->w.len);
        if (error != ERR_OK)
            return error;
    }
    uint8_t *data = (uint8_t *)malloc(out->w.len);
    if (data == NULL)
        return ERR_NOMEM;
    memcpy(data, out->w.base, out->w.len);
    *ret_data = data;
    *ret_len = out->w.len;
    return ERR_OK;
}

int ike_generation_request(struct ike_generation *g, struct ike_outgoing *out,
                           enum ike_request_kind kind, uint64_t now_us)
{
    const struct ike_config *config = ike_sa_config(g->sa);
    uint8_t *data;
    size_t len;

    int error = finish(g, out, &data, &len);
    if (error != ERR_OK)
        return error;
    struct ike_request *r = &g->request;
    free(r->data);
    r->kind = kind;
    r->id = g->send_id++;
    r->data = data;
    r->len = len;
    r->next_at = 0;
    r->is_to_send = true;
    r->was_repeated = false;
    r->sent_us = r->asked_us = now_us;
    r->interval_us = ike_sa_first_interval(g->sa);
    r->repeat_us = config->is_reliable ? DEADLINE_NEVER : now_us + r->interval_us;
    /* The handshake as a whole has its own time-out. */
    r->timeout_us = kind == IKE_REQUEST_INIT || kind == IKE_REQUEST_AUTH
                        ? DEADLINE_NEVER
                        : now_us + config->request_timeout_us;
    return ERR_OK;
}

int ike_generation_respond(struct ike_generation *g, struct ike_outgoing *out,
                           const struct endpoint *remote, uint64_t request_hash)
{
    uint8_t *data;
    size_t len;

    int error = finish(g, out, &data, &len);
    if (error != ERR_OK)
        return error;
    free(g->response.data);
    g->response = (struct ike_response){.data = data,
                                        .len = len,
                                        .request_hash = request_hash,
                                        .is_to_send = true,
                                        .remote = *remote};
    g->receive_id++;
    return ERR_OK;
}

void ike_generation_repeat(struct ike_generation *g, uint64_t now_us)
{
    struct ike_request *r = &g->request;

    if (r->kind == IKE_REQUEST_NONE || r->data == NULL || now_us < r->repeat_us)
        return;
    r->is_to_send = true;
    r->was_repeated = true;
    if (!ike_mobility_is_urgent(g->sa))
        r->interval_us =
            deadline_min(r->interval_us * ike_sa_config(g->sa)->retransmit_factor_percent / 100,
                         INTERVAL_MAX_US);
    r->repeat_us = now_us + r->interval_us;
}

void ike_sa_measure_bound(struct ike_sa *sa, uint64_t since_first_us)
{
    if (sa->round_trip_us != 0 && !sa->is_round_trip_bound &&
        ++sa->unmeasured_requests < UNMEASURED_MAX)
        return;
    sa->unmeasured_requests = 0;
    sa->is_round_trip_bound = true;
    sa->round_trip_us = deadline_min(since_first_us, ROUND_TRIP_BOUND_US);
    sa->round_trip_var_us = sa->round_trip_us / 8;
}

uint64_t ike_sa_first_interval(const struct ike_sa *sa)
{
    const struct ike_config *config = ike_sa_config(sa);

    if (sa->round_trip_us == 0)
        return ike_mobility_is_urgent(sa)
                   ? deadline_min(config->retransmit_first_us, IKE_MOVE_US / 4)
                   : config->retransmit_first_us;
    uint64_t interval_us = sa->round_trip_us + 4 * sa->round_trip_var_us;
    if (interval_us < config->retransmit_min_us)
        interval_us = config->retransmit_min_us;
    return deadline_min(interval_us, INTERVAL_MAX_US);
}

void ike_sa_measure(struct ike_sa *sa, uint64_t round_trip_us)
{
    uint64_t sample_us = round_trip_us > 0 ? round_trip_us : 1;

    sa->unmeasured_requests = 0;
    if (sa->round_trip_us == 0 || sa->is_round_trip_bound) {
        sa->is_round_trip_bound = false;
        sa->round_trip_us = sample_us;
        sa->round_trip_var_us = sample_us / 2;
        return;
    }
    uint64_t off_us = sample_us > sa->round_trip_us ? sample_us - sa->round_trip_us
                                                    : sa->round_trip_us - sample_us;
    sa->round_trip_var_us = (3 * sa->round_trip_var_us + off_us) / 4;
    sa->round_trip_us = (7 * sa->round_trip_us + sample_us) / 8;
}
