/* The host daemon's control thread: everything that its parts share. One struct, made by bringup.c
 * and taken down by it; each part looks after its own members. Private to this folder. */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include "base/bucket.h"
#include "base/log.h"
#include "base/map.h"
#include "host/config.h"
#include "host/depth.h"
#include "host/keeper.h"
#include "host/met.h"
#include "host/nat.h"
#include "host/nat64.h"
#include "host/netcheck.h"
#include "host/sockets.h"
#include "host/sweep.h"
#include "host/task.h"
#include "host/vouch.h"
#include "ike/table.h"
#include "io/file.h"
#include "io/guard_filter.h"
#include "io/interface.h"
#include "io/monitor.h"
#include "io/netlink.h"
#include "io/tun.h"
#include "io/udp.h"
#include "io/watchdog.h"
#include "names/allow.h"
#include "names/pool.h"
#include "names/trust.h"
#include "path/candidate.h"
#include "path/punch_table.h"
#include "tunnel/tunnel.h"
#include <uv.h>

#define HOST_MARK            0xDE7EC /* SO_MARK of the daemon's own sockets: exempt from DNS capture */
#define HOST_TABLE           32589 /* routing table of the pool */
#define HOST_RULE_PREFERENCE 10    /* and 11: before every other table, behind the local one */
#define HOST_LOCALS_MAX      16
#define HOST_PEERS_MAX       16384
#define HOST_REFUSED_MAX     32
/* Calls at once: all of them, those to other zones, to one other zone, and those that come in. What
 * strangers can cause leaves room for calls to the own zone. */
#define HOST_CALLS_MAX         64
#define HOST_CALLS_FOREIGN_MAX 24
#define HOST_CALLS_ZONE_MAX    16
#define HOST_CALLS_IN_MAX      24

struct call;
struct claim;
struct handoff;
struct plain;
struct ikev1_host;
struct kernel_esp;
struct ping;
struct relay;
struct control;
struct datapath;
struct threads;
struct exporter;
struct policy;
struct portmap;
struct resolver;
struct session;
struct streams;

/* A caller that was refused; for `detec status`. */
struct refused_caller {
    char name[NAME_TEXT_CAP];
    struct public_key key;
    char reason[96];
    uint64_t count;
    uint64_t last_us;
};

/* A name whose zone has no connector, although it answers 0.0.0.1. */
#define NO_CONNECTOR_MAX 32
struct no_connector {
    char name[NAME_TEXT_CAP];
    uint64_t until_us;
};

struct host {
    struct host_config config;
    struct identity *identity;
    char name[NAME_TEXT_CAP]; /* as the connector gave it, or the configured one until then */
    bool is_static;
    uint64_t started_us;
    uint8_t seed[16]; /* of hash maps */

    uv_loop_t loop;
    struct task_queue tasks;
    uv_signal_t signals[3];
    bool is_stopping;
    bool is_leaving; /* the sessions, too */
    int error;       /* why it stops, unless it was told to */
    struct task stop_task;
    uint64_t stop_us; /* not later than this */

    /* the machine */
    struct netlink netlink;
    struct guard guard;
    struct guard_filter guard_filter;
    struct task guard_task;
    struct task move_task;      /* addresses or routes have changed */
    uint64_t sessions_asked_us; /* when silence last made us ask connectors */
    uint64_t guard_restored;    /* how often somebody had taken its rules away */
    struct monitor monitor;
    uv_poll_t monitor_poll;
    struct tun tun;
    struct address own;      /* own pool address */
    struct address own_ipv6; /* its twin (names/pool_ipv6); family ADDRESS_NONE: no IPv6 inside */
    bool has_ipv6_inside;    /* the interface has taken it */
    struct udp udp;
    struct sockets sockets; /* beside that one */
    struct nat *nat;        /* NULL: nothing known yet */
    uint32_t view;          /* another one whenever others can be told more of it */
    struct task news_task;
    struct address locals[HOST_LOCALS_MAX]; /* of the other interfaces */
    struct prefix subnets[HOST_LOCALS_MAX]; /* that each of them lies in */
    size_t local_count;
    struct depth depth;      /* NATs of our own side */
    struct nat64 nat64;      /* the way to IPv4 from a network without it */
    struct portmap *portmap; /* NULL: switched off */
    struct policy *policy;
    struct task release_task; /* of connections that peers may not have any more */
    struct resolver *resolver;
    struct watchdog watchdog; /* of the DNS capture */
    struct datapath *datapath;
    struct threads *threads;
    uint64_t kept_round;                    /* state_keep(): of POOL_ROUND_S */
    uint64_t keep_us;                       /* … and not before */
    struct file_mark pool_file, trust_file; /* as they were written last */
    struct control *control;
    struct ping *pings;
    struct netcheck_state netcheck;
    struct keeper keeper;
    struct exporter *export;  /* keys, for debugging; NULL: off */
    struct ike_sa *pumped_sa; /* being driven further up */

    /* engines */
    struct tunnel_table *tunnels;
    struct ike_table *ike;     /* between hosts */
    struct ike_table *ike_tcp; /* with connectors */
    size_t stream_count;       /* connections not yet closed */
    struct task ike_task;
    struct punch_table *punches;
    struct task punch_task;
    struct plain *plain;       /* plain IPsec peers; NULL: none */
    struct streams *streams;   /* TCP with those; NULL: none */
    struct kernel_esp *kernel; /* ESP there */
    struct ikev1_host *ikev1;  /* those with ike-version = 1; NULL: none */
    struct pool *pool;
    struct trust *trust;
    struct allow allow;
    struct met_state met;

    struct session *sessions;
    uint64_t session_next;  /* ids */
    uint64_t busy_until_us; /* see sessions_on_activity() */
    struct relay *relays;
    size_t relay_count;
    struct map peers_by_name;
    struct map peers_by_address;
    struct peer *peers;    /* the newest first */
    size_t tunnel_count;   /* of them */
    struct sweep *sweeps;  /* under way */
    struct sweep closing;  /* peers_close() */
    struct sweep allowing; /* [allow] has been reloaded */
    struct sweep moving;   /* our addresses or routes have changed */
    bool tells_all_moved;  /* … or something of which only others know */
    struct peer *resting;  /* host/wake.h */
    size_t resting_count;
    struct map calls_by_number;
    size_t call_count;
    struct claim *claims;
    struct vouch vouch;
    struct bucket vouchers; /* that callers show */
    struct no_connector no_connector[NO_CONNECTOR_MAX];
    size_t no_connector_next;
    size_t judge_count;       /* DNS answers held back */
    uint64_t rewritten_count; /* DNS answers that got a peer address */
    struct refused_caller refused[HOST_REFUSED_MAX];
    size_t refused_count;
    uint64_t stray_stun_count;     /* STUN that belongs to nothing of ours */
    uint64_t stray_ike_count;      /* IKE messages that were ignored */
    struct log_limit stranger_log; /* for lines that strangers can cause */
    struct log_limit stray_log;    /* for lines that local programs can cause */
};

static inline uv_loop_t *host_loop(struct host *host)
{
    return &host->loop;
}

/* Sends one datagram from the tunnel socket, on a relay channel or a TCP connection; failures are
 * the network's and show as silence. */
void host_send(struct host *host, const struct endpoint *to, const void *data, size_t len);
/* The same with the non-ESP marker in front (RFC 3948, 2.2). */
void host_send_ike(struct host *host, const struct endpoint *to, const void *message, size_t len);
/* One that opens our own NATs and goes no further (see path/punch.h). */
void host_send_opener(struct host *host, const struct endpoint *to, const void *data, size_t len);
/* Sends and reports whatever the IKE SAs between hosts have to, after something was asked of one.
 */
void host_pump_ike(struct host *host, struct ike_sa *sa, uint64_t now_us);
/* Answers a local packet with ICMP host unreachable. */
void host_refuse_packet(struct host *host, const uint8_t *data, size_t len);
/* An IKE message of another host, marker stripped. */
void host_take_ike(struct host *host, const uint8_t *message, size_t len,
                   const struct endpoint *from, uint64_t now_us);
/* Takes what the data path has handed over: all that is there now, or so many at most. */
void host_take_handoff(struct host *host, struct handoff *handoff);
void host_take_handoff_some(struct host *host, struct handoff *handoff, uint32_t count);
/* Own candidates as of now. */
void host_candidates(struct host *host, struct candidate_list *ret_list);
/* Notes a caller that was refused, and logs it. */
void host_note_refused(struct host *host, const char *name, const struct public_key *key,
                       const char *reason, uint64_t now_us);

/* State files: written at once, because what they hold must not be told before. */
MUST_USE int state_load(struct host *host);
MUST_USE int state_save_pool(struct host *host);
MUST_USE int state_save_trust(struct host *host);
/* The same where nothing is new but this name's address, or its key: the file is not written anew
 * for it. */
MUST_USE int state_save_address(struct host *host, const char *name);
MUST_USE int state_save_pin(struct host *host, enum trust_kind kind, const char *name);
MUST_USE int state_save_met(struct host *host);
/* Now and then: when the addresses were last in use, so that after a crash as well none of them is
 * another name's within a day. */
void state_keep(struct host *host);

/* What a peer may do here: [allow] for its name, into the kernel's policy for its address.
 * ERR_REFUSED if the policy cannot be set: then nothing gets in. */
MUST_USE int access_open(struct host *host, const char *name, bool is_static,
                         const struct address *peer);
void access_close(struct host *host, const struct address *peer);
/* Connections that peers may not have any more end now, and not in a moment. */
void access_release(struct host *host);
/* The same for the networks behind plain peers, and those of ours that they meet. */
MUST_USE int access_networks(struct host *host);
/* May this name call at all? */
bool access_may_call(const struct host *host, const char *name, bool is_static);

#endif
