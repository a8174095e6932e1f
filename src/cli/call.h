/* How a call, a ping and their ends are shown while they happen. */
#ifndef CLI_CALL_H
#define CLI_CALL_H

#include <jansson.h>

#include "cli/output.h"

/* One {"step", "ms", "detail"} line. */
void call_print_step(struct output *output, const json_t *line);
/* The last line of a call. Returns an enum exit_status; why a call failed goes to the output, too.
 */
int call_print_end(struct output *output, const char *name, const json_t *answer);

struct ping_figures {
    uint32_t replies;
    double least_ms, most_ms, sum_ms;
};

/* One {"reply", "ms", "path"} or {"lost"} line. */
void call_print_ping(struct output *output, const json_t *line, struct ping_figures *figures);
void call_print_ping_end(struct output *output, const json_t *answer,
                         const struct ping_figures *figures);

#endif
