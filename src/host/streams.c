/* Life of TCP connections with plain peers: made or accepted, lost and made again, dropped when
 * nobody uses them. What their frames mean is decided elsewhere. */
#include "host/streams.h"

#include "host/carrier.h"
#include "host/datapath.h"
#include "host/host.h"
#include "host/peer.h"
#include "host/plain.h"
#include "io/clock.h"
#include "io/route.h"
#include "wire/ike.h"
#include <stdlib.h>
#include <string.h>

#define BACKLOG 32
/* Connections that no peer of ours has proven to be its own: all of them, and of one address. */
#define STRANGERS_MAX     48
#define STRANGERS_ONE_MAX 8
/* What such a one may send, and how long it may take to become more: an IKE_AUTH with certificates
 * fits in both many times. */
#define STRANGER_BYTES_MAX (64 * 1024)
#define STRANGER_US        (10 * SECOND_US)
#define QUEUE_MAX          ((size_t)64 * 1024) /* ESP packets wait no longer than this takes */
#define IKE_QUEUE_MAX      ((size_t)256 * 1024)
#define STRANGER_QUEUE_MAX ((size_t)16 * 1024) /* of answers that it does not read */
#define LOOK_US            (5 * SECOND_US)
#define CONNECT_US         (10 * SECOND_US)
#define AGAIN_US           (200 * MS_US) /* until a lost one is made again; doubled, up to the next: */
#define AGAIN_MAX_US       (10 * SECOND_US)
#define FRAME_CAP          HANDOFF_DATA_CAP
#define SPI_LEN            4
#define VERSION_AT         17 /* in the IKE header */
#define FLAGS_AT           19

struct stream {
    struct stream *next;
    struct host *host;
    struct carrier *carrier; /* NULL: lost, to be made again */
    struct endpoint endpoint;
    bool is_ours;   /* made by us */
    bool is_ready;  /* frames may be written */
    bool is_proven; /* a peer of ours uses it */
    bool is_known;  /* … or has used it */
    size_t stranger_len;
    uint64_t since_us;
    uint64_t begun_us; /* to connect */
    uint64_t asked;    /* hash of the last request that it has carried */
    uint64_t again_us, wait_us;
};

struct streams {
    struct host *host;
    struct stream *list; /* newest first */
    uv_tcp_t listener;
    bool is_listening;
    struct task task;
    uint64_t look_us; /* when that is due */
};

static void on_ready(void *context);
static void on_frame(void *context, uint32_t channel, const uint8_t *data, size_t len);
static void on_failed(void *context, const char *why);
static const struct carrier_handler handler = {on_ready, on_frame, on_failed};

const char *streams_suffix(const struct endpoint *endpoint)
{
    return endpoint_is_stream(endpoint) ? " over TCP" : "";
}

static struct stream *find(const struct streams *streams, const struct endpoint *endpoint)
{
    struct stream *stream = streams != NULL ? streams->list : NULL;
    while (stream != NULL && !endpoint_is_equal(&stream->endpoint, endpoint))
        stream = stream->next;
    return stream;
}

static struct stream *add(struct streams *streams, const struct endpoint *endpoint, bool is_ours)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return NULL;
    stream->host = streams->host;
    stream->endpoint = *endpoint;
    stream->is_ours = is_ours;
    stream->since_us = clock_now_us();
    stream->wait_us = AGAIN_US;
    stream->next = streams->list;
    streams->list = stream;
    return stream;
}

static void drop(struct stream *stream)
{
    struct stream **link = &stream->host->streams->list;
    while (*link != stream)
        link = &(*link)->next;
    *link = stream->next;
    /* Of strangers nothing may be left that is not counted. */
    if (stream->is_ours || stream->is_known)
        carrier_close(stream->carrier);
    else
        carrier_abort(stream->carrier);
    free(stream);
}

static bool prove(struct stream *stream)
{
    stream->is_proven = plain_uses(stream->host, &stream->endpoint);
    stream->is_known = stream->is_known || stream->is_proven;
    return stream->is_proven;
}

/* ---- looking after them ---- */

static void look_by(struct streams *streams, uint64_t by_us)
{
    if (streams->look_us <= by_us)
        return;
    streams->look_us = by_us;
    task_set(&streams->host->tasks, &streams->task, by_us);
}

static int connect_stream(struct stream *stream)
{
    struct carrier_target target = {.connect = stream->endpoint};
    target.connect.socket = 0;
    stream->is_ready = false;
    stream->asked = 0;
    stream->begun_us = clock_now_us();
    return carrier_open(stream->host, &target, &handler, stream, &stream->carrier);
}

static void lose(struct stream *stream, uint64_t now_us)
{
    struct streams *streams = stream->host->streams;
    carrier_close(stream->carrier);
    stream->carrier = NULL;
    stream->is_ready = false;
    stream->again_us = now_us + stream->wait_us;
    stream->wait_us = 2 * stream->wait_us < AGAIN_MAX_US ? 2 * stream->wait_us : AGAIN_MAX_US;
    look_by(streams, stream->again_us);
}

/* False: it has gone. */
static bool look_at(struct stream *stream, uint64_t now_us)
{
    (void)prove(stream);
    const uint64_t patience_us = stream->is_ours ? 0 : STRANGER_US;
    if (!stream->is_proven && now_us - stream->since_us >= patience_us) {
        drop(stream);
        return false;
    }
    if (stream->is_proven)
        stream->since_us = now_us; /* since when nobody uses it */
    if (stream->carrier != NULL && !stream->is_ready && now_us - stream->begun_us >= CONNECT_US)
        lose(stream, now_us);
    if (stream->carrier == NULL && now_us >= stream->again_us && connect_stream(stream) != ERR_OK)
        lose(stream, now_us);
    return true;
}

static void on_task(struct task *task, uint64_t now_us)
{
    struct streams *streams = CONTAINER_OF(task, struct streams, task);
    struct stream *next;
    streams->look_us = DEADLINE_NEVER;
    for (struct stream *stream = streams->list; stream != NULL; stream = next) {
        next = stream->next;
        if (look_at(stream, now_us) && stream->carrier == NULL)
            look_by(streams, stream->again_us);
    }
    if (streams->list != NULL)
        look_by(streams, now_us + LOOK_US);
}

/* ---- what happens to one ---- */

static void on_ready(void *context)
{
    struct stream *stream = context;
    const struct endpoint endpoint = stream->endpoint;
    stream->is_ready = true;
    stream->wait_us = AGAIN_US;
    plain_on_stream(stream->host, &endpoint, NULL, clock_now_us());
}

static void on_failed(void *context, const char *why)
{
    struct stream *stream = context;
    struct host *host = stream->host;
    const struct endpoint endpoint = stream->endpoint;
    const uint64_t now_us = clock_now_us();
    char text[ENDPOINT_TEXT_CAP];
    log_debug("TCP with %s: %s", endpoint_format(&endpoint, text, sizeof(text)), why);
    /* Who accepted it keeps its SAs, and waits (RFC 9329, 6.1). */
    if (stream->is_ours && plain_uses(host, &endpoint))
        lose(stream, now_us);
    else
        drop(stream);
    plain_on_stream(host, &endpoint, why, now_us);
}

/* Only IKEv2, and only what concerns plain peers: the SAs of Detec hosts have other ways. */
static bool is_for_peers(struct host *host, const uint8_t *message, size_t len)
{
    if (len < IKE_HEADER_LEN || message[VERSION_AT] >> 4 != 2)
        return false;
    const struct ike_sa *sa = ike_table_peek(host->ike, message, len);
    const struct peer *peer = sa != NULL ? ike_sa_user(sa) : NULL;
    return peer == NULL || peer->plain != NULL;
}

static void on_frame(void *context, uint32_t channel, const uint8_t *data, size_t len)
{
    struct stream *stream = context;
    struct host *host = stream->host;
    const struct endpoint from = stream->endpoint;
    uint8_t packet[FRAME_CAP];
    struct writer w;
    if (!stream->is_proven && !stream->is_ours)
        (void)prove(stream);
    if (!stream->is_proven && !stream->is_ours &&
        (stream->stranger_len += len + SPI_LEN) > STRANGER_BYTES_MAX) {
        drop(stream);
        return;
    }
    if (channel == 0) {
        if (is_for_peers(host, data, len))
            host_take_ike(host, data, len, &from, clock_now_us());
        return;
    }
    writer_init(&w, packet, sizeof(packet));
    writer_u32(&w, channel);
    writer_bytes(&w, data, len);
    /* Strangers' ESP costs no more than this. */
    if (!plain_uses(host, &from) || !writer_is_ok(&w))
        drop_count(tunnel_table_drops(host->tunnels), DROP_NO_TUNNEL);
    else if (!datapath_receive(host->datapath, &from, packet, w.len))
        drop_count(tunnel_table_drops(host->tunnels), DROP_CONGESTION);
}

/* ---- accepting ---- */

/* Makes room where strangers have taken it all: the oldest one has had its chance. False: that
 * address has enough. */
static bool make_room(struct streams *streams, const struct address *address)
{
    const struct address group = address_group(address, ADDRESS_HOST_BITS);
    struct stream *oldest = NULL;
    size_t count = 0, same = 0;
    for (struct stream *stream = streams->list; stream != NULL; stream = stream->next) {
        if (stream->is_ours || prove(stream))
            continue;
        const struct address other = address_group(&stream->endpoint.address, ADDRESS_HOST_BITS);
        same += address_is_equal(&other, &group);
        count++;
        oldest = stream;
    }
    if (same >= STRANGERS_ONE_MAX)
        return false;
    if (count >= STRANGERS_MAX)
        drop(oldest);
    return true;
}

static void on_connection(uv_stream_t *server, int status)
{
    struct streams *streams = server->data;
    struct carrier *carrier;
    struct endpoint remote;
    if (status < 0 ||
        carrier_accept(streams->host, server, &handler, NULL, &carrier, &remote) != ERR_OK)
        return;
    remote.socket = ENDPOINT_SOCKET_STREAM;
    struct stream *stream = NULL;
    if (!streams->host->is_stopping && find(streams, &remote) == NULL &&
        make_room(streams, &remote.address))
        stream = add(streams, &remote, false);
    if (stream == NULL) {
        carrier_abort(carrier);
        return;
    }
    stream->carrier = carrier;
    stream->is_ready = true;
    carrier_set_handler(carrier, &handler, stream);
    look_by(streams, clock_now_us() + LOOK_US);
}

/* IPv6 may be off. */
static int bind_listener(struct streams *streams, uint16_t port)
{
    struct sockaddr_in6 all6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in all4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int result = uv_tcp_bind(&streams->listener, (const struct sockaddr *)&all6, 0);
    if (result == UV_EAFNOSUPPORT || result == UV_EADDRNOTAVAIL)
        result = uv_tcp_bind(&streams->listener, (const struct sockaddr *)&all4, 0);
    if (result == 0)
        result = uv_listen((uv_stream_t *)&streams->listener, BACKLOG, on_connection);
    return result == 0 ? ERR_OK : result == UV_EADDRINUSE ? ERR_EXISTS : ERR_IO;
}

static int make(struct host *host)
{
    if (host->streams != NULL)
        return ERR_OK;
    host->streams = calloc(1, sizeof(*host->streams));
    if (host->streams == NULL)
        return ERR_NOMEM;
    host->streams->host = host;
    host->streams->task.run = on_task;
    host->streams->look_us = DEADLINE_NEVER;
    return ERR_OK;
}

int streams_listen(struct host *host, uint16_t port)
{
    int error = make(host);
    if (error != ERR_OK)
        return error;
    struct streams *streams = host->streams;
    if (uv_tcp_init(&host->loop, &streams->listener) != 0)
        return ERR_NOMEM;
    streams->listener.data = streams;
    streams->is_listening = true;
    return bind_listener(streams, port);
}

int streams_open(struct host *host, const struct endpoint *to, bool is_shared)
{
    int error = make(host);
    if (error != ERR_OK)
        return error;
    struct streams *streams = host->streams;
    struct stream *stream = find(streams, to);
    if (stream != NULL && is_shared) {
        if (stream->carrier == NULL) {
            stream->again_us = 0;
            look_by(streams, clock_now_us());
        }
        return stream->is_ready ? ERR_EXISTS : ERR_OK;
    }
    if (stream != NULL)
        drop(stream); /* of a call before: a fresh one has nothing left over in it */
    stream = add(streams, to, true);
    if (stream == NULL)
        return ERR_NOMEM;
    error = connect_stream(stream);
    if (error != ERR_OK) {
        drop(stream);
        return error;
    }
    look_by(streams, clock_now_us() + LOOK_US);
    return ERR_OK;
}

/* ---- sending ---- */

void streams_send_ike(struct host *host, const struct endpoint *to, const uint8_t *message,
                      size_t len)
{
    struct stream *stream = find(host->streams, to);
    if (stream == NULL || !stream->is_ready || len < IKE_HEADER_LEN)
        return;
    const bool is_request = (message[FLAGS_AT] & IKE_FLAG_RESPONSE) == 0;
    const uint64_t hash = siphash(host->seed, message, len);
    if (is_request && hash == stream->asked)
        return;
    const size_t queue_max =
        stream->is_ours || stream->is_known ? IKE_QUEUE_MAX : STRANGER_QUEUE_MAX;
    if (carrier_write(stream->carrier, 0, message, len, queue_max) == ERR_OK && is_request)
        stream->asked = hash;
}

void streams_send(struct host *host, const struct endpoint *to, const uint8_t *packet, size_t len)
{
    struct stream *stream = find(host->streams, to);
    struct reader r;
    reader_init(&r, packet, len);
    const uint32_t spi = reader_u32(&r);
    if (stream == NULL || !stream->is_ready || len <= SPI_LEN || spi == 0 ||
        carrier_write(stream->carrier, spi, packet + SPI_LEN, len - SPI_LEN, QUEUE_MAX) != ERR_OK)
        drop_count(tunnel_table_drops(host->tunnels),
                   stream == NULL ? DROP_NO_TUNNEL : DROP_CONGESTION);
}

void streams_on_network(struct host *host, uint64_t now_us)
{
    struct stream *stream = host->streams != NULL ? host->streams->list : NULL;
    for (; stream != NULL; stream = stream->next) {
        struct route_lookup route;
        struct address local;
        if (!stream->is_ours ||
            route_lookup(&host->netlink, &stream->endpoint.address, HOST_MARK, &route) != ERR_OK ||
            route.is_unreachable)
            continue;
        if (stream->carrier != NULL && carrier_local(stream->carrier, &local) == ERR_OK &&
            address_is_equal(&local, &route.source))
            continue;
        stream->wait_us = 0;
        lose(stream, now_us);
        stream->wait_us = AGAIN_US;
    }
}

void streams_close(struct host *host)
{
    struct streams *streams = host->streams;
    if (streams == NULL)
        return;
    task_clear(&host->tasks, &streams->task);
    while (streams->list != NULL)
        drop(streams->list);
    if (streams->is_listening)
        uv_close((uv_handle_t *)&streams->listener, NULL);
    streams->is_listening = false;
}

void streams_free(struct host *host)
{
    free(host->streams);
    host->streams = NULL;
}
