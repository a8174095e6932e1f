/* Draws worlds, strikes them, and judges what has become of every pair. */
#include "scenario.h"

#include "host/peer.h"
#include "host/relay.h"
#include "hub.h"
#include "places.h"
#include "raider.h"
#include "sim.h"
#include "theory.h"
#include <stdlib.h>
#include <string.h>

#define BLOWS_FROM_US (6 * SECOND_US)
#define BLOWS_FOR_US  (60 * SECOND_US)
#define SLICE_US      (5 * SECOND_US)
/* A relayed tunnel looks for a direct path after 3, 6, 12 … 192, 300, 300 … seconds. Where a NAT
 * has taken a stranger's check for its own, only a pause longer than its memory, which may be
 * minutes, lets the next attempt begin anew; and that one may meet losses. In this time after the
 * last blow all must be well. */
#define SETTLE_US (1100 * SECOND_US)
#define CLOSE_US  (40 * SECOND_US) /* goodbyes that are lost are repeated */
#define QUIET_US  (8 * SECOND_US)  /* a pair that talks hears something in this time */
#define REST_US   (2 * SECOND_US)  /* a path that has rested works at once */
#define GAP_US                                                                                     \
    (14 * SECOND_US) /* the connection to the connector may have to be found dead first */
#define SOON_US   (15 * SECOND_US)  /* a path is direct by then, where nothing hinders */
#define WAKE_US   (10 * SECOND_US)  /* a tunnel that was closed for idleness is there again */
#define CLOSED_US (30 * SECOND_US)  /* after its idle time, with losses */
#define LEASE_US  (180 * SECOND_US) /* of a name whose host could not say that it goes */

enum blow {
    BLOW_MOVE,
    BLOW_SWITCH, /* all move at once */
    BLOW_NAT_REBOOT,
    BLOW_NAT_RENUMBER,
    BLOW_HUB_CRASH,
    BLOW_HOST_CRASH,
    BLOW_BLACKOUT,
    BLOW_SLEEP,
    BLOW_WALL,
    BLOW_COUNT,
};

#define ALL ((1u << BLOW_COUNT) - 1)

static const struct scenario scenarios[] = {
    {"random", "anything at all", 4, 4, ALL, 150, true},
    {"still", "two hosts, nothing happens", 2, 0, 0, 0, false},
    {"lossy", "two hosts, much is lost", 2, 0, 0, 150, false},
    {"moves", "addresses and NATs change", 3, 4,
     1u << BLOW_MOVE | 1u << BLOW_SWITCH | 1u << BLOW_NAT_REBOOT | 1u << BLOW_NAT_RENUMBER, 50,
     false},
    {"crashes", "hosts and the connector die and come back", 3, 4,
     1u << BLOW_HUB_CRASH | 1u << BLOW_HOST_CRASH | 1u << BLOW_SLEEP | 1u << BLOW_BLACKOUT, 50,
     false},
    {"hostile", "somebody replays, changes and invents datagrams", 3, 1, ALL, 50, true},
    {"apart", "hosts that are idle, and no connector", 2, 0, 0, 0, false, .is_open = true},
    {"rebinds", "one NAT forgets, once", 2, 1, 1u << BLOW_NAT_REBOOT | 1u << BLOW_NAT_RENUMBER, 0,
     false, .is_single = true},
};

const struct scenario *scenario_at(size_t index)
{
    return index < sizeof(scenarios) / sizeof(scenarios[0]) ? &scenarios[index] : NULL;
}

const struct scenario *scenario_find(const char *name)
{
    for (size_t i = 0; scenario_at(i) != NULL; i++) {
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    }
    return NULL;
}

struct world {
    struct sim sim;
    const struct scenario *scenario;
    uint64_t last_blow_us;
    FILE *rows;
    uint64_t seed;
    uint64_t called_us[MACHINES_MAX][MACHINES_MAX]; /* when the caller began; 0: it does not call */
    bool is_talking[MACHINES_MAX][MACHINES_MAX];
    char kinds[MACHINES_MAX][48]; /* at the start */
};

/* A blow that is to come. */
struct coming {
    struct event event;
    struct world *world;
    enum blow blow;
    size_t which;
    bool is_second; /* what it did is undone now */
};

/* What owners configure. */
static void draw_habits(struct rng *rng, bool is_hasty, struct habits *ret_habits)
{
    *ret_habits = (struct habits){
        .idle_us = !is_hasty && rng_chance(rng, 500) ? 600 * SECOND_US
                                                     : rng_between(rng, 20, 100) * SECOND_US,
        .rekey_us = rng_chance(rng, 500) ? 3600 * SECOND_US : rng_between(rng, 30, 300) * SECOND_US,
        .has_birthday = rng_chance(rng, 800),
        .is_relay_forced = rng_chance(rng, 40),
        .is_paper_first = rng_chance(rng, 300)};
}

static void draw_machines(struct world *world)
{
    struct sim *sim = &world->sim;
    struct rng *rng = &sim->core.rng;
    const unsigned max = world->scenario->machines_max;
    const size_t count = max > 2 && rng_chance(rng, 250) ? (size_t)rng_between(rng, 3, max) : 2;
    for (size_t i = 0; i < count; i++) {
        struct link *link = &sim->net.links[MACHINE_LINK + i];
        const int realm = world->scenario->is_open && rng_chance(rng, 700)
                              ? NET_INTERNET
                              : place_draw_realm(&sim->net, rng, i);
        link->is_used = link->is_up = true;
        place_put(&sim->net, rng, link, realm);
        place_draw_quality(rng, world->scenario->loss_max, &link->quality);
        struct machine *machine = machine_add(sim, (int)(MACHINE_LINK + i));
        draw_habits(rng, world->scenario->is_open, &machine->habits);
        (void)place_text(&sim->net, link, world->kinds[i], sizeof(world->kinds[i]));
        core_trace(&sim->core,
                   "%s is behind %s: loss %u permille, delay %u ms, idle %u s, rekey %u s",
                   machine->name, world->kinds[i], link->quality.loss,
                   (unsigned)(link->quality.delay_us / MS_US),
                   (unsigned)(machine->habits.idle_us / SECOND_US),
                   (unsigned)(machine->habits.rekey_us / SECOND_US));
    }
    /* Some may not call each other. */
    for (size_t i = 1; i < count; i++) {
        if (!rng_chance(rng, 40))
            continue;
        sim->machines[0].blocks |= 1u << i;
        sim->machines[i].blocks |= 1u;
    }
}

static void draw_talks(struct world *world)
{
    struct sim *sim = &world->sim;
    struct rng *rng = &sim->core.rng;
    for (size_t i = 0; i < sim->machine_count; i++) {
        for (size_t j = i + 1; j < sim->machine_count; j++) {
            const bool is_forth = rng_chance(rng, 500);
            const size_t from = is_forth ? i : j, to = is_forth ? j : i;
            const uint64_t interval_us = rng_between(rng, 150, 900) * MS_US;
            traffic_set(sim, from, to, interval_us);
            world->called_us[from][to] = sim->core.now_us;
            world->is_talking[from][to] = world->is_talking[to][from] = true;
            traffic_flow(sim, from, to)->is_echoed = rng_chance(rng, 600);
            if (!traffic_flow(sim, from, to)->is_echoed)
                traffic_set(sim, to, from, interval_us);
        }
    }
}

/* ---- blows ---- */

static void drop_coming(struct event *event)
{
    free(event);
}

static void undo_later(struct coming *coming, uint64_t after_us)
{
    struct world *world = coming->world;
    struct coming *second = sim_new(sizeof(*second));
    *second = *coming;
    second->is_second = true;
    core_add(&world->sim.core, &second->event, world->sim.core.now_us + after_us);
    if (world->last_blow_us < world->sim.core.now_us + after_us)
        world->last_blow_us = world->sim.core.now_us + after_us;
}

static void move_machine(struct coming *coming)
{
    struct world *world = coming->world;
    struct sim *sim = &world->sim;
    struct rng *rng = &sim->core.rng;
    struct machine *machine = &sim->machines[coming->which % sim->machine_count];
    struct link *link = &sim->net.links[machine->link];
    if (!coming->is_second) {
        const bool has_gap = rng_chance(rng, 500);
        core_trace(&sim->core, "%s leaves its network", machine->name);
        link->is_up = false;
        machine_on_network(machine);
        undo_later(coming, has_gap ? rng_below(rng, 8000) * MS_US : 5 * MS_US);
        return;
    }
    place_put(&sim->net, rng, link,
              rng_chance(rng, 250) ? link->realm
                                   : place_draw_realm(&sim->net, rng, sim->machine_count));
    link->is_up = true;
    core_trace(&sim->core, "%s is in realm %d now", machine->name, link->realm);
    machine_on_network(machine);
}

static void strike_nat(struct coming *coming)
{
    struct sim *sim = &coming->world->sim;
    const struct machine *machine = &sim->machines[coming->which % sim->machine_count];
    int realm = sim->net.links[machine->link].realm;
    int router = sim->net.realms[realm].gateway;
    if (router == NET_NONE)
        return;
    if (sim->net.routers[router].outer != NET_INTERNET && rng_chance(&sim->core.rng, 500))
        router = sim->net.realms[sim->net.routers[router].outer].gateway;
    core_trace(&sim->core, "router %d %s", router,
               coming->blow == BLOW_NAT_REBOOT ? "reboots" : "gets another address");
    if (coming->blow == BLOW_NAT_REBOOT || sim->net.routers[router].kind.is_firewall)
        net_reboot(&sim->net, router);
    else
        net_renumber(&sim->net, router);
}

static void strike_host(struct coming *coming)
{
    struct sim *sim = &coming->world->sim;
    struct machine *machine = &sim->machines[coming->which % sim->machine_count];
    if (coming->is_second) {
        if (machine->host == NULL)
            machine_start(machine);
    } else if (machine->host != NULL) {
        machine_crash(machine, rng_chance(&sim->core.rng, 300));
        undo_later(coming, rng_between(&sim->core.rng, 200, 15000) * MS_US);
    }
}

static void strike_sleep(struct coming *coming)
{
    struct sim *sim = &coming->world->sim;
    struct machine *machine = &sim->machines[coming->which % sim->machine_count];
    if (coming->is_second) {
        core_trace(&sim->core, "%s wakes", machine->name);
        machine_wake(machine);
    } else if (!machine->is_asleep) {
        core_trace(&sim->core, "%s sleeps", machine->name);
        machine_sleep(machine);
        undo_later(coming, rng_between(&sim->core.rng, 3, 200) * SECOND_US);
    }
}

static void run_coming(struct event *event)
{
    struct coming *coming = (struct coming *)event;
    struct sim *sim = &coming->world->sim;
    struct rng *rng = &sim->core.rng;
    struct machine *machine = &sim->machines[coming->which % sim->machine_count];
    struct link *link = &sim->net.links[machine->link];
    switch (coming->blow) {
    case BLOW_MOVE:
        move_machine(coming);
        break;
    case BLOW_SWITCH:
        for (coming->which = 0; coming->which < sim->machine_count; coming->which++)
            move_machine(coming);
        break;
    case BLOW_NAT_REBOOT:
    case BLOW_NAT_RENUMBER:
        strike_nat(coming);
        break;
    case BLOW_HUB_CRASH:
        if (coming->is_second) {
            if (!hub_is_running(sim->hub) && rng_chance(rng, 200))
                hub_move(sim->hub);
            hub_start(sim->hub);
        } else if (hub_is_running(sim->hub)) {
            hub_crash(sim->hub, rng_chance(rng, 400));
            undo_later(coming, rng_between(rng, 300, 40000) * MS_US);
        }
        break;
    case BLOW_HOST_CRASH:
        strike_host(coming);
        break;
    case BLOW_BLACKOUT:
        link->black_until_us = sim->core.now_us + rng_between(rng, 500, 15000) * MS_US;
        core_trace(&sim->core, "%s hears nothing for a while", machine->name);
        break;
    case BLOW_SLEEP:
        strike_sleep(coming);
        break;
    case BLOW_WALL:
        machine->wall_offset_s += rng_chance(rng, 500) ? 86400 : -86400;
        core_trace(&sim->core, "%s: its calendar jumps", machine->name);
        break;
    case BLOW_COUNT:
        break;
    }
    free(coming);
}

static void draw_blows(struct world *world)
{
    struct core *core = &world->sim.core;
    const struct scenario *scenario = world->scenario;
    const size_t count = (size_t)rng_below(&core->rng, scenario->blows_max + 1);
    world->last_blow_us = core->now_us;
    for (size_t i = 0; i < count; i++) {
        struct coming *coming = sim_new(sizeof(*coming));
        coming->event.run = run_coming;
        coming->event.drop = drop_coming;
        coming->world = world;
        do
            coming->blow = (enum blow)rng_below(&core->rng, BLOW_COUNT);
        while (!(scenario->blows & 1u << coming->blow));
        coming->which = (size_t)rng_next(&core->rng);
        const uint64_t at_us = core->now_us + BLOWS_FROM_US + rng_below(&core->rng, BLOWS_FOR_US);
        core_add(core, &coming->event, at_us);
        if (world->last_blow_us < at_us + 15 * SECOND_US)
            world->last_blow_us = at_us + 15 * SECOND_US;
    }
}

/* ---- judgement ---- */

static bool is_blocked(const struct world *world, size_t i, size_t j)
{
    return world->sim.machines[i].blocks & 1u << j;
}

static bool is_relayed(const struct peer *peer)
{
    return relay_is_endpoint(&peer->path);
}

/* Who sees openers and sends them again makes a Linux NAT take them for its own, as no opener can
 * prevent; and after a reboot it may take what other peers send for its own, and go on with several
 * ports for one host while these keep it so. Then a relay is all that can be had. */
static bool is_spoiled(const struct world *world, const struct machine *a, const struct machine *b)
{
    const struct net *net = &world->sim.net;
    const uint64_t now_us = world->sim.core.now_us;
    if (world->scenario->blows_max == 0 && world->scenario->loss_max == 0)
        return false; /* openers have left in time, and arrived */
    return net_is_torn(net, a->link, now_us) || net_is_torn(net, b->link, now_us) ||
           (raider_has_begun(world->sim.raider) &&
            (net_has_kernel(net, a->link) || net_has_kernel(net, b->link)));
}

/* "" when all is well between the two. */
static const char *fault_of(struct world *world, size_t i, size_t j)
{
    struct sim *sim = &world->sim;
    const struct machine *a = &sim->machines[i], *b = &sim->machines[j];
    const struct peer *ab = machine_peer(a, b), *ba = machine_peer(b, a);
    if (is_blocked(world, i, j))
        return ab == NULL && ba == NULL ? "" : "has a tunnel although it may not";
    if (ab == NULL || ba == NULL)
        return "has no tunnel";
    const uint64_t now_us = sim->core.now_us;
    if (now_us - traffic_flow(sim, i, j)->last_us > QUIET_US ||
        now_us - traffic_flow(sim, j, i)->last_us > QUIET_US)
        return "hears nothing";
    if (is_relayed(ab) != is_relayed(ba))
        return "disagrees about the path";
    if (a->habits.is_relay_forced || b->habits.is_relay_forced)
        return is_relayed(ab) ? "" : "is direct, which was forbidden";
    switch (theory_judge(&sim->net, a->link, b->link, HUB_LINK)) {
    case THEORY_DIRECT:
        return is_relayed(ab) && !is_spoiled(world, a, b) ? "is relayed, although it can be punched"
                                                          : "";
    case THEORY_RELAY:
        return is_relayed(ab) ? "" : "is direct, which cannot be";
    case THEORY_LUCK:
        break;
    }
    return "";
}

static bool find_fault(struct world *world, char *ret_why, size_t cap)
{
    struct sim *sim = &world->sim;
    for (size_t i = 0; i < sim->machine_count; i++) {
        for (size_t j = i + 1; j < sim->machine_count; j++) {
            const char *fault = fault_of(world, i, j);
            if (fault[0] == '\0')
                continue;
            snprintf(ret_why, cap, "%s (%s) with %s (%s) %s", sim->machines[i].name,
                     world->kinds[i], sim->machines[j].name, world->kinds[j], fault);
            return true;
        }
    }
    return false;
}

/* Of the calls that began in peace. */
static void print_rows(struct world *world)
{
    struct sim *sim = &world->sim;
    for (size_t i = 0; i < sim->machine_count; i++) {
        for (size_t j = 0; j < sim->machine_count; j++) {
            const struct peer *peer = machine_peer(&sim->machines[i], &sim->machines[j]);
            if (world->called_us[i][j] == 0 || is_blocked(world, i, j))
                continue;
            const struct flow *back = traffic_flow(sim, j, i), *forth = traffic_flow(sim, i, j);
            const char *theory = theory_text(
                theory_judge(&sim->net, sim->machines[i].link, sim->machines[j].link, HUB_LINK));
            fprintf(world->rows, "row;%s;%s;%s;%s;%.1f;%.1f;%llu\n", world->kinds[i],
                    world->kinds[j],
                    peer == NULL       ? "none"
                    : is_relayed(peer) ? "relay"
                                       : "direct",
                    theory,
                    back->first_us == 0 ? -1.0
                                        : (double)(back->first_us - world->called_us[i][j]) / MS_US,
                    (double)(back->gap_us > forth->gap_us ? back->gap_us : forth->gap_us) / MS_US,
                    (unsigned long long)world->seed);
        }
    }
}

static void settle(struct world *world)
{
    struct sim *sim = &world->sim;
    char why[SIM_WHY_CAP];
    const uint64_t until_us = world->last_blow_us + SETTLE_US;
    for (;;) {
        sim_run(sim, sim->core.now_us + SLICE_US);
        if (sim->core.why[0] != '\0')
            return;
        /* What comes back later moves the last blow. */
        if (sim->core.now_us < world->last_blow_us)
            continue;
        if (!find_fault(world, why, sizeof(why)))
            return;
        if (sim->core.now_us > (until_us > world->last_blow_us + SETTLE_US
                                    ? until_us
                                    : world->last_blow_us + SETTLE_US)) {
            core_break(&sim->core, "%s", why);
            return;
        }
    }
}

static void silence(struct world *world)
{
    struct sim *sim = &world->sim;
    for (size_t i = 0; i < sim->machine_count; i++) {
        for (size_t j = 0; j < sim->machine_count; j++)
            traffic_flow(sim, i, j)->is_on = traffic_flow(sim, i, j)->is_echoed = false;
    }
}

static bool is_lossless(const struct world *world, size_t i, size_t j)
{
    const struct link *links = &world->sim.net.links[MACHINE_LINK];
    return links[i].quality.loss == 0 && links[j].quality.loss == 0;
}

/* Over good lines, while nothing happens, nothing is lost: not what comes before the tunnel is
 * there, nor at changes of path and keys. Behind NATs that give each destination another port, a
 * called host may answer for a moment where nothing leads back. */
static void check_whole(struct world *world)
{
    struct sim *sim = &world->sim;
    silence(world);
    sim_run(sim, sim->core.now_us + QUIET_US);
    if (sim->machines[0].habits.is_relay_forced || sim->machines[1].habits.is_relay_forced)
        return; /* keys may be negotiated twice */
    for (size_t i = 0; i < sim->machine_count; i++) {
        for (size_t j = 0; j < sim->machine_count; j++) {
            const struct flow *flow = traffic_flow(sim, i, j);
            if (i != j && is_lossless(world, i, j) && !is_blocked(world, i, j) &&
                !theory_is_hard(&sim->net, sim->machines[i].link) &&
                !theory_is_hard(&sim->net, sim->machines[j].link) && flow->sent != flow->received)
                core_break(&sim->core, "%s (%s) has sent %u packets, %s (%s) has got %u",
                           sim->machines[i].name, world->kinds[i], flow->sent,
                           sim->machines[j].name, world->kinds[j], flow->received);
        }
    }
}

/* What was said all the time is heard again soon after the one thing that has happened. */
static void check_gaps(struct world *world)
{
    struct sim *sim = &world->sim;
    const struct flow *forth = traffic_flow(sim, 0, 1), *back = traffic_flow(sim, 1, 0);
    const uint64_t gap_us = forth->gap_us > back->gap_us ? forth->gap_us : back->gap_us;
    if (!is_blocked(world, 0, 1) && gap_us > GAP_US)
        core_break(&sim->core, "%s (%s) and %s (%s) have heard nothing for %.1f s",
                   sim->machines[0].name, world->kinds[0], sim->machines[1].name, world->kinds[1],
                   (double)gap_us / SECOND_US);
}

static bool is_direct(const struct world *world, size_t i, size_t j)
{
    const struct machine *machines = world->sim.machines;
    const struct peer *ij = machine_peer(&machines[i], &machines[j]);
    const struct peer *ji = machine_peer(&machines[j], &machines[i]);
    return ij != NULL && ji != NULL && !is_relayed(ij) && !is_relayed(ji);
}

/* The connector is away for long: who is connected directly stays so. */
static void live_alone(struct world *world)
{
    struct sim *sim = &world->sim;
    struct rng *rng = &sim->core.rng;
    bool was_direct[MACHINES_MAX][MACHINES_MAX] = {{false}};
    for (size_t i = 0; i < sim->machine_count; i++) {
        for (size_t j = i + 1; j < sim->machine_count; j++)
            was_direct[i][j] = is_direct(world, i, j) && is_lossless(world, i, j);
    }
    hub_crash(sim->hub, rng_chance(rng, 500));
    sim_run(sim, sim->core.now_us + rng_between(rng, 100, 400) * SECOND_US);
    for (size_t i = 0; i < sim->machine_count && sim->core.why[0] == '\0'; i++) {
        for (size_t j = i + 1; j < sim->machine_count; j++) {
            if (was_direct[i][j] &&
                (!is_direct(world, i, j) ||
                 sim->core.now_us - traffic_flow(sim, i, j)->last_us > QUIET_US ||
                 sim->core.now_us - traffic_flow(sim, j, i)->last_us > QUIET_US))
                core_break(&sim->core, "%s (%s) has lost %s (%s) while the connector was away",
                           sim->machines[i].name, world->kinds[i], sim->machines[j].name,
                           world->kinds[j]);
        }
    }
    hub_start(sim->hub);
    world->last_blow_us = sim->core.now_us;
    settle(world);
}

/* How soon a packet has to arrive after a silence; 0: maybe never. Without a connector a tunnel
 * that was closed comes back only to where anybody may send. */
static uint64_t patience(struct world *world, size_t from, size_t to, bool was_direct)
{
    struct sim *sim = &world->sim;
    const struct link *links = &sim->net.links[MACHINE_LINK];
    const bool is_there = machine_peer(&sim->machines[from], &sim->machines[to]) != NULL &&
                          machine_peer(&sim->machines[to], &sim->machines[from]) != NULL;
    if (is_blocked(world, from, to) || !is_lossless(world, from, to))
        return 0;
    if (is_there)
        return was_direct || hub_is_running(sim->hub) ? REST_US : 0;
    if (hub_is_running(sim->hub))
        return WAKE_US;
    return was_direct && links[to].realm == NET_INTERNET && links[to].ipv6.family == ADDRESS_NONE &&
                   links[from].ipv6.family == ADDRESS_NONE
               ? WAKE_US
               : 0;
}

/* Who had to look for another path in the silence has had use of the tunnel. */
static void check_closed(struct world *world, uint64_t since_us)
{
    struct sim *sim = &world->sim;
    for (size_t i = 0; i < sim->machine_count; i++) {
        for (size_t j = 0; j < sim->machine_count; j++) {
            const struct machine *a = &sim->machines[i], *b = &sim->machines[j];
            const struct peer *peer = i != j ? machine_peer(a, b) : NULL;
            const uint64_t up_us = peer != NULL ? peer->up_since_us - a->offset_us : 0;
            if (peer != NULL &&
                (up_us > since_us ? up_us : since_us) + a->habits.idle_us + CLOSED_US <
                    sim->core.now_us)
                core_break(&sim->core, "%s keeps a tunnel to %s that nobody uses", a->name,
                           b->name);
        }
    }
}

/* Nobody says anything for longer than NATs remember, or tunnels last: what is said then arrives,
 * whoever says it, and mostly even while no connector is there. */
static void rest(struct world *world)
{
    struct sim *sim = &world->sim;
    struct rng *rng = &sim->core.rng;
    bool was_direct[MACHINES_MAX][MACHINES_MAX] = {{false}};
    for (size_t i = 0; i < sim->machine_count; i++) {
        for (size_t j = 0; j < sim->machine_count; j++)
            was_direct[i][j] = i != j && is_direct(world, i, j);
    }
    silence(world);
    const uint64_t silent_us = rng_between(rng, 60, 200) * SECOND_US;
    const bool is_alone = world->scenario->is_open || rng_chance(rng, 250);
    sim_run(sim, sim->core.now_us + SLICE_US);
    if (is_alone)
        hub_crash(sim->hub, rng_chance(rng, 500));
    sim_run(sim, sim->core.now_us + silent_us - SLICE_US);
    check_closed(world, sim->core.now_us - silent_us);
    for (size_t i = 0; i < sim->machine_count && sim->core.why[0] == '\0'; i++) {
        for (size_t j = i + 1; j < sim->machine_count; j++) {
            const bool is_forth = rng_chance(rng, 500);
            const size_t from = is_forth ? i : j, to = is_forth ? j : i;
            const uint64_t patience_us = patience(world, from, to, was_direct[i][j]);
            if (patience_us == 0)
                continue;
            traffic_set(sim, from, to, 300 * MS_US);
            sim_run(sim, sim->core.now_us + patience_us);
            if (traffic_flow(sim, from, to)->first_us == 0)
                core_break(&sim->core, "%s (%s) is not heard by %s (%s) after a silence",
                           sim->machines[from].name, world->kinds[from], sim->machines[to].name,
                           world->kinds[to]);
        }
    }
    if (is_alone) {
        hub_start(sim->hub);
        sim_run(sim, sim->core.now_us + 60 * SECOND_US);
    }
}

/* Over good lines direct paths open at the first attempts. */
static void check_soon(struct world *world)
{
    struct sim *sim = &world->sim;
    char why[SIM_WHY_CAP];
    sim_run(sim, sim->core.now_us + SOON_US);
    if (theory_is_hard(&sim->net, sim->machines[0].link) ||
        theory_is_hard(&sim->net, sim->machines[1].link) || !find_fault(world, why, sizeof(why)))
        return;
    core_break(&sim->core, "%s soon", why);
}

static void live(struct world *world)
{
    struct sim *sim = &world->sim;
    struct rng *rng = &sim->core.rng;
    hub_start(sim->hub);
    draw_machines(world);
    for (size_t i = 0; i < sim->machine_count; i++) {
        sim_run(sim, sim->core.now_us + rng_below(rng, 300) * MS_US);
        machine_start(&sim->machines[i]);
    }
    if (!rng_chance(rng, 100))
        sim_run(sim, sim->core.now_us + 4 * SECOND_US);
    draw_talks(world);
    draw_blows(world);
    sim->traffic.is_quiet = world->scenario->blows_max == 0 && !world->scenario->is_open;
    if (world->scenario->blows_max == 0 && world->scenario->loss_max == 0)
        check_soon(world);
    if (world->scenario->is_hostile && rng_chance(rng, 500))
        raider_start(sim->raider, rng_between(rng, 5, 200) * MS_US,
                     sim->core.now_us + 60 * SECOND_US);
    settle(world);
    if (sim->core.why[0] != '\0')
        return;
    if (world->rows != NULL)
        print_rows(world);
    if (world->scenario->is_single) {
        check_gaps(world);
    } else if (world->scenario->blows_max == 0 && world->scenario->loss_max == 0) {
        sim_run(sim, sim->core.now_us + rng_between(rng, 10, 300) * SECOND_US);
        check_whole(world);
    } else if (rng_chance(rng, 200)) {
        live_alone(world);
    }
    if ((world->scenario->is_open || rng_chance(rng, 500)) && !raider_has_begun(sim->raider) &&
        sim->core.why[0] == '\0')
        rest(world);
    silence(world);
    for (size_t i = 0; i < sim->machine_count; i++)
        machine_stop(&sim->machines[i]);
    sim_run(sim, sim->core.now_us + CLOSE_US);
    for (size_t i = 0; i < sim->machine_count && sim->core.why[0] == '\0'; i++)
        machine_finish(&sim->machines[i]);
    if (hub_session_count(sim->hub) != 0)
        sim_run(sim, sim->core.now_us + LEASE_US);
    if (hub_session_count(sim->hub) != 0 || hub_channel_count(sim->hub) != 0)
        core_break(&sim->core, "the connector has %zu sessions and %zu channels left",
                   hub_session_count(sim->hub), hub_channel_count(sim->hub));
}

void scenario_run(const struct scenario *scenario, uint64_t seed, bool has_trace, FILE *rows,
                  struct verdict *ret_verdict)
{
    struct world *world = sim_new(sizeof(*world));
    world->scenario = scenario;
    world->rows = rows;
    world->seed = seed;
    sim_init(&world->sim, seed);
    world->sim.core.has_trace = has_trace;
    live(world);
    *ret_verdict = (struct verdict){.hash = world->sim.core.hash,
                                    .steps = world->sim.core.steps,
                                    .end_us = world->sim.core.now_us - SIM_START_US};
    memcpy(ret_verdict->why, world->sim.core.why, sizeof(ret_verdict->why));
    sim_done(&world->sim);
    free(world);
}
