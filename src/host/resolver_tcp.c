/* DNS over TCP on its way: both directions are length-prefixed messages (RFC 1035, 4.2.2), passed
 * on one by one; answers are judged, in order of their verdicts (RFC 7766, 6.2.1.1 lets them
 * overtake). */
#include "host/resolver_internal.h"

#include "host/plain.h"
#include "io/clock.h"
#include "names/rewrite.h"
#include "wire/dns.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RELAYS_MAX    128
#define RELAY_IDLE_US (30 * SECOND_US)
#define JUDGED_MAX    16 /* answers of one connection held back at once */
#define QUEUE_MAX     (1024 * 1024)
#define ASKED_MAX     16 /* queries of one connection remembered; the oldest gives way */
#define ASKED_CAP                                                                                  \
    320 /* bytes of one: the longest name, and EDNS; longer ones pass unremembered                 \
         */

struct side {
    struct relay *relay;
    uv_tcp_t tcp;
    uint8_t *buffer; /* a message being collected, its length in front */
    size_t len;
    bool is_open;
};

struct held {
    struct relay *relay;
    struct judge *judge;
    bool is_used;
};

/* A query on its way: without it an answer that lost its address cannot be completed. */
struct asked {
    size_t len; /* 0: none */
    uint8_t query[ASKED_CAP];
};

struct relay {
    struct relay *next;
    struct resolver *resolver;
    struct side client;
    struct side server;
    uv_connect_t connect;
    struct task task; /* idle */
    struct held held[JUDGED_MAX];
    struct asked asked[ASKED_MAX];
    size_t asked_next;
    unsigned open_handles;
    bool is_closing;
};

struct outgoing {
    uv_write_t request;
    uint8_t data[];
};

static void on_side_closed(uv_handle_t *handle)
{
    struct side *side = handle->data;
    struct relay *relay = side->relay;
    free(side->buffer);
    side->buffer = NULL;
    if (--relay->open_handles > 0)
        return;
    struct resolver *resolver = relay->resolver;
    free(relay);
    resolver_handle_closed((uv_handle_t *)&resolver->listeners[0].udp);
}

static void close_relay(struct relay *relay)
{
    struct resolver *resolver = relay->resolver;
    if (relay->is_closing)
        return;
    relay->is_closing = true;
    struct relay **link = &resolver->relays;
    while (*link != relay)
        link = &(*link)->next;
    *link = relay->next;
    resolver->relay_count--;
    task_clear(&resolver->host->tasks, &relay->task);
    for (size_t i = 0; i < JUDGED_MAX; i++) {
        judge_cancel(relay->held[i].judge);
        relay->held[i].judge = NULL;
    }
    if (relay->client.is_open)
        uv_close((uv_handle_t *)&relay->client.tcp, on_side_closed);
    if (relay->server.is_open)
        uv_close((uv_handle_t *)&relay->server.tcp, on_side_closed);
}

void relays_close(struct resolver *resolver)
{
    while (resolver->relays != NULL)
        close_relay(resolver->relays);
    for (size_t i = 0; i < 2; i++) {
        if (resolver->listeners[i].tcp.data != NULL)
            uv_close((uv_handle_t *)&resolver->listeners[i].tcp, resolver_handle_closed);
    }
}

static void on_idle(struct task *task, uint64_t now_us)
{
    close_relay(CONTAINER_OF(task, struct relay, task));
}

static void on_written(uv_write_t *request, int status)
{
    free(request->data);
}

static void send_message(struct side *to, const uint8_t *message, size_t len)
{
    struct outgoing *outgoing = malloc(sizeof(*outgoing) + len + 2);
    if (outgoing == NULL || uv_stream_get_write_queue_size((uv_stream_t *)&to->tcp) > QUEUE_MAX) {
        free(outgoing);
        close_relay(to->relay);
        return;
    }
    outgoing->data[0] = (uint8_t)(len >> 8);
    outgoing->data[1] = (uint8_t)len;
    memcpy(outgoing->data + 2, message, len);
    outgoing->request.data = outgoing;
    uv_buf_t buffer = uv_buf_init((char *)outgoing->data, (unsigned int)len + 2);
    if (uv_write(&outgoing->request, (uv_stream_t *)&to->tcp, &buffer, 1, on_written) != 0) {
        free(outgoing);
        close_relay(to->relay);
    }
}

static void on_judged(void *context, uint8_t *answer, size_t len)
{
    struct held *held = context;
    held->is_used = false;
    send_message(&held->relay->client, answer, len);
    free(answer);
}

static void remember_query(struct relay *relay, const uint8_t *query, size_t len)
{
    struct asked *asked = &relay->asked[relay->asked_next++ % ASKED_MAX];
    asked->len = len <= ASKED_CAP ? len : 0;
    memcpy(asked->query, query, asked->len);
}

/* The query that this message answers; NULL: not known. Valid until the next one is remembered. */
static struct asked *find_query(struct relay *relay, const uint8_t *answer, size_t len)
{
    for (size_t i = 0; i < ASKED_MAX; i++) {
        struct asked *asked = &relay->asked[i];
        if (asked->len > 0 && dns_response_is_for(answer, len, asked->query, asked->len))
            return asked;
    }
    return NULL;
}

static void take_answer(struct relay *relay, const uint8_t *message, size_t len)
{
    struct held *held = NULL;
    for (size_t i = 0; i < JUDGED_MAX && held == NULL; i++)
        held = relay->held[i].is_used ? NULL : &relay->held[i];
    uint8_t *answer = held != NULL ? malloc(len) : NULL;
    if (answer == NULL) {
        send_message(&relay->client, message, len);
        return;
    }
    memcpy(answer, message, len);
    held->relay = relay;
    held->is_used = true;
    struct asked *asked = find_query(relay, message, len);
    size_t asked_len = asked != NULL ? asked->len : 0;
    if (asked != NULL)
        asked->len = 0;
    judge_start(relay->resolver->host, asked != NULL ? asked->query : NULL, asked_len, answer, len,
                true, on_judged, held, &held->judge);
}

static void take_query(struct relay *relay, const uint8_t *message, size_t len)
{
    struct host *host = relay->resolver->host;
    uint8_t answer[DNS_UDP_LEN_MIN];
    size_t answer_len;
    relay->resolver->query_count++;
    if (rewrite_answer_ptr(host->pool, host->name, message, len, true, answer, sizeof(answer),
                           &answer_len) == ERR_OK ||
        plain_answer(host, message, len, true, answer, sizeof(answer), &answer_len) == ERR_OK) {
        send_message(&relay->client, answer, answer_len);
    } else {
        remember_query(relay, message, len);
        send_message(&relay->server, message, len);
    }
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *ret_buffer)
{
    struct side *side = handle->data;
    *ret_buffer = uv_buf_init((char *)side->buffer + side->len,
                              (unsigned int)(RESOLVER_MESSAGE_CAP + 2 - side->len));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct side *side = stream->data;
    struct relay *relay = side->relay;
    if (got < 0) {
        close_relay(relay);
        return;
    }
    side->len += (size_t)got;
    size_t used = 0;
    while (!relay->is_closing && side->len - used >= 2) {
        size_t len = (size_t)(side->buffer[used] << 8 | side->buffer[used + 1]);
        if (side->len - used < len + 2)
            break;
        if (side == &relay->client)
            take_query(relay, side->buffer + used + 2, len);
        else
            take_answer(relay, side->buffer + used + 2, len);
        used += len + 2;
    }
    if (relay->is_closing)
        return;
    side->len -= used;
    memmove(side->buffer, side->buffer + used, side->len);
    task_set(&relay->resolver->host->tasks, &relay->task, clock_now_us() + RELAY_IDLE_US);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct relay *relay = request->data;
    if (relay->is_closing)
        return;
    /* The client is read only now, so that nothing waits for a server that is not there. */
    if (status != 0 || uv_read_start((uv_stream_t *)&relay->server.tcp, on_alloc, on_read) != 0 ||
        uv_read_start((uv_stream_t *)&relay->client.tcp, on_alloc, on_read) != 0)
        close_relay(relay);
}

static int open_side(struct relay *relay, struct side *side)
{
    side->relay = relay;
    side->tcp.data = side;
    side->buffer = malloc(RESOLVER_MESSAGE_CAP + 2);
    if (side->buffer == NULL || uv_tcp_init(&relay->resolver->host->loop, &side->tcp) != 0) {
        free(side->buffer);
        side->buffer = NULL;
        return ERR_NOMEM;
    }
    side->is_open = true;
    relay->open_handles++;
    return ERR_OK;
}

/* Connects to the server that the application meant, from a marked socket. */
static int connect_server(struct relay *relay, struct listener *listener)
{
    struct sockaddr_storage address;
    struct endpoint server;
    uv_os_fd_t client;
    int fd, one = 1;
    if (uv_fileno((uv_handle_t *)&relay->client.tcp, &client) != 0 ||
        conntrack_original_tcp(client, &server) != ERR_OK ||
        endpoint_is_equal(&server, &listener->local))
        return ERR_REFUSED;
    fd = socket(server.address.family == ADDRESS_IPV4 ? AF_INET : AF_INET6,
                SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_IO;
    uint32_t mark = HOST_MARK;
    if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) != 0 ||
        uv_tcp_open(&relay->server.tcp, fd) != 0) {
        close(fd);
        return ERR_IO;
    }
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));
    endpoint_to_sockaddr(&server, false, &address);
    relay->connect.data = relay;
    return uv_tcp_connect(&relay->connect, &relay->server.tcp, (const struct sockaddr *)&address,
                          on_connected) == 0
               ? ERR_OK
               : ERR_IO;
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *listener = stream->data;
    struct resolver *resolver = listener->resolver;
    struct relay *relay = status == 0 ? calloc(1, sizeof(*relay)) : NULL;
    if (relay == NULL)
        return;
    relay->resolver = resolver;
    if (open_side(relay, &relay->client) != ERR_OK) {
        free(relay);
        return;
    }
    resolver->open_handles++;
    relay->next = resolver->relays;
    resolver->relays = relay;
    resolver->relay_count++;
    relay->task.run = on_idle;
    task_set(&resolver->host->tasks, &relay->task, clock_now_us() + RELAY_IDLE_US);
    if (uv_accept(stream, (uv_stream_t *)&relay->client.tcp) != 0 ||
        resolver->relay_count > RELAYS_MAX || open_side(relay, &relay->server) != ERR_OK ||
        connect_server(relay, listener) != ERR_OK)
        close_relay(relay);
}

int relay_listen(struct listener *listener, int fd)
{
    if (uv_tcp_init(&listener->resolver->host->loop, &listener->tcp) != 0) {
        close(fd);
        return ERR_IO;
    }
    listener->tcp.data = listener;
    listener->resolver->open_handles++;
    if (uv_tcp_open(&listener->tcp, fd) != 0) {
        close(fd);
        return ERR_IO;
    }
    return uv_listen((uv_stream_t *)&listener->tcp, 64, on_connection) == 0 ? ERR_OK : ERR_IO;
}
