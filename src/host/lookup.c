/* One c-ares channel per query, driven by libuv. */
#include "host/lookup.h"

#include "base/log.h"
#include <ares.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>

#define LOOKUP_SOCKETS_MAX 8
#define LOOKUP_TIMEOUT_MS  1200
#define LOOKUP_TRIES       3

struct lookup_socket {
    uv_poll_t poll;
    struct lookup *lookup;
    ares_socket_t fd;
};

struct lookup {
    ares_channel channel;
    uv_loop_t *loop;
    uv_timer_t timer;
    struct lookup_socket *sockets[LOOKUP_SOCKETS_MAX];
    uint32_t mark;
    lookup_done *done;
    void *context;
    int error;
    uint8_t *answer;
    size_t answer_len;
    bool is_finished; /* c-ares has spoken; `done` is called from the timer */
};

static void free_socket(uv_handle_t *handle)
{
    free(handle->data);
}

static void free_lookup(uv_handle_t *handle)
{
    struct lookup *lookup = handle->data;
    free(lookup->answer);
    free(lookup);
}

static void destroy(struct lookup *lookup)
{
    lookup->done = NULL;
    ares_destroy(lookup->channel);
    for (size_t i = 0; i < LOOKUP_SOCKETS_MAX; i++) {
        if (lookup->sockets[i] != NULL)
            uv_close((uv_handle_t *)&lookup->sockets[i]->poll, free_socket);
        lookup->sockets[i] = NULL;
    }
    uv_close((uv_handle_t *)&lookup->timer, free_lookup);
}

static void on_timer(uv_timer_t *timer);

static void arm_timer(struct lookup *lookup)
{
    struct timeval wait;
    struct timeval *next = ares_timeout(lookup->channel, NULL, &wait);
    uint64_t ms = 0;
    if (!lookup->is_finished)
        ms = next != NULL ? (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1
                          : 1000;
    uv_timer_start(&lookup->timer, on_timer, ms, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct lookup *lookup = timer->data;
    if (!lookup->is_finished) {
        ares_process_fd(lookup->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        arm_timer(lookup);
        return;
    }
    lookup_done *done = lookup->done;
    if (done != NULL)
        done(lookup->context, lookup->error, lookup->answer, lookup->answer_len);
    destroy(lookup);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct lookup_socket *socket = poll->data;
    struct lookup *lookup = socket->lookup;
    bool is_readable = status < 0 || (events & UV_READABLE) != 0;
    bool is_writable = status < 0 || (events & UV_WRITABLE) != 0;
    ares_process_fd(lookup->channel, is_readable ? socket->fd : ARES_SOCKET_BAD,
                    is_writable ? socket->fd : ARES_SOCKET_BAD);
    arm_timer(lookup);
}

static struct lookup_socket **find_socket(struct lookup *lookup, ares_socket_t fd)
{
    struct lookup_socket **unused = NULL;
    for (size_t i = 0; i < LOOKUP_SOCKETS_MAX; i++) {
        if (lookup->sockets[i] == NULL)
            unused = unused == NULL ? &lookup->sockets[i] : unused;
        else if (lookup->sockets[i]->fd == fd)
            return &lookup->sockets[i];
    }
    return unused;
}

static void on_socket_state(void *context, ares_socket_t fd, int is_readable, int is_writable)
{
    struct lookup *lookup = context;
    struct lookup_socket **place = find_socket(lookup, fd);
    if (place == NULL)
        return;
    struct lookup_socket *socket = *place;
    if (!is_readable && !is_writable) {
        if (socket != NULL) {
            uv_close((uv_handle_t *)&socket->poll, free_socket);
            *place = NULL;
        }
        return;
    }
    if (socket == NULL) {
        socket = calloc(1, sizeof(*socket));
        if (socket == NULL)
            return;
        socket->lookup = lookup;
        socket->fd = fd;
        socket->poll.data = socket;
        if (uv_poll_init_socket(lookup->loop, &socket->poll, fd) != 0) {
            free(socket);
            return;
        }
        *place = socket;
    }
    uv_poll_start(&socket->poll, (is_readable ? UV_READABLE : 0) | (is_writable ? UV_WRITABLE : 0),
                  on_poll);
}

static int on_socket_created(ares_socket_t fd, int type, void *context)
{
    const struct lookup *lookup = context;
    return setsockopt(fd, SOL_SOCKET, SO_MARK, &lookup->mark, sizeof(lookup->mark)) == 0 ? 0 : -1;
}

static int error_from_status(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return ERR_OK;
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
        return ERR_NOT_FOUND;
    case ARES_ETIMEOUT:
        return ERR_TIMEOUT;
    case ARES_ENOMEM:
        return ERR_NOMEM;
    default:
        return ERR_IO;
    }
}

static void on_answer(void *context, int status, int timeouts, unsigned char *answer, int len)
{
    struct lookup *lookup = context;
    lookup->is_finished = true;
    if (lookup->done == NULL)
        return;
    lookup->error = error_from_status(status);
    if (answer != NULL && len > 0) {
        lookup->answer = malloc((size_t)len);
        if (lookup->answer != NULL) {
            memcpy(lookup->answer, answer, (size_t)len);
            lookup->answer_len = (size_t)len;
        }
    }
}

int lookup_start(uv_loop_t *loop, uint32_t mark, const char *name, uint16_t type, lookup_done *done,
                 void *context, struct lookup **ret_lookup)
{
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL)
        return ERR_NOMEM;
    lookup->loop = loop;
    lookup->mark = mark;
    lookup->done = done;
    lookup->context = context;
    struct ares_options options = {
        .timeout = LOOKUP_TIMEOUT_MS,
        .tries = LOOKUP_TRIES,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = lookup,
    };
    int status = ares_init_options(&lookup->channel, &options,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) {
        free(lookup);
        return status == ARES_ENOMEM ? ERR_NOMEM : ERR_IO;
    }
    ares_set_socket_callback(lookup->channel, on_socket_created, lookup);
    if (uv_timer_init(loop, &lookup->timer) != 0) {
        ares_destroy(lookup->channel);
        free(lookup);
        return ERR_IO;
    }
    lookup->timer.data = lookup;
    ares_query(lookup->channel, name, 1 /* IN */, type, on_answer, lookup);
    arm_timer(lookup);
    *ret_lookup = lookup;
    return ERR_OK;
}

void lookup_cancel(struct lookup *lookup)
{
    if (lookup != NULL)
        destroy(lookup);
}
