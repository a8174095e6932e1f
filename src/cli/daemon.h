/* Asking a daemon over its control socket (docs/control.md), with errors told in a way that says
 * what to do. */
#ifndef CLI_DAEMON_H
#define CLI_DAEMON_H

#include <jansson.h>

#include "base/text.h"
#include "cli/cli.h"

#define DAEMON_TIMEOUT_US ((uint64_t)10 * 1000000)

enum daemon { DAEMON_HOST, DAEMON_CONNECTOR };

/* One line of an answer that is not the last. */
typedef void daemon_line(void *context, json_t *line);

/* Where the daemon listens: --socket, its environment variable, or the standard place. */
const char *daemon_socket(const struct cli *cli, enum daemon daemon);
/* Sends the request (consumed; NULL is an allocation failure) and waits for the last line of the
 * answer, at most timeout_us for each line; the others go to on_line (NULL: skipped). With --json
 * every line is printed instead. An answer with an error is told (unless it is about a call's step)
 * and returned as ERR_REFUSED. ret_answer: the last line, set with ERR_OK and ERR_REFUSED only; the
 * caller drops the reference. */
MUST_USE int daemon_ask(struct cli *cli, enum daemon daemon, json_t *request, uint64_t timeout_us,
                        daemon_line *on_line, void *context, json_t **ret_answer);
/* The same, but nothing is printed whatever the options are, and lines before the last are skipped.
 */
MUST_USE int daemon_ask_quietly(struct cli *cli, enum daemon daemon, json_t *request,
                                uint64_t timeout_us, json_t **ret_answer);
/* A NAME operand in canonical form; the daemons take one without dots as of their own zone.
 * ERR_INVALID, told: it is not a host name. */
MUST_USE int daemon_read_name(struct cli *cli, const char *text, char ret_name[NAME_TEXT_CAP]);

#endif
