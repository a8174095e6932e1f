/* Mapping, filtering, choice of ports, lifetimes and hairpin of one NAT. */
#include "nat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *nat_kind_text(const struct nat_kind *kind, char *buffer, size_t cap)
{
    static const char *const words[] = {"EI", "AD", "APD"};
    static const char *const ports[] = {"kept", "sequential", "random"};
    if (kind->blocks_udp)
        snprintf(buffer, cap, "UDP blocked");
    else if (kind->is_firewall)
        snprintf(buffer, cap, "firewall %s", words[kind->filtering]);
    else if (kind->is_kernel)
        snprintf(buffer, cap, "Linux");
    else if (kind->mapping == EI)
        snprintf(buffer, cap, "EI/%s", words[kind->filtering]);
    else
        snprintf(buffer, cap, "%s/%s %s", words[kind->mapping], words[kind->filtering],
                 ports[kind->ports]);
    return buffer;
}

static bool depends_alike(enum dependence dependence, const struct endpoint *a,
                          const struct endpoint *b)
{
    return dependence == EI ||
           (address_is_equal(&a->address, &b->address) && (dependence == AD || a->port == b->port));
}

static void drop_old(struct router *router, uint64_t now_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < router->count; i++) {
        if (router->mappings[i].expires_us > now_us)
            router->mappings[kept++] = router->mappings[i];
        else
            free(router->mappings[i].seen);
    }
    router->count = kept;
}

void nat_forget(struct router *router)
{
    drop_old(router, UINT64_MAX);
}

static struct mapping *add(struct router *router)
{
    if (router->count == router->cap) {
        router->cap = router->cap > 0 ? router->cap * 2 : 16;
        router->mappings = realloc(router->mappings, router->cap * sizeof(struct mapping));
        if (router->mappings == NULL)
            abort();
    }
    struct mapping *mapping = &router->mappings[router->count++];
    memset(mapping, 0, sizeof(*mapping));
    return mapping;
}

static enum dependence mapping_of(const struct nat_kind *kind)
{
    return kind->is_kernel ? APD : kind->mapping;
}

/* A port is free for all remotes, or at a kernel for this remote. */
static bool is_free(const struct router *router, const struct endpoint *outer,
                    const struct endpoint *remote)
{
    for (size_t i = 0; i < router->count; i++) {
        const struct mapping *other = &router->mappings[i];
        if (endpoint_is_equal(&other->outer, outer) &&
            (!router->kind.is_kernel || endpoint_is_equal(&other->remote, remote)))
            return false;
    }
    return true;
}

const struct address *nat_outside(const struct router *router, const struct address *inner)
{
    unsigned which = 0;
    for (size_t i = 0; i < sizeof(inner->bytes); i++)
        which = which * 31 + inner->bytes[i];
    return &router->wan[which % router->wan_count];
}

static struct endpoint choose_outer(struct net *net, struct router *router,
                                    const struct endpoint *inner, const struct endpoint *remote)
{
    struct endpoint outer = {.port = inner->port};
    outer.address = router->kind.is_unpaired ? router->wan[rng_below(&net->rng, router->wan_count)]
                                             : *nat_outside(router, &inner->address);
    /* A kernel keeps to what it has chosen for this source, where that is unambiguous. */
    for (size_t i = 0; i < router->count && router->kind.is_kernel; i++) {
        const struct mapping *other = &router->mappings[i];
        if (!other->is_foreign && endpoint_is_equal(&other->inner, inner) &&
            is_free(router, &other->outer, remote))
            return other->outer;
    }
    if (router->kind.ports == PORTS_PRESERVED && is_free(router, &outer, remote))
        return outer;
    do {
        if (router->kind.ports == PORTS_SEQUENTIAL)
            outer.port = router->next_port++;
        else
            outer.port = (uint16_t)rng_between(&net->rng, 1024, 65535);
    } while (outer.port < 1024 || !is_free(router, &outer, remote));
    return outer;
}

static void note_seen(struct mapping *mapping, const struct endpoint *remote)
{
    unsigned at = 0;
    while (at < mapping->seen_count && !endpoint_is_equal(&mapping->seen[at].remote, remote))
        at++;
    if (at == mapping->seen_cap) {
        mapping->seen_cap = mapping->seen_cap > 0 ? mapping->seen_cap * 2 : 4;
        mapping->seen = realloc(mapping->seen, mapping->seen_cap * sizeof(*mapping->seen));
        if (mapping->seen == NULL)
            abort();
    }
    mapping->seen_count += at == mapping->seen_count;
    mapping->seen[at] = (struct seen){*remote, mapping->expires_us};
}

static struct mapping *map_out(struct net *net, struct router *router, const struct endpoint *inner,
                               const struct endpoint *remote)
{
    const enum dependence dependence = mapping_of(&router->kind);
    for (size_t i = 0; i < router->count; i++) {
        struct mapping *mapping = &router->mappings[i];
        if (!mapping->is_foreign && endpoint_is_equal(&mapping->inner, inner) &&
            depends_alike(dependence, &mapping->remote, remote))
            return mapping;
    }
    /* IPv6, and firewalls: no other address. */
    const bool is_translated = inner->address.family == ADDRESS_IPV4 && !router->kind.is_firewall;
    const struct endpoint outer = is_translated ? choose_outer(net, router, inner, remote) : *inner;
    struct mapping *mapping = add(router);
    mapping->inner = *inner;
    mapping->outer = outer;
    mapping->remote = *remote;
    return mapping;
}

static bool is_wan(const struct router *router, const struct address *address)
{
    for (unsigned i = 0; i < router->wan_count; i++) {
        if (address_is_equal(&router->wan[i], address))
            return true;
    }
    return false;
}

bool nat_outbound(struct net *net, int index, struct passage *passage, uint64_t now_us,
                  bool *ret_turns_back)
{
    struct router *router = &net->routers[index];
    const bool is_ipv6 = passage->dst.address.family == ADDRESS_IPV6;
    if (router->kind.blocks_udp || (is_ipv6 && !router->has_ipv6))
        return false;
    drop_old(router, now_us);
    struct mapping *mapping = map_out(net, router, &passage->src, &passage->dst);
    mapping->expires_us = now_us + router->kind.lifetime_us;
    note_seen(mapping, &passage->dst);
    passage->src = mapping->outer;
    *ret_turns_back = is_wan(router, &passage->dst.address);
    if (*ret_turns_back)
        return router->kind.has_hairpin && nat_inbound(net, index, passage, now_us);
    return true;
}

static bool may_enter(const struct router *router, struct mapping *mapping,
                      const struct endpoint *remote, uint64_t now_us)
{
    const enum dependence filtering = router->kind.is_kernel ? APD : router->kind.filtering;
    if (filtering == EI)
        return true;
    for (unsigned i = 0; i < mapping->seen_count; i++) {
        struct seen *seen = &mapping->seen[i];
        if (seen->until_us <= now_us || !depends_alike(filtering, &seen->remote, remote))
            continue;
        if (router->kind.does_inbound_refresh)
            seen->until_us = now_us + router->kind.lifetime_us;
        return true;
    }
    return false;
}

/* What a kernel remembers of a stranger's packet to itself: whoever inside it sends there from this
 * port gets another one. */
static void note_stranger(struct router *router, const struct passage *passage, uint64_t now_us)
{
    struct mapping *mapping = add(router);
    mapping->outer = passage->dst;
    mapping->remote = passage->src;
    mapping->is_foreign = true;
    mapping->expires_us = now_us + 30 * SECOND_US;
}

bool nat_inbound(struct net *net, int index, struct passage *passage, uint64_t now_us)
{
    struct router *router = &net->routers[index];
    if (router->kind.blocks_udp)
        return false;
    drop_old(router, now_us);
    for (size_t i = 0; i < router->count; i++) {
        struct mapping *mapping = &router->mappings[i];
        if (!endpoint_is_equal(&mapping->outer, &passage->dst))
            continue;
        if (mapping->is_foreign) {
            if (!endpoint_is_equal(&mapping->remote, &passage->src))
                continue;
            mapping->expires_us = now_us + 30 * SECOND_US;
            return false;
        }
        if (!may_enter(router, mapping, &passage->src, now_us))
            continue;
        if (router->kind.does_inbound_refresh)
            mapping->expires_us = now_us + router->kind.lifetime_us;
        passage->dst = mapping->inner;
        return true;
    }
    if (router->kind.is_firewall && router->kind.filtering == EI)
        return true; /* a router, no more */
    if (router->kind.is_kernel && passage->dst.address.family == ADDRESS_IPV4)
        note_stranger(router, passage, now_us);
    return false;
}
