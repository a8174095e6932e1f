/* Three lists through each stranger; see connector/strangers.h. */
#include "connector/strangers.h"

#include <stdlib.h>
#include <string.h>

struct strangers_group {
    struct map_node node;
    struct address address;
    struct stranger *oldest, *newest;
    uint32_t count;
};

static struct address key_of(enum strangers_level level, const struct address *address)
{
    return address_group(address, level == STRANGERS_SITE ? ADDRESS_SITE_BITS : ADDRESS_HOST_BITS);
}

static uint64_t hash_of(const struct map *groups, const struct address *key)
{
    return map_hash(groups, key->bytes, sizeof key->bytes);
}

static struct strangers_group *find(const struct strangers *strangers, enum strangers_level level,
                                    const struct address *address)
{
    const struct map *groups = &strangers->groups[level];
    const struct address key = key_of(level, address);
    struct map_node *node = map_first(groups, hash_of(groups, &key));
    for (; node != NULL; node = map_next(node)) {
        struct strangers_group *group = CONTAINER_OF(node, struct strangers_group, node);
        if (address_is_equal(&group->address, &key))
            return group;
    }
    return NULL;
}

int strangers_init(struct strangers *strangers, const uint8_t seed[16])
{
    memset(strangers, 0, sizeof *strangers);
    int error = map_init(&strangers->groups[STRANGERS_HOST], seed);
    if (error != ERR_OK)
        return error;
    error = map_init(&strangers->groups[STRANGERS_SITE], seed);
    if (error != ERR_OK)
        map_done(&strangers->groups[STRANGERS_HOST]);
    return error;
}

void strangers_done(struct strangers *strangers)
{
    while (strangers->oldest != NULL)
        strangers_remove(strangers, strangers->oldest);
    map_done(&strangers->groups[STRANGERS_HOST]);
    map_done(&strangers->groups[STRANGERS_SITE]);
}

static int find_or_add(struct strangers *strangers, enum strangers_level level,
                       const struct address *address, struct strangers_group **ret_group)
{
    struct map *groups = &strangers->groups[level];
    struct strangers_group *group = find(strangers, level, address);
    int error = ERR_OK;
    if (group == NULL) {
        group = calloc(1, sizeof *group);
        if (group == NULL)
            return ERR_NOMEM;
        group->address = key_of(level, address);
        error = map_insert(groups, &group->node, hash_of(groups, &group->address));
    }
    if (error == ERR_OK)
        *ret_group = group;
    else
        free(group);
    return error;
}

static void drop_empty(struct strangers *strangers, enum strangers_level level,
                       struct strangers_group *group)
{
    if (group->count > 0)
        return;
    map_remove(&strangers->groups[level], &group->node);
    free(group);
}

static void join(struct stranger *stranger, enum strangers_level level,
                 struct strangers_group *group)
{
    struct stranger *older = group->newest;
    stranger->of[level].newer = NULL;
    stranger->of[level].older = older;
    *(older != NULL ? &older->of[level].newer : &group->oldest) = stranger;
    group->newest = stranger;
    stranger->of[level].group = group;
    group->count++;
}

static void leave(struct strangers *strangers, enum strangers_level level,
                  struct stranger *stranger)
{
    struct strangers_group *group = stranger->of[level].group;
    struct stranger *older = stranger->of[level].older;
    struct stranger *newer = stranger->of[level].newer;
    *(older != NULL ? &older->of[level].newer : &group->oldest) = newer;
    *(newer != NULL ? &newer->of[level].older : &group->newest) = older;
    stranger->of[level].group = NULL;
    group->count--;
    drop_empty(strangers, level, group);
}

bool stranger_is_listed(const struct stranger *stranger)
{
    return stranger->of[STRANGERS_HOST].group != NULL;
}

int strangers_add(struct strangers *strangers, struct stranger *stranger,
                  const struct address *address)
{
    struct strangers_group *host, *site;
    if (stranger_is_listed(stranger))
        return ERR_STATE;
    int error = find_or_add(strangers, STRANGERS_HOST, address, &host);
    if (error != ERR_OK)
        return error;
    error = find_or_add(strangers, STRANGERS_SITE, address, &site);
    if (error != ERR_OK) {
        drop_empty(strangers, STRANGERS_HOST, host);
        return error;
    }
    stranger->newer = NULL;
    stranger->older = strangers->newest;
    *(stranger->older != NULL ? &stranger->older->newer : &strangers->oldest) = stranger;
    strangers->newest = stranger;
    join(stranger, STRANGERS_HOST, host);
    join(stranger, STRANGERS_SITE, site);
    strangers->count++;
    return ERR_OK;
}

void strangers_remove(struct strangers *strangers, struct stranger *stranger)
{
    if (!stranger_is_listed(stranger))
        return;
    *(stranger->older != NULL ? &stranger->older->newer : &strangers->oldest) = stranger->newer;
    *(stranger->newer != NULL ? &stranger->newer->older : &strangers->newest) = stranger->older;
    leave(strangers, STRANGERS_HOST, stranger);
    leave(strangers, STRANGERS_SITE, stranger);
    strangers->count--;
}

struct stranger *strangers_oldest_of(const struct strangers *strangers, enum strangers_level level,
                                     const struct address *address)
{
    const struct strangers_group *group = find(strangers, level, address);
    return group != NULL ? group->oldest : NULL;
}

uint32_t strangers_count_of(const struct strangers *strangers, enum strangers_level level,
                            const struct address *address)
{
    const struct strangers_group *group = find(strangers, level, address);
    return group != NULL ? group->count : 0;
}
