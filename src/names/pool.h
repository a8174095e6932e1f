/* The pool: local IPv4 addresses that stand for peers on this host alone. A name keeps its address
 * for ever; an address is never given to another name while anything may still hold it: a freed one
 * rests a day, and one that is in use or was used within a day is never recycled, even when the
 * pool is full. Times are wall-clock seconds, given by the owner, who also reads and writes the
 * state file. */
#ifndef NAMES_POOL_H
#define NAMES_POOL_H

#include "base/address.h"
#include "base/error.h"
#include "names/state.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_BITS_MIN  8  /* shortest prefix */
#define POOL_BITS_MAX  28 /* longest */
#define POOL_HOLD_S    ((uint64_t)86400)
#define POOL_NAMES_MAX 65536 /* strangers' names can fill no more */
#define POOL_SUFFIX_MAX                                                                            \
    16384 /* of them under the same last two labels: no one domain fills the pool */
/* Times are kept rounded up to this, so that a name that is looked up all the time does not have
 * the state file written all the time, and a saved time is never earlier than the true one. */
#define POOL_ROUND_S ((uint64_t)600)

struct pool;

/* seed: 16 bytes that are the same at each start and unknown to strangers (e.g. derived from the
 * host's private key): the first choice of address depends on them and on the name only, so that it
 * survives even a lost state file. ERR_INVALID: not an IPv4 prefix of 8 to 28 bits, or loopback or
 * multicast. */
MUST_USE int pool_new(const struct prefix *prefix, const uint8_t seed[16], struct pool **ret_pool);
void pool_free(struct pool *pool);

const struct prefix *pool_prefix(const struct pool *pool);
/* This host's own address: the prefix's base + 2. */
struct address pool_own_address(const struct pool *pool);
/* Is the address inside the prefix at all? */
bool pool_contains(const struct pool *pool, const struct address *address);

/* The address of a canonical name, assigned now if it has none. ret_is_new: the assignment is in
 * no file yet, and must be before anyone is told of it. ERR_INVALID: not a canonical host name;
 * ERR_FULL: every address is held; ERR_LIMIT: too many names under its last two labels; ERR_STATE:
 * the state was damaged (pool_load). */
MUST_USE int pool_get(struct pool *pool, const char *name, uint64_t wall_s,
                      struct address *ret_address, bool *ret_is_new);
/* ERR_NOT_FOUND: none, or released. */
MUST_USE int pool_find_by_name(const struct pool *pool, const char *name,
                               struct address *ret_address);
/* The name an address stands for; NULL if none. Borrowed until the pool changes. */
const char *pool_find_by_address(const struct pool *pool, const struct address *address);

/* A tunnel (or a packet held back) uses this address: it is not recycled until as many calls of
 * pool_drop have followed. ERR_NOT_FOUND. */
MUST_USE int pool_hold(struct pool *pool, const struct address *address, uint64_t wall_s);
void pool_drop(struct pool *pool, const struct address *address, uint64_t wall_s);
/* Notes that the address was seen in use; call it now and then, not for every packet. */
void pool_touch(struct pool *pool, const struct address *address, uint64_t wall_s);
/* Frees a name's address: for a day it is given to nobody else (the same name gets it back).
 * ERR_NOT_FOUND; ERR_STATE: held. */
MUST_USE int pool_release(struct pool *pool, const char *name, uint64_t wall_s);

struct pool_entry {
    const char *name; /* borrowed */
    struct address address;
    uint64_t used_s; /* when last used, or when released */
    bool is_released;
    unsigned hold_count;
};
size_t pool_count(const struct pool *pool); /* released ones included */
/* Calls visit for each entry; the pool may not change meanwhile. */
void pool_walk(const struct pool *pool,
               void (*visit)(const struct pool_entry *entry, void *context), void *context);

/* Changed since the last pool_save? */
bool pool_is_dirty(const struct pool *pool);
/* The whole state as text; the caller frees it and writes it atomically. Clears pool_is_dirty.
 * ERR_STATE after damage: what is on the disk stays. */
MUST_USE int pool_save(struct pool *pool, char **ret_text, size_t *ret_len);
/* The address that pool_get() has just given this name, as one record to be written at ret_at into
 * the file that holds the text of the last pool_save(). ERR_FULL: it takes pool_save(), as more has
 * changed than that, or the file has no room. */
MUST_USE int pool_save_new(struct pool *pool, const char *name, char ret_record[STATE_RECORD_LEN],
                           size_t *ret_at);
/* What pool_save() or pool_save_new() has given last is in no file: pool_get() says again that it
 * must be. */
void pool_save_failed(struct pool *pool);
/* What to tell the user after the damage. */
#define POOL_DAMAGE_ADVICE                                                                         \
    "no peer gets an address until it is repaired: restore it from a backup; or, after a reboot "  \
    "(no program holds an old peer address then), remove it and start again"
/* Into a pool that is still empty. ERR_INVALID: damaged; ret_damage says where and what to do, and
 * from then on pool_get refuses with ERR_STATE, as an address might go to another name. Entries
 * outside the prefix (the pool was configured anew) are left out. A missing file is not loaded at
 * all. */
MUST_USE int pool_load(struct pool *pool, const char *text, size_t len,
                       struct state_damage *ret_damage);

#endif
