/* The table of tunnels: adding, removing, paths, look-ups. The children of a tunnel are child.c's,
 * its packets seal.c's and open.c's. */
#include "tunnel/tunnel_internal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

const char rcu_grace_period;

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

static unsigned long hash_address(const struct tunnel_table *table, const struct address *a)
{
    return (unsigned long)siphash(table->seed, a, sizeof(*a));
}

static unsigned long hash_endpoint(const struct tunnel_table *table, const struct endpoint *e)
{
    uint8_t key[sizeof(e->address) + 4]; /* without padding */
    memcpy(key, &e->address, sizeof(e->address));
    key[sizeof(e->address)] = (uint8_t)(e->port >> 8);
    key[sizeof(e->address) + 1] = (uint8_t)e->port;
    key[sizeof(e->address) + 2] = (uint8_t)(e->socket >> 8);
    key[sizeof(e->address) + 3] = (uint8_t)e->socket;
    return (unsigned long)siphash(table->seed, key, sizeof(key));
}

static int match_peer(struct cds_lfht_node *node, const void *key)
{
    rcu_order_after(node);
    return address_is_equal(&CONTAINER_OF(node, struct peer_key, node)->address,
                            (const struct address *)key);
}

static int match_endpoint(struct cds_lfht_node *node, const void *key)
{
    rcu_order_after(node);
    return endpoint_is_equal(&CONTAINER_OF(node, struct path, node)->remote,
                             (const struct endpoint *)key);
}

int tunnel_table_new(const uint8_t seed[16], struct tunnel_table **ret_table)
{
    struct tunnel_table *table = (struct tunnel_table *)calloc(1, sizeof(*table));
    if (table == NULL)
        return ERR_NOMEM;
    memcpy(table->seed, seed, sizeof(table->seed));
    route_table_init(&table->routes, seed);
    table->by_peer = table_hash_new();
    table->by_endpoint = table_hash_new();
    table->buckets = TABLE_BUCKETS_MIN;
    if (table->by_peer == NULL || table->by_endpoint == NULL || child_table_init(table) != ERR_OK) {
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
    if (table->by_peer != NULL)
        cds_lfht_destroy(table->by_peer, NULL);
    if (table->by_endpoint != NULL)
        cds_lfht_destroy(table->by_endpoint, NULL);
    child_table_done(table);
    free(table);
}

struct cds_lfht *table_hash_new(void)
{
    return cds_lfht_new_flavor(TABLE_BUCKETS_MIN, TABLE_BUCKETS_MIN, TABLE_BUCKETS_MAX, 0,
                               &urcu_memb_flavor, NULL);
}

/* A bucket for each tunnel at least, so that a look-up takes one step however many there are. By
 * us: a table that sees to it itself would bring a thread of its own. */
static void grow(struct tunnel_table *table)
{
    sigset_t all, before;
    if (table->count < table->buckets || table->buckets >= TABLE_BUCKETS_MAX)
        return;
    table->buckets *= 2;
    /* Large ones are filled by passing threads of the library's, which inherit this. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    cds_lfht_resize(table->by_peer, table->buckets);
    cds_lfht_resize(table->by_endpoint, table->buckets);
    cds_lfht_resize(table->by_spi, table->buckets);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static struct peer_key *find_key(struct tunnel_table *table, const struct address *peer)
{
    struct cds_lfht_iter iter;
    cds_lfht_lookup(table->by_peer, hash_address(table, peer), match_peer, peer, &iter);
    struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);
    return node != NULL ? CONTAINER_OF(node, struct peer_key, node) : NULL;
}

struct tunnel *tunnel_find_by_peer(struct tunnel_table *table, const struct address *peer)
{
    urcu_memb_read_lock();
    struct peer_key *key = find_key(table, peer);
    struct tunnel *tunnel = key != NULL ? key->tunnel : NULL;
    urcu_memb_read_unlock();
    return tunnel;
}

static struct path *walk_path(struct path_walk *walk)
{
    struct cds_lfht_node *node = cds_lfht_iter_get_node(&walk->iter);
    return node != NULL ? CONTAINER_OF(node, struct path, node) : NULL;
}

struct path *path_walk_first(struct path_walk *walk, struct tunnel_table *table,
                             const struct endpoint *remote)
{
    walk->table = table;
    walk->remote = *remote;
    cds_lfht_lookup(table->by_endpoint, hash_endpoint(table, remote), match_endpoint, &walk->remote,
                    &walk->iter);
    return walk_path(walk);
}

struct path *path_walk_next(struct path_walk *walk)
{
    cds_lfht_next_duplicate(walk->table->by_endpoint, match_endpoint, &walk->remote, &walk->iter);
    return walk_path(walk);
}

struct tunnel *tunnel_find_by_endpoint(struct tunnel_table *table, const struct endpoint *remote)
{
    struct path_walk walk;
    urcu_memb_read_lock();
    struct path *path = path_walk_first(&walk, table, remote);
    struct tunnel *tunnel = path != NULL ? path->tunnel : NULL;
    urcu_memb_read_unlock();
    return tunnel;
}

size_t tunnel_find_all_by_endpoint(struct tunnel_table *table, const struct endpoint *remote,
                                   struct tunnel **ret_tunnels, size_t cap)
{
    struct path_walk walk;
    size_t count = 0;
    urcu_memb_read_lock();
    for (struct path *path = path_walk_first(&walk, table, remote); path != NULL;
         path = path_walk_next(&walk)) {
        if (count < cap)
            ret_tunnels[count] = path->tunnel;
        count++;
    }
    urcu_memb_read_unlock();
    return count;
}

static void add_key(struct tunnel_table *table, struct tunnel *tunnel, struct peer_key *key,
                    const struct address *peer)
{
    key->address = *peer;
    key->tunnel = tunnel;
    if (peer->family == ADDRESS_NONE)
        return;
    cds_lfht_node_init(&key->node);
    rcu_order_before(&key->node);
    urcu_memb_read_lock();
    cds_lfht_add(table->by_peer, hash_address(table, peer), &key->node);
    urcu_memb_read_unlock();
}

static void remove_node(struct cds_lfht *hash, struct cds_lfht_node *node)
{
    urcu_memb_read_lock();
    (void)cds_lfht_del(hash, node); /* it is there: only the control thread removes */
    urcu_memb_read_unlock();
}

int tunnel_add(struct tunnel_table *table, const struct view *local, void *user,
               struct tunnel **ret_tunnel)
{
    const bool has_ipv4 =
        local->own_ipv4.family == ADDRESS_IPV4 && local->peer_ipv4.family == ADDRESS_IPV4;
    const bool has_ipv6 =
        local->own_ipv6.family == ADDRESS_IPV6 && local->peer_ipv6.family == ADDRESS_IPV6;
    const struct address none = {0};

    if (!has_ipv4 && !has_ipv6)
        return ERR_INVALID;
    if ((has_ipv4 && tunnel_find_by_peer(table, &local->peer_ipv4) != NULL) ||
        (has_ipv6 && tunnel_find_by_peer(table, &local->peer_ipv6) != NULL))
        return ERR_EXISTS;
    struct tunnel *tunnel = (struct tunnel *)calloc(1, sizeof(*tunnel));
    if (tunnel == NULL)
        return ERR_NOMEM;
    tunnel->table = table;
    tunnel->user = user;
    tunnel->local = *local;
    tunnel->next = table->first;
    tunnel->link = &table->first;
    if (tunnel->next != NULL)
        tunnel->next->link = &tunnel->next;
    table->first = tunnel;
    table->count++;
    grow(table);
    add_key(table, tunnel, &tunnel->keys[0], has_ipv4 ? &local->peer_ipv4 : &none);
    add_key(table, tunnel, &tunnel->keys[1], has_ipv6 ? &local->peer_ipv6 : &none);
    *ret_tunnel = tunnel;
    return ERR_OK;
}

static void free_path(struct rcu_head *head)
{
    rcu_order_after(&rcu_grace_period);
    free(CONTAINER_OF(head, struct path, head));
}

static void free_tunnel(struct rcu_head *head)
{
    rcu_order_after(&rcu_grace_period);
    free(CONTAINER_OF(head, struct tunnel, head));
}

static void drop_path(struct tunnel_table *table, struct path *path)
{
    if (path == NULL)
        return;
    remove_node(table->by_endpoint, &path->node);
    rcu_defer(&path->head, free_path);
}

void tunnel_remove(struct tunnel_table *table, struct tunnel *tunnel)
{
    for (size_t i = 0; i < 2; i++) {
        if (tunnel->keys[i].address.family != ADDRESS_NONE)
            remove_node(table->by_peer, &tunnel->keys[i].node);
    }
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
    struct path *path = (struct path *)calloc(1, sizeof(*path));
    if (path == NULL)
        return ERR_NOMEM;
    path->tunnel = tunnel;
    path->remote = *remote;
    path->mtu = mtu;
    cds_lfht_node_init(&path->node);
    rcu_order_before(&path->node);
    urcu_memb_read_lock();
    cds_lfht_add(table->by_endpoint, hash_endpoint(table, remote), &path->node);
    urcu_memb_read_unlock();

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
