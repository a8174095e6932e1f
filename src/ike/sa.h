/* One security association with one peer, for its owner: start it, pull messages out, drain events,
 * ask things of it. The pointer stays valid across rekeys, from creation to ike_sa_free().
 *
 * Driving: after every call that may change something (receive, expire, initiate, and the requests
 * below) call ike_sa_transmit() until ERR_AGAIN, then ike_sa_next_event() until IKE_EVENT_NONE, and
 * set the timer by ike_sa_deadline() (or once for all by ike_table_deadline()). After
 * IKE_EVENT_CLOSED transmit once more (a last DELETE or refusal may be due) and free it. */
#ifndef IKE_SA_H
#define IKE_SA_H

#include "base/deadline.h"
#include "base/writer.h"
#include "ike/event.h"

/* Limits of notifies queued by ike_sa_send_notify(). */
#define IKE_NOTIFY_LEN_MAX   1664
#define IKE_NOTIFY_QUEUE_MAX 64
#define IKE_MOVE_US          SECOND_US       /* see ike_sa_move() */
#define IKE_WAKE_US          (5 * SECOND_US) /* see ike_sa_wake() */

struct ike_resumption; /* ike/ticket.h */
struct ike_table;
struct ike_sa;

enum ike_state {
    IKE_STATE_CONNECTING, /* no IKE_AUTH accepted yet */
    IKE_STATE_ESTABLISHED,
    IKE_STATE_CLOSING, /* our DELETE is not answered yet */
    IKE_STATE_CLOSED,
};

/* Starts as initiator. ERR_LIMIT when the table is full. */
MUST_USE int ike_sa_initiate(struct ike_table *table, struct ike_profile *profile,
                             const struct endpoint *remote, uint64_t now_us,
                             struct ike_sa **ret_sa);
/* The same with a ticket (RFC 5723); a ticket that is refused leads to the full handshake by
 * itself. ERR_STATE where the profile's transport is not reliable. */
MUST_USE int ike_sa_resume(struct ike_table *table, struct ike_profile *profile,
                           const struct ike_resumption *resumption, const struct endpoint *remote,
                           uint64_t now_us, struct ike_sa **ret_sa);
/* What was got to resume this SA later, once it is established; NULL: nothing. The caller frees. */
struct ike_resumption *ike_sa_take_resumption(struct ike_sa *sa);
/* Wipes. NULL is fine. */
void ike_resumption_free(struct ike_resumption *resumption);
/* Tells the peer nothing (close first for that). Wipes. NULL is fine. */
void ike_sa_free(struct ike_sa *sa);

/* Writes the next message to send; ERR_AGAIN when there is none, ERR_FULL if it does not fit in w
 * (give it IKE_MESSAGE_CAP). Answers go where the request came from, requests to the remote set. */
MUST_USE int ike_sa_transmit(struct ike_sa *sa, struct writer *w, struct endpoint *ret_remote,
                             uint64_t now_us);
/* When ike_sa_expire() is due; DEADLINE_NEVER if not. */
uint64_t ike_sa_deadline(const struct ike_sa *sa);
void ike_sa_expire(struct ike_sa *sa, uint64_t now_us);
/* The next event, type IKE_EVENT_NONE when there is none. What it holds is valid until the next
 * call for this SA; keys are wiped then in the SA, and by the owner in its copy. */
void ike_sa_next_event(struct ike_sa *sa, struct ike_event *ret_event);

/* Sends a private notify in an INFORMATIONAL request; those queued meanwhile share one. Data is
 * copied. Queued ones wait for ESTABLISHED and survive rekeys; over a reliable transport those that
 * an initiator queues before the first answer go with IKE_AUTH (ike_config.sends_early). ERR_FULL:
 * the queue is full; ERR_INVALID: type not a private status type or data too long; ERR_STATE:
 * closing or closed. */
MUST_USE int ike_sa_send_notify(struct ike_sa *sa, uint16_t type, const void *data, size_t len);
/* After how long a silence this SA asks whether the peer lives, instead of the configuration's
 * dpd_interval_us (0: as that says; not where that is never). */
void ike_sa_set_liveness(struct ike_sa *sa, uint64_t interval_us);
/* Asks now whether the peer lives, unless a request is under way already. The answer moves
 * ike_sa_heard_us(); silence ends in CLOSED, reason TIMEOUT. */
void ike_sa_check_alive(struct ike_sa *sa);
/* Rekeys before time, e.g. when message numbers run out. ERR_STATE: not established or no child. */
MUST_USE int ike_sa_rekey_child(struct ike_sa *sa);
MUST_USE int ike_sa_rekey(struct ike_sa *sa);
/* Closes the live child, if any; the IKE SA stays. */
MUST_USE int ike_sa_close_child(struct ike_sa *sa);
/* Puts it to rest: its children are closed (tells: by our DELETE; else by the peer's, which is on
 * its way), no liveness check and no rekey follow, and no packet is sent for it. At until_us it
 * ends (CLOSED, EXPIRED) without a word. ERR_STATE: not established, something else than notifies
 * is under way, over a reliable transport, or at rest already. */
MUST_USE int ike_sa_rest(struct ike_sa *sa, bool tells, uint64_t until_us, uint64_t now_us);
bool ike_sa_is_resting(const struct ike_sa *sa);
/* Asks the peer for a child again (CREATE_CHILD_SA, RFC 7296, 1.3.1): CHILD_READY, rekey_of 0, with
 * the answer, and it rests no more. The request goes to the remote of before, for IKE_WAKE_US, and
 * wherever else the owner sends copies; once more with each call, always the same. So does what the
 * peer may ask: whether it may is the owner's to decide before the message is taken. ERR_STATE: not
 * at rest, or children are still being closed. */
MUST_USE int ike_sa_wake(struct ike_sa *sa, uint64_t now_us);
/* Is it so far? */
bool ike_sa_can_wake(const struct ike_sa *sa);
/* Is that request under way, and not given up yet? */
bool ike_sa_is_waking(const struct ike_sa *sa);
/* That request; ERR_NOT_FOUND if there is none. */
MUST_USE int ike_sa_copy_wake(const struct ike_sa *sa, struct writer *w);
/* Says goodbye (DELETE). CLOSED follows with the answer or after close_timeout_us; at once when it
 * was not established. */
void ike_sa_close(struct ike_sa *sa, uint64_t now_us);
/* Our address, or the route to the peer, has changed: tells it (UPDATE_SA_ADDRESSES, RFC 4555), and
 * sends again at once what is under way, which has its whole time again. The peer's path moves when
 * we have answered its challenge.
 */
void ike_sa_announce_move(struct ike_sa *sa, uint64_t now_us);
/* Plain peers that do MOBIKE: the addresses that it says to have beside the one in use; at most
 * IKE_OTHERS_MAX. Nobody has proven that it is there: ike_sa_move() does. */
size_t ike_sa_others(const struct ike_sa *sa, struct address ret_addresses[IKE_OTHERS_MAX]);
/* Ours have changed (ike_table_set_addresses()): tells such a peer. */
void ike_sa_announce_addresses(struct ike_sa *sa);
/* Asks the peer to use the path between this socket and `remote` (UPDATE_SA_ADDRESSES and COOKIE2,
 * RFC 4555, sent there alone; the peer challenges our end of it likewise). Each side keeps the old
 * path until the new one has answered it. Ends in PATH_CHANGED, perhaps to another path that the
 * peer has asked for at the same time, or in MOVE_FAILED, IKE_MOVE_US and three round trips later
 * at the latest, or in CLOSED. The path there is now may be named too: then it is proven once more.
 * Another move replaces the one under way, of which no event follows. What is under way to the peer
 * goes both ways meanwhile, and has its whole time again. ERR_STATE: not established;
 * ERR_UNSUPPORTED: the peer does not do MOBIKE, or not from our side. */
MUST_USE int ike_sa_move(struct ike_sa *sa, const struct endpoint *remote, uint64_t now_us);
/* Authentic data of the peer's has come from there, where its path is not: asks there whether it
 * has moved. PATH_CHANGED follows if so. Nothing happens where the peer may not move. */
void ike_sa_challenge(struct ike_sa *sa, const struct endpoint *remote, uint64_t now_us);
/* Is another endpoint being tried, of our own choice or as the peer has been heard from there? */
bool ike_sa_is_moving(const struct ike_sa *sa);
/* For how long the request under way has not been answered over the path; 0: there is none, or it
 * asks only whether somebody is at another endpoint. */
uint64_t ike_sa_unanswered_us(const struct ike_sa *sa, uint64_t now_us);
/* Where requests go from now on; the owner has verified that the peer is there. */
void ike_sa_set_remote(struct ike_sa *sa, const struct endpoint *remote);

void ike_sa_set_user(struct ike_sa *sa, void *user);
/* All SAs that have one user, so that it can let go of them without a look at all the others.
 * Zeroed: none. */
struct ike_sa_list {
    struct ike_sa *first;
};
/* As ike_sa_set_user(), and the SA is in the list of that user until it gets another one, or goes.
 */
void ike_sa_give_to(struct ike_sa *sa, void *user, struct ike_sa_list *list);
/* Those in the list have no user any more. */
void ike_sa_list_clear(struct ike_sa_list *list);
void *ike_sa_user(const struct ike_sa *sa);
/* Another profile from now on, for an initiator that learns only later whose key to expect: before
 * the answer to its IKE_SA_INIT is taken. */
void ike_sa_set_profile(struct ike_sa *sa, struct ike_profile *profile);
enum ike_state ike_sa_state(const struct ike_sa *sa);
bool ike_sa_is_initiator(const struct ike_sa *sa);
/* Has anybody answered our IKE_SA_INIT? Whoever it was. */
bool ike_sa_is_answered(const struct ike_sa *sa);
/* NULL until the peer is authenticated, and of configured peers (ike_sa_entry()). */
const struct public_key *ike_sa_peer_key(const struct ike_sa *sa);
/* The configured peer that it has proven to be (ike_config.peers); NULL until then, and for others,
 * of whom the key tells who they are. */
const struct ike_peer_entry *ike_sa_entry(const struct ike_sa *sa);
/* "" until then, or where the peer gave its key as ID_KEY_ID. */
const char *ike_sa_peer_id(const struct ike_sa *sa);
const struct endpoint *ike_sa_remote(const struct ike_sa *sa);
/* The live child: the newest one to send with; 0 and SUITE_NONE if none. */
uint32_t ike_sa_child(const struct ike_sa *sa);
enum suite ike_sa_suite(const struct ike_sa *sa);
enum ike_cipher ike_sa_cipher(const struct ike_sa *sa);
/* When the last authentic message arrived; 0 if none did. */
uint64_t ike_sa_heard_us(const struct ike_sa *sa);
/* Smoothed, of exchanges without retransmission; 0 if not measured yet. */
uint64_t ike_sa_round_trip_us(const struct ike_sa *sa);
/* What NAT detection found (RFC 7296, 2.23); false over TCP. */
bool ike_sa_is_nat_here(const struct ike_sa *sa);
bool ike_sa_is_nat_there(const struct ike_sa *sa);
/* Initiators: has it gone over from port 500 to the port for NATs (ike_config.nat_port)? From then
 * on its messages go from our own such port, and have the non-ESP marker. */
bool ike_sa_is_floated(const struct ike_sa *sa);
/* The SPIs of the current generation, for logs. */
void ike_sa_spis(const struct ike_sa *sa, uint64_t *ret_initiator, uint64_t *ret_responder);

#endif
