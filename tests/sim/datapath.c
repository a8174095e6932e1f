/* The data path without its thread: takes the place of src/host/datapath.c and datapath_tun.c at
 * link time, and defines all that they do; what it is told comes through the daemon's own queues.
 * Packets take the same way through inbound.c and outbound.c; only waiting, waking and
 * super-packets are left out. */
#include "host/datapath_internal.h"
#include "io/clock.h"
#include "sim.h"
#include <stdlib.h>
#include <string.h>

#define POOL_COUNT    32
#define HANDOFF_COUNT 64

struct handoff *datapath_from_network(struct datapath *datapath, unsigned thread)
{
    return thread == 0 ? &datapath->from_network : NULL;
}

struct handoff *datapath_from_local(struct datapath *datapath, unsigned thread)
{
    return thread == 0 ? &datapath->from_local : NULL;
}

uint64_t datapath_not_handed_over(struct datapath *datapath)
{
    return atomic_load(&datapath->from_network.dropped) +
           atomic_load(&datapath->from_local.dropped);
}

uint64_t datapath_drops(const struct datapath *datapath, enum drop_reason reason)
{
    return drop_counted(&datapath->drops, reason);
}

void datapath_write_tun(struct datapath *dp, struct packet *packet)
{
    traffic_take(machine_current(), packet->data, packet->len);
    packet_give_back(&dp->pool, packet);
}

static void hand_over(struct datapath *dp, enum handoff_kind kind, const struct packet *packet)
{
    const bool has_data = kind == HANDOFF_RELAY;
    struct handoff_slot *slot = handoff_slot_take(&dp->from_local, has_data ? packet->data : NULL,
                                                  has_data ? packet->len : 0);
    if (slot == NULL)
        return;
    slot->kind = kind;
    slot->from = packet->peer;
    handoff_push(&dp->from_local);
}

void datapath_flush_tun(struct datapath *dp)
{
}

unsigned datapath_read_tun(struct datapath *dp)
{
    return 0;
}

void datapath_report_wake(struct datapath *dp, struct tunnel *tunnel)
{
    struct handoff_slot *slot = handoff_slot_take(&dp->from_local, NULL, 0);
    if (slot == NULL) {
        tunnel_set_wake(tunnel, TUNNEL_WAKE_DATA);
        return;
    }
    slot->kind = HANDOFF_WAKE;
    slot->peer = tunnel_view(tunnel)->peer_ipv4;
    handoff_push(&dp->from_local);
}

void datapath_flush(struct datapath *dp)
{
    sput_batch_seal(dp->tags, dp->batch, dp->batch_count);
    for (unsigned i = 0; i < dp->batch_count; i++) {
        const struct packet *packet = dp->batch[i];
        struct udp *udp = sockets_find(machine_current()->host, packet->peer.socket);
        if (udp != NULL &&
            udp_send(udp, &packet->peer, packet->tos, packet->data, packet->len) == ERR_LIMIT)
            hand_over(dp, HANDOFF_TOO_BIG, packet);
        packet_give_back(&dp->pool, dp->batch[i]);
    }
    dp->batch_count = 0;
}

void datapath_queue(struct datapath *dp, struct packet *packet)
{
    if (packet->peer.address.family == ADDRESS_RELAY || endpoint_is_stream(&packet->peer)) {
        sput_batch_seal(dp->tags, &packet, 1);
        hand_over(dp, HANDOFF_RELAY, packet);
        packet_give_back(&dp->pool, packet);
        return;
    }
    dp->batch[dp->batch_count++] = packet;
    if (dp->batch_count == BATCH_MAX || dp->pool.left == 0)
        datapath_flush(dp);
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

static bool read_control(struct datapath *dp)
{
    struct handoff_slot *slot;
    struct handoff *handoff;
    bool has_done = false;
    while ((slot = datapath_next_told(dp, &handoff)) != NULL) {
        if (slot->kind == HANDOFF_COMMAND || slot->kind == HANDOFF_PROBE)
            outbound_command(dp, slot);
        else
            take_packet(dp, slot);
        handoff_pop(handoff);
        has_done = true;
    }
    return has_done;
}

void machine_settle(struct machine *machine)
{
    struct host *host = machine->host;
    if (host == NULL || host->datapath == NULL || machine->is_settling)
        return;
    struct datapath *dp = host->datapath;
    machine->is_settling = true;
    for (bool has_done = true; has_done;) {
        dp->now_us = clock_now_us();
        has_done = read_control(dp);
        datapath_flush(dp);
        if (handoff_peek(&dp->from_network) != NULL) {
            host_take_handoff(host, &dp->from_network);
            has_done = true;
        }
        if (handoff_peek(&dp->from_local) != NULL) {
            host_take_handoff(host, &dp->from_local);
            has_done = true;
        }
    }
    machine->is_settling = false;
}

int datapath_start(const struct datapath_config *config, struct datapath **ret_datapath)
{
    struct datapath *dp = sim_new(sizeof(*dp));
    dp->config = *config;
    if (packet_pool_init(&dp->pool, POOL_COUNT) != ERR_OK || sput_batch_new(&dp->tags) != ERR_OK ||
        handoff_init(&dp->from_network, HANDOFF_COUNT) != ERR_OK ||
        handoff_init(&dp->from_local, HANDOFF_COUNT) != ERR_OK ||
        handoff_init(&dp->commands, HANDOFF_COUNT) != ERR_OK ||
        handoff_init(&dp->to_data, HANDOFF_COUNT) != ERR_OK)
        abort();
    *ret_datapath = dp;
    return ERR_OK;
}

void datapath_stop(struct datapath *datapath)
{
    if (datapath == NULL)
        return;
    datapath_flush(datapath);
    sput_batch_free(datapath->tags);
    packet_pool_done(&datapath->pool);
    handoff_done(&datapath->from_network);
    handoff_done(&datapath->from_local);
    handoff_done(&datapath->commands);
    handoff_done(&datapath->to_data);
    free(datapath);
}

/* Without a thread of its own there is nobody to read them but the control thread, which goes on.
 */
bool datapath_add_socket(struct datapath *datapath, uint16_t number, const struct udp *udp)
{
    return false;
}

bool datapath_remove_socket(struct datapath *datapath, uint16_t number)
{
    return true;
}
