/* The daemons' own look-ups: building of queries, and what an answer says, with CNAMEs followed
 * inside the answer. Who sends and receives them, and that the response belongs to the query
 * (dns_response_is_for, or a resolver library), is the owner's. */
#ifndef NAMES_LOOKUP_H
#define NAMES_LOOKUP_H

#include "base/address.h"
#include "base/error.h"
#include "base/text.h"
#include "crypto/identity.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOOKUP_SERVICES_MAX  8
#define LOOKUP_KEYS_MAX      4
#define LOOKUP_ADDRESSES_MAX 16
#define LOOKUP_QUERY_CAP     (12 + 255 + 4 + 11)

struct lookup_service {
    char target[NAME_TEXT_CAP]; /* canonical */
    uint16_t port;
    uint16_t priority;
    uint16_t weight;
};

struct lookup_services {
    struct lookup_service items[LOOKUP_SERVICES_MAX];
    size_t count;
};

struct lookup_keys {
    struct public_key items[LOOKUP_KEYS_MAX];
    size_t count;
};

struct lookup_addresses {
    struct address items[LOOKUP_ADDRESSES_MAX];
    size_t count;
    uint32_t ttl_s; /* the least of theirs */
};

/* A recursive query with EDNS; is_dnssec_ok sets DO. */
MUST_USE int lookup_build_query(const char *name, uint16_t type, uint16_t id, bool is_dnssec_ok,
                                uint8_t *ret_query, size_t cap, size_t *ret_len);

/* All three: response is a whole message whose question must be name (canonical or
 * "_detec._tcp.…"), the type, class IN. ERR_OK with at least one item. ERR_NOT_FOUND: there is no
 * such name or record. ERR_REFUSED: the server failed or refused. ERR_AGAIN: truncated, ask over
 * TCP. ERR_INVALID, ERR_TRUNCATED: malformed, or not an answer to this question. Records that a
 * stranger adds off the question's CNAME chain are ignored; items past the cap as well. */

/* In the order to try them (RFC 2782): by priority, and by weight with the help of `random`. A sole
 * target
 * "." means "no service here": ERR_NOT_FOUND. */
MUST_USE int lookup_parse_services(const uint8_t *response, size_t len, const char *name,
                                   uint64_t random, struct lookup_services *ret_services);
/* Ed25519 keys (algorithm EdDSA, 32 bytes), by precedence; records of other kinds are skipped. */
MUST_USE int lookup_parse_keys(const uint8_t *response, size_t len, const char *name,
                               struct lookup_keys *ret_keys);
/* type: DNS_TYPE_A or DNS_TYPE_AAAA. */
MUST_USE int lookup_parse_addresses(const uint8_t *response, size_t len, const char *name,
                                    uint16_t type, struct lookup_addresses *ret_addresses);
/* One host that offers a service, and what was found for it. */
struct lookup_target {
    uint16_t port;
    struct lookup_addresses ipv6, ipv4;
};

/* The endpoints of these targets in the order to try them: target by target, and in each the
 * families in turn, IPv6 first (RFC 8305, 4). At most cap (at least count), a share for each
 * target; none twice. Returns how many. */
size_t lookup_order(const struct lookup_target *targets, size_t count, struct endpoint *ret_order,
                    size_t cap);
/* Did the resolver say it validated this by DNSSEC (AD, RFC 4035)? Worth as much as the way to it.
 */
bool lookup_is_validated(const uint8_t *response, size_t len);

#endif
