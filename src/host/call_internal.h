/* What the files of calls share: call.c (life and attempts), call_out.c (asking), call_in.c (being
 * asked), claim.c (callers of other zones), call_punch.c (punching and keys). */
#ifndef HOST_CALL_INTERNAL_H
#define HOST_CALL_INTERNAL_H

#include "host/call.h"
#include "host/finder.h"
#include "host/host.h"
#include "host/lookup.h"
#include "host/session.h"

struct call {
    struct map_node by_number;
    struct peer *peer;
    struct host *host;
    enum call_state state;
    bool is_incoming;
    bool checks_name;
    uint64_t number;  /* own number towards the connector; of incoming ones, the connector's */
    unsigned attempt; /* from 1 */
    uint64_t started_us;
    uint64_t step_us;         /* when the present step began */
    struct task task;         /* the attempt's time-out */
    struct task keys_task;    /* the negotiation that began early has had its time */
    char zone[NAME_TEXT_CAP]; /* where the call goes through */
    struct lookup *lookup;
    struct finder *finder;
    struct session *session;
    struct credentials credentials; /* own */
    bool is_asked;                  /* CALL is with the session, or has left */
    bool waits_for_voucher;         /* the session is there, but not our own connector's word */
    struct public_key key;          /* the other host's, by the connector's word */
    bool has_key;                   /* … which has been heard */
    struct punch *punch;
    struct nat_wait nat_wait; /* for the NAT's next port, before CALL */
    void (*after_wait)(struct call *call, uint64_t now_us);
    struct ike_profile *profile;
    struct ike_sa *sa;
    struct stage early;  /* datagrams of the tunnel that is not there yet */
    bool is_carried;     /* sa began inside the call */
    struct ike_sa *half; /* called host: the SA that the call has brought, until it is proven */
    bool was_half;
    uint64_t heard_us; /* when the tunnel was up: the caller's proof */
    bool has_direct;
    struct endpoint direct; /* where IKE_AUTH of such an SA goes, beside the relay */
    uint8_t *auth;          /* that message, for ways that turn up later */
    size_t auth_len;
    bool was_repeated;         /* it was sent again, when its answer was overdue */
    struct endpoint nominated; /* by punching */
    uint64_t keys_wait_us;     /* for an answer to what is sent again */
    uint8_t no_relay;          /* enum answer_relay: why there is no channel */
    bool is_unseen;            /* the other one has not been told how we are seen over IPv4 */
    bool is_unrelayed;         /* nor will there be one */
    uint32_t view;             /* the host's, as the other one has been told it */
    struct task anew_task;     /* to begin anew, as more is known */
    bool wakes;                /* an SA at rest is being woken (host/wake.h) */
    uint64_t woken_us;         /* when that was asked of the last address; 0: not */
    bool has_last;
    struct endpoint last; /* that address */
    struct task met_task;
    struct ike_sa *met_sa; /* of keys that were begun without a connector (host/met.h) */
    uint64_t met_us;       /* when; 0: not */
    struct public_key met_key;
    bool is_met_static;
    size_t met_count;
    struct endpoint met_endpoints[MET_ENDPOINTS_MAX];
    bool is_unsaid;   /* the other host may have the tunnel on another way (call_carry.c) */
    bool is_doomed;   /* has failed, but for what comes from there */
    bool is_upgrade;  /* of a tunnel that is up: for a better path, or for none */
    bool is_renewal;  /* such a one, whose path is dead */
    bool has_relay;   /* the connector has opened a channel */
    bool is_relaying; /* keys are negotiated over it, or may be: punching has had its time */
    struct endpoint relay;
    uint64_t relay_us;      /* when the channel came */
    struct task relay_task; /* when to give up waiting for a direct path */
    char why[160];          /* the last attempt's failure */
};

#define CALL_STEP_NAME       "name"
#define CALL_STEP_CONNECTOR  "connector"
#define CALL_STEP_CANDIDATES "candidates"
#define CALL_STEP_PUNCH      "punch"
#define CALL_STEP_KEYS       "keys"

/* NULL: too many calls, or no memory. The peer has it then. */
struct call *call_new(struct peer *peer, bool is_incoming, uint64_t number, uint64_t now_us);
/* The same for one of our own, with a number and a zone; NULL also where there are too many. */
struct call *call_make_out(struct peer *peer, uint64_t now_us);
/* Frees, without a word to anyone. */
void call_free(struct call *call);
/* True: the NAT has to be asked first; `then` is called afterwards, unless the call has ended. */
bool call_waits_for_port(struct call *call, void (*then)(struct call *call, uint64_t now_us),
                         uint64_t now_us);
/* The tunnel is there: what has come before it is received now. */
void call_flush_early(struct call *call, const struct endpoint *from);
/* May one more call to this zone begin? Calls to other zones, which any web page can cause, leave
 * room for those to the own one. */
bool call_has_room(struct host *host, const char *zone);
struct call *call_find(struct host *host, const struct session *session, uint64_t number);
/* Tells the watchers that a step has ended, and begins the next one. */
void call_step(struct call *call, enum call_state next, const char *step, const char *detail,
               uint64_t now_us);
/* The attempt has failed: next one, or the whole call fails. */
void call_attempt_failed(struct call *call, const char *why, uint64_t now_us);
/* The whole call fails now; hint may be NULL. Frees it. */
void call_fail(struct call *call, const char *why, const char *hint, uint64_t now_us);

/* call_in.c: takes up a call whose caller is known to own its name and to be allowed to call.
 * is_static: by the own zone's connector. */
void call_take_in(struct host *host, const struct notify_call *notify, bool is_static,
                  uint64_t now_us);
/* Notes a call that is refused; the caller hears nothing. */
void call_refuse(struct host *host, const struct notify_call *notify, const char *reason,
                 uint64_t now_us);
/* call_out.c: begins (another) attempt. */
void call_out_begin(struct call *call, uint64_t now_us);
/* … the same attempt once more, as if nothing had been asked yet. */
void call_out_restart(struct call *call, uint64_t now_us);
/* call_anew.c: has the other host been told less than is known by now? */
bool call_is_stale(const struct call *call);
/* Then another call takes this one's place, unless it is better off with what it has. May free it.
 */
void call_anew(struct call *call, uint64_t now_us);
/* Is it worth waiting for all that can be known soon, as nothing begins without? */
bool call_wants_all(const struct call *call);
/* call.c: drops what belongs to one attempt. */
void call_drop_attempt(struct call *call);
/* call_relay.c: punching has failed. True: the call goes on by its relay channel. */
bool call_try_relay(struct call *call, const char *why, uint64_t now_us);
/* call_renew.c: CALL has been sent, or answered. */
void call_renew_on_asked(struct call *call, uint64_t now_us);
void call_renew_on_answer(struct call *call, uint64_t now_us);
/* Does a call of the peer's go before this one of ours, which has had no answer? */
bool call_renew_gives_way(const struct call *call, uint64_t now_us);
/* It does not; but ours may have gone to a connection that is dead. */
void call_renew_on_crossing(struct call *call, uint64_t now_us);
/* The connector has opened a channel: the tunnel moves onto it. */
void call_renew_by_relay(struct call *call, uint64_t now_us);
/* Why no direct path has opened, in words for people. event NULL: none has in time. */
void call_relay_explain(const struct call *call, const struct punch_event *event, char *ret_text,
                        size_t cap);
/* The called side's: the call with this channel, or NULL. */
struct call *call_find_relayed(struct host *host, const struct endpoint *relay);
/* call_punch.c: keys over this path. */
void call_begin_keys(struct call *call, const struct endpoint *path, uint64_t now_us);
/* opens the punch; the peer's side may follow later. ERR_LIMIT and others: no call.
 */
MUST_USE int call_punch_open(struct call *call, const struct candidate_list *own, uint64_t now_us);
/* The other side's credentials and candidates: punching begins. With `relay = always` nothing is
 * probed, whatever the candidates. */
MUST_USE int call_punch_at(struct call *call, const struct credentials *credentials,
                           const struct candidate_list *candidates, uint64_t now_us);
/* The other side's candidates as this host reaches them, and those alone that may be sent to. */
void call_reach(const struct call *call, const struct candidate_list *candidates,
                struct candidate_list *ret_reached);
/* The tunnel moves to the nominated path. */
void call_move(struct call *call, uint64_t now_us);
/* Keys that are under way have until then; after that they begin anew over this path. */
void call_carry_wait(struct call *call, const struct endpoint *path, uint64_t until_us);
/* In a network that is attached, and not our own? */
bool call_is_neighbour(const struct host *host, const struct address *address);
/* The candidate that will most likely be nominated; NULL: none is likely. */
const struct endpoint *call_guess_path(const struct call *call,
                                       const struct candidate_list *candidates);
/* Begins the key negotiation while the hole is being punched, towards the likeliest of the
 * candidates; the nomination begins it anew if that was wrong. */
void call_begin_early(struct call *call, const struct endpoint *likeliest, uint64_t now_us);
/* How many calls there are of others to us. */
size_t call_count_incoming(const struct host *host);
/* What an IKE SA with this call's peer shall be. */
void call_fill_config(const struct call *call, struct ike_config *ret_config);
/* Makes the profile for the IKE SA with this call's peer. */
MUST_USE int call_make_profile(struct call *call);

#endif
