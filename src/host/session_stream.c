/* A session's connection: TCP with the framing of RFC 9329, and the IKE SA in it. */
#include "host/session_internal.h"

#include "crypto/memory.h"
#include "host/call.h"
#include "host/relay.h"
#include "io/clock.h"
#include "io/ike_stream.h"
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEPALIVE_S      30
#define WRITE_QUEUE_MAX  (256 * 1024)
#define RELAY_QUEUE_MAX  (32 * 1024) /* relayed datagrams wait no longer than this takes */
#define RELAY_UNSENT_MAX (32 * 1024)
#define READ_CAP         16384

/* Lives on until libuv has let go of it, longer than its session may. */
struct stream {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    struct host *host;
    struct session *session; /* NULL once the session has let go */
    struct ike_stream parser;
    bool is_connected;
    uint8_t buffer[READ_CAP];
};

struct outgoing {
    uv_write_t request;
    uint8_t data[];
};

void session_note_error(struct session *session, const char *format, ...)
{
    char text[sizeof(session->error)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (strcmp(text, session->error) != 0)
        log_warn("%s: %s", session->zone, text);
    memcpy(session->error, text, sizeof(text));
}

static void on_closed(uv_handle_t *handle)
{
    struct stream *stream = handle->data;
    stream->host->stream_count--;
    ike_stream_done(&stream->parser);
    free(stream);
}

static void close_stream(struct stream *stream)
{
    if (!uv_is_closing((uv_handle_t *)&stream->tcp))
        uv_close((uv_handle_t *)&stream->tcp, on_closed);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    close_stream(request->data);
}

/* The connection is gone by itself. */
static void on_lost(struct stream *stream, const char *why)
{
    struct session *session = stream->session;
    if (session == NULL) {
        close_stream(stream);
        return;
    }
    session_note_error(session, "connection to its connector: %s", why);
    uint64_t now_us = clock_now_us();
    ike_sa_free(session->sa);
    session->sa = NULL;
    session_disconnect(session);
    login_client_disconnected(session->login, LOGIN_END_LOST, now_us);
    session_pump(session, now_us);
}

void session_reconnect(struct session *session, const char *why, uint64_t now_us)
{
    if (session->stream == NULL)
        return;
    on_lost(session->stream, why);
    login_client_hurry(session->login, now_us);
    session_pump(session, now_us);
}

bool session_is_bound_to(const struct session *session, const struct address *source)
{
    struct sockaddr_storage name;
    struct endpoint local;
    int len = sizeof(name);
    if (session->stream == NULL)
        return true;
    if (uv_tcp_getsockname(&session->stream->tcp, (struct sockaddr *)&name, &len) != 0 ||
        endpoint_from_sockaddr((struct sockaddr *)&name, &local) != ERR_OK)
        return false;
    return address_is_equal(&local.address, source);
}

static void on_written(uv_write_t *request, int status)
{
    free(request->data);
}

static int write_frame(struct stream *stream, uint32_t channel, const uint8_t *message, size_t len,
                       size_t queue_max)
{
    struct outgoing *outgoing = malloc(sizeof(*outgoing) + IKE_STREAM_HEADER_LEN + len);
    if (outgoing == NULL ||
        uv_stream_get_write_queue_size((uv_stream_t *)&stream->tcp) > queue_max) {
        const int error = outgoing == NULL ? ERR_NOMEM : ERR_LIMIT;
        free(outgoing);
        return error;
    }
    struct writer w;
    writer_init(&w, outgoing->data, IKE_STREAM_HEADER_LEN + len);
    ike_stream_put_frame(&w, channel, message, len);
    outgoing->request.data = outgoing;
    uv_buf_t buffer = uv_buf_init((char *)outgoing->data, (unsigned int)w.len);
    if (!writer_is_ok(&w) ||
        uv_write(&outgoing->request, (uv_stream_t *)&stream->tcp, &buffer, 1, on_written) != 0) {
        free(outgoing);
        return ERR_IO;
    }
    return ERR_OK;
}

int session_write_frame(struct session *session, uint32_t channel, const uint8_t *data, size_t len)
{
    struct stream *stream = session->stream;
    if (stream == NULL || !stream->is_connected)
        return ERR_STATE;
    return write_frame(stream, channel, data, len, RELAY_QUEUE_MAX);
}

static void take_message(struct session *session, const uint8_t *message, size_t len)
{
    struct ike_sa *sa = NULL;
    uint64_t now_us = clock_now_us();
    int error = ike_table_receive(session->host->ike_tcp, NULL, message, len, &session->connector,
                                  now_us, &sa);
    if (error == ERR_OK && sa == session->sa) {
        login_client_touch(session->login, now_us);
        session_pump(session, now_us);
    }
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *ret_buffer)
{
    struct stream *stream = handle->data;
    *ret_buffer = uv_buf_init((char *)stream->buffer, sizeof(stream->buffer));
}

static void on_read(uv_stream_t *handle, ssize_t got, const uv_buf_t *buffer)
{
    struct stream *stream = handle->data;
    if (got == 0)
        return;
    if (got < 0) {
        on_lost(stream, got == UV_EOF ? "closed by it" : uv_strerror((int)got));
        return;
    }
    if (stream->session == NULL)
        return;
    int error = ike_stream_feed(&stream->parser, buffer->base, (size_t)got);
    while (error == ERR_OK && stream->session != NULL) {
        struct ike_frame frame;
        error = ike_stream_next(&stream->parser, &frame);
        if (error == ERR_OK && frame.channel == 0)
            take_message(stream->session, frame.data, frame.len);
        else if (error == ERR_OK)
            relay_receive(stream->session, frame.channel, frame.data, frame.len, clock_now_us());
    }
    if (error != ERR_OK && error != ERR_AGAIN)
        on_lost(stream, "it does not speak IKE in TCP");
}

/* The key that the connector has to prove: pinned, or at a first contact the one in DNS. */
static int make_profile(struct session *session)
{
    struct host *host = session->host;
    struct ike_config config;
    enum trust_origin origin;
    ike_config_init(&config, host->identity);
    strcpy(config.id, host->config.name);
    config.is_reliable = true;
    config.rekey_ike_us = host->config.rekey_us;
    if (trust_find(host->trust, TRUST_CONNECTOR, session->zone, &config.expected_key, &origin) ==
        ERR_OK) {
        config.has_expected_key = true;
    } else if (session->has_dns_key) {
        config.has_expected_key = true;
        config.expected_key = session->dns_key;
    }
    ike_profile_free(session->profile);
    session->profile = NULL;
    return ike_profile_new(&config, &session->profile);
}

/* The kernel's own queue would keep relayed datagrams for seconds. */
static void limit_unsent(struct stream *stream)
{
    const int unsent = RELAY_UNSENT_MAX;
    uv_os_fd_t fd;
    if (uv_fileno((const uv_handle_t *)&stream->tcp, &fd) == 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

static void on_connected(uv_connect_t *request, int status)
{
    struct stream *stream = request->data;
    struct session *session = stream->session;
    if (session == NULL || status == UV_ECANCELED)
        return;
    if (status != 0) {
        on_lost(stream, uv_strerror(status));
        return;
    }
    stream->is_connected = true;
    uv_tcp_nodelay(&stream->tcp, 1);
    limit_unsent(stream);
    uv_tcp_keepalive(&stream->tcp, 1, KEEPALIVE_S);
    uint8_t prefix_bytes[IKE_STREAM_PREFIX_LEN];
    uv_buf_t prefix = uv_buf_init((char *)prefix_bytes, sizeof(prefix_bytes));
    struct writer w;
    writer_init(&w, prefix_bytes, sizeof(prefix_bytes));
    ike_stream_put_prefix(&w);
    uint64_t now_us = clock_now_us();
    int error = make_profile(session);
    if (error == ERR_OK)
        error = ike_sa_initiate(session->host->ike_tcp, session->profile, &session->connector,
                                now_us, &session->sa);
    if (error != ERR_OK ||
        uv_try_write((uv_stream_t *)&stream->tcp, &prefix, 1) != IKE_STREAM_PREFIX_LEN ||
        uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_read) != 0) {
        on_lost(stream, "cannot start IKE on it");
        return;
    }
    session_pump(session, now_us);
}

void session_connect(struct session *session, uint64_t now_us)
{
    struct host *host = session->host;
    struct sockaddr_storage address;
    struct stream *stream = calloc(1, sizeof(*stream));
    session_disconnect(session);
    if (stream == NULL || uv_tcp_init(&host->loop, &stream->tcp) != 0) {
        free(stream);
        session_note_error(session, "out of memory for the connection");
        login_client_disconnected(session->login, LOGIN_END_LOST, now_us);
        return;
    }
    host->stream_count++;
    stream->host = host;
    stream->session = session;
    stream->tcp.data = stream->connect.data = stream->shutdown.data = stream;
    ike_stream_init(&stream->parser, false, IKE_MESSAGE_CAP + 4);
    session->stream = stream;
    endpoint_to_sockaddr(&session->connector, false, &address);
    int status = uv_tcp_connect(&stream->connect, &stream->tcp, (const struct sockaddr *)&address,
                                on_connected);
    if (status != 0)
        on_lost(stream, uv_strerror(status));
}

void session_disconnect(struct session *session)
{
    struct stream *stream = session->stream;
    if (session->sa != NULL) {
        struct ike_sa *sa = session->sa;
        uint64_t now_us = clock_now_us();
        ike_sa_close(sa, now_us);
        session_drive_sa(session, now_us);
        if (session->sa == sa) /* else what happened meanwhile has freed it */
            ike_sa_free(sa);
        session->sa = NULL;
    }
    if (stream == NULL)
        return;
    session->stream = NULL;
    stream->session = NULL;
    relay_remove_all(session, clock_now_us());
    /* What was written last, the DELETE, goes out before the end of the stream does. */
    if (!stream->is_connected ||
        uv_shutdown(&stream->shutdown, (uv_stream_t *)&stream->tcp, on_shutdown) != 0)
        close_stream(stream);
}

/* The connector has proven a key: is it the one that we trust for its zone? */
static void on_established(struct session *session, uint64_t now_us)
{
    struct host *host = session->host;
    struct trust_verdict verdict;
    bool is_new = false;
    if (trust_pin(host->trust, TRUST_CONNECTOR, session->zone, ike_sa_peer_key(session->sa),
                  TRUST_LEVEL_CONNECTOR, (enum trust_level)host->config.accept,
                  (uint64_t)clock_wall_seconds(), &verdict, &is_new) != ERR_OK) {
        session_note_error(session, "log-in refused: %s", verdict.message);
        session_disconnect(session);
        login_client_disconnected(session->login, LOGIN_END_REFUSED, now_us);
        return;
    }
    if (is_new) {
        char text[PUBLIC_KEY_TEXT_CAP];
        log_warn("%s: first contact with its connector; its key is pinned from now on: %s",
                 session->zone, public_key_format(ike_sa_peer_key(session->sa), text));
        if (state_save_trust(host) != ERR_OK)
            log_warn("%s: the key cannot be written down", session->zone);
    }
    login_client_connected(session->login, now_us);
}

/* The connector's key is not the one that it had to prove. */
static void note_other_key(struct session *session)
{
    struct public_key key;
    enum trust_origin origin;
    if (trust_find(session->host->trust, TRUST_CONNECTOR, session->zone, &key, &origin) != ERR_OK)
        session_note_error(session, "log-in refused: its connector has another key than the one "
                                    "that DNS gives for the zone");
    else if (origin == TRUST_ORIGIN_CONFIGURATION)
        session_note_error(session,
                           "log-in refused: its connector has another key than the one in %s "
                           "(connector-key)",
                           session->host->config.file);
    else
        session_note_error(session,
                           "log-in refused: its connector has another key than the pinned one; if "
                           "you know why: detec trust --connector %s",
                           session->zone);
}

static void on_sa_closed(struct session *session, const struct ike_event_closed *closed,
                         uint64_t now_us)
{
    bool is_refused = closed->reason == IKE_REASON_PEER_KEY ||
                      closed->reason == IKE_REASON_PEER_NOT_AUTHENTIC ||
                      closed->reason == IKE_REASON_REFUSED_BY_PEER;
    if (closed->reason == IKE_REASON_PEER_KEY)
        note_other_key(session);
    else
        session_note_error(session, "its connector: %s", closed->text);
    ike_sa_free(session->sa);
    session->sa = NULL;
    session_disconnect(session);
    login_client_disconnected(session->login, is_refused ? LOGIN_END_REFUSED : LOGIN_END_LOST,
                              now_us);
    if (is_refused)
        call_on_session_failed(session, session->error, now_us);
}

static bool send_messages(struct session *session, uint64_t now_us)
{
    uint8_t message[IKE_MESSAGE_CAP];
    struct endpoint remote;
    struct writer w;
    bool has_sent = false;
    for (;;) {
        writer_init(&w, message, sizeof(message));
        if (session->sa == NULL || ike_sa_transmit(session->sa, &w, &remote, now_us) != ERR_OK)
            return has_sent;
        has_sent = true;
        if (session->stream != NULL)
            (void)!write_frame(session->stream, 0, message, w.len, WRITE_QUEUE_MAX);
    }
}

bool session_drive_sa(struct session *session, uint64_t now_us)
{
    struct ike_event event;
    bool did_something = send_messages(session, now_us);
    while (session->sa != NULL) {
        ike_sa_next_event(session->sa, &event);
        if (event.type == IKE_EVENT_NONE)
            break;
        did_something = true;
        if (event.type == IKE_EVENT_ESTABLISHED) {
            on_established(session, now_us);
        } else if (event.type == IKE_EVENT_NOTIFY) {
            int error = login_client_notify(session->login, event.notify.type, event.notify.data,
                                            event.notify.len, now_us);
            if (error != ERR_OK)
                log_debug("%s: notify %u ignored: %s", session->zone, event.notify.type,
                          error_text(error));
        } else if (event.type == IKE_EVENT_CLOSED) {
            /* Closed from here: whoever closes frees. */
            if (event.closed.reason == IKE_REASON_CLOSED_HERE)
                return did_something;
            send_messages(session, now_us);
            on_sa_closed(session, &event.closed, now_us);
        }
        send_messages(session, now_us);
    }
    return did_something;
}
