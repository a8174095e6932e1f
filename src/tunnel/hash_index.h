/* A hash table that gives what it leads to at once: slots of a hash and a pointer, four of them in
 * a cache line, looked through from the one that the hash says on. So a look-up waits for memory
 * once, and whoever looks ahead can ask for the slot, and for what its hash promises, without
 * touching either. One control thread changes it, others read it without locks, in read sections.
 *
 * Each hash leads to one entry: who has several of one key links them. Whether an entry is the one
 * that is meant its owner says; it frees entries after a grace period. */
#ifndef TUNNEL_HASH_INDEX_H
#define TUNNEL_HASH_INDEX_H

#include "base/error.h"
#include "tunnel/rcu.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_slot {
    _Atomic uint64_t hash; /* 0: never used; a search ends here */
    _Atomic(void *) entry; /* NULL: not used any more */
};

struct hash_slots {
    struct rcu_head head;
    size_t mask; /* their number, a power of two, less one */
    _Alignas(64) struct hash_slot list[];
};

struct hash_index {
    _Atomic(struct hash_slots *) slots;
    size_t used; /* with a hash; control thread, like the next */
    size_t live; /* with an entry */
};

/* ---- control thread ---- */

/* ERR_NOMEM. */
MUST_USE int hash_index_init(struct hash_index *index);
/* Once nobody reads it any more. Also of zeroed ones. */
void hash_index_done(struct hash_index *index);
/* Grows as needed. ERR_NOMEM leaves it as it was. */
MUST_USE int hash_index_add(struct hash_index *index, uint64_t hash, void *entry);
/* Puts another entry in the place of one that is there (NULL: none). */
void hash_index_replace(struct hash_index *index, uint64_t hash, const void *old, void *entry);

/* ---- any thread, in a read section ---- */

static inline uint64_t hash_index_hash(uint64_t hash)
{
    return hash != 0 ? hash : 1;
}

/* The entry of this hash that matches; NULL: none. */
static inline void *hash_index_find(const struct hash_index *index, uint64_t hash,
                                    bool (*match)(const void *entry, const void *key),
                                    const void *key)
{
    const struct hash_slots *slots = atomic_load_explicit(&index->slots, memory_order_acquire);
    uint64_t found;
    hash = hash_index_hash(hash);
    for (size_t at = hash & slots->mask;; at = (at + 1) & slots->mask) {
        const struct hash_slot *slot = &slots->list[at];
        found = atomic_load_explicit(&slot->hash, memory_order_acquire);
        if (found == 0)
            return NULL;
        if (found != hash)
            continue;
        void *entry = atomic_load_explicit(&slot->entry, memory_order_acquire);
        if (entry != NULL && match(entry, key))
            return entry;
    }
}

/* Has the hash's slot on its way from memory. */
static inline void hash_index_look_ahead(const struct hash_index *index, uint64_t hash)
{
    const struct hash_slots *slots = atomic_load_explicit(&index->slots, memory_order_acquire);
    __builtin_prefetch(&slots->list[hash_index_hash(hash) & slots->mask]);
}

/* What most likely is found, by the hash alone; only for looking ahead. */
static inline void *hash_index_guess(const struct hash_index *index, uint64_t hash)
{
    const struct hash_slots *slots = atomic_load_explicit(&index->slots, memory_order_acquire);
    uint64_t found;
    hash = hash_index_hash(hash);
    for (size_t at = hash & slots->mask;; at = (at + 1) & slots->mask) {
        found = atomic_load_explicit(&slots->list[at].hash, memory_order_acquire);
        if (found == hash || found == 0)
            return found == 0 ? NULL
                              : atomic_load_explicit(&slots->list[at].entry, memory_order_acquire);
    }
}

#endif
