/* Realms, routers and addresses; what one NAT does to one datagram is in nat.c. */
#include "net.h"

#include "nat.h"
#include <stdlib.h>
#include <string.h>

void net_init(struct net *net, uint64_t seed)
{
    memset(net, 0, sizeof(*net));
    rng_init(&net->rng, seed);
    net->realms[NET_INTERNET] = (struct realm){.is_used = true, .gateway = NET_NONE};
}

void net_done(struct net *net)
{
    for (size_t i = 0; i < NET_ROUTERS_MAX; i++) {
        nat_forget(&net->routers[i]);
        free(net->routers[i].mappings);
    }
    memset(net, 0, sizeof(*net));
}

void net_copy(const struct net *net, struct net *ret_copy)
{
    *ret_copy = *net;
    for (size_t i = 0; i < NET_ROUTERS_MAX; i++) {
        ret_copy->routers[i].mappings = NULL;
        ret_copy->routers[i].count = ret_copy->routers[i].cap = 0;
    }
    for (size_t i = 0; i < NET_LINKS_MAX; i++)
        ret_copy->links[i].black_until_us = 0;
}

static bool is_taken(const struct net *net, int realm, const struct address *address)
{
    for (size_t i = 0; i < NET_LINKS_MAX; i++) {
        const struct link *link = &net->links[i];
        if (link->is_used && link->realm == realm &&
            (address_is_equal(&link->ipv4, address) || address_is_equal(&link->ipv6, address)))
            return true;
    }
    for (size_t i = 0; i < NET_ROUTERS_MAX; i++) {
        const struct router *router = &net->routers[i];
        for (unsigned j = 0; router->is_used && router->outer == realm && j < router->wan_count;
             j++) {
            if (address_is_equal(&router->wan[j], address))
                return true;
        }
    }
    return false;
}

/* Public subnets are small and far apart; private ones are those that everybody uses. Behind a
 * firewall without translation addresses are public too. */
struct address net_new_ipv4(struct net *net, int realm)
{
    struct address address;
    const int gateway = net->realms[realm].gateway;
    const bool is_public = gateway == NET_NONE || net->routers[gateway].kind.is_firewall;
    const bool is_carrier = !is_public && net->routers[gateway].kind.address_count > 1;
    do {
        uint32_t value;
        if (is_public)
            value = 0x01000000 + (uint32_t)rng_below(&net->rng, 0x08000000);
        else if (is_carrier)
            value = 0x64400000 + 2 + (uint32_t)rng_below(&net->rng, 0x3FFFF0);
        else
            value =
                0xC0A80000 + ((uint32_t)realm % 3 << 8) + 2 + (uint32_t)rng_below(&net->rng, 20);
        address = address_from_ipv4(value);
    } while (is_taken(net, realm, &address));
    return address;
}

bool net_has_ipv6(const struct net *net, int realm)
{
    for (int gateway; (gateway = net->realms[realm].gateway) != NET_NONE;
         realm = net->routers[gateway].outer) {
        if (!net->routers[gateway].has_ipv6)
            return false;
    }
    return true;
}

struct address net_new_ipv6(struct net *net, int realm)
{
    uint8_t bytes[16] = {0x2A, 0x00, 0x10, (uint8_t)realm};
    if (!net_has_ipv6(net, realm))
        return (struct address){.family = ADDRESS_NONE};
    for (size_t i = 8; i < 16; i++)
        bytes[i] = (uint8_t)rng_next(&net->rng);
    return address_from_bytes(ADDRESS_IPV6, bytes);
}

int net_add_router(struct net *net, int outer, const struct nat_kind *kind)
{
    int router = 0, realm = 0;
    while (router < NET_ROUTERS_MAX && net->routers[router].is_used)
        router++;
    while (realm < NET_REALMS_MAX && net->realms[realm].is_used)
        realm++;
    if (router == NET_ROUTERS_MAX || realm == NET_REALMS_MAX)
        abort();
    struct router *made = &net->routers[router];
    *made = (struct router){.is_used = true, .kind = *kind, .inner = realm, .outer = outer};
    net->realms[realm] = (struct realm){.is_used = true, .gateway = router};
    made->next_port = (uint16_t)rng_between(&net->rng, 20000, 50000);
    for (; made->wan_count < kind->address_count && !kind->is_firewall; made->wan_count++)
        made->wan[made->wan_count] = net_new_ipv4(net, outer);
    return router;
}

void net_reboot(struct net *net, int router)
{
    nat_forget(&net->routers[router]);
    net->routers[router].epoch++;
}

void net_renumber(struct net *net, int router)
{
    struct router *r = &net->routers[router];
    net_reboot(net, router);
    for (unsigned i = 0; i < r->wan_count; i++)
        r->wan[i] = net_new_ipv4(net, r->outer);
}

unsigned net_depth(const struct net *net, int realm)
{
    unsigned depth = 0;
    for (int gateway; (gateway = net->realms[realm].gateway) != NET_NONE;
         realm = net->routers[gateway].outer)
        depth += !net->routers[gateway].kind.is_firewall;
    return depth;
}

unsigned net_epochs(const struct net *net, int realm)
{
    unsigned sum = 0;
    for (int gateway; (gateway = net->realms[realm].gateway) != NET_NONE;
         realm = net->routers[gateway].outer)
        sum += net->routers[gateway].epoch;
    return sum;
}

bool net_is_inside(const struct net *net, int realm, int router)
{
    for (int gateway; (gateway = net->realms[realm].gateway) != NET_NONE;
         realm = net->routers[gateway].outer) {
        if (gateway == router)
            return true;
    }
    return false;
}

bool net_has_kernel(const struct net *net, int link)
{
    int realm = net->links[link].realm;
    for (int gateway; (gateway = net->realms[realm].gateway) != NET_NONE;
         realm = net->routers[gateway].outer) {
        if (net->routers[gateway].kind.is_kernel)
            return true;
    }
    return false;
}

static bool has_two_ports(const struct router *router, uint64_t now_us)
{
    for (size_t i = 0; i < router->count; i++) {
        const struct mapping *a = &router->mappings[i];
        for (size_t j = 0; j < i && !a->is_foreign && a->expires_us > now_us; j++) {
            const struct mapping *b = &router->mappings[j];
            if (!b->is_foreign && b->expires_us > now_us &&
                endpoint_is_equal(&a->inner, &b->inner) && !endpoint_is_equal(&a->outer, &b->outer))
                return true;
        }
    }
    return false;
}

bool net_is_torn(const struct net *net, int link, uint64_t now_us)
{
    int realm = net->links[link].realm;
    for (int gateway; (gateway = net->realms[realm].gateway) != NET_NONE;
         realm = net->routers[gateway].outer) {
        const struct router *router = &net->routers[gateway];
        if (router->kind.is_kernel && has_two_ports(router, now_us))
            return true;
    }
    return false;
}

struct address net_outside(const struct net *net, int link, enum address_family family)
{
    struct address address = net->links[link].ipv4;
    if (family == ADDRESS_IPV6)
        return net->links[link].ipv6;
    int realm = net->links[link].realm;
    for (int gateway; (gateway = net->realms[realm].gateway) != NET_NONE;
         realm = net->routers[gateway].outer) {
        if (!net->routers[gateway].kind.is_firewall)
            address = *nat_outside(&net->routers[gateway], &address);
    }
    return address;
}

static bool has_address(const struct link *link, const struct address *address)
{
    return link->is_used && link->is_up &&
           (address_is_equal(&link->ipv4, address) || address_is_equal(&link->ipv6, address));
}

/* Is this realm somewhere inside that router, with nothing but firewalls between (of this family:
 * IPv6 is never translated)? */
static bool is_inside(const struct net *net, int realm, int router, bool is_ipv6)
{
    for (int gateway; (gateway = net->realms[realm].gateway) != NET_NONE;
         realm = net->routers[gateway].outer) {
        if (gateway == router)
            return true;
        if (!is_ipv6 && !net->routers[gateway].kind.is_firewall)
            return false;
    }
    return false;
}

static bool leads_to(const struct net *net, int index, int realm, const struct address *address)
{
    const struct router *router = &net->routers[index];
    const bool is_ipv6 = address->family == ADDRESS_IPV6;
    if (!router->is_used || router->outer != realm)
        return false;
    for (unsigned i = 0; i < router->wan_count; i++) {
        if (address_is_equal(&router->wan[i], address))
            return true;
    }
    if (is_ipv6 ? !router->has_ipv6 : !router->kind.is_firewall)
        return false;
    for (size_t i = 0; i < NET_LINKS_MAX; i++) {
        if (has_address(&net->links[i], address) &&
            is_inside(net, net->links[i].realm, index, is_ipv6))
            return true;
    }
    return false;
}

/* False: it ends here. */
static bool take_hop(struct passage *passage)
{
    if (passage->hops == 0)
        return false;
    if (passage->hops > 0)
        passage->hops--;
    return true;
}

/* From a realm on. is_leaving: only up to the Internet; *ret_is_outside tells whether it got there.
 */
static int walk(struct net *net, int realm, bool is_leaving, struct passage *passage,
                uint64_t now_us, bool *ret_is_outside)
{
    bool comes_up = realm == NET_INTERNET; /* out of an inner realm */
    for (unsigned guard = 0; guard < NET_HOPS_MAX; guard++) {
        int next = NET_NONE;
        if (realm == NET_INTERNET && is_leaving) {
            *ret_is_outside = true;
            return NET_NONE;
        }
        for (int i = 0; i < NET_LINKS_MAX; i++) {
            if (net->links[i].realm == realm && has_address(&net->links[i], &passage->dst.address))
                return take_hop(passage) ? i : NET_NONE;
        }
        /* The Internet itself is a router at least. */
        if (realm == NET_INTERNET && comes_up && passage->was_inside && !take_hop(passage))
            return NET_NONE;
        for (int i = 0; i < NET_ROUTERS_MAX && next == NET_NONE; i++) {
            if (leads_to(net, i, realm, &passage->dst.address))
                next = i;
        }
        if (next != NET_NONE) {
            if (!take_hop(passage) || !nat_inbound(net, next, passage, now_us))
                return NET_NONE;
            realm = net->routers[next].inner;
            comes_up = false;
            continue;
        }
        next = net->realms[realm].gateway;
        if (next == NET_NONE || !take_hop(passage))
            return NET_NONE;
        bool turns_back = false;
        if (!nat_outbound(net, next, passage, now_us, &turns_back))
            return NET_NONE;
        if (!turns_back)
            realm = net->routers[next].outer;
        comes_up = !turns_back;
    }
    return NET_NONE;
}

int net_leave(struct net *net, int from_link, struct passage *passage, uint64_t now_us,
              bool *ret_is_outside)
{
    const int realm = net->links[from_link].realm;
    *ret_is_outside = false;
    passage->was_inside = realm != NET_INTERNET;
    return walk(net, realm, true, passage, now_us, ret_is_outside);
}

int net_arrive(struct net *net, struct passage *passage, uint64_t now_us)
{
    bool is_outside;
    return walk(net, NET_INTERNET, false, passage, now_us, &is_outside);
}

int net_pass(struct net *net, int from_link, struct passage *passage, uint64_t now_us)
{
    bool is_outside;
    const int link = net_leave(net, from_link, passage, now_us, &is_outside);
    return is_outside ? net_arrive(net, passage, now_us) : link;
}

int net_access(const struct net *net, const struct address *to)
{
    for (int i = 0; i < NET_LINKS_MAX; i++) {
        if (net->links[i].realm == NET_INTERNET && has_address(&net->links[i], to))
            return i;
    }
    for (int i = 0; i < NET_ROUTERS_MAX; i++) {
        if (!leads_to(net, i, NET_INTERNET, to))
            continue;
        for (int j = 0; j < NET_LINKS_MAX; j++) {
            if (net->links[j].is_used && net_is_inside(net, net->links[j].realm, i))
                return j;
        }
    }
    return NET_NONE;
}
