/* What each peer may do: kept here, to know what to take out again, and as elements of kernel sets.
 */
#include "io/policy_peer.h"

#include "io/conntrack.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

struct policy_peer {
    struct map_node node;
    struct address address;
    size_t count;
    struct policy_rule rules[]; /* sorted, without doubles */
};

static const struct policy_sets sets_ipv4 = {"known4", "all4", "protocols4", "ports4"};
static const struct policy_sets sets_ipv6 = {"known6", "all6", "protocols6", "ports6"};

const struct policy_sets *policy_sets_of(enum address_family family)
{
    return family == ADDRESS_IPV4 ? &sets_ipv4 : &sets_ipv6;
}

void policy_sets_add(struct nft *nft)
{
    static const enum address_family families[] = {ADDRESS_IPV4, ADDRESS_IPV6};
    size_t i;

    for (i = 0; i < sizeof families / sizeof families[0]; i++) {
        const struct policy_sets *sets = policy_sets_of(families[i]);
        uint8_t field = families[i] == ADDRESS_IPV4 ? NFT_FIELD_IPV4 : NFT_FIELD_IPV6;
        const struct nft_set known = {.name = sets->known, .fields = {field}};
        const struct nft_set all = {.name = sets->all, .fields = {field}};
        const struct nft_set protocols = {.name = sets->protocols,
                                          .fields = {field, NFT_FIELD_PROTOCOL}};
        const struct nft_set ports = {.name = sets->ports,
                                      .fields = {field, NFT_FIELD_PROTOCOL, NFT_FIELD_PORT}};

        nft_set_add(nft, &known);
        nft_set_add(nft, &all);
        nft_set_add(nft, &protocols);
        nft_set_add(nft, &ports);
    }
}

static struct policy_peer *find(struct policy *policy, const struct address *address)
{
    uint64_t hash = map_hash(&policy->peers, address, sizeof *address);
    struct map_node *node;

    for (node = map_first(&policy->peers, hash); node != NULL; node = map_next(node)) {
        struct policy_peer *peer = CONTAINER_OF(node, struct policy_peer, node);

        if (address_is_equal(&peer->address, address))
            return peer;
    }
    return NULL;
}

static bool has_ports(uint8_t protocol)
{
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ||
           protocol == IPPROTO_DCCP || protocol == IPPROTO_SCTP;
}

static int compare_rules(const void *left, const void *right)
{
    const struct policy_rule *a = left;
    const struct policy_rule *b = right;

    if (a->protocol != b->protocol)
        return a->protocol < b->protocol ? -1 : 1;
    return a->port < b->port ? -1 : a->port > b->port;
}

static void change_element(struct nft *nft, const char *set, const uint8_t *key, size_t len,
                           bool is_added)
{
    if (is_added)
        nft_element_add(nft, set, key, len, 0);
    else
        nft_element_delete(nft, set, key, len);
}

/* Adds the peer's elements to the transaction, or takes them out. */
static void change_elements(struct nft *nft, const struct policy_peer *peer, bool is_added)
{
    const struct policy_sets *sets = policy_sets_of(peer->address.family);
    size_t len = address_len(&peer->address);
    uint8_t key[24] = {0}; /* address, protocol, port; each padded to 4 bytes */
    size_t i;

    if (peer->count == 0)
        return;
    memcpy(key, peer->address.bytes, len);
    change_element(nft, sets->known, key, len, is_added);
    for (i = 0; i < peer->count; i++) {
        const struct policy_rule *rule = &peer->rules[i];
        uint16_t port = htons(rule->port);

        key[len] = rule->protocol;
        memcpy(key + len + 4, &port, sizeof port);
        if (rule->protocol == 0)
            change_element(nft, sets->all, key, len, is_added);
        else if (rule->port == 0)
            change_element(nft, sets->protocols, key, len + 4, is_added);
        else
            change_element(nft, sets->ports, key, len + 8, is_added);
    }
}

static int make_peer(const struct address *address, const struct policy_rule *rules, size_t count,
                     struct policy_peer **ret_peer)
{
    struct policy_peer *peer;
    size_t i;

    if (address->family == ADDRESS_NONE)
        return ERR_INVALID;
    if (count > POLICY_RULE_CAP)
        return ERR_LIMIT;
    for (i = 0; i < count; i++) {
        if (rules[i].port != 0 && rules[i].protocol != 0 && !has_ports(rules[i].protocol))
            return ERR_INVALID;
    }
    peer = calloc(1, sizeof *peer + count * sizeof *rules);
    if (peer == NULL)
        return ERR_NOMEM;
    peer->address = *address;
    for (i = 0; i < count; i++) {
        peer->rules[i].protocol = rules[i].protocol;
        peer->rules[i].port = rules[i].protocol == 0 ? 0 : rules[i].port;
    }
    qsort(peer->rules, count, sizeof *rules, compare_rules);
    for (i = 0; i < count; i++) {
        if (i == 0 || compare_rules(&peer->rules[i], &peer->rules[peer->count - 1]) != 0)
            peer->rules[peer->count++] = peer->rules[i];
    }
    *ret_peer = peer;
    return ERR_OK;
}

static bool is_allowed(const struct policy_peer *peer, const struct policy_rule *rule)
{
    return bsearch(rule, peer->rules, peer->count, sizeof *rule, compare_rules) != NULL;
}

/* Does old allow anything that young does not? Wider rules that cover it are not looked for: a
 * connection forgotten needlessly is simply judged anew. */
static bool is_narrower(const struct policy_peer *old, const struct policy_peer *young)
{
    const struct policy_rule everything = {0};
    size_t i;

    if (is_allowed(young, &everything))
        return false;
    for (i = 0; i < old->count; i++) {
        if (!is_allowed(young, &old->rules[i]))
            return true;
    }
    return false;
}

/* ---- connections of before ---- */

struct policy_due {
    struct map_node node;
    struct address address;
};

static struct policy_due *find_due(const struct policy *policy, const struct address *address)
{
    uint64_t hash = map_hash(&policy->releases, address, sizeof *address);
    struct map_node *node;

    for (node = map_first(&policy->releases, hash); node != NULL; node = map_next(node)) {
        struct policy_due *due = CONTAINER_OF(node, struct policy_due, node);

        if (address_is_equal(&due->address, address))
            return due;
    }
    return NULL;
}

static bool is_due(const struct address *source, const void *context)
{
    return find_due(context, source) != NULL;
}

bool policy_is_release_due(const struct policy *policy)
{
    return policy->releases.count > 0;
}

static void forget_due(struct policy *policy)
{
    struct map_node *node;

    while ((node = map_walk(&policy->releases, NULL)) != NULL) {
        map_remove(&policy->releases, node);
        free(CONTAINER_OF(node, struct policy_due, node));
    }
}

int policy_release(struct policy *policy)
{
    int error;

    if (policy->releases.count == 0)
        return ERR_OK;
    error = conntrack_release_sources(&policy->nft.netlink, is_due, policy);
    if (error == ERR_OK)
        forget_due(policy);
    return error;
}

/* Where it cannot be noted for later it is done now. */
static int note_due(struct policy *policy, const struct address *address)
{
    struct policy_due *due;

    if (find_due(policy, address) != NULL)
        return ERR_OK;
    due = calloc(1, sizeof *due);
    if (due != NULL) {
        due->address = *address;
        if (map_insert(&policy->releases, &due->node,
                       map_hash(&policy->releases, address, sizeof *address)) == ERR_OK)
            return ERR_OK;
        free(due);
    }
    return conntrack_release_source(&policy->nft.netlink, address, NULL);
}

/* ---- peers ---- */

int policy_peer_set(struct policy *policy, const struct address *address,
                    const struct policy_rule *rules, size_t count)
{
    struct policy_peer *old = find(policy, address);
    struct policy_peer *young = NULL;
    bool is_release_due;
    int error = ERR_OK;

    if (count > 0 && old == NULL && find_due(policy, address) != NULL)
        error = policy_release(policy);
    if (error == ERR_OK)
        error = make_peer(address, rules, count, &young);
    if (error < 0)
        return error;
    /* First what can fail without trace. */
    error = map_insert(&policy->peers, &young->node,
                       map_hash(&policy->peers, address, sizeof *address));
    if (error < 0) {
        free(young);
        return error;
    }
    nft_begin(&policy->nft);
    if (old != NULL)
        change_elements(&policy->nft, old, false);
    change_elements(&policy->nft, young, true);
    error = nft_commit(&policy->nft);
    if (error < 0) {
        map_remove(&policy->peers, &young->node);
        free(young);
        return error;
    }
    is_release_due = old != NULL && is_narrower(old, young);
    if (old != NULL) {
        map_remove(&policy->peers, &old->node);
        free(old);
    }
    if (young->count == 0) {
        map_remove(&policy->peers, &young->node);
        free(young);
    }
    return is_release_due ? note_due(policy, address) : ERR_OK;
}

int policy_peer_clear(struct policy *policy, const struct address *peer)
{
    if (find(policy, peer) == NULL)
        return ERR_OK;
    return policy_peer_set(policy, peer, NULL, 0);
}

void policy_peers_free(struct policy *policy)
{
    struct map_node *node = map_walk(&policy->peers, NULL);

    forget_due(policy);
    while (node != NULL) {
        struct map_node *next = map_walk(&policy->peers, node);

        map_remove(&policy->peers, node);
        free(CONTAINER_OF(node, struct policy_peer, node));
        node = next;
    }
}
