/* Packets that wait for a tunnel: a short bounded queue, oldest dropped first. */
#ifndef HOST_STAGE_H
#define HOST_STAGE_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

#define STAGE_PACKETS_MAX 32

struct staged {
    uint32_t len;
    uint8_t data[];
};

struct stage {
    struct staged *items[STAGE_PACKETS_MAX]; /* ring */
    uint32_t first;
    uint32_t count;
    uint64_t dropped;
};

/* Copies. Without memory the packet is dropped and counted. */
void stage_add(struct stage *stage, const uint8_t *packet, size_t len);
/* The oldest one, to be freed by the caller with free(); NULL when empty. */
struct staged *stage_take(struct stage *stage);
void stage_clear(struct stage *stage);

#endif
