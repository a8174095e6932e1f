/* The tunnel interface as it has to be, set up and kept so: up, with this host's own address, and
 * the only way to the pool. */
#ifndef HOST_INTERFACE_SETUP_H
#define HOST_INTERFACE_SETUP_H

#include "base/error.h"
#include <stdbool.h>

struct host;

/* Sets what is missing. ERR_IO etc., and the log says why. */
MUST_USE int interface_setup(struct host *host);
/* Is it as interface_setup leaves it? Also false if that cannot be told. */
bool interface_setup_is_intact(struct host *host);

#endif
