/* Two lists through each stranger; see connector/strangers.h. */
#include "connector/strangers.h"

#include "connector/address_count.h"
#include <stdlib.h>
#include <string.h>

struct strangers_address {
    struct map_node node;
    struct address address;
    struct stranger *oldest, *newest;
    uint32_t count;
};

static uint64_t hash_of(const struct strangers *strangers, const struct address *key)
{
    return map_hash(&strangers->addresses, key->bytes, sizeof key->bytes);
}

static struct strangers_address *find(const struct strangers *strangers,
                                      const struct address *address)
{
    const struct address key = address_group(address);
    struct map_node *node = map_first(&strangers->addresses, hash_of(strangers, &key));
    for (; node != NULL; node = map_next(node)) {
        struct strangers_address *found = CONTAINER_OF(node, struct strangers_address, node);
        if (address_is_equal(&found->address, &key))
            return found;
    }
    return NULL;
}

int strangers_init(struct strangers *strangers, const uint8_t seed[16])
{
    memset(strangers, 0, sizeof *strangers);
    return map_init(&strangers->addresses, seed);
}

void strangers_done(struct strangers *strangers)
{
    while (strangers->oldest != NULL)
        strangers_remove(strangers, strangers->oldest);
    map_done(&strangers->addresses);
}

static int find_or_add(struct strangers *strangers, const struct address *address,
                       struct strangers_address **ret_place)
{
    struct strangers_address *place = find(strangers, address);
    int error = ERR_OK;
    if (place == NULL) {
        place = calloc(1, sizeof *place);
        if (place == NULL)
            return ERR_NOMEM;
        place->address = address_group(address);
        error =
            map_insert(&strangers->addresses, &place->node, hash_of(strangers, &place->address));
    }
    if (error == ERR_OK)
        *ret_place = place;
    else
        free(place);
    return error;
}

int strangers_add(struct strangers *strangers, struct stranger *stranger,
                  const struct address *address)
{
    struct strangers_address *place;
    if (stranger->address != NULL)
        return ERR_STATE;
    const int error = find_or_add(strangers, address, &place);
    if (error != ERR_OK)
        return error;
    stranger->newer = stranger->address_newer = NULL;
    stranger->older = strangers->newest;
    *(stranger->older != NULL ? &stranger->older->newer : &strangers->oldest) = stranger;
    strangers->newest = stranger;
    stranger->address_older = place->newest;
    *(place->newest != NULL ? &place->newest->address_newer : &place->oldest) = stranger;
    place->newest = stranger;
    stranger->address = place;
    place->count++;
    strangers->count++;
    return ERR_OK;
}

void strangers_remove(struct strangers *strangers, struct stranger *stranger)
{
    struct strangers_address *place = stranger->address;
    if (place == NULL)
        return;
    *(stranger->older != NULL ? &stranger->older->newer : &strangers->oldest) = stranger->newer;
    *(stranger->newer != NULL ? &stranger->newer->older : &strangers->newest) = stranger->older;
    *(stranger->address_older != NULL ? &stranger->address_older->address_newer : &place->oldest) =
        stranger->address_newer;
    *(stranger->address_newer != NULL ? &stranger->address_newer->address_older : &place->newest) =
        stranger->address_older;
    stranger->address = NULL;
    strangers->count--;
    if (--place->count > 0)
        return;
    map_remove(&strangers->addresses, &place->node);
    free(place);
}

struct stranger *strangers_oldest_of(const struct strangers *strangers,
                                     const struct address *address)
{
    const struct strangers_address *place = find(strangers, address);
    return place != NULL ? place->oldest : NULL;
}

uint32_t strangers_count_of(const struct strangers *strangers, const struct address *address)
{
    const struct strangers_address *place = find(strangers, address);
    return place != NULL ? place->count : 0;
}
