/* Intrusive hash map with a secret seed (SipHash-2-4), so that strangers cannot choose collisions.
 * The user embeds a node, computes the hash of its key, and compares keys itself while it walks the
 * nodes of that hash. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

/* Through void *, as the member's alignment says nothing of the whole. */
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map {
    struct map_node **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    uint8_t seed[16];
};

/* seed: 16 random bytes. */
MUST_USE int map_init(struct map *map, const uint8_t seed[16]);
/* Frees the table, not the nodes. */
void map_done(struct map *map);
uint64_t map_hash(const struct map *map, const void *key, size_t len);
/* node must not be in any map. Grows the table; ERR_NOMEM leaves the map as it was. */
MUST_USE int map_insert(struct map *map, struct map_node *node, uint64_t hash);
void map_remove(struct map *map, struct map_node *node);
/* First and next node of exactly this hash; NULL at the end. */
struct map_node *map_first(const struct map *map, uint64_t hash);
struct map_node *map_next(const struct map_node *node);
/* Walks all nodes: start with NULL. The map may not change meanwhile, but for the removal of the
 * node returned last, after the next one has been taken. */
struct map_node *map_walk(const struct map *map, struct map_node *previous);

/* SipHash-2-4 with 64-bit output. */
uint64_t siphash(const uint8_t key[16], const void *data, size_t len);

#endif
