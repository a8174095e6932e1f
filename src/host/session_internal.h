/* What session.c (login, STUN), session_stream.c (carrier, IKE) and dial.c (the race of carriers)
 * share. */
#ifndef HOST_SESSION_INTERNAL_H
#define HOST_SESSION_INTERNAL_H

#include "host/dial.h"
#include "host/finder.h"
#include "host/host.h"
#include "host/session.h"
#include "host/session_stun.h"

struct session {
    struct session *next;
    struct host *host;
    uint64_t id; /* never used again */
    char zone[NAME_TEXT_CAP];
    bool is_own;
    bool is_configured; /* the connector's address is from the configuration, not from DNS */
    char found_by[NAME_TEXT_CAP];                 /* the host's name that led to a foreign zone */
    struct endpoint found[FINDER_CONNECTORS_MAX]; /* fresh from DNS, for the next connection */
    size_t found_count;
    bool was_up;
    bool is_pumping;
    struct login_client *login;
    struct task task;
    struct endpoint connector; /* the last one known; port 0: none */
    bool has_dns_key;
    struct public_key dns_key;
    struct finder *finder;
    struct dial *dial;
    struct carrier *carrier; /* the one that IKE answers on; NULL: none */
    struct ike_profile *profile;
    struct ike_sa *sa;
    struct ike_resumption *resumption; /* to log in by next time; NULL: in full */
    bool is_resumption_shown;          /* to who may be the connector, at least once */
    struct login_early early;          /* what went with it */
    /* session_seek.c */
    bool is_seeking, has_sought; /* another connection, as this one does not answer */
    struct task seek_task;
    struct carrier *next_carrier; /* found so; until the log-in engine wants one */
    struct ike_sa *next_sa;
    struct session_stun stun;
    uint64_t since_us;
    char error[256];
};

void session_note_error(struct session *session, const char *format, ...) PRINTF_LIKE(2, 3);
/* The connection is dead, whatever TCP believes: a new one at once. */
void session_reconnect(struct session *session, const char *why, uint64_t now_us);
/* Does the connection, if there is one, leave from this address? */
bool session_is_bound_to(const struct session *session, const struct address *source);
/* One frame on a relay channel. ERR_STATE: no connection; ERR_LIMIT: it does not take more now. */
MUST_USE int session_write_frame(struct session *session, uint32_t channel, const uint8_t *data,
                                 size_t len);
/* Says goodbye, if there is somebody to say it to, and lets go of connection and SA. */
void session_disconnect(struct session *session);
/* Sends what the SA has to and takes its events. True if there were any. */
bool session_drive_sa(struct session *session, uint64_t now_us);
/* Lets go of the connection alone, without a word. */
void session_let_go(struct session *session);

/* Begins the race for a connection: where it was, and where DNS says. */
void session_search(struct session *session, uint64_t now_us);

/* Looks whether the connection answers; tries others if it does not. After whatever may have
 * changed that. */
void session_seek_watch(struct session *session, uint64_t now_us);
/* Gives up looking for others. */
void session_seek_stop(struct session *session);
/* The race was lost: the old connection may still answer. */
void session_seek_lost(struct session *session);
/* Another one has answered, and takes the place of the old one. Consumes carrier and SA. */
void session_seek_take(struct session *session, struct carrier *carrier, struct ike_sa *sa,
                       struct login_early early, uint64_t now_us);
/* The log-in engine wants a connection. True: that one is it now. */
bool session_seek_adopt(struct session *session);
/* … or it is of no use any more. */
void session_seek_drop(struct session *session);

/* For dial.c. Is the connector's key known from before? */
bool session_is_pinned(const struct session *session);
/* Does the configuration give the connector's address, so that its name is not known? */
bool session_is_addressed(const struct session *session);
/* An IKE SA for one more connection; *ret_early: what goes with it. */
MUST_USE int session_make_sa(struct session *session, const struct endpoint *remote,
                             uint64_t now_us, struct ike_sa **ret_sa,
                             struct login_early *ret_early);
/* … and what has come to wait since then, as long as nothing has been answered on it. */
void session_add_early(struct session *session, struct ike_sa *sa, struct login_early *early,
                       uint64_t now_us);
/* IKE answers there: takes carrier and SA. connector: its address, or NULL where only a proxy knows
 * it. */
void session_on_answered(struct session *session, struct carrier *carrier, struct ike_sa *sa,
                         struct login_early early, const struct endpoint *connector,
                         uint64_t now_us);
/* … but nothing has followed. */
void session_on_unproven(struct session *session, uint64_t now_us);
/* IKE answers nowhere. */
void session_on_unreachable(struct session *session, uint64_t now_us);

#endif
