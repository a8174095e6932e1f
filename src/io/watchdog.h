/* A small process beside the daemon for what the kernel cannot do by itself: when the daemon is
 * stopped, stuck or dead, the DNS redirect ends (dns_capture.h), but an application that keeps one
 * UDP socket would still be tracked to the listener. The watchdog then forgets these connections,
 * and nothing else.
 *
 * Why a process: a stopped or frozen daemon runs no thread either. It is told to end by the end of
 * its socket rather than by PR_SET_PDEATHSIG: it has work to do then, and the signal follows the
 * thread that forked, not the process. */
#ifndef IO_WATCHDOG_H
#define IO_WATCHDOG_H

#include "base/error.h"
#include <stdint.h>
#include <sys/types.h>

/* Silence after which the daemon counts as stopped: longer than a refresh of the capture lasts
 * (DNS_CAPTURE_ALIVE_MS), else what is forgotten would be captured again. */
#define WATCHDOG_SILENCE_MS 2500
#define WATCHDOG_BEAT_MS    500

struct watchdog {
    int fd; /* -1: none runs */
    pid_t pid;
};

/* Forks it. Call it early: before keys are loaded, threads started and sockets opened (it closes
 * what it inherits, but a moment later). It keeps CAP_NET_ADMIN alone, and leaves the terminal's
 * session, so that Ctrl-C and Ctrl-Z are not for it. */
MUST_USE int watchdog_start(struct watchdog *watchdog);
/* The daemon is well; port: its DNS listeners', 0 while it captures nothing. Every
 * WATCHDOG_BEAT_MS, after dns_capture_refresh. Never blocks. ERR_STATE: the watchdog is gone
 * (and has been waited for); the daemon works on without it. */
MUST_USE int watchdog_beat(struct watchdog *watchdog, uint16_t port);
/* The daemon ends in order, and has released the connections itself. Waits for the process, which
 * ends at once. Also for one that does not run. */
void watchdog_stop(struct watchdog *watchdog);

#endif
