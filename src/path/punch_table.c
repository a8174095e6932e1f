/* Many punches over one socket. Slots that may have something to send, or events, stand in queues,
 * so that nothing here is linear in the number of punches but punch_table_find_validated. */
#include "path/punch_table.h"

#include "base/map.h"
#include "crypto/memory.h"
#include "path/punch_internal.h"
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define IDLE_US (DEADLINE_NEVER - 1) /* in the heap, but never due */

struct slot {
    struct punch *punch;
    void *context;
    struct map_node by_fragment;
    struct map_node by_tag;
    struct deadline deadline;
    bool is_sending; /* in the queue of senders */
    bool is_telling; /* in the queue of those with events */
    TAILQ_ENTRY(slot) senders;
    TAILQ_ENTRY(slot) tellers;
};

TAILQ_HEAD(slot_queue, slot);

struct punch_table {
    struct map fragments;
    struct map tags;
    struct deadline_heap deadlines;
    struct slot_queue senders;
    struct slot_queue tellers;
    struct punch_budget budget;
};

int punch_table_new(struct punch_table **ret_table)
{
    uint8_t seeds[2][16];
    int error = crypto_random(seeds, sizeof seeds);
    if (error != ERR_OK)
        return error;
    struct punch_table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return ERR_NOMEM;
    TAILQ_INIT(&table->senders);
    TAILQ_INIT(&table->tellers);
    deadline_heap_init(&table->deadlines);
    error = map_init(&table->fragments, seeds[0]);
    if (error == ERR_OK)
        error = map_init(&table->tags, seeds[1]);
    if (error != ERR_OK) {
        punch_table_free(table);
        return error;
    }
    *ret_table = table;
    return ERR_OK;
}

static struct slot *find_fragment(const struct punch_table *table, const void *fragment)
{
    const uint64_t hash = map_hash(&table->fragments, fragment, CREDENTIALS_FRAGMENT_LEN);
    struct map_node *node = map_first(&table->fragments, hash);
    for (; node != NULL; node = map_next(node)) {
        struct slot *slot = CONTAINER_OF(node, struct slot, by_fragment);
        if (memcmp(punch_fragment(slot->punch), fragment, CREDENTIALS_FRAGMENT_LEN) == 0)
            return slot;
    }
    return NULL;
}

static struct slot *find_tag(const struct punch_table *table, const uint8_t *tag)
{
    struct map_node *node = map_first(&table->tags, map_hash(&table->tags, tag, PUNCH_TAG_LEN));
    for (; node != NULL; node = map_next(node)) {
        struct slot *slot = CONTAINER_OF(node, struct slot, by_tag);
        if (memcmp(punch_tag(slot->punch), tag, PUNCH_TAG_LEN) == 0)
            return slot;
    }
    return NULL;
}

/* The heap has had room for every slot since it was opened, and never shrinks: this cannot fail. */
static void move_deadline(struct punch_table *table, struct slot *slot, uint64_t at_us)
{
    const int error = deadline_set(&table->deadlines, &slot->deadline, at_us);
    (void)error;
}

/* After anything was done to a punch: it may have something to send, events, and another deadline.
 * One that is due already waits for transmit, which notes it again; should the owner leave that
 * out, the timer comes back a little later instead of at once. */
static void note(struct punch_table *table, struct slot *slot, uint64_t now_us)
{
    if (!slot->is_sending)
        TAILQ_INSERT_TAIL(&table->senders, slot, senders);
    slot->is_sending = true;
    if (!slot->is_telling)
        TAILQ_INSERT_TAIL(&table->tellers, slot, tellers);
    slot->is_telling = true;
    const uint64_t at_us = punch_deadline(slot->punch);
    if (at_us == DEADLINE_NEVER)
        move_deadline(table, slot, IDLE_US);
    else
        move_deadline(table, slot, at_us > now_us ? at_us : now_us + MS_US);
}

int punch_table_open(struct punch_table *table, const struct punch_config *config, void *context,
                     uint64_t now_us, struct punch **ret_punch)
{
    if (table->fragments.count >= PUNCH_TABLE_MAX)
        return ERR_LIMIT;
    if (find_fragment(table, config->local.fragment) != NULL)
        return ERR_EXISTS;
    struct slot *slot = calloc(1, sizeof *slot);
    if (slot == NULL)
        return ERR_NOMEM;
    slot->context = context;
    struct punch_config shared = *config;
    shared.budget = &table->budget;
    int error = punch_new(&shared, now_us, &slot->punch);
    crypto_wipe(&shared, sizeof shared);
    if (error != ERR_OK)
        goto free_slot;
    error = deadline_set(&table->deadlines, &slot->deadline, IDLE_US);
    if (error != ERR_OK)
        goto free_punch;
    error =
        map_insert(&table->fragments, &slot->by_fragment,
                   map_hash(&table->fragments, config->local.fragment, CREDENTIALS_FRAGMENT_LEN));
    if (error != ERR_OK)
        goto clear_deadline;
    error = map_insert(&table->tags, &slot->by_tag,
                       map_hash(&table->tags, punch_tag(slot->punch), PUNCH_TAG_LEN));
    if (error != ERR_OK)
        goto remove_fragment;
    *ret_punch = slot->punch;
    return ERR_OK;

remove_fragment:
    map_remove(&table->fragments, &slot->by_fragment);
clear_deadline:
    deadline_clear(&table->deadlines, &slot->deadline);
free_punch:
    punch_free(slot->punch);
free_slot:
    free(slot);
    return error;
}

static void close_slot(struct punch_table *table, struct slot *slot)
{
    map_remove(&table->fragments, &slot->by_fragment);
    map_remove(&table->tags, &slot->by_tag);
    deadline_clear(&table->deadlines, &slot->deadline);
    if (slot->is_sending)
        TAILQ_REMOVE(&table->senders, slot, senders);
    if (slot->is_telling)
        TAILQ_REMOVE(&table->tellers, slot, tellers);
    punch_free(slot->punch);
    free(slot);
}

void punch_table_close(struct punch_table *table, struct punch *punch)
{
    if (punch != NULL)
        close_slot(table, find_fragment(table, punch_fragment(punch)));
}

void punch_table_free(struct punch_table *table)
{
    if (table == NULL)
        return;
    struct map_node *node, *next;
    for (node = map_walk(&table->fragments, NULL); node != NULL; node = next) {
        next = map_walk(&table->fragments, node);
        close_slot(table, CONTAINER_OF(node, struct slot, by_fragment));
    }
    map_done(&table->fragments);
    map_done(&table->tags);
    deadline_heap_done(&table->deadlines);
    free(table);
}

size_t punch_table_count(const struct punch_table *table)
{
    return table->fragments.count;
}

int punch_table_set_remote(struct punch_table *table, struct punch *punch,
                           const struct credentials *remote,
                           const struct candidate_list *candidates, uint64_t now_us)
{
    const int error = punch_set_remote(punch, remote, candidates, now_us);
    note(table, find_fragment(table, punch_fragment(punch)), now_us);
    return error;
}

int punch_table_give_sockets(struct punch_table *table, struct punch *punch, uint16_t first,
                             unsigned count, uint64_t now_us)
{
    const int error = punch_give_sockets(punch, first, count, now_us);
    note(table, find_fragment(table, punch_fragment(punch)), now_us);
    return error;
}

void punch_table_confirm(struct punch_table *table, struct punch *punch,
                         const struct endpoint *endpoint, uint64_t now_us)
{
    punch_confirm(punch, endpoint, now_us);
    note(table, find_fragment(table, punch_fragment(punch)), now_us);
}

int punch_table_receive(struct punch_table *table, const void *data, size_t len,
                        const struct endpoint *from, uint64_t now_us)
{
    struct stun_message m;
    if (stun_parse(data, len, &m) != ERR_OK)
        return ERR_INVALID;
    struct slot *slot = NULL;
    if (m.class != STUN_REQUEST)
        slot = find_tag(table, m.transaction_id);
    else if (m.username != NULL && m.username_len == CHECK_USERNAME_LEN)
        slot = find_fragment(table, m.username);
    if (slot == NULL)
        return ERR_NOT_FOUND;
    const int error = punch_take(slot->punch, data, &m, from, now_us);
    if (error == ERR_OK)
        note(table, slot, now_us);
    return error;
}

int punch_table_transmit(struct punch_table *table, struct writer *w, uint64_t now_us,
                         struct punch_target *ret_target)
{
    struct slot *slot;
    while ((slot = TAILQ_FIRST(&table->senders)) != NULL) {
        const int error = punch_transmit(slot->punch, w, now_us, ret_target);
        if (error != ERR_AGAIN)
            return error;
        note(table, slot, now_us); /* what was sent has moved its deadline */
        TAILQ_REMOVE(&table->senders, slot, senders);
        slot->is_sending = false;
    }
    return ERR_AGAIN;
}

uint64_t punch_table_deadline(const struct punch_table *table)
{
    const uint64_t at_us = deadline_heap_next(&table->deadlines);
    return at_us >= IDLE_US ? DEADLINE_NEVER : at_us;
}

void punch_table_expire(struct punch_table *table, uint64_t now_us)
{
    struct deadline *due;
    while ((due = deadline_heap_pop(&table->deadlines, now_us)) != NULL) {
        struct slot *slot = CONTAINER_OF(due, struct slot, deadline);
        punch_expire(slot->punch, now_us);
        note(table, slot, now_us);
    }
}

bool punch_table_next_event(struct punch_table *table, struct punch **ret_punch, void **ret_context,
                            struct punch_event *ret_event)
{
    struct slot *slot;
    while ((slot = TAILQ_FIRST(&table->tellers)) != NULL) {
        if (punch_next_event(slot->punch, ret_event)) {
            *ret_punch = slot->punch;
            if (ret_context != NULL)
                *ret_context = slot->context;
            return true;
        }
        TAILQ_REMOVE(&table->tellers, slot, tellers);
        slot->is_telling = false;
    }
    return false;
}

/* The caller is who begins IKE: so a call that came in goes before one of ours to the same host at
 * the same time, and a nominated one before an attempt that is over. */
static int likeliness(const struct slot *slot)
{
    return (slot->punch->config.is_controlling ? 0 : 2) + (punch_is_nominated(slot->punch) ? 1 : 0);
}

struct punch *punch_table_find_validated(const struct punch_table *table,
                                         const struct endpoint *endpoint, void **ret_context)
{
    const struct slot *best = NULL;
    struct map_node *node = map_walk(&table->fragments, NULL);
    for (; node != NULL; node = map_walk(&table->fragments, node)) {
        const struct slot *slot = CONTAINER_OF(node, struct slot, by_fragment);
        if (punch_is_validated(slot->punch, endpoint) &&
            (best == NULL || likeliness(slot) > likeliness(best)))
            best = slot;
    }
    if (best == NULL)
        return NULL;
    if (ret_context != NULL)
        *ret_context = best->context;
    return best->punch;
}
