/* What the table knows of single children: ESP's by their SPI, and the networks that those in
 * tunnel mode reach. Changed by the control thread, read without locks. */
#include "tunnel/tunnel_internal.h"

#include <stdlib.h>
#include <string.h>

int child_table_init(struct tunnel_table *table)
{
    table->by_spi = table_hash_new();
    return table->by_spi != NULL ? ERR_OK : ERR_NOMEM;
}

void child_table_done(struct tunnel_table *table)
{
    if (table->by_spi != NULL)
        cds_lfht_destroy(table->by_spi, NULL);
    route_table_done(&table->routes);
}

/* Ours, drawn at random: no seed is needed. */
static unsigned long hash_spi(uint32_t spi)
{
    return (unsigned long)spi * 0x9e3779b1u;
}

static int match_spi(struct cds_lfht_node *node, const void *key)
{
    rcu_order_after(node);
    return CONTAINER_OF(node, struct child, spi_node)->spi_in == *(const uint32_t *)key;
}

struct child *child_find_by_spi(struct tunnel_table *table, uint32_t spi)
{
    struct cds_lfht_iter iter;
    cds_lfht_lookup(table->by_spi, hash_spi(spi), match_spi, &spi, &iter);
    struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);
    return node != NULL ? CONTAINER_OF(node, struct child, spi_node) : NULL;
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
    cds_lfht_node_init(&child->spi_node);
    rcu_order_before(&child->spi_node);
    urcu_memb_read_lock();
    cds_lfht_add(table->by_spi, hash_spi(child->spi_in), &child->spi_node);
    urcu_memb_read_unlock();
    return ERR_OK;
}

void child_leave(struct child *child)
{
    struct tunnel_table *table = child->tunnel->table;

    if (!child->is_esp)
        return;
    urcu_memb_read_lock();
    (void)cds_lfht_del(table->by_spi, &child->spi_node); /* it is there */
    urcu_memb_read_unlock();
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
