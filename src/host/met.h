/* Meeting again without a connector, also after a restart of either daemon: the peers that this
 * host has had tunnels with are remembered in the state directory, with where they were and with
 * what proves to them that we know each other. A caller whose connector does not answer sends
 * IKE_SA_INIT with that proof to the peer's last addresses; the called host answers it if it is
 * right, if the key that is pinned for the name is still the one of then, and if [allow] lets the
 * name in. Keys are negotiated as at first contact. Whoever has no proof gets no answer. */
#ifndef HOST_MET_H
#define HOST_MET_H

#include "base/address.h"
#include "host/task.h"
#include "names/met_table.h"
#include <stdbool.h>

struct call;
struct host;
struct ike_profile;
struct ike_sa;
struct peer;

/* The last addresses of so many peers, of those met within a day, are kept open from our side while
 * our connector is away: they may want to call us. */
#define MET_OPEN_PEERS 16
#define MET_OPEN_AGE_S ((uint64_t)86400)

/* Of the daemon. Zeroed is right. */
struct met_state {
    struct met_table table;
    uint64_t number; /* the last one sent */
    struct task save_task, open_task;
};

/* The file has been read. */
void met_start(struct host *host, uint64_t now_us);
/* Writes what is not written yet, and wipes. */
void met_done(struct host *host);

/* The call's keys have been negotiated, and the peer is who it should be. */
void met_on_established(struct call *call, const struct ike_sa *sa, uint64_t now_us);
/* The peer's tunnel leads along peer->path now. */
void met_on_path(struct peer *peer, uint64_t now_us);

/* Caller. An attempt begins, and no session leads to the connector yet: to the last addresses. */
void met_begin(struct call *call, uint64_t now_us);
/* The connector has taken over, or the attempt ends. */
void met_drop(struct call *call);
/* Until when the last addresses may still answer; 0: they will not. */
uint64_t met_pending_us(const struct call *call, uint64_t now_us);
/* Does the peer's name lead to addresses where it may be, whatever DNS says? */
bool met_knows(const struct host *host, const char *name);
/* What a failure has to add; "" or a phrase. */
const char *met_blame(const struct call *call);
/* A message of sa on its way out. True: it has gone to all of the last addresses. */
bool met_send(const struct call *call, const struct ike_sa *sa, const uint8_t *message, size_t len);
/* A message from there, before it is taken: answers come from where something was sent. */
bool met_lets_in(const struct ike_sa *sa, const struct endpoint *from);
/* One that was taken; drive the SA then. */
void met_on_ike(struct ike_sa *sa, const struct endpoint *from);
/* Keys are there, of the SA that was begun so: it is the call's from now on. False: it is not one.
 */
bool met_take(struct call *call, struct ike_sa *sa, uint64_t now_us);
/* The SA is gone. True: it was one of these. */
bool met_on_closed(struct call *call, const struct ike_sa *sa);

/* Called host. The profile for an IKE_SA_INIT of somebody who proves to be an acquaintance that may
 * call, with a call for it; NULL: it gets no answer. */
struct ike_profile *met_responder_profile(struct host *host, const uint8_t *message, size_t len,
                                          const struct endpoint *from, uint64_t now_us,
                                          struct peer **ret_peer);

#endif
