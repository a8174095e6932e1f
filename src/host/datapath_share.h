/* What one thread has opened, on its way to the kernel by another: see datapath_share.c. */
#ifndef HOST_DATAPATH_SHARE_H
#define HOST_DATAPATH_SHARE_H

#include "base/packet.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SHARE_COUNT 128 /* packets under way; a power of two */
#define SHARE_AFTER 8   /* rounds in a row that were full: then it is load */

struct datapath;

/* Packets of this thread's pool, in order. The thread fills it at the tail, the other one works
 * them off at the head; what is behind the head is this thread's again. */
struct share {
    struct packet *packets[SHARE_COUNT];
    _Atomic uint32_t tail, head;
    uint32_t returned; /* up to here they are in the pool */
    unsigned full_rounds;
    bool is_on, is_told;
    _Atomic bool is_loaded; /* for those that would like help */
};

/* Around each round; is_full: more waits than the thread has taken. */
void share_begin_round(struct datapath *dp);
void share_end_round(struct datapath *dp, bool is_full);
/* When all is done: wakes the other one, if there is something for it. */
void share_tell(struct datapath *dp);
/* How many packets may be opened now. */
unsigned share_room(const struct datapath *dp);
/* A packet for local applications goes by the other thread. False: not now; this one writes it. */
bool share_offer(struct datapath *dp, struct packet *packet);
/* Works off what the other thread has for this one: all that was there. */
void share_help(struct datapath *dp);

#endif
