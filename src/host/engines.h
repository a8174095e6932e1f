/* The engines of a host and what they know from its state files. */
#ifndef HOST_ENGINES_H
#define HOST_ENGINES_H

#include "base/error.h"

struct host;
struct host_config;

/* host->config and host->identity are there already. After an error engines_close() as well. */
MUST_USE int engines_open(struct host *host);
/* Peers, calls and sessions are gone before (peers_free, sessions_free). */
void engines_close(struct host *host);
/* Replaces [allow] by that of config; ERR_INVALID and a log line where a rule makes no sense: the
 * one before stays. */
MUST_USE int engines_load_allow(struct host *host, const struct host_config *config);

#endif
