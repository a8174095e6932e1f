/* Sessions with connectors: the own zone's for ever, other zones' as a guest while there are calls.
 * TCP, IKE and the login engine of each, and the STUN client towards it. */
#ifndef HOST_SESSION_H
#define HOST_SESSION_H

#include "base/address.h"
#include "host/dial.h"
#include "login/client.h"
#include "path/punch.h"
#include <stdbool.h>
#include <stdint.h>

struct finder_result;
struct host;
struct ike_sa;
struct session;
struct trust_verdict;

/* The own zone's session; begins at once and never ends by itself. */
MUST_USE int session_start_own(struct host *host);
/* The session for calls to the host `name`, whose zone and connector the finder has found: the own
 * one, one that is there, or a new guest session. ERR_LIMIT: too many. */
MUST_USE int session_get(struct host *host, const char *name, const struct finder_result *found,
                         struct session **ret_session);
/* NULL before session_start_own(). */
struct session *session_own(const struct host *host);
/* NULL if there is none. */
struct session *session_find(struct host *host, const char *zone);
/* Logs out of all. */
void sessions_close(struct host *host, uint64_t now_us);
void sessions_free(struct host *host);
bool sessions_are_closed(const struct host *host);

struct host *session_host(const struct session *session);
const char *session_zone(const struct session *session);
bool session_is_up(const struct session *session);
bool session_is_own(const struct session *session);
struct login_client *session_login(struct session *session);
/* What now waits for a session goes with the proof of our key, where that is still under way. */
void session_hurry_waiting(struct session *session, uint64_t now_us);
/* After calls on session_login(): sends and reports what came of it, and arms the timer. */
void session_pump(struct session *session, uint64_t now_us);
/* STUN answers: ERR_NOT_FOUND if it is no answer to one of ours. */
MUST_USE int sessions_on_stun(struct host *host, const uint8_t *data, size_t len,
                              const struct endpoint *from, uint64_t now_us);
/* Datagrams to its connector leave from this address now: a connection from another one is dead and
 * is made anew; one that waits is tried at once. */
void session_on_route(struct session *session, const struct address *source, uint64_t now_us);
/* There is no way to where its datagrams go: by another of the connector's addresses, at once. */
void session_on_no_route(struct session *session, uint64_t now_us);
/* Asks all connectors whether they are there, and how they see us. */
void sessions_check(struct host *host, uint64_t now_us);
/* Tunnels carry data, or a call begins: connectors that are gone are to be noticed soon. */
void sessions_on_activity(struct host *host, uint64_t now_us);
/* Local addresses have changed. */
void sessions_on_addresses(struct host *host, uint64_t now_us);
/* Public endpoints as connectors see them; returns the count. */
size_t sessions_reflexive(const struct host *host, struct endpoint *ret_endpoints, size_t cap);
/* Does IPv6 work, as far as own and foreign connectors show? */
enum punch_ipv6 sessions_ipv6(const struct host *host);
/* Is the own zone's connector about to say how it sees us over IPv4? */
bool sessions_expect_ipv4(const struct host *host);
struct session *sessions_first(const struct host *host);
struct session *session_next(const struct session *session);
const struct endpoint *session_connector(const struct session *session);
/* Where its packets go, or would go: the connector, or a proxy. NULL: not known. */
const struct endpoint *session_remote(const struct session *session);
/* "tcp 4500", "tls 443 via http://proxy:3128": how it is connected; "" if it is not. */
const char *session_way(const struct session *session, char ret_text[DIAL_TEXT_CAP]);
uint64_t session_since_us(const struct session *session);
uint64_t session_round_trip_us(const struct session *session);
/* The connector's UDP port for STUN. ERR_NOT_FOUND while the connector is not known. */
MUST_USE int session_stun_server(const struct session *session, struct endpoint *ret_server);
/* Where the connector's STUN server is over this family, without a translator (NAT64) between, and
 * how it sees us there. False: not known. */
bool session_stun_view(const struct session *session, uint8_t family, struct endpoint *ret_server,
                       struct endpoint *ret_public);
/* Adds the connector's proof that it has seen us over IPv4, where there is one. */
void session_stun_prove(const struct session *session, struct candidate_list *list);
/* The last failure; "" if none. */
const char *session_error(const struct session *session);
/* A zone's connector has proven this key: pins it where this is the first contact, and says so.
 * ERR_REFUSED and others: it is not to be believed; why is in ret_verdict. */
MUST_USE int session_pin(struct host *host, const char *zone, const struct public_key *key,
                         struct trust_verdict *ret_verdict);
/* The connector's key once it has proven it, else NULL. */
const struct public_key *session_key(const struct session *session);

#endif
