/* What client.c (the session) and client_ask.c (what is asked in it) share. For this folder alone.
 */
#ifndef LOGIN_CLIENT_INTERNAL_H
#define LOGIN_CLIENT_INTERNAL_H

#include "base/map.h"
#include "login/client.h"

struct event_node {
    struct event_node *next;
    struct login_event event;
    uint8_t data[]; /* of LOGIN_SEND */
};

/* A notify that waits for a session. */
struct waiting {
    struct waiting *next;
    uint64_t number;
    uint64_t subject; /* the number of the call or look-up */
    uint64_t until_us;
    uint16_t type;
    uint16_t len;
    uint8_t data[];
};

struct login_client {
    struct login_config config;
    enum login_state state;
    bool is_stopped;
    bool is_held;   /* the wait must not be cut short: refused or replaced */
    uint64_t at_us; /* end of what state waits for; LOGIN_UP: next keepalive */
    uint64_t up_since_us;
    uint64_t last_use_us; /* guests */
    unsigned failures;    /* in a row, without a stable session between */
    struct notify_name name;
    struct waiting *waiting, **waiting_end;
    size_t waiting_count;
    uint64_t waiting_last;   /* number */
    uint64_t config_version; /* never 0 */
    struct event_node *events, **events_end;
    struct event_node *current; /* the one the owner borrows */
};

/* A LOGIN_SEND. ERR_NOMEM. */
MUST_USE int login_client_emit_send(struct login_client *client, uint16_t type, const uint8_t *data,
                                    size_t len);
/* From any state without a connection: a LOGIN_CONNECT. */
void login_client_connect(struct login_client *client, uint64_t now_us);
/* Takes out what the link leads to, and wipes it. */
void login_client_drop_waiting(struct login_client *client, struct waiting **link);

#endif
