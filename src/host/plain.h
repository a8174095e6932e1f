/* Plain IPsec peers, each a [peer NAME] of detec.conf: reached at a configured address without
 * connector or punching, known by their own kinds of proof, and otherwise peers like any other,
 * with an address of the pool. `struct peer` has `plain` set for them; what differs for such a peer
 * is decided here. */
#ifndef HOST_PLAIN_H
#define HOST_PLAIN_H

#include "base/address.h"
#include "base/text.h"
#include "host/plain_config.h"
#include "ike/sa.h"
#include "ike/table.h"

struct host;
struct peer;
struct plain; /* all of them */
struct plain_peer;

/* ---- life ---- */

/* Reads keys, secrets and certificates that these sections name, and tells `file:line: what` where
 * something is not right (ERR_INVALID). For `detecd --check`. */
MUST_USE int plain_check(const struct host_config *config);
/* Before privileges are dropped: the sockets, where there are any peers. */
MUST_USE int plain_open(struct host *host);
/* Once all runs: makes the peers, and calls those that are to be up always. */
MUST_USE int plain_start(struct host *host, uint64_t now_us);
/* SIGHUP. Those that have changed begin anew, the others stay as they are. On failure all stay. */
MUST_USE int plain_reload(struct host *host, const struct host_config *config, uint64_t now_us);
/* What is in force of [peer], which SIGHUP changes; NULL: there are no more. */
const struct plain_config *plain_section(const struct host *host, uint32_t index);
/* No calls any more. */
void plain_stop(struct host *host);
/* Lets go of the peers, before they are freed. */
void plain_detach(struct host *host);
/* Once all SAs are gone. */
void plain_free(struct host *host);

/* ---- names ---- */

/* The whole name of the peer with this label; false: there is none. */
bool plain_find_name(const struct host *host, const char *label, char ret_name[NAME_TEXT_CAP]);
/* Names in PLAIN_ZONE are answered here and never leave the host (and the call may begin).
 * ERR_NOT_FOUND: the query is for another name. */
MUST_USE int plain_answer(struct host *host, const uint8_t *query, size_t query_len, bool is_tcp,
                          uint8_t *ret_response, size_t cap, size_t *ret_len);

/* The peer that has this address in a network behind it. */
struct peer *plain_find_network(const struct host *host, const struct address *address);
/* All such networks of a configuration, at most PLAIN_NETWORKS_MAX; returns how many. */
size_t plain_networks(const struct host_config *config, struct prefix *ret_networks);

/* ---- calls ---- */

/* The peer is wanted: as call_start(). */
void plain_call(struct plain_peer *plain, uint64_t now_us);
bool plain_is_calling(const struct plain_peer *plain);
const char *plain_step_text(const struct plain_peer *plain);
/* Given up here. */
void plain_cancel(struct plain_peer *plain);

/* ---- TCP; see host/streams.h ---- */

/* Does any of them have a call, a tunnel or an SA there? */
bool plain_uses(const struct host *host, const struct endpoint *stream);
/* That connection of ours is there (why NULL), or cannot be had, or is lost. */
void plain_on_stream(struct host *host, const struct endpoint *stream, const char *why,
                     uint64_t now_us);
/* Addresses or routes have changed. */
void plain_on_network(struct host *host, uint64_t now_us);

/* ---- what IKE reports; see peer_tunnel.c ---- */

/* The profile by which strangers are answered at this socket; NULL: none of ours is expected. */
struct ike_profile *plain_responder(struct host *host, const struct endpoint *from);
/* Before an SA is driven: one that has gone over to the peer's port for NATs (RFC 7296, 2.23)
 * leaves from our own. */
void plain_on_message(struct ike_sa *sa, struct peer *peer);
/* Whose SA this is that nobody expected; NULL: nobody's. */
struct peer *plain_adopt(struct host *host, struct ike_sa *sa,
                         const struct ike_event_established *established);
/* Both have proven themselves. */
void plain_on_established(struct plain_peer *plain, struct ike_sa *sa, bool is_initial_contact,
                          uint64_t now_us);
/* May this SA's first child make a tunnel? */
bool plain_takes(const struct peer *peer, const struct ike_sa *sa);
void plain_on_tunnel(struct plain_peer *plain, struct ike_sa *sa, uint64_t now_us);
void plain_on_sa_closed(struct plain_peer *plain, struct ike_sa *sa,
                        const struct ike_event_closed *closed, uint64_t now_us);
/* This goes to somebody who has no SA yet: a refusal on the ports of plain peers is for the log. */
void plain_on_reply(struct host *host, const struct endpoint *to, const uint8_t *message,
                    size_t len, uint64_t now_us);
/* It has proven itself, but wants no such child: the SA is about to be closed. notify: its error,
 * or 0. */
void plain_on_child_refused(struct plain_peer *plain, struct ike_sa *sa, uint16_t notify,
                            uint64_t now_us);
/* The tunnel has gone. */
void plain_on_tunnel_down(struct plain_peer *plain, uint64_t now_us);
/* Of IKEv1, as SPIs of IKEv2 are shown; "" where that is not spoken. */
void plain_cookies(const struct plain_peer *plain, char text[40]);
/* How long its children live. */
uint64_t plain_rekey_us(const struct plain_peer *plain);
/* Looks after a tunnel: keepalives, idleness, rekeying by volume. When to look again; 0: it has
 * been taken down. */
uint64_t plain_watch(struct plain_peer *plain, uint64_t now_us);

#endif
