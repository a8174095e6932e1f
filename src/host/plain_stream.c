/* Plain peers over TCP (RFC 9329): when it is used instead of UDP, and back; streams.c has the
 * connections. */
#include "host/plain_internal.h"

#include "io/clock.h"

#define CONNECT_US   (8 * SECOND_US)   /* for one try */
#define LAST_US      (600 * SECOND_US) /* so long UDP is not tried first, once TCP was the way */
#define UDP_AGAIN_US (300 * SECOND_US) /* how often a tunnel over TCP tries it */

bool plain_stream_is_wanted(const struct plain_peer *plain, uint64_t now_us)
{
    switch (plain->config.transport) {
    case PLAIN_TRANSPORT_UDP:
        break;
    case PLAIN_TRANSPORT_TCP:
        return true;
    case PLAIN_TRANSPORT_AUTO:
        return plain->prefers_stream && now_us - plain->preferred_us < LAST_US;
    }
    return false;
}

void plain_stream_note_failure(struct plain_peer *plain, bool was_silent, uint64_t now_us)
{
    if (plain->config.transport != PLAIN_TRANSPORT_AUTO)
        return;
    if (endpoint_is_stream(&plain->remote)) {
        plain->prefers_stream = false;
    } else if (was_silent) {
        plain->prefers_stream = true;
        plain->preferred_us = now_us;
    }
}

static bool uses(const struct plain_peer *plain, const struct endpoint *stream)
{
    const struct peer *peer = plain->peer;
    return (plain->state != PLAIN_IDLE && endpoint_is_equal(&plain->remote, stream)) ||
           (peer != NULL && peer->tunnel != NULL && endpoint_is_equal(&peer->path, stream)) ||
           (peer != NULL && peer->sa != NULL && endpoint_is_equal(ike_sa_remote(peer->sa), stream));
}

static bool is_used_but_by(const struct host *host, const struct endpoint *stream,
                           const struct plain_peer *self)
{
    for (uint32_t i = 0; host->plain != NULL && i < host->plain->count; i++) {
        if (host->plain->peers[i] != self && uses(host->plain->peers[i], stream))
            return true;
    }
    return false;
}

bool plain_uses(const struct host *host, const struct endpoint *stream)
{
    return is_used_but_by(host, stream, NULL);
}

void plain_stream_begin(struct plain_peer *plain, uint64_t now_us)
{
    struct host *host = plain->host;
    /* Two [peer]s may be at one address and port. */
    const bool is_shared = is_used_but_by(host, &plain->remote, plain);
    plain->state = PLAIN_CONNECTING;
    task_set(&host->tasks, &plain->task, now_us + CONNECT_US);
    const int error = streams_open(host, &plain->remote, is_shared);
    if (error == ERR_EXISTS)
        plain_call_negotiate(plain, now_us);
    else if (error != ERR_OK)
        plain_call_failed(plain, error == ERR_NOMEM ? error_text(error) : "TCP: no way there",
                          now_us);
}

/* The tunnel over it goes on in a new connection. The peer knows that by what is said there first,
 * which has to be IKE (RFC 9329, 6.1). */
static void go_on(struct peer *peer, uint64_t now_us)
{
    ike_sa_announce_move(peer->sa, now_us);
    host_pump_ike(peer->host, peer->sa, now_us);
}

void plain_on_stream(struct host *host, const struct endpoint *stream, const char *why,
                     uint64_t now_us)
{
    for (uint32_t i = 0; host->plain != NULL && i < host->plain->count; i++) {
        struct plain_peer *plain = host->plain->peers[i];
        struct peer *peer = plain->peer;
        char text[128];
        if (plain->state == PLAIN_CONNECTING && endpoint_is_equal(&plain->remote, stream)) {
            snprintf(text, sizeof(text), "TCP: %s", why != NULL ? why : "");
            if (why == NULL)
                plain_call_negotiate(plain, now_us);
            else
                plain_call_failed(plain, text, now_us);
        } else if (why == NULL && peer != NULL && peer->sa != NULL && peer->tunnel != NULL &&
                   endpoint_is_equal(&peer->path, stream)) {
            go_on(peer, now_us);
        }
    }
}

/* Where the peer is by UDP: IKE with the marker, as NATs have it. */
static struct endpoint by_udp(const struct plain_peer *plain)
{
    struct endpoint to = plain->peer->path;
    to.socket = HOST_SOCKET_NAT;
    to.port = plain->config.port == IKE_PORT ? IKE_NAT_PORT : plain->config.port;
    return to;
}

/* UDP does better wherever it gets through (RFC 9329, 5): MOBIKE takes the tunnel there. */
static void try_udp(struct plain_peer *plain, uint64_t now_us)
{
    struct peer *peer = plain->peer;
    const struct endpoint to = by_udp(plain);
    plain->udp_us = now_us + UDP_AGAIN_US;
    if (ike_sa_is_moving(peer->sa) || ike_sa_move(peer->sa, &to, now_us) != ERR_OK)
        return;
    host_pump_ike(plain->host, peer->sa, now_us);
}

static bool may_leave(const struct plain_peer *plain)
{
    const struct peer *peer = plain->peer;
    return plain->config.transport == PLAIN_TRANSPORT_AUTO && peer != NULL && peer->sa != NULL &&
           peer->tunnel != NULL && ike_sa_is_initiator(peer->sa) && endpoint_is_stream(&peer->path);
}

void plain_stream_watch(struct plain_peer *plain, uint64_t now_us)
{
    if (!may_leave(plain))
        return;
    if (plain->udp_us == 0)
        plain->udp_us = now_us + UDP_AGAIN_US;
    else if (now_us >= plain->udp_us)
        try_udp(plain, now_us);
}

void plain_on_network(struct host *host, uint64_t now_us)
{
    if (host->plain != NULL)
        plain_tell_addresses(host, now_us);
    for (uint32_t i = 0; host->plain != NULL && i < host->plain->count; i++) {
        struct plain_peer *plain = host->plain->peers[i];
        plain->prefers_stream = false;
        if (may_leave(plain))
            try_udp(plain, now_us);
    }
}
