/* Plain peers from configuration to tunnels, and what IKE's events mean for them. */
#include "host/plain_internal.h"

#include "crypto/memory.h"
#include "host/call.h"
#include "host/kernel_esp.h"
#include "host/path_probe.h"
#include "io/clock.h"
#include "path/keepalive.h"
#include "wire/demux.h"
#include <stdlib.h>
#include <string.h>

#define LOOK_US        (5 * SECOND_US)
#define KEEPALIVE_US   (20 * SECOND_US) /* RFC 3948, 4: the default */
#define SOON_US        (200 * MS_US)
#define KEEPALIVE_BYTE 0xFF

/* ---- life ---- */

static void detach(struct plain_peer *plain)
{
    plain_call_clear(plain);
    plain_ikev1_done(plain);
    if (plain->peer == NULL)
        return;
    plain->peer->plain = NULL;
    peer_release(plain->peer);
    plain->peer = NULL;
}

static void plain_peer_free(struct plain_peer *plain)
{
    if (plain == NULL)
        return;
    detach(plain);
    plain_proof_free(plain->proof);
    crypto_wipe(&plain->config, sizeof(plain->config)); /* psk */
    free(plain);
}

static int plain_peer_new(struct host *host, const struct host_config *config, size_t index,
                          struct plain_peer **ret_plain)
{
    struct plain_peer *plain = calloc(1, sizeof(*plain));
    if (plain == NULL)
        return ERR_NOMEM;
    plain->host = host;
    plain->config = config->plain.peers[index];
    int error = plain_proof_new(&plain->config, config, &plain->proof);
    if (error != ERR_OK) {
        plain_peer_free(plain);
        return error;
    }
    *ret_plain = plain;
    return ERR_OK;
}

static void free_list(struct plain *all)
{
    if (all == NULL)
        return;
    for (uint32_t i = 0; i < all->count; i++)
        plain_peer_free(all->peers[i]);
    ike_profile_free(all->responder);
    for (uint32_t i = 0; i < PLAIN_PEERS_MAX; i++)
        ike_profile_free(all->entries[i].profile);
    free_list(all->older);
    free(all);
}

/* All sections, with what they name; nothing is running yet. */
static int load(struct host *host, const struct host_config *config, struct plain **ret_all)
{
    struct plain *all = calloc(1, sizeof(*all));
    int error = all != NULL ? ERR_OK : ERR_NOMEM;
    for (uint32_t i = 0; i < config->plain.count && all != NULL; i++) {
        int one = plain_peer_new(host, config, i, &all->peers[all->count]);
        if (one == ERR_OK)
            all->count++;
        else
            error = one; /* the others have their say, too */
    }
    if (error != ERR_OK) {
        free_list(all);
        return error;
    }
    *ret_all = all;
    return ERR_OK;
}

int plain_check(const struct host_config *config)
{
    int result = ERR_OK;
    for (uint32_t i = 0; i < config->plain.count; i++) {
        struct plain_proof *proof = NULL;
        int error = plain_proof_new(&config->plain.peers[i], config, &proof);
        plain_proof_free(proof);
        if (error != ERR_OK)
            result = error;
    }
    return result;
}

static int open_socket(struct host *host, uint16_t number, uint16_t port, const char *key)
{
    int error = sockets_open_fixed(host, number, port);
    if (error != ERR_OK)
        log_error("%s: [host] %s = %u cannot be opened: %s", host->config.file, key, port,
                  error == ERR_EXISTS ? "another program (an IPsec daemon, a connector?) has that "
                                        "UDP port"
                                      : error_text(error));
    return error;
}

static bool may_use_tcp(const struct plain *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->peers[i]->config.transport != PLAIN_TRANSPORT_UDP)
            return true;
    }
    return false;
}

static int open_listener(struct host *host)
{
    const uint16_t port = host->config.ike_tcp_port;
    int error = streams_listen(host, port);
    if (error != ERR_OK)
        log_error("%s: [host] ike-tcp-port = %u cannot be opened: %s", host->config.file, port,
                  error == ERR_EXISTS ? "another program (a connector?) has that TCP port"
                                      : error_text(error));
    return error;
}

int plain_open(struct host *host)
{
    const struct host_config *config = &host->config;
    int error = load(host, config, &host->plain);
    if (error != ERR_OK || host->plain->count == 0)
        return error;
    error = plain_profile_respond(host->plain, host, &host->plain->responder);
    if (error == ERR_OK)
        error = plain_ikev1_open(host);
    if (error != ERR_OK)
        return error;
    error = open_socket(host, HOST_SOCKET_IKE, config->ike_port, "ike-port");
    if (error == ERR_OK)
        error = open_socket(host, HOST_SOCKET_NAT, config->ike_nat_port, "ike-nat-port");
    if (error == ERR_OK && may_use_tcp(host->plain))
        error = open_listener(host);
    host->plain->has_sockets = error == ERR_OK;
    return error;
}

/* Ties it to its peer. */
static int attach(struct plain_peer *plain)
{
    int error = peer_get(plain->host, plain->config.name, &plain->peer);
    if (error != ERR_OK) {
        log_error("%s: gets no peer address: %s", plain->config.name, error_text(error));
        return error;
    }
    plain->peer->plain = plain;
    return ERR_OK;
}

int plain_start(struct host *host, uint64_t now_us)
{
    plain_tell_addresses(host, now_us);
    if (host->plain->has_sockets) /* the data path is there by now */
        task_set(&host->tasks, &host->sockets.task, now_us);
    for (uint32_t i = 0; i < host->plain->count; i++) {
        struct plain_peer *plain = host->plain->peers[i];
        int error = attach(plain);
        if (error != ERR_OK)
            return error;
        plain_call_always(plain, 0, now_us);
    }
    return ERR_OK;
}

/* The one there is already, if it is still the same. */
static struct plain_peer **find_same(struct plain *all, const struct plain_peer *fresh)
{
    for (uint32_t i = 0; i < all->count; i++) {
        struct plain_config *a = &all->peers[i]->config;
        const unsigned line = a->line;
        a->line = fresh->config.line; /* may have moved */
        const bool is_same = memcmp(a, &fresh->config, sizeof(*a)) == 0 &&
                             plain_proof_is_equal(all->peers[i]->proof, fresh->proof);
        a->line = line;
        if (is_same)
            return &all->peers[i];
    }
    return NULL;
}

static bool has_same_networks(const struct host *host, const struct host_config *config)
{
    struct prefix before[PLAIN_NETWORKS_MAX] = {0}, after[PLAIN_NETWORKS_MAX] = {0};
    return plain_networks(&host->config, before) == plain_networks(config, after) &&
           memcmp(before, after, sizeof(before)) == 0;
}

/* What can fail about attach(): each has an address, for as long as peer_release() lets it. */
static int reserve(struct host *host, const struct plain *all)
{
    struct peer *peer;
    int error = ERR_OK;
    for (uint32_t i = 0; i < all->count && error == ERR_OK; i++) {
        error = peer_get(host, all->peers[i]->config.name, &peer);
        if (error != ERR_OK)
            log_error("%s: gets no peer address: %s", all->peers[i]->config.name,
                      error_text(error));
    }
    return error;
}

int plain_reload(struct host *host, const struct host_config *config, uint64_t now_us)
{
    struct plain *all, *before = host->plain;
    if (!has_same_networks(host, config)) {
        log_error("[peer]: another network in remote-ts needs a restart, for its routes");
        return ERR_STATE;
    }
    int error = load(host, config, &all);
    if (error != ERR_OK)
        return error;
    if (all->count > 0 && !before->has_sockets) {
        log_error("[peer]: the first one needs a restart, for its UDP ports");
        free_list(all);
        return ERR_STATE;
    }
    if (may_use_tcp(all) && !may_use_tcp(before)) {
        log_error(
            "[peer]: the first one with transport = auto or tcp needs a restart, for its port");
        free_list(all);
        return ERR_STATE;
    }
    error = reserve(host, all);
    if (error != ERR_OK) {
        free_list(all);
        return error;
    }
    all->has_sockets = before->has_sockets;
    /* Those that are the same change places: the one there is has its calls and its tunnel. */
    for (uint32_t i = 0; i < all->count; i++) {
        struct plain_peer **same = find_same(before, all->peers[i]);
        if (same == NULL)
            continue;
        struct plain_peer *fresh = all->peers[i];
        all->peers[i] = *same;
        *same = fresh;
    }
    error = plain_profile_respond(all, host, &all->responder);
    if (error != ERR_OK) /* no memory: those that are there go on, and nobody else may call */
        log_error("[peer]: %s", error_text(error));
    for (uint32_t i = 0; i < before->count; i++) {
        struct peer *peer = before->peers[i]->peer;
        if (peer != NULL && peer->tunnel != NULL)
            peer_down(peer, "its configuration has changed", true, now_us);
    }
    host->plain = all;
    for (uint32_t i = 0; i < before->count; i++)
        detach(before->peers[i]);
    all->older = before;
    for (uint32_t i = 0; i < all->count; i++) {
        struct plain_peer *plain = all->peers[i];
        if (plain->peer != NULL)
            continue;
        error = attach(plain);
        if (error != ERR_OK)
            return error;
        plain_call_always(plain, SOON_US, now_us);
    }
    return ERR_OK;
}

const struct plain_config *plain_section(const struct host *host, uint32_t index)
{
    return host->plain != NULL && index < host->plain->count ? &host->plain->peers[index]->config
                                                             : NULL;
}

void plain_stop(struct host *host)
{
    for (uint32_t i = 0; host->plain != NULL && i < host->plain->count; i++)
        plain_call_clear(host->plain->peers[i]);
}

void plain_detach(struct host *host)
{
    for (uint32_t i = 0; host->plain != NULL && i < host->plain->count; i++)
        detach(host->plain->peers[i]);
}

void plain_free(struct host *host)
{
    plain_ikev1_close(host);
    free_list(host->plain);
    host->plain = NULL;
}

/* ---- what IKE reports ---- */

struct ike_profile *plain_responder(struct host *host, const struct endpoint *from)
{
    if (host->plain == NULL || host->is_stopping ||
        (from->socket < HOST_SOCKET_FIXED && from->socket != 0))
        return NULL;
    return host->plain->responder;
}

void plain_on_message(struct ike_sa *sa, struct peer *peer)
{
    const struct endpoint *remote = ike_sa_remote(sa);
    if (peer == NULL || peer->plain == NULL || peer->plain->sa != sa ||
        remote->socket != HOST_SOCKET_IKE || !ike_sa_is_floated(sa))
        return;
    struct endpoint moved = *remote;
    moved.socket = HOST_SOCKET_NAT;
    ike_sa_set_remote(sa, &moved);
}

static void forget_sa(struct plain_peer *plain, const struct ike_sa *sa)
{
    if (plain->sa == sa)
        plain->sa = NULL;
    if (plain->accepted == sa)
        plain->accepted = NULL;
}

void plain_on_established(struct plain_peer *plain, struct ike_sa *sa, bool is_initial_contact,
                          uint64_t now_us)
{
    struct peer *peer = plain->peer;
    const struct public_key *key = ike_sa_peer_key(sa);
    if (!plain_cross_takes(plain, sa, is_initial_contact, now_us)) {
        if (plain->sa == sa) {
            plain->sa = NULL;
            plain_call_clear(plain);
        }
        ike_sa_close(sa, now_us);
        return;
    }
    peer->is_caller = !ike_sa_is_initiator(sa);
    peer->has_key = key != NULL;
    if (key != NULL)
        peer->key = *key;
}

bool plain_takes(const struct peer *peer, const struct ike_sa *sa)
{
    return peer->plain != NULL && peer->plain->accepted == sa;
}

void plain_on_sa_closed(struct plain_peer *plain, struct ike_sa *sa,
                        const struct ike_event_closed *closed, uint64_t now_us)
{
    const bool was_call = plain->sa == sa;
    forget_sa(plain, sa);
    if (!was_call)
        return;
    if (plain->peer->tunnel != NULL) { /* it has called meanwhile */
        plain_call_clear(plain);
        return;
    }
    plain_stream_note_failure(plain, closed->reason == IKE_REASON_TIMEOUT, now_us);
    plain_call_failed(plain, closed->text, now_us);
}

void plain_on_reply(struct host *host, const struct endpoint *to, const uint8_t *message,
                    size_t len, uint64_t now_us)
{
    struct ike_header header;
    struct ike_payload payload;
    struct ike_notify notify;
    struct ike_chain chain;
    char text[ENDPOINT_TEXT_CAP];
    uint32_t suppressed;
    if (to->socket < HOST_SOCKET_FIXED || ike_header_parse(message, len, &header) != ERR_OK)
        return;
    ike_chain_init(&chain, header.next_payload, message + IKE_HEADER_LEN, len - IKE_HEADER_LEN);
    if (ike_chain_next(&chain, &payload) != ERR_OK || payload.type != IKE_PAYLOAD_NOTIFY ||
        ike_notify_parse(payload.body, payload.len, &notify) != ERR_OK)
        return;
    const char *name = ike_notify_name(notify.type);
    /* Those two are questions. */
    if (notify.type == IKE_NOTIFY_COOKIE || notify.type == IKE_NOTIFY_INVALID_KE_PAYLOAD ||
        !log_limit_is_open(&host->stranger_log, now_us, 10, 10 * SECOND_US, &suppressed))
        return;
    log_warn("IKE of %s refused: %s", endpoint_format(to, text, sizeof(text)),
             name != NULL ? name : "unknown error");
}

void plain_on_child_refused(struct plain_peer *plain, struct ike_sa *sa, uint16_t notify,
                            uint64_t now_us)
{
    const char *name = ike_notify_name(notify);
    char why[80];
    snprintf(why, sizeof(why), "the peer refuses the child: %s", name != NULL ? name : "no reason");
    const struct ike_event_closed closed = {
        .reason = IKE_REASON_CHILD_REFUSED, .notify = notify, .text = why};
    plain_on_sa_closed(plain, sa, &closed, now_us);
}

void plain_on_tunnel_down(struct plain_peer *plain, uint64_t now_us)
{
    plain_ikev1_end(plain, now_us);
    plain_call_always(plain, SOON_US, now_us);
}

uint64_t plain_rekey_us(const struct plain_peer *plain)
{
    return plain->config.rekey_us != 0 ? plain->config.rekey_us : plain->host->config.rekey_us;
}

/* One that is to be up always, or that the peer wants, is not closed because nobody uses it. */
static bool is_idle_over(const struct plain_peer *plain, uint64_t now_us)
{
    const struct peer *peer = plain->peer;
    return plain->config.start == PLAIN_START_ON_DEMAND && !peer->is_caller &&
           now_us - peer->activity_us >= plain->host->config.idle_us;
}

uint64_t plain_watch(struct plain_peer *plain, uint64_t now_us)
{
    struct peer *peer = plain->peer;
    struct tunnel_status status;
    kernel_esp_watch(peer, now_us);
    if (peer->tunnel == NULL)
        return 0; /* that was the end of it */
    tunnel_get_status(peer->tunnel, &status);
    const uint64_t packets = status.packets_in + status.packets_out;
    if (packets != peer->activity_packets) {
        peer->activity_packets = packets;
        peer->activity_us = now_us;
    }
    if (is_idle_over(plain, now_us)) {
        peer_down(peer, "idle", true, now_us);
        return 0;
    }
    const uint64_t last_us =
        status.sent_us > peer->keepalive_us ? status.sent_us : peer->keepalive_us;
    /* TCP has its own (RFC 9329, 6.6). */
    if (now_us - last_us >= KEEPALIVE_US && !endpoint_is_stream(&peer->path)) {
        const uint8_t byte = KEEPALIVE_BYTE;
        host_send(plain->host, &peer->path, &byte, 1);
        peer->keepalive_us = now_us;
    }
    plain_stream_watch(plain, now_us);
    plain_ikev1_watch(plain, &status, tunnel_is_rekey_due(peer->tunnel), now_us);
    if (peer->sa != NULL && tunnel_is_rekey_due(peer->tunnel)) {
        (void)!ike_sa_rekey_child(peer->sa);
        host_pump_ike(plain->host, peer->sa, now_us);
    }
    const uint64_t probe_us = path_probe_watch_plain(peer, &status, now_us);
    return deadline_min(deadline_min(now_us + LOOK_US, probe_us),
                        plain_move_watch(plain, &status, now_us));
}
