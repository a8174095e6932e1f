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

/* The number-th address of a family, those that the world can reach first; NULL: no more. */
static const struct address *choose(const struct candidate_sources *sources,
                                    enum address_family family, size_t number)
{
    for (int is_private = 0; is_private < 2; is_private++) {
        for (size_t i = 0; i < sources->address_count; i++) {
            const struct address *address = &sources->addresses[i];
            if (address->family == family && address_is_private(address) == (is_private == 1) &&
                number-- == 0)
                return address;
        }
    }
    return NULL;
}

/* The families take turns, so that many addresses of one leave room for the other (RFC 8421, 4). An
 * address that a connector saw unchanged is a host candidate: there is no NAT. */
static void add_hosts(struct candidate_list *list, const struct candidate_sources *sources)
{
    static const enum address_family families[2] = {ADDRESS_IPV6, ADDRESS_IPV4};
    const struct address *address[2];
    size_t number = 0;
    do {
        for (size_t i = 0; i < 2; i++) {
            address[i] = choose(sources, families[i], number);
            if (address[i] == NULL)
                continue;
            const struct endpoint endpoint = {*address[i], sources->port};
            if (candidate_list_add(list, CANDIDATE_HOST, &endpoint, sources->pool) == ERR_FULL)
                return;
        }
        number++;
    } while (address[0] != NULL || address[1] != NULL);
}

void candidate_list_build(const struct candidate_sources *sources, struct candidate_list *ret_list)
{
    struct candidate_list list = {0};
    add_public(&list, CANDIDATE_MAPPED, sources->mapped, sources->mapped_count, sources->pool);
    add_public(&list, CANDIDATE_REFLEXIVE, sources->reflexive, sources->reflexive_count,
               sources->pool);
    add_hosts(&list, sources);
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
