/* The connector's side of all login sessions: who is logged in under which name, for how long, and
 * the calls between them. Engine: the owner runs TCP, IKE, DNS and the host database, drains
 * registry_next_event after every call and arms a timer at registry_deadline.
 * Memory of a logged-in host: registry_host_size(). */
#ifndef LOGIN_REGISTRY_H
#define LOGIN_REGISTRY_H

#include "base/deadline.h"
#include "wire/notify.h"

#define REGISTRY_LOGIN_WAIT_US (30 * SECOND_US) /* a session must log in within */
#define REGISTRY_CALL_WAIT_US  (30 * SECOND_US) /* unanswered calls are forgotten after */
#define REGISTRY_LEASE_MIN_S   30
#define REGISTRY_LEASE_S       120
#define REGISTRY_SESSIONS_MAX  2000000 /* default; memory is what bounds it */
#define REGISTRY_PENDING_MAX   65536   /* calls without an answer, all hosts */
#define REGISTRY_PENDING_STRANGERS                                                                 \
    (REGISTRY_PENDING_MAX / 4 * 3)  /* … of callers without a static name in the zone */
#define REGISTRY_PENDING_SESSION 64 /* … of one caller */
/* Token buckets: burst, and one more each interval. A called host has one for the hosts with static
 * names of its zone, and one for all others, whose keys cost nothing. */
#define REGISTRY_CALLER_BURST 20
#define REGISTRY_CALLER_US    (500 * MS_US) /* one caller: 2 calls a second */
#define REGISTRY_CALLED_BURST 60
#define REGISTRY_CALLED_US    (100 * MS_US) /* one called host: 10 calls a second */
#define REGISTRY_LOOKUP_BURST 60
#define REGISTRY_LOOKUP_US    (200 * MS_US)
#define REGISTRY_LOGIN_BURST  20
#define REGISTRY_LOGIN_US     (2 * SECOND_US) /* LOGINs and VOUCHs in one session */
/* One live session of a key pushing out another: a host that goes from network to network does so
 * each time, as nobody has closed its last connection. */
#define REGISTRY_TAKEOVER_BURST 60
#define REGISTRY_TAKEOVER_US    (2 * SECOND_US)

/* A row of the host database. */
struct registry_static {
    char name[NAME_TEXT_CAP];
    uint8_t key[NOTIFY_KEY_LEN];
    bool has_mac;
    uint8_t mac[NOTIFY_MAC_LEN];
};

/* Looks a name up in the host database: ERR_OK, ERR_NOT_FOUND, or an error (then the name is
 * refused). */
typedef int registry_find_static(void *context, const char *name, struct registry_static *ret_row);

/* Has the STUN server seen a host at this endpoint of late, and given it this proof? */
typedef bool registry_has_seen(void *context, const struct endpoint *endpoint, const void *proof,
                               size_t len);

/* Vouches for a host of the zone, by the connector's key. */
typedef int registry_vouch(void *context, const char *name, const uint8_t key[NOTIFY_KEY_LEN],
                           struct notify_vouched *ret_vouched);

struct registry_config {
    char zone[NAME_TEXT_CAP];
    bool is_strict;        /* only keys of the host database get names */
    bool has_dynamic;      /* others get dynamic names */
    uint16_t lease_s;      /* the longest; 0: REGISTRY_LEASE_S */
    uint16_t stun_port;    /* told to hosts */
    uint32_t sessions_max; /* 0: REGISTRY_SESSIONS_MAX */
    bool has_relay;        /* calls that want it get a REGISTRY_RELAY */
    struct prefix pool;    /* refused as candidates, beside 0.0.0.0/8; family ADDRESS_NONE: none */
    registry_find_static *find_static;
    registry_has_seen *has_seen; /* NULL: it gives no proofs */
    registry_vouch *vouch;       /* NULL: it vouches for nobody */
    void *context;
};

enum registry_event_type {
    REGISTRY_SEND,     /* send this notify; those of one drain may share an exchange, in order */
    REGISTRY_CLOSE,    /* close the session, after what was sent before; it is forgotten already */
    REGISTRY_RELAY,    /* a call was answered that may need a relay channel */
    REGISTRY_PUBLISH,  /* the name's records exist from now on (or have changed) */
    REGISTRY_WITHDRAW, /* … no longer */
};

enum registry_close {
    REGISTRY_REPLACED = 1, /* newer login of the same key */
    REGISTRY_DENIED,       /* login refused */
    REGISTRY_EXPIRED,      /* silent for its lease, or never logged in */
    REGISTRY_EVICTED,      /* taken out by the administrator, or its name went to another key */
};

struct registry_event {
    enum registry_event_type type;
    uint64_t session; /* SEND, CLOSE; RELAY: the caller's */
    union {
        struct {
            uint16_t type; /* enum notify_type */
            uint16_t len;
            const uint8_t *data;
        } send;
        enum registry_close close;
        struct {
            uint64_t number; /* of the call at the caller */
            uint64_t called; /* session of the called host */
            uint64_t called_number;
        } relay; /* RELAY */
        struct {
            const char *name;
            uint8_t key[NOTIFY_KEY_LEN]; /* PUBLISH */
            bool is_static;              /* PUBLISH */
        } record;                        /* PUBLISH, WITHDRAW */
    };
};

struct registry_counters {
    uint64_t logins, refused, replaced, calls, answers, lookups, vouchers;
    uint64_t invalid; /* notifies that don't parse or don't belong */
    uint64_t limited; /* by a rate limit or cap */
    uint64_t forged;  /* answers to calls of others, names of others */
    uint64_t absent;  /* calls to names that are not logged in */
    uint64_t expired; /* calls without an answer */
    uint64_t dropped; /* out of memory */
};

struct registry;

MUST_USE int registry_new(const struct registry_config *config, struct registry **ret_registry);
void registry_free(struct registry *registry);

/* A host's IKE SA is up; key: what it proved. session: any number not in use. ERR_LIMIT: too many.
 */
MUST_USE int registry_session_open(struct registry *registry, uint64_t session,
                                   const uint8_t key[NOTIFY_KEY_LEN], uint64_t now_us);
/* Where its connection comes from, as far as that is known for sure: the address that candidates
 * are marked as observed by. Unknown sessions are ignored. */
void registry_session_observed(struct registry *registry, uint64_t session,
                               const struct address *address);
/* One notify from it. row: the host database's row of its key (of the name it wants, where the key
 * has several), NULL if there is none; where the look-up itself failed, close the session instead
 * of passing NULL. ERR_OK, or why it was ignored (it is counted); ERR_NOT_FOUND: no such session
 * (any more). */
MUST_USE int registry_notify(struct registry *registry, uint64_t session, uint16_t type,
                             const void *data, size_t len, const struct registry_static *row,
                             uint64_t now_us);
/* is_logout: IKE DELETE came, records go at once; else the session was lost and its name keeps the
 * lease. Unknown sessions are ignored. */
void registry_session_closed(struct registry *registry, uint64_t session, bool is_logout,
                             uint64_t now_us);
/* Something authentic came from it: extends the lease. */
void registry_touch(struct registry *registry, uint64_t session, uint64_t now_us);
/* Takes a name out at once, and closes its session: its row was removed or changed. */
void registry_evict(struct registry *registry, const char *name, uint64_t now_us);
/* Configuration reloaded; sessions stay. The zone may not change: ERR_STATE. */
MUST_USE int registry_set_config(struct registry *registry, const struct registry_config *config);

uint64_t registry_deadline(const struct registry *registry);
void registry_expire(struct registry *registry, uint64_t now_us);
/* NULL when there is none; borrowed until the next call of any function on this registry. */
const struct registry_event *registry_next_event(struct registry *registry);

struct registry_host_info {
    const char *name;
    const uint8_t *key;
    bool is_static;
    bool is_online;   /* has a session */
    uint64_t session; /* if is_online */
    uint64_t lease_end_us;
};
/* ERR_NOT_FOUND. Borrowed until the next call that changes anything. */
MUST_USE int registry_find(const struct registry *registry, const char *name,
                           struct registry_host_info *ret_info);
/* Walks all named hosts, in no order; cursor starts as NULL. False at the end. Nothing may change
 * meanwhile. */
bool registry_walk(const struct registry *registry, const void **cursor,
                   struct registry_host_info *ret_info);
size_t registry_session_count(const struct registry *registry);
size_t registry_name_count(const struct registry *registry);
const struct registry_counters *registry_counters(const struct registry *registry);
/* Bytes of one logged-in host's structs, without its name, the maps' and the heap's slots. */
size_t registry_host_size(void);

#endif
