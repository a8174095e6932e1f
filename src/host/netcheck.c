/* Sockets, timer and report of one run. */
#include "host/netcheck.h"

#include "host/host.h"
#include "host/nat.h"
#include "host/portmap.h"
#include "host/session.h"
#include "io/clock.h"
#include "io/route.h"
#include "io/udp.h"
#include <stdlib.h>
#include <string.h>

#define SEEN_MAX      8  /* own public endpoints that are looked at */
#define RECEIVE_TURNS 64 /* datagrams of one socket before the loop's other work gets its turn */

struct netcheck_socket {
    struct netcheck *netcheck;
    struct udp udp;
    uv_poll_t poll;
};

struct netcheck {
    struct host *host;
    struct control_client *client; /* NULL: nobody waits for it */
    struct behaviour *behaviour;
    struct endpoint server;
    struct address source; /* that its datagrams leave from */
    uint64_t login_round_trip_us;
    uint64_t started_us;
    struct task task;
    struct netcheck_socket sockets[BEHAVIOUR_SOCKETS_MAX];
    unsigned socket_count; /* open */
    unsigned handle_count; /* that libuv still holds */
    struct packet packet;
};

/* ---- report ---- */

static json_t *ms_or_null(uint64_t us)
{
    return us > 0 ? json_real((double)us / 1000) : json_null();
}

static json_t *answer_json(enum behaviour_answer answer)
{
    return answer == BEHAVIOUR_ANSWER_UNKNOWN ? json_null() : json_boolean(answer == BEHAVIOUR_YES);
}

static json_t *lifetime_json(const struct behaviour_result *result)
{
    if (!result->is_lifetime_known)
        return json_null();
    return json_pack("{s:f, s:o}", "alive_s", (double)result->lifetime_min_us / 1e6, "dead_s",
                     result->lifetime_max_us > 0 ? json_real((double)result->lifetime_max_us / 1e6)
                                                 : json_null());
}

static void get_result(const struct netcheck *netcheck, struct behaviour_result *ret_result)
{
    behaviour_get_result(netcheck->behaviour, ret_result);
    if (netcheck->source.family == ADDRESS_IPV4)
        ret_result->filtering = nat_correct_filtering(netcheck->host, ret_result->filtering);
}

static json_t *make_report(const struct netcheck *netcheck, uint64_t now_us)
{
    struct behaviour_result r;
    char server[ENDPOINT_TEXT_CAP], mapped[ENDPOINT_TEXT_CAP];
    get_result(netcheck, &r);
    json_t *report =
        json_pack("{s:s, s:b, s:o, s:o, s:o}", "connector",
                  endpoint_format(&netcheck->server, server, sizeof(server)), "is_udp_open",
                  r.is_udp_open, "rtt_ms", ms_or_null(r.round_trip_us), "login_rtt_ms",
                  ms_or_null(netcheck->login_round_trip_us), "public",
                  r.is_udp_open ? json_string(endpoint_format(&r.mapped, mapped, sizeof(mapped)))
                                : json_null());
    json_object_set_new(report, "mapping", json_string(behaviour_kind_text(r.mapping)));
    json_object_set_new(report, "filtering", json_string(behaviour_kind_text(r.filtering)));
    json_object_set_new(report, "ports", json_string(behaviour_ports_text(r.ports)));
    json_object_set_new(report, "port_step",
                        r.ports == BEHAVIOUR_PORTS_SEQUENTIAL ? json_integer(r.port_step)
                                                              : json_null());
    json_object_set_new(report, "hairpin", answer_json(r.hairpin));
    json_object_set_new(report, "mtu", r.mtu > 0 ? json_integer(r.mtu) : json_null());
    json_object_set_new(report, "lifetime", lifetime_json(&r));
    json_object_set_new(report, "port_mapping", portmap_report(netcheck->host->portmap, now_us));
    json_object_set_new(report, "alternate",
                        json_pack("{s:b, s:b, s:b}", "has_port", r.has_alternate_port,
                                  "has_address", r.has_alternate_address, "is_open",
                                  r.is_alternate_open));
    json_object_set_new(report, "took_ms",
                        json_real((double)(now_us - netcheck->started_us) / 1000));
    return report;
}

/* ---- the run ---- */

static void on_closed(uv_handle_t *handle)
{
    struct netcheck_socket *socket = handle->data;
    struct netcheck *netcheck = socket->netcheck;
    if (--netcheck->handle_count == 0)
        free(netcheck);
}

static void end(struct netcheck *netcheck)
{
    netcheck->host->netcheck.running = NULL;
    task_clear(&netcheck->host->tasks, &netcheck->task);
    behaviour_free(netcheck->behaviour);
    netcheck->behaviour = NULL;
    for (unsigned i = 0; i < netcheck->socket_count; i++) {
        uv_poll_stop(&netcheck->sockets[i].poll);
        uv_close((uv_handle_t *)&netcheck->sockets[i].poll, on_closed);
        udp_close(&netcheck->sockets[i].udp);
    }
    if (netcheck->socket_count == 0)
        free(netcheck);
}

static void on_gone(void *context)
{
    end(context);
}

static void finish(struct netcheck *netcheck, uint64_t now_us)
{
    struct control_client *client = netcheck->client;
    struct netcheck_state *state = &netcheck->host->netcheck;
    json_t *report = client != NULL ? make_report(netcheck, now_us) : NULL;
    struct behaviour_result result;
    get_result(netcheck, &result);
    if (result.is_udp_open) {
        state->has_result = true;
        state->result = result;
        state->at_us = now_us;
        keeper_note_lifetime(netcheck->host, &netcheck->source, &result, now_us);
    }
    end(netcheck);
    if (client == NULL)
        return;
    control_finish(client, json_pack("{s:o*}", "netcheck", report));
}

/* Sends what is due, and arms the timer; or ends the run. netcheck may be gone afterwards. */
static void pump(struct netcheck *netcheck, uint64_t now_us)
{
    uint8_t data[BEHAVIOUR_DATAGRAM_CAP];
    struct endpoint to;
    struct writer w;
    unsigned socket;
    for (writer_init(&w, data, sizeof(data));
         behaviour_transmit(netcheck->behaviour, &w, &socket, &to, now_us) == ERR_OK;
         writer_init(&w, data, sizeof(data))) {
        /* What cannot be sent is not answered: that is the result. */
        int error = udp_send(&netcheck->sockets[socket].udp, &to, 0, data, w.len);
        if (error != ERR_OK)
            log_debug("netcheck: datagram not sent: %s", error_text(error));
    }
    if (behaviour_is_done(netcheck->behaviour))
        finish(netcheck, now_us);
    else
        task_set(&netcheck->host->tasks, &netcheck->task, behaviour_deadline(netcheck->behaviour));
}

static void on_task(struct task *task, uint64_t now_us)
{
    struct netcheck *netcheck = CONTAINER_OF(task, struct netcheck, task);
    behaviour_expire(netcheck->behaviour, now_us);
    pump(netcheck, now_us);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct netcheck_socket *socket = poll->data;
    struct netcheck *netcheck = socket->netcheck;
    struct packet *packet = &netcheck->packet;
    unsigned number = (unsigned)(socket - netcheck->sockets), count;
    uint64_t now_us = clock_now_us();
    for (int turn = 0; turn < RECEIVE_TURNS; turn++) {
        packet_reset(packet);
        if (udp_receive_batch(&socket->udp, &packet, 1, &count) != ERR_OK)
            break;
        if (behaviour_receive(netcheck->behaviour, number, packet->data, packet->len, &packet->peer,
                              now_us) != ERR_OK)
            log_debug("netcheck: a datagram that is no answer");
    }
    pump(netcheck, now_us);
}

static int open_sockets(struct netcheck *netcheck, unsigned count)
{
    const struct udp_options options = {.mark = HOST_MARK};
    for (unsigned i = 0; i < count; i++) {
        struct netcheck_socket *socket = &netcheck->sockets[i];
        int error = udp_open(&options, &socket->udp);
        if (error != ERR_OK)
            return error;
        socket->netcheck = netcheck;
        if (uv_poll_init(host_loop(netcheck->host), &socket->poll, socket->udp.fd) != 0) {
            udp_close(&socket->udp);
            return ERR_IO;
        }
        socket->poll.data = socket;
        netcheck->socket_count++;
        netcheck->handle_count++;
        if (uv_poll_start(&socket->poll, UV_READABLE, on_readable) != 0)
            return ERR_IO;
    }
    return ERR_OK;
}

static int begin(struct netcheck *netcheck, uint64_t lifetime_us)
{
    struct host *host = netcheck->host;
    struct behaviour_config config = {.server = netcheck->server,
                                      .pool = &host->config.pool,
                                      .nat64 = host->nat64.prefixes,
                                      .lifetime_us = lifetime_us};
    int error = open_sockets(netcheck, behaviour_socket_count(lifetime_us));
    if (error != ERR_OK)
        return error;
    for (unsigned i = 0; i < netcheck->socket_count; i++)
        config.ports[i] = netcheck->sockets[i].udp.port;
    while (config.local_count < host->local_count && config.local_count < BEHAVIOUR_LOCALS_MAX) {
        config.locals[config.local_count] = host->locals[config.local_count];
        config.local_count++;
    }
    if (udp_path_mtu(&netcheck->sockets[0].udp, &netcheck->server, &config.mtu) != ERR_OK)
        config.mtu = 0;
    return behaviour_new(&config, netcheck->started_us, &netcheck->behaviour);
}

/* ERR_NOT_FOUND: where the connector is, is not known yet. client may be NULL. */
static int start(struct host *host, struct control_client *client, uint64_t lifetime_us)
{
    struct session *session = session_find(host, host->config.zone);
    struct route_lookup lookup;
    struct endpoint server;
    if (session == NULL || session_stun_server(session, &server) != ERR_OK)
        return ERR_NOT_FOUND;
    struct netcheck *netcheck = calloc(1, sizeof(*netcheck));
    if (netcheck == NULL)
        return ERR_NOMEM;
    netcheck->host = host;
    netcheck->client = client;
    netcheck->server = server;
    if (route_lookup(&host->netlink, &server.address, HOST_MARK, &lookup) == ERR_OK &&
        !lookup.is_unreachable)
        netcheck->source = lookup.source;
    netcheck->login_round_trip_us = session_round_trip_us(session);
    netcheck->started_us = clock_now_us();
    netcheck->task.run = on_task;
    host->netcheck.running = netcheck;
    int error = begin(netcheck, lifetime_us);
    if (error != ERR_OK) {
        end(netcheck);
        return error;
    }
    if (client != NULL)
        control_on_gone(client, on_gone, netcheck);
    pump(netcheck, netcheck->started_us);
    return ERR_OK;
}

void netcheck_start(struct control_client *client, uint64_t lifetime_us)
{
    struct host *host = control_client_host(client);
    netcheck_cancel_background(host);
    if (host->netcheck.running != NULL) {
        control_fail(client, "another check is running; try again when it has ended");
        return;
    }
    int error = start(host, client, lifetime_us);
    if (error == ERR_NOT_FOUND)
        control_fail(client, "where the connector of %s is, is not known yet; see `detec status`",
                     host->config.zone);
    else if (error == ERR_NOMEM)
        control_fail(client, "out of memory");
    else if (error != ERR_OK)
        control_fail(client, "the check cannot be made: %s", error_text(error));
}

void netcheck_start_background(struct host *host, uint64_t lifetime_us)
{
    if (host->netcheck.running != NULL)
        return;
    int error = start(host, NULL, lifetime_us);
    if (error != ERR_OK)
        log_debug("netcheck: not begun: %s", error_text(error));
}

void netcheck_cancel_background(struct host *host)
{
    if (host->netcheck.running != NULL && host->netcheck.running->client == NULL)
        end(host->netcheck.running);
}

const struct behaviour_result *netcheck_result(const struct host *host)
{
    const struct netcheck_state *state = &host->netcheck;
    struct endpoint seen[SEEN_MAX];
    const size_t count = state->has_result ? sessions_reflexive(host, seen, SEEN_MAX) : 0;
    for (size_t i = 0; i < count; i++) {
        if (address_is_equal(&seen[i].address, &state->result.mapped.address))
            return &state->result;
    }
    return NULL;
}
