/* Somebody may flush the pool's table, take the interface down or its address away (a network
 * manager that does not know it, a mistyped command): what is gone is noticed and set again. */
#include "host/interface_setup.h"

#include "host/host.h"
#include "host/plain.h"
#include "io/route.h"
#include "names/pool_ipv6.h"
#include "tunnel/translate.h"
#include "wire/suite.h"

#define OWN_BITS      32
#define OWN_BITS_IPV6 128

static struct route pool_route(const struct host *host)
{
    return (struct route){.to = host->config.pool,
                          .table = HOST_TABLE,
                          .link = host->tun.link,
                          .source = host->own,
                          .kind = ROUTE_UNICAST};
}

#define ROUTES_MAX (2 + PLAIN_NETWORKS_MAX)

/* To the pool, and once IPv6 is there to its twins; and into the networks behind plain peers. */
static size_t list_routes(const struct host *host, struct route routes[ROUTES_MAX])
{
    struct prefix networks[PLAIN_NETWORKS_MAX];
    const size_t network_count = plain_networks(&host->config, networks);
    size_t count = 0;
    routes[count++] = pool_route(host);
    if (host->has_ipv6_inside) {
        routes[count] = pool_route(host);
        routes[count].to = pool_ipv6_prefix();
        routes[count++].source = host->own_ipv6;
    }
    for (size_t i = 0; i < network_count; i++) {
        const bool is_ipv6 = networks[i].address.family == ADDRESS_IPV6;
        if (is_ipv6 && !host->has_ipv6_inside)
            continue;
        routes[count] = pool_route(host);
        routes[count].to = networks[i];
        if (is_ipv6)
            routes[count].source = host->own_ipv6;
        count++;
    }
    return count;
}

static int set_routes(struct host *host)
{
    struct route routes[ROUTES_MAX];
    const size_t count = list_routes(host, routes);
    int error = ERR_OK;
    for (size_t i = 0; error == ERR_OK && i < count; i++)
        error = route_set(&host->netlink, &routes[i]);
    return error;
}

/* The twins of pool addresses. A kernel without IPv6, and an interface below its least MTU, go
 * without. */
static void set_ipv6(struct host *host)
{
    host->has_ipv6_inside = host->own_ipv6.family != ADDRESS_NONE &&
                            interface_address_add(&host->netlink, host->tun.link, &host->own_ipv6,
                                                  OWN_BITS_IPV6) == ERR_OK;
    if (host->own_ipv6.family != ADDRESS_NONE && !host->has_ipv6_inside)
        log_warn("interface %s: no IPv6 inside tunnels: %s", host->config.interface,
                 netlink_error(&host->netlink));
}

int interface_setup(struct host *host)
{
    uint32_t mtu = translate_mtu(host->config.mtu, SPUT_PAPER, ADDRESS_IPV4);
    int error = interface_start(&host->netlink, host->tun.link, mtu);
    if (error == ERR_OK)
        error = interface_address_add(&host->netlink, host->tun.link, &host->own, OWN_BITS);
    if (error == ERR_OK)
        set_ipv6(host);
    if (error == ERR_OK)
        error = set_routes(host);
    if (error != ERR_OK)
        log_error("interface %s cannot be set up: %s", host->config.interface,
                  netlink_error(&host->netlink));
    return error;
}

struct search {
    struct route wanted[ROUTES_MAX];
    size_t count, found;
};

static int look_for(const struct route *route, void *context)
{
    struct search *search = context;
    for (size_t i = 0; i < search->count; i++) {
        const struct route *wanted = &search->wanted[i];
        if (route->kind == wanted->kind && route->link == wanted->link &&
            route->to.bits == wanted->to.bits &&
            address_is_equal(&route->to.address, &wanted->to.address) &&
            address_is_equal(&route->source, &wanted->source))
            search->found++;
    }
    return ERR_OK;
}

static bool has_own(struct host *host, const struct address *own)
{
    bool has_address;
    return interface_has_address(&host->netlink, host->tun.link, own, &has_address) == ERR_OK &&
           has_address;
}

bool interface_setup_is_intact(struct host *host)
{
    struct search search = {.found = 0};
    struct interface_state state;
    search.count = list_routes(host, search.wanted);
    return interface_state(&host->netlink, host->tun.link, &state) == ERR_OK && state.is_up &&
           has_own(host, &host->own) &&
           (!host->has_ipv6_inside || has_own(host, &host->own_ipv6)) &&
           route_walk(&host->netlink, HOST_TABLE, look_for, &search) == ERR_OK &&
           search.found >= search.count;
}
