/* What detecd does as a whole. All log what went wrong. */
#ifndef HOST_BRINGUP_H
#define HOST_BRINGUP_H

#include "host/config.h"

/* Runs until a signal ends it; ERR_OK after an orderly end. export_file: see export.h; NULL: none.
 */
MUST_USE int host_run(const struct host_config *config, const char *export_file);
/* Checks what can be checked without touching the machine: the key file among it. */
MUST_USE int host_check(const struct host_config *config);
/* Sets up the leak guard, without any tunnel interface. */
MUST_USE int host_guard(const struct host_config *config);
/* Removes the leak guard. Refuses while a daemon answers on the control socket. */
MUST_USE int host_cleanup(const struct host_config *config);

#endif
