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
    free(atomic_load_explicit(&table->routes, memory_order_relaxed));
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

static void free_routes(struct rcu_head *head)
{
    rcu_order_after(&rcu_grace_period);
    free(CONTAINER_OF(head, struct routes, head));
}

/* A new table: added in front (NULL: nothing), without those of removed. */
static int change_routes(struct tunnel_table *table, const struct child *added,
                         const struct child *removed)
{
    struct routes *old = atomic_load_explicit(&table->routes, memory_order_relaxed);
    const unsigned int room = (old != NULL ? old->count : 0) + 1;
    struct routes *routes = calloc(1, sizeof(*routes) + room * sizeof(routes->list[0]));

    if (routes == NULL)
        return ERR_NOMEM;
    if (added != NULL)
        routes->list[routes->count++] =
            (struct route){.child = added, .tunnel = added->tunnel, .to = added->selectors.peer};
    for (unsigned int i = 0; old != NULL && i < old->count; i++) {
        if (old->list[i].child != removed)
            routes->list[routes->count++] = old->list[i];
    }
    if (routes->count == 0) {
        free(routes);
        routes = NULL;
    }
    atomic_store_explicit(&table->routes, routes, memory_order_release);
    if (old != NULL)
        rcu_defer(&old->head, free_routes);
    return ERR_OK;
}

static bool has_route(const struct child *child)
{
    return child->mode == CHILD_TUNNEL && child->selectors.peer.count > 0;
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
        int result = change_routes(table, child, NULL);
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

/* Without memory for a smaller table none of the networks is reached: better than the way into a
 * tunnel that is gone. */
static void forget_routes(struct tunnel_table *table)
{
    struct routes *old = atomic_exchange(&table->routes, NULL);
    if (old != NULL)
        rcu_defer(&old->head, free_routes);
}

void child_leave(struct child *child)
{
    struct tunnel_table *table = child->tunnel->table;

    if (!child->is_esp)
        return;
    urcu_memb_read_lock();
    (void)cds_lfht_del(table->by_spi, &child->spi_node); /* it is there */
    urcu_memb_read_unlock();
    if (has_route(child) && change_routes(table, NULL, child) != ERR_OK)
        forget_routes(table);
}

struct tunnel *tunnel_find_by_selector(struct tunnel_table *table, const struct address *to)
{
    struct tunnel *found = NULL;

    urcu_memb_read_lock();
    const struct routes *routes = atomic_load_explicit(&table->routes, memory_order_acquire);
    for (unsigned int i = 0; routes != NULL && found == NULL && i < routes->count; i++) {
        const struct selectors *s = &routes->list[i].to;
        for (uint8_t j = 0; j < s->count && found == NULL; j++) {
            if (selector_holds(&s->list[j], to))
                found = routes->list[i].tunnel;
        }
    }
    urcu_memb_read_unlock();
    return found;
}
