/* Candidates: their order, one's own list, fresh credentials. */
#include "path/candidate.h"

#include "crypto/memory.h"
#include <string.h>

uint32_t candidate_priority(enum candidate_type type, uint16_t local_preference)
{
    static const uint8_t type_preferences[] = {[CANDIDATE_HOST] = 126,
                                               [CANDIDATE_PEER] = 110,
                                               [CANDIDATE_MAPPED] = 102,
                                               [CANDIDATE_REFLEXIVE] = 100};
    return (uint32_t)type_preferences[type] << 24 | (uint32_t)local_preference << 8 | 255;
}

uint16_t candidate_preference(const struct address *address, const struct prefix *subnets,
                              size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (prefix_contains(&subnets[i], address))
            return 65535;
    }
    if (address_is_private(address))
        return address->family == ADDRESS_IPV6 ? 20000 : 10000;
    return address->family == ADDRESS_IPV6 ? 50000 : 40000;
}

static struct candidate *find(struct candidate_list *list, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < list->count; i++) {
        if (endpoint_is_equal(&list->items[i].endpoint, endpoint))
            return &list->items[i];
    }
    return NULL;
}

int candidate_list_add(struct candidate_list *list, enum candidate_type type,
                       const struct endpoint *endpoint, const struct prefix *pool)
{
    const struct candidate candidate = {(uint8_t)type, *endpoint};
    if (!candidate_is_acceptable(&candidate, pool))
        return ERR_INVALID;
    struct candidate *same = find(list, endpoint);
    if (same != NULL) {
        if (candidate_priority(type, 0) > candidate_priority(same->type, 0))
            same->type = (uint8_t)type;
        return ERR_EXISTS;
    }
    if (list->count >= CANDIDATE_MAX)
        return ERR_FULL;
    list->items[list->count++] = candidate;
    return ERR_OK;
}

static uint32_t own_priority(const struct candidate *candidate)
{
    return candidate_priority(candidate->type,
                              candidate_preference(&candidate->endpoint.address, NULL, 0));
}

/* Stable, so that equals keep the order of their source. */
static void sort(struct candidate_list *list)
{
    for (size_t i = 1; i < list->count; i++) {
        const struct candidate moved = list->items[i];
        size_t at = i;
        for (; at > 0 && own_priority(&list->items[at - 1]) < own_priority(&moved); at--)
            list->items[at] = list->items[at - 1];
        list->items[at] = moved;
    }
}

/* At most one endpoint of each family: more than one public address is rare, and each costs a
 * place. */
static void add_public(struct candidate_list *list, enum candidate_type type,
                       const struct endpoint *endpoints, size_t count, const struct prefix *pool)
{
    bool has_ipv4 = false, has_ipv6 = false;
    for (size_t i = 0; i < count; i++) {
        bool *has_family = endpoints[i].address.family == ADDRESS_IPV6 ? &has_ipv6 : &has_ipv4;
        if (*has_family)
            continue;
        const int result = candidate_list_add(list, type, &endpoints[i], pool);
        *has_family = result == ERR_OK || result == ERR_EXISTS;
    }
}

void candidate_list_build(const struct candidate_sources *sources, struct candidate_list *ret_list)
{
    struct candidate_list list = {0};
    add_public(&list, CANDIDATE_MAPPED, sources->mapped, sources->mapped_count, sources->pool);
    add_public(&list, CANDIDATE_REFLEXIVE, sources->reflexive, sources->reflexive_count,
               sources->pool);
    /* Best addresses first, as the list may fill up. An address that a connector saw unchanged is a
     * host candidate: there is no NAT. */
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < sources->address_count; i++) {
            const struct endpoint endpoint = {sources->addresses[i], sources->port};
            if (address_is_private(&endpoint.address) != (pass == 1))
                continue;
            const int result = candidate_list_add(&list, CANDIDATE_HOST, &endpoint, sources->pool);
            if (result == ERR_FULL)
                break;
        }
    }
    sort(&list);
    *ret_list = list;
}

int credentials_generate(struct credentials *ret_credentials)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t random[CREDENTIALS_FRAGMENT_LEN + CREDENTIALS_PASSWORD_LEN];
    const int error = crypto_random(random, sizeof random);
    if (error != ERR_OK)
        return error;
    struct credentials *c = ret_credentials;
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < CREDENTIALS_FRAGMENT_LEN; i++)
        c->fragment[i] = alphabet[random[i] % 64];
    for (size_t i = 0; i < CREDENTIALS_PASSWORD_LEN; i++)
        c->password[i] = alphabet[random[CREDENTIALS_FRAGMENT_LEN + i] % 64];
    crypto_wipe(random, sizeof random);
    return ERR_OK;
}

const char *candidate_type_text(enum candidate_type type)
{
    switch (type) {
    case CANDIDATE_HOST:
        return "host";
    case CANDIDATE_REFLEXIVE:
        return "reflexive";
    case CANDIDATE_MAPPED:
        return "mapped";
    case CANDIDATE_PEER:
        return "peer-reflexive";
    }
    return "unknown";
}
