/* TCP by libuv, CONNECT and TLS from their machines, frames by ike_stream. A carrier lives until
 * libuv has let go of it, longer than its owner may. */
#include "host/carrier.h"

#include "crypto/memory.h"
#include "crypto/tls.h"
#include "host/host.h"
#include "io/clock.h"
#include "io/ike_stream.h"
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEPALIVE_S      30
#define USER_TIMEOUT_MS  10000 /* sent and not acknowledged for so long: the other side is gone */
#define CLOSE_MS         2000  /* what was written may take so long to go out at the end */
#define RELAY_UNSENT_MAX (32 * 1024)
#define READ_CAP         16384
#define FRAME_CAP        4608 /* messages and datagrams have at most 4096 bytes */
/* Answers of TLS itself that the other side does not read: whoever asks for new keys again and
 * again gets one each time. More than what anybody lets wait for carrier_write(). */
#define UNREAD_MAX ((size_t)512 * 1024)

enum carrier_state {
    CARRIER_CONNECTING,
    CARRIER_ASKING,  /* the proxy */
    CARRIER_SHAKING, /* TLS */
    CARRIER_READY,
};

struct carrier {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    uv_timer_t timer; /* until the end is forced */
    bool has_timer;
    struct host *host;
    const struct carrier_handler *handler; /* NULL once the owner has let go */
    void *context;
    struct carrier_target target;
    enum carrier_state state;
    bool is_connected;
    uint64_t started_us, connect_us;
    struct tls_channel *tls;
    struct ike_stream parser;
    uint8_t *head; /* of the proxy's answer, while it is incomplete */
    size_t head_len;
    uint8_t buffer[READ_CAP];
};

struct outgoing {
    uv_write_t request;
    uint8_t data[];
};

static void on_timer_closed(uv_handle_t *handle)
{
    struct carrier *carrier = handle->data;
    carrier->host->stream_count--;
    ike_stream_done(&carrier->parser);
    tls_channel_free(carrier->tls);
    free(carrier->head);
    free(carrier);
}

static void on_closed(uv_handle_t *handle)
{
    struct carrier *carrier = handle->data;
    if (carrier->has_timer)
        uv_close((uv_handle_t *)&carrier->timer, on_timer_closed);
    else
        on_timer_closed(handle);
}

static void close_handle(struct carrier *carrier)
{
    if (!uv_is_closing((uv_handle_t *)&carrier->tcp))
        uv_close((uv_handle_t *)&carrier->tcp, on_closed);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    close_handle(request->data);
}

static void on_close_late(uv_timer_t *timer)
{
    close_handle(timer->data);
}

void carrier_abort(struct carrier *carrier)
{
    if (carrier == NULL)
        return;
    carrier->handler = NULL;
    close_handle(carrier);
}

void carrier_close(struct carrier *carrier)
{
    if (carrier == NULL)
        return;
    carrier->handler = NULL;
    /* What was written last, a DELETE, goes out before the end of the stream does. */
    carrier->has_timer =
        carrier->is_connected && uv_timer_init(&carrier->host->loop, &carrier->timer) == 0;
    carrier->timer.data = carrier;
    if (!carrier->has_timer || uv_timer_start(&carrier->timer, on_close_late, CLOSE_MS, 0) != 0 ||
        uv_shutdown(&carrier->shutdown, (uv_stream_t *)&carrier->tcp, on_shutdown) != 0)
        close_handle(carrier);
}

static void fail(struct carrier *carrier, const char *why)
{
    if (carrier->handler != NULL)
        carrier->handler->failed(carrier->context, why);
}

static void on_written(uv_write_t *request, int status)
{
    free(request->data);
}

static int write_bytes(struct carrier *carrier, const uint8_t *data, size_t len)
{
    struct outgoing *outgoing = malloc(sizeof(*outgoing) + len);
    if (outgoing == NULL)
        return ERR_NOMEM;
    memcpy(outgoing->data, data, len);
    outgoing->request.data = outgoing;
    uv_buf_t buffer = uv_buf_init((char *)outgoing->data, (unsigned int)len);
    if (uv_write(&outgoing->request, (uv_stream_t *)&carrier->tcp, &buffer, 1, on_written) == 0)
        return ERR_OK;
    free(outgoing);
    return ERR_IO;
}

/* Ciphertext that TLS wants sent. */
static int flush_tls(struct carrier *carrier)
{
    uint8_t data[FRAME_CAP];
    size_t len;
    int error = ERR_OK;
    while (error == ERR_OK && (len = tls_channel_take(carrier->tls, data, sizeof(data))) > 0)
        error = write_bytes(carrier, data, len);
    return error;
}

/* Bytes of the IKE stream, in TLS or plain. */
static int write_stream(struct carrier *carrier, const uint8_t *data, size_t len)
{
    if (carrier->tls == NULL)
        return write_bytes(carrier, data, len);
    const int error = tls_channel_write(carrier->tls, data, len);
    return error == ERR_OK ? flush_tls(carrier) : error;
}

int carrier_write(struct carrier *carrier, uint32_t channel, const uint8_t *data, size_t len,
                  size_t queue_max)
{
    uint8_t frame[FRAME_CAP];
    struct writer w;
    if (carrier->state != CARRIER_READY)
        return ERR_STATE;
    if (uv_stream_get_write_queue_size((uv_stream_t *)&carrier->tcp) > queue_max)
        return ERR_LIMIT;
    writer_init(&w, frame, sizeof(frame));
    ike_stream_put_frame(&w, channel, data, len);
    return writer_is_ok(&w) ? write_stream(carrier, frame, w.len) : w.error;
}

/* Everything is in place: the stream begins. */
static void become_ready(struct carrier *carrier)
{
    uint8_t prefix[IKE_STREAM_PREFIX_LEN];
    struct writer w;
    carrier->state = CARRIER_READY;
    writer_init(&w, prefix, sizeof(prefix));
    ike_stream_put_prefix(&w);
    if (write_stream(carrier, prefix, w.len) != ERR_OK)
        fail(carrier, "cannot write to it");
    else if (carrier->handler != NULL)
        carrier->handler->ready(carrier->context);
}

static void start_tls(struct carrier *carrier)
{
    const char *name = carrier->target.server_name;
    struct tls_context *context = NULL;
    carrier->state = CARRIER_SHAKING;
    int error = tls_client_new(&context);
    if (error == ERR_OK)
        error = tls_channel_new(context, name[0] != '\0' ? name : NULL, &carrier->tls);
    tls_context_free(context);
    if (error == ERR_OK)
        error = flush_tls(carrier);
    if (error != ERR_OK)
        fail(carrier, "cannot start TLS on it");
}

/* There is a way for bytes to the connector. */
static void start_stream(struct carrier *carrier)
{
    if (carrier->target.is_tls)
        start_tls(carrier);
    else
        become_ready(carrier);
}

static void ask_proxy(struct carrier *carrier)
{
    uint8_t request[HTTP_REQUEST_CAP];
    struct writer w;
    carrier->state = CARRIER_ASKING;
    writer_init(&w, request, sizeof(request));
    http_connect_build(&w, carrier->target.proxy, carrier->target.authority);
    const int error = writer_is_ok(&w) ? write_bytes(carrier, request, w.len) : w.error;
    crypto_wipe(request, sizeof(request));
    if (error != ERR_OK)
        fail(carrier, "it cannot be asked");
}

/* The frames in these bytes. */
static void take_stream(struct carrier *carrier, const uint8_t *data, size_t len)
{
    struct ike_frame frame;
    int error = ike_stream_feed(&carrier->parser, data, len);
    while (error == ERR_OK && carrier->handler != NULL) {
        error = ike_stream_next(&carrier->parser, &frame);
        if (error == ERR_OK)
            carrier->handler->frame(carrier->context, frame.channel, frame.data, frame.len);
    }
    if (error != ERR_OK && error != ERR_AGAIN)
        fail(carrier, "it does not speak IKE in TCP");
}

static void take_records(struct carrier *carrier, const uint8_t *data, size_t len)
{
    uint8_t plain[FRAME_CAP];
    size_t plain_len = 0;
    int error = ERR_OK;
    while (len > 0 && carrier->handler != NULL && error == ERR_OK) {
        const size_t piece = len < TLS_FEED_MAX ? len : TLS_FEED_MAX;
        error = tls_channel_feed(carrier->tls, data, piece);
        if (flush_tls(carrier) != ERR_OK ||
            uv_stream_get_write_queue_size((uv_stream_t *)&carrier->tcp) > UNREAD_MAX)
            error = ERR_IO;
        if (error == ERR_OK && carrier->state == CARRIER_SHAKING &&
            tls_channel_is_ready(carrier->tls))
            become_ready(carrier);
        while (error == ERR_OK && carrier->handler != NULL) {
            error = tls_channel_read(carrier->tls, plain, sizeof(plain), &plain_len);
            if (error == ERR_OK)
                take_stream(carrier, plain, plain_len);
        }
        error = error == ERR_AGAIN ? ERR_OK : error;
        data += piece;
        len -= piece;
    }
    if (error == ERR_IO)
        fail(carrier, "cannot write to it");
    else if (error != ERR_OK)
        fail(carrier, error == ERR_NOT_FOUND ? "closed by it" : "it does not speak TLS");
}

/* The head of the proxy's answer, whole or in pieces. */
static void take_answer(struct carrier *carrier, const uint8_t *data, size_t len)
{
    unsigned status = 0;
    size_t head_len = 0;
    char why[64];
    if (carrier->head == NULL)
        carrier->head = malloc(HTTP_RESPONSE_MAX);
    if (carrier->head == NULL || len > HTTP_RESPONSE_MAX - carrier->head_len) {
        fail(carrier, "it says too much");
        return;
    }
    memcpy(carrier->head + carrier->head_len, data, len);
    carrier->head_len += len;
    const int error = http_connect_parse(carrier->head, carrier->head_len, &status, &head_len);
    if (error == ERR_AGAIN)
        return;
    if (error != ERR_OK) {
        fail(carrier, "it does not speak HTTP");
    } else if (status == 407 || status == 401) {
        fail(carrier, "it wants a user and a password, or others");
    } else if (status < 200 || status > 299) {
        snprintf(why, sizeof(why), "it refuses (%u)", status);
        fail(carrier, why);
    } else if (head_len != carrier->head_len) {
        /* The connector speaks only when it was spoken to. */
        fail(carrier, "it does not speak HTTP");
    } else {
        free(carrier->head);
        carrier->head = NULL;
        start_stream(carrier);
    }
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *ret_buffer)
{
    struct carrier *carrier = handle->data;
    *ret_buffer = uv_buf_init((char *)carrier->buffer, sizeof(carrier->buffer));
}

static void on_read(uv_stream_t *handle, ssize_t got, const uv_buf_t *buffer)
{
    struct carrier *carrier = handle->data;
    const uint8_t *data = (const uint8_t *)buffer->base;
    if (got == 0 || carrier->handler == NULL)
        return;
    if (got < 0)
        fail(carrier, got == UV_EOF ? "closed by it" : uv_strerror((int)got));
    else if (carrier->state == CARRIER_ASKING)
        take_answer(carrier, data, (size_t)got);
    else if (carrier->tls != NULL)
        take_records(carrier, data, (size_t)got);
    else
        take_stream(carrier, data, (size_t)got);
}

/* The kernel's own queue would keep relayed datagrams for seconds, and keep trying for minutes. */
static void set_options(struct carrier *carrier)
{
    const int unsent = RELAY_UNSENT_MAX;
    const unsigned timeout_ms = USER_TIMEOUT_MS;
    uv_os_fd_t fd;
    uv_tcp_nodelay(&carrier->tcp, 1);
    uv_tcp_keepalive(&carrier->tcp, 1, KEEPALIVE_S);
    if (uv_fileno((const uv_handle_t *)&carrier->tcp, &fd) != 0)
        return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

static void on_connected(uv_connect_t *request, int status)
{
    struct carrier *carrier = request->data;
    if (carrier->handler == NULL || status == UV_ECANCELED)
        return;
    if (status != 0) {
        fail(carrier, uv_strerror(status));
        return;
    }
    carrier->is_connected = true;
    carrier->connect_us = clock_now_us() - carrier->started_us;
    set_options(carrier);
    if (uv_read_start((uv_stream_t *)&carrier->tcp, on_alloc, on_read) != 0)
        fail(carrier, "cannot read from it");
    else if (carrier->target.proxy != NULL)
        ask_proxy(carrier);
    else
        start_stream(carrier);
}

int carrier_open(struct host *host, const struct carrier_target *target,
                 const struct carrier_handler *handler, void *context, struct carrier **ret_carrier)
{
    struct sockaddr_storage address;
    struct carrier *carrier = calloc(1, sizeof(*carrier));
    if (carrier == NULL || uv_tcp_init(&host->loop, &carrier->tcp) != 0) {
        free(carrier);
        return ERR_NOMEM;
    }
    host->stream_count++;
    carrier->host = host;
    carrier->handler = handler;
    carrier->context = context;
    carrier->target = *target;
    carrier->started_us = clock_now_us();
    carrier->tcp.data = carrier->connect.data = carrier->shutdown.data = carrier;
    ike_stream_init(&carrier->parser, false, FRAME_CAP);
    endpoint_to_sockaddr(&target->connect, false, &address);
    if (uv_tcp_connect(&carrier->connect, &carrier->tcp, (const struct sockaddr *)&address,
                       on_connected) != 0) {
        carrier->handler = NULL;
        close_handle(carrier);
        return ERR_IO;
    }
    *ret_carrier = carrier;
    return ERR_OK;
}

int carrier_accept(struct host *host, uv_stream_t *server, const struct carrier_handler *handler,
                   void *context, struct carrier **ret_carrier, struct endpoint *ret_remote)
{
    struct sockaddr_storage name;
    struct endpoint remote;
    int len = sizeof(name);
    struct carrier *carrier = calloc(1, sizeof(*carrier));
    if (carrier == NULL || uv_tcp_init(&host->loop, &carrier->tcp) != 0) {
        free(carrier);
        return ERR_NOMEM;
    }
    host->stream_count++;
    carrier->host = host;
    carrier->tcp.data = carrier->shutdown.data = carrier;
    ike_stream_init(&carrier->parser, true, FRAME_CAP);
    if (uv_accept(server, (uv_stream_t *)&carrier->tcp) != 0 ||
        uv_tcp_getpeername(&carrier->tcp, (struct sockaddr *)&name, &len) != 0 ||
        endpoint_from_sockaddr((struct sockaddr *)&name, &remote) != ERR_OK ||
        uv_read_start((uv_stream_t *)&carrier->tcp, on_alloc, on_read) != 0) {
        close_handle(carrier);
        return ERR_IO;
    }
    carrier->state = CARRIER_READY;
    carrier->is_connected = true;
    carrier->target.connect = remote;
    carrier->handler = handler;
    carrier->context = context;
    set_options(carrier);
    *ret_carrier = carrier;
    *ret_remote = remote;
    return ERR_OK;
}

void carrier_set_handler(struct carrier *carrier, const struct carrier_handler *handler,
                         void *context)
{
    carrier->handler = handler;
    carrier->context = context;
}

uint64_t carrier_connect_us(const struct carrier *carrier)
{
    return carrier->connect_us;
}

int carrier_local(const struct carrier *carrier, struct address *ret_address)
{
    struct sockaddr_storage name;
    struct endpoint local;
    int len = sizeof(name);
    if (uv_tcp_getsockname(&carrier->tcp, (struct sockaddr *)&name, &len) != 0 ||
        endpoint_from_sockaddr((struct sockaddr *)&name, &local) != ERR_OK)
        return ERR_STATE;
    *ret_address = local.address;
    return ERR_OK;
}

const struct carrier_target *carrier_target(const struct carrier *carrier)
{
    return &carrier->target;
}
