/* The path MTU towards a peer that answers no probe of ours (a plain IPsec peer). ICMP is not
 * authentic and lowers nothing by itself (RFC 4301, 8.2.1); what does is that the peer proves to be
 * alive in small messages while nothing has come back since large ones were sent, again and again.
 * Then the next smaller size is in force, down to what every path in earnest use carries. What
 * carries no answers at all (one-way traffic) is no evidence, so only TCP counts. Raised again with
 * another path only. Engine: no I/O, no clock. */
#ifndef PATH_MTU_STEPS_H
#define PATH_MTU_STEPS_H

#include "base/deadline.h"
#include <stdbool.h>

/* Nothing is lowered below this. */
#define MTU_STEPS_MIN 1124
/* So long nothing has come back, or three round trips where they take longer. */
#define MTU_STEPS_SILENCE_US (600 * MS_US)
/* While large packets are sent, it is looked so often. */
#define MTU_STEPS_LOOK_US (300 * MS_US)

struct mtu_steps {
    uint32_t mtu;
    uint32_t hint;       /* what a router said, tried first; 0: nothing */
    uint64_t suspect_us; /* since when large ones seem to be lost; 0: they do not */
    uint64_t asked_us;   /* when the peer was asked whether it lives; 0: it was not */
};

/* mtu: in force at first. */
void mtu_steps_init(struct mtu_steps *steps, uint32_t mtu);
/* A router, or who pretends to be one, says that it passes on no more. */
void mtu_steps_on_hint(struct mtu_steps *steps, uint32_t size);
/* This host's own interface takes no more: in force at once. */
void mtu_steps_on_limit(struct mtu_steps *steps, uint32_t size);

struct mtu_evidence {
    uint64_t large_us;      /* when TCP's last large packet was sent; 0: none was */
    uint64_t heard_us;      /* when data last came from the peer */
    uint64_t alive_us;      /* when its last authentic message of any kind but data came */
    uint64_t round_trip_us; /* 0: not known */
};

enum mtu_step {
    MTU_STEP_REST,  /* nothing is suspected */
    MTU_STEP_WAIT,  /* look again in MTU_STEPS_LOOK_US */
    MTU_STEP_ASK,   /* ask the peer whether it lives, and look again */
    MTU_STEP_LOWER, /* steps->mtu is lower than it was: put it in force, and look again */
};
enum mtu_step mtu_steps_judge(struct mtu_steps *steps, const struct mtu_evidence *evidence,
                              uint64_t now_us);

#endif
