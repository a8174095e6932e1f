/* The control socket (docs/control.md): JSON requests of `detec`, one a line, and their answers. */
#ifndef HOST_CONTROL_H
#define HOST_CONTROL_H

#include "base/error.h"
#include <jansson.h>
#include <stdbool.h>

struct host;
struct control;
struct control_client;

/* listener: a listening Unix socket (consumed). */
MUST_USE int control_new(struct host *host, int listener, struct control **ret_control);
/* Closes all; the loop must run once more before the host's memory goes. NULL is fine. */
void control_free(struct control *control);

/* For the commands (commands.c): a line of an answer that is not the last. Consumes object. */
void control_send(struct control_client *client, json_t *object);
/* Does the client read more slowly than it is answered? */
bool control_is_backed_up(const struct control_client *client);
/* The last line: adds "done". Consumes object (NULL: an empty one). */
void control_finish(struct control_client *client, json_t *object);
/* The last line of a failed request. */
void control_fail(struct control_client *client, const char *format, ...) PRINTF_LIKE(2, 3);
struct host *control_client_host(struct control_client *client);
/* What the running command wants to be told when the client goes away before the answer is
 * finished; NULL for nothing. Cleared by control_finish and control_fail. */
void control_on_gone(struct control_client *client, void (*gone)(void *context), void *context);

#endif
