/* The main loop, and a datagram's way over links and through NATs. */
#include "sim.h"

#include "host/peer.h"
#include "hub.h"
#include "pipe.h"
#include "raider.h"
#include <stdlib.h>
#include <string.h>

#define LAN_US    300 /* one way, within one network */
#define STEPS_MAX 3000000
#define SPIN_MAX  20000 /* rounds of one machine at one time */

struct datagram {
    struct event event;
    struct sim *sim;
    int link; /* it leaves from, then arrives at */
    enum origin origin;
    struct passage passage;
    size_t len;
    uint8_t data[];
};

static void drop_datagram(struct event *event)
{
    free(event);
}

uint64_t sim_delay(struct sim *sim, const struct link *link)
{
    const struct quality *quality = &link->quality;
    return quality->delay_us + rng_below(&sim->core.rng, quality->jitter_us + 1);
}

/* Does the link take it now? */
static bool survives(struct sim *sim, const struct link *link, size_t len)
{
    return link->is_up && sim->core.now_us >= link->black_until_us &&
           !rng_chance(&sim->core.rng, link->quality.loss) && len + 28 <= link->quality.mtu;
}

/* Whoever copies what hosts send cannot answer for them. */
static void check_paths(struct machine *machine)
{
    struct sim *sim = machine->sim;
    const struct address *stranger = &sim->net.links[RAIDER_LINK].ipv4;
    for (size_t i = 0; i < sim->machine_count; i++) {
        const struct peer *peer = machine_peer(machine, &sim->machines[i]);
        if (peer != NULL && address_is_equal(&peer->path.address, stranger))
            core_break(&sim->core, "%s has moved its path to %s to somebody else", machine->name,
                       sim->machines[i].name);
    }
}

static void give(struct machine *machine, const struct datagram *datagram)
{
    const uint64_t belief = machine_belief(machine);
    machine_take_datagram(machine, &datagram->passage.src, datagram->passage.dst.port,
                          datagram->data, datagram->len);
    if (datagram->origin == ORIGIN_ALTERED && machine_belief(machine) != belief)
        core_break(&machine->sim->core, "%s believes a datagram that was altered on its way",
                   machine->name);
    if (datagram->origin != ORIGIN_HOST)
        check_paths(machine);
}

static void deliver(struct event *event)
{
    struct datagram *datagram = (struct datagram *)event;
    struct sim *sim = datagram->sim;
    const struct link *link = &sim->net.links[datagram->link];
    const struct endpoint *to = &datagram->passage.dst;
    struct machine *machine = NULL;
    for (size_t i = 0; i < sim->machine_count; i++) {
        if (sim->machines[i].link == datagram->link)
            machine = &sim->machines[i];
    }
    if (!link->is_up || (!address_is_equal(&link->ipv4, &to->address) &&
                         !address_is_equal(&link->ipv6, &to->address))) {
        free(datagram);
        return;
    }
    char from[ENDPOINT_TEXT_CAP];
    core_trace(&sim->core, "    %s gets %zu bytes from %s",
               machine != NULL ? machine->name : "the connector", datagram->len,
               endpoint_format(&datagram->passage.src, from, sizeof(from)));
    if (datagram->link == HUB_LINK)
        hub_take_datagram(sim->hub, &datagram->passage.src, to, datagram->data, datagram->len);
    else if (machine != NULL && machine->host != NULL && !machine->is_asleep)
        give(machine, datagram);
    free(datagram);
}

static void post(const struct datagram *model, uint64_t at_us)
{
    struct datagram *datagram = sim_new(sizeof(*datagram) + model->len);
    memcpy(datagram, model, sizeof(*datagram) + model->len);
    core_add(&model->sim->core, &datagram->event, at_us);
}

/* At the door of the network that it goes to. */
static void arrive(struct event *event)
{
    struct datagram *datagram = (struct datagram *)event;
    struct core *core = &datagram->sim->core;
    datagram->link = net_arrive(&datagram->sim->net, &datagram->passage, core->now_us);
    if (datagram->link == NET_NONE) {
        free(datagram);
        return;
    }
    datagram->event.run = deliver;
    core_add(core, event, core->now_us + LAN_US);
}

/* Over both lines, if they let it. */
static void travel(struct datagram *datagram)
{
    struct sim *sim = datagram->sim;
    struct core *core = &sim->core;
    const struct link *up = &sim->net.links[datagram->link];
    const int access = net_access(&sim->net, &datagram->passage.dst.address);
    const struct link *down = access != NET_NONE ? &sim->net.links[access] : NULL;
    if (down == NULL || !survives(sim, up, datagram->len) || !survives(sim, down, datagram->len)) {
        free(datagram);
        return;
    }
    uint64_t at_us = core->now_us + sim_delay(sim, up) + sim_delay(sim, down);
    if (rng_chance(&core->rng, down->quality.swap))
        at_us += down->quality.delay_us + rng_below(&core->rng, 20 * MS_US);
    datagram->event.run = arrive;
    if (rng_chance(&core->rng, down->quality.repeat))
        post(datagram, at_us + rng_below(&core->rng, 100 * MS_US));
    core_add(core, &datagram->event, at_us);
}

/* Out of its network. */
static void leave(struct event *event)
{
    struct datagram *datagram = (struct datagram *)event;
    struct sim *sim = datagram->sim;
    struct core *core = &sim->core;
    bool is_outside;
    const int to =
        net_leave(&sim->net, datagram->link, &datagram->passage, core->now_us, &is_outside);
    if (is_outside) {
        if (datagram->origin == ORIGIN_HOST)
            raider_see(sim->raider, &datagram->passage, datagram->data, datagram->len);
        travel(datagram);
    } else if (to != NET_NONE) {
        datagram->link = to;
        datagram->event.run = deliver;
        core_add(core, event, core->now_us + LAN_US);
    } else {
        free(datagram);
    }
}

void sim_send(struct sim *sim, int index, const struct endpoint *src, const struct endpoint *dst,
              int hops, const void *data, size_t len, enum origin origin)
{
    struct core *core = &sim->core;
    char from[ENDPOINT_TEXT_CAP], to[ENDPOINT_TEXT_CAP];
    traffic_inspect(&sim->traffic, core, data, len);
    core_mix(core, data, len);
    core_trace(core, "%s%s > %s, %zu bytes%s", origin != ORIGIN_HOST ? "(hostile) " : "",
               endpoint_format(src, from, sizeof(from)), endpoint_format(dst, to, sizeof(to)), len,
               hops >= 0 ? ", opener" : "");
    struct datagram *datagram = sim_new(sizeof(*datagram) + len);
    *datagram = (struct datagram){.event = {.run = leave, .drop = drop_datagram},
                                  .sim = sim,
                                  .link = index,
                                  .origin = origin,
                                  .passage = {.src = *src, .dst = *dst, .hops = hops},
                                  .len = len};
    if (len > 0)
        memcpy(datagram->data, data, len);
    core_add(core, &datagram->event, core->now_us + LAN_US);
}

static void add_public_link(struct sim *sim, int index)
{
    struct link *link = &sim->net.links[index];
    link->is_used = link->is_up = true;
    link->realm = NET_INTERNET;
    link->ipv4 = net_new_ipv4(&sim->net, NET_INTERNET);
    link->ipv6 = net_new_ipv6(&sim->net, NET_INTERNET);
    link->quality = (struct quality){.delay_us = 5 * MS_US, .mtu = 1500};
}

void sim_init(struct sim *sim, uint64_t seed)
{
    memset(sim, 0, sizeof(*sim));
    core_init(&sim->core, seed);
    core_own_randomness(&sim->core);
    net_init(&sim->net, seed + 1);
    add_public_link(sim, HUB_LINK);
    add_public_link(sim, RAIDER_LINK);
    traffic_init(&sim->traffic, &sim->core);
    sim->hub = hub_new(sim);
    sim->raider = raider_new(sim);
}

void sim_done(struct sim *sim)
{
    for (size_t i = 0; i < sim->machine_count; i++) {
        struct machine *machine = &sim->machines[i];
        machine_crash(machine, true);
        free(machine->pool_text);
        free(machine->trust_text);
    }
    hub_free(sim->hub);
    core_done(&sim->core);
    pipes_free(sim);
    raider_free(sim->raider);
    traffic_done(&sim->traffic);
    net_done(&sim->net);
    core_own_randomness(NULL);
}

/* One thing that is due, of all that wait; false: nothing is until then. */
static bool step(struct sim *sim, uint64_t until_us)
{
    struct core *core = &sim->core;
    struct machine *first = NULL;
    uint64_t at_us = core_next_us(core);
    for (size_t i = 0; i < sim->machine_count; i++) {
        const uint64_t next_us = machine_next_us(&sim->machines[i]);
        if (next_us < at_us) {
            at_us = next_us;
            first = &sim->machines[i];
        }
    }
    uint64_t hub_us = hub_next_us(sim->hub);
    hub_us = hub_us < core->now_us ? core->now_us : hub_us;
    const bool is_hub = hub_us < at_us;
    at_us = deadline_min(at_us, hub_us);
    if (at_us > until_us)
        return false;
    core->now_us = at_us > core->now_us ? at_us : core->now_us;
    if (is_hub) {
        hub_expire(sim->hub);
    } else if (first != NULL) {
        machine_run_tasks(first);
    } else {
        struct event *event = core_pop(core);
        event->run(event);
    }
    return true;
}

void sim_run(struct sim *sim, uint64_t until_us)
{
    struct core *core = &sim->core;
    uint64_t since_us = core->now_us;
    unsigned spins = 0;
    while (core->why[0] == '\0' && step(sim, until_us)) {
        spins = core->now_us == since_us ? spins + 1 : 0;
        since_us = core->now_us;
        if (spins > SPIN_MAX)
            core_break(core, "something spins: nothing but work without progress of time");
        if (++core->steps > STEPS_MAX)
            core_break(core, "more than %d steps", STEPS_MAX);
    }
    if (core->why[0] == '\0' && until_us > core->now_us)
        core->now_us = until_us;
}
