/* See names/met_table.h. A list in the order of meeting: it is short, and looked into only where a
 * peer is called without its connector, or claims to know us. */
#include "names/met_table.h"

#include "crypto/memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE    "detec-met"
#define DASH     "-" /* no endpoint is known */
#define LIST_CAP (MET_ENDPOINTS_MAX * ENDPOINT_TEXT_CAP)
#define PEER     "peer"
#define PROOF    "proof"

static void free_peer(struct met_peer *peer)
{
    crypto_wipe(peer, sizeof *peer);
    free(peer);
}

void met_table_done(struct met_table *table)
{
    while (table->newest != NULL) {
        struct met_peer *peer = table->newest;
        table->newest = peer->next;
        free_peer(peer);
    }
    *table = (struct met_table){0};
}

static struct met_peer **find_place(struct met_table *table, const char *name)
{
    struct met_peer **place = &table->newest;
    while (*place != NULL && strcmp((*place)->name, name) != 0)
        place = &(*place)->next;
    return place;
}

static void remove_at(struct met_table *table, struct met_peer **place)
{
    struct met_peer *peer = *place;
    if (peer == NULL)
        return;
    *place = peer->next;
    free_peer(peer);
    table->count--;
    table->is_dirty = true;
}

void met_table_forget(struct met_table *table, const char *name)
{
    remove_at(table, find_place(table, name));
}

/* The last of the list is the one that was met longest ago. */
static void drop_oldest(struct met_table *table)
{
    struct met_peer **place = &table->newest;
    while (*place != NULL && (*place)->next != NULL)
        place = &(*place)->next;
    remove_at(table, place);
}

static void put_first(struct met_table *table, struct met_peer **place, uint64_t wall_s)
{
    struct met_peer *peer = *place;
    *place = peer->next;
    peer->next = table->newest;
    table->newest = peer;
    peer->last_s = wall_s;
    table->is_dirty = true;
}

static struct met_peer *add_peer(struct met_table *table, const char *name,
                                 const struct public_key *key)
{
    struct met_peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return NULL;
    if (table->count >= MET_PEERS_MAX)
        drop_oldest(table);
    snprintf(peer->name, sizeof peer->name, "%s", name);
    peer->key = *key;
    peer->next = table->newest;
    table->newest = peer;
    table->count++;
    return peer;
}

int met_table_note_proof(struct met_table *table, const char *name, const struct public_key *key,
                         bool is_static, const uint8_t id[MET_ID_LEN],
                         const uint8_t secret[MET_SECRET_LEN], uint64_t wall_s)
{
    struct met_peer **place = find_place(table, name);
    if (*place != NULL && !public_key_is_equal(&(*place)->key, key)) {
        remove_at(table, place);
        place = find_place(table, name);
    }
    if (*place == NULL) {
        if (add_peer(table, name, key) == NULL)
            return ERR_NOMEM;
        place = &table->newest;
    }
    struct met_peer *peer = *place;
    if (peer->proof_count < MET_PROOFS_MAX)
        peer->proof_count++;
    memmove(&peer->proofs[1], &peer->proofs[0], (peer->proof_count - 1) * sizeof peer->proofs[0]);
    memcpy(peer->proofs[0].id, id, MET_ID_LEN);
    memcpy(peer->proofs[0].secret, secret, MET_SECRET_LEN);
    peer->proofs[0].seen = 0;
    peer->is_static = is_static;
    put_first(table, place, wall_s);
    return ERR_OK;
}

void met_table_note_endpoint(struct met_table *table, const char *name,
                             const struct endpoint *endpoint, uint64_t wall_s)
{
    struct met_peer **place = find_place(table, name);
    struct met_peer *peer = *place;
    size_t at = 0;
    if (peer == NULL)
        return;
    while (at < peer->endpoint_count && !endpoint_is_equal(&peer->endpoints[at], endpoint))
        at++;
    if (at == peer->endpoint_count && at < MET_ENDPOINTS_MAX)
        peer->endpoint_count++;
    else if (at == MET_ENDPOINTS_MAX)
        at--;
    memmove(&peer->endpoints[1], &peer->endpoints[0], at * sizeof peer->endpoints[0]);
    peer->endpoints[0] = *endpoint;
    put_first(table, place, wall_s);
}

static bool is_fresh(const struct met_peer *peer, uint64_t wall_s)
{
    return wall_s < peer->last_s || wall_s - peer->last_s < MET_AGE_S;
}

const struct met_peer *met_table_find(const struct met_table *table, const char *name,
                                      uint64_t wall_s)
{
    const struct met_peer *peer = table->newest;
    while (peer != NULL && strcmp(peer->name, name) != 0)
        peer = peer->next;
    return peer != NULL && is_fresh(peer, wall_s) ? peer : NULL;
}

const struct met_peer *met_table_find_proof(const struct met_table *table,
                                            const uint8_t id[MET_ID_LEN], uint64_t wall_s,
                                            const struct met_proof **ret_proof)
{
    for (const struct met_peer *peer = table->newest; peer != NULL; peer = peer->next) {
        for (size_t i = 0; i < peer->proof_count; i++) {
            if (memcmp(peer->proofs[i].id, id, MET_ID_LEN) != 0 || !is_fresh(peer, wall_s))
                continue;
            *ret_proof = &peer->proofs[i];
            return peer;
        }
    }
    return NULL;
}

void met_table_note_seen(struct met_table *table, const uint8_t id[MET_ID_LEN], uint64_t number)
{
    for (struct met_peer *peer = table->newest; peer != NULL; peer = peer->next) {
        for (size_t i = 0; i < peer->proof_count; i++) {
            struct met_proof *proof = &peer->proofs[i];
            if (memcmp(proof->id, id, MET_ID_LEN) != 0 || proof->seen >= number)
                continue;
            proof->seen = number;
            table->is_dirty = true;
        }
    }
}

void met_table_expire(struct met_table *table, uint64_t wall_s)
{
    struct met_peer **place = &table->newest;
    while (*place != NULL) {
        if (is_fresh(*place, wall_s))
            place = &(*place)->next;
        else
            remove_at(table, place);
    }
}

/* ---- the state file ---- */

static void format_endpoints(const struct met_peer *peer, char ret_text[LIST_CAP])
{
    char text[ENDPOINT_TEXT_CAP];
    size_t len = 0;
    snprintf(ret_text, LIST_CAP, DASH);
    for (size_t i = 0; i < peer->endpoint_count; i++)
        len += (size_t)snprintf(ret_text + len, LIST_CAP - len, "%s%s", i > 0 ? "," : "",
                                endpoint_format(&peer->endpoints[i], text, sizeof text));
}

static void put_proof(struct state_builder *b, const struct met_proof *proof)
{
    char id[HEX_TEXT_CAP(MET_ID_LEN)], secret[HEX_TEXT_CAP(MET_SECRET_LEN)];
    if (hex_encode(proof->id, MET_ID_LEN, id, sizeof id) > 0 &&
        hex_encode(proof->secret, MET_SECRET_LEN, secret, sizeof secret) > 0)
        state_builder_line(b, PROOF " %s %s %" PRIu64, id, secret, proof->seen);
    crypto_wipe(secret, sizeof secret);
}

int met_table_save(struct met_table *table, char **ret_text, size_t *ret_len)
{
    struct state_builder b;
    char key[PUBLIC_KEY_TEXT_CAP], endpoints[LIST_CAP];
    state_builder_init(&b, TITLE " 1");
    for (const struct met_peer *peer = table->newest; peer != NULL; peer = peer->next) {
        format_endpoints(peer, endpoints);
        state_builder_line(&b, PEER " %s %s %s %" PRIu64 " %s", peer->name,
                           public_key_format(&peer->key, key),
                           peer->is_static ? "static" : "dynamic", peer->last_s, endpoints);
        for (size_t i = 0; i < peer->proof_count; i++)
            put_proof(&b, &peer->proofs[i]);
    }
    const int error = state_builder_finish(&b, ret_text, ret_len);
    if (error == ERR_OK)
        table->is_dirty = false;
    return error;
}

static int load_endpoints(struct met_peer *peer, char *list)
{
    char *rest = list, *text;
    if (strcmp(list, DASH) == 0)
        return ERR_OK;
    while ((text = strsep(&rest, ",")) != NULL) {
        struct endpoint endpoint;
        if (peer->endpoint_count >= MET_ENDPOINTS_MAX ||
            endpoint_parse(text, 0, &endpoint) != ERR_OK || endpoint.port == 0)
            return ERR_INVALID;
        peer->endpoints[peer->endpoint_count++] = endpoint;
    }
    return ERR_OK;
}

/* The file has the newest first, as the list has: each goes to its end. */
static int load_peer(struct met_table *table, struct state_reader *r, uint64_t wall_s,
                     struct met_peer **ret_last, struct state_damage *ret_damage)
{
    char canonical[NAME_TEXT_CAP];
    struct public_key key;
    if (r->word_count != 6)
        return state_reader_fail(r, ret_damage,
                                 "must be peer NAME KEY static|dynamic SECONDS ENDPOINTS");
    if (name_normalize(r->words[1], canonical) != ERR_OK || strcmp(canonical, r->words[1]) != 0)
        return state_reader_fail(r, ret_damage, "the second word is not a host name");
    if (public_key_parse(r->words[2], &key) != ERR_OK)
        return state_reader_fail(r, ret_damage, "the third word is not a public key");
    const bool is_static = strcmp(r->words[3], "static") == 0;
    if (!is_static && strcmp(r->words[3], "dynamic") != 0)
        return state_reader_fail(r, ret_damage, "'%s' must be 'static' or 'dynamic'", r->words[3]);
    if (*find_place(table, canonical) != NULL)
        return state_reader_fail(r, ret_damage, "the same name twice");
    if (table->count >= MET_PEERS_MAX)
        return state_reader_fail(r, ret_damage, "more than %d peers", MET_PEERS_MAX);
    struct met_peer *peer = add_peer(table, canonical, &key);
    if (peer == NULL) {
        (void)state_reader_fail(r, ret_damage, "out of memory");
        return ERR_NOMEM;
    }
    if (*ret_last != NULL) {
        table->newest = peer->next;
        peer->next = NULL;
        (*ret_last)->next = peer;
    }
    *ret_last = peer;
    peer->is_static = is_static;
    if (state_parse_number(r->words[4], &peer->last_s) != ERR_OK)
        return state_reader_fail(r, ret_damage, "'%s' is not a time in seconds", r->words[4]);
    if (load_endpoints(peer, r->words[5]) != ERR_OK)
        return state_reader_fail(r, ret_damage, "the last word is not a list of endpoints");
    if (peer->last_s > wall_s)
        peer->last_s = wall_s; /* the clock was wrong, now or then */
    return ERR_OK;
}

static int load_proof(struct state_reader *r, struct met_peer *peer,
                      struct state_damage *ret_damage)
{
    struct met_proof proof;
    int error = ERR_OK;
    if (peer == NULL || peer->proof_count >= MET_PROOFS_MAX || r->word_count != 4)
        return state_reader_fail(r, ret_damage, "must be proof ID SECRET NUMBER, of a peer");
    /* The words themselves stay out of what is said about them. */
    if (hex_decode(r->words[1], proof.id, MET_ID_LEN) != MET_ID_LEN ||
        hex_decode(r->words[2], proof.secret, MET_SECRET_LEN) != MET_SECRET_LEN ||
        state_parse_number(r->words[3], &proof.seen) != ERR_OK)
        error = state_reader_fail(r, ret_damage, "a word is not what it should be");
    else
        peer->proofs[peer->proof_count++] = proof;
    crypto_wipe(&proof, sizeof proof);
    return error;
}

int met_table_load(struct met_table *table, const char *text, size_t len, uint64_t wall_s,
                   struct state_damage *ret_damage)
{
    struct state_reader r;
    struct met_peer *last = NULL;
    if (table->count > 0)
        return ERR_STATE;
    int error = state_reader_init(&r, text, len, TITLE, ret_damage);
    while (error == ERR_OK) {
        error = state_reader_next(&r, ret_damage);
        if (error != ERR_OK)
            break;
        if (strcmp(r.words[0], PEER) == 0)
            error = load_peer(table, &r, wall_s, &last, ret_damage);
        else if (strcmp(r.words[0], PROOF) == 0)
            error = load_proof(&r, last, ret_damage);
        else
            error = state_reader_fail(&r, ret_damage, "must begin with 'peer' or 'proof'");
    }
    crypto_wipe(&r, sizeof r);
    if (error != ERR_NOT_FOUND) {
        met_table_done(table);
        return error;
    }
    table->is_dirty = false;
    met_table_expire(table, wall_s);
    return ERR_OK;
}
