/* A hash of prefixes, looked into once for every length in use, from the longest on. Each prefix in
 * it knows all the routes that have it, for the control thread, and the tunnel of the newest, for
 * all. */
#include "tunnel/route_table.h"

#include "base/map.h"
#include "tunnel/rcu.h"
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096

/* A prefix in the hash. */
struct entry {
    struct cds_lfht_node node;
    struct rcu_head head;
    struct prefix prefix;
    _Atomic(struct tunnel *) tunnel; /* the newest's */
    struct route *newest;            /* control thread */
};

struct route {
    struct entry *entry;
    struct tunnel *tunnel;
    struct route *older;
};

struct routes {
    unsigned count;
    struct route list[];
};

void route_table_init(struct route_table *table, const uint8_t seed[16])
{
    memset(table, 0, sizeof(*table));
    memcpy(table->seed, seed, sizeof(table->seed));
}

void route_table_done(struct route_table *table)
{
    struct cds_lfht *hash = atomic_load(&table->hash);
    if (hash == NULL)
        return;
    urcu_memb_barrier(); /* all that was removed is freed */
    rcu_order_after(&rcu_grace_period);
    cds_lfht_destroy(hash, NULL);
}

static size_t index_of(const struct address *address)
{
    return address->family == ADDRESS_IPV6;
}

static unsigned long hash_prefix(const struct route_table *table, const struct prefix *prefix)
{
    return (unsigned long)siphash(table->seed, prefix, sizeof(*prefix));
}

static int match(struct cds_lfht_node *node, const void *key)
{
    rcu_order_after(node);
    return memcmp(&CONTAINER_OF(node, struct entry, node)->prefix, key, sizeof(struct prefix)) == 0;
}

static struct entry *find_entry(const struct route_table *table, const struct prefix *prefix)
{
    struct cds_lfht *hash = atomic_load_explicit(&table->hash, memory_order_acquire);
    struct cds_lfht_iter iter;
    if (hash == NULL)
        return NULL;
    cds_lfht_lookup(hash, hash_prefix(table, prefix), match, prefix, &iter);
    struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);
    return node != NULL ? CONTAINER_OF(node, struct entry, node) : NULL;
}

struct tunnel *route_table_find(const struct route_table *table, const struct address *to)
{
    const struct route_family *family = &table->families[index_of(to)];
    for (unsigned word = ROUTE_LENGTH_WORDS; word-- > 0;) {
        uint64_t lengths = atomic_load_explicit(&family->in_use[word], memory_order_acquire);
        while (lengths != 0) {
            const unsigned bit = 63u - (unsigned)__builtin_clzll(lengths);
            const struct prefix prefix = prefix_around(to, 64 * word + bit);
            const struct entry *entry = find_entry(table, &prefix);
            if (entry != NULL) {
                struct tunnel *tunnel = atomic_load_explicit(&entry->tunnel, memory_order_acquire);
                if (tunnel != NULL)
                    return tunnel;
            }
            lengths &= ~(1ull << bit);
        }
    }
    return NULL;
}

/* ---- changes ---- */

static void note_length(struct route_table *table, const struct prefix *prefix, bool is_added)
{
    struct route_family *family = &table->families[index_of(&prefix->address)];
    const uint64_t bit = 1ull << prefix->bits % 64;
    _Atomic uint64_t *word = &family->in_use[prefix->bits / 64];
    uint32_t *count = &family->counts[prefix->bits];
    *count = is_added ? *count + 1 : *count - 1;
    if (is_added && *count == 1)
        atomic_fetch_or_explicit(word, bit, memory_order_release);
    else if (!is_added && *count == 0)
        atomic_fetch_and_explicit(word, ~bit, memory_order_release);
}

static struct entry *add_entry(struct route_table *table, const struct prefix *prefix)
{
    struct entry *entry = (struct entry *)calloc(1, sizeof(*entry));
    if (entry == NULL)
        return NULL;
    entry->prefix = *prefix;
    cds_lfht_node_init(&entry->node);
    rcu_order_before(&entry->node);
    urcu_memb_read_lock();
    cds_lfht_add(atomic_load(&table->hash), hash_prefix(table, prefix), &entry->node);
    urcu_memb_read_unlock();
    note_length(table, prefix, true);
    return entry;
}

static void free_entry(struct rcu_head *head)
{
    rcu_order_after(&rcu_grace_period);
    free(CONTAINER_OF(head, struct entry, head));
}

static void remove_entry(struct route_table *table, struct entry *entry)
{
    note_length(table, &entry->prefix, false);
    urcu_memb_read_lock();
    (void)cds_lfht_del(atomic_load(&table->hash), &entry->node); /* it is there */
    urcu_memb_read_unlock();
    rcu_defer(&entry->head, free_entry);
}

static int add_route(struct route_table *table, struct route *route, const struct prefix *prefix,
                     struct tunnel *tunnel)
{
    urcu_memb_read_lock();
    struct entry *entry = find_entry(table, prefix);
    urcu_memb_read_unlock();
    if (entry == NULL)
        entry = add_entry(table, prefix);
    if (entry == NULL)
        return ERR_NOMEM;
    *route = (struct route){.entry = entry, .tunnel = tunnel, .older = entry->newest};
    entry->newest = route;
    atomic_store_explicit(&entry->tunnel, tunnel, memory_order_release);
    return ERR_OK;
}

static void remove_route(struct route_table *table, struct route *route)
{
    struct entry *entry = route->entry;
    struct route **link = &entry->newest;
    while (*link != route)
        link = &(*link)->older;
    *link = route->older;
    if (entry->newest == NULL)
        remove_entry(table, entry);
    else
        atomic_store_explicit(&entry->tunnel, entry->newest->tunnel, memory_order_release);
}

/* The largest prefix that begins with first and does not go past last. */
static unsigned largest_bits(const struct address *first, const struct address *last)
{
    unsigned bits = (unsigned)(8 * address_len(first));
    while (bits > 0) {
        const struct prefix wider = prefix_around(first, bits - 1);
        const struct address end = prefix_last(&wider);
        if (!address_is_equal(&wider.address, first) || address_compare(&end, last) > 0)
            break;
        bits--;
    }
    return bits;
}

/* The next address behind a prefix. False: there is none. */
static bool step_over(const struct prefix *prefix, struct address *ret_next)
{
    struct address next = prefix->address;
    for (unsigned i = prefix->bits; i-- > 0;) {
        next.bytes[i / 8] ^= (uint8_t)(0x80 >> i % 8);
        if (next.bytes[i / 8] & 0x80 >> i % 8) {
            *ret_next = next;
            return true;
        }
    }
    return false;
}

static unsigned divide(const struct ike_selector *selector, struct prefix *ret_prefixes)
{
    struct address at = selector->first;
    unsigned count = 0;
    while (count < ROUTE_PREFIXES_MAX && address_compare(&at, &selector->last) <= 0) {
        const struct prefix prefix = prefix_around(&at, largest_bits(&at, &selector->last));
        ret_prefixes[count++] = prefix;
        if (!step_over(&prefix, &at))
            break;
    }
    return count;
}

static bool is_known(const struct prefix *prefixes, unsigned count, const struct prefix *prefix)
{
    for (unsigned i = 0; i < count; i++)
        if (memcmp(&prefixes[i], prefix, sizeof(*prefix)) == 0)
            return true;
    return false;
}

/* All prefixes of all selectors, each once. */
static unsigned divide_all(const struct selectors *to,
                           struct prefix prefixes[SELECTORS_MAX * ROUTE_PREFIXES_MAX])
{
    unsigned count = 0;
    for (uint8_t i = 0; i < to->count; i++) {
        struct prefix one[ROUTE_PREFIXES_MAX];
        const unsigned one_count = divide(&to->list[i], one);
        for (unsigned j = 0; j < one_count; j++)
            if (!is_known(prefixes, count, &one[j]))
                prefixes[count++] = one[j];
    }
    return count;
}

static int make_hash(struct route_table *table)
{
    if (atomic_load(&table->hash) != NULL)
        return ERR_OK;
    struct cds_lfht *hash =
        cds_lfht_new_flavor(BUCKETS, BUCKETS, BUCKETS, 0, &urcu_memb_flavor, NULL);
    if (hash == NULL)
        return ERR_NOMEM;
    atomic_store_explicit(&table->hash, hash, memory_order_release);
    return ERR_OK;
}

int route_table_add(struct route_table *table, const struct selectors *to, struct tunnel *tunnel,
                    struct routes **ret_routes)
{
    struct prefix prefixes[SELECTORS_MAX * ROUTE_PREFIXES_MAX];
    const unsigned count = divide_all(to, prefixes);
    struct routes *routes =
        (struct routes *)calloc(1, sizeof(*routes) + count * sizeof(routes->list[0]));
    int error = routes != NULL ? make_hash(table) : ERR_NOMEM;
    for (unsigned i = 0; error == ERR_OK && i < count; i++) {
        error = add_route(table, &routes->list[i], &prefixes[i], tunnel);
        if (error == ERR_OK)
            routes->count++;
    }
    if (error != ERR_OK) {
        route_table_remove(table, routes);
        return error;
    }
    *ret_routes = routes;
    return ERR_OK;
}

void route_table_remove(struct route_table *table, struct routes *routes)
{
    if (routes == NULL)
        return;
    for (unsigned i = 0; i < routes->count; i++)
        remove_route(table, &routes->list[i]);
    free(routes); /* only the control thread has seen it */
}
