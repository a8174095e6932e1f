/* A peer's tunnel: made and rekeyed by what IKE reports, watched while it lives, taken down. */
#include "base/writer.h"
#include "crypto/memory.h"
#include "host/call.h"
#include "host/call_carry.h"
#include "host/datapath.h"
#include "host/export.h"
#include "host/host.h"
#include "host/kernel_esp.h"
#include "host/met.h"
#include "host/mobility.h"
#include "host/path_probe.h"
#include "host/peer.h"
#include "host/plain.h"
#include "host/plain_ikev1.h"
#include "host/relay.h"
#include "host/session.h"
#include "host/wake.h"
#include "io/clock.h"
#include "names/pool_ipv6.h"
#include "wire/sput.h"
#include <stdio.h>
#include <string.h>

#define CHECK_US SECOND_US /* the first look after a tunnel */
/* How soon a relayed tunnel looks for a direct path; doubled, up to the second: */
#define UPGRADE_US     (3 * SECOND_US)
#define UPGRADE_MAX_US (300 * SECOND_US)
#define QUIET_US       (5 * SECOND_US)
#define CLOSE_WAIT_US  (200 * MS_US) /* for the close command to get on its way */

void peer_drop_tunnel(struct peer *peer)
{
    tunnel_remove(peer->host->tunnels, peer->tunnel);
    peer->tunnel = NULL;
    peer->host->tunnel_count--;
}

static void take_down(struct peer *peer, uint64_t now_us)
{
    struct host *host = peer->host;
    peer->is_closing = false;
    met_on_path(peer, now_us); /* until now */
    path_probe_stop(peer);
    kernel_esp_down(peer);
    peer_drop_tunnel(peer);
    access_close(host, &peer->address);
    call_on_tunnel_down(peer);
    if (peer->plain != NULL)
        plain_on_tunnel_down(peer->plain, now_us);
    pool_drop(host->pool, &peer->address, (uint64_t)clock_wall_seconds());
    /* Who came while it was closing wants the next one. */
    if (peer->stage.count > 0 || peer->watchers != NULL)
        call_start(peer, false, now_us);
    peer_release(peer);
}

void peer_on_close_sent(struct peer *peer, uint64_t now_us)
{
    if (peer->tunnel != NULL && peer->is_closing)
        take_down(peer, now_us);
}

/* Its caller calls once more, now and then: a tunnel over a direct path replaces this one as soon
 * as that has carried a key negotiation. */
static void look_for_direct(struct peer *peer, uint64_t now_us)
{
    if (!relay_is_endpoint(&peer->path) || peer->is_caller || peer->call != NULL ||
        peer->host->config.relay == RELAY_MODE_ALWAYS || now_us < peer->upgrade_us)
        return;
    peer->upgrade_us = now_us + peer->upgrade_wait_us;
    peer->upgrade_wait_us *= 2;
    if (peer->upgrade_wait_us > UPGRADE_MAX_US)
        peer->upgrade_wait_us = UPGRADE_MAX_US;
    call_start_upgrade(peer, now_us);
}

/* Until something has to be done. A tunnel that is quiet, and about which nothing is open, is left
 * alone until data wakes us or it is time for a keepalive: no timer that runs each second. */
static void rest(struct peer *peer, const struct tunnel_status *status, uint64_t next_us,
                 uint64_t now_us)
{
    const uint64_t busy_us =
        status->sent_us > peer->activity_us ? status->sent_us : peer->activity_us;
    const bool is_quiet = now_us - busy_us >= QUIET_US && peer->call == NULL && peer->sa != NULL &&
                          !relay_is_endpoint(&peer->path) &&
                          ike_sa_unanswered_us(peer->sa, now_us) == 0;
    struct tunnel_status after;
    tunnel_set_wake(peer->tunnel, is_quiet ? TUNNEL_WAKE_DATA : path_probe_wakes(peer));
    tunnel_get_status(peer->tunnel, &after);
    if (!is_quiet && path_probe_wakes(peer) != 0 &&
        (after.large_us != status->large_us || after.has_stream != status->has_stream))
        next_us = now_us; /* it came before it was asked for */
    if (is_quiet && after.packets_in + after.packets_out == peer->activity_packets) {
        next_us = keeper_next_us(peer, status, now_us);
        next_us = deadline_min(next_us, peer->activity_us + peer->host->config.idle_us);
    }
    task_set(&peer->host->tasks, &peer->task, next_us);
}

static void watch(struct task *task, uint64_t now_us)
{
    struct peer *peer = CONTAINER_OF(task, struct peer, task);
    struct host *host = peer->host;
    struct tunnel_status status;
    if (peer->tunnel == NULL) {
        peer_release(peer);
        return;
    }
    if (peer->is_closing) {
        take_down(peer, now_us);
        return;
    }
    if (peer->plain != NULL) {
        const uint64_t again_us = plain_watch(peer->plain, now_us);
        if (again_us != 0)
            task_set(&host->tasks, &peer->task, again_us);
        return;
    }
    tunnel_get_status(peer->tunnel, &status);
    uint64_t packets = status.packets_in + status.packets_out;
    if (packets != peer->activity_packets) {
        peer->activity_packets = packets;
        peer->activity_us = now_us;
        sessions_on_activity(host, now_us);
    }
    if (now_us - peer->activity_us >= host->config.idle_us) {
        peer_rest(peer, "idle", true, now_us);
        return;
    }
    keeper_keep(peer, &status, now_us);
    uint64_t next_us = mobility_watch(peer, &status, now_us);
    if (next_us == 0)
        return;
    next_us = deadline_min(next_us, path_probe_watch(peer, &status, now_us));
    next_us = deadline_min(next_us, keeper_next_us(peer, &status, now_us));
    look_for_direct(peer, now_us);
    if (peer->sa != NULL && tunnel_is_rekey_due(peer->tunnel))
        (void)!ike_sa_rekey_child(peer->sa);
    rest(peer, &status, next_us, now_us);
    if (peer->sa != NULL)
        host_pump_ike(host, peer->sa, now_us);
}

/* A peer lives by one SA: the one before goes, its user forgotten, so that its end concerns nobody.
 */
static void adopt_sa(struct peer *peer, struct ike_sa *sa, uint64_t now_us)
{
    struct ike_sa *before = peer->sa;
    peer->sa = sa;
    if (peer->rest == sa) {
        wake_leave(peer);
    } else {
        wake_forget(peer);
    }
    if (peer->tunnel != NULL) {
        peer->is_closing = false;
        if (!relay_is_endpoint(&peer->path))
            keeper_doubt(peer->host);
        kernel_esp_down(peer);
        peer_drop_tunnel(peer);
        pool_drop(peer->host->pool, &peer->address, (uint64_t)clock_wall_seconds());
    }
    if (before != NULL) {
        ike_sa_set_user(before, NULL);
        ike_sa_close(before, now_us);
        host_pump_ike(peer->host, before, now_us);
    }
}

static int make_tunnel(struct peer *peer, uint64_t now_us)
{
    struct host *host = peer->host;
    struct view local = {.own_ipv4 = host->own, .peer_ipv4 = peer->address};
    if (peer->plain != NULL && host->own_ipv6.family != ADDRESS_NONE) {
        local.own_ipv6 = host->own_ipv6;
        local.peer_ipv6 = pool_ipv6_of(&peer->address);
    }
    int error = access_open(host, peer->name, peer->is_static, &peer->address);
    if (error == ERR_OK)
        error = tunnel_add(host->tunnels, &local, peer, &peer->tunnel);
    if (error != ERR_OK)
        return error;
    host->tunnel_count++;
    if (pool_hold(host->pool, &peer->address, (uint64_t)clock_wall_seconds()) != ERR_OK)
        log_debug("%s: its address is not in the pool any more", peer->name);
    peer->path = peer->sa != NULL ? *ike_sa_remote(peer->sa) : *plain_ikev1_remote(peer->plain);
    peer->up_since_us = peer->activity_us = peer->keepalive_us = now_us;
    peer->activity_packets = 0;
    peer->last_error[0] = '\0';
    peer->upgrade_us = now_us + UPGRADE_US;
    peer->upgrade_wait_us = UPGRADE_US;
    keepalive_init(&peer->keepalive, host->config.keepalive_us);
    mobility_on_tunnel(peer);
    peer->task.run = watch;
    task_set(&host->tasks, &peer->task, now_us + CHECK_US);
    tunnel_set_wake(peer->tunnel, TUNNEL_WAKE_LARGE);
    return ERR_OK;
}

int peer_install_child(struct peer *peer, struct ike_sa *sa,
                       const struct ike_event_child_ready *child, uint64_t now_us)
{
    int error = ERR_OK;
    struct tunnel_child added = {
        .id = child->child,
        .suite = (enum suite)child->suite,
        .key_in = child->key_in,
        .key_out = child->key_out,
        .key_len = child->key_len,
        .remote = {.own_ipv4 = child->peer_addresses.own_ipv4,
                   .peer_ipv4 = child->peer_addresses.other_ipv4,
                   .own_ipv6 = child->peer_addresses.own_ipv6,
                   .peer_ipv6 = child->peer_addresses.other_ipv6},
        .spi_in = child->spi_in,
        .spi_out = child->spi_out,
        .has_esn = child->has_esn,
        .mode = child->mode,
        .has_commands = child->has_commands,
        .wire = {.own_ipv4 = child->own_addresses.own_ipv4,
                 .peer_ipv4 = child->own_addresses.other_ipv4,
                 .own_ipv6 = child->own_addresses.own_ipv6,
                 .peer_ipv6 = child->own_addresses.other_ipv6},
        .selectors = child->selectors.own.count > 0 ? &child->selectors : NULL,
    };
    if (sa != peer->sa)
        adopt_sa(peer, sa, now_us);
    const bool is_new = peer->tunnel == NULL;
    if (is_new)
        error = make_tunnel(peer, now_us);
    added.is_in_kernel = error == ERR_OK && kernel_esp_take(peer, child);
    if (error == ERR_OK)
        error = tunnel_add_child(peer->tunnel, &added);
    if (error == ERR_OK && child->is_outbound)
        error = tunnel_set_outbound(peer->tunnel, child->child);
    /* Last: until there is a path, packets wait. */
    if (error == ERR_OK && is_new)
        wake_listen(peer);
    if (error == ERR_OK && is_new)
        error = path_probe_set_path(peer, &peer->path);
    if (error == ERR_OK && child->is_outbound)
        kernel_esp_set_outbound(peer, child->child);
    if (error == ERR_OK && is_new && peer->plain == NULL)
        met_on_path(peer, now_us);
    if (error == ERR_OK) {
        peer->keys_us = now_us;
        export_child(peer, child);
    }
    return error;
}

static void go_down(struct peer *peer, const char *why, bool tell, bool rests, uint64_t now_us)
{
    struct host *host = peer->host;
    struct ike_sa *sa = peer->sa;
    if (peer->is_closing || peer->tunnel == NULL)
        return;
    log_info("%s: tunnel down: %s", peer->name, why);
    peer->sa = NULL;
    if (sa != NULL && !(rests && wake_keep(peer, sa, tell, now_us))) {
        ike_sa_set_user(sa, NULL);
        if (ike_sa_state(sa) != IKE_STATE_CLOSED)
            ike_sa_close(sa, now_us);
    }
    /* The close command needs the tunnel once more, in the data path. */
    if (tell && peer->plain == NULL &&
        datapath_send_command(host->datapath, &peer->address, SPUT_CLOSE)) {
        peer->is_closing = true;
        task_set(&host->tasks, &peer->task, now_us + CLOSE_WAIT_US);
    } else {
        take_down(peer, now_us);
    }
    if (sa != NULL)
        host_pump_ike(host, sa, now_us);
}

void peer_down(struct peer *peer, const char *why, bool tell, uint64_t now_us)
{
    go_down(peer, why, tell, false, now_us);
}

void peer_rest(struct peer *peer, const char *why, bool tell, uint64_t now_us)
{
    go_down(peer, why, tell, true, now_us);
}

/* ---- what IKE reports ---- */

static void on_child_ready(struct peer *peer, struct ike_sa *sa,
                           const struct ike_event_child_ready *child, uint64_t now_us)
{
    /* An SA that has been replaced, or was never accepted, has no say. */
    const bool is_awaited = call_is_for(peer->call, sa) || plain_takes(peer, sa);
    if (peer->sa != sa && peer->rest != sa && (!is_awaited || child->rekey_of != 0)) {
        ike_sa_close(sa, now_us);
        return;
    }
    int error = peer_install_child(peer, sa, child, now_us);
    if (error != ERR_OK) {
        log_error("%s: tunnel cannot be set up: %s", peer->name, error_text(error));
        ike_sa_close(sa, now_us);
        if (peer->tunnel != NULL)
            peer_down(peer, "it could not be set up", false, now_us);
        return;
    }
    if (child->rekey_of == 0 && peer->plain != NULL)
        plain_on_tunnel(peer->plain, sa, now_us);
    else if (child->rekey_of == 0)
        call_on_tunnel(peer, sa, now_us);
}

static void on_sa_closed(struct peer *peer, struct ike_sa *sa,
                         const struct ike_event_closed *closed, uint64_t now_us)
{
    if (peer->rest == sa)
        wake_leave(peer);
    if (peer->sa == sa) {
        peer->sa = NULL;
        snprintf(peer->last_error, sizeof(peer->last_error), "%s", closed->text);
        if (closed->reason == IKE_REASON_REFUSED_BY_PEER)
            call_on_refused(peer);
        /* The called host has the new one already, and its answer is on its way here. */
        if (peer->tunnel != NULL && !call_is_replacing(peer->call))
            peer_down(peer, closed->text, false, now_us);
    }
    if (!met_on_closed(peer->call, sa) && !closed->was_established)
        log_warn("%s: key negotiation failed: %s", peer->name, closed->text);
    if (peer->plain != NULL)
        plain_on_sa_closed(peer->plain, sa, closed, now_us);
    call_on_sa_closed(peer, sa, closed->text, now_us);
    peer_release(peer);
}

static void on_child_closed(struct peer *peer, const struct ike_event_child_closed *closed,
                            uint64_t now_us)
{
    (void)!tunnel_drop_child(peer->tunnel, closed->child);
    kernel_esp_drop(peer, closed->child);
    /* Its close command was lost. */
    if (closed->reason == IKE_REASON_CLOSED_BY_PEER && ike_sa_child(peer->sa) == 0)
        peer_rest(peer, "closed by it", false, now_us);
}

/* False: the SA is gone. */
static bool take_event(struct host *host, struct ike_sa *sa, const struct ike_event *event,
                       uint64_t now_us)
{
    struct peer *peer = ike_sa_user(sa);
    switch (event->type) {
    case IKE_EVENT_ESTABLISHED:
        if (peer == NULL)
            peer = plain_adopt(host, sa, &event->established);
        if (peer != NULL && peer->plain != NULL)
            plain_on_established(peer->plain, sa, event->established.is_initial_contact, now_us);
        else if (peer != NULL)
            call_on_established(peer, sa, now_us);
        else
            ike_sa_close(sa, now_us); /* nobody waits for it any more */
        break;
    case IKE_EVENT_CHILD_READY:
        if (peer != NULL)
            on_child_ready(peer, sa, &event->child_ready, now_us);
        break;
    case IKE_EVENT_CHILD_OUTBOUND:
        if (peer != NULL && peer->sa == sa && peer->tunnel != NULL) {
            (void)!tunnel_set_outbound(peer->tunnel, event->child_outbound);
            kernel_esp_set_outbound(peer, event->child_outbound);
        }
        break;
    case IKE_EVENT_PATH_CHANGED:
        if (peer != NULL && peer->sa == sa && peer->tunnel != NULL)
            mobility_on_path(peer, &event->path, now_us);
        if (peer != NULL && peer->sa == sa)
            kernel_esp_on_path(peer, now_us);
        break;
    case IKE_EVENT_MOVE_FAILED: /* the path is as it was */
        if (peer != NULL && peer->sa == sa)
            call_on_move_failed(peer, &event->path, now_us);
        break;
    case IKE_EVENT_CHILD_CLOSED:
        if (peer != NULL && peer->sa == sa && peer->tunnel != NULL &&
            event->child_closed.child != 0)
            on_child_closed(peer, &event->child_closed, now_us);
        else if (event->child_closed.child == 0) {
            if (peer != NULL && peer->plain != NULL)
                plain_on_child_refused(peer->plain, sa, event->child_closed.notify, now_us);
            ike_sa_close(sa, now_us); /* without its child it is of no use */
        }
        break;
    case IKE_EVENT_CLOSED:
        ike_sa_set_user(sa, NULL);
        if (peer != NULL)
            on_sa_closed(peer, sa, &event->closed, now_us);
        return false;
    case IKE_EVENT_NOTIFY:
    case IKE_EVENT_NONE:
        break;
    }
    return true;
}

/* True if there was anything. */
static bool transmit(struct host *host, struct ike_sa *sa, uint64_t now_us)
{
    uint8_t message[IKE_MESSAGE_CAP];
    struct endpoint remote;
    struct writer w;
    export_sa(host, sa);
    for (bool did_send = false;; did_send = true) {
        writer_init(&w, message, sizeof(message));
        if (ike_sa_transmit(sa, &w, &remote, now_us) != ERR_OK)
            return did_send;
        const struct peer *peer = ike_sa_user(sa);
        if (peer == NULL || (!call_carry_send(peer->call, sa, message, w.len) &&
                             !met_send(peer->call, sa, message, w.len)))
            host_send_ike(host, &remote, message, w.len);
    }
}

void peer_pump_sa(struct host *host, struct ike_sa *sa, uint64_t now_us)
{
    struct ike_event event;
    bool is_alive = true;
    if (host->pumped_sa == sa)
        return; /* the one further up goes on */
    struct ike_sa *outer = host->pumped_sa;
    host->pumped_sa = sa;
    /* Events first: an answer that makes the other side send must find its tunnel here. */
    do {
        if (wake_holds(ike_sa_user(sa), sa))
            break;
        ike_sa_next_event(sa, &event);
        if (event.type != IKE_EVENT_NONE)
            is_alive = take_event(host, sa, &event, now_us);
        else if (!transmit(host, sa, now_us))
            break;
        crypto_wipe(&event, sizeof(event));
    } while (is_alive);
    (void)transmit(host, sa, now_us);
    host->pumped_sa = outer;
    if (!is_alive)
        ike_sa_free(sa);
}
