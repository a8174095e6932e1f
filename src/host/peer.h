/* Peers: the other hosts that this one has a tunnel with, or is getting one to. Ties name, peer
 * address, key, call, IKE SA and tunnel of one host together. A peer without any of them is
 * forgotten; its address stays its own in the pool, and its key stays pinned. */
#ifndef HOST_PEER_H
#define HOST_PEER_H

#include "base/map.h"
#include "base/text.h"
#include "crypto/identity.h"
#include "host/stage.h"
#include "host/task.h"
#include "ike/sa.h"
#include "path/keepalive.h"
#include "path/mtu_steps.h"
#include "path/pmtu.h"

struct call;
struct host;
struct plain_peer;
struct tunnel;

/* Someone who waits for the call of a peer: `detec call`. Embedded by the waiter. */
struct call_watcher {
    struct call_watcher *next;
    void (*step)(struct call_watcher *watcher, const char *step, uint64_t took_us,
                 const char *detail);
    /* Once, and the watcher is off the list then. failed_step is NULL when the tunnel is up. */
    void (*done)(struct call_watcher *watcher, const char *failed_step, const char *why,
                 const char *hint);
};

struct peer {
    struct map_node by_name;
    struct map_node by_address;
    struct peer *next, **link; /* host->peers: the newest first */
    struct ike_sa_list sas;    /* whose user it is */
    struct host *host;
    char name[NAME_TEXT_CAP];
    struct address address; /* in the pool */
    struct public_key key;
    bool has_key;
    bool is_static;        /* its connector says that the name is bound in its database */
    bool is_caller;        /* it called us */
    struct tunnel *tunnel; /* NULL while there is none */
    bool is_closing;       /* the tunnel goes as soon as its close command is on the way */
    struct ike_sa *sa;     /* the one the tunnel lives by */
    struct ike_sa *rest;   /* of a tunnel that was closed, at rest (host/wake.h) */
    struct peer *rest_next, **rest_link; /* host->resting: the newest first */
    bool rest_way;                       /* it wakes, and the way to the peer is known */
    struct endpoint rest_also;           /* where its data may come from, beside that */
    struct endpoint path;
    struct call *call;
    struct plain_peer *plain;     /* it is one of host/plain.h; NULL: a Detec host */
    struct kernel_tunnel *kernel; /* ESP in the kernel (host/kernel_esp.h); NULL: not there */
    const char *kernel_why;       /* not; NULL: it is */
    bool is_kernel_refused;       /* it would not send: not with this tunnel again */
    bool is_kernel_lost; /* it was, until its path changed or it refused: new keys are due */
    struct stage stage;
    struct call_watcher *watchers;
    struct keepalive keepalive;
    struct pmtu pmtu;       /* of the path; path_probe.h */
    struct mtu_steps steps; /* the same where the peer is a plain one */
    struct task probe_task;
    uint64_t upgrade_us;      /* when a relayed tunnel next looks for a direct path */
    uint64_t upgrade_wait_us; /* and how long after that */
    char relay_why[160];      /* why it is relayed */
    struct task task;         /* keepalive, idle close, liveness */
    uint64_t up_since_us;
    uint64_t activity_us;      /* last time that data moved, as the last check saw it */
    uint64_t activity_packets; /* counters at that time */
    uint64_t held_until_us;    /* after a failed call: packets are refused at once until then */
    uint64_t keepalive_us;     /* when the last one was sent */
    uint64_t keys_us;          /* since when the newest child is there */
    struct address source;     /* of our datagrams to it, by the routes as they were */
    uint64_t moved_us;         /* when our own side last moved; 0: never */
    struct endpoint
        fallback;       /* a relay channel that may still be open; family ADDRESS_NONE: none */
    uint64_t lost_us;   /* since when the path is taken for dead; 0: it is not */
    bool is_path_gone;  /* it was a relay channel, and that is closed */
    uint64_t direct_us; /* when the path changed from a relay's to a direct one; 0: not */
    uint64_t asked_received_us; /* the last data heard before it was asked whether it lives */
    char last_error[160];
};

/* NULL if there is none. */
struct peer *peer_find_by_name(struct host *host, const char *name);
struct peer *peer_find_by_address(struct host *host, const struct address *address);
/* Finds or makes it, with its address from the pool (persisted before it is given out). ERR_LIMIT:
 * too many peers, ERR_FULL: the pool is exhausted, ERR_IO: state cannot be written. */
MUST_USE int peer_get(struct host *host, const char *name, struct peer **ret_peer);
/* Forgets the peer, a little later, if nothing holds it then. */
void peer_release(struct peer *peer);
/* The peer is the user of this SA from now on. */
void peer_take_sa(struct peer *peer, struct ike_sa *sa);
/* Frees all, without telling anyone. */
void peers_free(struct host *host);
/* Says goodbye to all (SPUT close, IKE DELETE), a few at a time: over once host->closing is. */
void peers_close(struct host *host, uint64_t now_us);

/* Makes and configures the tunnel from a new child (IKE_EVENT_CHILD_READY), or adds it to the one
 * there. Takes over sa as the peer's own where it is not yet. */
MUST_USE int peer_install_child(struct peer *peer, struct ike_sa *sa,
                                const struct ike_event_child_ready *child, uint64_t now_us);
/* The tunnel itself goes, and nothing else happens. */
void peer_drop_tunnel(struct peer *peer);
/* The tunnel goes away; the next packet may start a call. tell: say goodbye to the other side. */
void peer_down(struct peer *peer, const char *why, bool tell, uint64_t now_us);
/* The same where the peer may want it again: the SA is kept at rest. */
void peer_rest(struct peer *peer, const char *why, bool tell, uint64_t now_us);
/* The close command is on its way. */
void peer_on_close_sent(struct peer *peer, uint64_t now_us);
/* A local packet for the peer while there is no tunnel: waits (bounded), and starts a call. */
void peer_stage(struct peer *peer, const uint8_t *packet, size_t len, uint64_t now_us);
/* Gives what is staged to the data path, or answers it with ICMP host unreachable. */
void peer_stage_flush(struct peer *peer);
void peer_stage_refuse(struct peer *peer);
void peer_watch(struct peer *peer, struct call_watcher *watcher);
void peer_unwatch(struct peer *peer, struct call_watcher *watcher);
/* Tells them that a step has ended, and the end of it all; failed_step NULL: the tunnel is up. */
void peer_tell_step(struct peer *peer, const char *step, uint64_t took_us, const char *detail);
void peer_tell_done(struct peer *peer, const char *failed_step, const char *why, const char *hint);
/* Events of the IKE SAs between hosts; sa's user is its peer. Drives sa empty. */
void peer_pump_sa(struct host *host, struct ike_sa *sa, uint64_t now_us);

#endif
