/* Which key belongs to a name: the pins, and the decision about a key that somebody vouches for
 * (docs/protocol.md, "Trust"). A changed key is refused with the command that accepts it. Pins are
 * never evicted; a damaged state refuses everything. The owner reads and writes the state file. */
#ifndef NAMES_TRUST_H
#define NAMES_TRUST_H

#include "base/error.h"
#include "base/text.h"
#include "crypto/identity.h"
#include "names/state.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRUST_PINS_MAX      65536
#define TRUST_AUTO_PINS_MAX 32768 /* of them made without the user's word */
#define TRUST_MESSAGE_CAP   1024

/* Hosts and zones' connectors are separate name spaces. */
enum trust_kind { TRUST_HOST, TRUST_CONNECTOR };

/* Where a key comes from, weakest first; also the values of `[trust] accept`. */
enum trust_level {
    TRUST_LEVEL_CONNECTOR = 1, /* the word of the zone's connector; for a connector: plain DNS */
    TRUST_LEVEL_DNSSEC = 2,    /* IPSECKEY, validated */
    TRUST_LEVEL_PINNED = 3,    /* only pins are enough */
};

/* How a pin came about. */
enum trust_origin {
    TRUST_ORIGIN_FIRST_CONTACT, /* of a connector */
    TRUST_ORIGIN_CONNECTOR,     /* of a host, vouched for by its connector */
    TRUST_ORIGIN_DNSSEC,
    TRUST_ORIGIN_COMMAND,       /* the user's word */
    TRUST_ORIGIN_CONFIGURATION, /* never saved; wins over a saved pin */
};

struct trust;

/* seed: 16 random bytes for the table. */
MUST_USE int trust_new(const uint8_t seed[16], struct trust **ret_trust);
void trust_free(struct trust *trust);

enum trust_result {
    TRUST_KNOWN,         /* accepted: the pinned key */
    TRUST_NEW,           /* accepted; pin it once the other side has proven it (trust_pin) */
    TRUST_CONTRADICTION, /* refused: another key is pinned */
    TRUST_TOO_WEAK,      /* refused: `accept` asks for more */
    TRUST_FULL,          /* refused: too many pins */
    TRUST_DAMAGED,       /* refused: the state could not be read */
};

struct trust_verdict {
    enum trust_result result;
    bool is_accepted;
    char message[TRUST_MESSAGE_CAP]; /* empty if accepted; else why, and what to type */
};

/* Changes nothing. name: canonical. source: TRUST_LEVEL_CONNECTOR or _DNSSEC. ERR_INVALID: bad
 * name. */
MUST_USE int trust_check(const struct trust *trust, enum trust_kind kind, const char *name,
                         const struct public_key *key, enum trust_level source,
                         enum trust_level accept, struct trust_verdict *ret_verdict);
/* Pins a key that trust_check accepted and that its owner has proven. Checks again, so a race
 * cannot change a pin: ERR_REFUSED with ret_verdict's reason. ret_is_new: save the state. */
MUST_USE int trust_pin(struct trust *trust, enum trust_kind kind, const char *name,
                       const struct public_key *key, enum trust_level source,
                       enum trust_level accept, uint64_t wall_s, struct trust_verdict *ret_verdict,
                       bool *ret_is_new);
/* The user's word for this very key: replaces whatever was pinned.
 * ERR_STATE: damaged, or the configuration pins another key; ERR_FULL. */
MUST_USE int trust_set(struct trust *trust, enum trust_kind kind, const char *name,
                       const struct public_key *key, uint64_t wall_s);
/* Pins from the configuration file (pin =, connector-key =); forgotten by trust_clear_configuration
 * (before a reload), never saved. ERR_EXISTS: the configuration names two keys. */
MUST_USE int trust_set_configuration(struct trust *trust, enum trust_kind kind, const char *name,
                                     const struct public_key *key);
void trust_clear_configuration(struct trust *trust);
/* `detec trust NAME`: forgets a pin, so that the next call pins the key that it finds.
 * ERR_NOT_FOUND; ERR_STATE: damaged. */
MUST_USE int trust_remove(struct trust *trust, enum trust_kind kind, const char *name);
/* ERR_NOT_FOUND. */
MUST_USE int trust_find(const struct trust *trust, enum trust_kind kind, const char *name,
                        struct public_key *ret_key, enum trust_origin *ret_origin);

struct trust_pin_view {
    enum trust_kind kind;
    const char *name; /* borrowed */
    struct public_key key;
    enum trust_origin origin;
    uint64_t since_s;
};
size_t trust_count(const struct trust *trust);
void trust_walk(const struct trust *trust,
                void (*visit)(const struct trust_pin_view *pin, void *context), void *context);
/* "first-contact", "connector", "dnssec", "command", "configuration". */
const char *trust_origin_text(enum trust_origin origin);

bool trust_is_dirty(const struct trust *trust);
/* As pool_save: the caller frees the text and writes it atomically; ERR_STATE after damage. */
MUST_USE int trust_save(struct trust *trust, char **ret_text, size_t *ret_len);
/* As pool_save_new(), for the pin that trust_pin() has just made; as pool_save_failed(). */
MUST_USE int trust_save_new(struct trust *trust, enum trust_kind kind, const char *name,
                            char ret_record[STATE_RECORD_LEN], size_t *ret_at);
void trust_save_failed(struct trust *trust);
/* As pool_load: a damaged text makes every later check refuse (TRUST_DAMAGED). */
MUST_USE int trust_load(struct trust *trust, const char *text, size_t len,
                        struct state_damage *ret_damage);
/* What to tell the user after the damage. */
#define TRUST_DAMAGE_ADVICE                                                                        \
    "restore it from a backup, or remove it, which forgets every pinned key, and start again"
/* For the owner, where the file could not be read, or is gone although it should be there: refuse
 * everything that needs it. reason: one phrase. */
void trust_refuse_all(struct trust *trust, const char *reason);

#endif
