/* What src/host needs of libuv for its connections, in virtual time: it takes libuv's place at link
 * time. Callbacks come from events, never from within a call, as libuv's do. */
#include "pipe.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct uv_stream_state {
    struct uv_stream_state *next;
    struct machine *machine;
    uv_tcp_t *tcp;
    struct pipe *pipe;
    uv_connect_t *connect;
    uv_shutdown_t *shutdown;
    uv_alloc_cb alloc;
    uv_read_cb read;
    uv_close_cb close;
    uint64_t id; /* never used again, unlike its memory */
    bool is_closing;
};

/* A callback that is due. */
struct callback {
    struct event event;
    struct machine *machine;
    uv_write_t *write;   /* written (or not: status) */
    uint64_t stream_id;  /* shut down, or closed */
    uv_handle_t *handle; /* of another kind: closed */
    uv_close_cb close;
    int status;
};

static struct uv_stream_state *state_of(const void *handle)
{
    return ((const uv_handle_t *)handle)->u.reserved[0];
}

static void unlink_state(struct uv_stream_state *state)
{
    struct uv_stream_state **at = &state->machine->streams;
    while (*at != state)
        at = &(*at)->next;
    *at = state->next;
}

static void finish_close(struct uv_stream_state *state)
{
    uv_connect_t *connect = state->connect;
    uv_shutdown_t *shutdown = state->shutdown;
    state->connect = NULL;
    state->shutdown = NULL;
    if (connect != NULL)
        connect->cb(connect, UV_ECANCELED);
    if (shutdown != NULL)
        shutdown->cb(shutdown, UV_ECANCELED);
    unlink_state(state);
    if (state->close != NULL)
        state->close((uv_handle_t *)state->tcp);
    free(state);
}

static void run_callback(struct event *event)
{
    struct callback *callback = (struct callback *)event;
    struct machine *machine = callback->machine;
    struct machine *before = machine_enter(machine);
    if (callback->write != NULL) {
        if (callback->write->cb != NULL)
            callback->write->cb(callback->write, callback->status);
    } else if (callback->handle != NULL) {
        callback->close(callback->handle);
    } else {
        /* It may have been closed, and freed, at once by uv_flush. */
        struct uv_stream_state *state = machine->streams;
        while (state != NULL && state->id != callback->stream_id)
            state = state->next;
        if (state != NULL && state->is_closing) {
            finish_close(state);
        } else if (state != NULL && state->shutdown != NULL) {
            uv_shutdown_t *shutdown = state->shutdown;
            state->shutdown = NULL;
            shutdown->cb(shutdown, 0);
        }
    }
    machine_settle(machine);
    machine_leave(before);
    free(callback);
}

/* Writes own memory that only their callback frees. */
static void drop_callback(struct event *event)
{
    struct callback *callback = (struct callback *)event;
    if (callback->write != NULL && callback->write->cb != NULL)
        callback->write->cb(callback->write, UV_ECANCELED);
    if (callback->handle != NULL)
        callback->close(callback->handle);
    free(callback);
}

static void call_soon(struct machine *machine, uv_write_t *write,
                      const struct uv_stream_state *stream, int status)
{
    struct callback *callback = sim_new(sizeof(*callback));
    *callback = (struct callback){.event = {.run = run_callback, .drop = drop_callback},
                                  .machine = machine,
                                  .write = write,
                                  .stream_id = stream != NULL ? stream->id : 0,
                                  .status = status};
    core_add(&machine->sim->core, &callback->event, machine->sim->core.now_us);
}

void uv_flush(struct machine *machine)
{
    while (machine->streams != NULL) {
        struct uv_stream_state *state = machine->streams;
        uv_shutdown_t *shutdown = state->shutdown;
        state->shutdown = NULL;
        if (shutdown != NULL)
            shutdown->cb(shutdown, 0);
        if (!state->is_closing)
            uv_close((uv_handle_t *)state->tcp, NULL);
        finish_close(state);
    }
}

int uv_tcp_init(uv_loop_t *loop, uv_tcp_t *tcp)
{
    struct uv_stream_state *state = sim_new(sizeof(*state));
    memset(tcp, 0, sizeof(*tcp));
    tcp->loop = loop;
    tcp->type = UV_TCP;
    tcp->u.reserved[0] = state;
    state->machine = machine_current();
    state->tcp = tcp;
    state->id = ++state->machine->sim->core.order;
    state->next = state->machine->streams;
    state->machine->streams = state;
    return 0;
}

int uv_tcp_connect(uv_connect_t *request, uv_tcp_t *tcp, const struct sockaddr *address,
                   uv_connect_cb done)
{
    struct uv_stream_state *state = state_of(tcp);
    struct endpoint to;
    if (endpoint_from_sockaddr(address, &to) != ERR_OK || state->pipe != NULL)
        return UV_EINVAL;
    const struct link *link = &state->machine->sim->net.links[state->machine->link];
    const bool is_ipv6 = to.address.family == ADDRESS_IPV6;
    if (!link->is_up || (is_ipv6 ? link->ipv6.family : link->ipv4.family) == ADDRESS_NONE)
        return UV_ENETUNREACH;
    request->handle = (uv_stream_t *)tcp;
    request->cb = done;
    state->connect = request;
    state->pipe = pipe_connect(state->machine, state, &to);
    return 0;
}

void uv_on_connected(struct pipe *pipe, int status)
{
    struct uv_stream_state *state = pipe->user[PIPE_CLIENT];
    uv_connect_t *request = state->connect;
    if (request == NULL)
        return;
    state->connect = NULL;
    request->cb(request, status);
}

void uv_on_data(struct pipe *pipe, const uint8_t *data, size_t len)
{
    struct uv_stream_state *state = pipe->user[PIPE_CLIENT];
    while (len > 0 && state->read != NULL && !state->is_closing) {
        uv_buf_t buffer = {0};
        state->alloc((uv_handle_t *)state->tcp, 65536, &buffer);
        const size_t part = len < buffer.len ? len : buffer.len;
        if (part == 0)
            return;
        memcpy(buffer.base, data, part);
        data += part;
        len -= part;
        state->read((uv_stream_t *)state->tcp, (ssize_t)part, &buffer);
        if (pipe->user[PIPE_CLIENT] != state)
            return;
    }
}

void uv_on_end(struct pipe *pipe, int status)
{
    struct uv_stream_state *state = pipe->user[PIPE_CLIENT];
    const uv_buf_t none = {0};
    if (state->read != NULL && !state->is_closing)
        state->read((uv_stream_t *)state->tcp, status, &none);
}

int uv_try_write(uv_stream_t *stream, const uv_buf_t buffers[], unsigned int count)
{
    struct uv_stream_state *state = state_of(stream);
    size_t total = 0;
    for (unsigned i = 0; i < count && state->pipe != NULL; i++) {
        pipe_write(state->pipe, PIPE_CLIENT, buffers[i].base, buffers[i].len);
        total += buffers[i].len;
    }
    return state->pipe != NULL ? (int)total : UV_EBADF;
}

int uv_write(uv_write_t *request, uv_stream_t *stream, const uv_buf_t buffers[], unsigned int count,
             uv_write_cb done)
{
    struct uv_stream_state *state = state_of(stream);
    const int result = uv_try_write(stream, buffers, count);
    if (result < 0)
        return result;
    request->cb = done;
    request->handle = stream;
    call_soon(state->machine, request, NULL, 0);
    return 0;
}

int uv_read_start(uv_stream_t *stream, uv_alloc_cb alloc, uv_read_cb read)
{
    struct uv_stream_state *state = state_of(stream);
    state->alloc = alloc;
    state->read = read;
    return 0;
}

int uv_read_stop(uv_stream_t *stream)
{
    state_of(stream)->read = NULL;
    return 0;
}

int uv_shutdown(uv_shutdown_t *request, uv_stream_t *stream, uv_shutdown_cb done)
{
    struct uv_stream_state *state = state_of(stream);
    if (state->pipe == NULL || !state->pipe->is_connected)
        return UV_ENOTCONN;
    request->cb = done;
    request->handle = stream;
    state->shutdown = request;
    call_soon(state->machine, NULL, state, 0);
    return 0;
}

static void close_poll(uv_handle_t *handle, uv_close_cb done)
{
    struct machine *machine = machine_current();
    (void)uv_poll_stop((uv_poll_t *)handle);
    if (done == NULL)
        return;
    struct callback *callback = sim_new(sizeof(*callback));
    *callback = (struct callback){.event = {.run = run_callback, .drop = drop_callback},
                                  .machine = machine,
                                  .handle = handle,
                                  .close = done};
    core_add(&machine->sim->core, &callback->event, machine->sim->core.now_us);
}

void uv_close(uv_handle_t *handle, uv_close_cb done)
{
    if (handle->type == UV_POLL) {
        close_poll(handle, done);
        return;
    }
    if (handle->type == UV_TIMER) {
        if (done != NULL)
            done(handle);
        return;
    }
    struct uv_stream_state *state = state_of(handle);
    if (handle->type != UV_TCP || state->is_closing)
        abort();
    state->is_closing = true;
    if (done != NULL)
        state->close = done;
    if (state->pipe != NULL)
        pipe_close(state->pipe, PIPE_CLIENT, state->machine->is_lost);
    call_soon(state->machine, NULL, state, 0);
}

/* They bound how long a connection may take to end: here it ends at once. */
int uv_timer_init(uv_loop_t *loop, uv_timer_t *timer)
{
    memset(timer, 0, sizeof(*timer));
    timer->loop = loop;
    timer->type = UV_TIMER;
    return 0;
}

int uv_timer_start(uv_timer_t *timer, uv_timer_cb due, uint64_t timeout_ms, uint64_t repeat_ms)
{
    return 0;
}

int uv_is_closing(const uv_handle_t *handle)
{
    return state_of(handle)->is_closing;
}

size_t uv_stream_get_write_queue_size(const uv_stream_t *stream)
{
    return 0;
}

/* ---- sockets that somebody waits for ---- */

int uv_poll_init(uv_loop_t *loop, uv_poll_t *poll, int fd)
{
    poll->loop = loop;
    poll->type = UV_POLL;
    poll->u.fd = fd;
    return socket_find(machine_current(), fd) != NULL ? 0 : UV_EBADF;
}

int uv_poll_start(uv_poll_t *poll, int events, uv_poll_cb on_readable)
{
    struct sim_socket *socket = socket_find(machine_current(), poll->u.fd);
    if (socket == NULL)
        return UV_EBADF;
    socket->poll = poll;
    socket->on_readable = on_readable;
    return 0;
}

int uv_poll_stop(uv_poll_t *poll)
{
    struct sim_socket *socket = socket_find(machine_current(), poll->u.fd);
    if (socket != NULL && socket->poll == poll)
        socket->poll = NULL;
    return 0;
}

int uv_tcp_nodelay(uv_tcp_t *tcp, int enable)
{
    return 0;
}

int uv_tcp_keepalive(uv_tcp_t *tcp, int enable, unsigned int delay)
{
    return 0;
}

int uv_fileno(const uv_handle_t *handle, uv_os_fd_t *ret_fd)
{
    return UV_EBADF;
}

int uv_tcp_getsockname(const uv_tcp_t *tcp, struct sockaddr *ret_name, int *len)
{
    const struct uv_stream_state *state = state_of(tcp);
    struct sockaddr_storage name;
    if (state->pipe == NULL)
        return UV_EBADF;
    const struct endpoint local = {state->pipe->source, 40000};
    const socklen_t size = endpoint_to_sockaddr(&local, false, &name);
    if ((socklen_t)*len < size)
        return UV_EINVAL;
    memcpy(ret_name, &name, size);
    *len = (int)size;
    return 0;
}

/* Nobody listens here: the connector is joined from its engines, and plain peers are none. */
int uv_tcp_bind(uv_tcp_t *tcp, const struct sockaddr *address, unsigned int flags)
{
    (void)tcp;
    (void)address;
    (void)flags;
    return UV_ENOSYS;
}

int uv_listen(uv_stream_t *stream, int backlog, uv_connection_cb connected)
{
    (void)stream;
    (void)backlog;
    (void)connected;
    return UV_ENOSYS;
}

int uv_accept(uv_stream_t *server, uv_stream_t *client)
{
    (void)server;
    (void)client;
    return UV_ENOSYS;
}

int uv_tcp_getpeername(const uv_tcp_t *tcp, struct sockaddr *ret_name, int *len)
{
    (void)tcp;
    (void)ret_name;
    (void)len;
    return UV_ENOSYS;
}
