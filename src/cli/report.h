/* How the state of the host daemon is shown: what `detec status` and `peers` print. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <jansson.h>

#include "cli/output.h"

/* STATUS of docs/control.md. */
void report_print_status(struct output *output, const json_t *status);
/* [PEER, …]. */
MUST_USE int report_print_peers(struct output *output, const json_t *peers);

/* port_mapping of STATUS and NETCHECK, behind a label as wide as its neighbours'. Nothing where
 * none was asked for or none is needed. */
void report_print_port_mapping(struct output *output, const char *label, const json_t *mapping);

#endif
