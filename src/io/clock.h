/* The clocks that the daemons read and tell their engines. */
#ifndef IO_CLOCK_H
#define IO_CLOCK_H

#include <stdint.h>

/* The time of all deadlines: microseconds of CLOCK_BOOTTIME, which never jumps and, unlike
 * CLOCK_MONOTONIC, goes on while the machine sleeps. Leases, NAT mappings and the peer's timers do
 * not sleep with us, so after a resume they must be seen as due. An event loop's own timers may
 * stop during sleep: look at the deadlines again whenever the loop wakes. */
uint64_t clock_now_us(void);
/* Microseconds that this machine has slept since it booted: has it grown, the machine was resumed.
 */
uint64_t clock_asleep_us(void);
/* Seconds since 1970; may jump. For certificates, state files and people. */
int64_t clock_wall_seconds(void);

#endif
