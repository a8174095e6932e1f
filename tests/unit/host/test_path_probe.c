/* Word that packets are too long for an endpoint, and whose paths it concerns. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "host/host.h"
#include "host/path_probe.h"
#include "host/peer.h"
#include <stdio.h>
#include <stdlib.h>

#define MANY 70 /* more than are found at once */

static const uint8_t seed[16] = {3};

static struct endpoint endpoint_of(uint16_t port)
{
    return (struct endpoint){.address = address_from_ipv4(0xc0000201), .port = port};
}

/* Plain peers: their path's MTU follows what the own interface says at once. */
static void add_peer(struct host *host, struct peer *peer, uint32_t i, uint16_t port)
{
    const struct view local = {.own_ipv4 = address_from_ipv4(2),
                               .peer_ipv4 = address_from_ipv4(100 + i)};
    peer->host = host;
    peer->plain = (struct plain_peer *)host; /* only compared */
    peer->path = endpoint_of(port);
    snprintf(peer->name, sizeof(peer->name), "p%u", i);
    mtu_steps_init(&peer->steps, 1500);
    assert_int_equal(tunnel_add(host->tunnels, &local, peer, &peer->tunnel), ERR_OK);
    assert_int_equal(tunnel_set_path(host->tunnels, peer->tunnel, &peer->path, 1500), ERR_OK);
    assert_int_equal(map_insert(&host->peers_by_name, &peer->by_name, i), ERR_OK);
}

static uint32_t mtu_of(const struct peer *peer)
{
    struct tunnel_status status;
    tunnel_get_status(peer->tunnel, &status);
    return status.path_mtu;
}

static void check(unsigned count)
{
    struct host *host = calloc(1, sizeof(*host));
    struct peer *peers = calloc(count + 1, sizeof(*peers));
    const struct endpoint shared = endpoint_of(4500);
    assert_non_null(host);
    assert_non_null(peers);
    tunnel_thread_register();
    assert_int_equal(map_init(&host->peers_by_name, seed), ERR_OK);
    assert_int_equal(tunnel_table_new(seed, &host->tunnels), ERR_OK);
    for (unsigned i = 0; i < count; i++)
        add_peer(host, &peers[i], i, 4500);
    add_peer(host, &peers[count], count, 4501);
    path_probe_on_too_big(host, &shared, 1300, true, 1);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(mtu_of(&peers[i]), 1300);
    assert_int_equal(mtu_of(&peers[count]), 1500);
    for (unsigned i = 0; i <= count; i++)
        map_remove(&host->peers_by_name, &peers[i].by_name);
    tunnel_table_free(host->tunnels);
    map_done(&host->peers_by_name);
    tunnel_thread_unregister();
    free(peers);
    free(host);
}

static void test_all_behind_one_endpoint(void **state)
{
    check(1);
    check(3);
}

static void test_more_than_are_found(void **state)
{
    check(MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_behind_one_endpoint),
                                       cmocka_unit_test(test_more_than_are_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
