/* Anti-replay window of one inbound SA (RFC 4303, 3.4.3). Numbers have 64 bits here, whatever a
 * wire format carries of them. Any number of threads may ask at any time; marking is for one at a
 * time (a lock of the caller's), and says whether the number was still new then. */
#ifndef TUNNEL_REPLAY_H
#define TUNNEL_REPLAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define REPLAY_WINDOW_DEFAULT 4096
#define REPLAY_WINDOW_MIN     32 /* the paper's */
#define REPLAY_WORDS          128
#define REPLAY_WINDOW_MAX     ((REPLAY_WORDS - 1) * 64)

struct replay {
    _Atomic uint64_t highest; /* authentic number so far; 0: none yet */
    uint32_t window;
    _Atomic uint64_t seen[REPLAY_WORDS]; /* a ring: number n is bit n modulo its size */
};

/* window: how many numbers up to the highest are told apart; made to fit REPLAY_WINDOW_MIN and
 * _MAX. */
void replay_init(struct replay *r, uint32_t window);
/* Where a number is marked, for who looks ahead in memory. */
const void *replay_place(const struct replay *r, uint64_t number);
/* Call before opening; changes nothing. The number 0 is never new. */
bool replay_is_new(const struct replay *r, uint64_t number);
/* Call only once the packet has been authenticated. False: the number is not new (any more):
 * another thread has marked it since the caller asked, or the window has passed it. */
bool replay_mark(struct replay *r, uint64_t number);

#endif
