/* Somebody hostile on the Internet: sees some of what passes there, and sends it again, changed,
 * cut, or to others; and sends what was never sent. Nothing that he does may be believed. */
#ifndef SIM_RAIDER_H
#define SIM_RAIDER_H

#include "sim.h"

struct raider *raider_new(struct sim *sim);
void raider_free(struct raider *raider);
/* A datagram crosses the Internet: endpoints as seen there. */
void raider_see(struct raider *raider, const struct passage *passage, const uint8_t *data,
                size_t len);
/* Keeps at it from now on until then. */
void raider_start(struct raider *raider, uint64_t interval_us, uint64_t until_us);
bool raider_has_begun(const struct raider *raider);

#endif
