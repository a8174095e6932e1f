/* The zone's content: nodes for all names that exist. Answers are in zone_answer.c. */
#include "names/zone.h"

#include "base/text.h"
#include "names/zone_table.h"
#include <stdlib.h>
#include <string.h>

struct zone_node *zone_table_find(const struct zone *zone, const struct dns_name *name)
{
    struct dns_name key = *name;

    dns_name_lower(&key);
    uint64_t hash = map_hash(&zone->nodes, key.bytes, key.len);
    for (struct map_node *n = map_first(&zone->nodes, hash); n != NULL; n = map_next(n)) {
        struct zone_node *node = CONTAINER_OF(n, struct zone_node, by_name);
        if (node->name_len == key.len && memcmp(node->name, key.bytes, key.len) == 0)
            return node;
    }
    return NULL;
}

/* name: lower case. */
static struct zone_node *add_node(struct zone *zone, const struct dns_name *name)
{
    struct zone_node *node = calloc(1, sizeof *node + name->len);

    if (node == NULL)
        return NULL;
    node->name_len = name->len;
    memcpy(node->name, name->bytes, name->len);
    if (map_insert(&zone->nodes, &node->by_name, map_hash(&zone->nodes, name->bytes, name->len)) !=
        ERR_OK) {
        free(node);
        return NULL;
    }
    return node;
}

/* Removes a node that holds nothing any more, and those above it that only led to it. */
static void prune(struct zone *zone, struct zone_node *node)
{
    while (node != NULL && node->roles == 0 && node->child_count == 0) {
        struct dns_name parent = {.len = (uint8_t)(node->name_len - node->name[0] - 1)};
        memcpy(parent.bytes, node->name + node->name[0] + 1, parent.len);
        map_remove(&zone->nodes, &node->by_name);
        free(node);
        node = zone_table_find(zone, &parent);
        if (node != NULL)
            node->child_count--;
    }
}

/* The node of a lower-case name in the zone, made now with those that lead to it. */
static int make_node(struct zone *zone, const struct dns_name *name, struct zone_node **ret_node)
{
    unsigned depth = dns_name_label_count(name) - dns_name_label_count(&zone->name);
    struct zone_node *parent = NULL;

    for (unsigned i = depth + 1; i > 0; i--) {
        struct dns_name part;
        if (dns_name_strip(name, i - 1, &part) != ERR_OK)
            return ERR_INVALID;
        struct zone_node *node = zone_table_find(zone, &part);
        if (node == NULL) {
            node = add_node(zone, &part);
            if (node == NULL) {
                prune(zone, parent);
                return ERR_NOMEM;
            }
            if (parent != NULL)
                parent->child_count++;
        }
        parent = node;
    }
    *ret_node = parent;
    return ERR_OK;
}

static int parse_canonical(const char *text, struct dns_name *ret_name)
{
    char canonical[NAME_TEXT_CAP];

    if (name_normalize(text, canonical) != ERR_OK || strcmp(text, canonical) != 0)
        return ERR_INVALID;
    return dns_name_from_text(text, ret_name);
}

/* text: "LABELS." in front of the zone's name. */
static int name_below(const struct zone *zone, const char *labels, struct dns_name *ret_name)
{
    struct dns_name name;

    if (dns_name_from_text(labels, &name) != ERR_OK ||
        name.len - 1 + zone->name.len > DNS_NAME_LEN_MAX)
        return ERR_INVALID;
    memcpy(name.bytes + name.len - 1, zone->name.bytes, zone->name.len);
    name.len = (uint8_t)(name.len - 1 + zone->name.len);
    *ret_name = name;
    return ERR_OK;
}

static int make_fixed_node(struct zone *zone, const struct dns_name *name, enum zone_role role)
{
    struct zone_node *node;
    int error = make_node(zone, name, &node);

    if (error == ERR_OK)
        node->roles |= (uint8_t)role;
    return error;
}

static int set_names(struct zone *zone, const struct zone_config *config)
{
    struct dns_name service;

    if (parse_canonical(config->name, &zone->name) != ERR_OK ||
        name_below(zone, "hostmaster", &zone->mailbox) != ERR_OK ||
        name_below(zone, "_detec._tcp", &service) != ERR_OK)
        return ERR_INVALID;
    zone->name_server = zone->name;
    if (config->name_server != NULL &&
        parse_canonical(config->name_server, &zone->name_server) != ERR_OK)
        return ERR_INVALID;
    int error = make_fixed_node(zone, &zone->name, ZONE_ROLE_APEX);
    if (error == ERR_OK)
        error = make_fixed_node(zone, &service, ZONE_ROLE_SERVICE);
    zone->is_name_server_inside = dns_name_is_in(&zone->name_server, &zone->name);
    if (error == ERR_OK && zone->is_name_server_inside)
        error = make_fixed_node(zone, &zone->name_server, ZONE_ROLE_NAME_SERVER);
    return error;
}

int zone_new(const struct zone_config *config, struct zone **ret_zone)
{
    if (config->address.family == ADDRESS_NONE || config->port == 0 ||
        config->address.family == config->other_address.family)
        return ERR_INVALID;
    struct zone *zone = calloc(1, sizeof *zone);
    if (zone == NULL)
        return ERR_NOMEM;
    zone->addresses[0] = config->address;
    zone->addresses[1] = config->other_address;
    zone->port = config->port;
    zone->key = config->key;
    zone->serial = config->serial;
    int error = map_init(&zone->nodes, config->seed);
    if (error != ERR_OK) {
        free(zone);
        return error;
    }
    error = set_names(zone, config);
    if (error != ERR_OK) {
        zone_free(zone);
        return error;
    }
    *ret_zone = zone;
    return ERR_OK;
}

void zone_free(struct zone *zone)
{
    if (zone == NULL)
        return;
    struct map_node *at = map_walk(&zone->nodes, NULL);
    while (at != NULL) {
        struct map_node *next = map_walk(&zone->nodes, at);
        map_remove(&zone->nodes, at);
        free(CONTAINER_OF(at, struct zone_node, by_name));
        at = next;
    }
    map_done(&zone->nodes);
    free(zone);
}

static int parse_host(const struct zone *zone, const char *text, struct dns_name *ret_name)
{
    struct dns_name name;

    if (parse_canonical(text, &name) != ERR_OK || !dns_name_is_in(&name, &zone->name) ||
        dns_name_is_equal(&name, &zone->name) || dns_name_is_equal(&name, &zone->name_server))
        return ERR_INVALID;
    for (size_t at = 0; at + zone->name.len < name.len; at += 1 + (size_t)name.bytes[at])
        if (name.bytes[at + 1] == '_') /* RFC 8552: not for hosts */
            return ERR_INVALID;
    *ret_name = name;
    return ERR_OK;
}

int zone_check_name(const struct zone *zone, const char *name)
{
    struct dns_name parsed;

    return parse_host(zone, name, &parsed);
}

int zone_add_host(struct zone *zone, const char *name, const struct public_key *key, bool is_static)
{
    struct zone_node *node;
    struct dns_name parsed;

    int error = parse_host(zone, name, &parsed);
    if (error != ERR_OK)
        return error;
    node = zone_table_find(zone, &parsed);
    if (node != NULL && (node->roles & ZONE_ROLE_HOST) != 0) {
        if (!public_key_is_equal(&node->key, key))
            return ERR_EXISTS;
        node->is_static = is_static;
        return ERR_OK;
    }
    if (zone->host_count >= ZONE_HOSTS_MAX)
        return ERR_LIMIT;
    error = make_node(zone, &parsed, &node);
    if (error != ERR_OK)
        return error;
    node->roles |= ZONE_ROLE_HOST;
    node->key = *key;
    node->is_static = is_static;
    zone->host_count++;
    zone->serial++; /* RFC 1982: it may wrap */
    return ERR_OK;
}

static struct zone_node *find_host(const struct zone *zone, const char *name)
{
    struct dns_name parsed;

    if (parse_host(zone, name, &parsed) != ERR_OK)
        return NULL;
    struct zone_node *node = zone_table_find(zone, &parsed);
    return node != NULL && (node->roles & ZONE_ROLE_HOST) != 0 ? node : NULL;
}

int zone_remove_host(struct zone *zone, const char *name)
{
    struct zone_node *node = find_host(zone, name);

    if (node == NULL)
        return ERR_NOT_FOUND;
    node->roles &= (uint8_t)~ZONE_ROLE_HOST;
    prune(zone, node);
    zone->host_count--;
    zone->serial++;
    return ERR_OK;
}

int zone_find_host(const struct zone *zone, const char *name, struct public_key *ret_key,
                   bool *ret_is_static)
{
    const struct zone_node *node = find_host(zone, name);

    if (node == NULL)
        return ERR_NOT_FOUND;
    if (ret_key != NULL)
        *ret_key = node->key;
    if (ret_is_static != NULL)
        *ret_is_static = node->is_static;
    return ERR_OK;
}

size_t zone_host_count(const struct zone *zone)
{
    return zone->host_count;
}

uint32_t zone_serial(const struct zone *zone)
{
    return zone->serial;
}
