/* TCP as programs see it. */
#include "pipe.h"

#include "hub.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define RETRANSMIT_US (250 * MS_US)
#define GIVE_UP_US    (30 * SECOND_US) /* unacknowledged for so long: an error (TCP_USER_TIMEOUT) */
#define CONNECT_US    (20 * SECOND_US)

enum what { CONNECTED, REFUSED, DATA, END, RESET, NOT_CONNECTED, TIMED_OUT };

struct segment {
    struct event event;
    struct pipe *pipe;
    enum what what;
    enum pipe_end to;
    size_t len;
    uint8_t data[];
};

static const struct link *client_link(const struct pipe *pipe)
{
    return &pipe->sim->net.links[pipe->machine->link];
}

/* Is there still a way between the two, as it was when they connected? */
static bool has_way(const struct pipe *pipe)
{
    const struct link *link = client_link(pipe);
    const struct address *own =
        pipe->target.address.family == ADDRESS_IPV6 ? &link->ipv6 : &link->ipv4;
    return link->is_up && own->family != ADDRESS_NONE && address_is_equal(own, &pipe->source) &&
           net_epochs(&pipe->sim->net, link->realm) == pipe->epochs &&
           hub_is_machine_up(pipe->sim->hub) && hub_is_at(pipe->sim->hub, &pipe->target.address);
}

static void drop_segment(struct event *event)
{
    free(event);
}

static void post(struct pipe *pipe, enum what what, enum pipe_end to, uint64_t at_us,
                 const void *data, size_t len);

/* Each loss costs a retransmission, a black-out its rest. */
static uint64_t arrival_us(struct pipe *pipe, enum pipe_end to)
{
    struct sim *sim = pipe->sim;
    const struct link *links[] = {client_link(pipe), &sim->net.links[HUB_LINK]};
    uint64_t at_us = sim->core.now_us;
    for (size_t i = 0; i < 2; i++) {
        at_us += sim_delay(sim, links[i]);
        for (uint64_t again_us = RETRANSMIT_US;
             rng_chance(&sim->core.rng, links[i]->quality.loss) && again_us < 8 * SECOND_US;
             again_us *= 2)
            at_us += again_us;
        if (links[i]->black_until_us > at_us)
            at_us = links[i]->black_until_us + RETRANSMIT_US;
    }
    if (at_us <= pipe->last_us[to])
        at_us = pipe->last_us[to] + 1;
    pipe->last_us[to] = at_us;
    return at_us;
}

/* Nothing comes back: the sender finds out at last. */
static void fail_later(struct pipe *pipe, enum pipe_end sender)
{
    if (!pipe->is_failing)
        post(pipe, TIMED_OUT, sender, pipe->sim->core.now_us + GIVE_UP_US, NULL, 0);
    pipe->is_failing = true;
}

static void tell_end(struct pipe *pipe, enum pipe_end to, int status)
{
    if (!pipe->is_open[to])
        return;
    if (to == PIPE_CLIENT)
        uv_on_end(pipe, status);
    else
        hub_on_end(pipe);
}

static void take_connected(struct pipe *pipe, enum pipe_end to)
{
    if (to == PIPE_CLIENT) {
        if (pipe->is_open[PIPE_CLIENT])
            uv_on_connected(pipe, 0);
    } else if (!hub_is_listening(pipe->sim->hub)) {
        post(pipe, REFUSED, PIPE_CLIENT, arrival_us(pipe, PIPE_CLIENT), NULL, 0);
    } else {
        pipe->is_connected = pipe->is_open[PIPE_HUB] = true;
        hub_on_connected(pipe);
        post(pipe, CONNECTED, PIPE_CLIENT, arrival_us(pipe, PIPE_CLIENT), NULL, 0);
    }
}

static void run_segment(struct event *event)
{
    struct segment *segment = (struct segment *)event;
    struct pipe *pipe = segment->pipe;
    const enum pipe_end to = segment->to, from = to == PIPE_HUB ? PIPE_CLIENT : PIPE_HUB;
    const bool is_local = segment->what == TIMED_OUT || segment->what == NOT_CONNECTED;
    struct machine *before = to == PIPE_CLIENT ? machine_enter(pipe->machine) : NULL;
    if (!is_local && !has_way(pipe)) {
        if (pipe->is_connected)
            fail_later(pipe, from);
    } else if (segment->what == CONNECTED) {
        take_connected(pipe, to);
    } else if (segment->what == REFUSED) {
        if (pipe->is_open[PIPE_CLIENT])
            uv_on_connected(pipe, UV_ECONNREFUSED);
    } else if (segment->what == NOT_CONNECTED) {
        if (pipe->is_open[PIPE_CLIENT] && !pipe->is_connected)
            uv_on_connected(pipe, UV_ETIMEDOUT);
    } else if (segment->what == TIMED_OUT) {
        tell_end(pipe, to, UV_ETIMEDOUT);
    } else if (segment->what == END || segment->what == RESET) {
        tell_end(pipe, to, segment->what == END ? UV_EOF : UV_ECONNRESET);
    } else if (!pipe->is_open[to]) {
        post(pipe, RESET, from, arrival_us(pipe, from), NULL, 0);
    } else if (to == PIPE_CLIENT) {
        uv_on_data(pipe, segment->data, segment->len);
    } else {
        hub_on_data(pipe, segment->data, segment->len);
    }
    if (to == PIPE_CLIENT) {
        machine_settle(pipe->machine);
        machine_leave(before);
    }
    free(segment);
}

static void post(struct pipe *pipe, enum what what, enum pipe_end to, uint64_t at_us,
                 const void *data, size_t len)
{
    struct segment *segment = sim_new(sizeof(*segment) + len);
    *segment = (struct segment){.event = {.run = run_segment, .drop = drop_segment},
                                .pipe = pipe,
                                .what = what,
                                .to = to,
                                .len = len};
    if (len > 0)
        memcpy(segment->data, data, len);
    core_add(&pipe->sim->core, &segment->event, at_us);
}

struct pipe *pipe_connect(struct machine *machine, void *user, const struct endpoint *to)
{
    struct sim *sim = machine->sim;
    const struct link *link = &sim->net.links[machine->link];
    struct pipe *pipe = sim_new(sizeof(*pipe));
    char text[ENDPOINT_TEXT_CAP];
    *pipe = (struct pipe){.next = sim->pipes,
                          .sim = sim,
                          .machine = machine,
                          .target = *to,
                          .source = to->address.family == ADDRESS_IPV6 ? link->ipv6 : link->ipv4,
                          .epochs = net_epochs(&sim->net, link->realm)};
    sim->pipes = pipe;
    pipe->is_open[PIPE_CLIENT] = true;
    pipe->user[PIPE_CLIENT] = user;
    core_trace(&sim->core, "%s connects to %s", machine->name,
               endpoint_format(to, text, sizeof(text)));
    post(pipe, NOT_CONNECTED, PIPE_CLIENT, sim->core.now_us + CONNECT_US, NULL, 0);
    if (to->port == SIM_HUB_PORT)
        post(pipe, CONNECTED, PIPE_HUB, arrival_us(pipe, PIPE_HUB), NULL, 0);
    else
        post(pipe, REFUSED, PIPE_CLIENT, arrival_us(pipe, PIPE_CLIENT), NULL, 0);
    return pipe;
}

void pipe_write(struct pipe *pipe, enum pipe_end from, const void *data, size_t len)
{
    const enum pipe_end to = from == PIPE_HUB ? PIPE_CLIENT : PIPE_HUB;
    struct sim *sim = pipe->sim;
    if (!pipe->is_open[from] || (from == PIPE_CLIENT && pipe->machine->is_dying))
        return;
    traffic_inspect(&sim->traffic, &sim->core, data, len);
    core_mix(&sim->core, data, len);
    core_trace(&sim->core, "%s writes %zu bytes to %s%s",
               from == PIPE_HUB ? "the connector" : pipe->machine->name, len,
               from == PIPE_HUB ? pipe->machine->name : "the connector",
               has_way(pipe) ? "" : ", in vain");
    if (has_way(pipe))
        post(pipe, DATA, to, arrival_us(pipe, to), data, len);
    else
        fail_later(pipe, from);
}

void pipe_close(struct pipe *pipe, enum pipe_end from, bool is_silent)
{
    const enum pipe_end to = from == PIPE_HUB ? PIPE_CLIENT : PIPE_HUB;
    if (!pipe->is_open[from])
        return;
    pipe->is_open[from] = false;
    pipe->user[from] = NULL;
    if (!is_silent && pipe->is_connected && pipe->is_open[to] && has_way(pipe))
        post(pipe, END, to, arrival_us(pipe, to), NULL, 0);
}

void pipes_free(struct sim *sim)
{
    while (sim->pipes != NULL) {
        struct pipe *pipe = sim->pipes;
        sim->pipes = pipe->next;
        free(pipe);
    }
}
