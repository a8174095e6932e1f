/* The data path threads: each waits, reads in batches, sends in batches. */
#include "host/datapath_internal.h"

#include "base/log.h"
#include "io/clock.h"
#include "io/udp.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define POOL_COUNT    384
#define STACK_BYTES   (256 * 1024) /* locked in memory, all of it */
#define HANDOFF_COUNT 128          /* each way */
#define OTHERS_COUNT  16           /* to the other threads, who are told of sockets alone */
#define POLL_SOCKETS  4            /* what comes before the extra ones in a poll */
/* Batches in a row from one side before the other has its turn. */
#define ROUNDS_UDP 3
#define ROUNDS_TUN 2

static struct datapath *find_thread(struct datapath *datapath, unsigned thread)
{
    while (datapath != NULL && thread-- > 0)
        datapath = datapath->next;
    return datapath;
}

struct handoff *datapath_from_network(struct datapath *datapath, unsigned thread)
{
    datapath = find_thread(datapath, thread);
    return datapath != NULL ? &datapath->from_network : NULL;
}

struct handoff *datapath_from_local(struct datapath *datapath, unsigned thread)
{
    datapath = find_thread(datapath, thread);
    return datapath != NULL ? &datapath->from_local : NULL;
}

uint64_t datapath_drops(const struct datapath *datapath, enum drop_reason reason)
{
    uint64_t count = 0;
    for (; datapath != NULL; datapath = datapath->next)
        count += drop_counted(&datapath->drops, reason);
    return count;
}

uint64_t datapath_not_handed_over(struct datapath *datapath)
{
    uint64_t count = 0;
    for (; datapath != NULL; datapath = datapath->next)
        count += atomic_load(&datapath->from_network.dropped) +
                 atomic_load(&datapath->from_local.dropped);
    return count;
}

/* The tags that were left open; what has got none goes nowhere. */
static void finish_tags(struct datapath *dp)
{
    unsigned kept = 0;
    sput_batch_seal(dp->tags, dp->batch, dp->batch_count);
    for (unsigned i = 0; i < dp->batch_count; i++) {
        if (dp->batch[i]->len > 0) {
            dp->batch[kept++] = dp->batch[i];
            continue;
        }
        drop_count(&dp->drops, DROP_CRYPTO);
        packet_give_back(&dp->pool, dp->batch[i]);
    }
    dp->batch_count = kept;
}

/* ---- sockets beside the tunnel port's ---- */

static struct udp *find_socket(struct datapath *dp, uint16_t number)
{
    if (number == 0)
        return dp->config.udp;
    for (unsigned i = 0; i < DATAPATH_SOCKETS_MAX; i++) {
        if (dp->sockets[i].fd >= 0 && dp->socket_numbers[i] == number)
            return &dp->sockets[i];
    }
    return NULL;
}

static void remove_socket(struct datapath *dp, uint16_t number)
{
    struct udp *udp = find_socket(dp, number);
    if (udp == NULL || number == 0)
        return;
    udp_close(udp);
    udp->fd = -1;
}

static void add_socket(struct datapath *dp, const struct handoff_slot *slot)
{
    struct udp udp;
    memcpy(&udp, slot->data, sizeof(udp));
    remove_socket(dp, (uint16_t)slot->number); /* told twice */
    for (unsigned i = 0; i < DATAPATH_SOCKETS_MAX; i++) {
        if (dp->sockets[i].fd >= 0)
            continue;
        dp->sockets[i] = udp;
        dp->socket_numbers[i] = (uint16_t)slot->number;
        return;
    }
    udp_close(&udp);
}

/* What became of each: one that the network has no room for is dropped, as anywhere on its way. */
void datapath_flush(struct datapath *dp)
{
    int8_t results[BATCH_MAX];
    if (dp->batch_count == 0)
        return;
    finish_tags(dp);
    struct udp *udp = find_socket(dp, dp->batch_socket);
    memset(results, ERR_IO, sizeof(results));
    int error = udp != NULL ? udp_send_batch(udp, dp->batch, dp->batch_count, results) : ERR_IO;
    bool is_full = false;
    for (unsigned i = 0; i < dp->batch_count; i++) {
        is_full = is_full || (error != ERR_OK && results[i] == ERR_AGAIN);
        if (error != ERR_OK && (is_full || results[i] != ERR_OK))
            drop_count(&dp->drops, results[i] == ERR_LIMIT ? DROP_TOO_BIG : DROP_CONGESTION);
        packet_give_back(&dp->pool, dp->batch[i]);
    }
    dp->batch_count = 0;
}

/* TCP is the control thread's. */
static void hand_to_relay(struct datapath *dp, const struct packet *packet)
{
    struct handoff_slot *slot = handoff_slot_take_bulk(&dp->from_local, packet->data, packet->len);
    if (slot == NULL) {
        drop_count(&dp->drops, DROP_CONGESTION);
        return;
    }
    slot->kind = HANDOFF_RELAY;
    slot->from = packet->peer;
    handoff_push(&dp->from_local);
    dp->woke_local = true;
}

void datapath_report_wake(struct datapath *dp, struct tunnel *tunnel)
{
    struct handoff_slot *slot = handoff_slot_take(&dp->from_local, NULL, 0);
    if (slot == NULL) {
        tunnel_set_wake(tunnel, TUNNEL_WAKE_DATA); /* the next packet, then */
        return;
    }
    slot->kind = HANDOFF_WAKE;
    slot->peer = tunnel_view(tunnel)->peer_ipv4;
    handoff_push(&dp->from_local);
    dp->woke_local = true;
}

void datapath_queue(struct datapath *dp, struct packet *packet)
{
    if (packet->peer.address.family == ADDRESS_RELAY || endpoint_is_stream(&packet->peer)) {
        sput_batch_seal(dp->tags, &packet, 1);
        if (packet->len > 0)
            hand_to_relay(dp, packet);
        packet_give_back(&dp->pool, packet);
        return;
    }
    if (packet->peer.socket != dp->batch_socket)
        datapath_flush(dp);
    dp->batch_socket = packet->peer.socket;
    dp->batch[dp->batch_count++] = packet;
    if (dp->batch_count == BATCH_MAX)
        datapath_flush(dp);
}

/* False: nothing more waits. */
static bool read_tun(struct datapath *dp)
{
    struct recent recent = {.tunnel = NULL};
    unsigned count = 0, got = 1;
    dp->recent = &recent;
    for (; count < BATCH_MAX && got > 0; count += got)
        got = datapath_read_tun(dp);
    gather_flush(dp);
    dp->recent = NULL;
    return got > 0;
}

static bool read_udp(struct datapath *dp, struct udp *udp, uint16_t number)
{
    struct packet *packets[BATCH_MAX];
    struct recent recent = {.tunnel = NULL};
    const unsigned room = share_room(dp);
    unsigned count = 0, got = 0;
    if (!udp_has_waiting(udp))
        datapath_flush_tun(dp); /* what is lent gets overwritten now */
    const unsigned wanted = udp_wanted(udp, room);
    while (count < wanted && (packets[count] = packet_take(&dp->pool)) != NULL)
        count++;
    if (count == 0 || udp_receive_batch(udp, packets, count, &got) != ERR_OK)
        got = 0;
    for (unsigned i = got; i < count; i++)
        packet_give_back(&dp->pool, packets[i]);
    for (unsigned i = 0; i < got; i++)
        packets[i]->peer.socket = number;
    tunnel_look_ahead_in(dp->config.tunnels, packets, got);
    sput_batch_foresee(dp->tags, dp->config.tunnels, packets, got);
    dp->recent = &recent;
    for (unsigned i = 0; i < got; i++)
        inbound(dp, packets[i]);
    dp->recent = NULL;
    return got == room && room > 0;
}

/* What was too long, as routers and the own interface say: the control thread judges. One batch of
 * them a round: the rest waits. */
static void read_errors(struct datapath *dp, struct udp *udp, uint16_t number)
{
    struct udp_too_big too_big;
    for (unsigned i = 0; i < BATCH_MAX; i++) {
        if (udp_receive_too_big(udp, &too_big) != ERR_OK)
            return;
        struct handoff_slot *slot = handoff_slot_take(&dp->from_network, NULL, 0);
        if (slot == NULL)
            continue; /* counted there */
        slot->kind = HANDOFF_TOO_BIG;
        slot->from = too_big.to;
        slot->from.socket = number;
        slot->number = too_big.size;
        slot->is_local = too_big.is_local;
        handoff_push(&dp->from_network);
        dp->woke_network = true;
    }
}

static void take_packet(struct datapath *dp, const struct handoff_slot *slot)
{
    struct packet *packet = packet_take(&dp->pool);
    if (packet == NULL)
        return;
    if (slot->len > packet_tailroom(packet)) {
        packet_give_back(&dp->pool, packet);
        return;
    }
    memcpy(packet->data, slot->data, slot->len);
    packet->len = slot->len;
    if (slot->kind == HANDOFF_PACKET) {
        outbound(dp, packet);
    } else {
        packet->peer = slot->from;
        inbound_again(dp, packet);
    }
}

static void read_control(struct datapath *dp)
{
    struct handoff *handoff;
    struct handoff_slot *slot;
    handoff_clear_wake(&dp->to_data);
    while ((slot = datapath_next_told(dp, &handoff)) != NULL) {
        if (slot->kind == HANDOFF_COMMAND || slot->kind == HANDOFF_PROBE)
            outbound_command(dp, slot);
        else if (slot->kind == HANDOFF_SOCKET_ADD)
            add_socket(dp, slot);
        else if (slot->kind == HANDOFF_SOCKET_REMOVE)
            remove_socket(dp, (uint16_t)slot->number);
        else
            take_packet(dp, slot);
        handoff_pop(handoff);
    }
}

static void wake_control(struct datapath *dp)
{
    if (dp->woke_local)
        handoff_wake(&dp->from_local);
    if (dp->woke_network)
        handoff_wake(&dp->from_network);
    dp->woke_local = dp->woke_network = false;
}

/* True: more waits, as it seems. */
static bool read_socket(struct datapath *dp, struct udp *udp, uint16_t number, short events)
{
    bool is_full = events != 0;
    if (events & POLLERR)
        read_errors(dp, udp, number);
    for (unsigned i = 0; i < ROUNDS_UDP && is_full; i++)
        is_full = read_udp(dp, udp, number);
    return is_full;
}

/* The socket may have gone meanwhile: what the control thread says comes first. */
static void read_extra(struct datapath *dp, const struct pollfd *poll)
{
    for (unsigned i = 0; i < DATAPATH_SOCKETS_MAX && poll->revents != 0; i++) {
        if (dp->sockets[i].fd == poll->fd)
            (void)read_socket(dp, &dp->sockets[i], dp->socket_numbers[i], poll->revents);
    }
}

/* Appends the extra sockets to the others; how many there are to wait for. Each is read by one
 * thread, so that what comes on it stays in order. */
static nfds_t poll_sockets(const struct datapath *dp, struct pollfd *polls)
{
    const unsigned threads = dp->config.threads > 0 ? dp->config.threads : 1;
    nfds_t count = POLL_SOCKETS;
    for (unsigned i = 0; i < DATAPATH_SOCKETS_MAX; i++) {
        if (dp->sockets[i].fd >= 0 && dp->socket_numbers[i] % threads == dp->index)
            polls[count++] = (struct pollfd){.fd = dp->sockets[i].fd, .events = POLLIN};
    }
    return count;
}

enum { POLL_TUN, POLL_UDP, POLL_CONTROL, POLL_STOP };

/* One read section: tags that are left open in it are made in it. */
static void do_round(struct datapath *dp, const struct pollfd *polls, nfds_t count,
                     short udp_events)
{
    tunnel_read_begin();
    if (polls[POLL_CONTROL].revents != 0)
        read_control(dp);
    share_help(dp);
    share_begin_round(dp);
    const bool is_full = read_socket(dp, dp->config.udp, 0, udp_events);
    /* What one socket has brought does not wait for the next. */
    datapath_flush_tun(dp);
    for (nfds_t i = POLL_SOCKETS; i < count; i++) {
        read_extra(dp, &polls[i]);
        datapath_flush_tun(dp);
    }
    share_end_round(dp, is_full);
    for (unsigned i = 0; i < ROUNDS_TUN && polls[POLL_TUN].revents != 0 && read_tun(dp); i++)
        ;
    datapath_flush_tun(dp); /* what was answered to applications themselves */
    datapath_flush(dp);
    tunnel_read_end();
    share_tell(dp);
    wake_control(dp);
}

static void *run(void *context)
{
    struct datapath *dp = context;
    struct pollfd polls[POLL_SOCKETS + DATAPATH_SOCKETS_MAX] = {
        [POLL_TUN] = {.fd = dp->config.tun->fd, .events = POLLIN},
        [POLL_UDP] = {.fd = dp->config.udp->fd, .events = POLLIN},
        [POLL_CONTROL] = {.fd = dp->to_data.wake_fd, .events = POLLIN},
        [POLL_STOP] = {.fd = dp->stop_fd, .events = POLLIN},
    };
    tunnel_thread_register();
    for (;;) {
        const nfds_t count = poll_sockets(dp, polls);
        const bool is_waiting = udp_has_waiting(dp->config.udp);
        if (poll(polls, count, is_waiting ? 0 : -1) < 0) {
            if (errno == EINTR)
                continue;
            /* Without this thread the daemon would only look alive. */
            log_error("data path: waiting fails: %s; ending", strerror(errno));
            kill(getpid(), SIGTERM);
            break;
        }
        dp->now_us = clock_now_us();
        if (polls[POLL_STOP].revents != 0)
            break;
        /* A deleted interface is reported for ever; the control thread ends us. */
        if (polls[POLL_TUN].revents & (POLLERR | POLLHUP | POLLNVAL))
            polls[POLL_TUN].fd = -1;
        do_round(dp, polls, count, (short)(polls[POLL_UDP].revents | (is_waiting ? POLLIN : 0)));
    }
    tunnel_thread_unregister();
    return NULL;
}

static void free_thread(struct datapath *dp)
{
    packet_pool_done(&dp->pool);
    sput_batch_free(dp->tags);
    handoff_done(&dp->from_network);
    handoff_done(&dp->from_local);
    handoff_done(&dp->to_data);
    handoff_done(&dp->commands);
    if (dp->stop_fd >= 0)
        close(dp->stop_fd);
    for (unsigned i = 0; i < DATAPATH_SOCKETS_MAX; i++) {
        if (dp->sockets[i].fd >= 0)
            udp_close(&dp->sockets[i]);
    }
    free(dp);
}

static int make_thread(const struct datapath_config *config, unsigned index,
                       struct datapath **ret_datapath)
{
    const uint32_t told_count = index == 0 ? HANDOFF_COUNT : OTHERS_COUNT;
    struct datapath *dp = calloc(1, sizeof(*dp));
    if (dp == NULL)
        return ERR_NOMEM;
    dp->config = *config;
    dp->config.tun += index;
    dp->config.udp += index;
    dp->index = index;
    for (unsigned i = 0; i < DATAPATH_SOCKETS_MAX; i++)
        dp->sockets[i].fd = -1;
    coalesce_init(&dp->coalescer, dp->config.tun->has_udp_offload);
    dp->stop_fd = eventfd(0, EFD_CLOEXEC);
    int error = dp->stop_fd < 0 ? ERR_IO : packet_pool_init(&dp->pool, POOL_COUNT);
    if (error == ERR_OK)
        error = sput_batch_new(&dp->tags);
    if (error == ERR_OK)
        error = handoff_init(&dp->from_network, HANDOFF_COUNT);
    if (error == ERR_OK)
        error = handoff_init(&dp->from_local, HANDOFF_COUNT);
    if (error == ERR_OK)
        error = handoff_init(&dp->to_data, told_count);
    if (error == ERR_OK)
        error = handoff_init(&dp->commands, told_count);
    if (error != ERR_OK) {
        free_thread(dp);
        return error;
    }
    *ret_datapath = dp;
    return ERR_OK;
}

/* Signals are the control thread's. */
static int start_thread(struct datapath *dp)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    dp->is_running = pthread_create(&dp->thread, &attributes, run, dp) == 0;
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return dp->is_running ? ERR_OK : ERR_IO;
}

int datapath_start(const struct datapath_config *config, struct datapath **ret_datapath)
{
    const unsigned threads = config->threads > 0 ? config->threads : 1;
    struct datapath *first = NULL, **place = &first;
    int error = threads > DATAPATH_THREADS_MAX ? ERR_INVALID : ERR_OK;
    for (unsigned i = 0; i < threads && error == ERR_OK; i++) {
        error = make_thread(config, i, place);
        if (error == ERR_OK)
            place = &(*place)->next;
    }
    for (struct datapath *dp = first; dp != NULL && threads > 1; dp = dp->next) {
        dp->helper = dp->next != NULL ? dp->next : first;
        dp->helper->helped = dp;
    }
    for (struct datapath *dp = first; dp != NULL && error == ERR_OK; dp = dp->next)
        error = start_thread(dp);
    if (error != ERR_OK) {
        datapath_stop(first);
        return error;
    }
    *ret_datapath = first;
    return ERR_OK;
}

void datapath_stop(struct datapath *datapath)
{
    const uint64_t one = 1;
    struct datapath *next;
    for (struct datapath *dp = datapath; dp != NULL; dp = dp->next) {
        if (dp->is_running && write(dp->stop_fd, &one, sizeof(one)) == sizeof(one))
            pthread_join(dp->thread, NULL);
    }
    for (; datapath != NULL; datapath = next) {
        next = datapath->next;
        free_thread(datapath);
    }
}
