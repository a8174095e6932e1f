/* The pool's table: names and addresses both ways, choice of an address, recycling. Its state file
 * is in pool_state.c. */
#include "names/pool.h"

#include "base/text.h"
#include "names/pool_table.h"
#include <stdlib.h>
#include <string.h>

int pool_new(const struct prefix *prefix, const uint8_t seed[16], struct pool **ret_pool)
{
    if (prefix->address.family != ADDRESS_IPV4 || prefix->bits < POOL_BITS_MIN ||
        prefix->bits > POOL_BITS_MAX || address_is_loopback(&prefix->address) ||
        address_is_multicast(&prefix->address) || !prefix_contains(prefix, &prefix->address))
        return ERR_INVALID;
    uint32_t size = (uint32_t)1 << (32 - prefix->bits);
    uint32_t base = address_to_ipv4(&prefix->address);
    if ((base & (size - 1)) != 0)
        return ERR_INVALID;

    struct pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return ERR_NOMEM;
    pool->prefix = *prefix;
    pool->base = base;
    pool->size = size;
    memcpy(pool->seed, seed, sizeof pool->seed);
    if (map_init(&pool->by_name, seed) != ERR_OK)
        goto free_pool;
    if (map_init(&pool->by_address, seed) != ERR_OK)
        goto done_by_name;
    *ret_pool = pool;
    return ERR_OK;

done_by_name:
    map_done(&pool->by_name);
free_pool:
    free(pool);
    return ERR_NOMEM;
}

void pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    pool_table_clear(pool);
    map_done(&pool->by_name);
    map_done(&pool->by_address);
    free(pool);
}

const struct prefix *pool_prefix(const struct pool *pool)
{
    return &pool->prefix;
}

struct address pool_own_address(const struct pool *pool)
{
    return address_from_ipv4(pool->base + POOL_OWN_OFFSET);
}

bool pool_contains(const struct pool *pool, const struct address *address)
{
    return address->family == ADDRESS_IPV4 && prefix_contains(&pool->prefix, address);
}

/* ---- the table ---- */

bool pool_table_is_usable(const struct pool *pool, uint32_t address)
{
    uint32_t offset = address - pool->base;
    uint8_t last = (uint8_t)address;

    /* Many programs and middle boxes take .0 and .255 for network and broadcast addresses, whatever
     * the prefix. */
    return offset < pool->size && offset > POOL_OWN_OFFSET && offset != pool->size - 1 &&
           last != 0 && last != 255;
}

struct pool_slot *pool_table_by_name(const struct pool *pool, const char *name)
{
    uint64_t hash = map_hash(&pool->by_name, name, strlen(name));

    for (struct map_node *n = map_first(&pool->by_name, hash); n != NULL; n = map_next(n)) {
        struct pool_slot *slot = CONTAINER_OF(n, struct pool_slot, by_name);
        if (strcmp(slot->name, name) == 0)
            return slot;
    }
    return NULL;
}

struct pool_slot *pool_table_by_address(const struct pool *pool, uint32_t address)
{
    uint64_t hash = map_hash(&pool->by_address, &address, sizeof address);

    for (struct map_node *n = map_first(&pool->by_address, hash); n != NULL; n = map_next(n)) {
        struct pool_slot *slot = CONTAINER_OF(n, struct pool_slot, by_address);
        if (slot->address == address)
            return slot;
    }
    return NULL;
}

int pool_table_insert(struct pool *pool, const char *name, uint32_t address,
                      struct pool_slot **ret_slot)
{
    size_t name_len = strlen(name);
    struct pool_slot *slot = calloc(1, sizeof *slot + name_len + 1);

    if (slot == NULL)
        return ERR_NOMEM;
    memcpy(slot->name, name, name_len + 1);
    slot->address = address;
    if (map_insert(&pool->by_name, &slot->by_name, map_hash(&pool->by_name, name, name_len)) !=
        ERR_OK)
        goto free_slot;
    if (map_insert(&pool->by_address, &slot->by_address,
                   map_hash(&pool->by_address, &address, sizeof address)) != ERR_OK)
        goto remove_by_name;
    slot->is_unsaved = true;
    pool->unsaved++;
    *ret_slot = slot;
    return ERR_OK;

remove_by_name:
    map_remove(&pool->by_name, &slot->by_name);
free_slot:
    free(slot);
    return ERR_NOMEM;
}

static void remove_slot(struct pool *pool, struct pool_slot *slot)
{
    pool->unsaved -= slot->is_unsaved;
    pool->is_moved = true;
    map_remove(&pool->by_name, &slot->by_name);
    map_remove(&pool->by_address, &slot->by_address);
    free(slot);
}

void pool_table_clear(struct pool *pool)
{
    struct map_node *node = map_walk(&pool->by_name, NULL);

    while (node != NULL) {
        struct map_node *next = map_walk(&pool->by_name, node);
        remove_slot(pool, CONTAINER_OF(node, struct pool_slot, by_name));
        node = next;
    }
}

/* ---- time ---- */

static void touch(struct pool *pool, struct pool_slot *slot, uint64_t wall_s)
{
    uint64_t rounded_s = wall_s > UINT64_MAX - POOL_ROUND_S
                             ? UINT64_MAX / POOL_ROUND_S * POOL_ROUND_S
                             : (wall_s + POOL_ROUND_S - 1) / POOL_ROUND_S * POOL_ROUND_S;

    /* Never back: a clock that was set back must not make an address look unused. */
    if (rounded_s > slot->used_s) {
        slot->used_s = rounded_s;
        pool->is_dirty |= !slot->is_unsaved;
    }
}

static bool is_rested(const struct pool_slot *slot, uint64_t wall_s)
{
    return slot->hold_count == 0 && wall_s > slot->used_s && wall_s - slot->used_s >= POOL_HOLD_S;
}

/* ---- assignment ---- */

/* The last two labels of a name. */
static const char *suffix_of(const char *name)
{
    const char *at = name + strlen(name);

    for (int dots = 0; at > name; at--)
        if (at[-1] == '.' && ++dots == 2)
            break;
    return at;
}

/* Takes out the name that has been unused for longest, of all or of those under suffix. False if
 * none has rested for a day. */
static bool recycle_one(struct pool *pool, const char *suffix, uint64_t wall_s)
{
    struct pool_slot *oldest = NULL;

    for (struct map_node *n = map_walk(&pool->by_name, NULL); n != NULL;
         n = map_walk(&pool->by_name, n)) {
        struct pool_slot *slot = CONTAINER_OF(n, struct pool_slot, by_name);
        if (!is_rested(slot, wall_s) ||
            (suffix != NULL && strcmp(suffix_of(slot->name), suffix) != 0))
            continue;
        if (oldest == NULL || slot->used_s < oldest->used_s)
            oldest = slot;
    }
    if (oldest == NULL)
        return false;
    remove_slot(pool, oldest);
    pool->is_dirty = true;
    return true;
}

static int make_room(struct pool *pool, const char *name, uint64_t wall_s)
{
    if (pool->by_name.count >= POOL_SUFFIX_MAX) {
        const char *suffix = suffix_of(name);
        size_t count = 0;
        for (struct map_node *n = map_walk(&pool->by_name, NULL); n != NULL;
             n = map_walk(&pool->by_name, n))
            count +=
                strcmp(suffix_of(CONTAINER_OF(n, struct pool_slot, by_name)->name), suffix) == 0;
        if (count >= POOL_SUFFIX_MAX && !recycle_one(pool, suffix, wall_s))
            return ERR_LIMIT;
    }
    if (pool->by_name.count >= POOL_NAMES_MAX && !recycle_one(pool, NULL, wall_s))
        return ERR_FULL;
    return ERR_OK;
}

/* The first address for this name, in an order that depends on seed and name alone, that is free or
 * was released long enough ago. */
static bool find_address(struct pool *pool, const char *name, uint64_t wall_s,
                         uint32_t *ret_address)
{
    uint64_t hash = siphash(pool->seed, name, strlen(name));
    uint32_t mask = pool->size - 1;
    uint32_t step = (uint32_t)(hash >> 32) | 1; /* odd: comes to every address of a power of two */
    uint32_t offset = (uint32_t)hash & mask;

    for (uint32_t i = 0; i < pool->size; i++, offset = (offset + step) & mask) {
        uint32_t address = pool->base + offset;
        if (!pool_table_is_usable(pool, address))
            continue;
        struct pool_slot *slot = pool_table_by_address(pool, address);
        if (slot != NULL && slot->is_released && is_rested(slot, wall_s)) {
            remove_slot(pool, slot);
            slot = NULL;
        }
        if (slot == NULL) {
            *ret_address = address;
            return true;
        }
    }
    return false;
}

int pool_get(struct pool *pool, const char *name, uint64_t wall_s, struct address *ret_address,
             bool *ret_is_new)
{
    char canonical[NAME_TEXT_CAP];
    uint32_t address = 0;

    if (pool->is_damaged)
        return ERR_STATE;
    if (name_normalize(name, canonical) != ERR_OK || strcmp(name, canonical) != 0)
        return ERR_INVALID;
    struct pool_slot *slot = pool_table_by_name(pool, name);
    if (slot == NULL) {
        int error = make_room(pool, name, wall_s);
        if (error != ERR_OK)
            return error;
        if (!find_address(pool, name, wall_s, &address) &&
            (!recycle_one(pool, NULL, wall_s) || !find_address(pool, name, wall_s, &address)))
            return ERR_FULL;
        error = pool_table_insert(pool, name, address, &slot);
        if (error != ERR_OK)
            return error;
    }
    if (slot->is_released) {
        pool->is_dirty = pool->is_moved = true;
        pool->unsaved += !slot->is_unsaved;
        slot->is_unsaved = true;
    }
    slot->is_released = false;
    touch(pool, slot, wall_s);
    *ret_address = address_from_ipv4(slot->address);
    *ret_is_new = slot->is_unsaved;
    return ERR_OK;
}

/* The slot of a name or address that is assigned now; NULL if there is none. */
static struct pool_slot *assigned(struct pool_slot *slot)
{
    return slot != NULL && !slot->is_released ? slot : NULL;
}

static struct pool_slot *assigned_address(const struct pool *pool, const struct address *address)
{
    if (!pool_contains(pool, address))
        return NULL;
    return assigned(pool_table_by_address(pool, address_to_ipv4(address)));
}

int pool_find_by_name(const struct pool *pool, const char *name, struct address *ret_address)
{
    const struct pool_slot *slot = assigned(pool_table_by_name(pool, name));

    if (slot == NULL)
        return ERR_NOT_FOUND;
    *ret_address = address_from_ipv4(slot->address);
    return ERR_OK;
}

const char *pool_find_by_address(const struct pool *pool, const struct address *address)
{
    const struct pool_slot *slot = assigned_address(pool, address);

    return slot != NULL ? slot->name : NULL;
}

int pool_hold(struct pool *pool, const struct address *address, uint64_t wall_s)
{
    struct pool_slot *slot = assigned_address(pool, address);

    if (slot == NULL)
        return ERR_NOT_FOUND;
    slot->hold_count++;
    touch(pool, slot, wall_s);
    return ERR_OK;
}

void pool_drop(struct pool *pool, const struct address *address, uint64_t wall_s)
{
    struct pool_slot *slot = assigned_address(pool, address);

    if (slot == NULL || slot->hold_count == 0)
        return;
    slot->hold_count--;
    touch(pool, slot, wall_s);
}

void pool_touch(struct pool *pool, const struct address *address, uint64_t wall_s)
{
    struct pool_slot *slot = assigned_address(pool, address);

    if (slot != NULL)
        touch(pool, slot, wall_s);
}

int pool_release(struct pool *pool, const char *name, uint64_t wall_s)
{
    struct pool_slot *slot = assigned(pool_table_by_name(pool, name));

    if (slot == NULL)
        return ERR_NOT_FOUND;
    if (slot->hold_count > 0)
        return ERR_STATE;
    slot->is_released = true;
    touch(pool, slot, wall_s);
    pool->is_dirty = pool->is_moved = true;
    return ERR_OK;
}

size_t pool_count(const struct pool *pool)
{
    return pool->by_name.count;
}

void pool_walk(const struct pool *pool,
               void (*visit)(const struct pool_entry *entry, void *context), void *context)
{
    for (struct map_node *n = map_walk(&pool->by_name, NULL); n != NULL;
         n = map_walk(&pool->by_name, n)) {
        const struct pool_slot *slot = CONTAINER_OF(n, struct pool_slot, by_name);
        struct pool_entry entry = {.name = slot->name,
                                   .address = address_from_ipv4(slot->address),
                                   .used_s = slot->used_s,
                                   .is_released = slot->is_released,
                                   .hold_count = slot->hold_count};
        visit(&entry, context);
    }
}

bool pool_is_dirty(const struct pool *pool)
{
    return pool->is_dirty || pool->unsaved > 0;
}
