/* `detec netcheck`: runs NAT behaviour discovery (path/behaviour.h) from sockets of its own, one
 * run at a time, and remembers what came of it. */
#ifndef HOST_NETCHECK_H
#define HOST_NETCHECK_H

#include "host/control.h"
#include "path/behaviour.h"

#define NETCHECK_LIFETIME_MAX_US (300 * SECOND_US) /* the longest silence tried */

struct netcheck;

/* Of the daemon. Zeroed is right. */
struct netcheck_state {
    struct netcheck *running; /* NULL: none */
    bool has_result;
    struct behaviour_result result; /* of the last run that got through */
    uint64_t at_us;
};

/* Answers the client when the run has ended; or at once that it cannot be made. lifetime_us: look
 * for the lifetime of mappings up to there; 0: don't. */
void netcheck_start(struct control_client *client, uint64_t lifetime_us);
/* The same for ourselves: nobody is answered, what was found is remembered, and `detec netcheck`
 * takes precedence. */
void netcheck_start_background(struct host *host, uint64_t lifetime_us);
/* If such a one is running. */
void netcheck_cancel_background(struct host *host);
/* The last result, as long as the connector sees us at the same address as then; else NULL. */
const struct behaviour_result *netcheck_result(const struct host *host);

#endif
