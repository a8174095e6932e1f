/* Connections by address. */
#include "connector/address_count.h"

#include <stdlib.h>
#include <string.h>

struct counted {
    struct map_node node;
    struct address address;
    uint32_t count;
};

static uint64_t hash_of(const struct address_counts *counts, const struct address *key)
{
    return map_hash(&counts->map, key->bytes, sizeof key->bytes);
}

static struct counted *find(const struct address_counts *counts, const struct address *key)
{
    struct map_node *node = map_first(&counts->map, hash_of(counts, key));
    for (; node != NULL; node = map_next(node)) {
        struct counted *counted = CONTAINER_OF(node, struct counted, node);
        if (address_is_equal(&counted->address, key))
            return counted;
    }
    return NULL;
}

int address_counts_init(struct address_counts *counts, unsigned ipv6_bits, const uint8_t seed[16])
{
    counts->ipv6_bits = ipv6_bits;
    return map_init(&counts->map, seed);
}

void address_counts_done(struct address_counts *counts)
{
    struct map_node *node = map_walk(&counts->map, NULL);
    while (node != NULL) {
        struct map_node *next = map_walk(&counts->map, node);
        map_remove(&counts->map, node);
        free(CONTAINER_OF(node, struct counted, node));
        node = next;
    }
    map_done(&counts->map);
}

int address_counts_add(struct address_counts *counts, const struct address *address, uint32_t max)
{
    const struct address key = address_group(address, counts->ipv6_bits);
    struct counted *counted = find(counts, &key);
    if (counted != NULL) {
        if (counted->count >= max)
            return ERR_LIMIT;
        counted->count++;
        return ERR_OK;
    }
    if (max == 0)
        return ERR_LIMIT;
    counted = calloc(1, sizeof *counted);
    if (counted == NULL)
        return ERR_NOMEM;
    counted->address = key;
    counted->count = 1;
    const int error = map_insert(&counts->map, &counted->node, hash_of(counts, &key));
    if (error != ERR_OK)
        free(counted);
    return error;
}

void address_counts_remove(struct address_counts *counts, const struct address *address)
{
    const struct address key = address_group(address, counts->ipv6_bits);
    struct counted *counted = find(counts, &key);
    if (counted == NULL || --counted->count > 0)
        return;
    map_remove(&counts->map, &counted->node);
    free(counted);
}
