/* Memory for very many things of a few sizes that are used by chance: close together, each at the
 * start of a cache line, in blocks that grow with what is there, and from 2 MiB on lie in huge
 * pages (as far as the system has some), so that finding where one lies costs the processor
 * nothing. With few things it is hardly larger than they are. Any thread may take and give back.
 * What is given back is taken again, but goes to the system with the whole only. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/error.h"
#include <stddef.h>

#define ARENA_LINE     64   /* of a cache: alignment, and what sizes are rounded up to */
#define ARENA_SIZE_MAX 8192 /* of one thing */

struct arena;

/* ERR_NOMEM. */
MUST_USE int arena_new(struct arena **ret_arena);
/* With all that is in it. NULL is fine. */
void arena_free(struct arena *arena);
/* Zeroed. NULL: no memory, or size is larger than ARENA_SIZE_MAX. */
void *arena_take(struct arena *arena, size_t size);
/* The same size again. Secrets the owner has wiped. NULL is fine. */
void arena_give_back(struct arena *arena, void *thing, size_t size);
/* Bytes of all blocks, used or not. */
size_t arena_size(struct arena *arena);

#endif
