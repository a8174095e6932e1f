/* One search for each tunnel with a direct path. A relay's frames are TCP's to divide: they have
 * one size, and nothing to find out. */
#include "host/path_probe.h"

#include "host/datapath.h"
#include "host/relay.h"
#include "io/udp.h"

#define AT_ENDPOINT_MAX 64 /* more tunnels are sought among all */

static void put_in_force(struct peer *peer, uint32_t mtu)
{
    struct tunnel_status status;
    tunnel_get_status(peer->tunnel, &status);
    if (mtu == status.path_mtu)
        return;
    if (tunnel_set_path(peer->host->tunnels, peer->tunnel, &peer->path, mtu) != ERR_OK) {
        log_error("%s: out of memory for its path's MTU", peer->name);
        return;
    }
    log_info("%s: path takes %u bytes a packet, not %u", peer->name, mtu, status.path_mtu);
}

static void apply(struct peer *peer)
{
    put_in_force(peer, pmtu_mtu(&peer->pmtu));
}

uint64_t path_probe_watch_plain(struct peer *peer, const struct tunnel_status *status,
                                uint64_t now_us)
{
    const struct mtu_evidence evidence = {
        .large_us = status->has_stream ? status->large_us : 0,
        .heard_us = status->received_us,
        .alive_us = peer->sa != NULL ? ike_sa_heard_us(peer->sa) : 0,
        .round_trip_us = peer->sa != NULL ? ike_sa_round_trip_us(peer->sa) : 0,
    };
    /* No frames of a stream are too long, and IKEv1 has nothing to ask by. */
    if (peer->sa == NULL || endpoint_is_stream(&peer->path))
        return DEADLINE_NEVER;
    switch (mtu_steps_judge(&peer->steps, &evidence, now_us)) {
    case MTU_STEP_REST:
        break;
    case MTU_STEP_ASK:
        ike_sa_check_alive(peer->sa);
        host_pump_ike(peer->host, peer->sa, now_us);
        return now_us + MTU_STEPS_LOOK_US;
    case MTU_STEP_LOWER:
        put_in_force(peer, peer->steps.mtu);
        return now_us + MTU_STEPS_LOOK_US;
    case MTU_STEP_WAIT:
        return now_us + MTU_STEPS_LOOK_US;
    }
    /* While it is busy, looked at now and then, not for every packet; else the next one wakes us.
     */
    if (status->sent_us + SECOND_US > now_us)
        return now_us + MTU_STEPS_LOOK_US;
    tunnel_set_wake(peer->tunnel, TUNNEL_WAKE_LARGE);
    return DEADLINE_NEVER;
}

static void pump(struct peer *peer, uint64_t now_us)
{
    uint32_t size, token;
    while (pmtu_transmit(&peer->pmtu, &size, &token, now_us) == ERR_OK) {
        if (!datapath_send_probe(peer->host->datapath, &peer->address, size, token))
            log_debug("%s: probe not sent, too much waits", peer->name);
    }
    apply(peer);
    task_set(&peer->host->tasks, &peer->probe_task, pmtu_deadline(&peer->pmtu));
}

static void on_probe_task(struct task *task, uint64_t now_us)
{
    struct peer *peer = CONTAINER_OF(task, struct peer, probe_task);
    if (peer->tunnel == NULL || peer->is_closing)
        return;
    pmtu_expire(&peer->pmtu, now_us);
    pump(peer, now_us);
}

int path_probe_set_path(struct peer *peer, const struct endpoint *path)
{
    struct host *host = peer->host;
    const uint64_t round_trip_us = peer->sa != NULL ? ike_sa_round_trip_us(peer->sa) : 0;
    uint32_t mtu = host->config.mtu;
    uint32_t known = 0;
    /* What the kernel thinks is a guess: it believes any router. */
    if (!relay_is_endpoint(path) && udp_path_mtu(&host->udp, path, &known) == ERR_OK &&
        known >= PMTU_BASE && known < mtu)
        mtu = known;
    pmtu_move(&peer->pmtu, host->config.mtu, mtu, round_trip_us);
    mtu_steps_init(&peer->steps, mtu);
    peer->probe_task.run = on_probe_task;
    task_clear(&host->tasks, &peer->probe_task);
    return tunnel_set_path(host->tunnels, peer->tunnel, path, mtu);
}

void path_probe_stop(struct peer *peer)
{
    task_clear(&peer->host->tasks, &peer->probe_task);
}

uint64_t path_probe_watch(struct peer *peer, const struct tunnel_status *status, uint64_t now_us)
{
    if (relay_is_endpoint(&peer->path) || status->outbound_id == 0)
        return DEADLINE_NEVER;
    const uint64_t next_us =
        pmtu_note_traffic(&peer->pmtu, status->large_us, status->received_us, now_us);
    if (status->has_stream && pmtu_state(&peer->pmtu) == PMTU_UNTRIED)
        pmtu_search(&peer->pmtu, now_us);
    pump(peer, now_us);
    return next_us;
}

unsigned path_probe_wakes(const struct peer *peer)
{
    const bool wants_search =
        !relay_is_endpoint(&peer->path) && pmtu_state(&peer->pmtu) == PMTU_UNTRIED;
    return wants_search ? TUNNEL_WAKE_LARGE : 0;
}

void path_probe_on_sent(struct peer *peer, uint32_t token, uint32_t number)
{
    pmtu_on_sent(&peer->pmtu, token, number);
}

bool path_probe_on_reply(struct peer *peer, uint32_t number, uint64_t now_us)
{
    if (peer->tunnel == NULL || peer->is_closing || !pmtu_on_answer(&peer->pmtu, number, now_us))
        return false;
    pump(peer, now_us);
    return true;
}

/* The kernel does not always know the port that a datagram was for. */
static bool is_towards(const struct endpoint *path, const struct endpoint *to)
{
    return address_is_equal(&path->address, &to->address) &&
           (to->port == 0 || to->port == path->port);
}

static void take_too_big(struct peer *peer, uint32_t size, bool is_local, uint64_t now_us)
{
    if (peer->plain != NULL) { /* it answers no probe */
        if (is_local)
            mtu_steps_on_limit(&peer->steps, size);
        else
            mtu_steps_on_hint(&peer->steps, size);
        put_in_force(peer, peer->steps.mtu);
        return;
    }
    if (is_local)
        pmtu_on_limit(&peer->pmtu, size, now_us);
    else
        pmtu_on_hint(&peer->pmtu, size, now_us);
    pump(peer, now_us);
}

/* A router's word, which anybody can send in floods: those concerned are found, not sought. False:
 * too many share the endpoint. */
static bool tell_those_at(struct host *host, const struct endpoint *to, uint32_t size,
                          bool is_local, uint64_t now_us)
{
    struct tunnel *tunnels[AT_ENDPOINT_MAX];
    const size_t count = tunnel_find_all_by_endpoint(host->tunnels, to, tunnels, AT_ENDPOINT_MAX);
    if (count > AT_ENDPOINT_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct peer *peer = tunnel_user(tunnels[i]);
        if (peer != NULL && !peer->is_closing && is_towards(&peer->path, to))
            take_too_big(peer, size, is_local, now_us);
    }
    return true;
}

void path_probe_on_too_big(struct host *host, const struct endpoint *to, uint32_t size,
                           bool is_local, uint64_t now_us)
{
    if (to->port != 0 && tell_those_at(host, to, size, is_local, now_us))
        return;
    for (struct map_node *node = NULL; (node = map_walk(&host->peers_by_name, node)) != NULL;) {
        struct peer *peer = CONTAINER_OF(node, struct peer, by_name);
        if (peer->tunnel == NULL || peer->is_closing || !is_towards(&peer->path, to))
            continue;
        take_too_big(peer, size, is_local, now_us);
    }
}
