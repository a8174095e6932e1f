/* Relay channels of all sessions. What they carry is sealed by the tunnels and IKE SAs that use
 * them; here it is only put into frames and taken out. */
#include "host/relay.h"

#include "host/call.h"
#include "host/datapath.h"
#include "host/host.h"
#include "host/mobility.h"
#include "host/peer.h"
#include "host/session_internal.h"
#include "host/streams.h"
#include "io/clock.h"
#include "wire/demux.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANNELS_MAX 256
#define NEW_US       (10 * SECOND_US) /* the other host may begin to use it yet */

struct relay {
    struct relay *next;
    struct session *session;
    uint32_t channel;
    uint16_t len_max;
    struct endpoint endpoint;
    uint64_t since_us;
    struct address peer; /* whom it leads to */
};

static struct endpoint name_channel(const struct session *session, uint32_t channel)
{
    struct endpoint endpoint = {.address.family = ADDRESS_RELAY};
    memcpy(endpoint.address.bytes, &session->id, sizeof(session->id));
    memcpy(endpoint.address.bytes + sizeof(session->id), &channel, sizeof(channel));
    return endpoint;
}

bool relay_is_endpoint(const struct endpoint *endpoint)
{
    return endpoint->address.family == ADDRESS_RELAY;
}

static struct relay *find_endpoint(struct host *host, const struct endpoint *endpoint)
{
    for (struct relay *relay = host->relays; relay != NULL; relay = relay->next) {
        if (endpoint_is_equal(&relay->endpoint, endpoint))
            return relay;
    }
    return NULL;
}

static struct relay *find_channel(const struct session *session, uint32_t channel)
{
    const struct endpoint endpoint = name_channel(session, channel);
    return find_endpoint(session->host, &endpoint);
}

static bool is_used(struct host *host, const struct relay *relay)
{
    const struct peer *peer = peer_find_by_address(host, &relay->peer);
    return (peer != NULL && peer->tunnel != NULL &&
            (endpoint_is_equal(&peer->path, &relay->endpoint) ||
             endpoint_is_equal(&peer->fallback, &relay->endpoint))) ||
           call_uses_relay(host, &relay->endpoint);
}

static void unlink_relay(struct host *host, struct relay *relay)
{
    struct relay **link = &host->relays;
    while (*link != relay)
        link = &(*link)->next;
    *link = relay->next;
    host->relay_count--;
    free(relay);
}

/* Those of calls that came to nothing, and of tunnels that have gone or moved. */
static void drop_unused(struct host *host, uint64_t now_us)
{
    struct relay *next;
    for (struct relay *relay = host->relays; relay != NULL; relay = next) {
        next = relay->next;
        if (now_us - relay->since_us >= NEW_US && !is_used(host, relay))
            unlink_relay(host, relay);
    }
}

int relay_add(struct session *session, const struct notify_relay *notify,
              const struct address *peer, struct endpoint *ret_endpoint)
{
    struct host *host = session->host;
    if (find_channel(session, notify->channel) != NULL)
        return ERR_EXISTS;
    drop_unused(host, clock_now_us());
    if (host->relay_count >= CHANNELS_MAX)
        return ERR_LIMIT;
    struct relay *relay = calloc(1, sizeof(*relay));
    if (relay == NULL)
        return ERR_NOMEM;
    relay->session = session;
    relay->channel = notify->channel;
    relay->len_max = notify->len_max;
    relay->since_us = clock_now_us();
    relay->peer = *peer;
    relay->endpoint = name_channel(session, notify->channel);
    relay->next = host->relays;
    host->relays = relay;
    host->relay_count++;
    *ret_endpoint = relay->endpoint;
    return ERR_OK;
}

static void end_relay(struct host *host, struct relay *relay, const char *why, uint64_t now_us)
{
    const struct endpoint endpoint = relay->endpoint;
    const struct address whom = relay->peer;
    unlink_relay(host, relay);
    call_on_relay_gone(host, &endpoint, why, now_us);
    struct peer *peer = peer_find_by_address(host, &whom);
    if (peer == NULL)
        return;
    if (endpoint_is_equal(&peer->fallback, &endpoint))
        peer->fallback = (struct endpoint){.port = 0};
    if (peer->tunnel != NULL && endpoint_is_equal(&peer->path, &endpoint))
        mobility_on_relay_closed(peer, why, now_us);
}

void relay_remove(struct session *session, uint32_t channel, uint64_t now_us)
{
    struct relay *relay = find_channel(session, channel);
    if (relay != NULL)
        end_relay(session->host, relay, "the relay has closed its channel", now_us);
}

void relay_remove_all(struct session *session, uint64_t now_us)
{
    struct host *host = session->host;
    struct relay *relay = host->relays;
    while (relay != NULL) {
        if (relay->session == session) {
            end_relay(host, relay, "the connection to the connector that relays it is lost",
                      now_us);
            relay = host->relays;
        } else {
            relay = relay->next;
        }
    }
}

void relay_send(struct host *host, const struct endpoint *to, const void *data, size_t len)
{
    struct relay *relay = find_endpoint(host, to);
    if (relay == NULL || len == 0 || len > relay->len_max ||
        session_write_frame(relay->session, relay->channel, data, len) != ERR_OK) {
        drop_count(tunnel_table_drops(host->tunnels),
                   relay == NULL ? DROP_NO_TUNNEL : DROP_CONGESTION);
        return;
    }
    login_client_use(session_login(relay->session), clock_now_us());
}

/* The other side may have begun to use the channel, or not yet have left it, while the tunnel's
 * path is another one here: its keys tell whether a datagram belongs to it. */
static void take_data(struct host *host, const struct relay *relay, const uint8_t *data, size_t len)
{
    const struct endpoint from = relay->endpoint;
    const struct peer *peer = peer_find_by_address(host, &relay->peer);
    if (peer == NULL || peer->tunnel == NULL || peer->is_closing ||
        endpoint_is_equal(&peer->path, &from))
        call_on_early(host, data, len, &from);
    else if (!datapath_receive(host->datapath, &peer->path, data, len))
        drop_count(tunnel_table_drops(host->tunnels), DROP_CONGESTION);
}

void relay_receive(struct session *session, uint32_t channel, const uint8_t *data, size_t len,
                   uint64_t now_us)
{
    struct host *host = session->host;
    struct relay *relay = find_channel(session, channel);
    if (relay == NULL) {
        drop_count(tunnel_table_drops(host->tunnels), DROP_NO_TUNNEL);
        return;
    }
    const struct endpoint from = relay->endpoint;
    login_client_use(session_login(session), now_us);
    switch (datagram_classify(data, len)) {
    case DATAGRAM_KEEPALIVE:
        break;
    case DATAGRAM_IKE:
        host_take_ike(host, data + DEMUX_MARKER_LEN, len - DEMUX_MARKER_LEN, &from, now_us);
        break;
    case DATAGRAM_STUN_MAYBE: /* ciphertext that looks so: nobody checks a relay's path */
    case DATAGRAM_DATA:
        take_data(host, relay, data, len);
        break;
    }
}

struct session *relay_session(struct host *host, const struct endpoint *endpoint)
{
    struct relay *relay = find_endpoint(host, endpoint);
    return relay != NULL ? relay->session : NULL;
}

const char *relay_format(struct host *host, const struct endpoint *endpoint,
                         char ret_text[RELAY_TEXT_CAP])
{
    if (!relay_is_endpoint(endpoint)) {
        char text[ENDPOINT_TEXT_CAP];
        snprintf(ret_text, RELAY_TEXT_CAP, "%s%s", endpoint_format(endpoint, text, sizeof(text)),
                 streams_suffix(endpoint));
        return ret_text;
    }
    struct session *session = relay_session(host, endpoint);
    snprintf(ret_text, RELAY_TEXT_CAP, "relay %s",
             session != NULL ? session_zone(session) : "(gone)");
    return ret_text;
}
