/* Two perfect punchers. */
#include "theory.h"

#include "sim.h"
#include <stdlib.h>

#define ROUNDS    6
#define KNOWN_MAX 24
#define NOW_US    SIM_START_US

struct side {
    int link;
    struct endpoint own[2]; /* local: IPv4, IPv6 */
    struct endpoint reflexive;
    struct endpoint known[KNOWN_MAX]; /* of the other side */
    size_t known_count;
    struct endpoint valid[KNOWN_MAX]; /* answered from there */
    size_t valid_count;
};

const char *theory_text(enum theory theory)
{
    static const char *const texts[] = {"relay", "direct", "luck"};
    return texts[theory];
}

static void add(struct endpoint *list, size_t *count, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < *count; i++) {
        if (endpoint_is_equal(&list[i], endpoint))
            return;
    }
    if (*count < KNOWN_MAX)
        list[(*count)++] = *endpoint;
}

static void learn(struct side *side, const struct endpoint *endpoint)
{
    const bool is_own = address_is_equal(&endpoint->address, &side->own[0].address) ||
                        address_is_equal(&endpoint->address, &side->own[1].address) ||
                        endpoint_is_equal(endpoint, &side->reflexive);
    if (endpoint->address.family != ADDRESS_NONE && !is_own)
        add(side->known, &side->known_count, endpoint);
}

/* The link that it reaches; ret_src: what that sees. */
static int throw_at(struct net *net, const struct side *side, const struct endpoint *to,
                    struct endpoint *ret_src)
{
    const struct endpoint *own = &side->own[to->address.family == ADDRESS_IPV6];
    struct passage passage = {.src = *own, .dst = *to, .hops = -1};
    if (own->address.family == ADDRESS_NONE)
        return NET_NONE;
    const int link = net_pass(net, side->link, &passage, NOW_US);
    *ret_src = passage.src;
    return passage.dst.port == SIM_PORT || link == HUB_LINK ? link : NET_NONE;
}

static void init_side(struct net *net, struct side *side, int link, int hub_link)
{
    const struct link *place = &net->links[link];
    const struct endpoint hub = {net->links[hub_link].ipv4, SIM_HUB_PORT};
    *side = (struct side){.link = link, .own = {{place->ipv4, SIM_PORT}, {place->ipv6, SIM_PORT}}};
    struct endpoint seen;
    if (throw_at(net, side, &hub, &seen) == hub_link)
        side->reflexive = seen;
}

/* Everything that this side knows gets a request; what arrives is answered to where it came from.
 */
static void ask(struct net *net, struct side *side, struct side *other)
{
    for (size_t i = 0; i < side->known_count; i++) {
        struct endpoint seen, answer;
        if (throw_at(net, side, &side->known[i], &seen) != other->link)
            continue;
        learn(other, &seen);
        if (throw_at(net, other, &seen, &answer) == side->link &&
            endpoint_is_equal(&answer, &side->known[i]))
            add(side->valid, &side->valid_count, &side->known[i]);
    }
}

/* One address of each side, between which both were answered. */
static bool has_path(struct net *net, struct side *a, struct side *b)
{
    for (size_t i = 0; i < a->valid_count; i++) {
        struct endpoint seen;
        if (throw_at(net, a, &a->valid[i], &seen) != b->link)
            continue;
        for (size_t j = 0; j < b->valid_count; j++) {
            if (endpoint_is_equal(&b->valid[j], &seen))
                return true;
        }
    }
    return false;
}

bool theory_is_hard(const struct net *net, int link)
{
    int realm = net->links[link].realm;
    for (int gateway; (gateway = net->realms[realm].gateway) != NET_NONE;
         realm = net->routers[gateway].outer) {
        const struct nat_kind *kind = &net->routers[gateway].kind;
        if (!kind->is_firewall && (kind->mapping != EI || kind->is_unpaired))
            return true;
    }
    return false;
}

/* What a kernel does with strangers' packets is for the engines to avoid. With one host inside it
 * maps alike for all; where several have the same port, it depends on who was first at each remote,
 * so that nothing is sure. */
static void see_kernels(struct net *net)
{
    for (int i = 0; i < NET_ROUTERS_MAX; i++) {
        struct nat_kind *kind = &net->routers[i].kind;
        unsigned count = 0;
        for (int j = 0; j < NET_LINKS_MAX; j++)
            count += net->links[j].is_used && net_is_inside(net, net->links[j].realm, i);
        if (!kind->is_kernel)
            continue;
        kind->is_kernel = false;
        kind->mapping = count > 1 ? APD : EI;
        kind->filtering = APD;
        kind->ports = count > 1 ? PORTS_RANDOM : PORTS_PRESERVED;
    }
}

enum theory theory_judge(const struct net *net, int link_a, int link_b, int hub_link)
{
    struct net *copy = sim_new(sizeof(*copy));
    struct side a, b;
    net_copy(net, copy);
    see_kernels(copy);
    init_side(copy, &a, link_a, hub_link);
    init_side(copy, &b, link_b, hub_link);
    for (size_t i = 0; i < 2; i++) {
        learn(&a, &b.own[i]);
        learn(&b, &a.own[i]);
    }
    learn(&a, &b.reflexive);
    learn(&b, &a.reflexive);
    for (unsigned round = 0; round < ROUNDS; round++) {
        ask(copy, &a, &b);
        ask(copy, &b, &a);
    }
    enum theory theory = has_path(copy, &a, &b) ? THEORY_DIRECT : THEORY_RELAY;
    if (theory == THEORY_RELAY && a.reflexive.port != 0 && b.reflexive.port != 0 &&
        (theory_is_hard(copy, link_a) || theory_is_hard(copy, link_b)))
        theory = THEORY_LUCK;
    net_done(copy);
    free(copy);
    return theory;
}
