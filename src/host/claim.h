/* Claims: calls from hosts of other zones, whose names are only claimed until their own zones'
 * connectors confirm them. Until then a caller gets nothing here: no peer, no address, no call. */
#ifndef HOST_CLAIM_H
#define HOST_CLAIM_H

#include "wire/notify.h"
#include <stdbool.h>
#include <stdint.h>

struct host;
struct session;

/* Asks the claimed name's zone for its key; when that is the caller's, the call goes on with
 * call_take_in(). Refused ones are noted. A repeated call of the same caller takes the place of its
 * last one. */
void claim_start(struct host *host, const struct notify_call *notify, uint64_t now_us);
/* A zone's answer to a look-up. False: to none of ours. */
bool claim_on_key(struct session *session, const struct notify_key *key, uint64_t now_us);
/* Does a claim wait for this session's answer? */
bool claim_uses_session(const struct session *session);
void claims_free(struct host *host);

#endif
