/* The way in: told apart by its start, opened, handed to the stack. What is not data goes to the
 * control thread. */
#include "host/datapath_internal.h"

#include "base/deadline.h"
#include "wire/demux.h"

static void hand_over(struct datapath *dp, enum handoff_kind kind, const struct packet *packet,
                      const struct address *peer, uint32_t number)
{
    struct handoff_slot *slot = handoff_slot_take(&dp->from_network, packet->data, packet->len);
    if (slot == NULL)
        return; /* counted there */
    slot->kind = kind;
    slot->from = packet->peer;
    slot->number = number;
    if (peer != NULL)
        slot->peer = *peer;
    handoff_push(&dp->from_network);
    dp->woke_network = true;
}

#define ELSEWHERE_US (100 * MS_US) /* so often it is told, at the most */

/* The peer's NAT has given it another port, perhaps: the control thread finds out. */
static void tell_elsewhere(struct datapath *dp, const struct packet *packet,
                           const struct tunnel *tunnel)
{
    if (dp->now_us - dp->elsewhere_us < ELSEWHERE_US)
        return;
    struct handoff_slot *slot = handoff_slot_take(&dp->from_network, NULL, 0);
    if (slot == NULL)
        return;
    dp->elsewhere_us = dp->now_us;
    slot->kind = HANDOFF_ELSEWHERE;
    slot->from = packet->peer;
    slot->peer = tunnel_view(tunnel)->peer_ipv4;
    handoff_push(&dp->from_network);
    dp->woke_network = true;
}

/* Behind what was none of it, the endpoint is looked up anew. */
static void remember(struct recent *recent, enum drop_reason drop, struct tunnel *tunnel,
                     const struct tunnel_message *message, const struct packet *packet)
{
    recent->tunnel = drop == DROP_NONE && !message->is_elsewhere ? tunnel : NULL;
    recent->from = packet->peer;
}

/* False: it was no message of any tunnel at that endpoint. Consumes the packet if true. */
static bool open_message(struct datapath *dp, struct packet *packet)
{
    struct tunnel *tunnel = NULL;
    struct tunnel_message message;
    const bool is_likely = dp->recent != NULL && dp->recent->tunnel != NULL &&
                           endpoint_is_equal(&dp->recent->from, &packet->peer);
    const enum drop_reason drop =
        is_likely ? tunnel_open_next(dp->config.tunnels, dp->recent->tunnel, packet, dp->now_us,
                                     &tunnel, &message)
                  : tunnel_open_any(dp->config.tunnels, packet, dp->now_us, &tunnel, &message);
    if (dp->recent != NULL)
        remember(dp->recent, drop, tunnel, &message, packet);
    /* None of these says that a tunnel's peer has sent it: it may be STUN yet. */
    if (drop == DROP_NO_TUNNEL || drop == DROP_NOT_AUTHENTIC || drop == DROP_LENGTH ||
        drop == DROP_REPLAY || drop == DROP_NO_CHILD)
        return false;
    if (drop != DROP_NONE) {
        packet_give_back(&dp->pool, packet);
        return true;
    }
    if (message.is_elsewhere)
        tell_elsewhere(dp, packet, tunnel);
    switch (message.kind) {
    case TUNNEL_DATA:
        if (tunnel_take_wake(tunnel))
            datapath_report_wake(dp, tunnel);
        datapath_write_tun(dp, packet);
        return true;
    case TUNNEL_PROBE:
        if (tunnel_seal_reply(tunnel, packet, message.number, dp->now_us) == DROP_NONE) {
            datapath_queue(dp, packet);
            return true;
        }
        break;
    case TUNNEL_CLOSE:
        hand_over(dp, HANDOFF_CLOSE, packet, &tunnel_view(tunnel)->peer_ipv4, message.number);
        break;
    case TUNNEL_PROBE_REPLY:
        hand_over(dp, HANDOFF_PROBE_REPLY, packet, &tunnel_view(tunnel)->peer_ipv4, message.number);
        break;
    }
    packet_give_back(&dp->pool, packet);
    return true;
}

static bool is_expecting(struct datapath *dp)
{
    return dp->now_us < atomic_load_explicit(&dp->expects_until_us, memory_order_relaxed);
}

/* Consumes the packet. */
static void take_data(struct datapath *dp, struct packet *packet)
{
    tunnel_read_begin();
    bool is_early =
        is_expecting(dp) && tunnel_find_by_endpoint(dp->config.tunnels, &packet->peer) == NULL;
    bool is_done = !is_early && open_message(dp, packet);
    tunnel_read_end();
    if (is_done)
        return;
    if (is_early)
        hand_over(dp, HANDOFF_EARLY, packet, NULL, 0);
    packet_give_back(&dp->pool, packet);
}

void inbound_again(struct datapath *dp, struct packet *packet)
{
    tunnel_read_begin();
    bool is_done = open_message(dp, packet);
    tunnel_read_end();
    if (!is_done)
        packet_give_back(&dp->pool, packet);
}

void inbound(struct datapath *dp, struct packet *packet)
{
    bool is_done = false;
    switch (datagram_classify(packet->data, packet->len)) {
    case DATAGRAM_KEEPALIVE:
        break;
    case DATAGRAM_IKE:
        packet_pull(packet, DEMUX_MARKER_LEN);
        hand_over(dp, HANDOFF_IKE, packet, NULL, 0);
        break;
    case DATAGRAM_STUN_MAYBE:
        /* Ciphertext may look like STUN: a tunnel that authenticates it is right. */
        tunnel_read_begin();
        is_done = tunnel_find_by_endpoint(dp->config.tunnels, &packet->peer) != NULL &&
                  open_message(dp, packet);
        tunnel_read_end();
        if (is_done)
            return;
        hand_over(dp, HANDOFF_STUN, packet, NULL, 0);
        break;
    case DATAGRAM_DATA:
        take_data(dp, packet);
        return;
    }
    packet_give_back(&dp->pool, packet);
}
