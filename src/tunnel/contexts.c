/* A few places that contexts are swapped into and out of, each by one atomic exchange. */
#include "tunnel/contexts.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/* Where a thread begins to look: its own place as a rule, so that it finds what it knows in its
 * cache. Only a hint: thread identifiers lie their stacks apart. */
static unsigned own_place(void)
{
    return (unsigned)((uintptr_t)pthread_self() >> 12) % CONTEXTS_IDLE_MAX;
}

void contexts_init(struct contexts *contexts, void *first)
{
    for (unsigned i = 0; i < CONTEXTS_IDLE_MAX; i++)
        atomic_init(&contexts->idle[i], NULL);
    contexts->first = first;
    atomic_init(&contexts->idle[own_place()], first);
}

void *contexts_take(struct contexts *contexts)
{
    const unsigned own = own_place();
    for (unsigned i = 0; i < CONTEXTS_IDLE_MAX; i++) {
        _Atomic(void *) *place = &contexts->idle[(own + i) % CONTEXTS_IDLE_MAX];
        if (atomic_load_explicit(place, memory_order_relaxed) == NULL)
            continue;
        void *context = atomic_exchange_explicit(place, NULL, memory_order_acquire);
        if (context != NULL)
            return context;
    }
    return NULL;
}

bool contexts_give(struct contexts *contexts, void *context)
{
    const unsigned own = own_place();
    for (unsigned i = 0; i < CONTEXTS_IDLE_MAX; i++) {
        _Atomic(void *) *place = &contexts->idle[(own + i) % CONTEXTS_IDLE_MAX];
        void *nothing = NULL;
        if (atomic_compare_exchange_strong_explicit(place, &nothing, context, memory_order_release,
                                                    memory_order_relaxed))
            return true;
    }
    return context == contexts->first; /* rests until the end */
}

void *contexts_drain(struct contexts *contexts)
{
    void *context;
    while ((context = contexts_take(contexts)) != NULL) {
        if (context != contexts->first)
            return context;
    }
    context = contexts->first;
    contexts->first = NULL;
    return context;
}
