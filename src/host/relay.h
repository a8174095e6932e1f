/* Relay channels: paths through a connector, for hosts between which no direct one opens. A channel
 * is named by an endpoint of the family ADDRESS_RELAY, so that tunnels and IKE SAs have it as their
 * remote end like any other; host_send() knows the difference, and the network never sees it. */
#ifndef HOST_RELAY_H
#define HOST_RELAY_H

#include "base/address.h"
#include "wire/notify.h"
#include <stdbool.h>

struct host;
struct relay;
struct session;

/* The connector of this session has opened a channel to the peer of this address. ERR_EXISTS: it
 * has said so before; ERR_LIMIT: too many are in use. */
MUST_USE int relay_add(struct session *session, const struct notify_relay *notify,
                       const struct address *peer, struct endpoint *ret_endpoint);
/* The connector has closed it: what used it needs another path. */
void relay_remove(struct session *session, uint32_t channel, uint64_t now_us);
/* The session's connection is gone, and all channels with it. */
void relay_remove_all(struct session *session, uint64_t now_us);

bool relay_is_endpoint(const struct endpoint *endpoint);
/* Sends one datagram on the channel; dropped, and counted, where the connection does not take it at
 * once or the channel is no more. */
void relay_send(struct host *host, const struct endpoint *to, const void *data, size_t len);
/* A frame from the connector. */
void relay_receive(struct session *session, uint32_t channel, const uint8_t *data, size_t len,
                   uint64_t now_us);

/* "relay ZONE", or the endpoint itself where it is a direct one. */
#define RELAY_TEXT_CAP 272
const char *relay_format(struct host *host, const struct endpoint *endpoint,
                         char ret_text[RELAY_TEXT_CAP]);
/* The session whose connector relays; NULL if there is none (any more). */
struct session *relay_session(struct host *host, const struct endpoint *endpoint);

#endif
