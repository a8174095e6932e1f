/* The table of tunnels: adding, removing, paths, look-ups. The children of a tunnel are child.c's,
 * its packets seal.c's and open.c's. */
#include "tunnel/tunnel_internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

void tunnel_thread_register(void)
{
    urcu_memb_register_thread();
}

void tunnel_thread_unregister(void)
{
    urcu_memb_unregister_thread();
}

void tunnel_read_begin(void)
{
    urcu_memb_read_lock();
}

void tunnel_read_end(void)
{
    rcu_order_before(&rcu_grace_period);
    urcu_memb_read_unlock();
}

uint64_t table_hash_address(const struct tunnel_table *table, const struct address *address)
{
    return siphash(table->seed, address, sizeof(*address));
}

uint64_t table_hash_endpoint(const struct tunnel_table *table, const struct endpoint *endpoint)
{
    uint8_t key[sizeof(endpoint->address) + 4]; /* without padding */
    uint8_t *const numbers = key + sizeof(endpoint->address);
    memcpy(key, &endpoint->address, sizeof(endpoint->address));
    numbers[0] = (uint8_t)(endpoint->port >> 8);
    numbers[1] = (uint8_t)endpoint->port;
    numbers[2] = (uint8_t)(endpoint->socket >> 8);
    numbers[3] = (uint8_t)endpoint->socket;
    return siphash(table->seed, key, sizeof(key));
}

static bool match_peer(const void *entry, const void *key)
{
    const struct tunnel *tunnel = (const struct tunnel *)entry;
    const struct address *peer = (const struct address *)key;
    return address_is_equal(
        peer->family == ADDRESS_IPV6 ? &tunnel->local.peer_ipv6 : &tunnel->local.peer_ipv4, peer);
}

static bool match_endpoint(const void *entry, const void *key)
{
    return endpoint_is_equal(&((const struct path *)entry)->remote, (const struct endpoint *)key);
}

int tunnel_table_new(const uint8_t seed[16], struct tunnel_table **ret_table)
{
    struct tunnel_table *table = (struct tunnel_table *)calloc(1, sizeof(*table));
    if (table == NULL)
        return ERR_NOMEM;
    memcpy(table->seed, seed, sizeof(table->seed));
    route_table_init(&table->routes, seed);
    if (hash_index_init(&table->by_peer) != ERR_OK ||
        hash_index_init(&table->by_endpoint) != ERR_OK ||
        hash_index_init(&table->by_spi) != ERR_OK || arena_new(&table->arena) != ERR_OK) {
        tunnel_table_free(table);
        return ERR_NOMEM;
    }
    *ret_table = table;
    return ERR_OK;
}

void tunnel_table_free(struct tunnel_table *table)
{
    if (table == NULL)
        return;
    while (table->first != NULL)
        tunnel_remove(table, table->first);
    urcu_memb_barrier(); /* all that was removed is freed */
    rcu_order_after(&rcu_grace_period);
    hash_index_done(&table->by_peer);
    hash_index_done(&table->by_endpoint);
    hash_index_done(&table->by_spi);
    route_table_done(&table->routes);
    arena_free(table->arena);
    free(table);
}

static struct tunnel *find_by_peer(const struct tunnel_table *table, const struct address *peer)
{
    if (peer->family == ADDRESS_NONE)
        return NULL;
    return (struct tunnel *)hash_index_find(&table->by_peer, table_hash_address(table, peer),
                                            match_peer, peer);
}

struct tunnel *tunnel_find_by_peer(struct tunnel_table *table, const struct address *peer)
{
    urcu_memb_read_lock();
    struct tunnel *tunnel = find_by_peer(table, peer);
    urcu_memb_read_unlock();
    return tunnel;
}

struct path *path_first(const struct tunnel_table *table, const struct endpoint *remote)
{
    return (struct path *)hash_index_find(&table->by_endpoint, table_hash_endpoint(table, remote),
                                          match_endpoint, remote);
}

struct tunnel *tunnel_find_by_endpoint(struct tunnel_table *table, const struct endpoint *remote)
{
    urcu_memb_read_lock();
    const struct path *path = path_first(table, remote);
    struct tunnel *tunnel = path != NULL ? path->tunnel : NULL;
    urcu_memb_read_unlock();
    return tunnel;
}

size_t tunnel_find_all_by_endpoint(struct tunnel_table *table, const struct endpoint *remote,
                                   struct tunnel **ret_tunnels, size_t cap)
{
    size_t count = 0;
    urcu_memb_read_lock();
    for (const struct path *path = path_first(table, remote); path != NULL;
         path = path_next(path)) {
        if (count < cap)
            ret_tunnels[count] = path->tunnel;
        count++;
    }
    urcu_memb_read_unlock();
    return count;
}

/* ---- changes ---- */

/* The peer's addresses by which it is found: of the families of which both ends have one. */
static unsigned names_of(const struct view *local, const struct address *ret_names[2])
{
    unsigned count = 0;
    if (local->own_ipv4.family == ADDRESS_IPV4 && local->peer_ipv4.family == ADDRESS_IPV4)
        ret_names[count++] = &local->peer_ipv4;
    if (local->own_ipv6.family == ADDRESS_IPV6 && local->peer_ipv6.family == ADDRESS_IPV6)
        ret_names[count++] = &local->peer_ipv6;
    return count;
}

/* The first `count` of them. */
static void remove_names(struct tunnel_table *table, const struct tunnel *tunnel, unsigned count)
{
    const struct address *names[2];
    const unsigned all = names_of(&tunnel->local, names);
    for (unsigned i = 0; i < count && i < all; i++)
        hash_index_replace(&table->by_peer, table_hash_address(table, names[i]), tunnel, NULL);
}

static int add_names(struct tunnel_table *table, struct tunnel *tunnel)
{
    const struct address *names[2];
    const unsigned count = names_of(&tunnel->local, names);
    for (unsigned i = 0; i < count; i++) {
        int error = hash_index_add(&table->by_peer, table_hash_address(table, names[i]), tunnel);
        if (error != ERR_OK) {
            remove_names(table, tunnel, i);
            return error;
        }
    }
    return ERR_OK;
}

int tunnel_add(struct tunnel_table *table, const struct view *local, void *user,
               struct tunnel **ret_tunnel)
{
    const struct address *names[2];
    const unsigned count = names_of(local, names);

    if (count == 0)
        return ERR_INVALID;
    for (unsigned i = 0; i < count; i++) {
        if (tunnel_find_by_peer(table, names[i]) != NULL)
            return ERR_EXISTS;
    }
    struct tunnel *tunnel = (struct tunnel *)arena_take(table->arena, sizeof(*tunnel));
    if (tunnel == NULL)
        return ERR_NOMEM;
    tunnel->table = table;
    tunnel->arena = table->arena;
    tunnel->user = user;
    tunnel->local = *local;
    if (add_names(table, tunnel) != ERR_OK) {
        arena_give_back(table->arena, tunnel, sizeof(*tunnel));
        return ERR_NOMEM;
    }
    tunnel->next = table->first;
    tunnel->link = &table->first;
    if (tunnel->next != NULL)
        tunnel->next->link = &tunnel->next;
    table->first = tunnel;
    table->count++;
    *ret_tunnel = tunnel;
    return ERR_OK;
}

static void free_path(struct rcu_head *head)
{
    struct path *path = CONTAINER_OF(head, struct path, head);
    rcu_order_after(&rcu_grace_period);
    arena_give_back(path->arena, path, sizeof(*path));
}

static void free_tunnel(struct rcu_head *head)
{
    struct tunnel *tunnel = CONTAINER_OF(head, struct tunnel, head);
    rcu_order_after(&rcu_grace_period);
    arena_give_back(tunnel->arena, tunnel, sizeof(*tunnel));
}

/* Before those that are there with its endpoint. */
static int enter_path(struct tunnel_table *table, struct path *path)
{
    const uint64_t hash = table_hash_endpoint(table, &path->remote);
    struct path *first = path_first(table, &path->remote);
    if (first == NULL)
        return hash_index_add(&table->by_endpoint, hash, path);
    atomic_store_explicit(&path->beside, first, memory_order_relaxed);
    first->before = path;
    hash_index_replace(&table->by_endpoint, hash, first, path);
    return ERR_OK;
}

static void drop_path(struct tunnel_table *table, struct path *path)
{
    if (path == NULL)
        return;
    struct path *const beside = path_next(path);
    if (beside != NULL)
        beside->before = path->before;
    if (path->before != NULL)
        atomic_store_explicit(&path->before->beside, beside, memory_order_release);
    else
        hash_index_replace(&table->by_endpoint, table_hash_endpoint(table, &path->remote), path,
                           beside);
    rcu_defer(&path->head, free_path);
}

void tunnel_remove(struct tunnel_table *table, struct tunnel *tunnel)
{
    remove_names(table, tunnel, UINT_MAX);
    drop_path(table, atomic_exchange(&tunnel->path, NULL));
    drop_path(table, tunnel->previous);
    tunnel_children_clear(tunnel);
    table->count--;
    *tunnel->link = tunnel->next;
    if (tunnel->next != NULL)
        tunnel->next->link = tunnel->link;
    rcu_defer(&tunnel->head, free_tunnel);
}

int tunnel_set_path(struct tunnel_table *table, struct tunnel *tunnel,
                    const struct endpoint *remote, uint32_t mtu)
{
    struct path *path = (struct path *)arena_take(table->arena, sizeof(*path));
    if (path == NULL)
        return ERR_NOMEM;
    path->arena = table->arena;
    path->tunnel = tunnel;
    path->remote = *remote;
    path->mtu = mtu;
    if (enter_path(table, path) != ERR_OK) {
        arena_give_back(table->arena, path, sizeof(*path));
        return ERR_NOMEM;
    }
    struct path *old = atomic_exchange(&tunnel->path, path);
    if (old != NULL && endpoint_is_equal(&old->remote, remote)) {
        drop_path(table, old); /* only its MTU has changed */
    } else {
        drop_path(table, tunnel->previous);
        tunnel->previous = old;
    }
    return ERR_OK;
}

void tunnel_foreach(struct tunnel_table *table,
                    void (*callback)(struct tunnel *tunnel, void *context), void *context)
{
    for (struct tunnel *tunnel = table->first, *next; tunnel != NULL; tunnel = next) {
        next = tunnel->next;
        callback(tunnel, context);
    }
}

struct drop_counters *tunnel_table_drops(struct tunnel_table *table)
{
    return &table->drops;
}
