/* DNS answers on their way to this host's applications: finds the 0.0.0.1 that stands for
 * "reachable through Detec" and puts the peer address in its place. Everything else passes byte for
 * byte.
 *
 * A response is rewritten where it is well-formed to its last byte, NOERROR, answers a question for
 * A (or ANY) in class IN, and its answer section has `A 0.0.0.1` at the end of the question's CNAME
 * chain. Changed are the four address bytes, the TTL if it is above the cap, and AD, which is
 * cleared (the data is no longer what was validated). Left alone are: responses with TSIG or SIG(0)
 * (the change would break them), and responses with CD set whose RRset comes with RRSIG: who asked
 * so validates for himself, and would take a changed RRset for an attack. RRSIGs in other responses
 * stay as they are. */
#ifndef NAMES_REWRITE_H
#define NAMES_REWRITE_H

#include "base/address.h"
#include "base/error.h"
#include "base/nat64.h"
#include "base/text.h"
#include "names/pool.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REWRITE_SITES_MAX 8
/* Longest that an application or cache keeps a rewritten answer: a call is tried anew after it, and
 * a host that has gone is noticed. The address itself stays the same anyway. */
#define REWRITE_TTL_MAX_S 30

struct rewrite_site {
    size_t ttl_offset;
    size_t rdata_offset;
};

struct rewrite {
    char name[NAME_TEXT_CAP]; /* owner of the A records (after CNAMEs), canonical */
    size_t count;             /* of sites; at least 1 */
    struct rewrite_site sites[REWRITE_SITES_MAX];
};

/* Pool addresses mean something on this host alone. A server that gives one for a name that does
 * not have it here would lead an application to another host than it asked for: it speaks for
 * another Detec host's pool (a shared cache whose own queries were rewritten), or means harm. Each
 * such address (A; AAAA where IPv4-mapped), in any section, becomes 0.0.0.1, which reaches nobody
 * and is then judged like any other. 0.0.0.0 stays, as filters use it for blocked names. own_name
 * has the pool's own address; NULL: none. Returns whether there was any. */
bool rewrite_disown(uint8_t *message, size_t len, const struct pool *pool, const char *own_name);
/* DNS64 servers (RFC 6147) make AAAA records from A records: also from 0.0.0.1, and whoever tried
 * that address would send what is for a Detec host to a translator, in the clear. A response with
 * such an AAAA, of 0.0.0.0/8 under one of these prefixes or the well-known one, loses all its
 * records: NODATA, which nobody caches, and the A record counts. Returns the message's new length.
 */
size_t rewrite_drop_made_up(uint8_t *message, size_t len, const struct nat64_prefixes *prefixes);
/* ERR_OK: there is something to rewrite. ERR_NOT_FOUND: pass the message on as it is (malformed
 * ones included: they are the application's to judge). */
MUST_USE int rewrite_scan(const uint8_t *message, size_t len, struct rewrite *ret_rewrite);
/* Puts the IPv4 address into the same message that was scanned. */
MUST_USE int rewrite_apply(uint8_t *message, size_t len, const struct rewrite *rewrite,
                           const struct address *address, uint32_t ttl_max_s);

/* Resolvers with rebind protection (dnsmasq --stop-dns-rebind) take 0.0.0.1 out: NOERROR without
 * answer. True if the response to this query for A looks so: no A, and no SOA that would make it an
 * honest NODATA. ret_name: the canonical name whose IPSECKEY decides, after CNAMEs. */
bool rewrite_needs_completion(const uint8_t *query, size_t query_len, const uint8_t *response,
                              size_t len, char ret_name[NAME_TEXT_CAP]);
/* Is the query one for A or AAAA of a host's name (canonical, ret_name)? */
bool rewrite_asks_address(const uint8_t *query, size_t query_len, char ret_name[NAME_TEXT_CAP],
                          bool *ret_is_ipv6);
/* … and the response to it one of a server that does not know: SERVFAIL or REFUSED, as where the
 * zone's own servers do not answer? */
bool rewrite_is_failure(const uint8_t *query, size_t query_len, const uint8_t *response, size_t len,
                        char ret_name[NAME_TEXT_CAP], bool *ret_is_ipv6);
/* The answer to the application's query for A, or AAAA where the address is of IPv6: `name A
 * address`, with a CNAME before it if the question's name is another. limit: largest length (the
 * query's EDNS size is applied on top unless is_tcp). ERR_INVALID: not a query for that. */
MUST_USE int rewrite_build_answer(const uint8_t *query, size_t query_len, bool is_tcp,
                                  const char *name, const struct address *address, uint32_t ttl_s,
                                  uint8_t *ret_response, size_t cap, size_t *ret_len);
/* An answer without records: e.g. NXDOMAIN, SERVFAIL. ERR_INVALID: not a query. */
MUST_USE int rewrite_build_error(const uint8_t *query, size_t query_len, unsigned rcode,
                                 uint8_t *ret_response, size_t cap, size_t *ret_len);

/* Reverse look-ups of pool addresses are answered here and never leave the host (RFC 6303):
 * whatever is below in-addr.arpa and wholly inside the pool's prefix. An address that stands for a
 * peer: PTR; this host's own: own_name (NULL: none); other types: NODATA; unassigned, or no address
 * at all: NXDOMAIN; shorter names such as 0.in-addr.arpa itself: NODATA. Negative answers carry no
 * SOA: nobody caches them, since addresses come and go. ERR_NOT_FOUND: not for the pool (ask the
 * real server); malformed queries likewise. */
MUST_USE int rewrite_answer_ptr(const struct pool *pool, const char *own_name, const uint8_t *query,
                                size_t query_len, bool is_tcp, uint8_t *ret_response, size_t cap,
                                size_t *ret_len);

#endif
