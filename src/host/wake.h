/* Peers met before: when a tunnel is closed because nobody uses it, the IKE SA is kept for a while,
 * at rest. The next call wakes it by one exchange, which goes to the peer's last address at once,
 * and inside CALL and ANSWER: so data flows after one round trip, and hosts that know each other
 * meet again where no connector answers. Nothing but time is at stake: a peer that has forgotten
 * answers as at first contact. */
#ifndef HOST_WAKE_H
#define HOST_WAKE_H

#include "base/address.h"
#include "wire/notify.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WAKE_PEERS_MAX 256
/* Less than the day after which a peer address may be another name's. */
#define WAKE_REST_US (12 * 3600 * SECOND_US)

struct call;
struct host;
struct ike_sa;
struct peer;

/* The tunnel goes: keeps its SA at rest. tells: the other side does not know yet. False: it is not
 * in a state to; the caller closes it. */
bool wake_keep(struct peer *peer, struct ike_sa *sa, bool tells, uint64_t now_us);
/* It rests no more, whatever becomes of it. */
void wake_leave(struct peer *peer);
/* Wipes it, without a word. */
void wake_forget(struct peer *peer);
/* The SA is awake, but no way to the peer is known yet: its events have to wait. */
bool wake_holds(const struct peer *peer, const struct ike_sa *sa);

/* Caller. A call begins: asks at the peer's last address. */
void wake_begin(struct call *call, uint64_t now_us);
/* What CALL shall carry, beside the first message of a new SA. */
void wake_carry(const struct call *call, struct notify_ike *ike);
/* What ANSWER has brought; its key is known and trusted by now. True: the SA is awake, and the
 * tunnel begins on the first way that opens. False: as at first contact. */
bool wake_finish(struct call *call, const struct notify_ike *ike, uint64_t now_us);
/* Called host: what CALL has brought; the caller has been judged by now. True: ret_ike has the
 * answer. */
bool wake_respond(struct call *call, const struct notify_ike *ike, struct notify_ike *ret_ike,
                  uint64_t now_us);
/* Either: a relay channel, or a path that punching has nominated. True: the tunnel begins there,
 * and the call may be over. */
bool wake_on_way(struct call *call, const struct endpoint *way, uint64_t now_us);
/* The attempt ends: what is awake and has got nowhere is no good for another one. */
void wake_drop(struct call *call);
/* A call that fails before its CALL is sent: is the peer's last address still to answer? Then until
 * when; else 0. */
uint64_t wake_pending_us(const struct call *call, uint64_t now_us);
/* What a failure has to add: "", or that the last address is of no use either. */
const char *wake_blame(const struct call *call);

/* An IKE message from the network, before it is taken: who may wake an SA, and from where. */
bool wake_lets_in(const struct ike_sa *sa, const uint8_t *message, size_t len,
                  const struct endpoint *from, uint64_t now_us);
/* One that was taken; drive the SA then. */
void wake_on_ike(struct ike_sa *sa, const struct endpoint *from, uint64_t now_us);
/* The tunnel is being made: what else its data may come from. */
void wake_listen(struct peer *peer);
/* SAs that are ready to be woken. */
size_t wake_count(const struct host *host);

#endif
