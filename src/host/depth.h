/* How many NATs of our own side stand between this host and the public network: as far as openers
 * must get (see path/punch.h). */
#ifndef HOST_DEPTH_H
#define HOST_DEPTH_H

#include "host/task.h"
#include <stdbool.h>
#include <stdint.h>

struct address;
struct host;

#define DEPTH_MAX 3 /* a router at home behind another, behind the carrier's */

/* All zero is a good start. */
struct depth {
    bool is_measuring;
    bool was_measured;
    int fd; /* while measuring */
    uint64_t wait_us;
    struct task task;
    bool is_private[DEPTH_MAX]; /* this hop has answered from a private address */
};

/* Measures it on the way to this address, in the background, unless it is being measured. The
 * address should be a public one: the way to others says nothing, and is left alone. */
void depth_measure(struct host *host, const struct address *towards, uint64_t now_us);
/* As far as it is known by now; at least 1. */
unsigned depth_get(struct host *host);
/* Stops measuring. */
void depth_stop(struct host *host);

#endif
