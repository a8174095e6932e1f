/* Connections of the control socket: lines in, lines out. What the requests mean is in commands.c.
 */
#include "connector/control.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connector/commands.h"
#include "connector/hosts.h"

#define BACKLOG     16
#define CLIENTS_MAX 32

struct control_client {
    uv_pipe_t pipe;
    struct control *control;
    struct control_client *previous, *next;
    size_t len; /* of the line being read */
    char line[HOSTS_LINE_CAP];
};

struct control {
    uv_pipe_t listener;
    struct connector *connector;
    struct control_client *clients;
    size_t count;
    size_t handles; /* that libuv still holds */
};

struct outgoing {
    uv_write_t request;
    char *text;
};

static void let_go(struct control *control)
{
    if (--control->handles == 0)
        free(control);
}

static void on_client_closed(uv_handle_t *handle)
{
    struct control_client *client = handle->data;
    struct control *control = client->control;
    free(client);
    let_go(control);
}

static void close_client(struct control_client *client)
{
    struct control *control = client->control;
    if (uv_is_closing((uv_handle_t *)&client->pipe))
        return;
    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        control->clients = client->next;
    if (client->next != NULL)
        client->next->previous = client->previous;
    control->count--;
    uv_close((uv_handle_t *)&client->pipe, on_client_closed);
}

static void on_written(uv_write_t *request, int status)
{
    struct outgoing *outgoing = CONTAINER_OF(request, struct outgoing, request);
    free(outgoing->text);
    free(outgoing);
}

/* Sends object as one line; consumes it. */
static int send_line(struct control_client *client, json_t *object)
{
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    struct outgoing *outgoing = malloc(sizeof *outgoing);
    json_decref(object);
    if (text != NULL && outgoing != NULL) {
        const size_t len = strlen(text);
        text[len] = '\n'; /* in place of the NUL: the length is known */
        outgoing->text = text;
        uv_buf_t buffer = uv_buf_init(text, (unsigned)len + 1);
        if (uv_write(&outgoing->request, (uv_stream_t *)&client->pipe, &buffer, 1, on_written) == 0)
            return ERR_OK;
    }
    free(text);
    free(outgoing);
    return ERR_IO;
}

/* Answers all whole lines. */
static int take_lines(struct control_client *client)
{
    char *end;
    while ((end = memchr(client->line, '\n', client->len)) != NULL) {
        const size_t used = (size_t)(end - client->line) + 1;
        json_t *request = json_loadb(client->line, used - 1, JSON_REJECT_DUPLICATES, NULL);
        json_t *answer = json_is_object(request) ? commands_run(client->control->connector, request)
                                                 : hosts_fail("the request is not a JSON object");
        json_decref(request);
        if (send_line(client, answer) != ERR_OK)
            return ERR_IO;
        client->len -= used;
        memmove(client->line, client->line + used, client->len);
    }
    return client->len < sizeof client->line ? ERR_OK : ERR_LIMIT;
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *ret_buffer)
{
    struct control_client *client = handle->data;
    *ret_buffer =
        uv_buf_init(client->line + client->len, (unsigned)(sizeof client->line - client->len));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct control_client *client = stream->data;
    if (got > 0)
        client->len += (size_t)got;
    if (got < 0 || take_lines(client) != ERR_OK)
        close_client(client);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct control *control = listener->data;
    struct control_client *client = status == 0 ? malloc(sizeof *client) : NULL;
    if (client == NULL || uv_pipe_init(listener->loop, &client->pipe, 0) != 0) {
        free(client);
        return;
    }
    client->pipe.data = client;
    client->control = control;
    client->len = 0;
    client->previous = NULL;
    client->next = control->clients;
    if (client->next != NULL)
        client->next->previous = client;
    control->clients = client;
    control->count++;
    control->handles++;
    if (uv_accept(listener, (uv_stream_t *)&client->pipe) != 0 || control->count > CLIENTS_MAX ||
        uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read) != 0)
        close_client(client);
}

static void on_listener_closed(uv_handle_t *handle)
{
    let_go(handle->data);
}

int control_new(struct connector *connector, int listener, struct control **ret_control)
{
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL || uv_pipe_init(&connector->loop, &control->listener, 0) != 0) {
        free(control);
        close(listener);
        return ERR_NOMEM;
    }
    control->connector = connector;
    control->handles = 1;
    control->listener.data = control;
    if (uv_pipe_open(&control->listener, listener) != 0) {
        close(listener);
        control_close(control);
        return ERR_IO;
    }
    if (uv_listen((uv_stream_t *)&control->listener, BACKLOG, on_connection) != 0) {
        control_close(control);
        return ERR_IO;
    }
    *ret_control = control;
    return ERR_OK;
}

void control_close(struct control *control)
{
    if (control == NULL)
        return;
    while (control->clients != NULL)
        close_client(control->clients);
    uv_close((uv_handle_t *)&control->listener, on_listener_closed);
}
