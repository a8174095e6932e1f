/* Work on all peers, where there may be thousands: a few at a time, so that nothing else that the
 * control thread has to do waits for long. Peers that go meanwhile are passed over, those that come
 * are not visited. */
#ifndef HOST_SWEEP_H
#define HOST_SWEEP_H

#include "host/task.h"
#include <stdbool.h>

#define SWEEP_COUNT 32 /* peers at a time */

struct host;
struct peer;

/* Embedded by its owner. Zeroed: not under way. */
struct sweep {
    struct task task;
    struct host *host;
    struct sweep *others; /* that are under way */
    struct peer *next;
    bool is_under_way, is_running;
    void (*visit)(struct sweep *sweep, struct peer *peer, uint64_t now_us);
    /* May be NULL. After some have been visited; false: not now, it has set the task for later.
     * Once it is over, the sweep may be freed here. */
    bool (*pause)(struct sweep *sweep, bool is_over, uint64_t now_us);
};

/* Begins, or begins anew; the first ones are visited before this returns, unless it is a visit that
 * calls. */
void sweep_start(struct host *host, struct sweep *sweep, uint64_t now_us);
/* It ends here. One that is not under way is fine. */
void sweep_stop(struct sweep *sweep);
/* The peer is about to go. */
void sweeps_forget(struct host *host, const struct peer *peer);

#endif
