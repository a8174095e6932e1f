/* This host's own voucher: its connector's word for its name and key, for calls to other zones
 * (docs/protocol.md, Callers of other zones). Asked for when such a call is likely, so that it is
 * there when CALL leaves. What others show us is judged in claim.c. */
#ifndef HOST_VOUCH_H
#define HOST_VOUCH_H

#include "host/task.h"
#include "wire/notify.h"

struct host;
struct session;

struct vouch {
    struct task task;  /* those that wait go on without */
    bool is_asked;     /* not answered yet */
    bool is_unheard;   /* the last question was not answered in time */
    uint64_t until_us; /* of the voucher; 0: there is none */
    uint64_t renew_us; /* half of that is over */
    char name[NAME_TEXT_CAP];
    struct notify_voucher voucher;
};

#define VOUCH_WAIT_US (400 * MS_US) /* no call waits longer */

/* A call to another zone is likely: asks the own connector, unless there is a voucher that is good
 * for a while, or a question under way. */
void vouch_want(struct host *host, uint64_t now_us);
/* NULL: there is none. */
const struct notify_voucher *vouch_get(const struct host *host, uint64_t now_us);
/* True: there is none, but one is under way; call_on_voucher() follows. */
bool vouch_is_coming(const struct host *host, uint64_t now_us);
/* The connector's answer. */
void vouch_take(struct session *session, const struct notify_vouched *vouched, uint64_t now_us);
/* A new session with the own connector: what was asked in the last one is lost. */
void vouch_on_session_up(struct host *host, uint64_t now_us);

#endif
