/* See host/wake.h. */
#include "host/wake.h"

#include "host/call_carry.h"
#include "host/call_internal.h"
#include "host/datapath.h"
#include "host/path_probe.h"
#include "host/relay.h"
#include "io/clock.h"
#include "wire/ike.h"
#include <stdio.h>
#include <string.h>

#define EARLY_US (100 * MS_US)   /* for what the data path has handed over last */
#define WAIT_US  (2 * SECOND_US) /* for an answer from the last address */

static const struct endpoint nowhere = {.address.family = ADDRESS_NONE};

static bool is_direct(const struct endpoint *path)
{
    return path->address.family != ADDRESS_NONE && !relay_is_endpoint(path) && path->socket == 0;
}

void wake_leave(struct peer *peer)
{
    peer->rest = NULL;
    peer->rest_way = false;
    *peer->rest_link = peer->rest_next;
    if (peer->rest_next != NULL)
        peer->rest_next->rest_link = peer->rest_link;
    peer->host->resting_count--;
}

static void join(struct peer *peer, struct ike_sa *sa)
{
    struct host *host = peer->host;
    peer->rest = sa;
    peer->rest_next = host->resting;
    peer->rest_link = &host->resting;
    if (host->resting != NULL)
        host->resting->rest_link = &peer->rest_next;
    host->resting = peer;
    host->resting_count++;
}

/* The oldest goes where there are too many. */
static void make_room(struct host *host)
{
    struct peer *oldest = host->resting;
    if (host->resting_count < WAKE_PEERS_MAX)
        return;
    while (oldest->rest_next != NULL)
        oldest = oldest->rest_next;
    wake_forget(oldest);
}

size_t wake_count(const struct host *host)
{
    size_t count = 0;
    for (const struct peer *peer = host->resting; peer != NULL; peer = peer->rest_next)
        count += ike_sa_can_wake(peer->rest);
    return count;
}

bool wake_keep(struct peer *peer, struct ike_sa *sa, bool tells, uint64_t now_us)
{
    struct host *host = peer->host;
    if (host->is_stopping || peer->plain != NULL || ike_sa_peer_key(sa) == NULL ||
        ike_sa_rest(sa, tells, now_us + WAKE_REST_US, now_us) != ERR_OK)
        return false;
    wake_forget(peer);
    make_room(host);
    /* Over a relay's channel, or a socket of its own, nobody is reached any more. The closing
     * itself has to go there yet. */
    join(peer, sa);
    peer->rest_also = nowhere;
    return true;
}

void wake_forget(struct peer *peer)
{
    struct ike_sa *sa = peer->rest;
    if (sa == NULL)
        return;
    wake_leave(peer);
    ike_sa_set_user(sa, NULL);
    if (peer->call != NULL && peer->call->sa == sa)
        peer->call->sa = NULL;
    if (peer->host->pumped_sa == sa)
        ike_sa_close(sa, clock_now_us()); /* whoever drives it frees it */
    else
        ike_sa_free(sa);
    peer_release(peer);
}

bool wake_holds(const struct peer *peer, const struct ike_sa *sa)
{
    return peer != NULL && peer->rest == sa && !peer->rest_way && !ike_sa_is_resting(sa) &&
           ike_sa_state(sa) == IKE_STATE_ESTABLISHED;
}

/* Is the key that the SA was made with the one that this name has now? */
static bool is_trusted(const struct peer *peer)
{
    const struct host *host = peer->host;
    struct trust_verdict verdict;
    return trust_check(host->trust, TRUST_HOST, peer->name, ike_sa_peer_key(peer->rest),
                       TRUST_LEVEL_CONNECTOR, (enum trust_level)host->config.accept,
                       &verdict) == ERR_OK &&
           verdict.is_accepted && verdict.result == TRUST_KNOWN;
}

/* ---- caller ---- */

void wake_begin(struct call *call, uint64_t now_us)
{
    struct peer *peer = call->peer;
    struct host *host = call->host;
    if (peer->rest == NULL || peer->tunnel != NULL || call->is_upgrade)
        return;
    if (!is_trusted(peer)) {
        wake_forget(peer);
        return;
    }
    const struct endpoint last = *ike_sa_remote(peer->rest);
    if (!is_direct(&last) || host->config.relay == RELAY_MODE_ALWAYS)
        ike_sa_set_remote(peer->rest, &nowhere);
    if (ike_sa_wake(peer->rest, now_us) != ERR_OK)
        return; /* its children are being closed yet: as at first contact */
    call->wakes = true;
    call->last = *ike_sa_remote(peer->rest);
    call->has_last = !ike_is_carried(&call->last); /* else the call alone carries it */
    if (call->has_last)
        call->woken_us = now_us;
    datapath_expect(host->datapath, now_us + host->config.attempt_us + EARLY_US);
    host_pump_ike(host, peer->rest, now_us);
}

void wake_carry(const struct call *call, struct notify_ike *ike)
{
    struct writer w;
    ike->wake_len = 0;
    if (!call->wakes || call->peer->rest == NULL)
        return;
    writer_init(&w, ike->wake, sizeof(ike->wake));
    if (ike_sa_copy_wake(call->peer->rest, &w) == ERR_OK && ike->len + w.len <= NOTIFY_IKE_MAX)
        ike->wake_len = (uint16_t)w.len;
}

/* A message of CREATE_CHILD_SA for an SA with this call's peer. Whatever else the connector has put
 * in there is no business of its. */
static struct ike_sa *find_sa(const struct call *call, const struct notify_ike *ike,
                              bool is_response)
{
    struct peer *peer = call->peer;
    struct ike_header header;
    if (ike->wake_len == 0 || ike_header_parse(ike->wake, ike->wake_len, &header) != ERR_OK ||
        header.exchange != IKE_EXCHANGE_CREATE_CHILD_SA ||
        ((header.flags & IKE_FLAG_RESPONSE) != 0) != is_response)
        return NULL;
    struct ike_sa *sa = ike_table_peek(call->host->ike, ike->wake, ike->wake_len);
    if (sa == NULL || (sa != peer->rest && (is_response || sa != peer->sa)))
        return NULL;
    const struct public_key *key = ike_sa_peer_key(sa);
    return key != NULL && public_key_is_equal(key, &call->key) ? sa : NULL;
}

/* Messages of this call, to and fro. */
static struct endpoint name_journey(const struct call *call)
{
    struct endpoint journey = nowhere;
    memcpy(journey.address.bytes, &call->number, sizeof(call->number));
    return journey;
}

bool wake_finish(struct call *call, const struct notify_ike *ike, uint64_t now_us)
{
    struct peer *peer = call->peer;
    const struct endpoint journey = name_journey(call);
    struct ike_sa *sa = find_sa(call, ike, true);
    struct ike_sa *taken = NULL;
    if (!call->wakes || peer->rest == NULL)
        return false;
    if (sa == NULL ||
        ike_table_receive(call->host->ike, NULL, ike->wake, ike->wake_len, &journey, now_us,
                          &taken) != ERR_OK ||
        !wake_holds(peer, sa)) {
        /* The peer has no such SA any more, and begins with what else the call has brought. */
        wake_forget(peer);
        call->wakes = false;
        return false;
    }
    ike_sa_free(call->sa);
    call->sa = NULL;
    call_carry_clear(call);
    datapath_expect(call->host->datapath, now_us + call->host->config.attempt_us + EARLY_US);
    return true;
}

/* ---- called host ---- */

bool wake_respond(struct call *call, const struct notify_ike *ike, struct notify_ike *ret_ike,
                  uint64_t now_us)
{
    struct host *host = call->host;
    struct peer *peer = call->peer;
    const struct endpoint journey = name_journey(call);
    struct ike_sa *sa = find_sa(call, ike, false);
    struct ike_sa *taken = NULL;
    struct endpoint to;
    struct writer w;
    ret_ike->wake_len = 0;
    if (sa == NULL || ike_table_receive(host->ike, NULL, ike->wake, ike->wake_len, &journey, now_us,
                                        &taken) != ERR_OK)
        return false;
    if (ike_sa_is_resting(sa) || ike_sa_state(sa) != IKE_STATE_ESTABLISHED)
        return false;
    for (;;) {
        writer_init(&w, ret_ike->wake, sizeof(ret_ike->wake));
        if (ike_sa_transmit(sa, &w, &to, now_us) != ERR_OK)
            return false;
        if (ike_is_carried(&to))
            break;
        host_send_ike(host, &to, ret_ike->wake, w.len);
    }
    ret_ike->len = 0;
    ret_ike->wake_len = (uint16_t)w.len;
    if (sa == peer->rest) {
        call->wakes = true;
        call->last = *ike_sa_remote(sa);
        call->has_last = is_direct(&call->last);
        datapath_expect(host->datapath, now_us + host->config.attempt_us + EARLY_US);
    }
    host_pump_ike(host, sa, now_us);
    return true;
}

/* ---- either ---- */

/* The tunnel begins as soon as the SA's events are taken. */
static void begin_tunnel(struct peer *peer, const struct endpoint *way, uint64_t now_us)
{
    struct call *call = peer->call;
    struct ike_sa *sa = peer->rest;
    char text[RELAY_TEXT_CAP];
    char detail[RELAY_TEXT_CAP + 32];
    if (!endpoint_is_equal(ike_sa_remote(sa), way))
        ike_sa_set_remote(sa, way);
    peer->rest_way = true;
    peer->is_caller = call == NULL || call->is_incoming;
    if (call == NULL) {
        log_info("%s: met again over %s, it asked", peer->name,
                 relay_format(peer->host, way, text));
        return;
    }
    if (call->sa != sa)
        ike_sa_free(call->sa);
    call->sa = NULL;
    call_carry_clear(call);
    call->sa = sa;
    /* Where the other side may have been asked first. */
    const bool is_elsewhere = peer->rest_also.address.family != ADDRESS_NONE;
    call->has_direct = is_elsewhere || call->has_last;
    call->direct = is_elsewhere ? peer->rest_also : call->last;
    /* The caller may have got a spoilt answer, or have its tunnel on the channel that is still to
     * come: the call goes on. */
    call->was_half = call->is_incoming;
    call->is_carried =
        !call->is_incoming; /* so that the other side hears which of the ways it is */
    snprintf(detail, sizeof(detail), "met again over %s", relay_format(peer->host, way, text));
    call_step(call, CALL_KEYING, call_step_text(call), detail, now_us);
}

bool wake_on_way(struct call *call, const struct endpoint *way, uint64_t now_us)
{
    struct peer *peer = call->peer;
    struct host *host = call->host;
    if (!call->wakes || peer->rest == NULL || !wake_holds(peer, peer->rest))
        return false;
    if (relay_is_endpoint(way) && host->config.relay == RELAY_MODE_ALWAYS)
        snprintf(peer->relay_why, sizeof(peer->relay_why), "relay = always");
    begin_tunnel(peer, way, now_us);
    host_pump_ike(host, peer->rest, now_us);
    return true;
}

void wake_drop(struct call *call)
{
    struct peer *peer = call->peer;
    if (call->wakes && peer->rest != NULL && !ike_sa_is_resting(peer->rest))
        wake_forget(peer);
    call->wakes = false;
    call->has_last = false;
}

uint64_t wake_pending_us(const struct call *call, uint64_t now_us)
{
    const struct peer *peer = call->peer;
    if (!call->wakes || call->is_incoming || call->woken_us == 0 || peer->rest == NULL ||
        !ike_sa_is_waking(peer->rest) || now_us >= call->woken_us + WAIT_US)
        return 0;
    return call->woken_us + WAIT_US;
}

const char *wake_blame(const struct call *call)
{
    return call->woken_us != 0 && !call->is_incoming
               ? "; nor does the called host answer at its last address"
               : "";
}

/* ---- from the network ---- */

/* Without a call, what a call would have to stand is judged here. */
static bool is_welcome(struct peer *peer, uint64_t now_us)
{
    struct host *host = peer->host;
    const char *why = NULL;
    if (host->is_stopping)
        return false;
    if (!is_trusted(peer))
        why = "its key is not the one that is trusted for this name";
    else if (!access_may_call(host, peer->name, peer->is_static))
        why = "[allow] does not let it call";
    if (why != NULL)
        host_note_refused(host, peer->name, ike_sa_peer_key(peer->rest), why, now_us);
    return why == NULL;
}

bool wake_lets_in(const struct ike_sa *sa, const uint8_t *message, size_t len,
                  const struct endpoint *from, uint64_t now_us)
{
    struct ike_header header;
    struct peer *peer = sa != NULL ? ike_sa_user(sa) : NULL;
    if (peer == NULL || peer->rest != sa || ike_header_parse(message, len, &header) != ERR_OK ||
        header.exchange != IKE_EXCHANGE_CREATE_CHILD_SA)
        return true;
    if ((header.flags & IKE_FLAG_RESPONSE) != 0)
        return endpoint_is_equal(from, ike_sa_remote(sa));
    return is_welcome(peer, now_us);
}

/* The tunnel has begun by the relay, and now the request comes from the last path as well: the
 * caller may have its answer there, and then knows of no relay. */
static void go_back(struct peer *peer, const struct endpoint *from)
{
    const struct call *call = peer->call;
    if (call == NULL || !call->is_incoming || !call->has_last || peer->tunnel == NULL ||
        !relay_is_endpoint(&peer->path) || !endpoint_is_equal(&call->last, from) ||
        path_probe_set_path(peer, from) != ERR_OK)
        return;
    peer->path = *from;
    ike_sa_set_remote(peer->sa, from);
}

void wake_on_ike(struct ike_sa *sa, const struct endpoint *from, uint64_t now_us)
{
    struct peer *peer = ike_sa_user(sa);
    if (peer != NULL && peer->sa == sa)
        go_back(peer, from);
    if (!wake_holds(peer, sa))
        return;
    struct call *call = peer->call;
    const struct endpoint last = *ike_sa_remote(sa);
    const bool is_last = endpoint_is_equal(&last, from);
    if (!is_last) {
        /* Elsewhere than before: data may come from there, but nothing goes there until a challenge
         * has been answered. */
        peer->rest_also = *from;
        if (call != NULL && call->wakes)
            return; /* the call finds the way */
    }
    begin_tunnel(peer, &last, now_us);
}

void wake_listen(struct peer *peer)
{
    struct host *host = peer->host;
    if (peer->rest_also.address.family == ADDRESS_NONE ||
        endpoint_is_equal(&peer->rest_also, &peer->path))
        return;
    if (tunnel_set_path(host->tunnels, peer->tunnel, &peer->rest_also, host->config.mtu) != ERR_OK)
        log_error("%s: out of memory for its paths", peer->name);
    peer->rest_also = nowhere;
}
