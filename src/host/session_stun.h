/* A session's STUN clients: how its connector sees this host's tunnel port, over IPv4 and over
 * IPv6, where the connector has addresses of both. Inside of host/session*.c only. */
#ifndef HOST_SESSION_STUN_H
#define HOST_SESSION_STUN_H

#include "base/address.h"
#include "host/task.h"
#include "path/reflexive.h"

struct finder;
struct session;

enum stun_family { STUN_IPV4, STUN_IPV6, STUN_FAMILIES };

/* One way to be seen. */
struct stun_slot {
    struct endpoint server; /* of that family, also where a translator leads there; port 0: none */
    struct reflexive *reflexive;
    struct endpoint public; /* the last one seen; port 0: none */
    uint64_t began_us;      /* when it was first asked */
};

struct session_stun {
    struct stun_slot slots[STUN_FAMILIES];
    struct task task;
    struct finder *finder; /* of the connector's address in the other family */
    uint64_t asked_us;     /* when that was last looked for */
    uint64_t again_us;     /* when it is looked for again; DEADLINE_NEVER: by itself, no more */
    uint64_t again_wait_us;
    uint16_t port; /* 0: the one of the log-in */
};

void session_stun_init(struct session *session);
void session_stun_done(struct session *session);
/* Logged in: watches at the connector's address, and at the one of the other family that DNS gives.
 * port: of STUN, as the connector says; 0: the log-in's. */
void session_stun_start(struct session *session, uint16_t port, uint64_t now_us);
/* Our addresses or routes have changed, or somebody doubts: asks again now. */
void session_stun_refresh(struct session *session, uint64_t now_us);

#endif
