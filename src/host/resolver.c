/* The capture, kept alive by the control thread itself, and queries over UDP: a fresh socket and ID
 * for each, answers matched by server, ID and question. */
#include "host/resolver_internal.h"

#include "crypto/memory.h"
#include "host/met.h"
#include "host/plain.h"
#include "io/clock.h"
#include "names/rewrite.h"
#include "wire/dns.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DNS_PORT         53
#define QUESTIONS_MAX    1024
#define QUESTION_WAIT_US (10 * SECOND_US) /* longer than applications wait for one answer */
/* Where no server answers: then a peer that was met before is named by what is known here. Less
 * than applications wait. */
#define MET_WAIT_US (2 * SECOND_US)

struct question {
    struct question *next;
    struct resolver *resolver;
    struct listener *listener;
    struct endpoint client;
    uv_poll_t poll; /* of the socket to the server */
    int fd;
    struct task task;
    struct judge *judge;
    bool is_closing;
    uint16_t id; /* the application's */
    size_t len;
    uint8_t query[]; /* as sent, with our own ID */
};

static void on_question_closed(uv_handle_t *handle)
{
    struct question *question = handle->data;
    struct resolver *resolver = question->resolver;
    close(question->fd);
    free(question);
    resolver_handle_closed((uv_handle_t *)&resolver->listeners[0].udp);
}

static void close_question(struct question *question)
{
    struct resolver *resolver = question->resolver;
    if (question->is_closing)
        return;
    question->is_closing = true;
    struct question **link = &resolver->questions;
    while (*link != question)
        link = &(*link)->next;
    *link = question->next;
    resolver->question_count--;
    task_clear(&resolver->host->tasks, &question->task);
    judge_cancel(question->judge);
    question->judge = NULL;
    uv_close((uv_handle_t *)&question->poll, on_question_closed);
}

static void put_id(uint8_t *message, uint16_t id)
{
    message[0] = (uint8_t)(id >> 8);
    message[1] = (uint8_t)id;
}

static void on_judged(void *context, uint8_t *answer, size_t len)
{
    struct question *question = context;
    put_id(answer, question->id);
    dns_listener_send(question->listener->udp_fd, answer, len, &question->client);
    free(answer);
    close_question(question);
}

static void judge(struct question *question, uint8_t *answer, size_t len)
{
    uv_poll_stop(&question->poll);
    judge_start(question->resolver->host, question->query, question->len, answer, len, false,
                on_judged, question, &question->judge);
}

/* As if the server had said that it cannot. False: the application finds out by itself. */
static bool answer_without_server(struct question *question)
{
    char name[NAME_TEXT_CAP];
    uint8_t answer[DNS_UDP_LEN_MIN];
    size_t len;
    bool is_ipv6;
    if (question->judge != NULL ||
        !rewrite_asks_address(question->query, question->len, name, &is_ipv6) ||
        !met_knows(question->resolver->host, name) ||
        rewrite_build_error(question->query, question->len, DNS_RCODE_SERVFAIL, answer,
                            sizeof(answer), &len) != ERR_OK)
        return false;
    uint8_t *copy = malloc(len);
    if (copy == NULL)
        return false;
    memcpy(copy, answer, len);
    judge(question, copy, len);
    return true;
}

static void on_timeout(struct task *task, uint64_t now_us)
{
    close_question(CONTAINER_OF(task, struct question, task));
}

static void on_silence(struct task *task, uint64_t now_us)
{
    struct question *question = CONTAINER_OF(task, struct question, task);
    task->run = on_timeout;
    task_set(&question->resolver->host->tasks, task, now_us + QUESTION_WAIT_US - MET_WAIT_US);
    (void)answer_without_server(question);
}

static void on_server(uv_poll_t *poll, int status, int events)
{
    struct question *question = poll->data;
    struct resolver *resolver = question->resolver;
    ssize_t got = recv(question->fd, resolver->buffer, sizeof(resolver->buffer), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0) {
        /* Refused by the server's host: the application's time-out or retry. */
        if (!answer_without_server(question))
            close_question(question);
        return;
    }
    if (!dns_response_is_for(resolver->buffer, (size_t)got, question->query, question->len))
        return;
    uint8_t *answer = malloc((size_t)got);
    if (answer == NULL) {
        close_question(question);
        return;
    }
    memcpy(answer, resolver->buffer, (size_t)got);
    judge(question, answer, (size_t)got);
}

/* Sends the query on to the server that the application meant. */
static void pass_on(struct listener *listener, const struct endpoint *client,
                    const struct endpoint *server, const uint8_t *query, size_t len)
{
    struct resolver *resolver = listener->resolver;
    struct question *question = calloc(1, sizeof(*question) + len);
    uint16_t id;
    if (question == NULL)
        return;
    if (crypto_random(&id, sizeof(id)) != ERR_OK ||
        dns_upstream_open(server, HOST_MARK, SOCK_DGRAM, &question->fd) != ERR_OK) {
        free(question);
        return;
    }
    question->resolver = resolver;
    question->listener = listener;
    question->client = *client;
    question->len = len;
    question->id = (uint16_t)(query[0] << 8 | query[1]);
    memcpy(question->query, query, len);
    put_id(question->query, id);
    question->poll.data = question;
    question->task.run = on_silence;
    if (uv_poll_init(&resolver->host->loop, &question->poll, question->fd) != 0) {
        close(question->fd);
        free(question);
        return;
    }
    resolver->open_handles++;
    resolver->question_count++;
    question->next = resolver->questions;
    resolver->questions = question;
    task_set(&resolver->host->tasks, &question->task, clock_now_us() + MET_WAIT_US);
    if (send(question->fd, question->query, len, 0) < 0 ||
        uv_poll_start(&question->poll, UV_READABLE, on_server) != 0)
        close_question(question);
}

static void take_query(struct listener *listener, const struct endpoint *client,
                       const uint8_t *query, size_t len)
{
    struct resolver *resolver = listener->resolver;
    struct host *host = resolver->host;
    uint8_t local_answer[DNS_UDP_LEN_MIN];
    size_t local_len;
    struct endpoint server;
    uint32_t suppressed;
    resolver->query_count++;
    if (len < DNS_HEADER_LEN)
        return;
    if (rewrite_answer_ptr(host->pool, host->name, query, len, false, local_answer,
                           sizeof(local_answer), &local_len) == ERR_OK ||
        plain_answer(host, query, len, false, local_answer, sizeof(local_answer), &local_len) ==
            ERR_OK) {
        dns_listener_send(listener->udp_fd, local_answer, local_len, client);
        return;
    }
    if (resolver->question_count >= QUESTIONS_MAX) {
        if (log_limit_is_open(&resolver->log_limit, clock_now_us(), 1, 10 * SECOND_US, &suppressed))
            log_warn("DNS: more than %d queries wait for servers; new ones are dropped",
                     QUESTIONS_MAX);
        return;
    }
    /* Only redirected queries have an original destination; whoever sends here directly gets
     * nothing. */
    if (conntrack_original(&resolver->conntrack, IPPROTO_UDP, client, &listener->local, &server) !=
            ERR_OK ||
        endpoint_is_equal(&server, &listener->local))
        return;
    pass_on(listener, client, &server, query, len);
}

static void on_query(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    uint8_t query[4096];
    size_t len;
    struct endpoint client;
    for (int i = 0; i < 64; i++) {
        if (dns_listener_receive(listener->udp_fd, query, sizeof(query), &len, &client) != ERR_OK)
            return;
        take_query(listener, &client, query, len);
    }
}

static int open_listener(struct resolver *resolver, size_t index, enum address_family family,
                         uint16_t port)
{
    struct listener *listener = &resolver->listeners[index];
    int tcp;
    listener->resolver = resolver;
    int error = dns_listener_open(family, port, &listener->udp_fd, &tcp, &listener->local.port);
    if (error != ERR_OK)
        return error;
    static const uint8_t loopback6[16] = {[15] = 1};
    listener->local.address = family == ADDRESS_IPV4 ? address_from_ipv4(0x7F000001)
                                                     : address_from_bytes(ADDRESS_IPV6, loopback6);
    listener->udp.data = listener;
    if (uv_poll_init(&resolver->host->loop, &listener->udp, listener->udp_fd) != 0) {
        close(listener->udp_fd);
        close(tcp);
        return ERR_IO;
    }
    listener->is_open = true;
    resolver->open_handles++;
    if (relay_listen(listener, tcp) != ERR_OK ||
        uv_poll_start(&listener->udp, UV_READABLE, on_query) != 0)
        return ERR_IO;
    return ERR_OK;
}

static int open_capture(struct resolver *resolver)
{
    const struct dns_capture_options options = {
        .table = "detec-dns",
        .tun_name = resolver->host->config.interface,
        .port = resolver->listeners[0].local.port,
        .mark = HOST_MARK,
    };
    int error = dns_capture_open(&resolver->capture, &options);
    return error == ERR_OK ? dns_capture_refresh(&resolver->capture) : error;
}

/* The capture has begun, or begun again: sockets that were in use without it are tracked as going
 * straight to their servers, until that is forgotten. */
static void catch_older_sockets(struct resolver *resolver)
{
    if (conntrack_release_direct(&resolver->conntrack, DNS_PORT, NULL) != ERR_OK)
        log_warn("DNS capture: applications that keep a socket may have to open a new one");
}

/* Without a watchdog all is well until the daemon is stopped or killed; a new one could not be
 * forked by now without the keys in its memory. */
static void beat(struct resolver *resolver, bool is_capturing)
{
    struct watchdog *watchdog = &resolver->host->watchdog;
    if (watchdog->fd >= 0 &&
        watchdog_beat(watchdog, is_capturing ? resolver->listeners[0].local.port : 0) != ERR_OK)
        log_warn("DNS: the watchdog process is gone; should this daemon be killed, applications "
                 "that keep a socket may have to open a new one");
}

/* The capture lasts no longer than this goes on: a daemon that hangs captures nothing. */
static void on_refresh(struct task *task, uint64_t now_us)
{
    struct resolver *resolver = CONTAINER_OF(task, struct resolver, refresh);
    int error = dns_capture_refresh(&resolver->capture);
    bool has_lapsed = now_us - resolver->refreshed_us > DNS_CAPTURE_ALIVE_MS * MS_US;
    if (error == ERR_NOT_FOUND) {
        log_warn("DNS capture: its nftables table was removed; setting it up again");
        dns_capture_close(&resolver->capture);
        error = open_capture(resolver);
        has_lapsed = true;
    }
    if (error == ERR_OK) {
        resolver->refreshed_us = now_us;
        if (has_lapsed)
            catch_older_sockets(resolver);
    }
    beat(resolver, error == ERR_OK);
    bool was_failing = resolver->error != NULL;
    resolver->error = error == ERR_OK ? NULL : dns_capture_error(&resolver->capture);
    if (resolver->error != NULL && !was_failing)
        log_error("DNS capture fails: %s; names of hosts do not resolve to their peers meanwhile",
                  resolver->error);
    task_set(&resolver->host->tasks, &resolver->refresh, now_us + DNS_CAPTURE_REFRESH_MS * MS_US);
}

int resolver_start(struct resolver *resolver)
{
    int error = open_capture(resolver);
    if (error != ERR_OK) {
        resolver->error = dns_capture_error(&resolver->capture);
        log_error("DNS capture cannot be set up: %s", resolver->error);
        return error;
    }
    resolver->is_capturing = true;
    resolver->refreshed_us = clock_now_us();
    catch_older_sockets(resolver);
    beat(resolver, true);
    resolver->refresh.run = on_refresh;
    task_set(&resolver->host->tasks, &resolver->refresh,
             clock_now_us() + DNS_CAPTURE_REFRESH_MS * MS_US);
    return ERR_OK;
}

int resolver_new(struct host *host, struct resolver **ret_resolver)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    if (resolver == NULL)
        return ERR_NOMEM;
    resolver->host = host;
    resolver->open_handles = 1; /* its own, given up in resolver_free */
    int error = netlink_open(&resolver->conntrack, NETLINK_NETFILTER);
    if (error == ERR_OK)
        error = open_listener(resolver, 0, ADDRESS_IPV4, 0);
    if (error == ERR_OK) {
        error = open_listener(resolver, 1, ADDRESS_IPV6, resolver->listeners[0].local.port);
        if (error == ERR_UNSUPPORTED)
            error = ERR_OK;
    }
    if (error != ERR_OK) {
        resolver_free(resolver);
        return error;
    }
    *ret_resolver = resolver;
    return ERR_OK;
}

static void release(struct resolver *resolver)
{
    if (--resolver->open_handles == 0)
        free(resolver);
}

void resolver_handle_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    release(listener->resolver);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    close(listener->udp_fd);
    release(listener->resolver);
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL || resolver->is_closing)
        return;
    resolver->is_closing = true;
    dns_capture_close(&resolver->capture);
    if (resolver->is_capturing &&
        conntrack_release_redirected(&resolver->conntrack, resolver->listeners[0].local.port,
                                     NULL) != ERR_OK)
        log_warn("DNS: applications that keep a socket may have to open a new one");
    resolver->is_capturing = false;
    netlink_close(&resolver->conntrack);
    task_clear(&resolver->host->tasks, &resolver->refresh);
    while (resolver->questions != NULL)
        close_question(resolver->questions);
    relays_close(resolver);
    for (size_t i = 0; i < 2; i++) {
        if (resolver->listeners[i].is_open)
            uv_close((uv_handle_t *)&resolver->listeners[i].udp, on_listener_closed);
    }
    release(resolver);
}

void resolver_get_status(const struct resolver *resolver, struct resolver_status *ret_status)
{
    ret_status->is_active = resolver->is_capturing && resolver->error == NULL;
    ret_status->queries = resolver->query_count;
    ret_status->error = resolver->error;
}
