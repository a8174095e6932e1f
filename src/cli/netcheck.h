/* How the result of `detec netcheck` is shown. */
#ifndef CLI_NETCHECK_H
#define CLI_NETCHECK_H

#include <jansson.h>

#include "cli/output.h"

/* NETCHECK of docs/control.md. */
void netcheck_print(struct output *output, const json_t *netcheck);

#endif
