/* Changing the table: entries are put into slots, and slots into a larger array when half of them
 * are used. Never is a slot emptied that a search goes on from. */
#include "tunnel/hash_index.h"

#include "base/map.h"
#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64

static struct hash_slots *slots_new(size_t count)
{
    const size_t size = sizeof(struct hash_slots) + count * sizeof(struct hash_slot);
    struct hash_slots *slots = (struct hash_slots *)aligned_alloc(64, size);
    if (slots == NULL)
        return NULL;
    memset(slots, 0, size);
    slots->mask = count - 1;
    return slots;
}

static void free_slots(struct rcu_head *head)
{
    rcu_order_after(&rcu_grace_period);
    free(CONTAINER_OF(head, struct hash_slots, head));
}

static struct hash_slots *slots_of(const struct hash_index *index)
{
    return atomic_load_explicit(&index->slots, memory_order_relaxed);
}

static uint64_t hash_of(const struct hash_slot *slot)
{
    return atomic_load_explicit(&slot->hash, memory_order_relaxed);
}

static void *entry_of(const struct hash_slot *slot)
{
    return atomic_load_explicit(&slot->entry, memory_order_relaxed);
}

int hash_index_init(struct hash_index *index)
{
    struct hash_slots *slots = slots_new(SLOTS_MIN);
    if (slots == NULL)
        return ERR_NOMEM;
    atomic_init(&index->slots, slots);
    index->used = index->live = 0;
    return ERR_OK;
}

void hash_index_done(struct hash_index *index)
{
    free(slots_of(index));
    memset(index, 0, sizeof(*index));
}

/* Into the first slot without entry; true: it had never been used. A reader who still takes it for
 * what it was finds that the entry is another one's. */
static bool put(struct hash_slots *slots, uint64_t hash, void *entry)
{
    size_t at = hash & slots->mask;
    while (entry_of(&slots->list[at]) != NULL)
        at = (at + 1) & slots->mask;
    struct hash_slot *slot = &slots->list[at];
    const bool is_new = hash_of(slot) == 0;
    atomic_store_explicit(&slot->entry, entry, memory_order_release);
    atomic_store_explicit(&slot->hash, hash, memory_order_release);
    return is_new;
}

/* Another array, with room for as many again; what is not used any more stays behind. */
static int rebuild(struct hash_index *index)
{
    struct hash_slots *old = slots_of(index);
    size_t count = SLOTS_MIN;
    while (count < (index->live + 1) * 3)
        count *= 2;
    struct hash_slots *slots = slots_new(count);
    if (slots == NULL)
        return ERR_NOMEM;
    for (size_t at = 0; at <= old->mask; at++) {
        if (entry_of(&old->list[at]) != NULL)
            (void)put(slots, hash_of(&old->list[at]), entry_of(&old->list[at]));
    }
    index->used = index->live;
    atomic_store_explicit(&index->slots, slots, memory_order_release);
    rcu_defer(&old->head, free_slots);
    return ERR_OK;
}

int hash_index_add(struct hash_index *index, uint64_t hash, void *entry)
{
    if ((index->used + 1) * 2 > slots_of(index)->mask + 1) {
        int error = rebuild(index);
        if (error != ERR_OK)
            return error;
    }
    if (put(slots_of(index), hash_index_hash(hash), entry))
        index->used++;
    index->live++;
    return ERR_OK;
}

void hash_index_replace(struct hash_index *index, uint64_t hash, const void *old, void *entry)
{
    struct hash_slots *slots = slots_of(index);
    hash = hash_index_hash(hash);
    for (size_t at = hash & slots->mask; hash_of(&slots->list[at]) != 0;
         at = (at + 1) & slots->mask) {
        if (entry_of(&slots->list[at]) != old || hash_of(&slots->list[at]) != hash)
            continue;
        atomic_store_explicit(&slots->list[at].entry, entry, memory_order_release);
        if (entry == NULL)
            index->live--;
        return;
    }
}
