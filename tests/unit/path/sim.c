/* The simulated network: routing by realms, and NATs with each kind of mapping and filtering. */
#include "sim.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/deadline.h"

void sim_init(struct sim *sim, uint64_t seed)
{
    memset(sim, 0, sizeof *sim);
    sim->random = seed * 2654435761u + 88172645463325252u;
    sim->hop_us = 10 * MS_US;
    sim->now_us = 1000 * SECOND_US;
}

uint32_t sim_random(struct sim *sim)
{
    sim->random ^= sim->random << 13;
    sim->random ^= sim->random >> 7;
    sim->random ^= sim->random << 17;
    return (uint32_t)(sim->random >> 32);
}

struct endpoint sim_endpoint(const char *text)
{
    struct endpoint e;
    assert_int_equal(endpoint_parse(text, 0, &e), ERR_OK);
    return e;
}

void sim_add_nat(struct sim *sim, unsigned inner_realm, unsigned outer_realm, const char *outer,
                 enum sim_filter filter)
{
    struct sim_nat *nat = &sim->nats[inner_realm];
    *nat = (struct sim_nat){.exists = true,
                            .outer_realm = outer_realm,
                            .filter = filter,
                            .next_port = (uint16_t)(20000 + 1000 * inner_realm)};
    assert_int_equal(address_parse(outer, &nat->outer), ERR_OK);
}

struct sim_host *sim_add_host(struct sim *sim, unsigned realm, const char *endpoint,
                              sim_receive *receive, void *context)
{
    assert_true(sim->host_count < SIM_HOSTS);
    struct sim_host *host = &sim->hosts[sim->host_count++];
    *host = (struct sim_host){
        .realm = realm, .endpoint = sim_endpoint(endpoint), .receive = receive, .context = context};
    return host;
}

void sim_done(struct sim *sim)
{
    for (size_t i = 0; i < SIM_REALMS; i++) {
        for (size_t j = 0; j < sim->nats[i].mapping_count; j++)
            free(sim->nats[i].mappings[j].sent_to);
    }
}

static bool is_given_out(const struct sim_nat *nat, uint16_t port)
{
    for (size_t i = 0; i < nat->mapping_count; i++) {
        if (nat->mappings[i].port == port)
            return true;
    }
    return false;
}

static uint16_t give_out(struct sim *sim, struct sim_nat *nat)
{
    uint16_t port = nat->next_port;
    const int step = nat->step != 0 ? nat->step : 1;
    if (nat->is_random) {
        do
            port = (uint16_t)(1024 + sim_random(sim) % 64512);
        while (is_given_out(nat, port));
        return port;
    }
    if (nat->noise > 0)
        port = (uint16_t)(port + (int)(sim_random(sim) % (nat->noise + 1)) * step);
    nat->next_port = (uint16_t)(port + step);
    return port;
}

static struct sim_mapping *add_mapping(struct sim *sim, struct sim_nat *nat,
                                       const struct endpoint *inner, const struct endpoint *to)
{
    assert_true(nat->mapping_count < SIM_MAPPINGS);
    struct sim_mapping *m = &nat->mappings[nat->mapping_count];
    *m = (struct sim_mapping){.inner = *inner, .towards = *to, .port = give_out(sim, nat)};
    nat->mapping_count++;
    return m;
}

static struct sim_mapping *find_mapping(struct sim_nat *nat, const struct endpoint *inner,
                                        const struct endpoint *to)
{
    struct sim_mapping *found = NULL;
    for (size_t i = 0; i < nat->mapping_count; i++) {
        struct sim_mapping *m = &nat->mappings[i];
        const bool is_towards = endpoint_is_equal(&m->towards, to);
        if (!endpoint_is_equal(&m->inner, inner))
            continue;
        if (m->is_moved && is_towards)
            return m;
        const bool is_there = address_is_equal(&m->towards.address, &to->address);
        if (!m->is_moved && found == NULL && (!nat->is_symmetric || is_towards) &&
            (!nat->is_by_address || is_there))
            found = m;
    }
    return found;
}

static bool is_taken(const struct sim_nat *nat, const struct endpoint *to, uint16_t port)
{
    for (size_t i = 0; i < nat->stray_count; i++) {
        if (nat->strays[i].port == port && endpoint_is_equal(&nat->strays[i].from, to))
            return true;
    }
    return false;
}

static void remember_stray(struct sim_nat *nat, const struct endpoint *from, uint16_t port)
{
    if (nat->is_accepting && !is_taken(nat, from, port) &&
        nat->stray_count < sizeof nat->strays / sizeof nat->strays[0])
        nat->strays[nat->stray_count++] = (struct sim_stray){*from, port};
}

static struct sim_mapping *map_out(struct sim *sim, struct sim_nat *nat,
                                   const struct endpoint *inner, const struct endpoint *to)
{
    struct sim_mapping *m = find_mapping(nat, inner, to);
    if (m == NULL)
        m = add_mapping(sim, nat, inner, to);
    for (size_t i = 0; i < m->sent_count; i++) {
        if (endpoint_is_equal(&m->sent_to[i], to))
            return m;
    }
    if (!m->is_moved && is_taken(nat, to, m->port)) {
        m = add_mapping(sim, nat, inner, to);
        m->is_moved = true;
    }
    if (m->sent_count == m->sent_cap) {
        m->sent_cap = m->sent_cap > 0 ? 2 * m->sent_cap : 4;
        m->sent_to = realloc(m->sent_to, m->sent_cap * sizeof m->sent_to[0]);
        assert_non_null(m->sent_to);
    }
    m->sent_to[m->sent_count++] = *to;
    return m;
}

static bool lets_in(const struct sim_nat *nat, const struct sim_mapping *m,
                    const struct endpoint *from)
{
    if (nat->filter == FILTER_ENDPOINT && !nat->is_symmetric)
        return true;
    for (size_t i = 0; i < m->sent_count; i++) {
        if (address_is_equal(&m->sent_to[i].address, &from->address) &&
            (nat->filter == FILTER_ADDRESS || m->sent_to[i].port == from->port))
            return true;
    }
    return false;
}

static void enqueue(struct sim *sim, struct sim_host *host, const struct endpoint *from,
                    unsigned hops, const uint8_t *data, size_t len)
{
    if (sim->queue_count == SIM_QUEUE || len > SIM_DATA_CAP)
        return;
    struct sim_datagram *d = &sim->queue[sim->queue_count++];
    d->at_us = sim->now_us + hops * sim->hop_us +
               (sim->jitter_us > 0 ? sim_random(sim) % sim->jitter_us : 0);
    d->host = host;
    d->from = *from;
    d->len = len;
    memcpy(d->data, data, len);
}

/* limit: this many hops let it pass. */
static void route(struct sim *sim, unsigned realm, struct endpoint from, struct endpoint to,
                  unsigned hops, unsigned limit, const uint8_t *data, size_t len)
{
    if (hops > 2 * SIM_REALMS || hops >= limit)
        return;
    for (size_t i = 0; i < sim->host_count; i++) {
        struct sim_host *host = &sim->hosts[i];
        const unsigned socket = (unsigned)(to.port - host->endpoint.port);
        if (host->realm == realm && address_is_equal(&host->endpoint.address, &to.address) &&
            to.port >= host->endpoint.port && socket <= host->sockets) {
            from.socket = (uint16_t)socket;
            enqueue(sim, host, &from, hops + 1, data, len);
            return;
        }
    }
    for (unsigned inner = 1; inner < SIM_REALMS; inner++) {
        struct sim_nat *nat = &sim->nats[inner];
        if (!nat->exists || nat->outer_realm != realm ||
            !address_is_equal(&nat->outer, &to.address))
            continue;
        for (size_t i = 0; i < nat->mapping_count; i++) {
            const struct sim_mapping *m = &nat->mappings[i];
            if (m->port == to.port && lets_in(nat, m, &from)) {
                route(sim, inner, from, m->inner, hops + 1, limit, data, len);
                return;
            }
        }
        remember_stray(nat, &from, to.port);
        return;
    }
    struct sim_nat *nat = &sim->nats[realm];
    if (realm == 0 || !nat->exists)
        return;
    if (address_is_equal(&nat->outer, &to.address) && !nat->has_hairpin)
        return;
    from = (struct endpoint){nat->outer, map_out(sim, nat, &from, &to)->port};
    route(sim, nat->outer_realm, from, to, hops + 1, limit, data, len);
}

void sim_inject(struct sim *sim, unsigned realm, const struct endpoint *from,
                const struct endpoint *to, const uint8_t *data, size_t len)
{
    route(sim, realm, *from, *to, 0, UINT_MAX, data, len);
}

void sim_send(struct sim *sim, const struct sim_host *host, const struct endpoint *to,
              const uint8_t *data, size_t len)
{
    sim_send_opener(sim, host, to, UINT_MAX, data, len);
}

void sim_send_opener(struct sim *sim, const struct sim_host *host, const struct endpoint *to,
                     unsigned depth, const uint8_t *data, size_t len)
{
    sim->sent++;
    /* The NAT on the way out sees what is lost behind it: half of the losses are before it. */
    const bool is_lost = sim_random(sim) % 100 < sim->loss;
    if (is_lost && sim_random(sim) % 2 == 0)
        return;
    const size_t before = sim->queue_count;
    struct endpoint from = host->endpoint, there = *to;
    assert_true(to->socket <= host->sockets);
    from.port = (uint16_t)(from.port + to->socket);
    there.socket = 0;
    route(sim, host->realm, from, there, 0, depth, data, len);
    if (is_lost)
        sim->queue_count = before;
    else if (sim_random(sim) % 100 < sim->doubling)
        route(sim, host->realm, from, there, 0, depth, data, len);
}

struct endpoint sim_reflexive(struct sim *sim, const struct sim_host *host)
{
    return sim_reflexive_of(sim, host, 0);
}

struct endpoint sim_reflexive_of(struct sim *sim, const struct sim_host *host, unsigned socket)
{
    const struct endpoint server = sim_endpoint("203.0.113.200:4500");
    struct endpoint from = host->endpoint;
    from.port = (uint16_t)(from.port + socket);
    for (unsigned realm = host->realm; realm != 0; realm = sim->nats[realm].outer_realm) {
        struct sim_nat *nat = &sim->nats[realm];
        from = (struct endpoint){nat->outer, map_out(sim, nat, &from, &server)->port};
    }
    return from;
}

uint64_t sim_next_us(const struct sim *sim)
{
    uint64_t at_us = DEADLINE_NEVER;
    for (size_t i = 0; i < sim->queue_count; i++)
        at_us = deadline_min(at_us, sim->queue[i].at_us);
    return at_us;
}

void sim_run_until(struct sim *sim, uint64_t at_us)
{
    sim->now_us = at_us;
    for (;;) {
        size_t first = sim->queue_count;
        for (size_t i = 0; i < sim->queue_count; i++) {
            if (sim->queue[i].at_us <= at_us &&
                (first == sim->queue_count || sim->queue[i].at_us < sim->queue[first].at_us))
                first = i;
        }
        if (first == sim->queue_count)
            return;
        const struct sim_datagram d = sim->queue[first];
        sim->queue[first] = sim->queue[--sim->queue_count];
        d.host->received++;
        if (d.host->receive != NULL)
            d.host->receive(d.host->context, d.data, d.len, &d.from);
    }
}
