/* The hash table (chained, doubling at load 1) and SipHash-2-4 (Aumasson, Bernstein). What a key
 * is, and its comparison, are the user's. */
#include "base/map.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 16

static uint64_t load_u64_le(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return le64toh(value);
}

static uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

/* Each packet is looked up once at least: in registers this takes a third of the time. */
static inline __attribute__((always_inline)) void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static inline __attribute__((always_inline)) void sip_absorb(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

uint64_t siphash(const uint8_t key[16], const void *data, size_t len)
{
    const uint64_t k0 = load_u64_le(key), k1 = load_u64_le(key + 8);
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                     k1 ^ 0x7465646279746573};
    const uint8_t *bytes = data;
    uint8_t tail[8] = {0};

    size_t at = 0;
    for (; len - at >= 8; at += 8)
        sip_absorb(v, load_u64_le(bytes + at));
    if (len > at)
        memcpy(tail, bytes + at, len - at);
    tail[7] = (uint8_t)len;
    sip_absorb(v, load_u64_le(tail));

    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

int map_init(struct map *map, const uint8_t seed[16])
{
    struct map_node **buckets = calloc(FIRST_BUCKETS, sizeof(struct map_node *));
    if (buckets == NULL)
        return ERR_NOMEM;
    map->buckets = buckets;
    map->bucket_count = FIRST_BUCKETS;
    map->count = 0;
    memcpy(map->seed, seed, sizeof map->seed);
    return ERR_OK;
}

void map_done(struct map *map)
{
    if (map == NULL)
        return;
    free(map->buckets);
    memset(map, 0, sizeof *map);
}

uint64_t map_hash(const struct map *map, const void *key, size_t len)
{
    return siphash(map->seed, key, len);
}

static struct map_node **bucket_of(const struct map *map, uint64_t hash)
{
    return &map->buckets[hash & (map->bucket_count - 1)];
}

static int grow(struct map *map)
{
    size_t bucket_count = map->bucket_count * 2;
    struct map_node **buckets = calloc(bucket_count, sizeof(struct map_node *));
    if (buckets == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < map->bucket_count; i++) {
        struct map_node *node = map->buckets[i];
        while (node != NULL) {
            struct map_node *next = node->next;
            struct map_node **head = &buckets[node->hash & (bucket_count - 1)];
            node->next = *head;
            *head = node;
            node = next;
        }
    }
    free(map->buckets);
    map->buckets = buckets;
    map->bucket_count = bucket_count;
    return ERR_OK;
}

int map_insert(struct map *map, struct map_node *node, uint64_t hash)
{
    if (map->bucket_count == 0)
        return ERR_STATE;
    if (map->count >= map->bucket_count) {
        int error = grow(map);
        if (error != ERR_OK)
            return error;
    }
    struct map_node **head = bucket_of(map, hash);
    node->hash = hash;
    node->next = *head;
    *head = node;
    map->count++;
    return ERR_OK;
}

void map_remove(struct map *map, struct map_node *node)
{
    if (map->bucket_count == 0)
        return;
    for (struct map_node **link = bucket_of(map, node->hash); *link != NULL;
         link = &(*link)->next) {
        if (*link == node) {
            *link = node->next;
            node->next = NULL;
            map->count--;
            return;
        }
    }
}

static struct map_node *same_hash(struct map_node *node, uint64_t hash)
{
    while (node != NULL && node->hash != hash)
        node = node->next;
    return node;
}

struct map_node *map_first(const struct map *map, uint64_t hash)
{
    return map->bucket_count > 0 ? same_hash(*bucket_of(map, hash), hash) : NULL;
}

struct map_node *map_next(const struct map_node *node)
{
    return same_hash(node->next, node->hash);
}

struct map_node *map_walk(const struct map *map, struct map_node *previous)
{
    size_t bucket = 0;
    if (previous != NULL) {
        if (previous->next != NULL)
            return previous->next;
        bucket = (size_t)(previous->hash & (map->bucket_count - 1)) + 1;
    }
    for (; bucket < map->bucket_count; bucket++) {
        if (map->buckets[bucket] != NULL)
            return map->buckets[bucket];
    }
    return NULL;
}
