/* The way out: a local packet, its tunnel, sealed, sent. Without a tunnel the control thread gets
 * it. */
#include "host/datapath_internal.h"
#include "names/pool_ipv6.h"
#include "wire/icmp.h"
#include "wire/ip.h"
#include "wire/ip_fragment.h"

static void hand_over(struct datapath *dp, enum handoff_kind kind, const struct packet *packet,
                      const struct address *peer)
{
    struct handoff_slot *slot = handoff_slot_take_bulk(&dp->from_local, packet->data, packet->len);
    if (slot == NULL) {
        drop_count(&dp->drops, DROP_CONGESTION);
        return;
    }
    slot->kind = kind;
    slot->peer = *peer;
    handoff_push(&dp->from_local);
    dp->woke_local = true;
}

/* Tells the application how large its packets may be. */
static void answer_too_big(struct datapath *dp, const struct packet *packet, uint32_t mtu)
{
    struct packet *answer = packet_take(&dp->pool);
    struct writer w;
    if (answer == NULL)
        return;
    writer_init(&w, answer->data, packet_tailroom(answer));
    if (icmp_too_big_build(&w, packet->data, packet->len, mtu) == ERR_OK) {
        answer->len = (uint32_t)w.len;
        datapath_write_tun(dp, answer);
    } else {
        packet_give_back(&dp->pool, answer);
    }
}

static void seal_and_queue(struct datapath *dp, struct tunnel *tunnel, struct packet *packet)
{
    if (tunnel_seal_deferring(tunnel, packet, dp->now_us) == DROP_NONE)
        datapath_queue(dp, packet);
    else
        packet_give_back(&dp->pool, packet);
}

/* A packet that may be divided is, as a router would. False: it may not. */
static bool divide(struct datapath *dp, struct tunnel *tunnel, const struct packet *packet,
                   uint32_t mtu)
{
    struct ip_fragmenter fragmenter;
    struct writer w;
    int error = ip_fragment_begin(packet->data, packet->len, mtu, &fragmenter);
    if (error != ERR_OK)
        return false;
    while (error == ERR_OK) {
        struct packet *part = packet_take(&dp->pool);
        if (part == NULL) {
            drop_count(&dp->drops, DROP_CONGESTION);
            break;
        }
        writer_init(&w, part->data, packet_tailroom(part));
        error = ip_fragment_next(&fragmenter, &w);
        part->len = (uint32_t)w.len;
        if (error == ERR_OK)
            seal_and_queue(dp, tunnel, part);
        else
            packet_give_back(&dp->pool, part);
    }
    return true;
}

/* From this host, or from a network of ours to one behind a peer: whose that is, the control thread
 * knows. */
static bool may_call(const struct datapath *dp, const struct ip_view *ip)
{
    struct address twin;
    return address_is_equal(&ip->src, &dp->config.own) ||
           address_is_equal(&ip->src, &dp->config.own_ipv6) ||
           (!prefix_contains(&dp->config.pool, &ip->dst) && !address_is_multicast(&ip->dst) &&
            !pool_ipv6_to_ipv4(&ip->dst, &twin));
}

/* Most packets go where the one before went. */
static struct tunnel *find_tunnel(struct datapath *dp, const struct address *to)
{
    struct recent *recent = dp->recent;
    if (recent != NULL && recent->tunnel != NULL && address_is_equal(&recent->to, to))
        return recent->tunnel;
    struct tunnel *tunnel = tunnel_find_by_peer(dp->config.tunnels, to);
    if (tunnel == NULL)
        tunnel = tunnel_find_by_selector(dp->config.tunnels, to);
    if (recent != NULL) {
        recent->tunnel = tunnel;
        recent->to = *to;
    }
    return tunnel;
}

bool outbound_first(struct datapath *dp, struct packet *packet)
{
    struct ip_view ip;
    if (ip_parse(packet->data, packet->len, &ip) != ERR_OK) {
        drop_count(&dp->drops, DROP_MALFORMED);
        packet_give_back(&dp->pool, packet);
        return false;
    }
    tunnel_read_begin();
    struct tunnel *tunnel = find_tunnel(dp, &ip.dst);
    if (tunnel != NULL) {
        enum drop_reason drop = tunnel_run_begin(tunnel, packet, &ip, dp->now_us, &dp->run);
        uint32_t mtu = drop == DROP_TOO_BIG ? tunnel_mtu(tunnel) : 0;
        bool is_divided = drop == DROP_TOO_BIG && divide(dp, tunnel, packet, mtu);
        if (tunnel_take_wake(tunnel))
            datapath_report_wake(dp, tunnel);
        tunnel_read_end();
        if (drop == DROP_NONE) {
            datapath_queue(dp, packet);
            return true;
        }
        if (drop == DROP_TOO_BIG && !is_divided)
            answer_too_big(dp, packet, mtu);
        /* The control thread is about to give it one, and has its queue behind that. */
        if (drop == DROP_NO_PATH && may_call(dp, &ip))
            hand_over(dp, HANDOFF_NO_TUNNEL, packet, &ip.dst);
        packet_give_back(&dp->pool, packet);
        return is_divided;
    }
    tunnel_read_end();
    /* Routes lead here from the pool, and from networks behind peers. */
    if (may_call(dp, &ip))
        hand_over(dp, HANDOFF_NO_TUNNEL, packet, &ip.dst);
    else
        drop_count(&dp->drops, ip.version == 4 ? DROP_SOURCE : DROP_FAMILY);
    packet_give_back(&dp->pool, packet);
    return true;
}

bool outbound_next(struct datapath *dp, struct packet *packet)
{
    const bool is_sealed = tunnel_run_seal(&dp->run, packet) == DROP_NONE;
    if (is_sealed)
        datapath_queue(dp, packet);
    else
        packet_give_back(&dp->pool, packet);
    return is_sealed;
}

void outbound_end(struct datapath *dp)
{
    struct tunnel *const tunnel = dp->run.tunnel;
    if (tunnel == NULL)
        return;
    tunnel_run_end(&dp->run);
    if (tunnel_take_wake(tunnel))
        datapath_report_wake(dp, tunnel);
}

void outbound(struct datapath *dp, struct packet *packet)
{
    tunnel_read_begin();
    (void)outbound_first(dp, packet);
    outbound_end(dp);
    tunnel_read_end();
}

static void tell_sent(struct datapath *dp, const struct handoff_slot *slot, uint32_t number)
{
    struct handoff_slot *answer = handoff_slot_take(&dp->from_local, NULL, 0);
    if (answer == NULL)
        return;
    answer->kind = HANDOFF_COMMAND_SENT;
    answer->peer = slot->peer;
    answer->command = slot->command;
    answer->number = number;
    answer->token = slot->token;
    handoff_push(&dp->from_local);
    dp->woke_local = true;
}

void outbound_command(struct datapath *dp, const struct handoff_slot *slot)
{
    struct packet *packet = packet_take(&dp->pool);
    uint32_t number = 0;
    enum drop_reason drop = DROP_NO_TUNNEL;
    if (packet == NULL)
        return;
    tunnel_read_begin();
    struct tunnel *tunnel = tunnel_find_by_peer(dp->config.tunnels, &slot->peer);
    if (tunnel != NULL && slot->kind == HANDOFF_PROBE)
        drop = tunnel_seal_probe(tunnel, packet, slot->size, dp->now_us, &number);
    else if (tunnel != NULL)
        drop = tunnel_seal_command(tunnel, packet, (enum sput_command)slot->command, dp->now_us,
                                   &number);
    tunnel_read_end();
    tell_sent(dp, slot, number); /* first: its answer may come by another thread */
    if (drop == DROP_NONE)
        datapath_queue(dp, packet);
    else
        packet_give_back(&dp->pool, packet);
}
