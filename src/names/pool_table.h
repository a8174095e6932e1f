/* Inside of the pool, for pool.c and pool_state.c only. */
#ifndef NAMES_POOL_TABLE_H
#define NAMES_POOL_TABLE_H

#include "base/map.h"
#include "names/pool.h"

#define POOL_OWN_OFFSET 2

struct pool_slot {
    struct map_node by_name;
    struct map_node by_address;
    uint64_t used_s;
    uint32_t address; /* host order */
    unsigned hold_count;
    bool is_released;
    bool is_unsaved;
    uint64_t save; /* the last one that made is_unsaved false */
    char name[];   /* canonical */
};

struct pool {
    struct prefix prefix;
    uint32_t base;
    uint32_t size; /* a power of two */
    uint8_t seed[16];
    struct map by_name;
    struct map by_address;
    uint64_t save;  /* counts them */
    size_t unsaved; /* slots that are in no file yet */
    bool is_dirty;  /* something else has changed */
    bool is_moved;  /* an address has another name, or none: no line can be added to the file */
    bool is_damaged;
    struct state_room room; /* of the file that was saved last */
};

/* May this address stand for a peer? */
bool pool_table_is_usable(const struct pool *pool, uint32_t address);
struct pool_slot *pool_table_by_name(const struct pool *pool, const char *name);
struct pool_slot *pool_table_by_address(const struct pool *pool, uint32_t address);
/* Neither name nor address may be in the table. ERR_NOMEM. */
MUST_USE int pool_table_insert(struct pool *pool, const char *name, uint32_t address,
                               struct pool_slot **ret_slot);
void pool_table_clear(struct pool *pool);

#endif
