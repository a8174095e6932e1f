/* Connections of the control socket: lines in, lines out. What the requests mean is in commands.c.
 */
#include "host/control.h"

#include "base/log.h"
#include "host/commands.h"
#include "host/host.h"
#include "io/clock.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#define LINE_CAP    65536
#define CLIENTS_MAX 32
#define OUTPUT_MAX  (256 * 1024) /* waiting to be read: no more requests are taken until then */

struct control_client {
    uv_pipe_t pipe;
    struct control *control;
    struct control_client *next;
    char *line;
    size_t len;
    struct task task; /* takes the lines that wait */
    bool is_busy;     /* a request is being answered */
    bool is_closing;
    void (*gone)(void *context);
    void *gone_context;
};

struct control {
    struct host *host;
    uv_pipe_t listener;
    struct control_client *clients;
    size_t client_count;
    bool is_closing;
};

struct outgoing {
    uv_write_t request;
    struct control_client *client;
    char text[];
};

static void on_client_closed(uv_handle_t *handle)
{
    struct control_client *client = handle->data;
    free(client->line);
    free(client);
}

static void close_client(struct control_client *client)
{
    if (client->is_closing)
        return;
    client->is_closing = true;
    struct control_client **link = &client->control->clients;
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    client->control->client_count--;
    void (*gone)(void *) = client->gone;
    client->gone = NULL;
    task_clear(&client->control->host->tasks, &client->task);
    if (gone != NULL)
        gone(client->gone_context);
    uv_close((uv_handle_t *)&client->pipe, on_client_closed);
}

/* Lines are never taken from within a request: what it has under way would not expect that. */
static void schedule(struct control_client *client)
{
    if (!client->is_closing)
        task_set(&client->control->host->tasks, &client->task, clock_now_us());
}

/* libuv reports what could not be written before it reports the end of the pipe: client is there.
 */
static void on_written(uv_write_t *request, int status)
{
    struct outgoing *outgoing = request->data;
    schedule(outgoing->client);
    free(outgoing);
}

void control_send(struct control_client *client, json_t *object)
{
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    size_t len = text != NULL ? strlen(text) : 0;
    struct outgoing *outgoing = text != NULL ? malloc(sizeof(*outgoing) + len + 1) : NULL;
    if (outgoing == NULL || client->is_closing) {
        free(text);
        free(outgoing);
        return;
    }
    memcpy(outgoing->text, text, len);
    outgoing->text[len] = '\n';
    free(text);
    outgoing->request.data = outgoing;
    outgoing->client = client;
    uv_buf_t buffer = uv_buf_init(outgoing->text, (unsigned int)len + 1);
    if (uv_write(&outgoing->request, (uv_stream_t *)&client->pipe, &buffer, 1, on_written) != 0)
        free(outgoing);
}

bool control_is_backed_up(const struct control_client *client)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&client->pipe) > OUTPUT_MAX;
}

void control_finish(struct control_client *client, json_t *object)
{
    if (object == NULL)
        object = json_object();
    json_object_set_new(object, "done", json_true());
    client->gone = NULL;
    client->is_busy = false;
    control_send(client, object);
    schedule(client);
}

void control_fail(struct control_client *client, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    control_finish(client, json_pack("{s:s}", "error", text));
}

struct host *control_client_host(struct control_client *client)
{
    return client->control->host;
}

void control_on_gone(struct control_client *client, void (*gone)(void *context), void *context)
{
    client->gone = gone;
    client->gone_context = context;
}

static void take_request(struct control_client *client, const char *line)
{
    json_error_t problem;
    json_t *request = json_loads(line, JSON_REJECT_DUPLICATES, &problem);
    client->is_busy = true;
    if (request == NULL)
        control_fail(client, "request is not a JSON object: %s", problem.text);
    else if (!json_is_object(request))
        control_fail(client, "request is not a JSON object");
    else
        commands_run(client, request);
    json_decref(request);
}

/* One request, and its turn again if more may wait. */
static void take_line(struct task *task, uint64_t now_us)
{
    struct control_client *client = CONTAINER_OF(task, struct control_client, task);
    if (client->is_busy || client->is_closing || control_is_backed_up(client))
        return;
    char *end = memchr(client->line, '\n', client->len);
    if (end == NULL && client->len == LINE_CAP) {
        close_client(client);
        return;
    }
    if (end == NULL)
        return;
    *end = '\0';
    take_request(client, client->line);
    size_t used = (size_t)(end - client->line) + 1;
    client->len -= used;
    memmove(client->line, client->line + used, client->len);
    schedule(client);
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *ret_buffer)
{
    struct control_client *client = handle->data;
    /* A full buffer makes libuv report UV_ENOBUFS: more was sent than there may wait. */
    *ret_buffer = uv_buf_init(client->line + client->len, (unsigned int)(LINE_CAP - client->len));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct control_client *client = stream->data;
    if (got < 0) {
        close_client(client);
        return;
    }
    client->len += (size_t)got;
    schedule(client);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct control *control = listener->data;
    if (status != 0)
        return;
    struct control_client *client = calloc(1, sizeof(*client));
    if (client == NULL || (client->line = malloc(LINE_CAP)) == NULL) {
        free(client);
        return;
    }
    client->control = control;
    client->task.run = take_line;
    client->pipe.data = client;
    uv_pipe_init(listener->loop, &client->pipe, 0);
    client->next = control->clients;
    control->clients = client;
    control->client_count++;
    if (uv_accept(listener, (uv_stream_t *)&client->pipe) != 0 ||
        control->client_count > CLIENTS_MAX ||
        uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read) != 0)
        close_client(client);
}

static void on_listener_closed(uv_handle_t *handle)
{
    free(handle->data);
}

int control_new(struct host *host, int listener, struct control **ret_control)
{
    struct control *control = calloc(1, sizeof(*control));
    if (control == NULL) {
        close(listener);
        return ERR_NOMEM;
    }
    control->host = host;
    control->listener.data = control;
    uv_pipe_init(host_loop(host), &control->listener, 0);
    if (uv_pipe_open(&control->listener, listener) != 0 ||
        uv_listen((uv_stream_t *)&control->listener, 16, on_connection) != 0) {
        uv_close((uv_handle_t *)&control->listener, on_listener_closed);
        return ERR_IO;
    }
    *ret_control = control;
    return ERR_OK;
}

void control_free(struct control *control)
{
    if (control == NULL)
        return;
    while (control->clients != NULL)
        close_client(control->clients);
    uv_close((uv_handle_t *)&control->listener, on_listener_closed);
}
