/* The host database: which name belongs to which key (and MAC address). SQLite in WAL mode; every
 * change is one transaction. Blocking, but only for a small local file. Errors other than the named
 * ones mean that the database cannot be read or written: whoever asks must then refuse, never
 * widen. */
#ifndef CONNECTOR_DATABASE_H
#define CONNECTOR_DATABASE_H

#include <stdbool.h>

#include "base/text.h"
#include "crypto/identity.h"

#define DATABASE_MAC_LEN 6

struct database;

struct database_host {
    char name[NAME_TEXT_CAP]; /* canonical */
    struct public_key key;
    bool has_mac;
    uint8_t mac[DATABASE_MAC_LEN];
};

/* Opens the file, or makes it (mode 0600), and checks it from end to end. ERR_IO: it cannot be
 * opened or made; ERR_INVALID: damaged, or not a host database; ERR_UNSUPPORTED: of a newer
 * version. ret_text (cap bytes) then says what is wrong. */
MUST_USE int database_open(const char *file, struct database **ret_database, char *ret_text,
                           size_t cap);
/* The same, but a missing file is ERR_NOT_FOUND: where a database was lost, an empty one in its
 * place would give away its names. */
MUST_USE int database_reopen(const char *file, struct database **ret_database, char *ret_text,
                             size_t cap);
/* NULL is fine. */
void database_close(struct database *database);

/* ERR_NOT_FOUND, or ERR_IO when the database fails. */
MUST_USE int database_find_name(struct database *database, const char *name,
                                struct database_host *ret_host);
MUST_USE int database_find_key(struct database *database, const struct public_key *key,
                               struct database_host *ret_host);
/* ERR_EXISTS: the name is taken, or (ret_other is then not empty) the key has another name;
 * ret_other may be NULL. ERR_IO. */
MUST_USE int database_add(struct database *database, const struct database_host *host,
                          char ret_other[NAME_TEXT_CAP]);
/* ERR_NOT_FOUND, ERR_IO. */
MUST_USE int database_remove(struct database *database, const char *name);
/* Hosts in the order of their names; visit returns false to stop. ERR_IO. */
typedef bool database_visit(void *context, const struct database_host *host);
MUST_USE int database_list(struct database *database, database_visit *visit, void *context);
/* Has another program changed the database since the last time this was asked? ERR_IO: also when
 * the file was removed or another one put in its place. */
MUST_USE int database_check_changed(struct database *database, bool *ret_has_changed);
/* What the last ERR_IO was about; never NULL. */
const char *database_error_text(const struct database *database);

#endif
