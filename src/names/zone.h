/* The connector's own authoritative zone: query in, response out. Holds the apex (SOA, NS, A,
 * AAAA, IPSECKEY of the connector), SRV _detec._tcp, and for each host that is logged in `A
 * 0.0.0.1` and IPSECKEY. No wildcards, no transfers, no other zones. RFC 1034, 1035, 2181, 2308,
 * 4343, 6891, 8482. */
#ifndef NAMES_ZONE_H
#define NAMES_ZONE_H

#include "base/address.h"
#include "base/error.h"
#include "crypto/identity.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZONE_TTL_S          60 /* apex, SRV */
#define ZONE_HOST_TTL_S     5  /* hosts come and go */
#define ZONE_NEGATIVE_TTL_S 5
#define ZONE_HOSTS_MAX      4194304

struct zone;

struct zone_config {
    const char *name; /* canonical */
    const char
        *name_server; /* canonical; NULL: the zone's name itself. Inside the zone it gets address */
    struct address address;       /* of the zone's name: A or AAAA */
    struct address other_address; /* … of the other family; ADDRESS_NONE: there is none */
    uint16_t port;                /* TCP port of the connector, for SRV */
    struct public_key key;        /* the connector's */
    uint32_t serial;  /* first serial, e.g. wall-clock seconds: it must grow over restarts */
    uint8_t seed[16]; /* random, for the table */
};

/* Copies the configuration. ERR_INVALID: a bad name or address. */
MUST_USE int zone_new(const struct zone_config *config, struct zone **ret_zone);
void zone_free(struct zone *zone);

/* Publishes a host. name: canonical, below the zone, no label starting with '_', not the name
 * server. Again with the same key: fine. ERR_INVALID; ERR_EXISTS: with another key; ERR_LIMIT. */
MUST_USE int zone_add_host(struct zone *zone, const char *name, const struct public_key *key,
                           bool is_static);
/* ERR_NOT_FOUND. */
MUST_USE int zone_remove_host(struct zone *zone, const char *name);
/* ERR_NOT_FOUND. Both ret_ may be NULL. */
MUST_USE int zone_find_host(const struct zone *zone, const char *name, struct public_key *ret_key,
                            bool *ret_is_static);
size_t zone_host_count(const struct zone *zone);
uint32_t zone_serial(const struct zone *zone);
/* Would zone_add_host take this name (ERR_OK), if it is free? */
MUST_USE int zone_check_name(const struct zone *zone, const char *name);

/* The response to one message. udp_len_max: the largest UDP response wanted (DNS_UDP_LEN_SAFE);
 * over TCP cap is the limit. cap at least 512. ERR_INVALID: nothing may be answered (a response, or
 * no header); everything else gets an answer. */
MUST_USE int zone_answer(const struct zone *zone, const uint8_t *query, size_t len, bool is_tcp,
                         size_t udp_len_max, uint8_t *ret_response, size_t cap, size_t *ret_len);

#endif
