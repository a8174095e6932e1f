/* Keys inside the call: the first exchange of IKE travels in CALL and ANSWER. Private to the files
 * of calls, but for what the way of IKE messages in and out needs. */
#ifndef HOST_CALL_CARRY_H
#define HOST_CALL_CARRY_H

#include "base/address.h"
#include "wire/notify.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct host;
struct ike_sa;

/* Caller: begins the keys, and writes what CALL shall carry; len 0: nothing. */
void call_carry_begin(struct call *call, struct notify_ike *ret_ike, uint64_t now_us);
/* Caller: what ANSWER has brought; its key is known and trusted by now. IKE_AUTH leaves for the
 * likeliest address (NULL: none) at once, and for others as they turn up. Where it brings nothing
 * of use, call->sa is NULL then. */
void call_carry_finish(struct call *call, const struct notify_ike *ike,
                       const struct endpoint *likeliest, uint64_t now_us);
/* Called host: what CALL has brought; the caller has been judged by now. Writes what ANSWER shall
 * carry. */
void call_carry_respond(struct call *call, const struct notify_ike *ike, struct notify_ike *ret_ike,
                        uint64_t now_us);
/* Forgets all of it, the half-open SA of a called host included. */
void call_carry_clear(struct call *call);

/* A message of sa, on its way out. True: it has gone the call's ways. False: as usual. */
bool call_carry_send(struct call *call, const struct ike_sa *sa, const uint8_t *message,
                     size_t len);
/* The caller's channel is there. */
void call_carry_on_relay(struct call *call);
/* Punching has found a path. True: the keys are under way, also that way now. */
bool call_carry_on_path(struct call *call, const struct endpoint *path);
/* No answer when it was due: once more. False: it has been sent again already, or there is nothing
 * to send. */
bool call_carry_try_again(struct call *call);
/* Does the call have a way to there? */
bool call_carry_is_way(const struct call *call, const struct endpoint *from);
/* A message from there, before it is taken. sa: that it claims to belong to, or NULL. One that
 * began in a call goes on only where the call has a way; one that the other host began elsewhere,
 * where it began, or there too. */
bool call_carry_lets_in(const struct ike_sa *sa, const struct endpoint *from);
/* The tunnel's data may come from there, too, as from the path before. */
void call_carry_listen(struct call *call, const struct endpoint *other);
/* The tunnel is up: where the other host was answered first, its data may come from, too, until the
 * caller has said which of the ways it is. */
void call_carry_on_tunnel(struct call *call, uint64_t now_us);
/* … if that goes on to be the relay: said now, as the call ends. */
void call_carry_settle(struct call *call, uint64_t now_us);
/* One that was taken: the SA is where its peer was heard first. */
void call_carry_on_ike(struct ike_sa *sa, const struct endpoint *from);

#endif
