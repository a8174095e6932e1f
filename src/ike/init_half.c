/* See ike/init_half.h. */
#include "ike/init_half.h"

#include "crypto/memory.h"
#include <stdlib.h>
#include <string.h>

/* A different request is another handshake, so that nobody can occupy the SPI of one under way. */
uint64_t ike_half_open_hash(const struct ike_table *table, const uint8_t *message, size_t len,
                            const struct endpoint *remote)
{
    struct {
        uint64_t message_hash;
        uint8_t address[16];
        uint64_t port;
    } key;

    key.message_hash = map_hash(&table->by_init, message, len);
    memcpy(key.address, remote->address.bytes, sizeof(key.address));
    key.port = remote->port;
    return map_hash(&table->by_init, &key, sizeof(key));
}

static uint64_t address_hash(const struct ike_table *table, const struct endpoint *remote)
{
    const struct address host = address_group(&remote->address, ADDRESS_HOST_BITS);
    return map_hash(&table->half_open, host.bytes, sizeof(host.bytes));
}

int ike_half_open_check(const struct ike_table *table, const struct endpoint *remote)
{
    struct map_node *node = map_first(&table->half_open, address_hash(table, remote));
    uint32_t count = 0;

    if (table->count >= table->limits.sas_max ||
        table->half_open.count >= table->limits.half_open_max)
        return ERR_LIMIT;
    for (; node != NULL; node = map_next(node))
        count++;
    return count >= table->limits.half_open_per_address_max ? ERR_LIMIT : ERR_OK;
}

bool ike_half_open_has(const struct ike_table *table, const struct endpoint *remote)
{
    return map_first(&table->half_open, address_hash(table, remote)) != NULL;
}

int ike_half_open_new(struct ike_sa *sa, const struct ike_header *header,
                      const struct ike_payload *nonce, const uint8_t *message, size_t len,
                      struct ike_generation **ret_generation)
{
    struct ike_generation *g;
    uint64_t spi;

    int error = ike_generation_draw_spi(sa->table, &spi);
    if (error == ERR_OK)
        error = ike_generation_new(sa, false, header->spi_i, spi, IKE_GENERATION_AUTH, &g);
    if (error != ERR_OK)
        return error;
    sa->current = g;
    struct ike_handshake *h = (struct ike_handshake *)calloc(1, sizeof(*h));
    g->handshake = h;
    if (h == NULL)
        return ERR_NOMEM;
    h->init_request = (uint8_t *)malloc(len);
    if (h->init_request == NULL)
        return ERR_NOMEM;
    memcpy(h->init_request, message, len);
    h->init_request_len = len;
    memcpy(h->peer_nonce, nonce->body, nonce->len);
    h->peer_nonce_len = nonce->len;
    error = crypto_random(h->own_nonce, IKE_NONCE_LEN);
    if (error == ERR_OK)
        *ret_generation = g;
    return error;
}

int ike_half_open_insert(struct ike_generation *g, uint64_t hash)
{
    struct ike_sa *sa = g->sa;

    int error = map_insert(&sa->table->by_init, &sa->init_node, hash);
    if (error != ERR_OK)
        return error;
    sa->has_init_node = true;
    error = map_insert(&sa->table->half_open, &g->handshake->half_open_node,
                       address_hash(sa->table, &sa->remote));
    if (error == ERR_OK)
        g->handshake->is_half_open = true;
    return error;
}
