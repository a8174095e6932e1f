/* One host of the swarm: calls, punches, negotiates keys, seals and opens. */
#include "swarm.h"

#include "io/clock.h"
#include "wire/checksum.h"
#include "wire/demux.h"
#include <arpa/inet.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define POOL                                                                                       \
    0x0a080000u /* 10.8.0.0/16: by which the hosts know the called one, each by another address */
#define OWN          0xfffeu
#define CALL_US      (10 * SECOND_US)
#define LIVENESS_US  (30 * SECOND_US)
#define ECHO_PAYLOAD 36

static struct endpoint outside(const struct swarm *swarm, const struct member *member)
{
    return (struct endpoint){address_from_ipv4(swarm->base + member->number), SWARM_PORT};
}

static struct address inside_of(uint32_t number)
{
    return address_from_ipv4(POOL | number);
}

static void send_datagram(const struct swarm *swarm, const struct member *member,
                          const struct endpoint *to, bool is_ike, const void *data, size_t len)
{
    static const uint8_t marker[DEMUX_MARKER_LEN];
    _Alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(struct in_pktinfo))] = {0};
    const struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(swarm->base + member->number)};
    struct sockaddr_storage address;
    struct iovec parts[] = {{(void *)(uintptr_t)marker, is_ike ? sizeof(marker) : 0},
                            {(void *)(uintptr_t)data, len}};
    struct msghdr header = {.msg_name = &address,
                            .msg_namelen = endpoint_to_sockaddr(to, false, &address),
                            .msg_iov = parts,
                            .msg_iovlen = 2,
                            .msg_control = bytes,
                            .msg_controllen = sizeof(bytes)};
    struct cmsghdr *control = CMSG_FIRSTHDR(&header);
    control->cmsg_len = CMSG_LEN(sizeof(info));
    control->cmsg_level = IPPROTO_IP;
    control->cmsg_type = IP_PKTINFO;
    memcpy(CMSG_DATA(control), &info, sizeof(info));
    (void)!sendmsg(swarm->udp, &header, 0);
}

/* ---- calls ---- */

static void leave_active(struct swarm *swarm, const struct member *member)
{
    for (uint32_t i = 0; i < swarm->active_count; i++) {
        if (swarm->active[i] == member->number)
            swarm->active[i] = swarm->active[--swarm->active_count];
    }
}

/* It is called no more, whether it is up or not. */
static void end_call(struct swarm *swarm, struct member *member)
{
    punch_free(member->punch);
    member->punch = NULL;
    free(member->answer);
    member->answer = NULL;
    leave_active(swarm, member);
}

static void fail(struct swarm *swarm, struct member *member, const char *why)
{
    fprintf(stderr, "host %u in state %d: %s\n", member->number, (int)member->state, why);
    swarm->failures++;
    if (member->state == MEMBER_UP)
        swarm->up_count--;
    end_call(swarm, member);
    if (member->tunnel != NULL)
        tunnel_remove(swarm->tunnels, member->tunnel);
    member->tunnel = NULL;
    ike_sa_free(member->sa);
    member->sa = NULL;
    member->state = MEMBER_IDLE;
}

static struct endpoint journey_of(const struct member *member)
{
    struct endpoint journey = {.address.family = ADDRESS_NONE};
    memcpy(journey.address.bytes, &member->number, sizeof(member->number));
    return journey;
}

/* Its first message goes into the call. */
static int begin_keys(struct swarm *swarm, struct member *member, const char *name,
                      struct notify_ike *ret_ike, uint64_t now_us)
{
    const struct endpoint journey = journey_of(member);
    struct ike_profile *profile;
    struct ike_config config;
    struct endpoint to;
    struct writer w;
    ike_config_init(&config, member->identity);
    strcpy(config.id, name);
    config.has_expected_key = true;
    config.expected_key = swarm->called_key;
    strcpy(config.expected_id, swarm->called);
    config.is_initial_contact = true;
    config.suites[0] = SPUT_AES128_GCM;
    config.addresses.own_ipv4 = inside_of(OWN);
    config.addresses.other_ipv4 = inside_of(member->number);
    config.dpd_interval_us = LIVENESS_US;
    int error = ike_profile_new(&config, &profile);
    if (error != ERR_OK)
        return error;
    error = ike_sa_initiate(swarm->ike, profile, &journey, now_us, &member->sa);
    ike_profile_free(profile);
    if (error != ERR_OK)
        return error;
    ike_sa_set_user(member->sa, member);
    writer_init(&w, ret_ike->data, sizeof(ret_ike->data));
    error = ike_sa_transmit(member->sa, &w, &to, now_us);
    ret_ike->len = (uint16_t)w.len;
    return error;
}

void member_begin(struct swarm *swarm, struct member *member, uint64_t now_us)
{
    static struct notify_call call;
    const struct endpoint own = outside(swarm, member);
    struct punch_config config = {.is_controlling = true,
                                  .own = {.items = {{CANDIDATE_HOST, own, false}}, .count = 1}};
    call = (struct notify_call){.is_vouched = true,
                                .is_static = true,
                                .number = member->number + 1,
                                .candidates = config.own};
    snprintf(call.caller, sizeof(call.caller), "h%05u.%s", member->number, swarm->zone);
    strcpy(call.called, swarm->called);
    if (member->identity == NULL)
        swarm_check(identity_generate(&member->identity) == ERR_OK, "an identity");
    memcpy(call.caller_key, identity_public(member->identity)->bytes, NOTIFY_KEY_LEN);
    swarm_check(credentials_generate(&call.credentials) == ERR_OK, "credentials");
    config.local = call.credentials;
    swarm_check(punch_new(&config, now_us, &member->punch) == ERR_OK &&
                    begin_keys(swarm, member, call.caller, &call.ike, now_us) == ERR_OK,
                "a call");
    member->state = MEMBER_CALLING;
    member->since_us = now_us;
    swarm->active[swarm->active_count++] = member->number;
    if (swarm_connector_call(swarm->connector, &call) != ERR_OK)
        fail(swarm, member, "its call does not get through");
}

void member_on_answer(struct swarm *swarm, const struct notify_answer *answer)
{
    const uint64_t now_us = clock_now_us();
    if (answer->number == 0 || answer->number > swarm->count)
        return;
    struct member *member = &swarm->members[answer->number - 1];
    if (member->state != MEMBER_CALLING)
        return;
    member->answer = malloc(sizeof(*member->answer));
    if (answer->result != ANSWER_ACCEPTED || answer->ike.len == 0 || member->answer == NULL ||
        punch_set_remote(member->punch, &answer->credentials, &answer->candidates, now_us) !=
            ERR_OK) {
        fail(swarm, member, "no good answer");
        return;
    }
    *member->answer = answer->ike;
    member->state = MEMBER_PUNCHING;
}

/* ---- keys ---- */

static void on_nominated(struct swarm *swarm, struct member *member, const struct endpoint *path,
                         uint64_t now_us)
{
    const struct endpoint journey = journey_of(member);
    struct ike_sa *sa = NULL;
    member->state = MEMBER_KEYING;
    if (ike_table_receive(swarm->ike, NULL, member->answer->data, member->answer->len, &journey,
                          now_us, &sa) != ERR_OK ||
        sa != member->sa) {
        fail(swarm, member, "its keys cannot begin");
        return;
    }
    ike_sa_set_remote(sa, path);
    member_pump(swarm, member, now_us);
}

static int install(struct swarm *swarm, struct member *member,
                   const struct ike_event_child_ready *child)
{
    const struct view local = {.own_ipv4 = inside_of(OWN), .peer_ipv4 = inside_of(member->number)};
    const struct tunnel_child added = {.id = child->child,
                                       .suite = child->suite,
                                       .key_in = child->key_in,
                                       .key_out = child->key_out,
                                       .key_len = child->key_len,
                                       .remote = {.own_ipv4 = child->peer_addresses.own_ipv4,
                                                  .peer_ipv4 = child->peer_addresses.other_ipv4}};
    int error = ERR_OK;
    if (member->tunnel == NULL) {
        error = tunnel_add(swarm->tunnels, &local, member, &member->tunnel);
        if (error == ERR_OK)
            error =
                tunnel_set_path(swarm->tunnels, member->tunnel, ike_sa_remote(member->sa), 1500);
    }
    if (error == ERR_OK)
        error = tunnel_add_child(member->tunnel, &added);
    if (error == ERR_OK && child->is_outbound)
        error = tunnel_set_outbound(member->tunnel, child->child);
    return error;
}

/* Whom keys came to inside its call tells the called host which way it takes: that waits for it. */
static void on_child(struct swarm *swarm, struct member *member,
                     const struct ike_event_child_ready *child, uint64_t now_us)
{
    const struct endpoint path = *ike_sa_remote(member->sa);
    swarm_check(install(swarm, member, child) == ERR_OK, "a tunnel");
    if (member->state != MEMBER_KEYING)
        return;
    member->state = MEMBER_SAYING;
    if (ike_sa_move(member->sa, &path, now_us) != ERR_OK)
        fail(swarm, member, "it cannot say its path");
}

static void on_said(struct swarm *swarm, struct member *member)
{
    if (member->state != MEMBER_SAYING)
        return;
    end_call(swarm, member);
    member->state = MEMBER_UP;
    swarm->up_count++;
}

void member_pump(struct swarm *swarm, struct member *member, uint64_t now_us)
{
    uint8_t message[IKE_MESSAGE_CAP];
    struct ike_event event;
    struct endpoint to;
    struct writer w;
    while (member->sa != NULL) {
        for (writer_init(&w, message, sizeof(message));
             ike_sa_transmit(member->sa, &w, &to, now_us) == ERR_OK;
             writer_init(&w, message, sizeof(message)))
            send_datagram(swarm, member, &to, true, message, w.len);
        ike_sa_next_event(member->sa, &event);
        if (event.type == IKE_EVENT_NONE)
            return;
        if (event.type == IKE_EVENT_CHILD_READY)
            on_child(swarm, member, &event.child_ready, now_us);
        else if (event.type == IKE_EVENT_CHILD_OUTBOUND)
            (void)!tunnel_set_outbound(member->tunnel, event.child_outbound);
        else if (event.type == IKE_EVENT_CHILD_CLOSED && member->tunnel != NULL)
            (void)!tunnel_drop_child(member->tunnel, event.child_closed.child);
        else if (event.type == IKE_EVENT_PATH_CHANGED || event.type == IKE_EVENT_MOVE_FAILED)
            on_said(swarm, member);
        else if (event.type == IKE_EVENT_CLOSED)
            fail(swarm, member, event.closed.text);
    }
}

/* ---- datagrams ---- */

static void pump_punch(struct swarm *swarm, struct member *member, uint64_t now_us)
{
    uint8_t data[PUNCH_DATAGRAM_CAP];
    struct punch_target target;
    struct punch_event event;
    struct writer w;
    for (writer_init(&w, data, sizeof(data));
         punch_transmit(member->punch, &w, now_us, &target) == ERR_OK;
         writer_init(&w, data, sizeof(data))) {
        if (!target.is_opener) /* there is no NAT */
            send_datagram(swarm, member, &target.to, false, data, w.len);
    }
    while (member->punch != NULL && punch_next_event(member->punch, &event)) {
        if (event.type == PUNCH_NOMINATED && member->state == MEMBER_PUNCHING)
            on_nominated(swarm, member, &event.endpoint, now_us);
        else if (event.type == PUNCH_FAILED)
            fail(swarm, member, punch_failure_text(event.failure));
    }
}

void members_expire(struct swarm *swarm, uint64_t now_us)
{
    struct ike_sa *sa;
    for (uint32_t i = swarm->active_count; i-- > 0;) {
        struct member *member = &swarm->members[swarm->active[i]];
        if (now_us - member->since_us > CALL_US) {
            fail(swarm, member, "its call takes too long");
            continue;
        }
        punch_expire(member->punch, now_us);
        pump_punch(swarm, member, now_us);
    }
    while ((sa = ike_table_expire(swarm->ike, now_us)) != NULL)
        member_pump(swarm, ike_sa_user(sa), now_us);
}

uint64_t members_deadline(const struct swarm *swarm)
{
    uint64_t at_us = ike_table_deadline(swarm->ike);
    for (uint32_t i = 0; i < swarm->active_count; i++)
        at_us = deadline_min(at_us, punch_deadline(swarm->members[swarm->active[i]].punch));
    return at_us;
}

static void take_data(struct swarm *swarm, struct member *member, const uint8_t *data, size_t len,
                      const struct endpoint *from, uint64_t now_us)
{
    static struct packet packet;
    struct tunnel_message message;
    packet_reset(&packet);
    if (member->tunnel == NULL || len > packet_tailroom(&packet))
        return;
    memcpy(packet.data, data, len);
    packet.len = (uint32_t)len;
    packet.peer = *from;
    tunnel_read_begin();
    const enum drop_reason drop = tunnel_open(member->tunnel, &packet, now_us, &message);
    tunnel_read_end();
    if (drop == DROP_NONE && message.kind == TUNNEL_CLOSE)
        fail(swarm, member, "closed by the peer, in its tunnel");
    if (drop != DROP_NONE || message.kind != TUNNEL_DATA || packet.len != 28 + ECHO_PAYLOAD ||
        packet.data[20] != ICMP_ECHOREPLY || member->has_echo)
        return;
    member->has_echo = true;
    swarm->echo_count++;
}

void member_take(struct swarm *swarm, struct member *member, uint8_t *data, size_t len,
                 const struct endpoint *from, uint64_t now_us)
{
    struct ike_sa *sa;
    switch (datagram_classify(data, len)) {
    case DATAGRAM_KEEPALIVE:
        swarm->keepalives++;
        return;
    case DATAGRAM_IKE:
        swarm->questions += member->state == MEMBER_UP;
        if (ike_table_receive(swarm->ike, NULL, data + DEMUX_MARKER_LEN, len - DEMUX_MARKER_LEN,
                              from, now_us, &sa) == ERR_OK &&
            ike_sa_user(sa) == member)
            member_pump(swarm, member, now_us);
        return;
    case DATAGRAM_STUN_MAYBE:
        if (member->punch != NULL &&
            punch_receive(member->punch, data, len, from, now_us) == ERR_OK)
            pump_punch(swarm, member, now_us);
        return;
    case DATAGRAM_DATA:
        take_data(swarm, member, data, len, from, now_us);
    }
}

/* ---- what goes through the tunnel ---- */

void member_send_echo(struct swarm *swarm, struct member *member, uint64_t now_us)
{
    static struct packet packet;
    const uint32_t from = htonl(POOL | OWN), to = htonl(POOL | member->number);
    const uint8_t ip[] = {0x45, 0, 0, 28 + ECHO_PAYLOAD, 0, 0, 0x40, 0, 64, IPPROTO_ICMP};
    packet_reset(&packet);
    uint8_t *at = packet.data;
    memset(at, 0, 28 + ECHO_PAYLOAD);
    memcpy(at, ip, sizeof(ip));
    memcpy(at + 12, &from, sizeof(from));
    memcpy(at + 16, &to, sizeof(to));
    uint16_t sum = htons(checksum_finish(checksum_add(0, at, 20)));
    memcpy(at + 10, &sum, sizeof(sum));
    at[20] = ICMP_ECHO;
    sum = htons(checksum_finish(checksum_add(0, at + 20, 8 + ECHO_PAYLOAD)));
    memcpy(at + 22, &sum, sizeof(sum));
    packet.len = 28 + ECHO_PAYLOAD;
    tunnel_read_begin();
    const enum drop_reason drop = tunnel_seal(member->tunnel, &packet, now_us);
    tunnel_read_end();
    swarm_check(drop == DROP_NONE, "sealing");
    send_datagram(swarm, member, &packet.peer, false, packet.data, packet.len);
}

void member_send_keepalive(struct swarm *swarm, const struct member *member)
{
    static const uint8_t byte = DEMUX_KEEPALIVE;
    send_datagram(swarm, member, ike_sa_remote(member->sa), false, &byte, sizeof(byte));
}
