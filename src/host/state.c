/* The state directory: `pool` (names and their peer addresses), `pins` (names and their keys) and
 * `met` (peers that were met, and what proves it). A file that is missing is new; one that is
 * damaged or unreadable narrows, never widens. */
#include "host/host.h"

#include "crypto/hash.h"
#include "crypto/memory.h"
#include "host/peer.h"
#include "io/clock.h"
#include "io/file.h"
#include "names/state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The file of thousands of names is written so much longer apart than it takes. */
#define KEEP_PAUSE    50
#define KEEP_AGAIN_US (60 * SECOND_US)

static void state_path(const struct host *host, const char *file, char path[HOST_PATH_CAP + 16])
{
    snprintf(path, HOST_PATH_CAP + 16, "%s/%s", host->config.state, file);
}

/* ERR_NOT_FOUND for a file that is not there yet. */
static int read_state(const struct host *host, const char *file, char **ret_text, size_t *ret_len)
{
    char path[HOST_PATH_CAP + 16];
    state_path(host, file, path);
    int error = file_read(path, STATE_LEN_MAX, ret_text, ret_len);
    if (error != ERR_OK && error != ERR_NOT_FOUND)
        log_error("%s: %s; nothing that needs it is done until it can be read", path,
                  file_error_text(error));
    return error;
}

static int write_state(const struct host *host, const char *file, char *text, size_t len,
                       struct file_mark *ret_mark)
{
    char path[HOST_PATH_CAP + 16];
    state_path(host, file, path);
    int error = file_write_marked(path, text, len, 0600, ret_mark);
    if (error != ERR_OK)
        log_error("%s: %s", path, file_error_text(error));
    crypto_wipe(text, len);
    free(text);
    return error;
}

int state_save_met(struct host *host)
{
    struct file_mark mark;
    char *text;
    size_t len;
    int error = met_table_save(&host->met.table, &text, &len);
    return error == ERR_OK ? write_state(host, "met", text, len, &mark) : error;
}

int state_save_pool(struct host *host)
{
    char *text;
    size_t len;
    int error = pool_save(host->pool, &text, &len);
    if (error != ERR_OK)
        return error;
    error = write_state(host, "pool", text, len, &host->pool_file);
    if (error != ERR_OK)
        pool_save_failed(host->pool);
    return error;
}

int state_save_trust(struct host *host)
{
    char *text;
    size_t len;
    int error = trust_save(host->trust, &text, &len);
    if (error != ERR_OK)
        return error;
    error = write_state(host, "pins", text, len, &host->trust_file);
    if (error != ERR_OK)
        trust_save_failed(host->trust);
    return error;
}

/* One line more, where the file has room for it and is the one that we have written. */
static bool add_record(const struct host *host, const char *file, const struct file_mark *mark,
                       const char record[STATE_RECORD_LEN], size_t at)
{
    char path[HOST_PATH_CAP + 16];
    state_path(host, file, path);
    return file_write_inside(path, mark, at, record, STATE_RECORD_LEN) == ERR_OK;
}

int state_save_address(struct host *host, const char *name)
{
    char record[STATE_RECORD_LEN];
    size_t at;
    if (pool_save_new(host->pool, name, record, &at) == ERR_OK) {
        if (add_record(host, "pool", &host->pool_file, record, at))
            return ERR_OK;
        pool_save_failed(host->pool);
    }
    return state_save_pool(host);
}

int state_save_pin(struct host *host, enum trust_kind kind, const char *name)
{
    char record[STATE_RECORD_LEN];
    size_t at;
    return trust_save_new(host->trust, kind, name, record, &at) == ERR_OK &&
                   add_record(host, "pins", &host->trust_file, record, at)
               ? ERR_OK
               : state_save_trust(host);
}

static void report_damage(const struct host *host, const char *file,
                          const struct state_damage *damage, const char *advice)
{
    if (damage->line != 0)
        log_error("%s/%s:%zu: %s; %s", host->config.state, file, damage->line, damage->message,
                  advice);
    else
        log_error("%s/%s: %s; %s", host->config.state, file, damage->message, advice);
}

/* The pool's seed is the same at each start and nobody else's to know: the first choice of a name's
 * address survives even a lost state file. */
static int derive_pool_seed(const struct host *host, uint8_t ret_seed[16])
{
    static const char label[] = "detec pool seed";
    uint8_t signature[SIGNATURE_LEN];
    uint8_t digest[SHA256_LEN];
    int error = identity_sign(host->identity, label, sizeof(label), signature);
    struct piece piece = {signature, sizeof(signature)};
    if (error == ERR_OK)
        error = sha256(&piece, 1, digest);
    if (error == ERR_OK)
        memcpy(ret_seed, digest, 16);
    crypto_wipe(signature, sizeof(signature));
    crypto_wipe(digest, sizeof(digest));
    return error;
}

static int load_pool(struct host *host)
{
    uint8_t seed[16];
    char *text;
    size_t len;
    struct state_damage damage;
    int error = derive_pool_seed(host, seed);
    if (error == ERR_OK)
        error = pool_new(&host->config.pool, seed, &host->pool);
    if (error != ERR_OK)
        return error;
    error = read_state(host, "pool", &text, &len);
    if (error == ERR_NOT_FOUND)
        return ERR_OK;
    if (error != ERR_OK)
        return error;
    if (pool_load(host->pool, text, len, &damage) != ERR_OK)
        report_damage(host, "pool", &damage, POOL_DAMAGE_ADVICE);
    free(text);
    return ERR_OK;
}

static int load_trust(struct host *host)
{
    char *text;
    size_t len;
    struct state_damage damage;
    int error = trust_new(host->seed, &host->trust);
    if (error != ERR_OK)
        return error;
    error = read_state(host, "pins", &text, &len);
    if (error == ERR_OK) {
        if (trust_load(host->trust, text, len, &damage) != ERR_OK)
            report_damage(host, "pins", &damage, TRUST_DAMAGE_ADVICE);
        free(text);
    } else if (error != ERR_NOT_FOUND) {
        trust_refuse_all(host->trust, "the file of pinned keys cannot be read");
    }
    const struct host_config *config = &host->config;
    error = ERR_OK;
    if (config->has_connector_key)
        error = trust_set_configuration(host->trust, TRUST_CONNECTOR, config->zone,
                                        &config->connector_key);
    for (uint32_t i = 0; i < config->connector_pin_count && error == ERR_OK; i++)
        error =
            trust_set_configuration(host->trust, TRUST_CONNECTOR, config->connector_pins[i].name,
                                    &config->connector_pins[i].key);
    for (uint32_t i = 0; i < config->pin_count && error == ERR_OK; i++)
        error = trust_set_configuration(host->trust, TRUST_HOST, config->pins[i].name,
                                        &config->pins[i].key);
    if (error == ERR_EXISTS)
        log_error("%s: [trust] names two keys for the same name", config->file);
    return error;
}

static void load_met(struct host *host)
{
    char *text;
    size_t len;
    struct state_damage damage;
    if (read_state(host, "met", &text, &len) != ERR_OK)
        return; /* peers are found by their connectors */
    if (met_table_load(&host->met.table, text, len, (uint64_t)clock_wall_seconds(), &damage) !=
        ERR_OK)
        report_damage(host, "met", &damage, MET_DAMAGE_ADVICE);
    crypto_wipe(text, len);
    free(text);
}

void state_keep(struct host *host)
{
    uint64_t wall_s = (uint64_t)clock_wall_seconds();
    const uint64_t round = (wall_s + POOL_ROUND_S - 1) / POOL_ROUND_S;
    /* In between nothing would be noted but what came up, and pool_hold() has done that. */
    const bool is_due = round != host->kept_round;
    host->kept_round = round;
    for (struct map_node *node = NULL;
         is_due && (node = map_walk(&host->peers_by_name, node)) != NULL;) {
        const struct peer *peer = CONTAINER_OF(node, struct peer, by_name);
        if (peer->tunnel != NULL)
            pool_touch(host->pool, &peer->address, wall_s);
    }
    const uint64_t now_us = clock_now_us();
    if (host->pool == NULL || !pool_is_dirty(host->pool) ||
        (now_us < host->keep_us && !host->is_stopping))
        return;
    const bool is_kept = state_save_pool(host) == ERR_OK; /* else it has said why not */
    host->keep_us = now_us + KEEP_PAUSE * (clock_now_us() - now_us) + (is_kept ? 0 : KEEP_AGAIN_US);
}

int state_load(struct host *host)
{
    int error = file_make_directory(host->config.state, 0700);
    if (error != ERR_OK) {
        log_error("%s: %s", host->config.state, file_error_text(error));
        return error;
    }
    load_met(host);
    error = load_pool(host);
    return error == ERR_OK ? load_trust(host) : error;
}
