/* Locks a helper process in before it touches what strangers send: no privileges, no memory, time
 * or files to speak of. */
#ifndef IO_CONFINE_H
#define IO_CONFINE_H

#include "base/error.h"
#include <stddef.h>

/* Gives up all privileges, closes every descriptor above keep_fd, opens no more files (Landlock,
 * where the kernel has it), and is bounded for ever: data_bytes more memory than there is now,
 * seconds of life (it is killed then), no child processes, no written files. Sockets stay possible.
 * ERR_IO, ERR_REFUSED: not done; exit. */
MUST_USE int confine(int keep_fd, size_t data_bytes, unsigned seconds);

#endif
