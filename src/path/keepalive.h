/* When a tunnel needs its next NAT keepalive: one byte 0xFF (RFC 3948, 2.3), where nothing was sent
 * for an interval; and how long that is, by what is known of the NATs and filters on our side.
 * Jitter keeps many tunnels apart; it only ever shortens the interval. What comes in counts for
 * nothing: there are NATs that are not refreshed by it (RFC 4787, 4.3). */
#ifndef PATH_KEEPALIVE_H
#define PATH_KEEPALIVE_H

#include "base/deadline.h"

#define KEEPALIVE_INTERVAL_US (20 * SECOND_US)  /* RFC 3948, 4: while nothing is known, 20 s */
#define KEEPALIVE_LEAST_US    SECOND_US         /* no NAT is worth more packets */
#define KEEPALIVE_MOST_US     (120 * SECOND_US) /* however long mappings live */
#define KEEPALIVE_BYTE        0xFF

struct keepalive {
    uint64_t interval_us;
    uint64_t wait_us; /* this time's interval, jitter taken off */
    bool is_proven;   /* unsolicited packets get in: none needed */
};

/* How often to send. configured_us: the most that the user wants; 0: no wish. A mapping was alive
 * after a silence of alive_us (0: after none that was tried), and dead after dead_us (0: none was
 * seen dead); both 0: nothing is known. Half of what a mapping is known to outlive, so that one
 * lost keepalive costs nothing; never longer than KEEPALIVE_INTERVAL_US without that. */
uint64_t keepalive_interval_us(uint64_t configured_us, uint64_t alive_us, uint64_t dead_us);

/* interval_us 0: KEEPALIVE_INTERVAL_US. */
void keepalive_init(struct keepalive *keepalive, uint64_t interval_us);
/* What is known has changed; the one under way follows. */
void keepalive_set_interval(struct keepalive *keepalive, uint64_t interval_us);
/* Set only when a packet from an address that we never sent to has come in. */
void keepalive_set_proven(struct keepalive *keepalive, bool is_proven);
/* When the next one is due, given when anything was last sent on the path. */
uint64_t keepalive_deadline(const struct keepalive *keepalive, uint64_t last_sent_us);
/* True: send one now (and count it as sent). Draws the next jitter. */
bool keepalive_expire(struct keepalive *keepalive, uint64_t last_sent_us, uint64_t now_us);

#endif
