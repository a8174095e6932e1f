/* The pool's state file: `ADDRESS NAME used|released SECONDS` a line, with room for more. Strict:
 * anything odd refuses the file as a whole, since a wrong line might give a peer's address to
 * another name. */
#include "base/text.h"
#include "names/pool_table.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TITLE "detec-pool"

#define LINE "%s %s %s %" PRIu64

static const char *word_of(const struct pool_slot *slot)
{
    return slot->is_released ? "released" : "used";
}

static void note_saved(struct pool *pool, struct pool_slot *slot)
{
    if (!slot->is_unsaved)
        return;
    slot->is_unsaved = false;
    slot->save = pool->save;
    pool->unsaved--;
}

int pool_save(struct pool *pool, char **ret_text, size_t *ret_len)
{
    char title[sizeof TITLE + 4 + PREFIX_TEXT_CAP], text[PREFIX_TEXT_CAP];
    struct state_builder b;

    if (pool->is_damaged)
        return ERR_STATE; /* what is on the disk is all that is left to repair */
    snprintf(title, sizeof title, TITLE " 1 %s", prefix_format(&pool->prefix, text, sizeof text));
    pool->save++;
    state_builder_init(&b, title);
    for (struct map_node *n = map_walk(&pool->by_name, NULL); n != NULL;
         n = map_walk(&pool->by_name, n)) {
        struct pool_slot *slot = CONTAINER_OF(n, struct pool_slot, by_name);
        struct address address = address_from_ipv4(slot->address);
        state_builder_line(&b, LINE, address_format(&address, text, sizeof text), slot->name,
                           word_of(slot), slot->used_s);
        note_saved(pool, slot);
    }
    pool->is_dirty = pool->is_moved = false;
    int error = state_builder_finish_with_room(&b, state_room_for(pool->by_name.count), ret_text,
                                               ret_len, &pool->room);
    if (error != ERR_OK)
        pool_save_failed(pool);
    return error;
}

void pool_save_failed(struct pool *pool)
{
    for (struct map_node *n = map_walk(&pool->by_name, NULL); n != NULL;
         n = map_walk(&pool->by_name, n)) {
        struct pool_slot *slot = CONTAINER_OF(n, struct pool_slot, by_name);
        if (slot->save == pool->save && !slot->is_unsaved) {
            slot->is_unsaved = true;
            pool->unsaved++;
        }
    }
    pool->is_dirty = pool->is_moved = true;
    pool->room = (struct state_room){.count = 0};
}

int pool_save_new(struct pool *pool, const char *name, char ret_record[STATE_RECORD_LEN],
                  size_t *ret_at)
{
    struct pool_slot *slot = pool_table_by_name(pool, name);
    char text[ADDRESS_TEXT_CAP];

    if (pool->is_damaged || pool->is_moved || slot == NULL || !slot->is_unsaved ||
        pool->unsaved != 1)
        return ERR_FULL;
    const struct address address = address_from_ipv4(slot->address);
    int error = state_room_add(&pool->room, ret_record, ret_at, LINE,
                               address_format(&address, text, sizeof text), slot->name,
                               word_of(slot), slot->used_s);
    if (error != ERR_OK)
        return error;
    pool->save++;
    note_saved(pool, slot);
    return ERR_OK;
}

/* One line of the file; is_same: the file was written for the same prefix. */
static int load_line(struct pool *pool, struct state_reader *r, bool is_same,
                     struct state_damage *ret_damage)
{
    char canonical[NAME_TEXT_CAP];
    struct address address;
    struct pool_slot *slot;
    uint64_t used_s = 0;

    if (r->word_count != 4)
        return state_reader_fail(r, ret_damage, "must be ADDRESS NAME used|released SECONDS");
    if (address_parse(r->words[0], &address) != ERR_OK || address.family != ADDRESS_IPV4)
        return state_reader_fail(r, ret_damage, "'%s' is not an IPv4 address", r->words[0]);
    if (name_normalize(r->words[1], canonical) != ERR_OK || strcmp(canonical, r->words[1]) != 0)
        return state_reader_fail(r, ret_damage, "the second word is not a host name");
    bool is_released = strcmp(r->words[2], "released") == 0;
    if (!is_released && strcmp(r->words[2], "used") != 0)
        return state_reader_fail(r, ret_damage, "'%s' must be 'used' or 'released'", r->words[2]);
    if (state_parse_number(r->words[3], &used_s) != ERR_OK)
        return state_reader_fail(r, ret_damage, "'%s' is not a time in seconds", r->words[3]);

    uint32_t number = address_to_ipv4(&address);
    if (!pool_table_is_usable(pool, number)) {
        if (!is_same)
            return ERR_OK;
        return state_reader_fail(r, ret_damage, "%s cannot stand for a peer", r->words[0]);
    }
    if (pool_table_by_name(pool, canonical) != NULL)
        return state_reader_fail(r, ret_damage, "a second address of the same name");
    if (pool_table_by_address(pool, number) != NULL)
        return state_reader_fail(r, ret_damage, "a second name of %s", r->words[0]);
    if (pool->by_name.count >= POOL_NAMES_MAX)
        return state_reader_fail(r, ret_damage, "more than %d names", POOL_NAMES_MAX);
    int error = pool_table_insert(pool, canonical, number, &slot);
    if (error != ERR_OK) {
        (void)state_reader_fail(r, ret_damage, "%s", error_text(error));
        return error;
    }
    slot->is_released = is_released;
    slot->used_s = used_s;
    slot->is_unsaved = false;
    pool->unsaved--;
    return ERR_OK;
}

int pool_load(struct pool *pool, const char *text, size_t len, struct state_damage *ret_damage)
{
    struct state_reader r;
    struct prefix prefix;

    if (pool->by_name.count > 0 || pool->is_damaged)
        return ERR_STATE;
    int error = state_reader_init(&r, text, len, TITLE, ret_damage);
    if (error == ERR_OK && (r.word_count != 3 || prefix_parse(r.words[2], &prefix) != ERR_OK))
        error = state_reader_fail(&r, ret_damage, "the first line must name the pool's prefix");
    bool is_same = error == ERR_OK && prefix.bits == pool->prefix.bits &&
                   address_is_equal(&prefix.address, &pool->prefix.address);
    while (error == ERR_OK) {
        error = state_reader_next(&r, ret_damage);
        if (error == ERR_OK)
            error = load_line(pool, &r, is_same, ret_damage);
    }
    if (error == ERR_NOT_FOUND) {
        pool->is_dirty = false;
        return ERR_OK;
    }
    pool_table_clear(pool);
    pool->is_damaged = true;
    return error;
}
