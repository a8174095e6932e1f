/* Judging DNS answers on their way to applications: does an answer name a host that is reached
 * through Detec? Then it gets the peer address, and the call begins. A peer that was
 * met before has its address also where no server knows the name. Held back only while a foreign
 * zone's connector is looked for; everything else passes at once and as it is. */
#ifndef HOST_JUDGE_H
#define HOST_JUDGE_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct host;
struct judge;

/* answer: what the application is to get; consumed by the callee with free(). */
typedef void judge_done(void *context, uint8_t *answer, size_t len);

/* query: as the application sent it (copied; NULL: not known, then emptied answers are not
 * completed). answer: malloc'ed, consumed. `done` is called once, maybe from within; then
 * *ret_judge is NULL. */
void judge_start(struct host *host, const uint8_t *query, size_t query_len, uint8_t *answer,
                 size_t len, bool is_tcp, judge_done *done, void *context,
                 struct judge **ret_judge);
/* `done` will not be called any more. NULL is fine. */
void judge_cancel(struct judge *judge);

#endif
