/* The requests of the control socket (docs/control.md). */
#ifndef HOST_COMMANDS_H
#define HOST_COMMANDS_H

#include "host/control.h"
#include "host/host.h"
#include "host/peer.h"

/* Answers one request, now or later, by control_finish or control_fail. request is borrowed. */
void commands_run(struct control_client *client, json_t *request);

/* report.c: NULL only without memory. */
json_t *report_status(struct host *host);
/* Is there anything to tell of it? */
bool report_has_peer(const struct peer *peer);
json_t *report_peer(struct peer *peer);

#endif
