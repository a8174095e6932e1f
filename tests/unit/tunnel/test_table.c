/* Ten thousand tunnels: each is found by all of its names, while the tables grow and shrink under a
 * thread that looks things up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>

#include "samples.h"
#include "tunnel/ahead.h"
#include "tunnel/tunnel.h"

#define COUNT    10000
#define ESP_EACH 100 /* tunnels, one with a child of ESP */
#define OWN      0x0a000001u
#define PEERS    0x0a100000u
#define OUTSIDE  0xc6000000u

/* Threads that a library starts while a table grows must leave signals to the control thread. Not
 * with sanitizers, which have a pthread_create of their own. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
static _Thread_local bool is_adding;
static unsigned helpers, open_helpers;

int pthread_create(pthread_t *ret_id, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument)
{
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    sigset_t blocked;
    *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
    if (is_adding) {
        helpers++;
        assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
        open_helpers += !sigismember(&blocked, SIGTERM) || !sigismember(&blocked, SIGALRM);
    }
    return create(ret_id, attributes, run, argument);
}
#define ADDING(value) (is_adding = (value))
#else
static const unsigned open_helpers;
#define ADDING(value) ((void)(value))
#endif

static struct address peer_ipv4(uint32_t i)
{
    return address_from_ipv4(PEERS + i);
}

static struct address peer_ipv6(uint32_t i)
{
    const uint8_t bytes[16] = {0x20,      1, 0, 0x20, [13] = (uint8_t)(i >> 16), (uint8_t)(i >> 8),
                               (uint8_t)i};
    return address_from_bytes(ADDRESS_IPV6, bytes);
}

/* Many behind one address: the port tells them apart. */
static struct endpoint outside(uint32_t i)
{
    return (struct endpoint){.address = address_from_ipv4(OUTSIDE + i / 3),
                             .port = (uint16_t)(1000 + i)};
}

static struct tunnel *add(struct tunnel_table *table, uint32_t i)
{
    const struct view local = {.own_ipv4 = address_from_ipv4(OWN),
                               .peer_ipv4 = peer_ipv4(i),
                               .own_ipv6 = peer_ipv6(COUNT),
                               .peer_ipv6 = peer_ipv6(i)};
    const struct endpoint remote = outside(i);
    struct tunnel *tunnel;
    ADDING(true);
    assert_int_equal(tunnel_add(table, &local, NULL, &tunnel), ERR_OK);
    ADDING(false);
    assert_int_equal(tunnel_set_path(table, tunnel, &remote, 1500), ERR_OK);
    return tunnel;
}

static void add_esp(struct tunnel *tunnel, uint32_t i)
{
    const uint8_t key[SUITE_KEY_CAP] = {(uint8_t)i, (uint8_t)(i >> 8)};
    const struct tunnel_child child = {.id = 1,
                                       .suite = ESP_AES128_GCM,
                                       .key_in = key,
                                       .key_out = key,
                                       .key_len = suite_key_len(ESP_AES128_GCM),
                                       .remote = *tunnel_view(tunnel),
                                       .spi_in = 0x1000 + i,
                                       .spi_out = 0x1000 + i,
                                       .mode = CHILD_BEET,
                                       .has_commands = true};
    assert_int_equal(tunnel_add_child(tunnel, &child), ERR_OK);
    assert_int_equal(tunnel_set_outbound(tunnel, 1), ERR_OK);
}

static void assert_found(struct tunnel_table *table, uint32_t i, const struct tunnel *tunnel)
{
    const struct address ipv4 = peer_ipv4(i), ipv6 = peer_ipv6(i);
    const struct endpoint remote = outside(i);
    assert_ptr_equal(tunnel_find_by_peer(table, &ipv4), tunnel);
    assert_ptr_equal(tunnel_find_by_peer(table, &ipv6), tunnel);
    assert_ptr_equal(tunnel_find_by_endpoint(table, &remote), tunnel);
}

/* By its SPI alone: what it has sealed, from an endpoint that is nobody's. */
static void assert_found_by_spi(struct tunnel_table *table, struct tunnel *tunnel)
{
    struct tunnel_message message;
    struct tunnel *found = NULL;
    struct packet packet;
    packet_fill(&packet, "probe", 5);
    assert_int_equal(tunnel_seal_command(tunnel, &packet, SPUT_PROBE, 1, NULL), DROP_NONE);
    packet.peer = outside(COUNT + 1);
    tunnel_read_begin();
    assert_int_equal(tunnel_open_any(table, &packet, 1, &found, &message), DROP_NONE);
    tunnel_read_end();
    assert_ptr_equal(found, tunnel);
}

struct looker {
    struct tunnel_table *table;
    _Atomic bool is_over;
    _Atomic uint32_t lost; /* of the first tunnel, that is there all the time */
    _Atomic uint32_t looks;
};

static void fill_ip(struct packet *packet, const struct address *to)
{
    uint8_t bytes[100];
    const size_t len = make_ip(bytes, to, to, 50, (const uint8_t *)"12345678", 8);
    packet_fill(packet, bytes, len);
}

static void *look(void *argument)
{
    struct looker *looker = argument;
    static struct packet packets[2];
    static struct look_ahead ahead;
    struct packet *list[2] = {&packets[0], &packets[1]};
    const struct address peer = peer_ipv4(0);
    fill_ip(&packets[0], &peer);
    packets[0].peer = outside(0);
    tunnel_thread_register();
    for (uint32_t i = 0; !atomic_load(&looker->is_over); i++) {
        tunnel_read_begin();
        const struct address other = i % 3 == 0 ? peer_ipv4(i) : peer_ipv6(i);
        fill_ip(&packets[1], &other);
        if (i % 5 == 0)
            packets[1].len = i % 50;
        packets[1].peer = outside(i % (2 * COUNT));
        if (tunnel_find_by_peer(looker->table, &peer) == NULL ||
            tunnel_find_by_endpoint(looker->table, &packets[0].peer) == NULL)
            atomic_fetch_add(&looker->lost, 1);
        tunnel_look_ahead_in(looker->table, list, 2);
        ahead.count = 0;
        for (unsigned k = 0; k <= i % LOOK_AHEAD_MAX; k++)
            tunnel_look_ahead_out(looker->table, &ahead, &packets[k % 2]);
        tunnel_look_ahead_end(looker->table, &ahead);
        tunnel_read_end();
        atomic_fetch_add(&looker->looks, 1);
    }
    tunnel_thread_unregister();
    return NULL;
}

static void test_ten_thousand(void **state)
{
    static const uint8_t seed[16] = {5};
    static struct tunnel *tunnels[COUNT];
    struct looker looker = {0};
    pthread_t id;
    tunnel_thread_register();
    assert_int_equal(tunnel_table_new(seed, &looker.table), ERR_OK);
    tunnels[0] = add(looker.table, 0);
    assert_int_equal(pthread_create(&id, NULL, look, &looker), 0);
    for (uint32_t i = 1; i < COUNT; i++) {
        tunnels[i] = add(looker.table, i);
        if (i % ESP_EACH == 0)
            add_esp(tunnels[i], i);
    }
    sigset_t blocked;
    assert_int_equal(open_helpers, 0);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
    assert_false(sigismember(&blocked, SIGTERM)); /* as it was */
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_found(looker.table, i, tunnels[i]);
        if (i > 0 && i % ESP_EACH == 0)
            assert_found_by_spi(looker.table, tunnels[i]);
    }
    assert_found(looker.table, COUNT + 1, NULL);
    for (uint32_t i = 1; i < COUNT; i += 2)
        tunnel_remove(looker.table, tunnels[i]);
    for (uint32_t i = 0; i < COUNT; i++)
        assert_found(looker.table, i, i % 2 == 0 ? tunnels[i] : NULL);
    tunnels[1] = add(looker.table, 1);
    assert_found(looker.table, 1, tunnels[1]);
    while (atomic_load(&looker.looks) == 0)
        ;
    atomic_store(&looker.is_over, true);
    pthread_join(id, NULL);
    assert_int_equal(atomic_load(&looker.lost), 0);
    tunnel_table_free(looker.table);
    tunnel_thread_unregister();
}

/* Behind one endpoint there may be many peers: whom a message to it concerns, all of them. */
static void test_one_endpoint(void **state)
{
    static const uint8_t seed[16] = {6};
    struct tunnel *tunnels[5], *found[5] = {0};
    const struct endpoint remote = outside(COUNT + 1), other = outside(COUNT + 2);
    struct tunnel_table *table;
    tunnel_thread_register();
    assert_int_equal(tunnel_table_new(seed, &table), ERR_OK);
    for (uint32_t i = 0; i < 5; i++) {
        tunnels[i] = add(table, i);
        assert_int_equal(tunnel_set_path(table, tunnels[i], i == 3 ? &other : &remote, 1500),
                         ERR_OK);
    }
    assert_int_equal(tunnel_find_all_by_endpoint(table, &remote, found, 5), 4);
    for (uint32_t i = 0; i < 5; i++) {
        unsigned times = 0;
        for (size_t j = 0; j < 4; j++)
            times += found[j] == tunnels[i];
        assert_int_equal(times, i == 3 ? 0 : 1);
    }
    found[2] = NULL;
    assert_int_equal(tunnel_find_all_by_endpoint(table, &remote, found, 2), 4);
    assert_null(found[2]);
    assert_int_equal(tunnel_find_all_by_endpoint(table, &(struct endpoint){0}, found, 5), 0);
    tunnel_table_free(table);
    tunnel_thread_unregister();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ten_thousand),
                                       cmocka_unit_test(test_one_endpoint)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
