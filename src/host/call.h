/* Calls: how a tunnel to a peer comes up. Outgoing: find the zone's connector, ask it, punch,
 * negotiate keys, in at most three attempts. Incoming: judge the caller, answer, punch, let it
 * negotiate. */
#ifndef HOST_CALL_H
#define HOST_CALL_H

#include "host/peer.h"
#include "ike/table.h"
#include "path/punch_table.h"
#include "wire/notify.h"

struct session;

#define CALL_ATTEMPTS 3

enum call_state {
    CALL_NAMING,     /* looking at the name itself (`detec call`), finding the zone's connector */
    CALL_CONNECTING, /* waiting for a session with the connector */
    CALL_ASKING,     /* CALL sent */
    CALL_PUNCHING,
    CALL_KEYING,
};

/* Starts one unless there is one, or the tunnel is up. checks_name: first look whether DNS has the
 * name (else it has just been seen). */
void call_start(struct peer *peer, bool checks_name, uint64_t now_us);
/* Calls although there is a tunnel, whose path is dead: it moves to the one that opens, or to a
 * relay's channel until one does. No more than one call at once. */
void call_renew(struct peer *peer, uint64_t now_us);
/* A tunnel is relayed: looks for a direct path, which replaces it once it carries. */
void call_start_upgrade(struct peer *peer, uint64_t now_us);
/* More is known of how others reach this host than calls have told: those for which it makes a
 * difference begin anew, soon. */
void calls_on_news(struct host *host, uint64_t now_us);
/* Ends it without a verdict: given up here, or overtaken. */
void call_cancel(struct call *call);
enum call_state call_state(const struct call *call);
/* The step it is at: "name", "connector", "candidates", "punch" or "keys". */
const char *call_step_text(const struct call *call);

/* What sessions report. */
void call_on_session_up(struct session *session, uint64_t now_us);
/* What was asked in a session that is lost is asked again in the next one. */
void call_on_session_lost(struct session *session, uint64_t now_us);
void call_on_session_failed(struct session *session, const char *why, uint64_t now_us);
void call_on_call(struct session *session, const struct notify_call *notify, uint64_t now_us);
void call_on_answer(struct session *session, const struct notify_answer *answer, uint64_t now_us);
void call_on_key(struct session *session, const struct notify_key *key, uint64_t now_us);

/* This host's voucher has come, or will not: calls that have waited for it go on. */
void call_on_voucher(struct host *host, uint64_t now_us);
/* Whatever is sent with the proof of our key has to be given to the session now: it is connected.
 */
void call_on_session_near(struct session *session, uint64_t now_us);

void call_on_relay(struct session *session, const struct notify_relay *notify, uint64_t now_us);
/* Does a call need this relay channel? */
bool call_uses_relay(struct host *host, const struct endpoint *relay);
/* The relay channel is closed, or the connection that it came by: a call that has it goes on
 * without, and one that negotiates keys over it has failed. */
void call_on_relay_gone(struct host *host, const struct endpoint *relay, const char *why,
                        uint64_t now_us);

/* Does a call need this session? */
bool call_uses_session(const struct session *session);

/* Punching: a datagram that looks like STUN; ERR_NOT_FOUND if no call knows it. */
MUST_USE int call_on_stun(struct host *host, const uint8_t *data, size_t len,
                          const struct endpoint *from, uint64_t now_us);
/* Sends and reports whatever punching has to, and arms its timer. */
void call_pump_punches(struct host *host, uint64_t now_us);
/* The profile for an IKE_SA_INIT from this endpoint, or NULL: only endpoints that a check of a call
 * to us has validated may start. ret_peer: whom the new SA belongs to. */
struct ike_profile *call_responder_profile(struct host *host, const struct endpoint *from,
                                           struct peer **ret_peer);
/* IKE events of a peer with a call. Only of an SA that call_is_for() says so may a tunnel be made.
 */
bool call_is_for(const struct call *call, const struct ike_sa *sa);
/* Are keys being negotiated for a tunnel that takes the place of the one that is up? */
bool call_is_replacing(const struct call *call);
/* A datagram that no tunnel takes, while keys are negotiated: waits until they are there. */
void call_on_early(struct host *host, const uint8_t *data, size_t len, const struct endpoint *from);
void call_on_established(struct peer *peer, struct ike_sa *sa, uint64_t now_us);
void call_on_tunnel(struct peer *peer, struct ike_sa *sa, uint64_t now_us);
/* The tunnel has moved: a call that looked for a better path than a relay's has found it. */
void call_on_path(struct peer *peer);
/* Nobody answered there when the tunnel should move to it. */
void call_on_move_failed(struct peer *peer, const struct endpoint *path, uint64_t now_us);
/* The caller refuses our proof, as it has got something else than what we sent before: it may begin
 * anew. Before the tunnel goes down. */
void call_on_refused(struct peer *peer);
/* The tunnel is gone, and with it what a call for a better path was for. */
void call_on_tunnel_down(struct peer *peer);
void call_on_sa_closed(struct peer *peer, struct ike_sa *sa, const char *why, uint64_t now_us);

#endif
