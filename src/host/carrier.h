/* One connection to a connector, or with a plain peer (host/streams.h), that carries frames (RFC
 * 9329): TCP, straight or through an HTTP proxy, and TLS around the frames where it is wanted.
 * Which way to try is dial.h's matter, what the frames mean session.h's. */
#ifndef HOST_CARRIER_H
#define HOST_CARRIER_H

#include "base/address.h"
#include "wire/http_connect.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct carrier;
struct host;

struct carrier_target {
    struct endpoint connect;           /* where TCP goes: the connector, or the proxy */
    const struct http_proxy *proxy;    /* NULL: straight; outlives the carrier */
    char authority[NAME_TEXT_CAP + 8]; /* what the proxy is asked for, "host:port" */
    bool is_tls;
    char server_name[NAME_TEXT_CAP]; /* for SNI; "": none */
};

/* None is called from within carrier_open, carrier_write, carrier_close or carrier_abort; each may
 * close the carrier. */
struct carrier_handler {
    /* Frames may be written. */
    void (*ready)(void *context);
    /* channel 0: an IKE message. */
    void (*frame)(void *context, uint32_t channel, const uint8_t *data, size_t len);
    /* It is of no more use; close it. `why` is a phrase. */
    void (*failed)(void *context, const char *why);
};

/* Begins to connect. The handler outlives the carrier. ERR_IO: no way there. */
MUST_USE int carrier_open(struct host *host, const struct carrier_target *target,
                          const struct carrier_handler *handler, void *context,
                          struct carrier **ret_carrier);
/* Takes the connection that waits at a listening handle: ready at once, and the other side begins
 * with the prefix. */
MUST_USE int carrier_accept(struct host *host, uv_stream_t *server,
                            const struct carrier_handler *handler, void *context,
                            struct carrier **ret_carrier, struct endpoint *ret_remote);
/* Another owner. */
void carrier_set_handler(struct carrier *carrier, const struct carrier_handler *handler,
                         void *context);
/* No more calls of the handler; what was written goes out first, where the other side takes it
 * within two seconds. NULL is fine. */
void carrier_close(struct carrier *carrier);
/* Likewise, and what waits to be written is lost: for strangers, who may never read. */
void carrier_abort(struct carrier *carrier);
/* One frame. ERR_STATE: not ready; ERR_LIMIT: more than queue_max bytes wait already. */
MUST_USE int carrier_write(struct carrier *carrier, uint32_t channel, const uint8_t *data,
                           size_t len, size_t queue_max);
/* How long TCP took to connect; 0: it has not. */
uint64_t carrier_connect_us(const struct carrier *carrier);
/* The address that it leaves from. ERR_STATE: not connected. */
MUST_USE int carrier_local(const struct carrier *carrier, struct address *ret_address);
const struct carrier_target *carrier_target(const struct carrier *carrier);

#endif
