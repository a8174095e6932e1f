/* Secrets in memory: wiping, comparing, drawing. */
#ifndef CRYPTO_MEMORY_H
#define CRYPTO_MEMORY_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroes memory in a way the compiler keeps. NULL with len 0 is fine. */
void crypto_wipe(void *data, size_t len);
/* Compares in constant time. */
bool crypto_is_equal(const void *a, const void *b, size_t len);
/* Fills from the system's random generator; ERR_CRYPTO leaves data zeroed and must stop the caller.
 */
MUST_USE int crypto_random(void *ret_data, size_t len);

#endif
