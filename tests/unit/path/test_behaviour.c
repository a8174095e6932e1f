/* NAT behaviour discovery against the connector's own half, through every kind of NAT, in virtual
 * time:
 *
 *   sockets ── NAT (mapping × filtering × ports × hairpin × lifetime, loss, MTU) ── server
 *                                              203.0.113.200 and .201, ports 4500 and 4501 each
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "path/behaviour.h"
#include "path/binding.h"
#include "sim.h"
#include "wire/stun.h"

#define MAPPINGS   256
#define PEERS      8
#define QUEUE      512
#define IPV4_LEN   28
#define FIRST_PORT 40000

enum scope { SCOPE_ANY, SCOPE_ADDRESS, SCOPE_BOTH };
enum ports { PORTS_PRESERVE, PORTS_SEQUENTIAL, PORTS_RANDOM };
enum server_kind { SERVER_FULL, SERVER_TWO_PORTS, SERVER_PLAIN, SERVER_OLD, SERVER_FOREIGN };

struct mapping {
    unsigned socket;
    struct endpoint key;
    uint16_t port;
    uint64_t expires_us;
    struct endpoint peers[PEERS];
    size_t peer_count;
};

struct datagram {
    uint64_t at_us;
    int socket; /* -1: to the server */
    struct endpoint from, to;
    size_t len;
    uint8_t data[1500];
};

struct world {
    /* the NAT */
    bool has_nat, has_hairpin, is_blocked, is_alternate_blocked;
    enum scope mapping, filtering;
    bool is_filter_common; /* looks at what any socket has sent to */
    enum ports ports;
    unsigned port_gap;
    uint64_t lifetime_us;
    struct endpoint outer; /* its address; port: the next sequential one */
    struct mapping mappings[MAPPINGS];
    size_t mapping_count;
    /* the way */
    unsigned loss; /* percent */
    size_t mtu;
    uint64_t delay_us;
    uint64_t late_us; /* so much later comes what others than the one that was asked answer */
    /* the server */
    enum server_kind server;
    uint8_t ticket_key[BINDING_TICKET_KEY_LEN];
    size_t longest_answer, sent;

    struct behaviour_config config;
    struct behaviour *behaviour;
    uint64_t now_us, random;
    struct datagram queue[QUEUE];
    size_t queue_count;
};

static uint32_t draw(struct world *world)
{
    world->random = world->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(world->random >> 33);
}

static void setup(struct world *world)
{
    memset(world, 0, sizeof *world);
    world->has_nat = true;
    world->mapping = SCOPE_ANY;
    world->filtering = SCOPE_BOTH;
    world->lifetime_us = 120 * SECOND_US;
    world->outer = sim_endpoint("198.51.100.7:20000");
    world->port_gap = 1;
    world->mtu = 1500;
    world->delay_us = 10 * MS_US;
    world->random = 1;
    world->now_us = 1000 * SECOND_US;
    world->config.server = sim_endpoint("203.0.113.200:4500");
    world->config.locals[0] = sim_endpoint("10.0.0.5:1").address;
    world->config.local_count = 1;
    for (unsigned i = 0; i < BEHAVIOUR_SOCKETS_MAX; i++)
        world->config.ports[i] = (uint16_t)(FIRST_PORT + 7 * i);
}

static void enqueue(struct world *world, int socket, const struct endpoint *from,
                    const struct endpoint *to, const uint8_t *data, size_t len)
{
    if (draw(world) % 100 < world->loss || len + IPV4_LEN > world->mtu)
        return;
    assert_true(world->queue_count < QUEUE);
    struct datagram *d = &world->queue[world->queue_count++];
    *d = (struct datagram){world->now_us + world->delay_us, socket, *from, *to, len, {0}};
    memcpy(d->data, data, len);
}

static bool is_in_scope(enum scope scope, const struct endpoint *a, const struct endpoint *b)
{
    return scope == SCOPE_ANY || (address_is_equal(&a->address, &b->address) &&
                                  (scope != SCOPE_BOTH || a->port == b->port));
}

static struct mapping *map_out(struct world *world, unsigned socket, const struct endpoint *to)
{
    struct mapping *m = NULL;
    for (size_t i = 0; i < world->mapping_count; i++) {
        struct mapping *other = &world->mappings[i];
        if (other->socket == socket && other->expires_us > world->now_us &&
            is_in_scope(world->has_nat ? world->mapping : SCOPE_ANY, &other->key, to))
            m = other;
    }
    if (m == NULL) {
        assert_true(world->mapping_count < MAPPINGS);
        m = &world->mappings[world->mapping_count++];
        *m = (struct mapping){.socket = socket, .key = *to};
        if (!world->has_nat || (world->ports == PORTS_PRESERVE && world->mapping == SCOPE_ANY))
            m->port = world->config.ports[socket];
        else if (world->ports == PORTS_RANDOM)
            m->port = (uint16_t)(1024 + draw(world) % 60000);
        else
            m->port = world->outer.port = (uint16_t)(world->outer.port + world->port_gap);
    }
    m->expires_us = world->now_us + world->lifetime_us;
    for (size_t i = 0; i < m->peer_count; i++) {
        if (endpoint_is_equal(&m->peers[i], to))
            return m;
    }
    assert_true(m->peer_count < PEERS);
    m->peers[m->peer_count++] = *to;
    return m;
}

/* What arrives at the NAT's outer side. */
static void come_in(struct world *world, const struct endpoint *from, const struct endpoint *to,
                    const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < world->mapping_count; i++) {
        struct mapping *m = &world->mappings[i];
        bool is_let_in = world->filtering == SCOPE_ANY;
        if (m->port != to->port || m->expires_us <= world->now_us)
            continue;
        for (size_t k = 0; k < world->mapping_count; k++) {
            const struct mapping *o = &world->mappings[k];
            for (size_t j = 0; j < o->peer_count && (o == m || world->is_filter_common); j++)
                is_let_in = is_let_in || is_in_scope(world->filtering, &o->peers[j], from);
        }
        if (!is_let_in)
            continue;
        m->expires_us = world->now_us + world->lifetime_us;
        const size_t before = world->queue_count;
        enqueue(world, (int)m->socket, from, to, data, len);
        if (world->queue_count > before && from->port != 4500)
            world->queue[world->queue_count - 1].at_us += world->late_us;
        return;
    }
}

static void go_out(struct world *world, unsigned socket, const struct endpoint *to,
                   const uint8_t *data, size_t len)
{
    const struct endpoint from = {world->has_nat ? world->outer.address : world->config.locals[0],
                                  map_out(world, socket, to)->port};
    world->sent++;
    if (address_is_equal(&to->address, &world->outer.address)) {
        if (world->has_hairpin)
            come_in(world, &from, to, data, len);
    } else if (!world->is_blocked && !(world->is_alternate_blocked && to->port != 4500)) {
        enqueue(world, -1, &from, to, data, len);
    }
}

static void serve(struct world *world, const struct datagram *d)
{
    uint8_t answer[BINDING_DISCOVERY_CAP];
    struct binding_server server = {.at = d->to,
                                    .other = d->to,
                                    .ticket_key = world->ticket_key,
                                    .now_s = (uint32_t)(world->now_us / SECOND_US)};
    struct binding_route route = {0};
    struct writer w;
    struct stun_message m;
    if (world->server == SERVER_OLD && stun_parse(d->data, d->len, &m) == ERR_OK &&
        m.unknown_count > 0) {
        writer_init(&w, answer, sizeof answer);
        stun_build_begin(&w, STUN_ERROR, STUN_BINDING, m.transaction_id);
        stun_build_error(&w, STUN_UNKNOWN_ATTRIBUTE, "");
        stun_build_unknown(&w, m.unknown, m.unknown_count);
        assert_int_equal(stun_build_end(&w), ERR_OK);
        come_in(world, &d->to, &d->from, answer, w.len);
        return;
    }
    if (world->server == SERVER_FOREIGN) {
        /* Understands nothing and minds nothing. */
        assert_int_equal(stun_parse(d->data, d->len, &m), ERR_OK);
        writer_init(&w, answer, sizeof answer);
        stun_build_begin(&w, STUN_SUCCESS, STUN_BINDING, m.transaction_id);
        stun_build_xor_mapped(&w, &d->from);
        const struct endpoint other = sim_endpoint("203.0.113.201:4501");
        stun_build_other_address(&w, &other);
        assert_int_equal(stun_build_end(&w), ERR_OK);
        come_in(world, &d->to, &d->from, answer, w.len);
        return;
    }
    server.other.port = server.at.port == 4500 ? 4501 : 4500;
    if (world->server == SERVER_FULL)
        server.other.address.bytes[3] ^= 1;
    if (world->server == SERVER_PLAIN || world->server == SERVER_OLD)
        server = (struct binding_server){.at = d->to};
    writer_init(&w, answer, sizeof answer);
    if (binding_discover(d->data, d->len, &d->from, &server, &w, &route) != ERR_OK)
        return;
    assert_true(w.len <= d->len || world->server == SERVER_OLD);
    const struct endpoint from = {route.change_address ? server.other.address : server.at.address,
                                  route.change_port ? server.other.port : server.at.port};
    const struct endpoint to = {d->from.address, route.port != 0 ? route.port : d->from.port};
    if (world->is_alternate_blocked && from.port != 4500)
        return;
    come_in(world, &from, &to, answer, w.len);
}

static void send_all(struct world *world)
{
    uint8_t data[BEHAVIOUR_DATAGRAM_CAP];
    struct endpoint to;
    struct writer w;
    unsigned socket;
    writer_init(&w, data, sizeof data);
    while (behaviour_transmit(world->behaviour, &w, &socket, &to, world->now_us) == ERR_OK) {
        assert_true(socket < behaviour_socket_count(world->config.lifetime_us));
        go_out(world, socket, &to, data, w.len);
        writer_init(&w, data, sizeof data);
    }
}

/* Runs to the end and returns how long it took. */
static uint64_t run(struct world *world, struct behaviour_result *ret_result)
{
    const uint64_t start_us = world->now_us;
    assert_int_equal(behaviour_new(&world->config, world->now_us, &world->behaviour), ERR_OK);
    while (!behaviour_is_done(world->behaviour)) {
        send_all(world);
        if (behaviour_is_done(world->behaviour))
            break;
        uint64_t at_us = behaviour_deadline(world->behaviour);
        size_t next = world->queue_count;
        for (size_t i = 0; i < world->queue_count; i++) {
            if (world->queue[i].at_us <= at_us &&
                (next == world->queue_count || world->queue[i].at_us < world->queue[next].at_us))
                next = i;
        }
        if (next == world->queue_count) {
            assert_true(at_us != DEADLINE_NEVER);
            assert_true(at_us >= world->now_us);
            world->now_us = at_us;
            behaviour_expire(world->behaviour, world->now_us);
            continue;
        }
        const struct datagram d = world->queue[next];
        /* In order: what was sent first arrives first. */
        memmove(&world->queue[next], &world->queue[next + 1],
                (--world->queue_count - next) * sizeof d);
        world->now_us = d.at_us;
        if (d.socket < 0)
            serve(world, &d);
        else {
            const int error = behaviour_receive(world->behaviour, (unsigned)d.socket, d.data, d.len,
                                                &d.from, world->now_us);
            assert_true(error == ERR_OK || error == ERR_NOT_FOUND);
        }
        assert_true(world->now_us - start_us < 600 * SECOND_US);
    }
    behaviour_get_result(world->behaviour, ret_result);
    behaviour_free(world->behaviour);
    return world->now_us - start_us;
}

static const enum behaviour_kind kinds[] = {BEHAVIOUR_ENDPOINT_INDEPENDENT,
                                            BEHAVIOUR_ADDRESS_DEPENDENT,
                                            BEHAVIOUR_ADDRESS_AND_PORT_DEPENDENT};

static struct world world; /* too large for a stack under sanitizers */

static void test_every_nat(void **state)
{
    for (int i = 0; i < 3 * 3 * 3 * 2; i++) {
        struct behaviour_result r;
        setup(&world);
        world.mapping = i % 3;
        world.filtering = i / 3 % 3;
        world.ports = i / 9 % 3;
        world.has_hairpin = i / 27;
        assert_true(run(&world, &r) < 8 * SECOND_US);
        assert_true(r.is_udp_open && r.has_alternate_port && r.has_alternate_address);
        assert_true(r.is_alternate_open);
        assert_int_equal(r.mapping, kinds[world.mapping]);
        assert_int_equal(r.filtering, kinds[world.filtering]);
        if (world.ports == PORTS_PRESERVE && world.mapping == SCOPE_ANY)
            assert_int_equal(r.ports, BEHAVIOUR_PORTS_PRESERVED);
        else if (world.ports == PORTS_RANDOM)
            assert_int_equal(r.ports, BEHAVIOUR_PORTS_RANDOM);
        else
            assert_int_equal(r.ports, BEHAVIOUR_PORTS_SEQUENTIAL);
        if (r.ports == BEHAVIOUR_PORTS_SEQUENTIAL)
            assert_int_equal(r.port_step, 1);
        /* With other mappings the two sockets miss each other. */
        if (world.mapping == SCOPE_ANY || !world.has_hairpin)
            assert_int_equal(r.hairpin, world.has_hairpin ? BEHAVIOUR_YES : BEHAVIOUR_NO);
        assert_int_equal(r.round_trip_us, 20 * MS_US);
        assert_int_equal(r.mtu, 1500);
        assert_false(r.is_lifetime_known);
        assert_true(address_is_equal(&r.mapped.address, &world.outer.address));
    }
}

/* Found out before the host has sent anything to the other address; a brief run takes little time
 * for it. */
static void test_common_filter(void **state)
{
    for (int i = 0; i < 18; i++) {
        struct behaviour_result r;
        setup(&world);
        world.is_filter_common = true;
        world.mapping = i % 3;
        world.filtering = i / 3 % 3;
        world.config.is_brief = i / 9;
        const uint64_t took_us = run(&world, &r);
        if (world.config.is_brief) /* a call may be waiting for it */
            assert_true(took_us < 400 * MS_US);
        assert_int_equal(r.mapping, kinds[world.mapping]);
        assert_int_equal(r.filtering, kinds[world.filtering]);
    }
}

/* In a brief run a filter's silence is soon believed; but not where an answer comes all the same.
 */
static void test_late_answers(void **state)
{
    static const struct {
        unsigned late_ms;
        enum behaviour_kind filtering;
    } cases[] = {{200, BEHAVIOUR_ENDPOINT_INDEPENDENT}, {285, BEHAVIOUR_UNKNOWN}};
    for (size_t i = 0; i < 2; i++) {
        struct behaviour_result r;
        setup(&world);
        world.config.is_brief = true;
        world.filtering = SCOPE_ANY;
        world.late_us = cases[i].late_ms * MS_US;
        (void)run(&world, &r);
        assert_int_equal(r.filtering, cases[i].filtering);
    }
}

/* A translator (NAT64) stands between: what the server calls its other address is reached through
 * it, too, and through nothing else. */
static void test_translator(void **state)
{
    const struct endpoint outer = sim_endpoint("198.51.100.7:20000");
    const struct endpoint other = sim_endpoint("203.0.113.201:4501");
    const struct endpoint reached = sim_endpoint("[64:ff9b::cb00:71c9]:4501");
    uint8_t request[BEHAVIOUR_DATAGRAM_CAP], answer[200];
    struct stun_message m;
    struct writer w;
    bool is_asked = false;
    setup(&world);
    world.config.server = sim_endpoint("[64:ff9b::cb00:71c8]:4500");
    assert_int_equal(prefix_parse("64:ff9b::/96", &world.config.nat64.items[0]), ERR_OK);
    world.config.nat64.count = 1;
    world.config.is_brief = true;
    assert_int_equal(behaviour_new(&world.config, 1, &world.behaviour), ERR_OK);
    for (uint64_t now_us = 1; !behaviour_is_done(world.behaviour);) {
        struct endpoint to;
        unsigned socket;
        writer_init(&w, request, sizeof request);
        if (behaviour_transmit(world.behaviour, &w, &socket, &to, now_us) != ERR_OK) {
            now_us = behaviour_deadline(world.behaviour);
            behaviour_expire(world.behaviour, now_us);
            continue;
        }
        assert_int_equal(stun_parse(request, w.len, &m), ERR_OK);
        is_asked = is_asked || endpoint_is_equal(&to, &reached);
        if (!endpoint_is_equal(&to, &world.config.server)) {
            assert_true(address_is_equal(&to.address, &reached.address));
            continue;
        }
        writer_init(&w, answer, sizeof answer);
        stun_build_begin(&w, STUN_SUCCESS, STUN_BINDING, m.transaction_id);
        stun_build_xor_mapped(&w, &outer);
        stun_build_other_address(&w, &other);
        assert_int_equal(stun_build_end(&w), ERR_OK);
        (void)!behaviour_receive(world.behaviour, socket, answer, w.len, &to, now_us);
    }
    assert_true(is_asked);
    behaviour_free(world.behaviour);
}

/* One address tells less, and never more than it knows. */
static void test_one_address(void **state)
{
    for (int i = 0; i < 9; i++) {
        struct behaviour_result r;
        setup(&world);
        world.server = SERVER_TWO_PORTS;
        world.mapping = i % 3;
        world.filtering = i / 3;
        (void)run(&world, &r);
        assert_true(r.has_alternate_port && !r.has_alternate_address);
        assert_int_equal(r.mapping, world.mapping == SCOPE_BOTH
                                        ? BEHAVIOUR_ADDRESS_AND_PORT_DEPENDENT
                                        : BEHAVIOUR_NOT_PORT_DEPENDENT);
        assert_int_equal(r.filtering, world.filtering == SCOPE_BOTH
                                          ? BEHAVIOUR_ADDRESS_AND_PORT_DEPENDENT
                                          : BEHAVIOUR_NOT_PORT_DEPENDENT);
        assert_int_equal(r.mtu, 1500);
    }
}

static void test_public_host(void **state)
{
    for (int i = 0; i < 3; i++) {
        struct behaviour_result r;
        setup(&world);
        world.has_nat = false;
        world.filtering = i;
        (void)run(&world, &r);
        assert_int_equal(r.mapping, BEHAVIOUR_NONE);
        assert_int_equal(r.filtering, kinds[i]);
        assert_int_equal(r.ports, BEHAVIOUR_PORTS_PRESERVED);
        assert_int_equal(r.hairpin, BEHAVIOUR_ANSWER_UNKNOWN);
    }
}

static void test_blocked(void **state)
{
    struct behaviour_result r;
    setup(&world);
    world.is_blocked = true;
    world.config.lifetime_us = 30 * SECOND_US;
    assert_true(run(&world, &r) <= 5 * SECOND_US);
    assert_false(r.is_udp_open);
    assert_int_equal(r.mapping, BEHAVIOUR_UNKNOWN);
    assert_int_equal(r.filtering, BEHAVIOUR_UNKNOWN);
    assert_int_equal(r.mtu, 0);
    assert_int_equal(world.sent, BEHAVIOUR_SOCKETS * BEHAVIOUR_TRIES);
}

/* A firewall before the connector's second port is not the NAT's filter. */
static void test_alternate_blocked(void **state)
{
    struct behaviour_result r;
    setup(&world);
    world.is_alternate_blocked = true;
    (void)run(&world, &r);
    assert_true(r.is_udp_open && r.has_alternate_port && !r.is_alternate_open);
    assert_int_equal(r.mapping, BEHAVIOUR_UNKNOWN);
    assert_int_equal(r.filtering, BEHAVIOUR_UNKNOWN);
}

/* A server without RFC 5780, and one that claims it and ignores what it is asked for. */
static void test_plain_server(void **state)
{
    struct behaviour_result r;
    setup(&world);
    world.server = SERVER_PLAIN;
    world.config.lifetime_us = 30 * SECOND_US;
    (void)run(&world, &r);
    assert_true(r.is_udp_open && !r.has_alternate_port);
    assert_int_equal(r.mapping, BEHAVIOUR_UNKNOWN);
    assert_int_equal(r.mtu, 1500);

    setup(&world);
    world.server = SERVER_OLD;
    (void)run(&world, &r);
    assert_true(r.is_udp_open && !r.has_alternate_port);
    assert_true(address_is_equal(&r.mapped.address, &world.outer.address));
    assert_int_equal(r.mapping, BEHAVIOUR_UNKNOWN);
    assert_int_equal(r.ports, BEHAVIOUR_PORTS_PRESERVED);
    assert_int_equal(r.mtu, 0);

    setup(&world);
    world.server = SERVER_FOREIGN;
    (void)run(&world, &r);
    assert_int_equal(r.filtering, BEHAVIOUR_UNKNOWN);
    assert_int_equal(r.mapping, BEHAVIOUR_ENDPOINT_INDEPENDENT);
}

static void test_loss(void **state)
{
    unsigned wrong = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct behaviour_result r;
        setup(&world);
        world.random = seed;
        world.loss = 10;
        world.mapping = seed % 3;
        world.filtering = seed / 3 % 3;
        (void)run(&world, &r);
        assert_true(r.is_udp_open);
        wrong += r.mapping != kinds[world.mapping] || r.filtering != kinds[world.filtering];
        assert_true(world.sent < 160);
    }
    assert_in_range(wrong, 0, 6);
}

static void test_mtu(void **state)
{
    for (size_t mtu = 576; mtu <= 1500; mtu += 11) {
        struct behaviour_result r;
        setup(&world);
        world.mtu = mtu;
        (void)run(&world, &r);
        assert_int_equal(r.mtu, mtu - mtu % 4);
    }
    struct behaviour_result r;
    setup(&world);
    world.config.mtu = 1281; /* the host's own */
    (void)run(&world, &r);
    assert_int_equal(r.mtu, 1280);
}

static void test_lifetime(void **state)
{
    static const struct {
        unsigned lifetime_s, wanted_s, min_s, max_s;
    } cases[] = {{30, 300, 20, 30}, {25, 300, 20, 30}, {120, 300, 90, 120}, {7, 60, 5, 10},
                 {3, 60, 0, 5},     {400, 60, 60, 0},  {400, 300, 300, 0},  {10, 2, 2, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct behaviour_result r;
        setup(&world);
        world.lifetime_us = cases[i].lifetime_s * SECOND_US;
        world.config.lifetime_us = cases[i].wanted_s * SECOND_US;
        const uint64_t took_us = run(&world, &r);
        assert_true(r.is_lifetime_known);
        assert_int_equal(r.lifetime_min_us, cases[i].min_s * SECOND_US);
        assert_int_equal(r.lifetime_max_us, cases[i].max_s * SECOND_US);
        /* It ends with the first dead mapping. */
        const unsigned last_s = cases[i].max_s != 0 ? cases[i].max_s : cases[i].min_s;
        assert_true(took_us < (last_s + 9) * SECOND_US);
        assert_int_equal(r.mapping, BEHAVIOUR_ENDPOINT_INDEPENDENT);
    }
}

/* Sequential ports with other hosts' mappings in between. */
static void test_port_steps(void **state)
{
    struct behaviour_result r;
    setup(&world);
    world.ports = PORTS_SEQUENTIAL;
    world.mapping = SCOPE_BOTH;
    world.port_gap = 2;
    (void)run(&world, &r);
    assert_int_equal(r.ports, BEHAVIOUR_PORTS_SEQUENTIAL);
    assert_int_equal(r.port_step, 2);
}

/* Nobody off the way can answer: every wrong source, socket, transaction and content is dropped. */
static void test_forged(void **state)
{
    static const char *const bad_addresses[] = {"127.0.0.1:4501", "224.0.0.1:4501", "10.9.0.1:4501",
                                                "203.0.113.200:4501", "203.0.113.201:4500"};
    uint8_t request[BEHAVIOUR_DATAGRAM_CAP], answer[BINDING_DISCOVERY_CAP];
    const struct endpoint server = sim_endpoint("203.0.113.200:4500"),
                          other = sim_endpoint("203.0.113.201:4501"),
                          outer = sim_endpoint("198.51.100.7:5");
    const struct prefix pool = {sim_endpoint("10.0.0.0:1").address, 8};
    struct stun_message m;
    struct behaviour_result r;
    struct endpoint to;
    struct writer w;
    unsigned socket;
    for (size_t i = 0; i < sizeof bad_addresses / sizeof bad_addresses[0]; i++) {
        const struct endpoint bad = sim_endpoint(bad_addresses[i]);
        setup(&world);
        world.config.pool = &pool;
        assert_int_equal(behaviour_new(&world.config, 1, &world.behaviour), ERR_OK);
        for (;;) {
            writer_init(&w, request, sizeof request);
            if (behaviour_transmit(world.behaviour, &w, &socket, &to, 1) != ERR_OK)
                break;
            if (endpoint_is_equal(&to, &outer))
                continue;                                 /* hairpin */
            assert_true(endpoint_is_equal(&to, &server)); /* never elsewhere */
            assert_int_equal(stun_parse(request, w.len, &m), ERR_OK);
            writer_init(&w, answer, sizeof answer);
            stun_build_begin(&w, STUN_SUCCESS, STUN_BINDING, m.transaction_id);
            stun_build_xor_mapped(&w, &outer);
            stun_build_other_address(&w, &bad);
            assert_int_equal(stun_build_end(&w), ERR_OK);
            for (size_t cut = 0; cut < w.len; cut++)
                assert_int_not_equal(
                    behaviour_receive(world.behaviour, socket, answer, cut, &server, 2), ERR_OK);
            for (size_t at = 8; at < STUN_HEADER_LEN; at++) {
                answer[at] ^= 1;
                assert_int_equal(
                    behaviour_receive(world.behaviour, socket, answer, w.len, &server, 2),
                    ERR_NOT_FOUND);
                answer[at] ^= 1;
            }
            assert_int_equal(behaviour_receive(world.behaviour, socket, answer, w.len, &other, 2),
                             ERR_NOT_FOUND);
            assert_int_equal(
                behaviour_receive(world.behaviour, socket + 1, answer, w.len, &server, 2),
                ERR_NOT_FOUND);
            assert_int_equal(behaviour_receive(world.behaviour, socket, answer, w.len, &server, 2),
                             ERR_OK);
            assert_int_equal(behaviour_receive(world.behaviour, socket, answer, w.len, &server, 2),
                             ERR_NOT_FOUND);
        }
        behaviour_get_result(world.behaviour, &r);
        assert_true(r.is_udp_open && !r.has_alternate_port);
        behaviour_free(world.behaviour);
    }
}

static void test_bad_config(void **state)
{
    setup(&world);
    world.config.server.port = 0;
    assert_int_equal(behaviour_new(&world.config, 1, &world.behaviour), ERR_INVALID);
    setup(&world);
    world.config.local_count = BEHAVIOUR_LOCALS_MAX + 1;
    assert_int_equal(behaviour_new(&world.config, 1, &world.behaviour), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_nat),    cmocka_unit_test(test_common_filter),
        cmocka_unit_test(test_one_address),  cmocka_unit_test(test_public_host),
        cmocka_unit_test(test_blocked),      cmocka_unit_test(test_alternate_blocked),
        cmocka_unit_test(test_plain_server), cmocka_unit_test(test_loss),
        cmocka_unit_test(test_mtu),          cmocka_unit_test(test_lifetime),
        cmocka_unit_test(test_port_steps),   cmocka_unit_test(test_forged),
        cmocka_unit_test(test_bad_config),   cmocka_unit_test(test_late_answers),
        cmocka_unit_test(test_translator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
