/* What all fuzzers share: the entry point that the engine (or replay_main.c) calls, and a check
 * that holds in every build type. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A property that no input may break. */
static inline void must(int holds)
{
    if (!holds)
        abort();
}

#endif
