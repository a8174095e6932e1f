/* Routes to networks behind tunnels: longest prefix first, the newest of equal ones, any range, ten
 * thousand of them, and readers while they change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "ends.h"
#include "tunnel/route_table.h"

#define MANY 10000

static const uint8_t seed[16] = {7};
static char marks[MANY]; /* stand for tunnels, which the table does not look at */

static struct tunnel *mark(size_t i)
{
    return (struct tunnel *)(void *)&marks[i];
}

static struct selectors range(const char *first, const char *last)
{
    const struct address a = address_of(first), b = address_of(last);
    return (struct selectors){.count = 1, .list = {selector_of(&a, &b)}};
}

static struct routes *add(struct route_table *table, const struct selectors *to, size_t i)
{
    struct routes *routes = NULL;
    assert_int_equal(route_table_add(table, to, mark(i), &routes), ERR_OK);
    return routes;
}

static struct tunnel *find(struct route_table *table, const char *text)
{
    const struct address to = address_of(text);
    tunnel_read_begin();
    struct tunnel *found = route_table_find(table, &to);
    tunnel_read_end();
    return found;
}

static void test_longest_and_newest(void **state)
{
    const struct selectors wide = range("10.0.0.0", "10.255.255.255"),
                           narrow = range("10.9.0.0", "10.9.0.255"),
                           wide6 = range("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
                           all = range("0.0.0.0", "255.255.255.255");
    struct route_table table;
    struct routes *routes[6];
    route_table_init(&table, seed);
    assert_null(find(&table, "10.1.1.1"));
    routes[0] = add(&table, &wide, 0);
    routes[1] = add(&table, &narrow, 1);
    routes[2] = add(&table, &wide, 2);
    routes[3] = add(&table, &wide6, 3);
    assert_ptr_equal(find(&table, "10.1.1.1"), mark(2));
    assert_ptr_equal(find(&table, "10.9.0.1"), mark(1));
    assert_ptr_equal(find(&table, "10.9.1.0"), mark(2));
    assert_ptr_equal(find(&table, "2001:db8:1::"), mark(3));
    assert_null(find(&table, "11.0.0.0"));
    assert_null(find(&table, "2001:db9::"));
    routes[4] = add(&table, &all, 4);
    assert_ptr_equal(find(&table, "11.0.0.0"), mark(4));
    assert_null(find(&table, "2001:db9::"));
    route_table_remove(&table, routes[1]);
    assert_ptr_equal(find(&table, "10.9.0.1"), mark(2));
    route_table_remove(&table, routes[0]); /* the older one goes first */
    assert_ptr_equal(find(&table, "10.9.0.1"), mark(2));
    routes[5] = add(&table, &wide, 5);
    route_table_remove(&table, routes[5]);
    assert_ptr_equal(find(&table, "10.9.0.1"), mark(2));
    route_table_remove(&table, routes[2]);
    assert_ptr_equal(find(&table, "10.9.0.1"), mark(4));
    route_table_remove(&table, routes[4]);
    assert_null(find(&table, "10.9.0.1"));
    assert_ptr_equal(find(&table, "2001:db8:1::"), mark(3));
    route_table_remove(&table, routes[3]);
    assert_null(find(&table, "2001:db8:1::"));
    route_table_remove(&table, NULL);
    route_table_done(&table);
}

/* Ranges that are no prefixes: every address of them, and none beside. */
static void test_ranges(void **state)
{
    struct route_table table;
    uint64_t random = 5;
    route_table_init(&table, seed);
    for (unsigned i = 0; i < 300; i++) {
        const uint32_t base = i % 3 == 0 ? 0 : i % 3 == 1 ? 0xffffff00u : 0x0a7fff80u;
        uint32_t a = (uint32_t)sample_random(&random) & 0xff,
                 b = (uint32_t)sample_random(&random) & 0xff;
        const uint32_t first = base + (a < b ? a : b), last = base + (a < b ? b : a);
        const struct address from = address_from_ipv4(first), to = address_from_ipv4(last);
        const struct selectors selectors = {.count = 1, .list = {selector_of(&from, &to)}};
        struct routes *routes = add(&table, &selectors, i);
        for (uint32_t at = base; at >= base && at - base < 256; at++) {
            const struct address address = address_from_ipv4(at);
            tunnel_read_begin();
            const struct tunnel *found = route_table_find(&table, &address);
            tunnel_read_end();
            assert_ptr_equal(found, at >= first && at <= last ? mark(i) : NULL);
        }
        route_table_remove(&table, routes);
    }
    /* More of it than is divided: what is left is not reached, and the rest is. */
    const struct selectors odd = range("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe");
    struct routes *routes = add(&table, &odd, 1);
    assert_ptr_equal(find(&table, "::1"), mark(1));
    assert_null(find(&table, "::"));
    route_table_remove(&table, routes);
    route_table_done(&table);
}

/* Ten thousand networks: each found, in much the same time as the first one. */
static void test_many(void **state)
{
    static struct routes *routes[MANY];
    struct route_table table;
    route_table_init(&table, seed);
    for (size_t i = 0; i < MANY; i++) {
        const struct address first = address_from_ipv4(0x0b000000u + (uint32_t)i * 256),
                             last = address_from_ipv4(0x0b0000ffu + (uint32_t)i * 256);
        const struct selectors selectors = {.count = 1, .list = {selector_of(&first, &last)}};
        routes[i] = add(&table, &selectors, i);
    }
    uint64_t random = 9;
    for (size_t n = 0; n < 1000000; n++) { /* 10^10 steps where each were compared */
        const uint64_t number = sample_random(&random) % MANY;
        const struct address to =
            address_from_ipv4(0x0b000000u + (uint32_t)number * 256 + (uint32_t)(n & 255));
        tunnel_read_begin();
        assert_ptr_equal(route_table_find(&table, &to), mark(number));
        tunnel_read_end();
    }
    for (size_t i = 0; i < MANY; i++)
        route_table_remove(&table, routes[i]);
    assert_null(find(&table, "11.0.0.1"));
    route_table_done(&table);
}

static struct route_table shared;
static _Atomic bool is_over;

static void *read_on(void *context)
{
    const struct address to = address_of("10.9.0.1");
    tunnel_thread_register();
    while (!atomic_load(&is_over)) {
        tunnel_read_begin();
        const struct tunnel *found = route_table_find(&shared, &to);
        /* The wide route is always there. */
        if (found != mark(0) && found != mark(1) && found != mark(2))
            atomic_store(&is_over, true);
        tunnel_read_end();
    }
    tunnel_thread_unregister();
    return NULL;
}

static void test_readers(void **state)
{
    const struct selectors wide = range("10.0.0.0", "10.255.255.255"),
                           narrow = range("10.9.0.0", "10.9.0.255");
    pthread_t reader;
    route_table_init(&shared, seed);
    struct routes *first = add(&shared, &wide, 0);
    assert_int_equal(pthread_create(&reader, NULL, read_on, NULL), 0);
    for (unsigned i = 0; i < 20000 && !atomic_load(&is_over); i++) {
        struct routes *second = add(&shared, &narrow, 1), *third = add(&shared, &narrow, 2);
        route_table_remove(&shared, i % 2 == 0 ? second : third);
        route_table_remove(&shared, i % 2 == 0 ? third : second);
    }
    assert_false(atomic_exchange(&is_over, true));
    pthread_join(reader, NULL);
    route_table_remove(&shared, first);
    route_table_done(&shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longest_and_newest),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_readers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
