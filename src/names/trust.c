/* The pins, and the decision about a key. The state file is in trust_state.c. */
#include "names/trust.h"

#include "names/trust_table.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table ---- */

static uint64_t hash_of(const struct map *map, enum trust_kind kind, const char *name)
{
    char key[1 + NAME_TEXT_CAP] = {(char)kind};
    size_t len = strnlen(name, NAME_TEXT_CAP);

    memcpy(key + 1, name, len);
    return map_hash(map, key, 1 + len);
}

struct trust_pin_slot *trust_table_find(const struct map *map, enum trust_kind kind,
                                        const char *name)
{
    uint64_t hash = hash_of(map, kind, name);

    for (struct map_node *n = map_first(map, hash); n != NULL; n = map_next(n)) {
        struct trust_pin_slot *slot = CONTAINER_OF(n, struct trust_pin_slot, by_name);
        if (slot->kind == kind && strcmp(slot->name, name) == 0)
            return slot;
    }
    return NULL;
}

static bool is_auto(enum trust_origin origin)
{
    return origin != TRUST_ORIGIN_COMMAND && origin != TRUST_ORIGIN_CONFIGURATION;
}

int trust_table_insert(struct trust *trust, struct map *map, const struct trust_pin_view *pin)
{
    size_t name_len = strlen(pin->name);
    struct trust_pin_slot *slot = calloc(1, sizeof *slot + name_len + 1);

    if (slot == NULL)
        return ERR_NOMEM;
    memcpy(slot->name, pin->name, name_len + 1);
    slot->kind = pin->kind;
    slot->origin = pin->origin;
    slot->key = pin->key;
    slot->since_s = pin->since_s;
    if (map_insert(map, &slot->by_name, hash_of(map, pin->kind, pin->name)) != ERR_OK) {
        free(slot);
        return ERR_NOMEM;
    }
    trust->auto_count += is_auto(slot->origin);
    return ERR_OK;
}

static void remove_slot(struct trust *trust, struct map *map, struct trust_pin_slot *slot)
{
    trust->auto_count -= is_auto(slot->origin);
    trust->unsaved -= slot->is_unsaved;
    map_remove(map, &slot->by_name);
    free(slot);
}

void trust_table_clear(struct trust *trust, struct map *map)
{
    struct map_node *node = map_walk(map, NULL);

    while (node != NULL) {
        struct map_node *next = map_walk(map, node);
        remove_slot(trust, map, CONTAINER_OF(node, struct trust_pin_slot, by_name));
        node = next;
    }
}

int trust_new(const uint8_t seed[16], struct trust **ret_trust)
{
    struct trust *trust = calloc(1, sizeof *trust);

    if (trust == NULL)
        return ERR_NOMEM;
    if (map_init(&trust->saved, seed) != ERR_OK)
        goto free_trust;
    if (map_init(&trust->configured, seed) != ERR_OK)
        goto done_saved;
    *ret_trust = trust;
    return ERR_OK;

done_saved:
    map_done(&trust->saved);
free_trust:
    free(trust);
    return ERR_NOMEM;
}

void trust_free(struct trust *trust)
{
    if (trust == NULL)
        return;
    trust_table_clear(trust, &trust->saved);
    trust_table_clear(trust, &trust->configured);
    map_done(&trust->saved);
    map_done(&trust->configured);
    free(trust);
}

/* ---- the decision ---- */

static bool is_canonical(const char *name)
{
    char canonical[NAME_TEXT_CAP];

    return name_normalize(name, canonical) == ERR_OK && strcmp(name, canonical) == 0;
}

#define DATE_TEXT_CAP 32

/* "2025-01-31" of wall-clock seconds (proleptic Gregorian, counted in years that begin in March).
 */
static const char *format_date(uint64_t wall_s, char text[DATE_TEXT_CAP])
{
    uint64_t days = wall_s / 86400 + 719468; /* from 0000-03-01 */
    uint64_t era = days / 146097;            /* of 400 years */
    uint64_t day_of_era = days % 146097;
    uint64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t month = (5 * day_of_year + 2) / 153; /* from March */
    uint64_t year = era * 400 + year_of_era + (month >= 10);

    snprintf(text, DATE_TEXT_CAP, "%" PRIu64 "-%02u-%02u", year,
             (unsigned)(month < 10 ? month + 3 : month - 9),
             (unsigned)(day_of_year - (153 * month + 2) / 5 + 1));
    return text;
}

static const char *source_text(enum trust_kind kind, enum trust_level source)
{
    if (source == TRUST_LEVEL_DNSSEC)
        return "DNS, validated by DNSSEC";
    return kind == TRUST_HOST ? "the word of its zone's connector" : "DNS, not validated";
}

static const char *subject_text(enum trust_kind kind)
{
    return kind == TRUST_HOST ? "" : "the connector of ";
}

static void describe_contradiction(const struct trust_pin_slot *pin, const struct public_key *key,
                                   enum trust_level source, struct trust_verdict *verdict)
{
    char pinned[PUBLIC_KEY_TEXT_CAP], offered[PUBLIC_KEY_TEXT_CAP], date[DATE_TEXT_CAP];

    public_key_format(&pin->key, pinned);
    public_key_format(key, offered);
    if (pin->origin == TRUST_ORIGIN_CONFIGURATION) {
        snprintf(verdict->message, sizeof verdict->message,
                 "the key of %s%s is not the one in the configuration: configured is %s, offered "
                 "is %s (%s); correct [trust] only if you know why it has changed",
                 subject_text(pin->kind), pin->name, pinned, offered,
                 source_text(pin->kind, source));
        return;
    }
    snprintf(verdict->message, sizeof verdict->message,
             "the key of %s%s has changed: pinned is %s (%s, %s), offered is %s (%s); if you know "
             "why it has changed, type: detec trust %s%s",
             subject_text(pin->kind), pin->name, pinned, trust_origin_text(pin->origin),
             format_date(pin->since_s, date), offered, source_text(pin->kind, source),
             pin->kind == TRUST_CONNECTOR ? "--connector " : "", pin->name);
}

static void describe_weakness(enum trust_kind kind, const char *name, const struct public_key *key,
                              enum trust_level source, enum trust_level accept,
                              struct trust_verdict *verdict)
{
    char offered[PUBLIC_KEY_TEXT_CAP];

    public_key_format(key, offered);
    snprintf(verdict->message, sizeof verdict->message,
             "the key %s of %s%s comes from %s, and 'accept = %s' in [trust] asks for more; if you "
             "know from its owner that it is right, write into [trust]: %s = %s %s",
             offered, subject_text(kind), name, source_text(kind, source),
             accept == TRUST_LEVEL_PINNED ? "pinned" : "dnssec",
             kind == TRUST_CONNECTOR ? "connector-key" : "pin", name, offered);
}

static struct trust_verdict refuse(enum trust_result result)
{
    return (struct trust_verdict){.result = result};
}

/* A pin exists: it alone decides. */
static struct trust_verdict compare(const struct trust_pin_slot *pin, const struct public_key *key,
                                    enum trust_level source)
{
    struct trust_verdict verdict = {.result = TRUST_KNOWN, .is_accepted = true};

    if (public_key_is_equal(&pin->key, key))
        return verdict;
    verdict = refuse(TRUST_CONTRADICTION);
    describe_contradiction(pin, key, source, &verdict);
    return verdict;
}

int trust_check(const struct trust *trust, enum trust_kind kind, const char *name,
                const struct public_key *key, enum trust_level source, enum trust_level accept,
                struct trust_verdict *ret_verdict)
{
    struct trust_verdict verdict = {.result = TRUST_NEW, .is_accepted = true};
    const struct trust_pin_slot *pin;

    if (!is_canonical(name) || (kind != TRUST_HOST && kind != TRUST_CONNECTOR) ||
        (source != TRUST_LEVEL_CONNECTOR && source != TRUST_LEVEL_DNSSEC) ||
        accept < TRUST_LEVEL_CONNECTOR || accept > TRUST_LEVEL_PINNED)
        return ERR_INVALID;
    if ((pin = trust_table_find(&trust->configured, kind, name)) != NULL) {
        verdict = compare(pin, key, source);
    } else if (trust->is_damaged) {
        verdict = refuse(TRUST_DAMAGED);
        snprintf(verdict.message, sizeof verdict.message,
                 "nobody's key can be told from a changed one: %s; " TRUST_DAMAGE_ADVICE,
                 trust->reason);
    } else if ((pin = trust_table_find(&trust->saved, kind, name)) != NULL) {
        verdict = compare(pin, key, source);
    } else if (source < accept) {
        verdict = refuse(TRUST_TOO_WEAK);
        describe_weakness(kind, name, key, source, accept, &verdict);
    } else if (trust->saved.count >= TRUST_PINS_MAX || trust->auto_count >= TRUST_AUTO_PINS_MAX) {
        verdict = refuse(TRUST_FULL);
        snprintf(verdict.message, sizeof verdict.message,
                 "the key of %s%s cannot be pinned: %zu keys are pinned already; forget some with: "
                 "detec trust NAME",
                 subject_text(kind), name, trust->saved.count);
    }
    *ret_verdict = verdict;
    return ERR_OK;
}

int trust_pin(struct trust *trust, enum trust_kind kind, const char *name,
              const struct public_key *key, enum trust_level source, enum trust_level accept,
              uint64_t wall_s, struct trust_verdict *ret_verdict, bool *ret_is_new)
{
    struct trust_verdict verdict;

    int error = trust_check(trust, kind, name, key, source, accept, &verdict);
    if (error != ERR_OK)
        return error;
    if (verdict.result == TRUST_NEW) {
        struct trust_pin_view pin = {.kind = kind, .name = name, .key = *key, .since_s = wall_s};
        pin.origin = source == TRUST_LEVEL_DNSSEC ? TRUST_ORIGIN_DNSSEC
                     : kind == TRUST_HOST         ? TRUST_ORIGIN_CONNECTOR
                                                  : TRUST_ORIGIN_FIRST_CONTACT;
        error = trust_table_insert(trust, &trust->saved, &pin);
        if (error != ERR_OK)
            return error;
        trust_table_find(&trust->saved, kind, name)->is_unsaved = true;
        trust->unsaved++;
    }
    *ret_verdict = verdict;
    *ret_is_new = verdict.result == TRUST_NEW;
    return verdict.is_accepted ? ERR_OK : ERR_REFUSED;
}

int trust_set(struct trust *trust, enum trust_kind kind, const char *name,
              const struct public_key *key, uint64_t wall_s)
{
    struct trust_pin_view pin = {
        .kind = kind, .name = name, .key = *key, .origin = TRUST_ORIGIN_COMMAND, .since_s = wall_s};

    if (!is_canonical(name))
        return ERR_INVALID;
    const struct trust_pin_slot *configured = trust_table_find(&trust->configured, kind, name);
    if (trust->is_damaged || (configured != NULL && !public_key_is_equal(&configured->key, key)))
        return ERR_STATE;
    struct trust_pin_slot *slot = trust_table_find(&trust->saved, kind, name);
    if (slot == NULL && trust->saved.count >= TRUST_PINS_MAX)
        return ERR_FULL;
    if (slot == NULL) {
        int error = trust_table_insert(trust, &trust->saved, &pin);
        if (error != ERR_OK)
            return error;
    } else {
        trust->auto_count -= is_auto(slot->origin);
        slot->key = *key;
        slot->origin = TRUST_ORIGIN_COMMAND;
        slot->since_s = wall_s;
    }
    trust->is_dirty = true;
    return ERR_OK;
}

int trust_set_configuration(struct trust *trust, enum trust_kind kind, const char *name,
                            const struct public_key *key)
{
    struct trust_pin_view pin = {
        .kind = kind, .name = name, .key = *key, .origin = TRUST_ORIGIN_CONFIGURATION};

    if (!is_canonical(name))
        return ERR_INVALID;
    const struct trust_pin_slot *slot = trust_table_find(&trust->configured, kind, name);
    if (slot != NULL)
        return public_key_is_equal(&slot->key, key) ? ERR_OK : ERR_EXISTS;
    return trust_table_insert(trust, &trust->configured, &pin);
}

void trust_clear_configuration(struct trust *trust)
{
    trust_table_clear(trust, &trust->configured);
}

int trust_remove(struct trust *trust, enum trust_kind kind, const char *name)
{
    if (trust->is_damaged)
        return ERR_STATE;
    struct trust_pin_slot *slot = trust_table_find(&trust->saved, kind, name);
    if (slot == NULL)
        return ERR_NOT_FOUND;
    remove_slot(trust, &trust->saved, slot);
    trust->is_dirty = true;
    return ERR_OK;
}

int trust_find(const struct trust *trust, enum trust_kind kind, const char *name,
               struct public_key *ret_key, enum trust_origin *ret_origin)
{
    const struct trust_pin_slot *slot = trust_table_find(&trust->configured, kind, name);

    if (slot == NULL)
        slot = trust_table_find(&trust->saved, kind, name);
    if (slot == NULL)
        return ERR_NOT_FOUND;
    *ret_key = slot->key;
    *ret_origin = slot->origin;
    return ERR_OK;
}

size_t trust_count(const struct trust *trust)
{
    return trust->saved.count + trust->configured.count;
}

void trust_walk(const struct trust *trust,
                void (*visit)(const struct trust_pin_view *pin, void *context), void *context)
{
    const struct map *maps[] = {&trust->configured, &trust->saved};

    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++)
        for (struct map_node *n = map_walk(maps[i], NULL); n != NULL; n = map_walk(maps[i], n)) {
            const struct trust_pin_slot *slot = CONTAINER_OF(n, struct trust_pin_slot, by_name);
            struct trust_pin_view pin = {.kind = slot->kind,
                                         .name = slot->name,
                                         .key = slot->key,
                                         .origin = slot->origin,
                                         .since_s = slot->since_s};
            visit(&pin, context);
        }
}

bool trust_is_dirty(const struct trust *trust)
{
    return trust->is_dirty || trust->unsaved > 0;
}

void trust_refuse_all(struct trust *trust, const char *reason)
{
    trust_table_clear(trust, &trust->saved);
    trust->is_damaged = true;
    trust->is_dirty = false;
    snprintf(trust->reason, sizeof trust->reason, "%s", reason);
}
