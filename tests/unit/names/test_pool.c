/* The pool's promises: the same address for ever, never one that another name may still hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names/pool.h"

#define NOW_S ((uint64_t)1700000000)
#define DAY_S ((uint64_t)86400)
/* Times are kept rounded up to ten minutes. */
#define SURELY_RESTED_S (DAY_S + 600)

static const uint8_t SEED[16] = {1, 2, 3};

static struct pool *new_pool(const char *text)
{
    struct prefix prefix;
    struct pool *pool = NULL;

    assert_int_equal(prefix_parse(text, &prefix), ERR_OK);
    assert_int_equal(pool_new(&prefix, SEED, &pool), ERR_OK);
    return pool;
}

static const char *name_number(unsigned number)
{
    static char name[64];
    snprintf(name, sizeof name, "host-%u.zone.example.net", number);
    return name;
}

static uint32_t get(struct pool *pool, const char *name, uint64_t wall_s)
{
    struct address address;
    bool is_new = false;

    assert_int_equal(pool_get(pool, name, wall_s, &address, &is_new), ERR_OK);
    return address_to_ipv4(&address);
}

static int try_get(struct pool *pool, const char *name, uint64_t wall_s)
{
    struct address address;
    bool is_new = false;

    return pool_get(pool, name, wall_s, &address, &is_new);
}

/* Saves and loads into a fresh pool. */
static struct pool *reload(struct pool *pool, const char *prefix)
{
    struct pool *fresh = new_pool(prefix);
    struct state_damage damage;
    char *text = NULL;
    size_t len = 0;

    assert_int_equal(pool_save(pool, &text, &len), ERR_OK);
    assert_false(pool_is_dirty(pool));
    assert_int_equal(pool_load(fresh, text, len, &damage), ERR_OK);
    free(text);
    pool_free(pool);
    return fresh;
}

static void test_same_for_ever(void **state)
{
    struct pool *pool = new_pool("0.0.0.0/8"), *other = new_pool("0.0.0.0/8");
    struct address address, found;
    bool is_new = false;

    assert_int_equal(pool_get(pool, "home-pc.example.net", NOW_S, &address, &is_new), ERR_OK);
    assert_true(is_new);
    assert_true(pool_is_dirty(pool));
    assert_true(pool_contains(pool, &address));
    uint32_t first = address_to_ipv4(&address);
    assert_int_equal(pool_get(pool, "home-pc.example.net", NOW_S + 9 * DAY_S, &address, &is_new),
                     ERR_OK);
    assert_true(is_new); /* still to be saved */
    assert_int_equal(address_to_ipv4(&address), first);
    assert_int_equal(pool_find_by_name(pool, "home-pc.example.net", &found), ERR_OK);
    assert_true(address_is_equal(&found, &address));
    assert_string_equal(pool_find_by_address(pool, &address), "home-pc.example.net");
    pool = reload(pool, "0.0.0.0/8");
    assert_int_equal(pool_get(pool, "home-pc.example.net", NOW_S, &address, &is_new), ERR_OK);
    assert_false(is_new);
    assert_int_equal(address_to_ipv4(&address), first);
    /* Even with the state lost, and others asked for first. */
    for (unsigned i = 0; i < 100; i++)
        get(other, name_number(i), NOW_S);
    assert_int_equal(get(other, "home-pc.example.net", NOW_S), first);
    pool_free(pool);
    pool_free(other);
}

static void test_bad_arguments(void **state)
{
    static const char *const bad[] = {"127.0.0.0/8", "224.0.0.0/8", "10.0.0.0/29", "fd00::/8",
                                      "0.0.0.0/7"};
    struct pool *pool = new_pool("10.0.0.0/8");
    struct address address = address_from_ipv4(0x0a000005), own = pool_own_address(pool);

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct prefix prefix;
        struct pool *none = NULL;
        assert_int_equal(prefix_parse(bad[i], &prefix), ERR_OK);
        assert_int_equal(pool_new(&prefix, SEED, &none), ERR_INVALID);
        assert_null(none);
    }
    assert_int_equal(address_to_ipv4(&own), 0x0a000002);
    assert_int_equal(try_get(pool, "Upper.example.net", NOW_S), ERR_INVALID);
    assert_int_equal(try_get(pool, "a.example.net.", NOW_S), ERR_INVALID);
    assert_int_equal(try_get(pool, "", NOW_S), ERR_INVALID);
    assert_int_equal(try_get(pool, "a b", NOW_S), ERR_INVALID);
    assert_null(pool_find_by_address(pool, &address));
    assert_int_equal(pool_hold(pool, &address, NOW_S), ERR_NOT_FOUND);
    pool_drop(pool, &address, NOW_S);
    assert_int_equal(pool_release(pool, "a.example.net", NOW_S), ERR_NOT_FOUND);
    assert_int_equal(pool_count(pool), 0);
    pool_free(pool);
}

static void test_reserved_addresses(void **state)
{
    static const char *const prefixes[] = {"10.1.2.0/24", "10.1.2.128/25", "10.1.2.16/28",
                                           "10.1.0.0/22"};
    for (size_t p = 0; p < sizeof prefixes / sizeof prefixes[0]; p++) {
        struct pool *pool = new_pool(prefixes[p]);
        const struct prefix *prefix = pool_prefix(pool);
        uint32_t base = address_to_ipv4(&prefix->address);
        uint32_t size = 1u << (32 - prefix->bits);
        bool *seen = calloc(size, sizeof *seen);
        unsigned count = 0;
        assert_non_null(seen);
        for (;; count++) {
            struct address address;
            bool is_new = false;
            int error = pool_get(pool, name_number(count), NOW_S, &address, &is_new);
            if (error == ERR_FULL)
                break;
            assert_int_equal(error, ERR_OK);
            uint32_t offset = address_to_ipv4(&address) - base;
            assert_true(offset > 2 && offset < size - 1);
            assert_true(address.bytes[3] != 0 && address.bytes[3] != 255);
            assert_false(seen[offset]);
            seen[offset] = true;
        }
        /* Every address but .0, .1, own, broadcast, and the others that end in 0 or 255. */
        unsigned others = size > 256 ? 2 * (size / 256 - 1) : 0;
        assert_int_equal(count, size - 4 - others);
        free(seen);
        pool_free(pool);
    }
}

static void test_released_rests_a_day(void **state)
{
    struct pool *pool = new_pool("10.1.2.16/28");
    unsigned count = 0;

    while (try_get(pool, name_number(count), NOW_S) == ERR_OK)
        count++;
    assert_int_equal(count, 12);
    uint32_t freed = get(pool, name_number(5), NOW_S);
    struct address address = address_from_ipv4(freed);
    assert_int_equal(pool_release(pool, name_number(5), NOW_S), ERR_OK);
    assert_null(pool_find_by_address(pool, &address));
    assert_int_equal(try_get(pool, "new.example.net", NOW_S), ERR_FULL);
    pool = reload(pool, "10.1.2.16/28");
    for (uint64_t s = 0; s < DAY_S; s += 3600)
        assert_int_equal(try_get(pool, "new.example.net", NOW_S + s), ERR_FULL);
    assert_int_equal(try_get(pool, "new.example.net", NOW_S - DAY_S),
                     ERR_FULL); /* clock set back */
    assert_int_equal(get(pool, "new.example.net", NOW_S + SURELY_RESTED_S), freed);
    pool_free(pool);
}

static void test_released_comes_back(void **state)
{
    struct pool *pool = new_pool("10.1.0.0/16");
    struct address address;
    bool is_new = false;
    uint32_t first = get(pool, "a.example.net", NOW_S);

    assert_int_equal(pool_release(pool, "a.example.net", NOW_S), ERR_OK);
    assert_int_equal(pool_find_by_name(pool, "a.example.net", &address), ERR_NOT_FOUND);
    assert_int_equal(pool_release(pool, "a.example.net", NOW_S), ERR_NOT_FOUND);
    assert_int_equal(pool_get(pool, "a.example.net", NOW_S + 60, &address, &is_new), ERR_OK);
    assert_true(is_new); /* must be saved: the file says released */
    assert_int_equal(address_to_ipv4(&address), first);
    pool_free(pool);
}

static void test_recycles_least_recently_used(void **state)
{
    struct pool *pool = new_pool("10.1.2.16/28");
    uint32_t addresses[12];

    for (unsigned i = 0; i < 12; i++)
        addresses[i] = get(pool, name_number(i), NOW_S + i * 3600);
    struct address held = address_from_ipv4(addresses[0]);
    assert_int_equal(pool_hold(pool, &held, NOW_S + 12 * 3600), ERR_OK);
    assert_int_equal(pool_release(pool, name_number(0), NOW_S), ERR_STATE);
    struct address touched = address_from_ipv4(addresses[1]);
    pool_touch(pool, &touched, NOW_S + 12 * 3600);

    assert_int_equal(try_get(pool, "new.example.net", NOW_S + DAY_S), ERR_FULL);
    /* Number 2 is the oldest that is neither held nor touched. */
    assert_int_equal(get(pool, "new.example.net", NOW_S + 2 * 3600 + SURELY_RESTED_S),
                     addresses[2]);
    assert_int_equal(try_get(pool, "newer.example.net", NOW_S + 2 * 3600 + SURELY_RESTED_S),
                     ERR_FULL);
    /* However long: never the held one. */
    for (unsigned i = 0; i < 11; i++) {
        char name[32];
        snprintf(name, sizeof name, "late-%u.example.net", i);
        assert_int_not_equal(get(pool, name, NOW_S + 100 * DAY_S), addresses[0]);
    }
    assert_int_equal(try_get(pool, "too-late.example.net", NOW_S + 100 * DAY_S), ERR_FULL);
    assert_string_equal(pool_find_by_address(pool, &held), "host-0.zone.example.net");
    pool_drop(pool, &held, NOW_S + 100 * DAY_S);
    assert_int_equal(try_get(pool, "too-late.example.net", NOW_S + 100 * DAY_S + 60), ERR_FULL);
    for (unsigned i = 0; i < 11; i++) {
        char name[32];
        snprintf(name, sizeof name, "late-%u.example.net", i);
        get(pool, name, NOW_S + 100 * DAY_S + 7200);
    }
    assert_int_equal(get(pool, "too-late.example.net", NOW_S + 101 * DAY_S + 600), addresses[0]);
    pool_free(pool);
}

/* A model of who may hold which address, against many random steps. */
static void test_never_reissued(void **state)
{
    enum { NAMES = 40, SIZE = 16 };
    struct pool *pool = new_pool("10.1.2.16/28");
    uint64_t last_s[SIZE] = {0}, now_s = NOW_S;
    int owner[SIZE];
    uint32_t random = 4242;
    unsigned given = 0, moved = 0;

    for (int i = 0; i < SIZE; i++)
        owner[i] = -1;
    for (int step = 0; step < 20000; step++) {
        random = random * 1664525 + 1013904223;
        int name = (int)(random >> 8) % NAMES;
        now_s += (random >> 16) % 7200;
        if (random >> 28 == 0)
            (void)!pool_release(pool, name_number((unsigned)name), now_s);
        if (random >> 25 == 9)
            pool = reload(pool, "10.1.2.16/28");
        struct address address;
        bool is_new = false;
        if (pool_get(pool, name_number((unsigned)name), now_s, &address, &is_new) != ERR_OK)
            continue;
        uint32_t at = address_to_ipv4(&address) & (SIZE - 1);
        if (owner[at] != name) {
            assert_true(is_new);
            assert_true(owner[at] == -1 || now_s - last_s[at] >= DAY_S);
            moved += owner[at] != -1;
        }
        owner[at] = name;
        last_s[at] = now_s;
        given++;
    }
    assert_true(given > 1000 && moved > 10);
    pool_free(pool);
}

/* As the owner does: one line more in the file where that is enough, else all of it. True: it was.
 */
static bool save(struct pool *pool, const char *name, char **text, size_t *len)
{
    char record[STATE_RECORD_LEN];
    size_t at = 0;

    if (pool_save_new(pool, name, record, &at) == ERR_OK) {
        assert_true(at <= *len && *len - at >= sizeof record);
        memcpy(*text + at, record, sizeof record);
        return true;
    }
    free(*text);
    assert_int_equal(pool_save(pool, text, len), ERR_OK);
    return false;
}

static void test_added_lines(void **state)
{
    enum { NAMES = 2000 };
    struct pool *pool = new_pool("10.1.0.0/16");
    struct state_damage damage;
    char *text = NULL;
    size_t len = 0, wholes = 0;
    uint32_t addresses[NAMES];

    for (unsigned i = 0; i < NAMES; i++) {
        addresses[i] = get(pool, name_number(i), NOW_S);
        assert_true(pool_is_dirty(pool));
        wholes += !save(pool, name_number(i), &text, &len);
        assert_false(pool_is_dirty(pool));
        if (i % 97 != 0)
            continue;
        /* The end of the daemon at this moment: nothing that was told is lost. */
        pool_free(pool);
        pool = new_pool("10.1.0.0/16");
        assert_int_equal(pool_load(pool, text, len, &damage), ERR_OK);
        assert_false(pool_is_dirty(pool));
        assert_int_equal(pool_count(pool), i + 1);
        for (unsigned j = 0; j <= i; j++)
            assert_int_equal(get(pool, name_number(j), NOW_S), addresses[j]);
    }
    assert_true(wholes < 2 + 2 * NAMES / 97); /* once after each start, and where room ends */

    /* More has changed than one line can say. */
    assert_int_equal(pool_release(pool, name_number(5), NOW_S), ERR_OK);
    get(pool, "another.example.net", NOW_S);
    assert_false(save(pool, "another.example.net", &text, &len));
    get(pool, name_number(5), NOW_S);
    assert_false(save(pool, name_number(5), &text, &len));
    get(pool, "one.example.net", NOW_S);
    get(pool, "two.example.net", NOW_S);
    assert_false(save(pool, "two.example.net", &text, &len));
    get(pool, "three.example.net", NOW_S);
    assert_true(save(pool, "three.example.net", &text, &len));
    pool_save_failed(pool);
    assert_true(pool_is_dirty(pool));
    get(pool, "four.example.net", NOW_S);
    assert_false(save(pool, "four.example.net", &text, &len));
    free(text);
    pool_free(pool);
}

static bool is_to_be_saved(struct pool *pool, const char *name)
{
    struct address address;
    bool is_new = false;

    assert_int_equal(pool_get(pool, name, NOW_S, &address, &is_new), ERR_OK);
    return is_new;
}

/* Nobody is told of an address that is in no file, however often it is asked for. */
static void test_failed_saves(void **state)
{
    struct pool *pool = new_pool("10.1.0.0/16");
    char *text = NULL, record[STATE_RECORD_LEN];
    size_t len = 0, at;

    assert_true(is_to_be_saved(pool, "a.example.net"));
    assert_true(is_to_be_saved(pool, "a.example.net"));
    assert_int_equal(pool_save(pool, &text, &len), ERR_OK);
    free(text);
    assert_false(is_to_be_saved(pool, "a.example.net"));
    pool_save_failed(pool);
    assert_true(is_to_be_saved(pool, "a.example.net"));
    assert_int_equal(pool_save(pool, &text, &len), ERR_OK);
    free(text);
    assert_true(is_to_be_saved(pool, "b.example.net"));
    assert_int_equal(pool_save_new(pool, "b.example.net", record, &at), ERR_OK);
    assert_false(is_to_be_saved(pool, "b.example.net"));
    pool_save_failed(pool);
    assert_true(is_to_be_saved(pool, "b.example.net"));
    assert_false(is_to_be_saved(pool, "a.example.net")); /* has been in the file since before */
    assert_int_equal(pool_save(pool, &text, &len), ERR_OK);
    free(text);
    assert_false(is_to_be_saved(pool, "b.example.net"));
    assert_int_equal(pool_release(pool, "a.example.net", NOW_S), ERR_OK);
    assert_int_equal(pool_save(pool, &text, &len), ERR_OK);
    free(text);
    assert_true(is_to_be_saved(pool, "a.example.net"));
    assert_true(is_to_be_saved(pool, "a.example.net"));
    assert_true(pool_is_dirty(pool));
    pool_free(pool);
}

static void test_one_domain_cannot_fill_it(void **state)
{
    struct pool *pool = new_pool("0.0.0.0/8");

    for (unsigned i = 0; i < POOL_SUFFIX_MAX; i++)
        assert_int_equal(try_get(pool, name_number(i), NOW_S), ERR_OK);
    assert_int_equal(try_get(pool, name_number(POOL_SUFFIX_MAX), NOW_S), ERR_LIMIT);
    assert_int_equal(try_get(pool, "other.example.org", NOW_S), ERR_OK);
    assert_int_equal(try_get(pool, name_number(POOL_SUFFIX_MAX), NOW_S + SURELY_RESTED_S), ERR_OK);
    assert_int_equal(pool_count(pool), POOL_SUFFIX_MAX + 1);
    pool_free(pool);
}

static void test_damaged_file(void **state)
{
    struct pool *pool = new_pool("10.1.0.0/16");
    char *text = NULL;
    size_t len = 0;

    for (unsigned i = 0; i < 3; i++)
        get(pool, name_number(i), NOW_S);
    assert_int_equal(pool_save(pool, &text, &len), ERR_OK);
    pool_free(pool);
    for (size_t i = 0; i < len * 2; i++) {
        struct state_damage damage = {.line = 0};
        size_t cut = i < len ? i : len;
        pool = new_pool("10.1.0.0/16");
        if (i >= len)
            text[i - len] ^= 4;
        assert_int_equal(pool_load(pool, text, cut, &damage), ERR_INVALID);
        if (i >= len)
            text[i - len] ^= 4;
        assert_true(strlen(damage.message) > 0);
        assert_int_equal(pool_count(pool), 0);
        assert_int_equal(try_get(pool, name_number(0), NOW_S), ERR_STATE);
        assert_int_equal(try_get(pool, "new.example.net", NOW_S), ERR_STATE);
        char *saved = NULL;
        size_t saved_len = 0;
        assert_int_equal(pool_save(pool, &saved, &saved_len), ERR_STATE);
        pool_free(pool);
    }
    free(text);
}

/* Lines that a correct checksum vouches for, and that are wrong nevertheless. */
static void assert_refused(const char *first, const char *second)
{
    struct pool *pool = new_pool("10.1.0.0/16");
    struct state_damage damage = {.line = 0};
    struct state_builder b;
    char *text = NULL;
    size_t len = 0;

    state_builder_init(&b, "detec-pool 1 10.1.0.0/16");
    state_builder_line(&b, "%s", first);
    if (second != NULL)
        state_builder_line(&b, "%s", second);
    assert_int_equal(state_builder_finish(&b, &text, &len), ERR_OK);
    assert_int_equal(pool_load(pool, text, len, &damage), ERR_INVALID);
    assert_int_equal(damage.line, second != NULL ? 3 : 2);
    assert_int_equal(try_get(pool, "a.example.net", NOW_S), ERR_STATE);
    free(text);
    pool_free(pool);
}

static void test_wrong_lines(void **state)
{
    assert_refused("10.1.0.9 a.b used", NULL);
    assert_refused("10.1.0.9 a.b used 1 2", NULL);
    assert_refused("10.1.0 a.b used 1", NULL);
    assert_refused("fd00::1 a.b used 1", NULL);
    assert_refused("10.2.0.9 a.b used 1", NULL); /* outside */
    assert_refused("10.1.0.1 a.b used 1", NULL);
    assert_refused("10.1.0.2 a.b used 1", NULL); /* own */
    assert_refused("10.1.7.0 a.b used 1", NULL);
    assert_refused("10.1.255.255 a.b used 1", NULL);
    assert_refused("10.1.0.9 A.b used 1", NULL);
    assert_refused("10.1.0.9 a.b. used 1", NULL);
    assert_refused("10.1.0.9 a.b free 1", NULL);
    assert_refused("10.1.0.9 a.b used -1", NULL);
    assert_refused("10.1.0.9 a.b used 1", "10.1.0.9 c.d used 1"); /* two names of an address */
    assert_refused("10.1.0.9 a.b used 1", "10.1.0.8 a.b used 1"); /* two addresses of a name */
}

static void test_other_prefix(void **state)
{
    struct pool *pool = new_pool("10.0.0.0/8"), *narrow;
    struct address address;
    struct state_damage damage;
    char *text = NULL;
    size_t len = 0, inside = 0;

    for (unsigned i = 0; i < 1000; i++)
        inside += get(pool, name_number(i), NOW_S) >> 20 == 0x0a1;
    assert_int_equal(pool_save(pool, &text, &len), ERR_OK);
    narrow = new_pool("10.16.0.0/12");
    assert_int_equal(pool_load(narrow, text, len, &damage), ERR_OK);
    assert_int_equal(pool_count(narrow), inside);
    for (unsigned i = 0; i < 1000; i++)
        if (pool_find_by_name(narrow, name_number(i), &address) == ERR_OK)
            assert_int_equal(address_to_ipv4(&address), get(pool, name_number(i), NOW_S));
    assert_int_equal(pool_load(narrow, text, len, &damage), ERR_STATE); /* not empty */
    free(text);
    pool_free(narrow);
    pool_free(pool);
}

static void count_entry(const struct pool_entry *entry, void *context)
{
    assert_non_null(strstr(entry->name, ".zone.example.net"));
    assert_int_equal(entry->hold_count, 0);
    assert_true(entry->used_s >= NOW_S);
    ++*(unsigned *)context;
}

static void test_walk(void **state)
{
    struct pool *pool = new_pool("10.1.0.0/16");
    unsigned count = 0;

    for (unsigned i = 0; i < 100; i++)
        get(pool, name_number(i), NOW_S);
    pool_walk(pool, count_entry, &count);
    assert_int_equal(count, 100);
    pool_free(pool);
    pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_for_ever),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_reserved_addresses),
        cmocka_unit_test(test_released_rests_a_day),
        cmocka_unit_test(test_released_comes_back),
        cmocka_unit_test(test_recycles_least_recently_used),
        cmocka_unit_test(test_never_reissued),
        cmocka_unit_test(test_added_lines),
        cmocka_unit_test(test_failed_saves),
        cmocka_unit_test(test_one_domain_cannot_fill_it),
        cmocka_unit_test(test_damaged_file),
        cmocka_unit_test(test_wrong_lines),
        cmocka_unit_test(test_other_prefix),
        cmocka_unit_test(test_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
