/* DNS over UDP and TCP. A TCP connection holds little memory, waits for little time, and is not
 * read from while its client does not read the answers. */
#include "connector/dns_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/reader.h"
#include "connector/udp_server.h"
#include "io/clock.h"
#include "wire/dns.h"

#define QUERY_CAP       1024 /* the longest question with every EDNS option that is usual */
#define ANSWER_CAP      4096
#define CONNECTIONS_MAX 1024
#define PER_ADDRESS_MAX 32
#define BACKLOG         256
#define IDLE_US         (10 * SECOND_US) /* RFC 7766, 6.2.3: "of the order of a few seconds" */
#define WRITE_QUEUE_MAX ((size_t)32 * 1024)
#define TCP_LENGTH_LEN  2

struct dns_connection {
    uv_tcp_t tcp;
    struct dns_server *server;
    struct dns_connection *previous, *next;
    struct endpoint remote;
    struct deadline deadline; /* without a question */
    bool is_counted;
    bool is_reading;
    size_t len; /* bytes of the next message that have come */
    uint8_t buffer[TCP_LENGTH_LEN + QUERY_CAP];
};

struct dns_server {
    uv_tcp_t listener;
    struct connector *connector;
    struct dns_connection *connections;
    size_t count;
    struct deadline_heap deadlines;
    struct address_counts addresses;
    bool is_closing;
    size_t handles; /* that libuv still holds: the listener and the connections */
};

struct outgoing {
    uv_write_t request;
    uint8_t data[];
};

size_t dns_server_answer_udp(void *context, const struct udp_request *request,
                             struct udp_reply *reply)
{
    struct connector *connector = context;
    size_t answer_len = 0;
    connector->dns_queries++;
    if (zone_answer(connector->zone, request->data, request->len, false, DNS_UDP_LEN_SAFE,
                    reply->data, UDP_SERVER_LEN_MAX, &answer_len) != ERR_OK)
        return 0;
    return answer_len;
}

static void let_go(struct dns_server *server)
{
    if (--server->handles > 0)
        return;
    deadline_heap_done(&server->deadlines);
    address_counts_done(&server->addresses);
    free(server);
}

static void on_connection_closed(uv_handle_t *handle)
{
    struct dns_connection *connection = handle->data;
    struct dns_server *server = connection->server;
    free(connection);
    let_go(server);
}

static void close_connection(struct dns_connection *connection)
{
    struct dns_server *server = connection->server;
    if (uv_is_closing((uv_handle_t *)&connection->tcp))
        return;
    deadline_clear(&server->deadlines, &connection->deadline);
    if (connection->is_counted)
        address_counts_remove(&server->addresses, &connection->remote.address);
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        server->connections = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    server->count--;
    uv_close((uv_handle_t *)&connection->tcp, on_connection_closed);
}

static void resume(struct dns_connection *connection);

static void on_written(uv_write_t *request, int status)
{
    struct dns_connection *connection = request->data;
    free(request); /* the first member of its struct outgoing */
    if (status != 0)
        close_connection(connection);
    else if (!uv_is_closing((uv_handle_t *)&connection->tcp))
        resume(connection);
}

/* Sends one answer behind its length. */
static int write_answer(struct dns_connection *connection, const uint8_t *answer, size_t len)
{
    struct outgoing *outgoing = malloc(sizeof *outgoing + TCP_LENGTH_LEN + len);
    if (outgoing == NULL)
        return ERR_NOMEM;
    outgoing->data[0] = (uint8_t)(len >> 8);
    outgoing->data[1] = (uint8_t)len;
    memcpy(outgoing->data + TCP_LENGTH_LEN, answer, len);
    outgoing->request.data = connection;
    uv_buf_t buffer = uv_buf_init((char *)outgoing->data, (unsigned)(TCP_LENGTH_LEN + len));
    if (uv_write(&outgoing->request, (uv_stream_t *)&connection->tcp, &buffer, 1, on_written) == 0)
        return ERR_OK;
    free(outgoing);
    return ERR_IO;
}

/* Length of the message that the buffer begins with; 0 while its length has not come. */
static size_t message_len(const struct dns_connection *connection)
{
    const uint8_t *b = connection->buffer;
    return connection->len >= TCP_LENGTH_LEN ? (size_t)(b[0] << 8 | b[1]) : 0;
}

/* Answers the whole messages in the buffer. Any error ends the connection. */
static int take_messages(struct dns_connection *connection)
{
    struct connector *connector = connection->server->connector;
    uint8_t answer[ANSWER_CAP];
    while (connection->len >= TCP_LENGTH_LEN) {
        const size_t len = message_len(connection), whole = TCP_LENGTH_LEN + len;
        size_t answer_len = 0;
        if (len > QUERY_CAP)
            return ERR_LIMIT;
        if (connection->len < whole)
            return ERR_OK;
        connector->dns_queries++;
        int error = zone_answer(connector->zone, connection->buffer + TCP_LENGTH_LEN, len, true, 0,
                                answer, sizeof answer, &answer_len);
        if (error == ERR_OK)
            error = write_answer(connection, answer, answer_len);
        if (error != ERR_OK)
            return error;
        connection->len -= whole;
        memmove(connection->buffer, connection->buffer + whole, connection->len);
        /* Only whole questions keep it open, not bytes. */
        error = deadline_set(&connection->server->deadlines, &connection->deadline,
                             clock_now_us() + IDLE_US);
        if (error != ERR_OK)
            return error;
    }
    return ERR_OK;
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *ret_buffer)
{
    struct dns_connection *connection = handle->data;
    *ret_buffer = uv_buf_init((char *)connection->buffer + connection->len,
                              (unsigned)(sizeof connection->buffer - connection->len));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct dns_connection *connection = stream->data;
    if (got == 0)
        return;
    if (got > 0)
        connection->len += (size_t)got;
    if (got < 0 || take_messages(connection) != ERR_OK) {
        close_connection(connection);
        return;
    }
    if (uv_stream_get_write_queue_size(stream) > WRITE_QUEUE_MAX) {
        uv_read_stop(stream);
        connection->is_reading = false;
    }
}

static void resume(struct dns_connection *connection)
{
    uv_stream_t *stream = (uv_stream_t *)&connection->tcp;
    if (connection->is_reading || uv_stream_get_write_queue_size(stream) > WRITE_QUEUE_MAX / 2)
        return;
    connection->is_reading = true;
    if (uv_read_start(stream, on_alloc, on_read) != 0)
        close_connection(connection);
}

static int admit(struct dns_connection *connection)
{
    struct dns_server *server = connection->server;
    struct sockaddr_storage address;
    int len = sizeof address;
    if (server->count > CONNECTIONS_MAX)
        return ERR_LIMIT;
    if (uv_tcp_getpeername(&connection->tcp, (struct sockaddr *)&address, &len) != 0 ||
        endpoint_from_sockaddr((const struct sockaddr *)&address, &connection->remote) != ERR_OK)
        return ERR_IO;
    const int error =
        address_counts_add(&server->addresses, &connection->remote.address, PER_ADDRESS_MAX);
    connection->is_counted = error == ERR_OK;
    return error != ERR_OK
               ? error
               : deadline_set(&server->deadlines, &connection->deadline, clock_now_us() + IDLE_US);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct dns_server *server = listener->data;
    struct dns_connection *connection = status == 0 ? calloc(1, sizeof *connection) : NULL;
    if (connection == NULL || uv_tcp_init(&server->connector->loop, &connection->tcp) != 0) {
        free(connection);
        return;
    }
    connection->tcp.data = connection;
    connection->server = server;
    connection->next = server->connections;
    if (connection->next != NULL)
        connection->next->previous = connection;
    server->connections = connection;
    server->count++;
    server->handles++;
    if (uv_accept(listener, (uv_stream_t *)&connection->tcp) != 0 || admit(connection) != ERR_OK)
        close_connection(connection);
    else
        resume(connection);
}

static void on_listener_closed(uv_handle_t *handle)
{
    let_go(handle->data);
}

int dns_server_new(struct connector *connector, uint16_t port, struct dns_server **ret_server)
{
    struct sockaddr_storage address;
    struct endpoint listen = connector->config.dns;
    struct dns_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return ERR_NOMEM;
    server->connector = connector;
    deadline_heap_init(&server->deadlines);
    int error =
        address_counts_init(&server->addresses, ADDRESS_HOST_BITS, connector->sessions.seed);
    int result = error == ERR_OK ? uv_tcp_init(&connector->loop, &server->listener) : UV_ENOMEM;
    if (result != 0) {
        deadline_heap_done(&server->deadlines);
        address_counts_done(&server->addresses);
        free(server);
        errno = -result;
        return ERR_IO;
    }
    server->handles = 1;
    server->listener.data = server;
    listen.port = port;
    endpoint_to_sockaddr(&listen, false, &address);
    result = uv_tcp_bind(&server->listener, (const struct sockaddr *)&address, 0);
    if (result == 0)
        result = uv_listen((uv_stream_t *)&server->listener, BACKLOG, on_connection);
    if (result != 0) {
        dns_server_close(server);
        errno = -result;
        return ERR_IO;
    }
    *ret_server = server;
    return ERR_OK;
}

void dns_server_close(struct dns_server *server)
{
    if (server == NULL || server->is_closing)
        return;
    server->is_closing = true;
    while (server->connections != NULL)
        close_connection(server->connections);
    uv_close((uv_handle_t *)&server->listener, on_listener_closed);
}

uint64_t dns_server_deadline(const struct dns_server *server)
{
    return server != NULL ? deadline_heap_next(&server->deadlines) : DEADLINE_NEVER;
}

void dns_server_expire(struct dns_server *server, uint64_t now_us)
{
    struct deadline *due;
    while (server != NULL && (due = deadline_heap_pop(&server->deadlines, now_us)) != NULL)
        close_connection(CONTAINER_OF(due, struct dns_connection, deadline));
}
