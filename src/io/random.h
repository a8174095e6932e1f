/* Random bytes from the kernel. */
#ifndef IO_RANDOM_H
#define IO_RANDOM_H

#include "base/error.h"
#include <stddef.h>

/* Waits, early at boot, until the kernel's generator is seeded. ERR_IO: ret holds zeroes, which
 * must not be used. */
MUST_USE int random_bytes(void *ret, size_t len);

#endif
