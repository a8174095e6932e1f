/* The keyed contexts of one direction of one SA: libraries let one thread at a time into one, so
 * there are as many as threads have been at it at the same moment. Whoever seals or opens takes one
 * that is idle, or makes one more, and gives it back; with one thread it is always the same. No
 * locks: nobody waits for another's cryptography. */
#ifndef TUNNEL_CONTEXTS_H
#define TUNNEL_CONTEXTS_H

#include <stdatomic.h>
#include <stdbool.h>

#define CONTEXTS_IDLE_MAX 8

struct contexts {
    void *first; /* is there until the end: others may look at what is constant in it */
    _Atomic(void *) idle[CONTEXTS_IDLE_MAX];
};

/* Takes the first one over. */
void contexts_init(struct contexts *contexts, void *first);
/* NULL: none is idle; the caller makes another. */
void *contexts_take(struct contexts *contexts);
/* False: there is no room for it; the caller frees it. */
bool contexts_give(struct contexts *contexts, void *context);
/* At the end, when nobody has any: one after the other, for the caller to free; NULL: no more. Also
 * of zeroed ones. */
void *contexts_drain(struct contexts *contexts);

#endif
