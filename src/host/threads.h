/* The data path's threads as the daemon has them: so many queues of the TUN device and sockets of
 * the tunnel port, and the queues through which the control thread hears of what is not data. */
#ifndef HOST_THREADS_H
#define HOST_THREADS_H

#include "host/host.h"

/* How many there are to be: [host] threads, or what suits the machine. */
unsigned threads_wanted(const struct host_config *config);
/* host->tun and host->udp are the first thread's: opens what the others need, while there is the
 * right to a port below 1024. Fewer than were wanted, and a warning, where the system does not let
 * us. */
MUST_USE int threads_open(struct host *host);
/* Starts the data path, with the rights that are left. */
MUST_USE int threads_start(struct host *host);
/* Before the loop ends: nothing is heard of them any more. */
void threads_close(struct host *host);
/* Afterwards: ends them, and closes what threads_open() has opened. */
void threads_stop(struct host *host);

#endif
