/* Keys inside the call: CALL carries the caller's first IKE message and ANSWER the reply, so that
 * IKE_AUTH leaves with the first datagram that can reach the other host at all. It goes every way
 * that there is, the relay channel and the likeliest address, and the tunnel begins on the one that
 * is answered first. The connector that passes the messages can spoil them: then nobody proves its
 * key, and the keys begin anew over the path that punching finds. */
#include "host/call_carry.h"

#include "host/call_internal.h"
#include "host/datapath.h"
#include "host/path_probe.h"
#include "host/relay.h"
#include "wire/ike.h"
#include <stdlib.h>
#include <string.h>

/* A tunnel on the relay is about to move as a rule: only where it does not within this time is the
 * other host told that it stays there. */
#define UNSAID_US (300 * MS_US)
#define EARLY_US  (100 * MS_US) /* for what the data path has handed over last */

/* Where messages of this call come from before there is a path: no two calls share it, so that what
 * was said in one is never taken for a repetition in another. */
static struct endpoint name_journey(const struct call *call)
{
    struct endpoint journey = {.address.family = ADDRESS_NONE};
    memcpy(journey.address.bytes, &call->number, sizeof(call->number));
    journey.port = call->is_incoming;
    return journey;
}

static bool is_under_way(const struct call *call)
{
    return call->is_carried && call->sa != NULL && ike_sa_state(call->sa) == IKE_STATE_CONNECTING;
}

static void drop(struct call *call)
{
    ike_sa_free(call->sa);
    call->sa = NULL;
    call_carry_clear(call);
}

void call_carry_clear(struct call *call)
{
    if (call->half != NULL && ike_sa_state(call->half) == IKE_STATE_CONNECTING)
        ike_sa_free(call->half);
    call->half = NULL;
    free(call->auth);
    call->auth = NULL;
    call->auth_len = 0;
    call->is_carried = call->has_direct = call->was_repeated = false;
}

void call_carry_begin(struct call *call, struct notify_ike *ret_ike, uint64_t now_us)
{
    struct host *host = call->host;
    const struct endpoint journey = name_journey(call);
    struct endpoint to;
    struct writer w;
    ret_ike->len = 0;
    if (call->is_upgrade || call_make_profile(call) != ERR_OK ||
        ike_sa_initiate(host->ike, call->profile, &journey, now_us, &call->sa) != ERR_OK)
        return; /* the keys begin when a path is found */
    call->is_carried = true;
    peer_take_sa(call->peer, call->sa);
    writer_init(&w, ret_ike->data, sizeof(ret_ike->data));
    if (ike_sa_transmit(call->sa, &w, &to, now_us) != ERR_OK) {
        drop(call);
        return;
    }
    ret_ike->len = (uint16_t)w.len;
    host_pump_ike(host, call->sa, now_us);
}

void call_carry_finish(struct call *call, const struct notify_ike *ike,
                       const struct endpoint *likeliest, uint64_t now_us)
{
    struct host *host = call->host;
    const struct endpoint journey = name_journey(call);
    struct ike_sa *sa = NULL;
    if (!is_under_way(call))
        return;
    /* Now the key is known that the other host has to prove. Whatever else the connector has put in
     * there is no business of other SAs. */
    ike_profile_free(call->profile);
    call->profile = NULL;
    if (ike->len == 0 || call_make_profile(call) != ERR_OK ||
        ike_table_peek(host->ike, ike->data, ike->len) != call->sa) {
        drop(call);
        return;
    }
    ike_sa_set_profile(call->sa, call->profile);
    if (ike_table_receive(host->ike, NULL, ike->data, ike->len, &journey, now_us, &sa) != ERR_OK ||
        sa != call->sa || !ike_sa_is_answered(sa)) {
        drop(call);
        return;
    }
    call->has_direct = likeliest != NULL;
    if (likeliest != NULL)
        call->direct = *likeliest;
    datapath_expect(host->datapath, now_us + host->config.attempt_us + EARLY_US);
    host_pump_ike(host, call->sa, now_us);
}

void call_carry_respond(struct call *call, const struct notify_ike *ike, struct notify_ike *ret_ike,
                        uint64_t now_us)
{
    struct host *host = call->host;
    const struct endpoint journey = name_journey(call);
    struct ike_sa *sa = NULL;
    struct endpoint to;
    struct writer w;
    ret_ike->len = 0;
    /* A beginning, and nothing that speaks to an SA there is. */
    if (ike->len == 0 || ike_table_peek(host->ike, ike->data, ike->len) != NULL)
        return;
    int error =
        ike_table_receive(host->ike, call->profile, ike->data, ike->len, &journey, now_us, &sa);
    writer_init(&w, ret_ike->data, sizeof(ret_ike->data));
    if (error == ERR_OK && sa != NULL && ike_sa_user(sa) == NULL) {
        peer_take_sa(call->peer, sa);
        call->half = sa;
        datapath_expect(host->datapath, now_us + host->config.attempt_us + EARLY_US);
        error = ike_sa_transmit(sa, &w, &to, now_us);
        host_pump_ike(host, sa, now_us);
    } else if (error == ERR_AGAIN) {
        error = ike_table_transmit(host->ike, &w, &to); /* a refusal, which says why */
    }
    if (error == ERR_OK)
        ret_ike->len = (uint16_t)w.len;
    else
        log_debug("call %s: its IKE message is of no use: %s", call->peer->name, error_text(error));
}

static void send_all_ways(struct call *call, const uint8_t *message, size_t len)
{
    if (call->has_direct)
        host_send_ike(call->host, &call->direct, message, len);
    if (call->has_relay)
        host_send_ike(call->host, &call->relay, message, len);
}

bool call_carry_send(struct call *call, const struct ike_sa *sa, const uint8_t *message, size_t len)
{
    struct ike_header header;
    if (call == NULL || call->sa != sa || !is_under_way(call))
        return false;
    send_all_ways(call, message, len);
    if (ike_header_parse(message, len, &header) == ERR_OK && header.exchange == IKE_EXCHANGE_AUTH) {
        free(call->auth);
        call->auth = malloc(len);
        call->auth_len = call->auth != NULL ? len : 0;
        if (call->auth != NULL)
            memcpy(call->auth, message, len);
    }
    return true;
}

static void repeat(struct call *call, const struct endpoint *way)
{
    if (is_under_way(call) && call->auth != NULL)
        host_send_ike(call->host, way, call->auth, call->auth_len);
}

void call_carry_on_relay(struct call *call)
{
    if (!call->is_incoming)
        repeat(call, &call->relay);
}

bool call_carry_on_path(struct call *call, const struct endpoint *path)
{
    if (!is_under_way(call) || call->auth == NULL)
        return false;
    const bool is_new = !call->has_direct || !endpoint_is_equal(&call->direct, path);
    call->direct = *path;
    call->has_direct = true;
    if (is_new)
        repeat(call, path);
    return true;
}

bool call_carry_try_again(struct call *call)
{
    if (!is_under_way(call) || call->auth == NULL || call->was_repeated)
        return false;
    call->was_repeated = true;
    send_all_ways(call, call->auth, call->auth_len);
    return true;
}

/* What the punch knows of our NAT may have been found out since, or be so in a moment. */
static bool leads_back(const struct call *call, const struct endpoint *from)
{
    const struct address origin = nat64_origin(call->host, &from->address);
    const bool is_doubtful = origin.family == ADDRESS_IPV4 &&
                             !call_is_neighbour(call->host, &from->address) &&
                             nat_may_map_anew(call->host);
    return is_doubtful ? punch_is_answered(call->punch, from) : punch_leads_back(call->punch, from);
}

/* The caller begins its tunnel where the answer comes from: that has to be where the message went,
 * or where a check was answered from. Behind some NATs an answer comes from an address that leads
 * back nowhere; the called host behind such a one waits for a way that leads back, too. */
bool call_carry_is_way(const struct call *call, const struct endpoint *from)
{
    return (call->has_relay && endpoint_is_equal(&call->relay, from)) ||
           (call->has_direct && endpoint_is_equal(&call->direct, from)) ||
           (call->punch != NULL &&
            (call->is_incoming ? leads_back(call, from) : punch_is_answered(call->punch, from)));
}

bool call_carry_lets_in(const struct ike_sa *sa, const struct endpoint *from)
{
    if (sa == NULL || ike_sa_state(sa) != IKE_STATE_CONNECTING)
        return true;
    const struct peer *peer = ike_sa_user(sa);
    const struct call *call = peer != NULL ? peer->call : NULL;
    const bool is_way = call != NULL && call_carry_is_way(call, from);
    if (ike_is_carried(ike_sa_remote(sa)))
        return is_way && (call->half == sa || call->sa == sa);
    /* Who copies IKE_AUTH on its way must not get the tunnel with it. Plain peers change the port
     * before it. */
    return ike_sa_is_initiator(sa) || peer == NULL || peer->plain != NULL || is_way ||
           endpoint_is_equal(ike_sa_remote(sa), from);
}

/* The other host may have the tunnel on another of the ways, and waits for a word. */
static void say_path(struct peer *peer, uint64_t now_us)
{
    const struct endpoint path = peer->path;
    if (peer->sa == NULL)
        return;
    if (ike_sa_move(peer->sa, &path, now_us) == ERR_OK)
        host_pump_ike(peer->host, peer->sa, now_us);
}

void call_carry_settle(struct call *call, uint64_t now_us)
{
    const bool is_unsaid = call->is_unsaid;
    call->is_unsaid = false;
    if (is_unsaid && call->nominated.port == 0 && relay_is_endpoint(&call->peer->path))
        say_path(call->peer, now_us);
}

static void on_unsaid(struct task *task, uint64_t now_us)
{
    call_carry_settle(CONTAINER_OF(task, struct call, keys_task), now_us);
}

void call_carry_listen(struct call *call, const struct endpoint *other)
{
    struct peer *peer = call->peer;
    struct host *host = call->host;
    const struct endpoint path = peer->path;
    /* The path before is still received from. */
    if (tunnel_set_path(host->tunnels, peer->tunnel, other, host->config.mtu) != ERR_OK ||
        path_probe_set_path(peer, &path) != ERR_OK)
        log_error("%s: out of memory for its paths", peer->name);
}

void call_carry_on_tunnel(struct call *call, uint64_t now_us)
{
    struct peer *peer = call->peer;
    struct host *host = call->host;
    const struct endpoint path = peer->path;
    const struct endpoint *other = NULL;
    if (call->has_direct && relay_is_endpoint(&path))
        other = &call->direct;
    else if (call->has_relay && !relay_is_endpoint(&path))
        other = &call->relay;
    if (peer->tunnel == NULL)
        return;
    if (other == NULL) {
        if (call->is_carried)
            say_path(peer, now_us);
        return;
    }
    call_carry_listen(call, other);
    if (!call->is_carried)
        return;
    if (relay_is_endpoint(&path)) {
        call->is_unsaid = true;
        call->keys_task.run = on_unsaid;
        task_set(&host->tasks, &call->keys_task, now_us + UNSAID_US);
    } else {
        say_path(peer, now_us);
    }
}

void call_carry_on_ike(struct ike_sa *sa, const struct endpoint *from)
{
    if (ike_sa_state(sa) == IKE_STATE_ESTABLISHED && ike_is_carried(ike_sa_remote(sa)))
        ike_sa_set_remote(sa, from);
    /* Whoever goes on speaking has accepted our proof. */
    struct peer *peer = ike_sa_user(sa);
    struct call *call = peer != NULL ? peer->call : NULL;
    if (call != NULL && call->is_upgrade && call->is_incoming && peer->sa == sa &&
        ike_sa_state(sa) == IKE_STATE_ESTABLISHED && ike_sa_heard_us(sa) != call->heard_us &&
        !relay_is_endpoint(&peer->path))
        call_free(call);
}
