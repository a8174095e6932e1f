/* The file: a line that names it, then for each key, newest first, when it was made (seconds) and
 * the key in base64. See connector/tickets.h. */
#include "connector/tickets.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "crypto/hash.h"
#include "crypto/identity.h"
#include "crypto/memory.h"
#include "ike/ticket.h"
#include "io/clock.h"
#include "io/file.h"

#define TITLE      "detec-connector ticket keys 1"
#define LIFETIME_S 86400 /* of tickets, and of keys before the next is made */
#define FILE_CAP   ((size_t)4096)
#define TEXT_CAP   512
#define KEYS       2

struct connector_tickets {
    char file[CONNECTOR_PATH_CAP + 16];
    struct ike_tickets *engine;
    struct {
        uint64_t made_s; /* 0: none */
        uint8_t key[IKE_TICKET_KEY_LEN];
    } keys[KEYS];               /* newest first */
    uint8_t own[SIGNATURE_LEN]; /* that nobody without the connector's key can make; secret */
    bool is_failure_told;
};

static void save(struct connector_tickets *tickets)
{
    char text[TEXT_CAP], key[BASE64_TEXT_CAP(IKE_TICKET_KEY_LEN)];
    int len = snprintf(text, sizeof text, "%s\n", TITLE);
    for (size_t i = 0; i < KEYS && tickets->keys[i].made_s != 0; i++) {
        if (base64_encode(tickets->keys[i].key, IKE_TICKET_KEY_LEN, key, sizeof key) > 0)
            len += snprintf(text + len, sizeof text - (size_t)len, "%" PRIu64 " %s\n",
                            tickets->keys[i].made_s, key);
    }
    const int error = file_write_atomic(tickets->file, text, (size_t)len, 0600);
    crypto_wipe(text, sizeof text);
    crypto_wipe(key, sizeof key);
    if (error != ERR_OK && !tickets->is_failure_told)
        log_warn("%s: cannot be written: %s; hosts will have to log in in full after a restart",
                 tickets->file, file_error_text(error));
    tickets->is_failure_told = error != ERR_OK;
}

/* One line, "seconds key"; ERR_INVALID. */
static int read_line(struct connector_tickets *tickets, size_t index, char *line)
{
    char *end;
    const unsigned long long made_s = strtoull(line, &end, 10);
    if (end == line || *end != ' ' || made_s == 0 ||
        base64_decode(end + 1, tickets->keys[index].key, IKE_TICKET_KEY_LEN) != IKE_TICKET_KEY_LEN)
        return ERR_INVALID;
    tickets->keys[index].made_s = made_s;
    return ERR_OK;
}

/* Whatever is wrong with the file, new keys are made: nothing is lost but time. */
static void load(struct connector_tickets *tickets)
{
    char *text = NULL, *rest;
    size_t len = 0, count = 0;
    int error = file_read_secret(tickets->file, FILE_CAP, &text, &len);
    if (error != ERR_OK) {
        if (error != ERR_NOT_FOUND)
            log_warn("%s: cannot be read: %s; new keys are made", tickets->file,
                     file_error_text(error));
        return;
    }
    char *line = strtok_r(text, "\n", &rest);
    error = line != NULL && strcmp(line, TITLE) == 0 ? ERR_OK : ERR_INVALID;
    while (error == ERR_OK && count < KEYS && (line = strtok_r(NULL, "\n", &rest)) != NULL)
        error = read_line(tickets, count++, line);
    crypto_wipe(text, len);
    free(text);
    if (error == ERR_OK)
        return;
    log_warn("%s: damaged; new keys are made", tickets->file);
    crypto_wipe(tickets->keys, sizeof tickets->keys);
}

/* What tickets are sealed with: the file's key and the connector's. */
static void use_key(struct connector_tickets *tickets, const uint8_t key[IKE_TICKET_KEY_LEN])
{
    const struct piece piece = {tickets->own, sizeof tickets->own};
    uint8_t mixed[SHA256_LEN];
    if (hmac_sha256(key, IKE_TICKET_KEY_LEN, &piece, 1, mixed) == ERR_OK)
        ike_tickets_add_key(tickets->engine, mixed);
    crypto_wipe(mixed, sizeof mixed);
}

static void make_key(struct connector_tickets *tickets, uint64_t now_s)
{
    uint8_t key[IKE_TICKET_KEY_LEN];
    if (crypto_random(key, sizeof key) != ERR_OK)
        return; /* the next tick tries again */
    tickets->keys[1] = tickets->keys[0];
    tickets->keys[0].made_s = now_s;
    memcpy(tickets->keys[0].key, key, sizeof key);
    use_key(tickets, key);
    crypto_wipe(key, sizeof key);
    save(tickets);
}

void connector_tickets_tick(struct connector_tickets *tickets)
{
    const uint64_t now_s = (uint64_t)clock_wall_seconds();
    const uint64_t made_s = tickets->keys[0].made_s;
    ike_tickets_set_time(tickets->engine, now_s);
    if (made_s == 0 || made_s > now_s || now_s - made_s >= LIFETIME_S)
        make_key(tickets, now_s);
}

int connector_tickets_new(const struct connector_config *config, const struct identity *identity,
                          struct connector_tickets **ret_tickets)
{
    struct connector_tickets *tickets = calloc(1, sizeof *tickets);
    if (tickets == NULL)
        return ERR_NOMEM;
    int error = identity_sign(identity, TITLE, sizeof TITLE, tickets->own);
    if (error == ERR_OK)
        error = ike_tickets_new(LIFETIME_S, &tickets->engine);
    if (error != ERR_OK) {
        crypto_wipe(tickets->own, sizeof tickets->own);
        free(tickets);
        return error;
    }
    snprintf(tickets->file, sizeof tickets->file, "%s.tickets", config->database);
    load(tickets);
    for (size_t i = KEYS; i-- > 0;) {
        if (tickets->keys[i].made_s != 0)
            use_key(tickets, tickets->keys[i].key);
    }
    connector_tickets_tick(tickets);
    *ret_tickets = tickets;
    return ERR_OK;
}

void connector_tickets_free(struct connector_tickets *tickets)
{
    if (tickets == NULL)
        return;
    ike_tickets_free(tickets->engine);
    crypto_wipe(tickets, sizeof *tickets);
    free(tickets);
}

struct ike_tickets *connector_tickets_engine(struct connector_tickets *tickets)
{
    return tickets->engine;
}
