/* Which children of a tunnel the kernel gets, and what follows where it refuses: with a kernel that
 * does as it is told. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "host/host.h"
#include "host/kernel_esp.h"
#include "host/kernel_tunnel.h"
#include "host/peer.h"
#include "host/plain.h"
#include "io/route.h"
#include "io/xfrm_link.h"
#include <stdlib.h>
#include <string.h>

#define NONE 0xc0000200 /* 192.0.2.0: no route */

static struct host *host;
static struct peer *peer;
static struct udp beside = {.fd = -1};
static uint32_t source;
static int add_error, outbound_error, flush_error;
static int made, freed, flushed;

int __wrap_kernel_tunnel_new(struct host *of, struct netlink *xfrm, uint32_t number,
                             const struct kernel_terms *terms, const struct udp *with,
                             struct kernel_tunnel **ret_tunnel);
void __wrap_kernel_tunnel_free(struct kernel_tunnel *tunnel);
int __wrap_kernel_tunnel_add(struct kernel_tunnel *tunnel,
                             const struct ike_event_child_ready *child, uint64_t lifetime_s);
int __wrap_kernel_tunnel_set_outbound(struct kernel_tunnel *tunnel, uint64_t id, uint32_t mtu);
int __wrap_netlink_open(struct netlink *nl, int protocol);
int __wrap_xfrm_flush(struct netlink *nl, uint32_t first, uint32_t last);
int __wrap_xfrm_link_flush(struct netlink *nl, uint32_t first, uint32_t last);
int __wrap_route_lookup(struct netlink *nl, const struct address *to, uint32_t mark,
                        struct route_lookup *ret_lookup);
struct udp *__wrap_sockets_find(struct host *of, uint16_t number);
uint32_t __wrap_tunnel_mtu(const struct tunnel *tunnel);
uint64_t __wrap_plain_rekey_us(const struct plain_peer *plain);

int __wrap_kernel_tunnel_new(struct host *of, struct netlink *xfrm, uint32_t number,
                             const struct kernel_terms *terms, const struct udp *with,
                             struct kernel_tunnel **ret_tunnel)
{
    struct kernel_tunnel *tunnel = calloc(1, sizeof(*tunnel));
    assert_non_null(tunnel);
    tunnel->number = number;
    tunnel->terms = *terms;
    *ret_tunnel = tunnel;
    made++;
    return ERR_OK;
}

void __wrap_kernel_tunnel_free(struct kernel_tunnel *tunnel)
{
    freed++;
    free(tunnel);
}

int __wrap_kernel_tunnel_add(struct kernel_tunnel *tunnel,
                             const struct ike_event_child_ready *child, uint64_t lifetime_s)
{
    if (add_error == ERR_OK)
        tunnel->children[child->child % KERNEL_CHILDREN_MAX].id = child->child;
    return add_error;
}

int __wrap_kernel_tunnel_set_outbound(struct kernel_tunnel *tunnel, uint64_t id, uint32_t mtu)
{
    tunnel->outbound = id;
    return outbound_error;
}

int __wrap_netlink_open(struct netlink *nl, int protocol)
{
    memset(nl, 0, sizeof(*nl));
    return ERR_OK;
}

int __wrap_xfrm_flush(struct netlink *nl, uint32_t first, uint32_t last)
{
    assert_true(first == KERNEL_NUMBER_FIRST && last == KERNEL_NUMBER_LAST);
    flushed++;
    return flush_error;
}

int __wrap_xfrm_link_flush(struct netlink *nl, uint32_t first, uint32_t last)
{
    assert_true(first == KERNEL_NUMBER_FIRST && last == KERNEL_NUMBER_LAST);
    flushed++;
    return ERR_OK;
}

int __wrap_route_lookup(struct netlink *nl, const struct address *to, uint32_t mark,
                        struct route_lookup *ret_lookup)
{
    if (source == NONE)
        return ERR_NOT_FOUND;
    *ret_lookup = (struct route_lookup){.source = address_from_ipv4(source)};
    return ERR_OK;
}

struct udp *__wrap_sockets_find(struct host *of, uint16_t number)
{
    return &beside;
}

uint32_t __wrap_tunnel_mtu(const struct tunnel *tunnel)
{
    return 1400;
}

uint64_t __wrap_plain_rekey_us(const struct plain_peer *plain)
{
    return 3600 * SECOND_US;
}

static struct ike_event_child_ready child_of(uint32_t number)
{
    const struct address ours = address_from_ipv4(0x0a010203),
                         theirs = address_from_ipv4(0x0a040506);
    return (struct ike_event_child_ready){
        .child = number,
        .suite = ESP_AES128_GCM,
        .key_len = suite_key_len(ESP_AES128_GCM),
        .own_addresses = {.own_ipv4 = ours, .other_ipv4 = theirs},
        .peer_addresses = {.own_ipv4 = theirs, .other_ipv4 = ours},
    };
}

static bool take(uint32_t number)
{
    const struct ike_event_child_ready child = child_of(number);
    return kernel_esp_take(peer, &child);
}

static int set_up(void **state)
{
    host = calloc(1, sizeof(*host));
    peer = calloc(1, sizeof(*peer));
    assert_true(host != NULL && peer != NULL);
    host->config.esp_offload = ESP_OFFLOAD_AUTO;
    flushed = 0;
    add_error = outbound_error = flush_error = ERR_OK;
    source = 0xc0000201;
    peer->host = host;
    peer->sa = (struct ike_sa *)peer; /* only asked whether they are there */
    peer->plain = (struct plain_peer *)peer;
    peer->path = (struct endpoint){
        .address = address_from_ipv4(0xc6336407), .port = 4500, .socket = HOST_SOCKET_NAT};
    return 0;
}

static void open_kernel(void)
{
    assert_int_equal(kernel_esp_open(host), ERR_OK);
    made = freed = 0;
}

static int tear_down(void **state)
{
    kernel_esp_down(peer);
    kernel_esp_close(host);
    free(peer);
    free(host);
    return 0;
}

/* The socket of its own would take the datagrams of what is user space's now. */
static void test_fall_back(void **state)
{
    struct ike_event_child_ready child = child_of(2);
    open_kernel();
    assert_true(take(1));
    kernel_esp_set_outbound(peer, 1);
    child.own_addresses.own_ipv6 = address_from_ipv4(1); /* not for the kernel */
    assert_false(kernel_esp_take(peer, &child));
    assert_null(peer->kernel);
    assert_true(made == 1 && freed == 1 && peer->kernel_why != NULL);
    assert_true(take(3)); /* and back */
    assert_true(made == 2 && peer->kernel_why == NULL);
}

static void test_no_route_at_a_rekey(void **state)
{
    open_kernel();
    assert_true(take(1));
    kernel_esp_set_outbound(peer, 1);
    source = NONE;
    assert_true(take(2));
    assert_true(made == 1 && freed == 0);
    assert_int_equal(address_to_ipv4(&peer->kernel->terms.local), 0xc0000201);
    source = 0xc0000202; /* another address is another tunnel */
    assert_true(take(3));
    assert_true(made == 2 && freed == 1);
}

static void test_refused_once(void **state)
{
    open_kernel();
    source = NONE;
    assert_false(take(1));
    assert_true(made == 0 && peer->kernel_why != NULL);
    source = 0xc0000201;
    add_error = ERR_NOMEM;
    assert_false(take(2));
    assert_true(peer->kernel == NULL && made == 1 && freed == 1);
    add_error = ERR_OK;
    assert_true(take(3));
    kernel_esp_set_outbound(peer, 3);
    add_error = ERR_NOMEM; /* with one that sends: user space has the new one */
    assert_false(take(4));
    assert_true(peer->kernel == NULL && made == 2 && freed == 2);
}

static void test_does_not_send(void **state)
{
    open_kernel();
    assert_true(take(1));
    outbound_error = ERR_NOMEM;
    kernel_esp_set_outbound(peer, 1);
    assert_null(peer->kernel);
    assert_true(freed == 1 && peer->is_kernel_lost); /* new keys are due */
    outbound_error = ERR_OK;
    assert_false(take(2)); /* not in circles */
    assert_false(peer->is_kernel_lost);
    kernel_esp_down(peer); /* but another tunnel is another matter */
    assert_true(take(3));
}

static void test_leftovers(void **state)
{
    host->config.esp_offload = ESP_OFFLOAD_OFF;
    flush_error = ERR_NOMEM; /* no reason to leave the interfaces */
    open_kernel();
    assert_int_equal(flushed, 2);
    assert_false(take(1));
    assert_int_equal(kernel_esp_cleanup(&host->netlink), ERR_NOMEM);
    assert_int_equal(flushed, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fall_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_route_at_a_rekey, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_does_not_send, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_leftovers, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
