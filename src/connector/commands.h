/* What the requests of the control socket do. */
#ifndef CONNECTOR_COMMANDS_H
#define CONNECTOR_COMMANDS_H

#include <jansson.h>

#include "connector/connector.h"

/* Returns the answer, one object with "done"; NULL without memory. */
json_t *commands_run(struct connector *connector, const json_t *request);
/* The host database may have changed: hosts that are logged in under a name that their key no
 * longer has, or under a dynamic one although it has a static one now, are sent away; they come
 * back at once. */
void commands_recheck_hosts(struct connector *connector, uint64_t now_us);

#endif
