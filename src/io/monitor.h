/* News from the kernel about addresses, routes and rules, for an owner that polls. */
#ifndef IO_MONITOR_H
#define IO_MONITOR_H

#include "base/error.h"
#include <stdint.h>

enum monitor_change {
    MONITOR_RULES = 1,
    MONITOR_ADDRESSES = 2,
    MONITOR_ROUTES = 4,
    MONITOR_LINKS = 8,
    MONITOR_ALL = 15,
};

struct monitor {
    int fd; /* to be polled for reading; -1 while closed */
};

/* Non-blocking. Look at the state once after opening: changes before it are not told. */
MUST_USE int monitor_open(struct monitor *m);
void monitor_close(struct monitor *m);
/* Reads all news there are: a set of enum monitor_change. ERR_AGAIN if there are none, ERR_IO. If
 * the kernel had more news than room, everything may have changed: MONITOR_ALL. */
MUST_USE int monitor_read(struct monitor *m, unsigned *ret_changes);

#endif
