/* What the registry's files share: sessions, hosts and calls. A session is a connection; a host is
 * a key that has a name (with or without a session: the name outlives it by the lease), or a guest.
 */
#ifndef LOGIN_REGISTRY_INTERNAL_H
#define LOGIN_REGISTRY_INTERNAL_H

#include "base/bucket.h"
#include "base/map.h"
#include "login/registry.h"

struct host;

struct session {
    struct map_node by_id;
    uint64_t id;
    struct host *host; /* NULL until logged in */
    struct deadline login_wait;
    uint64_t heard_us;
    struct bucket logins;
    struct bucket calls;
    struct bucket lookups;
    uint32_t pending;        /* own calls without an answer */
    struct address observed; /* where its connection comes from; family ADDRESS_NONE: unknown */
    uint8_t key[NOTIFY_KEY_LEN];
};

struct host {
    struct map_node by_key;
    struct map_node by_name; /* not guests */
    struct session *session; /* NULL: lost, the lease runs */
    char *name;              /* NULL: guest */
    struct deadline lease;   /* checked against session->heard_us when due */
    struct bucket takeovers;
    struct bucket called[2]; /* by whether the caller's name is a static one here */
    uint16_t lease_s;
    bool is_static;
    uint8_t key[NOTIFY_KEY_LEN];
};

struct call {
    struct map_node by_number;
    struct deadline forget;
    uint64_t number; /* ours, towards the called host */
    uint64_t caller_number;
    uint64_t caller; /* session ids: sessions may go while the call is pending */
    uint64_t called;
    bool wants_relay;
};

struct registry_node;

struct registry {
    struct registry_config config;
    struct map sessions; /* by id */
    struct map keys;     /* hosts by key and kind */
    struct map names;    /* hosts by name */
    struct map calls;    /* by own number */
    struct deadline_heap login_waits;
    struct deadline_heap leases;
    struct deadline_heap forgets;
    struct registry_counters counters;
    struct registry_node *events, **events_end;
    struct registry_node *current; /* the one the owner borrows */
};

/* registry_event.c: without memory an event is dropped and counted. */
void registry_emit_send(struct registry *registry, const struct session *session, uint16_t type,
                        const struct writer *w);
void registry_emit_close(struct registry *registry, const struct session *session,
                         enum registry_close reason);
void registry_emit_relay(struct registry *registry, const struct call *call);
void registry_emit_publish(struct registry *registry, const struct host *host);
void registry_emit_withdraw(struct registry *registry, const char *name);
void registry_events_free(struct registry *registry);

/* registry.c */
struct session *registry_find_session(const struct registry *registry, uint64_t id);
struct host *registry_find_host_name(const struct registry *registry, const char *name);
struct host *registry_find_host_key(const struct registry *registry, const uint8_t *key,
                                    bool is_guest);
/* Enters a host without name or session. NULL without memory. */
struct host *registry_host_new(struct registry *registry, const uint8_t *key);
/* Withdraws the old name if it differs. After ERR_NOMEM the host must be removed. */
MUST_USE int registry_host_set_name(struct registry *registry, struct host *host, const char *name);
/* Withdraws its name and frees it; its session, if any, stays without a host. */
void registry_host_remove(struct registry *registry, struct host *host);
/* Tells the owner to close it, and forgets it. Its host is left without a session. */
void registry_session_close(struct registry *registry, struct session *session,
                            enum registry_close reason);

/* registry_login.c */
int registry_take_login(struct registry *registry, struct session *session, const void *data,
                        size_t len, const struct registry_static *row, uint64_t now_us);
/* Tells a session why it has no name (any more). */
void registry_send_refusal(struct registry *registry, const struct session *session,
                           enum name_result result, const char *reason);

/* registry_call.c: session is logged in. */
int registry_take_call(struct registry *registry, struct session *session, const void *data,
                       size_t len, uint64_t now_us);
int registry_take_answer(struct registry *registry, struct session *session, const void *data,
                         size_t len);
int registry_take_lookup(struct registry *registry, struct session *session, const void *data,
                         size_t len, uint64_t now_us);
int registry_take_vouch(struct registry *registry, struct session *session, const void *data,
                        size_t len, uint64_t now_us);
void registry_call_forget(struct registry *registry, struct call *call);

#endif
