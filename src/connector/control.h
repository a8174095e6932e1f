/* The control socket (docs/control.md): JSON requests of `detec host`, one a line, and their
 * answers. */
#ifndef CONNECTOR_CONTROL_H
#define CONNECTOR_CONTROL_H

#include "connector/connector.h"

struct control;

/* listener: a listening Unix socket, consumed. */
MUST_USE int control_new(struct connector *connector, int listener, struct control **ret_control);
/* Closes all; the memory goes with the loop's next turns. NULL is fine. */
void control_close(struct control *control);

#endif
