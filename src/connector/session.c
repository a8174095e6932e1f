/* The connections of log-in sessions: accepting within limits, framing, bounded queues, time-outs.
 */
#include "connector/session_internal.h"

#include "connector/admission.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/tls.h"
#include "io/clock.h"

#define BACKLOG         1024
#define WRITE_QUEUE_MAX ((size_t)64 * 1024) /* calls to a host that does not read */
#define RELAY_QUEUE_MAX                                                                            \
    ((size_t)32 * 1024)                  /* … and relayed datagrams, which leave room for calls */
#define RELAY_UNSENT_MAX (32 * 1024)     /* of the kernel's own queue */
#define FRAME_CAP        4608            /* messages have at most 4096 bytes */
#define KEEPALIVE_S      60              /* TCP's own, beside the IKE checks */
#define FLUSH_US         (5 * SECOND_US) /* a goodbye that is not read within is dropped */
/* What a log-in takes, TLS included, and more: before it has proven a key, a peer says no more. */
#define UNPROVEN_MAX ((size_t)32 * 1024)
#define BURST        10
#define BURST_US     (60 * SECOND_US)

struct outgoing {
    uv_write_t request;
    uint8_t data[];
};

struct session *session_find(const struct connector *connector, uint64_t number)
{
    const uint64_t hash = map_hash(&connector->sessions, &number, sizeof number);
    struct map_node *node = map_first(&connector->sessions, hash);
    for (; node != NULL; node = map_next(node)) {
        struct session *session = CONTAINER_OF(node, struct session, node);
        if (session->number == number)
            return session;
    }
    return NULL;
}

void session_mark_busy(struct session *session)
{
    struct connector *connector = session->connector;
    if (session->is_busy || session->is_ended)
        return;
    session->is_busy = true;
    session->busy_next = NULL;
    session->busy_previous = connector->busy_last;
    if (connector->busy_last != NULL)
        connector->busy_last->busy_next = session;
    else
        connector->busy_first = session;
    connector->busy_last = session;
}

static void clear_busy(struct session *session)
{
    struct connector *connector = session->connector;
    if (!session->is_busy)
        return;
    session->is_busy = false;
    if (session->busy_previous != NULL)
        session->busy_previous->busy_next = session->busy_next;
    else
        connector->busy_first = session->busy_next;
    if (session->busy_next != NULL)
        session->busy_next->busy_previous = session->busy_previous;
    else
        connector->busy_last = session->busy_previous;
}

bool sessions_drive(struct connector *connector, uint64_t now_us)
{
    bool has_done = false;
    struct session *session;
    while ((session = connector->busy_first) != NULL) {
        clear_busy(session);
        session_drive(session, now_us);
        has_done = true;
    }
    return has_done;
}

static void on_closed(uv_handle_t *handle)
{
    struct session *session = handle->data;
    session->connector->stream_count--;
    ike_stream_done(&session->parser);
    free(session);
}

static void close_stream(struct session *session)
{
    deadline_clear(&session->connector->session_deadlines, &session->deadline);
    if (uv_is_closing((uv_handle_t *)&session->tcp))
        return;
    session->connector->open_count--;
    uv_close((uv_handle_t *)&session->tcp, on_closed);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    close_stream(request->data);
    free(request);
}

/* What was written last, the DELETE, goes out before the stream ends. */
static void flush_stream(struct session *session, uint64_t now_us)
{
    uv_shutdown_t *shutdown = malloc(sizeof *shutdown);
    int error = shutdown != NULL ? ERR_OK : ERR_NOMEM;
    if (error == ERR_OK) {
        shutdown->data = session;
        if (uv_shutdown(shutdown, (uv_stream_t *)&session->tcp, on_shutdown) != 0) {
            free(shutdown);
            error = ERR_IO;
        }
    }
    if (error == ERR_OK)
        error = deadline_set(&session->connector->session_deadlines, &session->deadline,
                             now_us + FLUSH_US);
    if (error != ERR_OK)
        close_stream(session);
}

void session_end(struct session *session, bool is_logout, uint64_t now_us)
{
    struct connector *connector = session->connector;
    if (session->is_ended)
        return;
    session->is_ended = true;
    clear_busy(session);
    deadline_clear(&connector->session_deadlines, &session->deadline);
    const bool is_stranger = stranger_is_listed(&session->stranger);
    session_trust(session); /* nor is it a stranger any more */
    map_remove(&connector->sessions, &session->node);
    admission_leave(connector, &session->remote.address);
    ike_sa_free(session->sa);
    session->sa = NULL;
    session_tls_end(session);
    relay_session_closed(connector->relay, session->number);
    if (session->is_registered)
        registry_session_closed(connector->registry, session->number, is_logout, now_us);
    /* What a stranger does not read is not worth its memory. */
    if (is_stranger && session_unsent(session) > 0)
        close_stream(session);
    else
        flush_stream(session, now_us);
}

void session_evict(struct stranger *stranger, uint64_t now_us)
{
    struct session *session = stranger != NULL ? stranger->session : NULL;
    if (session == NULL)
        return;
    session_end(session, false, now_us);
    close_stream(session); /* its file, too, and now */
}

void session_trust(struct session *session)
{
    strangers_remove(&session->connector->strangers, &session->stranger);
    strangers_remove(&session->connector->tls_strangers, &session->tls_stranger);
}

size_t session_unsent(const struct session *session)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&session->tcp);
}

static void on_written(uv_write_t *request, int status)
{
    free(request->data);
}

int session_write_bytes(struct session *session, const uint8_t *data, size_t len)
{
    uv_stream_t *stream = (uv_stream_t *)&session->tcp;
    uv_buf_t buffer = uv_buf_init((char *)data, (unsigned)len);
    /* Almost always the kernel takes it at once, and nothing is kept. */
    int taken = session_unsent(session) == 0 ? uv_try_write(stream, &buffer, 1) : 0;
    const size_t done = taken > 0 ? (size_t)taken : 0;
    if (done == len)
        return ERR_OK;
    struct outgoing *outgoing = malloc(sizeof *outgoing + len - done);
    if (outgoing == NULL)
        return ERR_NOMEM;
    memcpy(outgoing->data, data + done, len - done);
    buffer = uv_buf_init((char *)outgoing->data, (unsigned)(len - done));
    outgoing->request.data = outgoing;
    if (uv_write(&outgoing->request, stream, &buffer, 1, on_written) == 0)
        return ERR_OK;
    free(outgoing);
    return ERR_IO;
}

static int write_frame(struct session *session, uint32_t channel, const uint8_t *message,
                       size_t len, size_t queue_max)
{
    uint8_t frame[FRAME_CAP];
    struct writer w;
    writer_init(&w, frame, sizeof frame);
    ike_stream_put_frame(&w, channel, message, len);
    if (!writer_is_ok(&w))
        return w.error;
    if (session_unsent(session) + w.len > queue_max)
        return ERR_LIMIT;
    return session->tls != NULL ? session_tls_write(session, frame, w.len)
                                : session_write_bytes(session, frame, w.len);
}

int session_write(struct session *session, const uint8_t *message, size_t len)
{
    return write_frame(session, 0, message, len, WRITE_QUEUE_MAX);
}

/* One datagram on a relay channel, dropped where the host does not read fast enough: what waits
 * long is of no use to anyone. */
static void write_datagram(struct session *session, uint32_t channel, const uint8_t *data,
                           size_t len)
{
    if (write_frame(session, channel, data, len, RELAY_QUEUE_MAX) != ERR_OK)
        session->connector->relay_dropped++;
}

/* A datagram that the host wants passed on. */
static void pass_frame(struct session *session, const struct ike_frame *frame, uint64_t now_us)
{
    struct connector *connector = session->connector;
    uint64_t number;
    uint32_t channel;
    if (!session->is_registered || relay_pass(connector->relay, session->number, frame->channel,
                                              frame->len, now_us, &number, &channel) != ERR_OK)
        return;
    struct session *other = session_find(connector, number);
    if (other != NULL)
        write_datagram(other, channel, frame->data, frame->len);
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *ret_buffer)
{
    const struct session *session = handle->data;
    *ret_buffer = uv_buf_init((char *)session->connector->read_buffer, READ_CAP);
}

int session_take_bytes(struct session *session, const uint8_t *data, size_t len, uint64_t now_us)
{
    struct ike_frame frame;
    int error = ike_stream_feed(&session->parser, data, len);
    while (error == ERR_OK && !session->is_ended) {
        error = ike_stream_next(&session->parser, &frame);
        if (error == ERR_OK && frame.channel == 0)
            session_take_message(session, frame.data, frame.len, now_us);
        else if (error == ERR_OK)
            pass_frame(session, &frame, now_us);
    }
    return error;
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct session *session = stream->data;
    const uint64_t now_us = clock_now_us();
    const uint8_t *data = (const uint8_t *)buffer->base;
    int error = got > 0 ? ERR_OK : ERR_IO;
    if (got == 0 || session->is_ended)
        return;
    if (error == ERR_OK && stranger_is_listed(&session->stranger) &&
        (session->unproven_len += (size_t)got) > UNPROVEN_MAX)
        error = ERR_LIMIT;
    if (error == ERR_OK && !session->was_heard && data[0] == TLS_FIRST_BYTE)
        error = session_tls_begin(session, now_us);
    session->was_heard = true;
    if (error == ERR_OK && session->tls != NULL)
        error = session_tls_feed(session, data, (size_t)got, now_us);
    else if (error == ERR_OK)
        error = session_take_bytes(session, data, (size_t)got, now_us);
    if (error != ERR_OK && error != ERR_AGAIN)
        session_end(session, false, now_us);
}

/* Puts an accepted connection into the tables. */
static int register_session(struct session *session, uint64_t now_us)
{
    struct connector *connector = session->connector;
    struct sockaddr_storage address;
    int len = sizeof address;
    if (uv_tcp_getpeername(&session->tcp, (struct sockaddr *)&address, &len) != 0 ||
        endpoint_from_sockaddr((const struct sockaddr *)&address, &session->remote) != ERR_OK)
        return ERR_IO;
    int error = admission_enter(connector, &session->remote.address, now_us);
    if (error != ERR_OK)
        return error;
    session->number = ++connector->session_next;
    session->since_us = now_us;
    error =
        deadline_set(&connector->session_deadlines, &session->deadline, now_us + SESSION_AUTH_US);
    if (error == ERR_OK)
        error = strangers_add(&connector->strangers, &session->stranger, &session->remote.address);
    if (error == ERR_OK)
        error =
            map_insert(&connector->sessions, &session->node,
                       map_hash(&connector->sessions, &session->number, sizeof session->number));
    if (error == ERR_OK)
        return ERR_OK;
    session_trust(session);
    deadline_clear(&connector->session_deadlines, &session->deadline);
    admission_leave(connector, &session->remote.address);
    return error;
}

static void tell_refused(struct connector *connector, const struct session *session, int error,
                         uint64_t now_us)
{
    char text[ENDPOINT_TEXT_CAP];
    uint32_t suppressed = 0;
    if (!log_limit_is_open(&connector->stranger_log, now_us, BURST, BURST_US, &suppressed))
        return;
    log_warn("connection from %s refused: %s (%u more not shown); the limits are `sessions`, "
             "`sessions-per-address` and `sessions-per-site` in %s",
             endpoint_format(&session->remote, text, sizeof text), error_text(error), suppressed,
             connector->config.file);
}

/* The kernel's own queue would keep relayed datagrams for seconds. */
static void limit_unsent(struct session *session)
{
    const int unsent = RELAY_UNSENT_MAX;
    uv_os_fd_t fd;
    if (uv_fileno((const uv_handle_t *)&session->tcp, &fd) == 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
}

static void start_session(struct session *session, uint64_t now_us)
{
    const int error = register_session(session, now_us);
    if (error != ERR_OK) {
        if (error == ERR_LIMIT)
            tell_refused(session->connector, session, error, now_us);
        session->is_ended = true;
        close_stream(session);
        return;
    }
    uv_tcp_nodelay(&session->tcp, 1);
    limit_unsent(session);
    uv_tcp_keepalive(&session->tcp, 1, KEEPALIVE_S);
    if (uv_read_start((uv_stream_t *)&session->tcp, on_alloc, on_read) != 0)
        session_end(session, false, now_us);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct connector *connector = listener->data;
    struct session *session = status == 0 ? calloc(1, sizeof *session) : NULL;
    if (session == NULL || uv_tcp_init(&connector->loop, &session->tcp) != 0) {
        free(session);
        return;
    }
    session->tcp.data = session;
    session->connector = connector;
    session->stranger.session = session->tls_stranger.session = session;
    connector->stream_count++;
    connector->open_count++;
    ike_stream_init(&session->parser, true, IKE_STREAM_STRANGER_CAP);
    if (uv_accept(listener, (uv_stream_t *)&session->tcp) == 0) {
        start_session(session, clock_now_us());
    } else {
        session->is_ended = true;
        close_stream(session);
    }
}

static int listen_at(struct connector *connector, const struct endpoint *endpoint,
                     uv_tcp_t *listener, bool *is_listening)
{
    struct sockaddr_storage address;
    endpoint_to_sockaddr(endpoint, false, &address);
    int result = uv_tcp_init(&connector->loop, listener);
    if (result == 0) {
        *is_listening = true;
        listener->data = connector;
        result = uv_tcp_bind(listener, (const struct sockaddr *)&address, 0);
    }
    if (result == 0)
        result = uv_listen((uv_stream_t *)listener, BACKLOG, on_connection);
    errno = -result;
    return result == 0 ? ERR_OK : ERR_IO;
}

static void stop_listening(uv_tcp_t *listener, bool *is_listening)
{
    if (*is_listening)
        uv_close((uv_handle_t *)listener, NULL);
    *is_listening = false;
}

int sessions_listen(struct connector *connector)
{
    return listen_at(connector, &connector->config.listen, &connector->listener,
                     &connector->is_listening);
}

int sessions_listen_tls(struct connector *connector)
{
    const int error = listen_at(connector, &connector->config.listen_tls, &connector->tls_listener,
                                &connector->is_tls_listening);
    const int why = errno;
    if (error != ERR_OK)
        stop_listening(&connector->tls_listener, &connector->is_tls_listening);
    errno = why;
    return error;
}

void sessions_stop_listening(struct connector *connector)
{
    stop_listening(&connector->listener, &connector->is_listening);
    stop_listening(&connector->tls_listener, &connector->is_tls_listening);
}

uint64_t sessions_deadline(const struct connector *connector)
{
    return deadline_min(deadline_heap_next(&connector->session_deadlines),
                        ike_table_deadline(connector->ike));
}

void sessions_expire(struct connector *connector, uint64_t now_us)
{
    struct deadline *due;
    struct ike_sa *sa;
    while ((due = deadline_heap_pop(&connector->session_deadlines, now_us)) != NULL) {
        struct session *session = CONTAINER_OF(due, struct session, deadline);
        if (session->is_ended)
            close_stream(session);
        else
            session_end(session, false, now_us);
    }
    while ((sa = ike_table_expire(connector->ike, now_us)) != NULL) {
        if (ike_sa_user(sa) != NULL)
            session_mark_busy(ike_sa_user(sa));
    }
}

void sessions_cut(struct connector *connector)
{
    struct map_node *node = map_walk(&connector->sessions, NULL);
    const uint64_t now_us = clock_now_us();
    while (node != NULL) {
        struct map_node *next = map_walk(&connector->sessions, node);
        struct session *session = CONTAINER_OF(node, struct session, node);
        session_end(session, false, now_us);
        node = next;
    }
    /* Those that are flushing still. */
    struct deadline *due;
    while ((due = deadline_heap_pop(&connector->session_deadlines, DEADLINE_NEVER - 1)) != NULL)
        close_stream(CONTAINER_OF(due, struct session, deadline));
}

const struct endpoint *session_remote(const struct connector *connector, uint64_t number)
{
    const struct session *session = session_find(connector, number);
    return session != NULL ? &session->remote : NULL;
}

const struct public_key *session_key(const struct connector *connector, uint64_t number)
{
    const struct session *session = session_find(connector, number);
    return session != NULL && session->sa != NULL ? ike_sa_peer_key(session->sa) : NULL;
}

uint64_t session_since_us(const struct connector *connector, uint64_t number)
{
    const struct session *session = session_find(connector, number);
    return session != NULL ? session->since_us : 0;
}
