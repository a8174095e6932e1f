/* The table of SAs and the way of a message to its SA; see ike/table.h. */
#include "crypto/memory.h"
#include "ike/exchange.h"
#include "ike/life.h"
#include "ike/reply.h"
#include "ike/resume.h"
#include "ike/timer.h"
#include <stdlib.h>
#include <string.h>

void ike_table_limits_init(struct ike_table_limits *limits)
{
    *limits = (struct ike_table_limits){
        .sas_max = 20480,
        .half_open_max = 512,
        .half_open_per_address_max = 32,
        .cookie_threshold = 32,
        .replies_max = 64,
        .replies_per_second = 100,
        .cookie_lifetime_us = 60 * SECOND_US,
    };
}

int ike_table_new(const struct ike_table_limits *limits, uint64_t now_us,
                  struct ike_table **ret_table)
{
    uint8_t seeds[4][16];

    int error = crypto_random(seeds, sizeof(seeds));
    if (error != ERR_OK)
        return error;
    struct ike_table *table = (struct ike_table *)calloc(1, sizeof(*table));
    if (table == NULL)
        return ERR_NOMEM;
    table->limits = *limits;
    table->replies_end = &table->replies;
    memcpy(table->hash_key, seeds[3], sizeof(table->hash_key));
    error = map_init(&table->by_spi, seeds[0]);
    if (error != ERR_OK)
        goto free_table;
    error = map_init(&table->by_init, seeds[1]);
    if (error != ERR_OK)
        goto free_by_spi;
    error = map_init(&table->half_open, seeds[2]);
    if (error != ERR_OK)
        goto free_by_init;
    error = ike_cookies_init(&table->cookies, limits->cookie_lifetime_us, now_us);
    if (error != ERR_OK)
        goto free_half_open;
    deadline_heap_init(&table->deadlines);
    *ret_table = table;
    return ERR_OK;

free_half_open:
    map_done(&table->half_open);
free_by_init:
    map_done(&table->by_init);
free_by_spi:
    map_done(&table->by_spi);
free_table:
    free(table);
    return error;
}

void ike_table_free(struct ike_table *table)
{
    if (table == NULL)
        return;
    while (table->sas != NULL)
        ike_sa_free(table->sas);
    ike_replies_done(table);
    ike_cookies_done(&table->cookies);
    deadline_heap_done(&table->deadlines);
    map_done(&table->half_open);
    map_done(&table->by_init);
    map_done(&table->by_spi);
    crypto_wipe(table, sizeof(*table));
    free(table);
}

void ike_table_set_time(struct ike_table *table, uint64_t now_s)
{
    table->wall_s = now_s;
}

/* Offers the message to one generation that has its SPIs. */
static int try_generation(struct ike_generation *g, const struct ike_header *header,
                          const uint8_t *message, size_t len, const struct endpoint *remote,
                          uint64_t now_us)
{
    bool is_resume = header->exchange == IKE_EXCHANGE_SESSION_RESUME;
    bool is_init_answer = (header->exchange == IKE_EXCHANGE_SA_INIT || is_resume) &&
                          (header->flags & IKE_FLAG_RESPONSE) != 0;

    if (!is_init_answer)
        return ike_inbound_receive(g, header, message, len, remote, now_us);
    if (g->state != IKE_GENERATION_INIT || g->request.kind != IKE_REQUEST_INIT ||
        header->message_id != 0 || g->sa->state != IKE_STATE_CONNECTING)
        return ERR_REPLAY;
    if (is_resume)
        return ike_resume_finish(g, header, message, len, now_us);
    if (g->handshake->resumed != NULL)
        return ERR_STATE;
    return ike_init_finish(g, header, message, len, remote, now_us);
}

/* Several generations may share SPIs while answers to one IKE_SA_INIT compete, and until the losers
 * are forgotten: the one that can decrypt it is meant. What the others think of it says nothing. */
static int find_and_receive(struct ike_table *table, const struct ike_header *header,
                            const uint8_t *message, size_t len, const struct endpoint *remote,
                            uint64_t now_us, struct ike_sa **ret_sa)
{
    bool from_initiator = (header->flags & IKE_FLAG_INITIATOR) != 0;
    uint64_t own_spi = from_initiator ? header->spi_r : header->spi_i;
    uint64_t peer_spi = from_initiator ? header->spi_i : header->spi_r;
    bool is_init =
        header->exchange == IKE_EXCHANGE_SA_INIT || header->exchange == IKE_EXCHANGE_SESSION_RESUME;
    struct map_node *node =
        map_first(&table->by_spi, map_hash(&table->by_spi, &own_spi, sizeof(own_spi)));
    int error = ERR_NOT_FOUND;

    for (; node != NULL; node = map_next(node)) {
        struct ike_generation *g = CONTAINER_OF(node, struct ike_generation, node);
        if (ike_generation_own_spi(g) != own_spi || g->is_initiator == from_initiator)
            continue;
        bool is_meant =
            is_init ? g->state == IKE_GENERATION_INIT : ike_generation_peer_spi(g) == peer_spi;
        if (!is_meant)
            continue;
        int result = try_generation(g, header, message, len, remote, now_us);
        if (result == ERR_OK) {
            *ret_sa = g->sa;
            return ERR_OK;
        }
        if (error == ERR_NOT_FOUND || error == ERR_STATE)
            error = result;
    }
    return error;
}

struct ike_sa *ike_table_peek(struct ike_table *table, const uint8_t *message, size_t len)
{
    struct ike_header header;
    if (ike_header_parse(message, len, &header) != ERR_OK)
        return NULL;
    const bool from_initiator = (header.flags & IKE_FLAG_INITIATOR) != 0;
    const uint64_t own_spi = from_initiator ? header.spi_r : header.spi_i;
    const uint64_t peer_spi = from_initiator ? header.spi_i : header.spi_r;
    struct map_node *node =
        map_first(&table->by_spi, map_hash(&table->by_spi, &own_spi, sizeof(own_spi)));
    for (; node != NULL; node = map_next(node)) {
        struct ike_generation *g = CONTAINER_OF(node, struct ike_generation, node);
        if (ike_generation_own_spi(g) != own_spi || g->is_initiator == from_initiator)
            continue;
        if (g->state == IKE_GENERATION_INIT || ike_generation_peer_spi(g) == peer_spi)
            return g->sa;
    }
    return NULL;
}

int ike_table_receive(struct ike_table *table, struct ike_profile *responder,
                      const uint8_t *message, size_t len, const struct endpoint *remote,
                      uint64_t now_us, struct ike_sa **ret_sa)
{
    struct ike_header header;
    struct ike_sa *sa;

    *ret_sa = NULL;
    if (len > IKE_MESSAGE_CAP)
        return ERR_LIMIT;
    int error = ike_header_parse(message, len, &header);
    if (error != ERR_OK)
        return error;
    bool is_request = (header.flags & IKE_FLAG_RESPONSE) == 0;
    /* Who takes no requests from there says nothing either, so that nobody finds it by asking. */
    if (header.major_version > IKE_MAJOR_VERSION && is_request && responder != NULL) {
        error = ike_reply_add(table, &header, remote, IKE_NOTIFY_INVALID_MAJOR_VERSION, NULL, 0,
                              now_us);
        return error == ERR_OK ? ERR_AGAIN : error;
    }
    if (header.major_version != IKE_MAJOR_VERSION)
        return ERR_UNSUPPORTED;
    if (header.exchange == IKE_EXCHANGE_SA_INIT && is_request && header.spi_r == 0) {
        if ((header.flags & IKE_FLAG_INITIATOR) == 0)
            return ERR_INVALID;
        error = ike_init_accept(table, responder, &header, message, len, remote, now_us, &sa);
    } else if (header.exchange == IKE_EXCHANGE_SESSION_RESUME && is_request && header.spi_r == 0) {
        if ((header.flags & IKE_FLAG_INITIATOR) == 0)
            return ERR_INVALID;
        error = ike_resume_accept(table, responder, &header, message, len, remote, now_us, &sa);
    } else {
        error = find_and_receive(table, &header, message, len, remote, now_us, &sa);
    }
    if (error != ERR_OK)
        return error;
    ike_sa_sweep(sa);
    ike_timer_update(sa);
    *ret_sa = sa;
    return ERR_OK;
}

uint64_t ike_table_deadline(const struct ike_table *table)
{
    uint64_t due_us = deadline_heap_next(&table->deadlines);
    return due_us >= DEADLINE_NEVER - 1 ? DEADLINE_NEVER : due_us;
}

struct ike_sa *ike_table_expire(struct ike_table *table, uint64_t now_us)
{
    struct deadline *due = deadline_heap_pop(&table->deadlines, now_us);

    if (due == NULL)
        return NULL;
    struct ike_sa *sa = CONTAINER_OF(due, struct ike_sa, deadline);
    ike_sa_expire(sa, now_us);
    return sa;
}

struct ike_sa *ike_table_walk(struct ike_table *table, struct ike_sa *previous)
{
    return previous == NULL ? table->sas : previous->next;
}

uint32_t ike_table_count(const struct ike_table *table)
{
    return table->count;
}

uint32_t ike_table_half_open_count(const struct ike_table *table)
{
    return (uint32_t)table->half_open.count;
}
