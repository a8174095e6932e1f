/* Life of the extra sockets, and what arrives on them while a call punches. */
#include "host/sockets.h"

#include "host/call.h"
#include "host/datapath.h"
#include "host/host.h"
#include "io/clock.h"
#include "wire/demux.h"
#include <stdlib.h>

#define LOOK_US       (5 * SECOND_US)
#define RETRY_US      (100 * MS_US)    /* the data path's queue was full */
#define UNUSED_US     (30 * SECOND_US) /* a path that nobody uses so long is given up */
#define RECEIVE_TURNS 16
#define KEPT_MAX      (DATAPATH_SOCKETS_MAX - 1) /* the NAT port's has its place there, too */

struct path_socket {
    struct host *host;
    struct call *call; /* NULL: kept */
    uint16_t number;
    struct udp udp;
    uv_poll_t poll;
    bool is_handed_over; /* the data path reads it */
    uint64_t used_us;
};

static struct path_socket **find(struct host *host, uint16_t number)
{
    for (size_t i = 0; i < host->sockets.count; i++) {
        if (host->sockets.all[i]->number == number)
            return &host->sockets.all[i];
    }
    return NULL;
}

struct udp *sockets_find(struct host *host, uint16_t number)
{
    if (number == 0)
        return &host->udp;
    struct path_socket **found = find(host, number);
    return found != NULL ? &(*found)->udp : NULL;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* False: the data path has no room for the news; later. */
static bool close_socket(struct host *host, struct path_socket **place)
{
    struct path_socket *socket = *place;
    if (socket->is_handed_over && host->datapath != NULL &&
        !datapath_remove_socket(host->datapath, socket->number))
        return false;
    host->sockets.kept -= socket->call == NULL && socket->number < HOST_SOCKET_FIXED;
    *place = host->sockets.all[--host->sockets.count];
    uv_poll_stop(&socket->poll);
    uv_close((uv_handle_t *)&socket->poll, on_closed);
    udp_close(&socket->udp);
    return true;
}

/* ---- receiving ---- */

static void take(struct path_socket *socket, struct packet *packet, uint64_t now_us)
{
    struct host *host = socket->host;
    const struct endpoint *from = &packet->peer;
    if (socket->number == HOST_SOCKET_IKE) {
        host_take_ike(host, packet->data, packet->len, from, now_us);
        return;
    }
    switch (datagram_classify(packet->data, packet->len)) {
    case DATAGRAM_KEEPALIVE:
        break;
    case DATAGRAM_IKE:
        host_take_ike(host, packet->data + DEMUX_MARKER_LEN, packet->len - DEMUX_MARKER_LEN, from,
                      now_us);
        break;
    case DATAGRAM_STUN_MAYBE:
        if (call_on_stun(host, packet->data, packet->len, from, now_us) != ERR_OK)
            call_on_early(host, packet->data, packet->len, from);
        break;
    case DATAGRAM_DATA:
        call_on_early(host, packet->data, packet->len, from);
        break;
    }
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct path_socket *socket = poll->data;
    struct host *host = socket->host;
    const uint16_t number = socket->number;
    struct packet storage, *packet = &storage;
    struct udp_too_big too_big;
    unsigned count;
    for (int turn = 0; turn < RECEIVE_TURNS; turn++) {
        if (udp_receive_too_big(&socket->udp, &too_big) != ERR_OK)
            break;
    }
    /* An ICMP error, such as a router's that an opener died at: libuv has stopped watching. */
    if (status < 0)
        (void)!uv_poll_start(&socket->poll, UV_READABLE, on_readable);
    for (int turn = 0; turn < RECEIVE_TURNS; turn++) {
        packet_reset(packet);
        if (udp_receive_batch(&socket->udp, &packet, 1, &count) != ERR_OK)
            return;
        packet->peer.socket = number;
        take(socket, packet, clock_now_us());
        struct path_socket **still = find(host, number); /* what came may have ended it */
        if (still == NULL || *still != socket || socket->is_handed_over)
            return;
    }
}

/* ---- opening ---- */

static int open_one(struct host *host, struct call *call, uint16_t number, uint16_t port)
{
    const struct udp_options options = {.port = port, .mark = HOST_MARK, .is_probing = true};
    struct path_socket *socket = calloc(1, sizeof(*socket));
    if (socket == NULL)
        return ERR_NOMEM;
    int error = udp_open(&options, &socket->udp);
    if (error != ERR_OK) {
        free(socket);
        return error;
    }
    if (uv_poll_init(host_loop(host), &socket->poll, socket->udp.fd) != 0) {
        udp_close(&socket->udp);
        free(socket);
        return ERR_IO;
    }
    socket->host = host;
    socket->call = call;
    socket->number = number;
    socket->poll.data = socket;
    host->sockets.all[host->sockets.count++] = socket;
    if (uv_poll_start(&socket->poll, UV_READABLE, on_readable) != 0)
        log_debug("an extra socket cannot be watched");
    return ERR_OK;
}

/* Numbers in a row that nobody has: a tunnel may have kept some. */
static uint16_t take_numbers(struct host *host, unsigned count)
{
    struct sockets *sockets = &host->sockets;
    unsigned first = sockets->next, free = 0;
    while (free < count) {
        if (first == 0 || first + count > HOST_SOCKET_FIXED) {
            first = 1;
            free = 0;
        }
        if (find(host, (uint16_t)(first + free)) == NULL) {
            free++;
            continue;
        }
        first += free + 1;
        free = 0;
    }
    sockets->next = (uint16_t)(first + count);
    return (uint16_t)first;
}

unsigned sockets_open(struct host *host, struct call *call, unsigned count, uint16_t *ret_first)
{
    const struct sockets *sockets = &host->sockets;
    unsigned opened = 0;
    if (sockets->kept >= HOST_SOCKETS_KEPT_MAX)
        return 0;
    if (count > HOST_SOCKETS_MAX - sockets->count)
        count = (unsigned)(HOST_SOCKETS_MAX - sockets->count);
    if (count == 0)
        return 0;
    const uint16_t first = take_numbers(host, count);
    while (opened < count && open_one(host, call, (uint16_t)(first + opened), 0) == ERR_OK)
        opened++;
    if (opened < count)
        log_debug("%u of %u extra sockets could be opened", opened, count);
    *ret_first = first;
    return opened;
}

/* ---- keeping ---- */

/* Those that tunnels use, in one look at all of them. */
static void note_use(struct host *host, uint64_t now_us)
{
    struct sockets *sockets = &host->sockets;
    for (const struct peer *peer = host->peers; peer != NULL; peer = peer->next) {
        if (peer->tunnel == NULL || peer->path.socket == 0)
            continue;
        for (size_t i = 0; i < sockets->count; i++) {
            if (sockets->all[i]->number == peer->path.socket)
                sockets->all[i]->used_us = now_us;
        }
    }
}

/* From now on the data path reads it, and sends from it. False: it has no room for the news; later.
 */
static bool hand_over(struct host *host, struct path_socket *socket)
{
    if (socket->is_handed_over || host->datapath == NULL || socket->number == HOST_SOCKET_IKE)
        return true;
    if (!datapath_add_socket(host->datapath, socket->number, &socket->udp))
        return false;
    socket->is_handed_over = true;
    uv_poll_stop(&socket->poll);
    return true;
}

static void look_after(struct host *host, uint64_t now_us)
{
    struct sockets *sockets = &host->sockets;
    bool are_handed_over = true;
    if (sockets->kept > 0)
        note_use(host, now_us);
    for (size_t i = sockets->count; i-- > 0;) {
        struct path_socket *socket = sockets->all[i];
        if (socket->call != NULL || socket->number == 0)
            continue;
        if (socket->number >= HOST_SOCKET_FIXED)
            socket->used_us = now_us;
        else if (now_us - socket->used_us >= UNUSED_US && close_socket(host, &sockets->all[i]))
            continue;
        are_handed_over = hand_over(host, socket) && are_handed_over;
    }
    if (sockets->kept > 0 || !are_handed_over)
        task_set(&host->tasks, &sockets->task, now_us + (are_handed_over ? LOOK_US : RETRY_US));
}

static void on_task(struct task *task, uint64_t now_us)
{
    look_after(CONTAINER_OF(task, struct host, sockets.task), now_us);
}

static void keep(struct host *host, struct path_socket *socket)
{
    const uint64_t now_us = clock_now_us();
    socket->call = NULL;
    socket->used_us = now_us;
    host->sockets.kept++;
    host->sockets.task.run = on_task;
    task_set(&host->tasks, &host->sockets.task,
             now_us + (hand_over(host, socket) ? LOOK_US : RETRY_US));
}

int sockets_open_fixed(struct host *host, uint16_t number, uint16_t port)
{
    int error = open_one(host, NULL, number, port);
    if (error != ERR_OK)
        return error;
    host->sockets.task.run = on_task;
    task_set(&host->tasks, &host->sockets.task, clock_now_us() + RETRY_US);
    return ERR_OK;
}

bool sockets_release(struct host *host, const struct call *call, uint16_t kept)
{
    struct sockets *sockets = &host->sockets;
    for (size_t i = sockets->count; i-- > 0;) {
        struct path_socket *socket = sockets->all[i];
        if (socket->call != call)
            continue;
        if (socket->number == kept && sockets->kept < KEPT_MAX)
            keep(host, socket);
        else
            (void)close_socket(host, &sockets->all[i]);
    }
    return sockets_find(host, kept) != NULL; /* also one of another tunnel's */
}

void sockets_close(struct host *host)
{
    task_clear(&host->tasks, &host->sockets.task);
    while (host->sockets.count > 0) {
        struct path_socket **last = &host->sockets.all[host->sockets.count - 1];
        (*last)->is_handed_over = false; /* the data path closes its own at its end */
        (void)close_socket(host, last);
    }
}
