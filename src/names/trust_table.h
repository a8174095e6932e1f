/* Inside of the trust store, for trust.c and trust_state.c only. */
#ifndef NAMES_TRUST_TABLE_H
#define NAMES_TRUST_TABLE_H

#include "base/map.h"
#include "names/trust.h"

struct trust_pin_slot {
    struct map_node by_name;
    enum trust_kind kind;
    enum trust_origin origin;
    struct public_key key;
    uint64_t since_s;
    bool is_unsaved;
    char name[]; /* canonical */
};

struct trust {
    struct map saved;
    struct map configured;
    size_t auto_count;      /* of the saved ones, those that no user asked for */
    size_t unsaved;         /* new pins that are in no file yet */
    bool is_dirty;          /* something else has changed: no line can be added to the file */
    struct state_room room; /* of the file that was saved last */
    bool is_damaged;
    char reason[STATE_MESSAGE_CAP]; /* of the damage */
};

struct trust_pin_slot *trust_table_find(const struct map *map, enum trust_kind kind,
                                        const char *name);
/* The name may not be in the map. ERR_NOMEM. */
MUST_USE int trust_table_insert(struct trust *trust, struct map *map,
                                const struct trust_pin_view *pin);
/* Takes out all pins. */
void trust_table_clear(struct trust *trust, struct map *map);

#endif
