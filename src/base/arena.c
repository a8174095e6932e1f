/* Blocks that are filled from start to end, and a list of what was given back for each size. */
#include "base/arena.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

/* What nobody has is nobody's to touch: the sanitizer sees to it. */
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define hide(at, size)   ASAN_POISON_MEMORY_REGION(at, size)
#define unhide(at, size) ASAN_UNPOISON_MEMORY_REGION(at, size)
#else
#define hide(at, size)   ((void)(at))
#define unhide(at, size) ((void)(at))
#endif

#define BLOCK_MIN ((size_t)64 << 10)
#define BLOCK_MAX ((size_t)2 << 20) /* a huge page */

/* At its start. */
struct block {
    _Alignas(ARENA_LINE) struct block *next;
    size_t size;
};

struct spare {
    struct spare *next;
};

struct arena {
    pthread_mutex_t lock;
    struct block *blocks; /* the first is the one being filled */
    size_t used;          /* of that one */
    size_t size;          /* of all */
    struct spare *spares[ARENA_SIZE_MAX / ARENA_LINE + 1];
};

int arena_new(struct arena **ret_arena)
{
    struct arena *arena = calloc(1, sizeof(*arena));
    if (arena == NULL)
        return ERR_NOMEM;
    if (pthread_mutex_init(&arena->lock, NULL) != 0) {
        free(arena);
        return ERR_NOMEM;
    }
    *ret_arena = arena;
    return ERR_OK;
}

void arena_free(struct arena *arena)
{
    struct block *next;
    if (arena == NULL)
        return;
    pthread_mutex_lock(&arena->lock); /* whoever gave something back has done so */
    pthread_mutex_unlock(&arena->lock);
    for (struct block *block = arena->blocks; block != NULL; block = next) {
        next = block->next;
        unhide(block, block->size);
        free(block);
    }
    pthread_mutex_destroy(&arena->lock);
    free(arena);
}

/* Each doubles what is there, up to a huge page. */
static struct block *add_block(struct arena *arena)
{
    size_t size = arena->size < BLOCK_MIN ? BLOCK_MIN : arena->size;
    size = size < BLOCK_MAX ? size : BLOCK_MAX;
    struct block *block =
        (struct block *)aligned_alloc(size < BLOCK_MAX ? ARENA_LINE : BLOCK_MAX, size);
    if (block == NULL)
        return NULL;
    if (size == BLOCK_MAX)
        (void)madvise(block, size, MADV_HUGEPAGE); /* where there are none, it works without */
    block->next = arena->blocks;
    block->size = size;
    arena->blocks = block;
    arena->used = sizeof(*block);
    arena->size += size;
    hide(block + 1, size - sizeof(*block));
    return block;
}

static void *take_new(struct arena *arena, size_t size)
{
    struct block *block = arena->blocks;
    if (block == NULL || block->size - arena->used < size)
        block = add_block(arena);
    if (block == NULL)
        return NULL;
    void *thing = (unsigned char *)block + arena->used;
    arena->used += size;
    unhide(thing, size);
    return thing;
}

static void *take_spare(struct arena *arena, size_t size)
{
    struct spare **first = &arena->spares[size / ARENA_LINE];
    struct spare *spare = *first;
    if (spare == NULL)
        return NULL;
    unhide(spare, size);
    *first = spare->next;
    return spare;
}

static size_t round_up(size_t size)
{
    return (size + ARENA_LINE - 1) / ARENA_LINE * ARENA_LINE;
}

void *arena_take(struct arena *arena, size_t size)
{
    if (size == 0 || size > ARENA_SIZE_MAX)
        return NULL;
    size = round_up(size);
    pthread_mutex_lock(&arena->lock);
    void *thing = take_spare(arena, size);
    if (thing == NULL)
        thing = take_new(arena, size);
    pthread_mutex_unlock(&arena->lock);
    return thing != NULL ? memset(thing, 0, size) : NULL;
}

void arena_give_back(struct arena *arena, void *thing, size_t size)
{
    struct spare *spare = (struct spare *)thing;
    if (spare == NULL)
        return;
    size = round_up(size);
    pthread_mutex_lock(&arena->lock);
    spare->next = arena->spares[size / ARENA_LINE];
    arena->spares[size / ARENA_LINE] = spare;
    hide(spare, size);
    pthread_mutex_unlock(&arena->lock);
}

size_t arena_size(struct arena *arena)
{
    pthread_mutex_lock(&arena->lock);
    const size_t size = arena->size;
    pthread_mutex_unlock(&arena->lock);
    return size;
}
