/* Small services of the control thread: sending, candidates, refused callers, and what the data
 * path hands over. */
#include "host/host.h"

#include "host/call.h"
#include "host/call_carry.h"
#include "host/datapath.h"
#include "host/met.h"
#include "host/path_probe.h"
#include "host/ping.h"
#include "host/plain.h"
#include "host/plain_ikev1.h"
#include "host/portmap.h"
#include "host/relay.h"
#include "host/session.h"
#include "host/streams.h"
#include "host/wake.h"
#include "io/clock.h"
#include "io/udp.h"
#include "names/pool_ipv6.h"
#include "wire/demux.h"
#include "wire/icmp.h"
#include "wire/ip.h"
#include "wire/sput.h"
#include <stdio.h>
#include <string.h>

#define REFLEXIVE_MAX      8
#define MAPPED_MAX         1
#define IKE_EXPIRE_MAX     32 /* SAs at once */
#define OPENER_TTL         2
#define OPENER_SUBNET_BITS 16

static void send_datagram(struct host *host, const struct endpoint *to, const void *data,
                          size_t len, bool may_be_cut)
{
    struct udp *udp = sockets_find(host, to->socket);
    int error = udp == NULL  ? ERR_NOT_FOUND
                : may_be_cut ? udp_send_fragmented(udp, to, data, len)
                             : udp_send(udp, to, 0, data, len);
    if (error != ERR_OK && error != ERR_AGAIN)
        log_debug("datagram not sent: %s", error_text(error));
}

void host_send(struct host *host, const struct endpoint *to, const void *data, size_t len)
{
    if (relay_is_endpoint(to))
        relay_send(host, to, data, len);
    else if (endpoint_is_stream(to))
        streams_send(host, to, data, len);
    else
        send_datagram(host, to, data, len, false);
}

void host_send_ike(struct host *host, const struct endpoint *to, const void *message, size_t len)
{
    uint8_t datagram[DEMUX_MARKER_LEN + IKE_MESSAGE_CAP] = {0};
    const size_t marker_len = to->socket == HOST_SOCKET_IKE ? 0 : DEMUX_MARKER_LEN;
    if (ike_is_carried(to))
        return; /* there is no path yet: calls carry what is to be said */
    if (endpoint_is_stream(to)) {
        streams_send_ike(host, to, message, len);
        return;
    }
    memcpy(datagram + marker_len, message, len);
    if (to->socket >= HOST_SOCKET_FIXED && len > IKE_FRAGMENT_LEN)
        /* A plain peer that knows no fragments of IKE's own; IKEv1 has none. */
        send_datagram(host, to, datagram, marker_len + len, true);
    else
        host_send(host, to, datagram, marker_len + len);
}

/* Does a datagram from the NAT before us to there surely pass a router? Those on one link are
 * neighbours only within one subnet, and public subnets are smaller than this. */
static bool is_router_between(const struct host *host, const struct endpoint *to)
{
    struct endpoint reflexive[REFLEXIVE_MAX];
    size_t count = sessions_reflexive(host, reflexive, REFLEXIVE_MAX);
    bool is_known = false;
    for (size_t i = 0; i < count; i++) {
        const struct prefix around = {reflexive[i].address, OPENER_SUBNET_BITS};
        if (reflexive[i].address.family != to->address.family)
            continue;
        is_known = true;
        if (prefix_contains(&around, &to->address))
            return false;
        for (size_t j = 0; j < host->local_count; j++) {
            if (address_is_equal(&host->locals[j], &reflexive[i].address))
                return false; /* no NAT: the second hop may be the other's */
        }
    }
    return is_known;
}

/* Some routers drop all packets with IP options: for their sake a second one, whose TTL ends at the
 * second hop, where that is a router beyond doubt. */
void host_send_opener(struct host *host, const struct endpoint *to, const void *data, size_t len)
{
    unsigned depth = depth_get(host);
    struct udp *udp = sockets_find(host, to->socket);
    int error = udp != NULL ? udp_send_opener(udp, to, depth, data, len) : ERR_NOT_FOUND;
    if (error == ERR_OK && depth == 1 && to->socket == 0 && is_router_between(host, to))
        error = udp_send_ttl(&host->udp, to, OPENER_TTL, data, len);
    if (error != ERR_OK && error != ERR_AGAIN)
        log_debug("opener not sent: %s", error_text(error));
}

static void on_ike_task(struct task *task, uint64_t now_us)
{
    struct host *host = CONTAINER_OF(task, struct host, ike_task);
    struct ike_sa *sa;
    /* Where thousands are due, what they bring in is read meanwhile: the queue of the data path is
     * short. */
    for (unsigned i = 0; i < IKE_EXPIRE_MAX && (sa = ike_table_expire(host->ike, now_us)) != NULL;
         i++)
        peer_pump_sa(host, sa, now_us);
    task_set(&host->tasks, &host->ike_task, ike_table_deadline(host->ike));
}

void host_pump_ike(struct host *host, struct ike_sa *sa, uint64_t now_us)
{
    peer_pump_sa(host, sa, now_us);
    host->ike_task.run = on_ike_task;
    task_set(&host->tasks, &host->ike_task, ike_table_deadline(host->ike));
}

void host_candidates(struct host *host, struct candidate_list *ret_list)
{
    struct endpoint reflexive[REFLEXIVE_MAX], mapped[MAPPED_MAX];
    if (host->config.relay == RELAY_MODE_ALWAYS) {
        *ret_list = (struct candidate_list){0};
        return;
    }
    const struct candidate_sources sources = {
        .addresses = host->locals,
        .address_count = host->local_count,
        .port = host->config.port,
        .reflexive = reflexive,
        .reflexive_count = sessions_reflexive(host, reflexive, REFLEXIVE_MAX),
        .mapped = mapped,
        .mapped_count = portmap_endpoints(host->portmap, mapped, MAPPED_MAX),
        .pool = &host->config.pool,
    };
    candidate_list_build(&sources, ret_list);
    nat_pattern(host, &ret_list->pattern);
}

void host_note_refused(struct host *host, const char *name, const struct public_key *key,
                       const char *reason, uint64_t now_us)
{
    struct refused_caller *entry = NULL;
    struct refused_caller *oldest = &host->refused[0];
    char text[PUBLIC_KEY_TEXT_CAP];
    uint32_t suppressed;
    for (size_t i = 0; i < HOST_REFUSED_MAX && entry == NULL; i++) {
        struct refused_caller *other = &host->refused[i];
        if (other->count > 0 && strcmp(other->name, name) == 0 &&
            public_key_is_equal(&other->key, key))
            entry = other;
        else if (other->last_us < oldest->last_us)
            oldest = other;
    }
    if (entry == NULL) {
        entry = oldest;
        memset(entry, 0, sizeof(*entry));
        snprintf(entry->name, sizeof(entry->name), "%s", name);
        entry->key = *key;
    }
    snprintf(entry->reason, sizeof(entry->reason), "%s", reason);
    entry->count++;
    entry->last_us = now_us;
    if (log_limit_is_open(&host->stranger_log, now_us, 10, 10 * SECOND_US, &suppressed))
        log_warn("call of %s refused: %s (its key: %s)", name[0] != '\0' ? name : "a nameless host",
                 reason, public_key_format(key, text));
}

/* ---- what the data path hands over ---- */

void host_take_ike(struct host *host, const uint8_t *message, size_t len,
                   const struct endpoint *from, uint64_t now_us)
{
    struct peer *peer = NULL;
    struct ike_sa *sa = NULL;
    if (plain_ikev1_take(host, message, len, from, now_us))
        return;
    const struct ike_sa *claimed = ike_table_peek(host->ike, message, len);
    if (!call_carry_lets_in(claimed, from) || !wake_lets_in(claimed, message, len, from, now_us) ||
        !met_lets_in(claimed, from)) {
        host->stray_ike_count++;
        return;
    }
    struct ike_profile *profile = call_responder_profile(host, from, &peer);
    if (profile == NULL && !endpoint_is_stream(from))
        profile = met_responder_profile(host, message, len, from, now_us, &peer);
    if (profile == NULL)
        profile = plain_responder(host, from);
    ike_table_set_time(host->ike, (uint64_t)clock_wall_seconds());
    const uint32_t count = ike_table_count(host->ike);
    int error = ike_table_receive(host->ike, profile, message, len, from, now_us, &sa);
    struct writer w;
    struct endpoint to;
    uint8_t reply[IKE_MESSAGE_CAP];
    if (error == ERR_OK && sa != NULL) {
        /* Whose it is was decided by the endpoint of its first message, and by nothing later. */
        if (ike_table_count(host->ike) > count && ike_sa_user(sa) == NULL &&
            ike_sa_state(sa) == IKE_STATE_CONNECTING && peer != NULL)
            peer_take_sa(peer, sa);
        call_carry_on_ike(sa, from);
        plain_on_message(sa, ike_sa_user(sa));
        wake_on_ike(sa, from, now_us);
        met_on_ike(sa, from);
        host_pump_ike(host, sa, now_us);
        if (host->pings != NULL)
            ping_on_ike(host, sa, now_us);
    }
    if (error != ERR_OK && error != ERR_AGAIN)
        host->stray_ike_count++;
    for (writer_init(&w, reply, sizeof(reply)); ike_table_transmit(host->ike, &w, &to) == ERR_OK;
         writer_init(&w, reply, sizeof(reply))) {
        plain_on_reply(host, &to, reply, w.len, now_us);
        host_send_ike(host, &to, reply, w.len);
    }
}

static void on_stun(struct host *host, const struct handoff_slot *slot, uint64_t now_us)
{
    if (sessions_on_stun(host, slot->data, slot->len, &slot->from, now_us) == ERR_NOT_FOUND &&
        keeper_on_stun(host, slot->data, slot->len, &slot->from, now_us) == ERR_NOT_FOUND &&
        call_on_stun(host, slot->data, slot->len, &slot->from, now_us) != ERR_OK)
        host->stray_stun_count++;
}

/* An address of the pool that no tunnel has. */
static void on_no_tunnel(struct host *host, const struct handoff_slot *slot, uint64_t now_us)
{
    struct address to = slot->peer;
    (void)pool_ipv6_to_ipv4(&slot->peer, &to);
    struct peer *peer = peer_find_by_address(host, &to);
    if (peer == NULL) {
        peer = plain_find_network(host, &to);
        /* Its tunnel is up, and does not lead there: the peer has agreed upon less than we wish. */
        if (peer != NULL && peer->tunnel != NULL && !peer->is_closing &&
            tunnel_find_by_selector(host->tunnels, &to) == NULL) {
            drop_count(tunnel_table_drops(host->tunnels), DROP_DESTINATION);
            host_refuse_packet(host, slot->data, slot->len);
            return;
        }
    }
    const char *name = peer == NULL ? pool_find_by_address(host->pool, &to) : NULL;
    char text[ADDRESS_TEXT_CAP];
    uint32_t suppressed;
    if (name != NULL && peer_get(host, name, &peer) == ERR_OK)
        pool_touch(host->pool, &to, (uint64_t)clock_wall_seconds());
    if (peer != NULL) {
        peer_stage(peer, slot->data, slot->len, now_us);
        return;
    }
    if (log_limit_is_open(&host->stray_log, now_us, 5, 10 * SECOND_US, &suppressed)) {
        bool is_special = slot->peer.family == ADDRESS_IPV4 && address_to_ipv4(&slot->peer) == 1;
        log_warn(
            "packet to %s refused: %s", address_format(&slot->peer, text, sizeof(text)),
            is_special
                ? "0.0.0.1 only says \"reachable through Detec\"; the application's name look-up "
                  "went past this daemon (DNS over HTTPS? a socket bound to a device?)"
                : "no host has this peer address");
    }
    host_refuse_packet(host, slot->data, slot->len);
}

void host_refuse_packet(struct host *host, const uint8_t *data, size_t len)
{
    struct packet packet;
    struct writer w;
    packet_reset(&packet);
    writer_init(&w, packet.data, packet_tailroom(&packet));
    if (icmp_unreachable_build(&w, data, len) != ERR_OK)
        return;
    packet.len = (uint32_t)w.len;
    if (tun_write(&host->tun, &packet) != ERR_OK)
        log_debug("ICMP unreachable not delivered");
}

static void take_slot(struct host *host, const struct handoff_slot *slot, uint64_t now_us)
{
    struct peer *peer = NULL;
    if (slot->kind == HANDOFF_CLOSE || slot->kind == HANDOFF_COMMAND_SENT ||
        slot->kind == HANDOFF_PROBE_REPLY || slot->kind == HANDOFF_WAKE ||
        slot->kind == HANDOFF_ELSEWHERE)
        peer = peer_find_by_address(host, &slot->peer);
    switch (slot->kind) {
    case HANDOFF_NO_TUNNEL:
        on_no_tunnel(host, slot, now_us);
        break;
    case HANDOFF_IKE:
        host_take_ike(host, slot->data, slot->len, &slot->from, now_us);
        break;
    case HANDOFF_STUN:
        on_stun(host, slot, now_us);
        break;
    case HANDOFF_CLOSE:
        if (peer != NULL)
            peer_rest(peer, "closed by it", false, now_us);
        break;
    case HANDOFF_COMMAND_SENT:
        if (slot->token != 0 && peer != NULL)
            path_probe_on_sent(peer, slot->token, slot->number);
        else if (slot->command == SPUT_PROBE && slot->token == 0)
            ping_on_sent(host, &slot->peer, slot->number);
        else if (slot->command == SPUT_CLOSE && peer != NULL)
            peer_on_close_sent(peer, now_us);
        break;
    case HANDOFF_PROBE_REPLY:
        if (peer == NULL || !path_probe_on_reply(peer, slot->number, now_us))
            ping_on_reply(host, &slot->peer, slot->number, now_us);
        break;
    case HANDOFF_EARLY:
        call_on_early(host, slot->data, slot->len, &slot->from);
        break;
    case HANDOFF_TOO_BIG:
        path_probe_on_too_big(host, &slot->from, slot->number, slot->is_local, now_us);
        break;
    case HANDOFF_WAKE:
        if (peer != NULL && peer->tunnel != NULL && !peer->is_closing)
            task_set(&host->tasks, &peer->task, now_us);
        break;
    case HANDOFF_ELSEWHERE:
        if (peer != NULL && peer->sa != NULL && peer->tunnel != NULL && !peer->is_closing) {
            ike_sa_challenge(peer->sa, &slot->from, now_us);
            host_pump_ike(host, peer->sa, now_us);
        }
        break;
    case HANDOFF_RELAY:
        host_send(host, &slot->from, slot->data, slot->len);
        break;
    case HANDOFF_PACKET:
    case HANDOFF_DATAGRAM:
    case HANDOFF_COMMAND:
    case HANDOFF_PROBE:
    case HANDOFF_SOCKET_ADD:
    case HANDOFF_SOCKET_REMOVE:
        break; /* the other way only */
    }
}

void host_take_handoff_some(struct host *host, struct handoff *handoff, uint32_t count)
{
    struct handoff_slot *slot;
    uint64_t now_us = clock_now_us();
    for (; count > 0 && (slot = handoff_peek(handoff)) != NULL; count--) {
        take_slot(host, slot, now_us);
        handoff_pop(handoff);
    }
}

void host_take_handoff(struct host *host, struct handoff *handoff)
{
    handoff_clear_wake(handoff);
    /* What comes meanwhile has its turn later: a local flood must not hold timers and other queues.
     */
    host_take_handoff_some(host, handoff, handoff_count(handoff));
    if (handoff_count(handoff) > 0)
        handoff_wake(handoff);
}
