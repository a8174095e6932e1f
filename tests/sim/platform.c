/* What the kernel is to a daemon, in the simulated world: clocks, sockets, routes, timers, state
 * files, policy. These functions take the place of src/io's and of a few of src/host's at link
 * time. */
#include "host/depth.h"
#include "host/task.h"
#include "io/clock.h"
#include "io/route.h"
#include "io/tun.h"
#include "io/udp.h"
#include "names/pool.h"
#include "names/state.h"
#include "names/trust.h"
#include "sim.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WALL_START_S 1800000000

/* What daemons log is part of the trace. */
void log_line(enum log_level level, const char *format, ...)
{
    const struct machine *machine = machine_current();
    char text[512];
    va_list arguments;
    if (machine == NULL || !machine->sim->core.has_trace)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    printf("%12.6f  h%d: %s\n", (double)(machine->sim->core.now_us - SIM_START_US) / SECOND_US,
           machine->index, text);
}

/* ---- clocks and timers ---- */

uint64_t clock_now_us(void)
{
    const struct machine *machine = machine_current();
    return machine->sim->core.now_us + machine->offset_us;
}

uint64_t clock_asleep_us(void)
{
    return 0;
}

int64_t clock_wall_seconds(void)
{
    const struct machine *machine = machine_current();
    return WALL_START_S + (int64_t)(machine->sim->core.now_us / SECOND_US) + machine->wall_offset_s;
}

int task_queue_init(struct task_queue *queue, uv_loop_t *loop)
{
    deadline_heap_init(&queue->heap);
    return ERR_OK;
}

void task_queue_close(struct task_queue *queue)
{
}

void task_queue_done(struct task_queue *queue)
{
    deadline_heap_done(&queue->heap);
}

void task_set(struct task_queue *queue, struct task *task, uint64_t at_us)
{
    if (deadline_set(&queue->heap, &task->deadline, at_us) != ERR_OK)
        abort();
}

void task_clear(struct task_queue *queue, struct task *task)
{
    deadline_clear(&queue->heap, &task->deadline);
}

/* ---- sockets ---- */

static const struct address *source_for(const struct link *link, const struct address *to)
{
    const struct address *own = to->family == ADDRESS_IPV6 ? &link->ipv6 : &link->ipv4;
    return link->is_up && own->family == to->family ? own : NULL;
}

static int send_datagram(const struct udp *udp, const struct endpoint *to, int hops,
                         const void *data, size_t len, bool is_opener)
{
    struct machine *machine = machine_current();
    struct sim *sim = machine->sim;
    const struct link *link = &sim->net.links[machine->link];
    const struct address *own = source_for(link, &to->address);
    if (machine->is_dying)
        return ERR_OK;
    traffic_count(sim, machine, udp->port, to, data, len, is_opener);
    if (own == NULL)
        return ERR_IO;
    const struct endpoint src = {*own, udp->port};
    sim_send(sim, machine->link, &src, to, hops, data, len, ORIGIN_HOST);
    return ERR_OK;
}

int udp_open(const struct udp_options *options, struct udp *ret_udp)
{
    struct machine *machine = machine_current();
    for (int i = 0; i < SOCKETS_MAX; i++) {
        if (machine->sockets[i] != NULL)
            continue;
        machine->sockets[i] = sim_new(sizeof(struct sim_socket));
        machine->sockets[i]->port = (uint16_t)rng_between(&machine->sim->core.rng, 33000, 60000);
        *ret_udp = (struct udp){.fd = SOCKET_FD + i, .port = machine->sockets[i]->port};
        return ERR_OK;
    }
    return ERR_LIMIT;
}

void udp_close(struct udp *udp)
{
    if (udp->fd >= 0)
        socket_close(machine_current(), udp->fd);
    udp->fd = -1;
}

int udp_receive_batch(struct udp *udp, struct packet **packets, unsigned count, unsigned *ret_count)
{
    struct sim_socket *socket = socket_find(machine_current(), udp->fd);
    unsigned taken = 0;
    while (socket != NULL && taken < count && socket_take(socket, packets[taken]) == ERR_OK)
        taken++;
    if (taken == 0)
        return ERR_AGAIN;
    *ret_count = taken;
    return ERR_OK;
}

/* Routers here drop what is too long, and say nothing. */
int udp_receive_too_big(struct udp *udp, struct udp_too_big *ret_too_big)
{
    return ERR_AGAIN;
}

int udp_send(struct udp *udp, const struct endpoint *to, uint8_t tos, const void *data, size_t len)
{
    return send_datagram(udp, to, -1, data, len, false);
}

int udp_send_batch(struct udp *udp, struct packet *const *packets, unsigned count,
                   int8_t *ret_results)
{
    int error = ERR_OK;
    for (unsigned i = 0; i < count; i++) {
        ret_results[i] = (int8_t)udp_send(udp, &packets[i]->peer, packets[i]->tos, packets[i]->data,
                                          packets[i]->len);
        if (error == ERR_OK)
            error = ret_results[i];
    }
    return error;
}

int udp_send_opener(struct udp *udp, const struct endpoint *to, unsigned depth, const void *data,
                    size_t len)
{
    if (to->address.family != ADDRESS_IPV4 || depth == 0 || depth > UDP_OPENER_DEPTH_MAX)
        return ERR_INVALID;
    return send_datagram(udp, to, (int)depth, data, len, true);
}

int udp_send_ttl(struct udp *udp, const struct endpoint *to, uint8_t ttl, const void *data,
                 size_t len)
{
    if (to->address.family != ADDRESS_IPV4 || ttl == 0)
        return ERR_INVALID;
    return send_datagram(udp, to, ttl - 1, data, len, true);
}

int udp_path_mtu(const struct udp *udp, const struct endpoint *to, uint32_t *ret_mtu)
{
    *ret_mtu = 1500;
    return ERR_OK;
}

int route_lookup(struct netlink *nl, const struct address *to, uint32_t mark,
                 struct route_lookup *ret_lookup)
{
    const struct machine *machine = machine_current();
    const struct address *own = source_for(&machine->sim->net.links[machine->link], to);
    *ret_lookup = (struct route_lookup){.is_unreachable = own == NULL};
    if (own != NULL)
        ret_lookup->source = *own;
    return ERR_OK;
}

/* What the daemon tells the local stack itself: ICMP errors. */
int tun_write(const struct tun *tun, const struct packet *packet)
{
    traffic_take(machine_current(), packet->data, packet->len);
    return ERR_OK;
}

/* ---- what is asked of the network ---- */

void depth_measure(struct host *host, const struct address *towards, uint64_t now_us)
{
    host->depth.was_measured = true;
}

unsigned depth_get(struct host *host)
{
    const struct machine *machine = machine_current();
    const struct net *net = &machine->sim->net;
    const unsigned depth = net_depth(net, net->links[machine->link].realm);
    return depth > 0 ? depth : 1;
}

void depth_stop(struct host *host)
{
}

/* ---- state files, and the policy ---- */

int state_save_pool(struct host *host)
{
    struct machine *machine = machine_current();
    free(machine->pool_text);
    machine->pool_text = NULL;
    return pool_save(host->pool, &machine->pool_text, &machine->pool_len);
}

int state_save_trust(struct host *host)
{
    struct machine *machine = machine_current();
    free(machine->trust_text);
    machine->trust_text = NULL;
    return trust_save(host->trust, &machine->trust_text, &machine->trust_len);
}

/* Into the text, as into a file. */
static bool add_record(char *text, size_t len, const char record[STATE_RECORD_LEN], size_t at)
{
    if (text == NULL || at > len || STATE_RECORD_LEN > len - at)
        abort();
    memcpy(text + at, record, STATE_RECORD_LEN);
    return true;
}

int state_save_address(struct host *host, const char *name)
{
    struct machine *machine = machine_current();
    char record[STATE_RECORD_LEN];
    size_t at;
    return pool_save_new(host->pool, name, record, &at) == ERR_OK &&
                   add_record(machine->pool_text, machine->pool_len, record, at)
               ? ERR_OK
               : state_save_pool(host);
}

int state_save_pin(struct host *host, enum trust_kind kind, const char *name)
{
    struct machine *machine = machine_current();
    char record[STATE_RECORD_LEN];
    size_t at;
    return trust_save_new(host->trust, kind, name, record, &at) == ERR_OK &&
                   add_record(machine->trust_text, machine->trust_len, record, at)
               ? ERR_OK
               : state_save_trust(host);
}

void state_keep(struct host *host)
{
}

int state_load(struct host *host)
{
    struct machine *machine = machine_current();
    struct state_damage damage;
    uint8_t seed[16] = {(uint8_t)machine->index};
    int error = pool_new(&host->config.pool, seed, &host->pool);
    if (error == ERR_OK)
        error = trust_new(host->seed, &host->trust);
    if (error == ERR_OK && machine->pool_text != NULL)
        error = pool_load(host->pool, machine->pool_text, machine->pool_len, &damage);
    if (error == ERR_OK && machine->trust_text != NULL)
        error = trust_load(host->trust, machine->trust_text, machine->trust_len, &damage);
    if (error == ERR_OK)
        error = trust_set_configuration(host->trust, TRUST_CONNECTOR, host->config.zone,
                                        &host->config.connector_key);
    return error;
}

/* The kernel's policy takes everything: whether somebody may call is asked before. */
bool access_may_call(const struct host *host, const char *name, bool is_static)
{
    struct allow_verdict *verdict = sim_new(sizeof(*verdict));
    allow_decide(&host->allow, name, is_static, host->config.zone, verdict);
    const bool is_allowed = verdict->is_allowed;
    free(verdict);
    return is_allowed;
}

int access_open(struct host *host, const char *name, bool is_static, const struct address *peer)
{
    return ERR_OK;
}

void access_close(struct host *host, const struct address *peer)
{
}
