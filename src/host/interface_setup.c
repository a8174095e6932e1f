/* Somebody may flush the pool's table, take the interface down or its address away (a network
 * manager that does not know it, a mistyped command): what is gone is noticed and set again. */
#include "host/interface_setup.h"

#include "host/host.h"
#include "host/plain.h"
#include "io/route.h"
#include "tunnel/translate.h"
#include "wire/suite.h"

#define OWN_BITS 32

static struct route pool_route(const struct host *host)
{
    return (struct route){.to = host->config.pool,
                          .table = HOST_TABLE,
                          .link = host->tun.link,
                          .source = host->own,
                          .kind = ROUTE_UNICAST};
}

/* Into the networks behind plain peers. */
static int set_network_routes(struct host *host)
{
    struct prefix networks[PLAIN_PEERS_MAX];
    const size_t count = plain_networks(&host->config, networks);
    for (size_t i = 0; i < count; i++) {
        struct route route = pool_route(host);
        route.to = networks[i];
        int error = route_set(&host->netlink, &route);
        if (error != ERR_OK)
            return error;
    }
    return ERR_OK;
}

int interface_setup(struct host *host)
{
    uint32_t mtu = translate_mtu(host->config.mtu, SPUT_PAPER, ADDRESS_IPV4);
    struct route route = pool_route(host);
    int error = interface_start(&host->netlink, host->tun.link, mtu);
    if (error == ERR_OK)
        error = interface_address_add(&host->netlink, host->tun.link, &host->own, OWN_BITS);
    if (error == ERR_OK)
        error = route_set(&host->netlink, &route);
    if (error == ERR_OK)
        error = set_network_routes(host);
    if (error != ERR_OK)
        log_error("interface %s cannot be set up: %s", host->config.interface,
                  netlink_error(&host->netlink));
    return error;
}

struct search {
    struct route wanted;
    bool is_found;
};

static int look_for(const struct route *route, void *context)
{
    struct search *search = context;
    const struct route *wanted = &search->wanted;
    if (route->kind == wanted->kind && route->link == wanted->link &&
        route->to.bits == wanted->to.bits &&
        address_is_equal(&route->to.address, &wanted->to.address) &&
        address_is_equal(&route->source, &wanted->source))
        search->is_found = true;
    return ERR_OK;
}

bool interface_setup_is_intact(struct host *host)
{
    struct search search = {.wanted = pool_route(host)};
    struct interface_state state;
    bool has_address;
    return interface_state(&host->netlink, host->tun.link, &state) == ERR_OK && state.is_up &&
           interface_has_address(&host->netlink, host->tun.link, &host->own, &has_address) ==
               ERR_OK &&
           has_address && route_walk(&host->netlink, HOST_TABLE, look_for, &search) == ERR_OK &&
           search.is_found;
}
