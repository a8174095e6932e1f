/* How the connector's hosts are shown. */
#ifndef CLI_HOSTS_H
#define CLI_HOSTS_H

#include <jansson.h>

#include "cli/output.h"

/* The "hosts" of a host-list answer. */
MUST_USE int hosts_print(struct output *output, const json_t *hosts);

#endif
