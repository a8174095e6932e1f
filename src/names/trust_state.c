/* The state file of pins: `host|connector NAME KEY ORIGIN SECONDS` a line, with room for more.
 * Strict: a line lost or changed would make a known host one of first contact. */
#include "names/trust_table.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TITLE "detec-trust"
#define LINE  "%s %s %s %s %" PRIu64

static const char *const KINDS[] = {[TRUST_HOST] = "host", [TRUST_CONNECTOR] = "connector"};

static const char *const ORIGINS[] = {
    [TRUST_ORIGIN_FIRST_CONTACT] = "first-contact",
    [TRUST_ORIGIN_CONNECTOR] = "connector",
    [TRUST_ORIGIN_DNSSEC] = "dnssec",
    [TRUST_ORIGIN_COMMAND] = "command",
    [TRUST_ORIGIN_CONFIGURATION] = "configuration",
};

const char *trust_origin_text(enum trust_origin origin)
{
    return ORIGINS[origin];
}

int trust_save(struct trust *trust, char **ret_text, size_t *ret_len)
{
    struct state_builder b;
    char key[PUBLIC_KEY_TEXT_CAP];

    if (trust->is_damaged)
        return ERR_STATE;
    state_builder_init(&b, TITLE " 1");
    for (struct map_node *n = map_walk(&trust->saved, NULL); n != NULL;
         n = map_walk(&trust->saved, n)) {
        struct trust_pin_slot *slot = CONTAINER_OF(n, struct trust_pin_slot, by_name);
        state_builder_line(&b, LINE, KINDS[slot->kind], slot->name,
                           public_key_format(&slot->key, key), ORIGINS[slot->origin],
                           slot->since_s);
        slot->is_unsaved = false;
    }
    trust->unsaved = 0;
    trust->is_dirty = false;
    int error = state_builder_finish_with_room(&b, state_room_for(trust->saved.count), ret_text,
                                               ret_len, &trust->room);
    if (error != ERR_OK)
        trust_save_failed(trust);
    return error;
}

void trust_save_failed(struct trust *trust)
{
    trust->is_dirty = true;
    trust->room = (struct state_room){.count = 0};
}

int trust_save_new(struct trust *trust, enum trust_kind kind, const char *name,
                   char ret_record[STATE_RECORD_LEN], size_t *ret_at)
{
    struct trust_pin_slot *slot = trust_table_find(&trust->saved, kind, name);
    char key[PUBLIC_KEY_TEXT_CAP];

    if (trust->is_damaged || trust->is_dirty || slot == NULL || !slot->is_unsaved ||
        trust->unsaved != 1)
        return ERR_FULL;
    int error =
        state_room_add(&trust->room, ret_record, ret_at, LINE, KINDS[slot->kind], slot->name,
                       public_key_format(&slot->key, key), ORIGINS[slot->origin], slot->since_s);
    if (error != ERR_OK)
        return error;
    slot->is_unsaved = false;
    trust->unsaved = 0;
    return ERR_OK;
}

/* The index of word in words; count if it is not there. */
static size_t index_of(const char *word, const char *const *words, size_t count)
{
    size_t i = 0;

    while (i < count && strcmp(word, words[i]) != 0)
        i++;
    return i;
}

static int load_line(struct trust *trust, struct state_reader *r, struct state_damage *ret_damage)
{
    struct trust_pin_view pin;
    char canonical[NAME_TEXT_CAP];

    if (r->word_count != 5)
        return state_reader_fail(r, ret_damage, "must be host|connector NAME KEY ORIGIN SECONDS");
    size_t kind = index_of(r->words[0], KINDS, 2);
    if (kind == 2)
        return state_reader_fail(r, ret_damage, "'%s' must be 'host' or 'connector'", r->words[0]);
    if (name_normalize(r->words[1], canonical) != ERR_OK || strcmp(canonical, r->words[1]) != 0)
        return state_reader_fail(r, ret_damage, "the second word is not a host name");
    if (public_key_parse(r->words[2], &pin.key) != ERR_OK)
        return state_reader_fail(r, ret_damage, "the third word is not a public key");
    size_t origin = index_of(r->words[3], ORIGINS, TRUST_ORIGIN_CONFIGURATION);
    if (origin == TRUST_ORIGIN_CONFIGURATION)
        return state_reader_fail(r, ret_damage, "the fourth word is not an origin");
    if (state_parse_number(r->words[4], &pin.since_s) != ERR_OK)
        return state_reader_fail(r, ret_damage, "'%s' is not a time in seconds", r->words[4]);
    pin.kind = (enum trust_kind)kind;
    pin.origin = (enum trust_origin)origin;
    pin.name = canonical;
    if (trust_table_find(&trust->saved, pin.kind, pin.name) != NULL)
        return state_reader_fail(r, ret_damage, "a second key of the same name");
    if (trust->saved.count >= TRUST_PINS_MAX)
        return state_reader_fail(r, ret_damage, "more than %d keys", TRUST_PINS_MAX);
    int error = trust_table_insert(trust, &trust->saved, &pin);
    if (error != ERR_OK)
        (void)state_reader_fail(r, ret_damage, "%s", error_text(error));
    return error;
}

int trust_load(struct trust *trust, const char *text, size_t len, struct state_damage *ret_damage)
{
    struct state_reader r;
    char reason[STATE_MESSAGE_CAP + 64];

    if (trust->saved.count > 0 || trust->is_damaged)
        return ERR_STATE;
    int error = state_reader_init(&r, text, len, TITLE, ret_damage);
    if (error == ERR_OK && r.word_count != 2)
        error = state_reader_fail(&r, ret_damage, "the first line must be '" TITLE " 1'");
    while (error == ERR_OK) {
        error = state_reader_next(&r, ret_damage);
        if (error == ERR_OK)
            error = load_line(trust, &r, ret_damage);
    }
    if (error == ERR_NOT_FOUND) {
        trust->is_dirty = false;
        return ERR_OK;
    }
    snprintf(reason, sizeof reason, "the state file is damaged at line %zu: %s", ret_damage->line,
             ret_damage->message);
    trust_refuse_all(trust, reason);
    return error;
}
