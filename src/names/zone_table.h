/* Inside of the zone, for zone.c and zone_answer.c only: every name that exists is a node. */
#ifndef NAMES_ZONE_TABLE_H
#define NAMES_ZONE_TABLE_H

#include "base/map.h"
#include "names/zone.h"
#include "wire/dns.h"

/* What a node has; a node without any is an empty non-terminal (RFC 8020, 3.1): it exists, without
 * records. */
enum zone_role {
    ZONE_ROLE_APEX = 1,        /* SOA, NS, address, IPSECKEY */
    ZONE_ROLE_HOST = 2,        /* A 0.0.0.1, IPSECKEY */
    ZONE_ROLE_NAME_SERVER = 4, /* address */
    ZONE_ROLE_SERVICE = 8,     /* SRV */
};

struct zone_node {
    struct map_node by_name;
    struct public_key key;
    uint32_t child_count; /* nodes one label below */
    uint8_t roles;        /* of enum zone_role */
    bool is_static;
    uint8_t name_len;
    uint8_t name[]; /* wire form, lower case */
};

struct zone {
    struct dns_name name;
    struct dns_name name_server;
    struct dns_name mailbox;
    bool is_name_server_inside;
    struct address addresses[2]; /* of the two families, or the second one NONE */
    uint16_t port;
    struct public_key key;
    uint32_t serial;
    size_t host_count;
    struct map nodes;
};

/* NULL if the name does not exist. */
struct zone_node *zone_table_find(const struct zone *zone, const struct dns_name *name);

#endif
