/* Homes with the NATs that people have, and some that RFC 4787 merely allows. */
#include "places.h"

#include "sim.h"
#include <stdio.h>

static void draw_common(struct rng *rng, struct nat_kind *kind)
{
    static const struct {
        enum dependence mapping, filtering;
        enum port_choice ports;
        bool is_kernel, is_firewall, blocks_udp;
        unsigned weight;
    } kinds[] = {
        {EI, EI, PORTS_PRESERVED, false, false, false, 2},
        {EI, AD, PORTS_RANDOM, false, false, false, 2},
        {EI, APD, PORTS_PRESERVED, false, false, false, 3},
        {EI, APD, PORTS_SEQUENTIAL, false, false, false, 1},
        {EI, APD, PORTS_PRESERVED, true, false, false, 4},
        {AD, AD, PORTS_RANDOM, false, false, false, 1},
        {AD, APD, PORTS_SEQUENTIAL, false, false, false, 1},
        {APD, EI, PORTS_RANDOM, false, false, false, 1},
        {APD, AD, PORTS_RANDOM, false, false, false, 1},
        {APD, APD, PORTS_RANDOM, false, false, false, 2},
        {APD, APD, PORTS_SEQUENTIAL, false, false, false, 2},
        {EI, APD, PORTS_PRESERVED, false, true, false, 2},
        {EI, EI, PORTS_PRESERVED, false, true, false, 1},
        {EI, APD, PORTS_PRESERVED, false, false, true, 1},
    };
    unsigned total = 0, i = 0;
    for (size_t j = 0; j < sizeof(kinds) / sizeof(kinds[0]); j++)
        total += kinds[j].weight;
    for (uint64_t at = rng_below(rng, total); at >= kinds[i].weight; at -= kinds[i++].weight)
        ;
    kind->mapping = kinds[i].mapping;
    kind->filtering = kinds[i].filtering;
    kind->ports = kinds[i].ports;
    kind->is_kernel = kinds[i].is_kernel;
    kind->is_firewall = kinds[i].is_firewall;
    kind->blocks_udp = kinds[i].blocks_udp;
}

static void draw_kind(struct rng *rng, struct nat_kind *ret_kind)
{
    struct nat_kind kind = {.address_count = 1};
    if (rng_chance(rng, 700)) {
        draw_common(rng, &kind);
    } else {
        kind.mapping = (enum dependence)rng_below(rng, 3);
        kind.filtering = (enum dependence)rng_below(rng, 3);
        kind.ports = (enum port_choice)rng_below(rng, 3);
    }
    kind.lifetime_us = rng_between(rng, 30, 180) * SECOND_US;
    kind.does_inbound_refresh = rng_chance(rng, 500);
    kind.has_hairpin = !kind.is_kernel && rng_chance(rng, 400);
    *ret_kind = kind;
}

/* A home network, behind a carrier's NAT once in a while; returns its realm. */
static int add_site(struct net *net, struct rng *rng)
{
    struct nat_kind kind;
    int outer = NET_INTERNET;
    if (rng_chance(rng, 120)) {
        int carrier = NET_NONE;
        for (int i = 0; i < NET_ROUTERS_MAX && rng_chance(rng, 900); i++) {
            if (net->routers[i].is_used && net->routers[i].kind.address_count > 1)
                carrier = i;
        }
        if (carrier == NET_NONE) {
            draw_kind(rng, &kind);
            kind.is_firewall = kind.blocks_udp = kind.is_kernel = false;
            kind.address_count = (unsigned)rng_between(rng, 2, NET_ADDRESS_MAX);
            kind.is_unpaired = rng_chance(rng, 150);
            carrier = net_add_router(net, NET_INTERNET, &kind);
        }
        outer = net->routers[carrier].inner;
    }
    do
        draw_kind(rng, &kind);
    while (kind.is_firewall && outer != NET_INTERNET);
    const int router = net_add_router(net, outer, &kind);
    net->routers[router].has_ipv6 = outer == NET_INTERNET && rng_chance(rng, 300);
    return net->routers[router].inner;
}

int place_draw_realm(struct net *net, struct rng *rng, size_t count)
{
    size_t used = 0;
    for (size_t i = 0; i < NET_ROUTERS_MAX; i++)
        used += net->routers[i].is_used;
    if (rng_chance(rng, 60))
        return NET_INTERNET;
    if (used + 2 > NET_ROUTERS_MAX || rng_chance(rng, 200)) {
        const struct link *link = &net->links[MACHINE_LINK + (size_t)rng_below(rng, count + 1)];
        if (link->is_used)
            return link->realm;
        if (used + 2 > NET_ROUTERS_MAX)
            return NET_INTERNET;
    }
    return add_site(net, rng);
}

void place_put(struct net *net, struct rng *rng, struct link *link, int realm)
{
    link->realm = realm;
    link->ipv4 = net_new_ipv4(net, realm);
    link->ipv6 = (struct address){.family = ADDRESS_NONE};
    if (realm != NET_INTERNET || rng_chance(rng, 400))
        link->ipv6 = net_new_ipv6(net, realm);
    if (link->ipv6.family != ADDRESS_NONE && rng_chance(rng, 200))
        link->ipv4 = (struct address){.family = ADDRESS_NONE};
}

void place_draw_quality(struct rng *rng, unsigned loss_max, struct quality *ret_quality)
{
    struct quality quality = {.delay_us = rng_between(rng, 1, 60) * MS_US, .mtu = 1500};
    if (rng_chance(rng, 500))
        quality.jitter_us = rng_below(rng, quality.delay_us);
    if (rng_chance(rng, 50))
        quality.delay_us += rng_below(rng, 300) * MS_US;
    if (loss_max > 0 && rng_chance(rng, 500))
        quality.loss = (unsigned)rng_below(rng, rng_chance(rng, 300) ? loss_max : loss_max / 5);
    if (loss_max > 0 && rng_chance(rng, 300))
        quality.repeat = (unsigned)rng_below(rng, 50);
    if (loss_max > 0 && rng_chance(rng, 300))
        quality.swap = (unsigned)rng_below(rng, 100);
    *ret_quality = quality;
}

const char *place_text(const struct net *net, const struct link *link, char *buffer, size_t cap)
{
    char kind[32] = "public";
    const int gateway = net->realms[link->realm].gateway;
    if (gateway != NET_NONE)
        nat_kind_text(&net->routers[gateway].kind, kind, sizeof(kind));
    snprintf(buffer, cap, "%s%s%s", kind,
             gateway != NET_NONE && net->routers[gateway].outer != NET_INTERNET ? " + CGN" : "",
             link->ipv4.family == ADDRESS_NONE   ? ", IPv6 alone"
             : link->ipv6.family != ADDRESS_NONE ? ", IPv6"
                                                 : "");
    return buffer;
}
