/* What the table knows of single children: ESP's by their SPI, and the networks that those in
 * tunnel mode reach. Changed by the control thread, read without locks. */
#include "tunnel/tunnel_internal.h"

#include <stdlib.h>
#include <string.h>

/* Ours, drawn at random: no seed is needed. */
static uint64_t hash_spi(uint32_t spi)
{
    return spi * (uint64_t)0x9e3779b1u;
}

static bool match_spi(const void *entry, const void *key)
{
    return ((const struct child *)entry)->spi_in == *(const uint32_t *)key;
}

struct child *child_find_by_spi(struct tunnel_table *table, uint32_t spi)
{
    return (struct child *)hash_index_find(&table->by_spi, hash_spi(spi), match_spi, &spi);
}

static bool has_route(const struct child *child)
{
    return child->mode == CHILD_TUNNEL && child->selectors != NULL;
}

int child_enter(struct child *child)
{
    struct tunnel_table *table = child->tunnel->table;

    if (!child->is_esp)
        return ERR_OK;
    urcu_memb_read_lock();
    const bool is_taken = child_find_by_spi(table, child->spi_in) != NULL;
    urcu_memb_read_unlock();
    if (is_taken)
        return ERR_EXISTS;
    if (has_route(child)) {
        int result =
            route_table_add(&table->routes, &child->selectors->peer, child->tunnel, &child->routes);
        if (result != ERR_OK)
            return result;
    }
    int result = hash_index_add(&table->by_spi, hash_spi(child->spi_in), child);
    if (result != ERR_OK) {
        route_table_remove(&table->routes, child->routes);
        child->routes = NULL;
    }
    return result;
}

void child_leave(struct child *child)
{
    struct tunnel_table *table = child->tunnel->table;

    if (!child->is_esp)
        return;
    hash_index_replace(&table->by_spi, hash_spi(child->spi_in), child, NULL);
    route_table_remove(&table->routes, child->routes);
    child->routes = NULL;
}

struct tunnel *tunnel_find_by_selector(struct tunnel_table *table, const struct address *to)
{
    urcu_memb_read_lock();
    struct tunnel *found = route_table_find(&table->routes, to);
    urcu_memb_read_unlock();
    return found;
}
