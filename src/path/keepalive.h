/* When a tunnel needs its next NAT keepalive: one byte 0xFF (RFC 3948, 2.3), where nothing was sent
 * for an interval. Jitter keeps many tunnels apart; it only ever shortens the interval. */
#ifndef PATH_KEEPALIVE_H
#define PATH_KEEPALIVE_H

#include "base/deadline.h"

#define KEEPALIVE_INTERVAL_US (20 * SECOND_US) /* RFC 3948, 4: the default is 20 s */
#define KEEPALIVE_BYTE        0xFF

struct keepalive {
    uint64_t interval_us;
    uint64_t wait_us; /* this time's interval, jitter taken off */
    bool is_proven;   /* unsolicited packets get in: none needed */
};

/* interval_us 0: KEEPALIVE_INTERVAL_US. */
void keepalive_init(struct keepalive *keepalive, uint64_t interval_us);
/* Set only when a packet from an address that we never sent to has come in. */
void keepalive_set_proven(struct keepalive *keepalive, bool is_proven);
/* When the next one is due, given when anything was last sent on the path. */
uint64_t keepalive_deadline(const struct keepalive *keepalive, uint64_t last_sent_us);
/* True: send one now (and count it as sent). Draws the next jitter. */
bool keepalive_expire(struct keepalive *keepalive, uint64_t last_sent_us, uint64_t now_us);

#endif
