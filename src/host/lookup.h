/* The daemon's own DNS queries, asynchronous (c-ares) and over marked sockets, so that the capture
 * of the host's DNS does not meet them. Each query reads resolv.conf anew: servers change under a
 * daemon. */
#ifndef HOST_LOOKUP_H
#define HOST_LOOKUP_H

#include "base/error.h"
#include <stdint.h>
#include <uv.h>

struct lookup;

/* answer: the raw DNS response, also for negative ones; NULL where no server answered (error says
 * why). Called once, never from within lookup_start. */
typedef void lookup_done(void *context, int error, const uint8_t *answer, size_t len);

/* Asks for name (without search list) and type. ret_lookup may be passed to lookup_cancel until
 * `done` has been called. */
MUST_USE int lookup_start(uv_loop_t *loop, uint32_t mark, const char *name, uint16_t type,
                          lookup_done *done, void *context, struct lookup **ret_lookup);
/* `done` will not be called any more. NULL is fine. */
void lookup_cancel(struct lookup *lookup);

#endif
