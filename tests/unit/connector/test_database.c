/* The host database: uniqueness, transactions, damage, and changes from outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */
#include <sqlite3.h>

#include "connector/database.h"

static char directory[64];
static char file[96];

static int set_up(void **state)
{
    snprintf(directory, sizeof directory, "/tmp/detec-database-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(file, sizeof file, "%s/hosts.db", directory);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-journal", ".old"};
    char path[128];
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        snprintf(path, sizeof path, "%s%s", file, endings[i]);
        unlink(path);
    }
    return rmdir(directory);
}

static struct database *open_it(void)
{
    struct database *database = NULL;
    char text[256] = "";
    if (database_open(file, &database, text, sizeof text) != ERR_OK)
        fail_msg("%s", text);
    return database;
}

static struct database_host host_of(const char *name, uint8_t key)
{
    struct database_host host;
    memset(&host, 0, sizeof host);
    snprintf(host.name, sizeof host.name, "%s", name);
    memset(host.key.bytes, key, sizeof host.key.bytes);
    return host;
}

static void test_add_find_remove(void **state)
{
    struct database *database = open_it();
    struct database_host a = host_of("a.z.example", 1), b = host_of("b.z.example", 2), found;
    struct stat st;
    b.has_mac = true;
    memcpy(b.mac, "\x02\x00\x5e\x10\x00\x01", 6);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(database_find_name(database, a.name, &found), ERR_NOT_FOUND);
    assert_int_equal(database_find_key(database, &a.key, &found), ERR_NOT_FOUND);
    assert_int_equal(database_add(database, &a, NULL), ERR_OK);
    assert_int_equal(database_add(database, &b, NULL), ERR_OK);
    assert_int_equal(database_find_name(database, a.name, &found), ERR_OK);
    assert_memory_equal(&found, &a, sizeof a);
    assert_int_equal(database_find_key(database, &b.key, &found), ERR_OK);
    assert_memory_equal(&found, &b, sizeof b);
    assert_int_equal(database_remove(database, "a.z.example"), ERR_OK);
    assert_int_equal(database_remove(database, "a.z.example"), ERR_NOT_FOUND);
    assert_int_equal(database_find_key(database, &a.key, &found), ERR_NOT_FOUND);
    database_close(database);
    /* It lasts. */
    database = open_it();
    assert_int_equal(database_find_name(database, b.name, &found), ERR_OK);
    assert_memory_equal(&found, &b, sizeof b);
    database_close(database);
}

static void test_unique(void **state)
{
    struct database *database = open_it();
    struct database_host a = host_of("a.z.example", 1), found;
    struct database_host same_name = host_of("a.z.example", 2);
    struct database_host same_key = host_of("b.z.example", 1);
    char other[NAME_TEXT_CAP] = "x";
    assert_int_equal(database_add(database, &a, other), ERR_OK);
    assert_int_equal(database_add(database, &same_name, other), ERR_EXISTS);
    assert_string_equal(other, "");
    assert_int_equal(database_add(database, &same_key, other), ERR_EXISTS);
    assert_string_equal(other, "a.z.example");
    assert_int_equal(database_add(database, &same_key, NULL), ERR_EXISTS);
    /* Neither has changed anything. */
    assert_int_equal(database_find_name(database, "b.z.example", &found), ERR_NOT_FOUND);
    assert_int_equal(database_find_name(database, "a.z.example", &found), ERR_OK);
    assert_memory_equal(&found, &a, sizeof a);
    database_close(database);
}

static bool count_host(void *context, const struct database_host *host)
{
    char *names = context;
    strcat(names, host->name);
    strcat(names, " ");
    return strcmp(host->name, "c") != 0;
}

static void test_list(void **state)
{
    struct database *database = open_it();
    char names[256] = "";
    static const char *const added[] = {"d", "b", "c", "a"};
    for (size_t i = 0; i < 4; i++) {
        struct database_host host = host_of(added[i], (uint8_t)(i + 1));
        assert_int_equal(database_add(database, &host, NULL), ERR_OK);
    }
    assert_int_equal(database_list(database, count_host, names), ERR_OK);
    assert_string_equal(names, "a b c "); /* stopped there */
    database_close(database);
}

static void test_changed_from_outside(void **state)
{
    struct database *database = open_it(), *second = open_it();
    struct database_host a = host_of("a.z.example", 1);
    bool has_changed = true;
    assert_int_equal(database_check_changed(database, &has_changed), ERR_OK);
    assert_false(has_changed);
    assert_int_equal(database_add(database, &a, NULL), ERR_OK);
    assert_int_equal(database_check_changed(database, &has_changed), ERR_OK);
    assert_false(has_changed); /* our own change */
    assert_int_equal(database_remove(second, a.name), ERR_OK);
    assert_int_equal(database_check_changed(database, &has_changed), ERR_OK);
    assert_true(has_changed);
    assert_int_equal(database_check_changed(database, &has_changed), ERR_OK);
    assert_false(has_changed);
    database_close(second);
    database_close(database);
}

static void test_removed_or_replaced(void **state)
{
    struct database *database = open_it(), *second = NULL;
    char old[128], text[256] = "";
    bool has_changed;
    snprintf(old, sizeof old, "%s.old", file);
    assert_int_equal(rename(file, old), 0);
    assert_int_equal(database_check_changed(database, &has_changed), ERR_IO);
    assert_non_null(strstr(database_error_text(database), "removed"));
    /* A lost database is not made anew while running. */
    assert_int_equal(database_reopen(file, &second, text, sizeof text), ERR_NOT_FOUND);
    assert_int_equal(access(file, F_OK), -1);
    /* Nor is an empty one taken for it. */
    fclose(fopen(file, "w"));
    assert_int_equal(database_reopen(file, &second, text, sizeof text), ERR_INVALID);
    assert_int_equal(database_open(file, &second, text, sizeof text), ERR_INVALID);
    assert_non_null(strstr(text, "empty"));
    database_close(database);
    assert_int_equal(rename(old, file), 0);
    assert_int_equal(database_reopen(file, &second, text, sizeof text), ERR_OK);
    database_close(second);
}

/* Overwrites len bytes at offset. */
static void damage(long offset, const void *data, size_t len)
{
    FILE *stream = fopen(file, "r+");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, offset, SEEK_SET), 0);
    assert_int_equal(fwrite(data, 1, len, stream), len);
    fclose(stream);
}

static void expect_refused(int error_wanted, const char *says)
{
    struct database *database = NULL;
    char text[256] = "";
    assert_int_equal(database_open(file, &database, text, sizeof text), error_wanted);
    assert_null(database);
    if (strstr(text, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", text, says);
}

static void fill(int count)
{
    struct database *database = open_it();
    for (int i = 0; i < count; i++) {
        char name[NAME_TEXT_CAP];
        snprintf(name, sizeof name, "h%03d.z.example", i);
        struct database_host host = host_of(name, (uint8_t)i);
        assert_int_equal(database_add(database, &host, NULL), ERR_OK);
    }
    database_close(database);
}

static void test_damaged(void **state)
{
    uint8_t zeros[512] = {0};
    fill(200);
    damage(4096, zeros, sizeof zeros); /* the head of the second page */
    struct database *database = NULL;
    char text[256] = "";
    assert_true(database_open(file, &database, text, sizeof text) < 0);
    assert_null(database);
    assert_true(text[0] != '\0');
}

static void test_not_a_database(void **state)
{
    FILE *stream = fopen(file, "w");
    fputs("these are not the hosts you are looking for\n", stream);
    for (int i = 0; i < 100; i++)
        fputs("nor are these\n", stream);
    fclose(stream);
    expect_refused(ERR_IO, "not a database");
}

static void test_truncated(void **state)
{
    fill(200);
    assert_int_equal(truncate(file, 4096), 0);
    struct database *database = NULL;
    char text[256] = "";
    assert_true(database_open(file, &database, text, sizeof text) < 0);
    assert_null(database);
}

static void run_sql(const char *sql)
{
    sqlite3 *sqlite = NULL;
    assert_int_equal(sqlite3_open(file, &sqlite), SQLITE_OK);
    assert_int_equal(sqlite3_exec(sqlite, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(sqlite);
}

static void test_foreign_and_newer(void **state)
{
    run_sql("CREATE TABLE t (x); PRAGMA user_version = 1");
    expect_refused(ERR_INVALID, "not a host database");
    assert_int_equal(unlink(file), 0);
    database_close(open_it());
    run_sql("PRAGMA user_version = 2");
    expect_refused(ERR_UNSUPPORTED, "version 2");
}

static void test_directory_missing(void **state)
{
    struct database *database = NULL;
    char text[256] = "";
    assert_int_equal(database_open("/nonexistent/hosts.db", &database, text, sizeof text), ERR_IO);
    assert_non_null(strstr(text, "No such file"));
    assert_int_equal(database_open("/tmp", &database, text, sizeof text), ERR_IO);
}

/* Damage that shows only while running: rows are refused, not guessed at. */
static void test_fails_while_running(void **state)
{
    struct database_host host, known = host_of("h199.z.example", 199);
    uint8_t garbage[4096];
    fill(200);
    struct database *database = open_it();
    memset(garbage, 0xa5, sizeof garbage);
    for (long page = 1; page < 6; page++)
        damage(page * 4096, garbage, sizeof garbage);
    /* Another connection's write makes SQLite drop its cached pages. */
    sqlite3 *sqlite = NULL;
    assert_int_equal(sqlite3_open(file, &sqlite), SQLITE_OK);
    sqlite3_exec(sqlite, "PRAGMA user_version = 1", NULL, NULL, NULL);
    sqlite3_close(sqlite);
    assert_int_equal(database_find_key(database, &known.key, &host), ERR_IO);
    assert_true(database_error_text(database)[0] != '\0');
    database_close(database);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_add_find_remove),
        TEST(test_unique),
        TEST(test_list),
        TEST(test_changed_from_outside),
        TEST(test_removed_or_replaced),
        TEST(test_damaged),
        TEST(test_not_a_database),
        TEST(test_truncated),
        TEST(test_foreign_and_newer),
        TEST(test_directory_missing),
        TEST(test_fails_while_running),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
