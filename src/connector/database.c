/* The host database on SQLite. */
#include "connector/database.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID 0x64746563 /* "dtec", in the file's header */
#define SCHEMA_VERSION 1
#define BUSY_MS        2000

enum statement { FIND_NAME, FIND_KEY, ADD, REMOVE, LIST, DATA_VERSION, STATEMENT_COUNT };

static const char *const statement_texts[STATEMENT_COUNT] = {
    [FIND_NAME] = "SELECT name, key, mac FROM host WHERE name = ?1",
    [FIND_KEY] = "SELECT name, key, mac FROM host WHERE key = ?1",
    [ADD] = "INSERT INTO host (name, key, mac) VALUES (?1, ?2, ?3)",
    [REMOVE] = "DELETE FROM host WHERE name = ?1",
    [LIST] = "SELECT name, key, mac FROM host ORDER BY name",
    [DATA_VERSION] = "PRAGMA data_version",
};

/* STRICT and CHECK: what other tools write must be right as well. */
static const char schema_text[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE host ("
    "  name TEXT NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 253),"
    "  key BLOB NOT NULL UNIQUE CHECK (length(key) = 32),"
    "  mac BLOB CHECK (mac IS NULL OR length(mac) = 6)"
    ") STRICT, WITHOUT ROWID;"
    "PRAGMA application_id = 1685349731;"
    "PRAGMA user_version = 1;"
    "COMMIT;";
_Static_assert(APPLICATION_ID == 1685349731 && SCHEMA_VERSION == 1, "as in the schema");

struct database {
    sqlite3 *sqlite;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    int64_t data_version;
    char *file;
    bool is_new; /* we have made the file */
    dev_t device;
    ino_t inode;
    char error[192];
};

const char *database_error_text(const struct database *database)
{
    return database->error[0] != '\0' ? database->error : "unknown error";
}

static int fail(struct database *database)
{
    snprintf(database->error, sizeof database->error, "%s", sqlite3_errmsg(database->sqlite));
    return ERR_IO;
}

/* One integer that a statement yields. */
static int read_number(struct database *database, const char *text, int64_t *ret_number)
{
    sqlite3_stmt *statement = NULL;
    int error = ERR_OK;
    if (sqlite3_prepare_v2(database->sqlite, text, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        error = fail(database);
    else
        *ret_number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return error;
}

/* Reads every page and index entry (PRAGMA integrity_check); a damaged file is found now, not by a
 * host that logs in. */
static int check_integrity(struct database *database)
{
    sqlite3_stmt *statement = NULL;
    int error = ERR_OK;
    if (sqlite3_prepare_v2(database->sqlite, "PRAGMA integrity_check(1)", -1, &statement, NULL) !=
            SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        error = fail(database);
    } else {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (text == NULL || strcmp(text, "ok") != 0) {
            snprintf(database->error, sizeof database->error, "%s",
                     text != NULL ? text : "damaged");
            error = ERR_INVALID;
        }
    }
    sqlite3_finalize(statement);
    return error;
}

static int run(struct database *database, const char *text)
{
    return sqlite3_exec(database->sqlite, text, NULL, NULL, NULL) == SQLITE_OK ? ERR_OK
                                                                               : fail(database);
}

/* Makes the table in an empty file; checks the version of another. */
static int check_schema(struct database *database)
{
    int64_t application = 0, version = 0, tables = 0;
    int error = read_number(database, "PRAGMA application_id", &application);
    if (error == ERR_OK)
        error = read_number(database, "PRAGMA user_version", &version);
    if (error == ERR_OK)
        error = read_number(database, "SELECT count(*) FROM sqlite_schema", &tables);
    if (error != ERR_OK)
        return error;
    if (database->is_new)
        return run(database, schema_text);
    if (application == 0 && version == 0 && tables == 0) {
        snprintf(database->error, sizeof database->error,
                 "the file is empty; remove it to begin with an empty database");
        return ERR_INVALID;
    }
    if (application != APPLICATION_ID) {
        snprintf(database->error, sizeof database->error, "not a host database");
        return ERR_INVALID;
    }
    if (version != SCHEMA_VERSION) {
        snprintf(database->error, sizeof database->error,
                 "a host database of version %lld; this program knows version %d",
                 (long long)version, SCHEMA_VERSION);
        return ERR_UNSUPPORTED;
    }
    return check_integrity(database);
}

/* Opens the file, or makes it: SQLite would make it readable to all that the umask lets. */
static int open_or_make(const char *file, bool may_make, bool *ret_is_new)
{
    const int flags = O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    const int fd = may_make ? open(file, flags | O_CREAT | O_EXCL, 0600) : -1;
    *ret_is_new = fd >= 0;
    return fd >= 0 || (may_make && errno != EEXIST) ? fd : open(file, flags);
}

static int look_at_file(struct database *database, const char *file, bool may_make)
{
    struct stat st;
    const int fd = open_or_make(file, may_make, &database->is_new);
    if (fd < 0) {
        snprintf(database->error, sizeof database->error, "%s", strerror(errno));
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    int error = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? ERR_OK : ERR_INVALID;
    close(fd);
    if (error != ERR_OK)
        snprintf(database->error, sizeof database->error, "not a regular file");
    database->device = st.st_dev;
    database->inode = st.st_ino;
    return error;
}

static int prepare(struct database *database)
{
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        if (sqlite3_prepare_v3(database->sqlite, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &database->statements[i], NULL) != SQLITE_OK)
            return fail(database);
    }
    return ERR_OK;
}

static int set_up(struct database *database, const char *file)
{
    if (sqlite3_open_v2(file, &database->sqlite,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                        NULL) != SQLITE_OK)
        return fail(database);
    sqlite3_busy_timeout(database->sqlite, BUSY_MS);
    (void)sqlite3_db_config(database->sqlite, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(database->sqlite, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    int error = check_schema(database);
    if (error == ERR_OK)
        error = run(database, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    if (error == ERR_OK)
        error = prepare(database);
    bool has_changed;
    return error != ERR_OK ? error : database_check_changed(database, &has_changed);
}

static int open_file(const char *file, bool may_make, struct database **ret_database,
                     char *ret_text, size_t cap)
{
    struct database *database = calloc(1, sizeof *database);
    char *copy = strdup(file);
    if (database == NULL || copy == NULL) {
        free(database);
        free(copy);
        snprintf(ret_text, cap, "%s", error_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    database->file = copy;
    int error = look_at_file(database, file, may_make);
    if (error == ERR_OK)
        error = set_up(database, file);
    if (error == ERR_OK) {
        *ret_database = database;
        return ERR_OK;
    }
    snprintf(ret_text, cap, "%s", database_error_text(database));
    database_close(database);
    return error;
}

int database_open(const char *file, struct database **ret_database, char *ret_text, size_t cap)
{
    const int error = open_file(file, true, ret_database, ret_text, cap);
    return error == ERR_NOT_FOUND ? ERR_IO : error; /* its directory is missing */
}

int database_reopen(const char *file, struct database **ret_database, char *ret_text, size_t cap)
{
    return open_file(file, false, ret_database, ret_text, cap);
}

void database_close(struct database *database)
{
    if (database == NULL)
        return;
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(database->statements[i]);
    sqlite3_close(database->sqlite);
    free(database->file);
    free(database);
}

static sqlite3_stmt *start(struct database *database, enum statement statement)
{
    sqlite3_stmt *stmt = database->statements[statement];
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return stmt;
}

/* Copies a row. A row that our own rules would not have let in is damage. */
static int read_row(struct database *database, sqlite3_stmt *stmt, struct database_host *ret_host)
{
    struct database_host host;
    const char *name = (const char *)sqlite3_column_text(stmt, 0);
    const void *key = sqlite3_column_blob(stmt, 1);
    const void *mac = sqlite3_column_blob(stmt, 2);
    memset(&host, 0, sizeof host);
    if (name == NULL || name_normalize(name, host.name) != ERR_OK || strcmp(host.name, name) != 0 ||
        key == NULL || sqlite3_column_bytes(stmt, 1) != PUBLIC_KEY_LEN ||
        (mac != NULL && sqlite3_column_bytes(stmt, 2) != DATABASE_MAC_LEN)) {
        snprintf(database->error, sizeof database->error, "a row breaks the rules of the table");
        return ERR_IO;
    }
    memcpy(host.key.bytes, key, PUBLIC_KEY_LEN);
    host.has_mac = mac != NULL;
    if (mac != NULL)
        memcpy(host.mac, mac, DATABASE_MAC_LEN);
    *ret_host = host;
    return ERR_OK;
}

static int find(struct database *database, sqlite3_stmt *stmt, struct database_host *ret_host)
{
    const int result = sqlite3_step(stmt);
    int error = ERR_NOT_FOUND;
    if (result == SQLITE_ROW)
        error = read_row(database, stmt, ret_host);
    else if (result != SQLITE_DONE)
        error = fail(database);
    sqlite3_reset(stmt);
    return error;
}

int database_find_name(struct database *database, const char *name, struct database_host *ret_host)
{
    sqlite3_stmt *stmt = start(database, FIND_NAME);
    if (sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC) != SQLITE_OK)
        return fail(database);
    return find(database, stmt, ret_host);
}

int database_find_key(struct database *database, const struct public_key *key,
                      struct database_host *ret_host)
{
    sqlite3_stmt *stmt = start(database, FIND_KEY);
    if (sqlite3_bind_blob(stmt, 1, key->bytes, PUBLIC_KEY_LEN, SQLITE_STATIC) != SQLITE_OK)
        return fail(database);
    return find(database, stmt, ret_host);
}

static int insert(struct database *database, const struct database_host *host)
{
    sqlite3_stmt *stmt = start(database, ADD);
    if (sqlite3_bind_text(stmt, 1, host->name, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_blob(stmt, 2, host->key.bytes, PUBLIC_KEY_LEN, SQLITE_STATIC) != SQLITE_OK ||
        (host->has_mac &&
         sqlite3_bind_blob(stmt, 3, host->mac, DATABASE_MAC_LEN, SQLITE_STATIC) != SQLITE_OK))
        return fail(database);
    const int result = sqlite3_step(stmt);
    int error = ERR_OK;
    if (result == SQLITE_CONSTRAINT_PRIMARYKEY || result == SQLITE_CONSTRAINT_UNIQUE)
        error = ERR_EXISTS;
    else if (result != SQLITE_DONE)
        error = fail(database);
    sqlite3_reset(stmt);
    return error;
}

int database_add(struct database *database, const struct database_host *host,
                 char ret_other[NAME_TEXT_CAP])
{
    struct database_host other;
    int error = insert(database, host);
    if (error != ERR_EXISTS || ret_other == NULL)
        return error;
    ret_other[0] = '\0';
    error = database_find_name(database, host->name, &other);
    if (error == ERR_NOT_FOUND) {
        error = database_find_key(database, &host->key, &other);
        if (error == ERR_OK)
            memcpy(ret_other, other.name, sizeof other.name);
    }
    return error == ERR_IO ? error : ERR_EXISTS;
}

int database_remove(struct database *database, const char *name)
{
    sqlite3_stmt *stmt = start(database, REMOVE);
    if (sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC) != SQLITE_OK)
        return fail(database);
    int error = ERR_OK;
    if (sqlite3_step(stmt) != SQLITE_DONE)
        error = fail(database);
    else if (sqlite3_changes(database->sqlite) == 0)
        error = ERR_NOT_FOUND;
    sqlite3_reset(stmt);
    return error;
}

int database_list(struct database *database, database_visit *visit, void *context)
{
    sqlite3_stmt *stmt = start(database, LIST);
    int error = ERR_OK, result;
    while ((result = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct database_host host;
        error = read_row(database, stmt, &host);
        if (error != ERR_OK || !visit(context, &host))
            break;
    }
    if (error == ERR_OK && result != SQLITE_DONE && result != SQLITE_ROW)
        error = fail(database);
    sqlite3_reset(stmt);
    return error;
}

int database_check_changed(struct database *database, bool *ret_has_changed)
{
    sqlite3_stmt *stmt = start(database, DATA_VERSION);
    struct stat st;
    int error = ERR_OK;
    if (stat(database->file, &st) != 0 || st.st_dev != database->device ||
        st.st_ino != database->inode) {
        snprintf(database->error, sizeof database->error,
                 "the file was removed, or another one put in its place");
        return ERR_IO;
    }
    if (sqlite3_step(stmt) != SQLITE_ROW) {
        error = fail(database);
    } else {
        const int64_t version = sqlite3_column_int64(stmt, 0);
        *ret_has_changed = version != database->data_version;
        database->data_version = version;
    }
    sqlite3_reset(stmt);
    return error;
}
