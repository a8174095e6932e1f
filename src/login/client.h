/* The host's side of one login session with one connector: at the host's own zone, or as a guest at
 * the zone of a host it calls. Decides when to connect, log in, keep alive and try again, and
 * passes calls. Engine: TCP and IKE belong to the owner, who drains login_client_next_event after
 * every call and arms a timer at login_client_deadline. */
#ifndef LOGIN_CLIENT_H
#define LOGIN_CLIENT_H

#include "base/deadline.h"
#include "wire/notify.h"

#define LOGIN_CONNECT_TIMEOUT_US (20 * SECOND_US)  /* TCP and IKE */
#define LOGIN_NAME_TIMEOUT_US    (10 * SECOND_US)  /* LOGIN to NAME */
#define LOGIN_RETRY_FIRST_US     (1 * SECOND_US)   /* doubled, up to: */
#define LOGIN_RETRY_MAX_US       (60 * SECOND_US)  /* all with 50% jitter either way */
#define LOGIN_RETRY_QUICK_US     (300 * MS_US)     /* first retry after a session that had lasted */
#define LOGIN_RETRY_REFUSED_US   (300 * SECOND_US) /* an administrator has to act first */
#define LOGIN_RETRY_OFTEN_US     (5 * SECOND_US)   /* we have moved too often */
#define LOGIN_RETRY_REPLACED_US  (600 * SECOND_US) /* the least; jitter is added */
#define LOGIN_STABLE_US          (30 * SECOND_US) /* a session that lasted this long was a good one */
#define LOGIN_GUEST_IDLE_US      (300 * SECOND_US) /* guests leave after this long without a call */
#define LOGIN_CALL_WAIT_US       (30 * SECOND_US)  /* calls wait this long for a session */
#define LOGIN_WAITING_MAX        64                /* calls and look-ups waiting for a session */
#define LOGIN_LEASE_S            120               /* wanted by default */

struct login_config {
    bool is_guest;
    char name[NAME_TEXT_CAP]; /* wanted; "": whatever the key has */
    bool has_mac;
    uint8_t mac[NOTIFY_MAC_LEN];
    bool wants_relay; /* told with every call */
    uint16_t port;    /* of the tunnel socket */
    uint16_t lease_s; /* 0: LOGIN_LEASE_S */
    struct address addresses[NOTIFY_ADDRESS_MAX];
    size_t address_count;
};

enum login_event_type {
    LOGIN_CONNECT,   /* open TCP and IKE, then login_client_connected or _disconnected */
    LOGIN_SEND,      /* send this notify; those of one drain may share an exchange, in order */
    LOGIN_KEEPALIVE, /* send an empty INFORMATIONAL request */
    LOGIN_CLOSE,     /* close the connection; login_client_disconnected is not expected any more */
    LOGIN_DONE,      /* logged in (again), or accepted as a guest */
    LOGIN_REFUSED,   /* NAME with another result; a LOGIN_CLOSE follows */
    LOGIN_CALL,      /* another host calls */
    LOGIN_ANSWER,    /* to a call of ours; key is from the connector's word */
    LOGIN_RELAY,     /* a relay channel for a call in either direction, or its end */
    LOGIN_KEY,       /* answer to a look-up */
    LOGIN_VOUCHER,   /* … to login_client_vouch() */
    LOGIN_DOWN,      /* the session that was LOGIN_DONE is lost */
};

struct login_event {
    enum login_event_type type;
    union {
        struct {
            uint16_t type; /* enum notify_type */
            uint16_t len;
            const uint8_t *data;
        } send;
        struct notify_name name;       /* DONE, REFUSED */
        struct notify_call call;       /* CALL */
        struct notify_answer answer;   /* ANSWER */
        struct notify_relay relay;     /* RELAY */
        struct notify_key key;         /* KEY */
        struct notify_vouched vouched; /* VOUCHER */
        struct {
            uint64_t retry_us; /* wait until the next attempt; DEADLINE_NEVER: when needed */
        } down;                /* DOWN */
    };
};

enum login_end {
    LOGIN_END_LOST,    /* connection failed, closed or silent */
    LOGIN_END_REFUSED, /* IKE authentication failed: wrong key on either side */
};

enum login_state {
    LOGIN_WAITING,    /* for the next attempt */
    LOGIN_CONNECTING, /* TCP, IKE */
    LOGIN_NAMING,     /* LOGIN sent */
    LOGIN_UP,
    LOGIN_ASLEEP, /* a guest without a call, or stopped */
};

struct login_client;

/* A host's own session begins at once, a guest's with its first call. */
MUST_USE int login_client_new(const struct login_config *config, uint64_t now_us,
                              struct login_client **ret_client);
void login_client_free(struct login_client *client);

/* What went with the proof of our key, so that it need not be sent again. */
struct login_early {
    uint64_t waiting; /* notifies up to this one; 0: not even LOGIN */
    uint64_t config;
};
typedef int login_send(void *context, uint16_t type, const void *data, size_t len);
/* Sends LOGIN and what waits for a session before IKE is authenticated: for each connection that is
 * tried, and again when there is more. sent: what has gone on this one already, or zeros. Stops at
 * the first error of `send`. */
struct login_early login_client_send_early(struct login_client *client, struct login_early sent,
                                           login_send *send, void *context, uint64_t now_us);
/* IKE is authenticated; early: what the owner has sent on this very connection, or zeros. */
void login_client_connected(struct login_client *client, struct login_early early, uint64_t now_us);
/* One notify from the connector. ERR_OK, or why it was ignored (unknown type: ERR_UNSUPPORTED). */
MUST_USE int login_client_notify(struct login_client *client, uint16_t type, const void *data,
                                 size_t len, uint64_t now_us);
/* Not for a connection that LOGIN_CLOSE has closed. */
void login_client_disconnected(struct login_client *client, enum login_end end, uint64_t now_us);
/* The connector was heard: answers an exchange. Puts off the keepalive. */
void login_client_touch(struct login_client *client, uint64_t now_us);

/* Calls another host of the connector's zone, now or as soon as a session is up. ERR_LIMIT with too
 * many waiting, ERR_INVALID for what no parser would take. `own` may be ""; ike NULL: it carries no
 * IKE message; voucher NULL: none. */
MUST_USE int login_client_call(struct login_client *client, uint64_t number, const char *called,
                               const char *own, const struct credentials *credentials,
                               const struct candidate_list *candidates,
                               const struct notify_ike *ike, const struct notify_voucher *voucher,
                               uint64_t now_us);
/* Answers a LOGIN_CALL: accepts with credentials and candidates, or refuses with a result, a reason
 * and NULL for both. ike may be NULL. ERR_STATE when the session is down. */
MUST_USE int login_client_answer(struct login_client *client, uint64_t number,
                                 enum answer_result result, const struct credentials *credentials,
                                 const struct candidate_list *candidates, const char *reason,
                                 const struct notify_ike *ike, uint64_t now_us);
/* Asks for a host's key; as login_client_call. */
MUST_USE int login_client_lookup(struct login_client *client, uint64_t number, const char *name,
                                 uint64_t now_us);
/* Asks the own connector to vouch for this host. ERR_STATE: the session is not up, or a guest's. */
MUST_USE int login_client_vouch(struct login_client *client);
/* Calls and look-ups with this number that still wait for a session are not wanted any more. */
void login_client_withdraw(struct login_client *client, uint64_t number);
/* The session carries relayed datagrams: a guest stays. */
void login_client_use(struct login_client *client, uint64_t now_us);
/* Local addresses have changed: tells the connector; while waiting, tries again soon. */
void login_client_set_addresses(struct login_client *client, const struct address *addresses,
                                size_t count, uint64_t now_us);
/* Tries now instead of later: the network is back, or the user has accepted another key of the
 * connector's. Not after a LOGIN_REFUSED. */
void login_client_hurry(struct login_client *client, uint64_t now_us);
/* No more attempts; LOGIN_CLOSE if connected (the owner sends the IKE DELETE: that is the logout).
 */
void login_client_stop(struct login_client *client);

uint64_t login_client_deadline(const struct login_client *client);
void login_client_expire(struct login_client *client, uint64_t now_us);
/* NULL when there is none; borrowed until the next call of any function on this client. */
const struct login_event *login_client_next_event(struct login_client *client);

enum login_state login_client_state(const struct login_client *client);
/* What the connector said last: name, zone, lease, STUN port; NULL while not LOGIN_UP. */
const struct notify_name *login_client_name(const struct login_client *client);
/* An English phrase. */
const char *name_result_text(uint8_t result);
const char *login_state_text(enum login_state state);

#endif
