/* Giving up what a daemon does not need any more. Capabilities belong to threads: call these before
 * any other thread is started. */
#ifndef IO_PRIVILEGES_H
#define IO_PRIVILEGES_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

enum privilege { /* a set */
                 PRIVILEGE_NONE = 0,
                 PRIVILEGE_NET_ADMIN = 1,        /* CAP_NET_ADMIN: routes, nftables, TUN, marks */
                 PRIVILEGE_NET_BIND_SERVICE = 2, /* CAP_NET_BIND_SERVICE: ports below 1024 */
};

/* Keeps these capabilities and no others, for ever: effective and permitted; inheritable and
 * ambient ones are cleared, the bounding set is cut, and no program started later can gain any
 * (no_new_privs). What the process does not have in the first place is ERR_REFUSED. */
MUST_USE int privileges_keep(unsigned privileges);
/* Whether the calling thread has all of these now. */
bool privileges_has(unsigned privileges);
/* Becomes that user with its groups, then privileges_keep(privileges). For a process that is this
 * user already, the latter alone. ERR_NOT_FOUND: no such user; ERR_REFUSED: not permitted; ERR_IO.
 */
MUST_USE int privileges_become(const char *user, unsigned privileges);
/* For processes that hold keys: no core dumps, not to be traced or read by the same user's
 * processes, and not swapped out where that is permitted (its memory may then grow without limit).
 * Best effort; after privileges_become it must be called again, before privileges_keep it can do
 * more. Returns whether the memory is locked. */
bool privileges_protect_memory(void);
/* Raises the number of files that may be open to what the system lets this process have; returns
 * it. */
size_t privileges_allow_files(void);

#endif
