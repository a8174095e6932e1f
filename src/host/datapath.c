/* The data path thread: waits, reads in batches, sends in batches. */
#include "host/datapath_internal.h"

#include "base/log.h"
#include "io/clock.h"
#include "io/udp.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define POOL_COUNT    256
#define STACK_BYTES   (256 * 1024) /* locked in memory, all of it */
#define HANDOFF_COUNT 128          /* each way */
#define ROUNDS_TUN    2 /* batches in a row from one side before the other has its turn */

struct handoff *datapath_from_network(struct datapath *datapath)
{
    return &datapath->from_network;
}

struct handoff *datapath_from_local(struct datapath *datapath)
{
    return &datapath->from_local;
}

uint64_t datapath_drops(const struct datapath *datapath, enum drop_reason reason)
{
    return drop_counted(&datapath->drops, reason);
}

void datapath_write_tun(struct datapath *dp, struct packet *packet)
{
    if (tun_write(dp->config.tun, packet) != ERR_OK)
        drop_count(&dp->drops, DROP_CONGESTION);
    packet_give_back(&dp->pool, packet);
}

/* What became of each: one that the network has no room for is dropped, as anywhere on its way. */
void datapath_flush(struct datapath *dp)
{
    int8_t results[BATCH_MAX];
    if (dp->batch_count == 0)
        return;
    int error = udp_send_batch(dp->config.udp, dp->batch, dp->batch_count, results);
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
    struct handoff_slot *slot = handoff_slot_take(&dp->from_local, packet->data, packet->len);
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
    if (packet->peer.address.family == ADDRESS_RELAY) {
        hand_to_relay(dp, packet);
        packet_give_back(&dp->pool, packet);
        return;
    }
    dp->batch[dp->batch_count++] = packet;
    if (dp->batch_count == BATCH_MAX)
        datapath_flush(dp);
}

/* False: nothing more waits. */
static bool read_tun(struct datapath *dp)
{
    for (unsigned i = 0; i < BATCH_MAX; i++) {
        struct packet *packet = packet_take(&dp->pool);
        if (packet == NULL)
            return true;
        if (tun_read(dp->config.tun, packet) != ERR_OK) {
            packet_give_back(&dp->pool, packet);
            return false;
        }
        outbound(dp, packet);
    }
    return true;
}

static bool read_udp(struct datapath *dp)
{
    struct packet *packets[BATCH_MAX];
    unsigned count = 0, got = 0;
    while (count < BATCH_MAX && (packets[count] = packet_take(&dp->pool)) != NULL)
        count++;
    if (count == 0 || udp_receive_batch(dp->config.udp, packets, count, &got) != ERR_OK)
        got = 0;
    for (unsigned i = got; i < count; i++)
        packet_give_back(&dp->pool, packets[i]);
    for (unsigned i = 0; i < got; i++)
        inbound(dp, packets[i]);
    return got == count;
}

/* What was too long, as routers and the own interface say: the control thread judges. One batch of
 * them a round: the rest waits. */
static void read_errors(struct datapath *dp)
{
    struct udp_too_big too_big;
    for (unsigned i = 0; i < BATCH_MAX; i++) {
        if (udp_receive_too_big(dp->config.udp, &too_big) != ERR_OK)
            return;
        struct handoff_slot *slot = handoff_slot_take(&dp->from_network, NULL, 0);
        if (slot == NULL)
            continue; /* counted there */
        slot->kind = HANDOFF_TOO_BIG;
        slot->from = too_big.to;
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
    struct handoff_slot *slot;
    handoff_clear_wake(&dp->to_data);
    while ((slot = handoff_peek(&dp->to_data)) != NULL) {
        if (slot->kind == HANDOFF_COMMAND || slot->kind == HANDOFF_PROBE)
            outbound_command(dp, slot);
        else
            take_packet(dp, slot);
        handoff_pop(&dp->to_data);
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

static void *run(void *context)
{
    struct datapath *dp = context;
    struct pollfd polls[] = {
        {.fd = dp->config.tun->fd, .events = POLLIN},
        {.fd = dp->config.udp->fd, .events = POLLIN},
        {.fd = dp->to_data.wake_fd, .events = POLLIN},
        {.fd = dp->stop_fd, .events = POLLIN},
    };
    tunnel_thread_register();
    for (;;) {
        if (poll(polls, 4, -1) < 0 && errno != EINTR) {
            log_error("data path: waiting fails: %s", strerror(errno));
            break;
        }
        dp->now_us = clock_now_us();
        if (polls[3].revents != 0)
            break;
        /* A deleted interface is reported for ever; the control thread ends us. */
        if (polls[0].revents & (POLLERR | POLLHUP | POLLNVAL))
            polls[0].fd = -1;
        if (polls[2].revents != 0)
            read_control(dp);
        if (polls[1].revents & POLLERR)
            read_errors(dp);
        for (unsigned i = 0; i < ROUNDS_TUN && polls[1].revents != 0 && read_udp(dp); i++)
            ;
        for (unsigned i = 0; i < ROUNDS_TUN && polls[0].revents != 0 && read_tun(dp); i++)
            ;
        datapath_flush(dp);
        wake_control(dp);
    }
    datapath_flush(dp);
    tunnel_thread_unregister();
    return NULL;
}

static void free_datapath(struct datapath *dp)
{
    packet_pool_done(&dp->pool);
    handoff_done(&dp->from_network);
    handoff_done(&dp->from_local);
    handoff_done(&dp->to_data);
    if (dp->stop_fd >= 0)
        close(dp->stop_fd);
    free(dp);
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
    int status = pthread_create(&dp->thread, &attributes, run, dp);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status == 0 ? ERR_OK : ERR_IO;
}

int datapath_start(const struct datapath_config *config, struct datapath **ret_datapath)
{
    struct datapath *dp = calloc(1, sizeof(*dp));
    if (dp == NULL)
        return ERR_NOMEM;
    dp->config = *config;
    dp->stop_fd = eventfd(0, EFD_CLOEXEC);
    int error = dp->stop_fd < 0 ? ERR_IO : packet_pool_init(&dp->pool, POOL_COUNT);
    if (error == ERR_OK)
        error = handoff_init(&dp->from_network, HANDOFF_COUNT);
    if (error == ERR_OK)
        error = handoff_init(&dp->from_local, HANDOFF_COUNT);
    if (error == ERR_OK)
        error = handoff_init(&dp->to_data, HANDOFF_COUNT);
    if (error == ERR_OK)
        error = start_thread(dp);
    if (error != ERR_OK) {
        free_datapath(dp);
        return error;
    }
    *ret_datapath = dp;
    return ERR_OK;
}

void datapath_stop(struct datapath *datapath)
{
    uint64_t one = 1;
    if (datapath == NULL)
        return;
    if (write(datapath->stop_fd, &one, sizeof(one)) == sizeof(one))
        pthread_join(datapath->thread, NULL);
    free_datapath(datapath);
}

bool datapath_send_packet(struct datapath *datapath, const uint8_t *packet, size_t len)
{
    struct handoff_slot *slot = handoff_slot_take(&datapath->to_data, packet, len);
    if (slot == NULL)
        return false;
    slot->kind = HANDOFF_PACKET;
    handoff_push(&datapath->to_data);
    handoff_wake(&datapath->to_data);
    return true;
}

bool datapath_receive(struct datapath *datapath, const struct endpoint *from,
                      const uint8_t *datagram, size_t len)
{
    struct handoff_slot *slot = handoff_slot_take(&datapath->to_data, datagram, len);
    if (slot == NULL)
        return false;
    slot->kind = HANDOFF_DATAGRAM;
    slot->from = *from;
    handoff_push(&datapath->to_data);
    handoff_wake(&datapath->to_data);
    return true;
}

void datapath_expect(struct datapath *datapath, uint64_t until_us)
{
    if (until_us > atomic_load(&datapath->expects_until_us))
        atomic_store(&datapath->expects_until_us, until_us);
}

bool datapath_send_command(struct datapath *datapath, const struct address *peer, uint8_t command)
{
    struct handoff_slot *slot = handoff_slot_take(&datapath->to_data, NULL, 0);
    if (slot == NULL)
        return false;
    slot->kind = HANDOFF_COMMAND;
    slot->peer = *peer;
    slot->command = command;
    slot->token = 0;
    handoff_push(&datapath->to_data);
    handoff_wake(&datapath->to_data);
    return true;
}

bool datapath_send_probe(struct datapath *datapath, const struct address *peer, uint32_t size,
                         uint32_t token)
{
    struct handoff_slot *slot = handoff_slot_take(&datapath->to_data, NULL, 0);
    if (slot == NULL)
        return false;
    slot->kind = HANDOFF_PROBE;
    slot->peer = *peer;
    slot->command = SPUT_PROBE;
    slot->size = size;
    slot->token = token;
    handoff_push(&datapath->to_data);
    handoff_wake(&datapath->to_data);
    return true;
}
