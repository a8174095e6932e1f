/* The host's own DNS on its way: queries that the capture redirects here are passed on to the
 * server that the application meant, and the answers are judged (judge.h) on their way back. */
#ifndef HOST_RESOLVER_H
#define HOST_RESOLVER_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

struct host;
struct resolver;

struct resolver_status {
    bool is_active;
    uint64_t queries;
    const char *error; /* NULL if none */
};

/* Opens the listeners. Nothing is captured yet. */
MUST_USE int resolver_new(struct host *host, struct resolver **ret_resolver);
/* Begins to capture: all else must be ready. */
MUST_USE int resolver_start(struct resolver *resolver);
/* Stops capturing and lets go of queries under way; the loop must run once more before the host's
 * memory goes. NULL is fine. */
void resolver_free(struct resolver *resolver);
void resolver_get_status(const struct resolver *resolver, struct resolver_status *ret_status);

#endif
