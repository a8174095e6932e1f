/* IKEv1 for plain peers: what its engine sends and reports, and when it is due. What an SA is to
 * be: plain_ikev1_terms.c. */
#include "host/plain_ikev1_internal.h"

#include "base/log.h"
#include "crypto/memory.h"
#include "host/path_probe.h"
#include "host/ping.h"
#include "io/clock.h"
#include "io/route.h"
#include <stdlib.h>
#include <string.h>

#define TAKEOVER_US (15 * SECOND_US) /* for the child of an SA that the peer has begun instead */

struct ikev1_host {
    struct host *host;
    struct ikev1_table *table;
    struct task task;
    struct log_limit refusal_log;
    bool is_pumping;
};

static void pump(struct ikev1_host *all, uint64_t now_us);

static void set_time(struct ikev1_host *all)
{
    ikev1_table_set_time(all->table, (uint64_t)clock_wall_seconds());
}

static void on_task(struct task *task, uint64_t now_us)
{
    struct ikev1_host *all = CONTAINER_OF(task, struct ikev1_host, task);
    set_time(all);
    ikev1_table_expire(all->table, now_us);
    pump(all, now_us);
}

int plain_ikev1_open(struct host *host)
{
    struct ikev1_table_limits limits;
    struct ikev1_host *all = calloc(1, sizeof(*all));
    if (all == NULL)
        return ERR_NOMEM;
    ikev1_table_limits_init(&limits);
    int error = ikev1_table_new(&limits, &all->table);
    if (error != ERR_OK) {
        free(all);
        return error;
    }
    all->host = host;
    all->task.run = on_task;
    host->ikev1 = all;
    return ERR_OK;
}

void plain_ikev1_close(struct host *host)
{
    if (host->ikev1 == NULL)
        return;
    task_clear(&host->tasks, &host->ikev1->task);
    ikev1_table_free(host->ikev1->table);
    free(host->ikev1);
    host->ikev1 = NULL;
}

const struct endpoint *plain_ikev1_remote(const struct plain_peer *plain)
{
    return ikev1_sa_remote(plain->ikev1.sa);
}

void plain_cookies(const struct plain_peer *plain, char text[40])
{
    uint64_t initiator = 0, responder = 0;
    text[0] = '\0';
    if (plain->ikev1.sa != NULL) {
        ikev1_sa_cookies(plain->ikev1.sa, &initiator, &responder);
        snprintf(text, 40, "%016llx_%016llx", (unsigned long long)initiator,
                 (unsigned long long)responder);
    }
}

/* ---- calls and ends ---- */

int plain_ikev1_call(struct plain_peer *plain, const struct address *source, uint64_t now_us)
{
    struct ikev1_host *all = plain->host->ikev1;
    plain_ikev1_end(plain, now_us);
    int error = plain_ikev1_prepare(plain, source, &plain->remote.address);
    if (error == ERR_OK)
        error = ikev1_sa_initiate(all->table, plain->ikev1.profile, &plain->remote, now_us,
                                  &plain->ikev1.sa);
    if (error != ERR_OK)
        return error;
    plain->ikev1.is_calling = true;
    pump(all, now_us);
    return ERR_OK;
}

void plain_ikev1_clear(struct plain_peer *plain)
{
    if (!plain->ikev1.is_calling)
        return;
    plain->ikev1.is_calling = false;
    if (plain->peer != NULL && plain->peer->tunnel != NULL)
        return; /* it goes with the tunnel */
    ikev1_sa_free(plain->ikev1.sa);
    plain->ikev1.sa = NULL;
}

void plain_ikev1_end(struct plain_peer *plain, uint64_t now_us)
{
    struct ikev1_sa *sa = plain->ikev1.sa;
    plain->ikev1.sa = NULL;
    plain->ikev1.is_calling = plain->ikev1.is_waiting = false;
    if (sa == NULL)
        return;
    ikev1_sa_close(sa, now_us);
    pump(plain->host->ikev1, now_us);
}

void plain_ikev1_done(struct plain_peer *plain)
{
    if (plain->host->ikev1 != NULL)
        plain_ikev1_end(plain, clock_now_us());
    ikev1_profile_free(plain->ikev1.profile);
    plain->ikev1.profile = NULL;
}

void plain_ikev1_watch(struct plain_peer *plain, const struct tunnel_status *status,
                       bool is_rekey_due, uint64_t now_us)
{
    struct ikev1_sa *sa = plain->ikev1.sa;
    if (sa == NULL)
        return;
    if (status->received_us > ikev1_sa_heard_us(sa))
        ikev1_sa_heard(sa, status->received_us);
    if (is_rekey_due && ikev1_sa_rekey_child(sa, now_us) == ERR_OK)
        pump(plain->host->ikev1, now_us);
}

bool plain_ikev1_ask(struct plain_peer *plain, uint64_t now_us)
{
    if (plain->ikev1.sa == NULL)
        return false;
    ikev1_sa_check_alive(plain->ikev1.sa, now_us);
    pump(plain->host->ikev1, now_us);
    return plain_ikev1_is_asking(plain);
}

bool plain_ikev1_is_asking(const struct plain_peer *plain)
{
    return plain->ikev1.sa != NULL && ikev1_sa_is_asking(plain->ikev1.sa);
}

void plain_ikev1_count(const struct host *host, uint32_t *count, uint32_t *half_open)
{
    if (host->ikev1 == NULL)
        return;
    *count += ikev1_table_count(host->ikev1->table);
    *half_open += ikev1_table_half_open_count(host->ikev1->table);
}

/* ---- what the engine reports ---- */

static struct plain_peer *find_by_sa(const struct host *host, const struct ikev1_sa *sa)
{
    for (uint32_t i = 0; host->plain != NULL && i < host->plain->count; i++)
        if (host->plain->peers[i]->ikev1.sa == sa)
            return host->plain->peers[i];
    return NULL;
}

static struct plain_peer *find_by_profile(const struct host *host,
                                          const struct ikev1_profile *profile)
{
    for (uint32_t i = 0; host->plain != NULL && i < host->plain->count; i++)
        if (host->plain->peers[i]->ikev1.profile == profile)
            return host->plain->peers[i];
    return NULL;
}

static void on_established(struct ikev1_host *all, const struct ikev1_event *event, uint64_t now_us)
{
    struct plain_peer *plain = find_by_profile(all->host, event->established.profile);
    if (plain == NULL || plain->peer == NULL || all->host->is_stopping) {
        ikev1_sa_close(event->sa, now_us);
        return;
    }
    if (plain->ikev1.sa != NULL && plain->ikev1.sa != event->sa) {
        struct ikev1_sa *before = plain->ikev1.sa;
        const bool was_calling = plain->ikev1.is_calling;
        plain->ikev1.sa = NULL;
        plain->ikev1.is_calling = plain->ikev1.is_waiting = false;
        ikev1_sa_close(before, now_us);
        if (was_calling) /* what waits for our call is served by the peer's */
            task_set(&all->host->tasks, &plain->task, now_us + TAKEOVER_US);
        if (plain->peer->tunnel != NULL)
            peer_down(plain->peer, "it has begun anew", false, now_us);
    }
    plain->ikev1.sa = event->sa;
    plain->peer->is_caller = !event->established.is_initiator;
    plain->peer->has_key = false;
}

static struct selectors selectors_of(const struct prefix *prefix, uint8_t protocol, uint16_t port)
{
    const struct address last = prefix_last(prefix);
    struct selectors s = {.count = 1, .list = {selector_of(&prefix->address, &last)}};
    s.list[0].protocol = protocol;
    if (port != 0)
        s.list[0].port_first = s.list[0].port_last = port;
    return s;
}

/* In the words of IKEv2's engine, which tunnels are made from. */
static void translate(const struct plain_peer *plain, const struct ikev1_event_child_ready *ready,
                      struct ike_event_child_ready *ret_child)
{
    const struct ikev1_config *config = ikev1_profile_config(plain->ikev1.profile);
    const struct ikev1_selectors *s = &ready->selectors;
    struct ike_event_child_ready child = {
        .child = ready->child,
        .suite = ready->suite,
        .key_len = ready->key_len,
        .spi_in = ready->spi_in,
        .spi_out = ready->spi_out,
        .mode = ready->mode,
        .rekey_of = ready->rekey_of,
        .is_outbound = ready->is_outbound,
    };
    memcpy(child.key_in, ready->key_in, sizeof(child.key_in));
    memcpy(child.key_out, ready->key_out, sizeof(child.key_out));
    if (ready->mode == CHILD_TUNNEL) {
        child.own_addresses.own_ipv4 = child.peer_addresses.other_ipv4 =
            plain_ts_address(&plain->config.local_ts, ADDRESS_IPV4);
        child.own_addresses.other_ipv4 = child.peer_addresses.own_ipv4 =
            plain_ts_address(&plain->config.remote_ts, ADDRESS_IPV4);
    } else {
        child.own_addresses.own_ipv4 = config->addresses.own;
        child.own_addresses.other_ipv4 = config->addresses.other;
        child.peer_addresses.own_ipv4 = ready->peer_addresses.own;
        child.peer_addresses.other_ipv4 = ready->peer_addresses.other;
        /* Without NAT-OA there is nothing else to go by than where it is seen. */
        if (address_len(&ready->peer_addresses.own) == 0)
            child.peer_addresses.own_ipv4 = ikev1_sa_remote(plain->ikev1.sa)->address;
        if (address_len(&ready->peer_addresses.other) == 0)
            child.peer_addresses.other_ipv4 = s->local.address;
    }
    if (ready->mode == CHILD_TUNNEL) {
        child.selectors.own = selectors_of(&s->local, s->protocol, s->local_port);
        child.selectors.peer = selectors_of(&s->remote, s->protocol, s->remote_port);
    }
    *ret_child = child;
}

/* Packets that wait may go. */
static void on_outbound(struct plain_peer *plain, uint64_t now_us)
{
    const bool was_call = plain->ikev1.is_calling;
    if (!plain->ikev1.is_waiting)
        return;
    plain->ikev1.is_calling = plain->ikev1.is_waiting = false;
    plain_call_done(plain, was_call, ikev1_sa_suite(plain->ikev1.sa), plain_ikev1_remote(plain),
                    now_us);
}

static void on_child_ready(struct plain_peer *plain, const struct ikev1_event_child_ready *ready,
                           uint64_t now_us)
{
    struct peer *peer = plain->peer;
    struct ike_event_child_ready child;
    if (peer->tunnel == NULL)
        plain->ikev1.is_waiting = true;
    translate(plain, ready, &child);
    int error = peer_install_child(peer, NULL, &child, now_us);
    crypto_wipe(&child, sizeof(child));
    if (error == ERR_OK) {
        if (ready->is_outbound)
            on_outbound(plain, now_us);
        return;
    }
    log_error("%s: tunnel cannot be set up: %s", peer->name, error_text(error));
    plain_ikev1_end(plain, now_us);
    if (peer->tunnel != NULL)
        peer_down(peer, "it could not be set up", false, now_us);
}

static void on_child_closed(struct plain_peer *plain, const struct ikev1_event_child_closed *closed,
                            uint64_t now_us)
{
    struct peer *peer = plain->peer;
    const char *notify = isakmp_notify_name(closed->notify);
    if (closed->child == 0) {
        const bool was_call = plain->ikev1.is_calling;
        plain_ikev1_end(plain, now_us); /* without its child it is of no use */
        if (was_call)
            plain_call_failed(plain, notify != NULL ? notify : ikev1_reason_text(closed->reason),
                              now_us);
        return;
    }
    if (peer->tunnel == NULL)
        return;
    (void)!tunnel_drop_child(peer->tunnel, closed->child);
    if (ikev1_sa_child(plain->ikev1.sa) == 0)
        peer_down(peer, ikev1_reason_text(closed->reason), false, now_us);
}

static void on_closed(struct plain_peer *plain, const struct ikev1_event_closed *closed,
                      uint64_t now_us)
{
    struct peer *peer = plain->peer;
    const bool was_call = plain->ikev1.is_calling;
    const char *notify = isakmp_notify_name(closed->notify);
    plain->ikev1.sa = NULL;
    plain->ikev1.is_calling = plain->ikev1.is_waiting = false;
    snprintf(peer->last_error, sizeof(peer->last_error), "%s", closed->text);
    if (was_call)
        plain_call_failed(plain, notify != NULL ? notify : closed->text, now_us);
    if (peer->tunnel != NULL)
        peer_down(peer, closed->text, false, now_us);
}

static void on_path(struct plain_peer *plain, const struct endpoint *path)
{
    struct peer *peer = plain->peer;
    char text[ENDPOINT_TEXT_CAP];
    if (peer->tunnel == NULL || path_probe_set_path(peer, path) != ERR_OK)
        return;
    peer->path = *path;
    log_info("%s: moved to %s", peer->name, endpoint_format(path, text, sizeof(text)));
}

static void on_refused(struct ikev1_host *all, const struct ikev1_event_refused *refused,
                       uint64_t now_us)
{
    char text[ENDPOINT_TEXT_CAP];
    uint32_t suppressed;
    if (log_limit_is_open(&all->refusal_log, now_us, 10, 10 * SECOND_US, &suppressed))
        log_warn("IKEv1 of %s refused: %s", endpoint_format(&refused->remote, text, sizeof(text)),
                 refused->text);
}

static void take_event(struct ikev1_host *all, struct ikev1_event *event, uint64_t now_us)
{
    struct plain_peer *plain = event->sa != NULL ? find_by_sa(all->host, event->sa) : NULL;
    if (event->type == IKEV1_EVENT_ESTABLISHED)
        on_established(all, event, now_us);
    else if (event->type == IKEV1_EVENT_REFUSED)
        on_refused(all, &event->refused, now_us);
    else if (event->type == IKEV1_EVENT_CLOSED) {
        struct ikev1_sa *sa = event->sa;
        if (plain != NULL)
            on_closed(plain, &event->closed, now_us);
        ikev1_sa_free(sa);
    } else if (plain != NULL && plain->peer != NULL) {
        if (event->type == IKEV1_EVENT_CHILD_READY)
            on_child_ready(plain, &event->child_ready, now_us);
        else if (event->type == IKEV1_EVENT_CHILD_OUTBOUND && plain->peer->tunnel != NULL &&
                 tunnel_set_outbound(plain->peer->tunnel, event->child_outbound) == ERR_OK)
            on_outbound(plain, now_us);
        else if (event->type == IKEV1_EVENT_CHILD_CLOSED)
            on_child_closed(plain, &event->child_closed, now_us);
        else if (event->type == IKEV1_EVENT_PATH_CHANGED)
            on_path(plain, &event->path);
    }
}

static void pump(struct ikev1_host *all, uint64_t now_us)
{
    uint8_t message[IKEV1_MESSAGE_CAP];
    struct ikev1_event event;
    struct endpoint to;
    struct writer w;
    if (all->is_pumping)
        return; /* the one further up goes on */
    all->is_pumping = true;
    /* Events first: an answer that makes the other side send must find its tunnel here. */
    for (;;) {
        ikev1_table_next_event(all->table, &event);
        if (event.type == IKEV1_EVENT_NONE)
            break;
        take_event(all, &event, now_us);
        crypto_wipe(&event, sizeof(event));
    }
    for (writer_init(&w, message, sizeof(message));
         ikev1_table_transmit(all->table, &w, &to) == ERR_OK;
         writer_init(&w, message, sizeof(message)))
        host_send_ike(all->host, &to, message, w.len);
    all->is_pumping = false;
    task_set(&all->host->tasks, &all->task, ikev1_table_deadline(all->table));
}

/* ---- from the network ---- */

/* Profiles of those who may call from there. For transport form they are made anew where the peer
 * is seen at another address, as that stands in NAT-OA. */
static size_t find_responders(struct host *host, const struct endpoint *from, bool is_first,
                              struct ikev1_profile *ret_profiles[IKEV1_CANDIDATES_MAX])
{
    size_t count = 0;
    for (uint32_t i = 0; i < host->plain->count && count < IKEV1_CANDIDATES_MAX; i++) {
        struct plain_peer *plain = host->plain->peers[i];
        struct address expected;
        struct route_lookup route;
        if (plain->config.ike_version != 1 || plain->peer == NULL)
            continue;
        if (address_parse(plain->config.address, &expected) == ERR_OK &&
            !address_is_equal(&expected, &from->address))
            continue;
        if (is_first && plain->ikev1.sa == NULL &&
            (route_lookup(&host->netlink, &from->address, HOST_MARK, &route) != ERR_OK ||
             route.is_unreachable ||
             plain_ikev1_prepare(plain, &route.source, &from->address) != ERR_OK))
            continue;
        if (plain->ikev1.profile != NULL)
            ret_profiles[count++] = plain->ikev1.profile;
    }
    return count;
}

static bool has_any(const struct host *host)
{
    for (uint32_t i = 0; host->plain != NULL && i < host->plain->count; i++)
        if (host->plain->peers[i]->config.ike_version == 1)
            return true;
    return false;
}

bool plain_ikev1_take(struct host *host, const uint8_t *message, size_t len,
                      const struct endpoint *from, uint64_t now_us)
{
    static const uint8_t no_cookie[8];
    struct ikev1_profile *profiles[IKEV1_CANDIDATES_MAX];
    struct ikev1_host *all = host->ikev1;
    if (all == NULL || !ikev1_is_message(message, len) || !has_any(host))
        return false;
    if (from->socket != HOST_SOCKET_IKE && from->socket != HOST_SOCKET_NAT)
        return true; /* never between Detec hosts, whose port that is */
    const bool is_first = memcmp(message + 8, no_cookie, sizeof(no_cookie)) == 0;
    const size_t count = find_responders(host, from, is_first, profiles);
    set_time(all);
    const int error = ikev1_table_receive(all->table, profiles, host->is_stopping ? 0 : count,
                                          message, len, from, now_us);
    if (error != ERR_OK && error != ERR_AGAIN)
        host->stray_ike_count++;
    pump(all, now_us);
    ping_on_ikev1(host, now_us);
    return true;
}
