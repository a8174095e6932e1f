/* The endpoints of the peer that a punch knows: which may be checked, in what order, and what has
 * been seen of each. What follows from it is left to punch.c. */
#include "path/punch_internal.h"
#include <string.h>

struct pair *punch_pair_find(const struct punch *punch, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < punch->pair_count; i++) {
        const struct pair *pair = &punch->pairs[i];
        if (endpoint_is_equal(&pair->endpoint, endpoint))
            return (struct pair *)pair;
    }
    return NULL;
}

/* Checks towards one's own addresses would only come back, e.g. where both hosts have the same
 * private address behind different NATs. */
static bool is_own(const struct punch *punch, const struct endpoint *endpoint)
{
    const struct candidate_list *own = &punch->config.own;
    for (size_t i = 0; i < own->count; i++) {
        const struct candidate *c = &own->items[i];
        if (endpoint_is_equal(&c->endpoint, endpoint) ||
            (c->type == CANDIDATE_HOST &&
             address_is_equal(&c->endpoint.address, &endpoint->address)))
            return true;
    }
    return false;
}

bool punch_pair_is_wanted(const struct punch *punch, const struct candidate *candidate)
{
    return candidate_is_acceptable(candidate, &punch->config.pool) &&
           !is_own(punch, &candidate->endpoint);
}

/* The address that a translator puts this one in the place of, else itself. */
struct address punch_origin(const struct punch *punch, const struct address *address)
{
    struct address origin;
    return nat64_extract_any(&punch->config.nat64, address, &origin) == ERR_OK ? origin : *address;
}

uint32_t punch_pair_priority(const struct punch *punch, const struct candidate *candidate)
{
    const struct address origin = punch_origin(punch, &candidate->endpoint.address);
    const uint16_t preference =
        candidate_preference(&origin, punch->config.subnets, punch->config.subnet_count);
    if (punch->config.ipv6 == PUNCH_IPV6_BROKEN && origin.family == ADDRESS_IPV6 &&
        preference < UINT16_MAX)
        return candidate_priority(CANDIDATE_REFLEXIVE, 0);
    return candidate_priority(candidate->type, preference);
}

/* What the peer's NAT shows to the world. Peer-reflexive addresses are known only once something
 * has come from there: then that NAT is open. */
static bool is_natted(const struct punch *punch, const struct candidate *candidate)
{
    return (candidate->type == CANDIDATE_REFLEXIVE || candidate->type == CANDIDATE_MAPPED) &&
           punch_origin(punch, &candidate->endpoint.address).family == ADDRESS_IPV4;
}

/* In a subnet of ours there is no NAT of ours between, and no hop at which an opener could die. */
bool punch_is_attached(const struct punch *punch, const struct address *address)
{
    for (size_t i = 0; i < punch->config.subnet_count; i++) {
        if (prefix_contains(&punch->config.subnets[i], address))
            return true;
    }
    return false;
}

static bool is_likely(const struct punch *punch, const struct address *address)
{
    return !address_is_private(address) || punch_is_attached(punch, address);
}

static void set_pair(const struct punch *punch, struct pair *pair,
                     const struct candidate *candidate)
{
    *pair = (struct pair){.endpoint = candidate->endpoint,
                          .type = (enum candidate_type)candidate->type,
                          .priority = punch_pair_priority(punch, candidate),
                          .is_peer = candidate->type == CANDIDATE_PEER,
                          .is_likely = is_likely(punch, &candidate->endpoint.address),
                          .is_natted = is_natted(punch, candidate),
                          .next_us = DEADLINE_NEVER,
                          .opener_us = DEADLINE_NEVER,
                          .rto_us = PUNCH_RTO_FIRST_US};
}

static size_t peer_count(const struct punch *punch)
{
    size_t count = 0;
    for (size_t i = 0; i < punch->pair_count; i++)
        count += punch->pairs[i].is_peer;
    return count;
}

struct pair *punch_pair_add(struct punch *punch, const struct candidate *candidate)
{
    if (punch->pair_count == PAIR_MAX ||
        (candidate->type == CANDIDATE_PEER && peer_count(punch) >= PUNCH_PEER_MAX))
        return NULL;
    struct pair *pair = &punch->pairs[punch->pair_count++];
    set_pair(punch, pair, candidate);
    return pair;
}

/* Behind a NAT that lets everybody in, a burst of the peer's comes from many ports, of which one
 * can be answered. */
struct pair *punch_pair_add_proven(struct punch *punch, const struct endpoint *endpoint)
{
    const struct candidate peer = {CANDIDATE_PEER, *endpoint};
    struct pair *pair = punch_pair_add(punch, &peer);
    for (size_t i = 0; pair == NULL && i < punch->pair_count; i++) {
        struct pair *other = &punch->pairs[i];
        if (other->is_peer && !other->is_valid && !other->is_chosen) {
            set_pair(punch, other, &peer);
            pair = other;
        }
    }
    return pair;
}

bool punch_is_validated(const struct punch *punch, const struct endpoint *endpoint)
{
    const struct pair *pair = punch_pair_find(punch, endpoint);
    return pair != NULL && (pair->is_heard || pair->is_valid);
}

bool punch_is_answered(const struct punch *punch, const struct endpoint *endpoint)
{
    const struct pair *pair = punch_pair_find(punch, endpoint);
    return pair != NULL && pair->is_valid;
}

/* Where a NAT of ours gives every destination another port, the peer has sent to one that was made
 * for somebody else, unless we mapped it: what we send comes from another. */
static bool is_mapped_anew(const struct punch *punch, const struct address *to)
{
    const struct candidate_list *own = &punch->config.own;
    if (own->pattern.kind == PORT_PATTERN_NONE || to->family != ADDRESS_IPV4 ||
        punch_is_attached(punch, to))
        return false;
    for (size_t i = 0; i < own->count; i++) {
        if (own->items[i].type == CANDIDATE_MAPPED)
            return false;
    }
    return true;
}

bool punch_leads_back(const struct punch *punch, const struct endpoint *endpoint)
{
    const struct pair *pair = punch_pair_find(punch, endpoint);
    return pair != NULL &&
           (pair->is_valid || (pair->is_heard && !is_mapped_anew(punch, &endpoint->address)));
}
