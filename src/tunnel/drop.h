/* Why a packet was not carried: every drop has a reason with a name, an explanation and a counter.
 */
#ifndef TUNNEL_DROP_H
#define TUNNEL_DROP_H

#include "base/error.h"
#include <stdatomic.h>
#include <stdint.h>

enum drop_reason {
    DROP_NONE = 0, /* not dropped */
    /* either way */
    DROP_MALFORMED,
    DROP_FAMILY,
    DROP_SOURCE_ROUTE,
    DROP_TINY_FRAGMENT,
    DROP_NO_ROOM,
    DROP_CRYPTO,
    /* out */
    DROP_SOURCE,
    DROP_DESTINATION,
    DROP_TOO_BIG,
    DROP_NO_PATH,
    DROP_NO_CHILD,
    DROP_EXHAUSTED,
    DROP_NEEDS_HEADER,
    /* in */
    DROP_NO_TUNNEL,
    DROP_LENGTH,
    DROP_REPLAY,
    DROP_NOT_AUTHENTIC,
    DROP_COMMAND,
    DROP_NEXT_HEADER,
    DROP_FOREIGN_ADDRESS,
    DROP_QUOTE,
    DROP_ROUTER_MESSAGE,
    DROP_CONGESTION,
    DROP_DUMMY,
    DROP_REASON_COUNT,
};

/* "too-big": for counters and JSON. */
const char *drop_name(enum drop_reason reason);
/* One lower-case English phrase for people, without a full stop. */
const char *drop_text(enum drop_reason reason);

/* Written by data threads, read by any: relaxed. Zero-initialised. */
struct drop_counters {
    _Atomic uint64_t counts[DROP_REASON_COUNT];
};

static inline void drop_count(struct drop_counters *counters, enum drop_reason reason)
{
    atomic_fetch_add_explicit(&counters->counts[reason], 1, memory_order_relaxed);
}

static inline uint64_t drop_counted(const struct drop_counters *counters, enum drop_reason reason)
{
    return atomic_load_explicit(&counters->counts[reason], memory_order_relaxed);
}

#endif
