/* A host's daemon in the simulated world: made and ended as src/host/bringup.c does it, with the
 * parts that configure a kernel left out. */
#include "host/bringup.h"
#include "host/call_internal.h"
#include "host/claim.h"
#include "host/datapath_internal.h"
#include "host/engines.h"
#include "host/mobility.h"
#include "host/peer.h"
#include "host/session.h"
#include "hub.h"
#include "pipe.h"
#include "sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASKS_MAX 100 /* in a row: one that comes back at once shall be seen by the main loop */

static struct machine *current;

struct machine *machine_current(void)
{
    return current;
}

struct machine *machine_enter(struct machine *machine)
{
    struct machine *before = current;
    current = machine;
    return before;
}

void machine_leave(struct machine *before)
{
    current = before;
}

struct machine *machine_add(struct sim *sim, int link)
{
    struct identity *identity;
    struct machine *machine = &sim->machines[sim->machine_count];
    machine->sim = sim;
    machine->index = (int)sim->machine_count;
    machine->link = link;
    machine->offset_us = rng_below(&sim->core.rng, 1000 * SECOND_US);
    snprintf(machine->name, sizeof(machine->name), "h%zu.%s", sim->machine_count, SIM_ZONE);
    if (identity_generate(&identity) != ERR_OK ||
        identity_to_pem(identity, machine->pem, sizeof(machine->pem)) < 0)
        abort();
    machine->key = *identity_public(identity);
    identity_free(identity);
    sim->machine_count++;
    return machine;
}

static void configure(const struct machine *machine, struct host_config *config)
{
    const struct sim *sim = machine->sim;
    const struct habits *habits = &machine->habits;
    *config = (struct host_config){
        .file = "detec.conf",
        .zone = SIM_ZONE,
        .has_connector_key = true,
        .connector_key = *hub_key(sim->hub),
        .port = SIM_PORT,
        .pool = {.address = address_from_ipv4(0), .bits = 8},
        .dns = DNS_MODE_OFF,
        .relay = habits->is_relay_forced ? RELAY_MODE_ALWAYS : RELAY_MODE_YES,
        .has_birthday = habits->has_birthday,
        .idle_us = habits->idle_us,
        .attempt_us = 5 * SECOND_US,
        .keepalive_us = 20 * SECOND_US,
        .rekey_us = habits->rekey_us,
        .mtu = 1500,
        .suites = {habits->is_paper_first ? SPUT_PAPER : SPUT_AES128_GCM,
                   habits->is_paper_first ? SPUT_AES128_GCM : SPUT_PAPER},
        .suite_count = 2,
        .accept = TRUST_LEVEL_CONNECTOR,
    };
    strcpy(config->name, machine->name);
    for (size_t i = 0; i < sim->machine_count; i++) {
        if (i == (size_t)machine->index || machine->blocks & 1u << i)
            continue;
        snprintf(config->allow[config->allow_count++], HOST_RULE_CAP, "%s", sim->machines[i].name);
    }
    if (config->allow_count == 0)
        strcpy(config->allow[config->allow_count++], "nobody");
}

static void refresh_locals(struct machine *machine)
{
    const struct link *link = &machine->sim->net.links[machine->link];
    struct host *host = machine->host;
    host->local_count = 0;
    if (!link->is_up)
        return;
    if (link->ipv4.family != ADDRESS_NONE) {
        struct prefix subnet = {.address = link->ipv4, .bits = 24};
        subnet.address.bytes[3] = 0;
        host->subnets[host->local_count] = subnet;
        host->locals[host->local_count++] = link->ipv4;
    }
    if (link->ipv6.family != ADDRESS_NONE) {
        struct prefix subnet = {.address = link->ipv6, .bits = 64};
        memset(subnet.address.bytes + 8, 0, 8);
        host->subnets[host->local_count] = subnet;
        host->locals[host->local_count++] = link->ipv6;
    }
}

void machine_start(struct machine *machine)
{
    struct host *host = sim_new(sizeof(*host));
    struct machine *before = machine_enter(machine);
    core_trace(&machine->sim->core, "%s starts", machine->name);
    machine->host = host;
    machine->is_dying = machine->is_lost = false;
    configure(machine, &host->config);
    host->udp.fd = host->tun.fd = host->monitor.fd = host->watchdog.fd = -1;
    host->udp.port = host->config.port;
    if (identity_from_pem(machine->pem, strlen(machine->pem), &host->identity) != ERR_OK ||
        task_queue_init(&host->tasks, &host->loop) != ERR_OK || engines_open(host) != ERR_OK)
        abort();
    const struct datapath_config config = {.tun = &host->tun,
                                           .udp = &host->udp,
                                           .tunnels = host->tunnels,
                                           .pool = host->config.pool,
                                           .own = host->own};
    if (datapath_start(&config, &host->datapath) != ERR_OK)
        abort();
    refresh_locals(machine);
    strcpy(host->name, host->config.name);
    if (session_start_own(host) != ERR_OK)
        abort();
    machine_settle(machine);
    machine_leave(before);
}

static void free_host(struct machine *machine)
{
    struct host *host = machine->host;
    peers_free(host);
    keeper_stop(host);
    nat_free(host);
    sockets_close(host);
    sessions_free(host);
    uv_flush(machine);
    if (host->stream_count != 0)
        core_break(&machine->sim->core, "%s has lost %zu connections", machine->name,
                   host->stream_count);
    datapath_stop(host->datapath);
    engines_close(host);
    identity_free(host->identity);
    task_queue_done(&host->tasks);
    for (int i = 0; i < SOCKETS_MAX; i++)
        socket_close(machine, SOCKET_FD + i);
    free(host);
    machine->host = NULL;
}

void machine_crash(struct machine *machine, bool is_machine_lost)
{
    if (machine->host == NULL)
        return;
    struct machine *before = machine_enter(machine);
    core_trace(&machine->sim->core, "%s %s", machine->name,
               is_machine_lost ? "loses power" : "crashes");
    machine->is_dying = true;
    machine->is_lost = is_machine_lost;
    free_host(machine);
    machine_leave(before);
}

void machine_stop(struct machine *machine)
{
    if (machine->host == NULL)
        return;
    struct machine *before = machine_enter(machine);
    const uint64_t now_us = machine->sim->core.now_us + machine->offset_us;
    core_trace(&machine->sim->core, "%s stops", machine->name);
    machine->host->is_stopping = true;
    peers_close(machine->host, now_us);
    sessions_close(machine->host, now_us);
    machine_settle(machine);
    machine_leave(before);
}

/* Those at rest are silent, and go with their table. */
static unsigned count_awake(struct ike_table *table)
{
    unsigned count = 0;
    for (struct ike_sa *sa = NULL; (sa = ike_table_walk(table, sa)) != NULL;)
        count += !ike_sa_is_resting(sa);
    return count;
}

void machine_finish(struct machine *machine)
{
    struct host *host = machine->host;
    struct core *core = &machine->sim->core;
    if (host == NULL)
        return;
    struct machine *before = machine_enter(machine);
    if (count_awake(host->ike) != 0 || ike_table_count(host->ike_tcp) != 0)
        core_break(core, "%s has %u IKE SAs left with hosts, %u with connectors", machine->name,
                   count_awake(host->ike), ike_table_count(host->ike_tcp));
    if (punch_table_count(host->punches) != 0)
        core_break(core, "%s has %zu punches left", machine->name,
                   punch_table_count(host->punches));
    if (host->call_count != 0 || host->calls_by_number.count != 0)
        core_break(core, "%s has %zu calls left", machine->name, host->call_count);
    for (struct map_node *node = NULL; (node = map_walk(&host->peers_by_name, node)) != NULL;) {
        const struct peer *peer = CONTAINER_OF(node, struct peer, by_name);
        if (peer->tunnel != NULL || peer->sa != NULL || peer->call != NULL)
            core_break(core, "%s has something left of %s", machine->name, peer->name);
    }
    machine->is_dying = true;
    free_host(machine);
    machine_leave(before);
}

void machine_on_network(struct machine *machine)
{
    struct host *host = machine->host;
    if (host == NULL || machine->is_asleep)
        return;
    struct machine *before = machine_enter(machine);
    const uint64_t now_us = machine->sim->core.now_us + machine->offset_us;
    refresh_locals(machine);
    sessions_on_addresses(host, now_us);
    mobility_on_network(host, now_us);
    machine_settle(machine);
    machine_leave(before);
}

void machine_sleep(struct machine *machine)
{
    machine->is_asleep = true;
    machine->slept_us = machine->sim->core.now_us;
}

void machine_wake(struct machine *machine)
{
    const uint64_t for_us = machine->sim->core.now_us - machine->slept_us;
    struct host *host = machine->host;
    machine->is_asleep = false;
    if (host != NULL && for_us > TASK_LATE_US) {
        struct machine *before = machine_enter(machine);
        mobility_on_late(&host->tasks, for_us, machine->sim->core.now_us + machine->offset_us);
        machine_settle(machine);
        machine_leave(before);
    }
    machine_on_network(machine); /* the link comes up again */
}

uint64_t machine_next_us(const struct machine *machine)
{
    const struct sim *sim = machine->sim;
    if (machine->host == NULL || machine->is_asleep)
        return DEADLINE_NEVER;
    const uint64_t next_us = deadline_heap_next(&machine->host->tasks.heap);
    if (next_us == DEADLINE_NEVER)
        return DEADLINE_NEVER;
    return next_us - machine->offset_us > sim->core.now_us ? next_us - machine->offset_us
                                                           : sim->core.now_us;
}

void machine_run_tasks(struct machine *machine)
{
    const uint64_t now_us = machine->sim->core.now_us + machine->offset_us;
    struct machine *before = machine_enter(machine);
    struct deadline *due;
    for (unsigned i = 0; i < TASKS_MAX; i++) {
        if ((due = deadline_heap_pop(&machine->host->tasks.heap, now_us)) == NULL)
            break;
        struct task *task = CONTAINER_OF(due, struct task, deadline);
        task->run(task, now_us);
    }
    machine_settle(machine);
    machine_leave(before);
}

/* Whoever watches the socket reads it now. */
static void take_extra(struct machine *machine, const struct endpoint *from, uint16_t port,
                       const uint8_t *data, size_t len)
{
    struct machine *before = machine_enter(machine);
    for (int i = 0; i < SOCKETS_MAX; i++) {
        struct sim_socket *socket = machine->sockets[i];
        if (socket == NULL || socket->port != port)
            continue;
        socket_put(socket, from, data, len);
        if (socket->poll != NULL)
            socket->on_readable(socket->poll, 0, UV_READABLE);
        break;
    }
    machine_settle(machine);
    machine_leave(before);
}

void machine_take_datagram(struct machine *machine, const struct endpoint *from, uint16_t port,
                           const uint8_t *data, size_t len)
{
    struct datapath *dp = machine->host->datapath;
    if (port != SIM_PORT) {
        take_extra(machine, from, port, data, len);
        return;
    }
    struct packet *packet = packet_take(&dp->pool);
    if (packet == NULL)
        return;
    if (len > packet_tailroom(packet)) {
        packet_give_back(&dp->pool, packet);
        return;
    }
    struct machine *before = machine_enter(machine);
    memcpy(packet->data, data, len);
    packet->len = (uint32_t)len;
    packet->peer = *from;
    dp->now_us = machine->sim->core.now_us + machine->offset_us;
    sput_batch_foresee(dp->tags, dp->config.tunnels, &packet, 1);
    inbound(dp, packet);
    machine_settle(machine);
    machine_leave(before);
}

void machine_send_packet(struct machine *machine, const uint8_t *data, size_t len)
{
    struct datapath *dp = machine->host->datapath;
    struct packet *packet = packet_take(&dp->pool);
    struct machine *before = machine_enter(machine);
    if (packet != NULL) {
        memcpy(packet->data, data, len);
        packet->len = (uint32_t)len;
        dp->now_us = machine->sim->core.now_us + machine->offset_us;
        outbound(dp, packet);
    }
    machine_settle(machine);
    machine_leave(before);
}

bool machine_find_peer(struct machine *machine, const struct machine *other,
                       struct address *ret_address)
{
    struct peer *peer;
    struct machine *before = machine_enter(machine);
    const bool is_found =
        machine->host != NULL && peer_get(machine->host, other->name, &peer) == ERR_OK;
    if (is_found)
        *ret_address = peer->address;
    machine_leave(before);
    return is_found;
}

struct peer *machine_peer(const struct machine *machine, const struct machine *other)
{
    struct peer *peer =
        machine->host != NULL ? peer_find_by_name(machine->host, other->name) : NULL;
    return peer != NULL && peer->tunnel != NULL ? peer : NULL;
}

static uint64_t heard(struct ike_table *table)
{
    uint64_t sum = 0;
    for (struct ike_sa *sa = NULL; (sa = ike_table_walk(table, sa)) != NULL;)
        sum += ike_sa_heard_us(sa);
    return sum;
}

uint64_t machine_belief(const struct machine *machine)
{
    const struct host *host = machine->host;
    uint64_t sum = heard(host->ike); /* connectors speak by TCP */
    for (struct map_node *node = NULL; (node = map_walk(&host->calls_by_number, node)) != NULL;) {
        const struct call *call = CONTAINER_OF(node, struct call, by_number);
        if (call->punch != NULL)
            sum += punch_counters(call->punch)->requests + punch_counters(call->punch)->responses;
    }
    for (struct map_node *node = NULL; (node = map_walk(&host->peers_by_name, node)) != NULL;) {
        const struct peer *peer = CONTAINER_OF(node, struct peer, by_name);
        struct tunnel_status status;
        if (peer->tunnel == NULL)
            continue;
        tunnel_get_status(peer->tunnel, &status);
        sum += status.received_us;
    }
    return sum;
}
