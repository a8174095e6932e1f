/* Finding, making and forgetting peers; what waits for them. */
#include "host/peer.h"

#include "host/call.h"
#include "host/claim.h"
#include "host/datapath.h"
#include "host/host.h"
#include "host/kernel_esp.h"
#include "host/plain.h"
#include "host/wake.h"
#include "io/clock.h"
#include <stdlib.h>
#include <string.h>

#define RELEASE_US SECOND_US /* a peer that nothing holds is forgotten so much later */

struct peer *peer_find_by_name(struct host *host, const char *name)
{
    uint64_t hash = map_hash(&host->peers_by_name, name, strlen(name));
    for (struct map_node *node = map_first(&host->peers_by_name, hash); node != NULL;
         node = map_next(node)) {
        struct peer *peer = CONTAINER_OF(node, struct peer, by_name);
        if (strcmp(peer->name, name) == 0)
            return peer;
    }
    return NULL;
}

struct peer *peer_find_by_address(struct host *host, const struct address *address)
{
    uint64_t hash = map_hash(&host->peers_by_address, address, sizeof(*address));
    for (struct map_node *node = map_first(&host->peers_by_address, hash); node != NULL;
         node = map_next(node)) {
        struct peer *peer = CONTAINER_OF(node, struct peer, by_address);
        if (address_is_equal(&peer->address, address))
            return peer;
    }
    return NULL;
}

static bool is_busy(const struct peer *peer)
{
    return peer->tunnel != NULL || peer->sa != NULL || peer->call != NULL ||
           peer->watchers != NULL || peer->stage.count > 0;
}

static bool is_held(const struct peer *peer)
{
    return is_busy(peer) || peer->rest != NULL || peer->plain != NULL;
}

void peer_take_sa(struct peer *peer, struct ike_sa *sa)
{
    ike_sa_give_to(sa, peer, &peer->sas);
}

static void free_peer(struct peer *peer)
{
    struct host *host = peer->host;
    wake_forget(peer);
    ike_sa_list_clear(&peer->sas);
    sweeps_forget(host, peer);
    *peer->link = peer->next;
    if (peer->next != NULL)
        peer->next->link = peer->link;
    task_clear(&host->tasks, &peer->task);
    task_clear(&host->tasks, &peer->probe_task);
    map_remove(&host->peers_by_name, &peer->by_name);
    map_remove(&host->peers_by_address, &peer->by_address);
    stage_clear(&peer->stage);
    free(peer);
}

static void on_release(struct task *task, uint64_t now_us)
{
    struct peer *peer = CONTAINER_OF(task, struct peer, task);
    if (!is_held(peer) && now_us >= peer->held_until_us)
        free_peer(peer);
    else if (peer->tunnel == NULL && (is_busy(peer) || peer->rest == NULL))
        task_set(&peer->host->tasks, &peer->task, now_us + RELEASE_US);
}

void peer_release(struct peer *peer)
{
    if (is_held(peer))
        return;
    peer->task.run = on_release;
    task_set(&peer->host->tasks, &peer->task, clock_now_us() + RELEASE_US);
}

static int add_peer(struct host *host, const char *name, const struct address *address,
                    struct peer **ret_peer)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    if (peer == NULL)
        return ERR_NOMEM;
    peer->host = host;
    strcpy(peer->name, name);
    peer->address = *address;
    int error = map_insert(&host->peers_by_name, &peer->by_name,
                           map_hash(&host->peers_by_name, name, strlen(name)));
    if (error != ERR_OK) {
        free(peer);
        return error;
    }
    error = map_insert(&host->peers_by_address, &peer->by_address,
                       map_hash(&host->peers_by_address, address, sizeof(*address)));
    if (error != ERR_OK) {
        map_remove(&host->peers_by_name, &peer->by_name);
        free(peer);
        return error;
    }
    peer->next = host->peers;
    peer->link = &host->peers;
    if (host->peers != NULL)
        host->peers->link = &peer->next;
    host->peers = peer;
    *ret_peer = peer;
    return ERR_OK;
}

int peer_get(struct host *host, const char *name, struct peer **ret_peer)
{
    struct peer *peer = peer_find_by_name(host, name);
    if (peer != NULL) {
        *ret_peer = peer;
        return ERR_OK;
    }
    if (host->peers_by_name.count >= HOST_PEERS_MAX)
        return ERR_LIMIT;
    struct address address;
    bool is_new;
    int error = pool_get(host->pool, name, (uint64_t)clock_wall_seconds(), &address, &is_new);
    if (error == ERR_OK && is_new)
        error = state_save_address(host, name);
    if (error == ERR_OK)
        error = add_peer(host, name, &address, &peer);
    if (error != ERR_OK)
        return error;
    peer_release(peer); /* until something holds it */
    *ret_peer = peer;
    return ERR_OK;
}

void peers_free(struct host *host)
{
    struct peer *peer;
    claims_free(host);
    while ((peer = host->peers) != NULL) {
        if (peer->call != NULL)
            call_cancel(peer->call);
        kernel_esp_down(peer);
        if (peer->tunnel != NULL)
            peer_drop_tunnel(peer);
        free_peer(peer);
    }
}

static void say_goodbye(struct sweep *sweep, struct peer *peer, uint64_t now_us)
{
    if (peer->call != NULL)
        call_cancel(peer->call);
    if (peer->tunnel != NULL)
        peer_down(peer, "this host stops", true, now_us);
}

void peers_close(struct host *host, uint64_t now_us)
{
    host->closing.visit = say_goodbye;
    sweep_start(host, &host->closing, now_us);
}

/* ---- packets that wait ---- */

void peer_stage(struct peer *peer, const uint8_t *packet, size_t len, uint64_t now_us)
{
    if (now_us < peer->held_until_us && peer->call == NULL) {
        host_refuse_packet(peer->host, packet, len);
        return;
    }
    stage_add(&peer->stage, packet, len);
    if (peer->tunnel != NULL && !peer->is_closing)
        peer_stage_flush(peer); /* it came up while the packet was on its way here */
    else
        call_start(peer, false, now_us);
}

void peer_stage_flush(struct peer *peer)
{
    struct staged *staged;
    while ((staged = stage_take(&peer->stage)) != NULL) {
        if (!kernel_esp_send(peer, staged->data, staged->len) &&
            !datapath_send_packet(peer->host->datapath, staged->data, staged->len))
            peer->stage.dropped++;
        free(staged);
    }
}

void peer_stage_refuse(struct peer *peer)
{
    struct staged *staged;
    while ((staged = stage_take(&peer->stage)) != NULL) {
        host_refuse_packet(peer->host, staged->data, staged->len);
        free(staged);
    }
}

void peer_watch(struct peer *peer, struct call_watcher *watcher)
{
    watcher->next = peer->watchers;
    peer->watchers = watcher;
}

void peer_unwatch(struct peer *peer, struct call_watcher *watcher)
{
    for (struct call_watcher **link = &peer->watchers; *link != NULL; link = &(*link)->next) {
        if (*link == watcher) {
            *link = watcher->next;
            return;
        }
    }
}

void peer_tell_step(struct peer *peer, const char *step, uint64_t took_us, const char *detail)
{
    struct call_watcher *following;
    for (struct call_watcher *watcher = peer->watchers; watcher != NULL; watcher = following) {
        following = watcher->next;
        watcher->step(watcher, step, took_us, detail);
    }
}

void peer_tell_done(struct peer *peer, const char *failed_step, const char *why, const char *hint)
{
    while (peer->watchers != NULL) {
        struct call_watcher *watcher = peer->watchers;
        peer->watchers = watcher->next;
        watcher->done(watcher, failed_step, why, hint);
    }
}
