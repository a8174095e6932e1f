/* Peers that this host has met, for when no connector answers: the key that each has proven, what
 * proves to it that it knows us (ike/met.h), and where it was last. It gives nobody anything that
 * pins and [allow] do not give now. The owner reads and writes the state file; the newest are kept,
 * and none for ever. */
#ifndef NAMES_MET_TABLE_H
#define NAMES_MET_TABLE_H

#include "base/address.h"
#include "base/text.h"
#include "crypto/identity.h"
#include "names/state.h"

#define MET_PEERS_MAX     256
#define MET_ENDPOINTS_MAX 4
#define MET_PROOFS_MAX    2 /* the other side may have lost the last one in a crash */
#define MET_AGE_S         ((uint64_t)30 * 86400)
#define MET_ID_LEN        8
#define MET_SECRET_LEN    32

struct met_proof {
    uint8_t id[MET_ID_LEN];
    uint8_t secret[MET_SECRET_LEN];
    uint64_t seen; /* the greatest number that the peer has sent with it */
};

struct met_peer {
    struct met_peer *next; /* met before this one */
    char name[NAME_TEXT_CAP];
    struct public_key key;
    bool is_static;                          /* as its connector said then */
    uint64_t last_s;                         /* when a tunnel was up last; wall clock */
    struct met_proof proofs[MET_PROOFS_MAX]; /* the newest first */
    size_t proof_count;
    struct endpoint endpoints[MET_ENDPOINTS_MAX]; /* the last first */
    size_t endpoint_count;
};

struct met_table {
    struct met_peer *newest;
    size_t count;
    bool is_dirty;
};

/* Zeroed is right. Wipes. */
void met_table_done(struct met_table *table);
/* Keys were negotiated: a new proof. Another key than before makes another peer of it. ERR_NOMEM.
 */
MUST_USE int met_table_note_proof(struct met_table *table, const char *name,
                                  const struct public_key *key, bool is_static,
                                  const uint8_t id[MET_ID_LEN],
                                  const uint8_t secret[MET_SECRET_LEN], uint64_t wall_s);
/* Its tunnel leads there; nothing where the peer is not known. */
void met_table_note_endpoint(struct met_table *table, const char *name,
                             const struct endpoint *endpoint, uint64_t wall_s);
/* NULL: not met, or too long ago. Borrowed until the table changes. */
const struct met_peer *met_table_find(const struct met_table *table, const char *name,
                                      uint64_t wall_s);
/* The same by the id of one of its proofs; that one is ret_proof. */
const struct met_peer *met_table_find_proof(const struct met_table *table,
                                            const uint8_t id[MET_ID_LEN], uint64_t wall_s,
                                            const struct met_proof **ret_proof);
/* The peer has used this number. */
void met_table_note_seen(struct met_table *table, const uint8_t id[MET_ID_LEN], uint64_t number);
void met_table_forget(struct met_table *table, const char *name);
/* Drops, and wipes, who was met too long ago. */
void met_table_expire(struct met_table *table, uint64_t wall_s);

/* As pool_save and pool_load; the text holds secrets. Damage leaves the table empty, so that the
 * peers are found by their connectors again. */
MUST_USE int met_table_save(struct met_table *table, char **ret_text, size_t *ret_len);
MUST_USE int met_table_load(struct met_table *table, const char *text, size_t len, uint64_t wall_s,
                            struct state_damage *ret_damage);
#define MET_DAMAGE_ADVICE "peers that were met before are found by their connectors alone"

#endif
