/* Calling a plain peer: its address, then keys; three tries for somebody who waits, and one after
 * the other for peers that are to be up always. */
#include "host/plain_internal.h"

#include "host/call.h"
#include "io/clock.h"
#include "io/route.h"
#include "names/lookup.h"
#include "wire/dns.h"
#include "wire/suite.h"
#include <stdio.h>
#include <string.h>

#define ATTEMPTS      3
#define NAMING_US     (10 * SECOND_US)
#define AGAIN_US      (300 * MS_US) /* between two tries for somebody who waits */
#define ALWAYS_US     SECOND_US     /* doubled each time, up to the next: */
#define ALWAYS_MAX_US (60 * SECOND_US)
#define HOLD_US       (2 * SECOND_US) /* after a failure packets are answered at once */

#define STEP_NAME "name"
#define STEP_KEYS "keys"

static void begin(struct plain_peer *plain, uint64_t now_us);
static void ask_for(struct plain_peer *plain, uint16_t type, uint64_t now_us);

bool plain_is_calling(const struct plain_peer *plain)
{
    return plain->state != PLAIN_IDLE;
}

const char *plain_step_text(const struct plain_peer *plain)
{
    return plain->state == PLAIN_KEYING || plain->state == PLAIN_CONNECTING ? STEP_KEYS : STEP_NAME;
}

/* Somebody here waits for the tunnel. */
static bool is_wanted(const struct plain_peer *plain)
{
    return plain->peer->watchers != NULL || plain->peer->stage.count > 0;
}

void plain_call_clear(struct plain_peer *plain)
{
    lookup_cancel(plain->lookup);
    plain->lookup = NULL;
    task_clear(&plain->host->tasks, &plain->task);
    plain_ikev1_clear(plain);
    if (plain->sa != NULL && (plain->peer == NULL || plain->sa != plain->peer->sa))
        ike_sa_free(plain->sa);
    plain->sa = NULL;
    ike_profile_free(plain->profile);
    plain->profile = NULL;
    plain->state = PLAIN_IDLE;
}

void plain_cancel(struct plain_peer *plain)
{
    plain_call_clear(plain);
    peer_tell_done(plain->peer, STEP_NAME, "given up", "it was ended from here");
    peer_stage_refuse(plain->peer);
}

static void on_call_task(struct task *task, uint64_t now_us)
{
    struct plain_peer *plain = CONTAINER_OF(task, struct plain_peer, task);
    if (plain->state == PLAIN_IDLE)
        begin(plain, now_us);
    else
        plain_call_failed(plain,
                          plain->state == PLAIN_NAMING ? "DNS does not answer in time"
                                                       : "the peer does not answer",
                          now_us);
}

void plain_call_always(struct plain_peer *plain, uint64_t wait_us, uint64_t now_us)
{
    if (plain->config.start != PLAIN_START_ALWAYS || plain->state != PLAIN_IDLE ||
        plain->host->is_stopping || plain->peer->tunnel != NULL)
        return;
    plain->task.run = on_call_task;
    task_set(&plain->host->tasks, &plain->task, now_us + wait_us);
}

void plain_call_failed(struct plain_peer *plain, const char *why, uint64_t now_us)
{
    struct peer *peer = plain->peer;
    const char *step = plain_step_text(plain);
    const bool was_naming = plain->state == PLAIN_NAMING;
    if (plain->state == PLAIN_CONNECTING)
        plain_stream_note_failure(plain, true, now_us);
    char reason[sizeof(peer->last_error)];
    snprintf(reason, sizeof(reason), "%s: %s", step, why);
    plain_call_clear(plain);
    plain->attempts++;
    if (is_wanted(plain) && plain->attempts % ATTEMPTS != 0) {
        log_debug("%s: attempt %u failed: %s", peer->name, plain->attempts, reason);
        plain->task.run = on_call_task;
        task_set(&plain->host->tasks, &plain->task, now_us + AGAIN_US);
        return;
    }
    memcpy(peer->last_error, reason, sizeof(reason));
    if (plain->attempts <= ATTEMPTS)
        log_warn("%s: call failed at %s: %s", peer->name, step, why);
    peer->held_until_us = now_us + HOLD_US;
    peer_stage_refuse(peer);
    peer_tell_done(
        peer, step, why,
        was_naming ? "check `address =` of its [peer] section, and that DNS works"
                   : "compare both configurations, and look into the peer's log for its reason");
    uint64_t wait_us = ALWAYS_US;
    for (unsigned i = 1; i < plain->attempts && wait_us < ALWAYS_MAX_US; i++)
        wait_us *= 2;
    plain_call_always(plain, wait_us < ALWAYS_MAX_US ? wait_us : ALWAYS_MAX_US, now_us);
}

/* ---- keys ---- */

/* Where it is, by the transport that is to be used. */
static struct endpoint remote_of(const struct plain_peer *plain, const struct address *address,
                                 uint64_t now_us)
{
    struct endpoint remote = {.address = *address, .port = plain->config.port};
    /* On 500 without marker, and on from there to the NAT port (RFC 7296, 2.23); on any other port
     * with the marker from the first message on. */
    if (plain_stream_is_wanted(plain, now_us)) {
        remote.port = plain->config.tcp_port;
        remote.socket = ENDPOINT_SOCKET_STREAM;
    } else if (plain->config.port == IKE_PORT) {
        remote.socket = HOST_SOCKET_IKE;
    } else {
        remote.socket = HOST_SOCKET_NAT;
    }
    return remote;
}

static void begin_keys(struct plain_peer *plain, const struct address *address, uint64_t now_us)
{
    struct host *host = plain->host;
    struct route_lookup route;
    char text[ENDPOINT_TEXT_CAP], detail[ENDPOINT_TEXT_CAP + 16];
    plain->remote = remote_of(plain, address, now_us);
    snprintf(detail, sizeof(detail), "%s%s", endpoint_format(&plain->remote, text, sizeof(text)),
             streams_suffix(&plain->remote));
    peer_tell_step(plain->peer, STEP_NAME, now_us - plain->step_us, detail);
    plain->state = PLAIN_KEYING;
    plain->step_us = now_us;
    if (route_lookup(&host->netlink, address, HOST_MARK, &route) != ERR_OK || route.is_unreachable)
        plain_call_failed(plain, "there is no route to it", now_us);
    else if (plain_config_has_network(&plain->config) &&
             plain_ts_contains(&plain->config.remote_ts, address))
        plain_call_failed(plain, "its address lies in the network of remote-ts", now_us);
    else if (endpoint_is_stream(&plain->remote))
        plain_stream_begin(plain, now_us);
    else
        plain_call_negotiate(plain, now_us);
}

void plain_call_negotiate(struct plain_peer *plain, uint64_t now_us)
{
    struct host *host = plain->host;
    struct route_lookup route;
    plain->state = PLAIN_KEYING;
    task_clear(&host->tasks, &plain->task); /* the SA has its own time-out */
    int error = route_lookup(&host->netlink, &plain->remote.address, HOST_MARK, &route);
    if (error == ERR_OK && plain->config.ike_version == 1) {
        error = plain_ikev1_call(plain, &route.source, now_us);
        if (error != ERR_OK)
            plain_call_failed(plain, error_text(error), now_us);
        return;
    }
    if (error == ERR_OK)
        error = plain_profile_call(plain, &route.source, &plain->profile);
    if (error == ERR_OK)
        error = ike_sa_initiate(host->ike, plain->profile, &plain->remote, now_us, &plain->sa);
    if (error != ERR_OK) {
        plain_call_failed(plain, error_text(error), now_us);
        return;
    }
    peer_take_sa(plain->peer, plain->sa);
    host_pump_ike(host, plain->sa, now_us);
}

/* ---- address ---- */

static void on_address(void *context, int error, const uint8_t *answer, size_t len)
{
    struct plain_peer *plain = context;
    struct lookup_addresses found = {.count = 0};
    const uint64_t now_us = clock_now_us();
    plain->lookup = NULL;
    const bool is_ipv6 = plain->is_asking_ipv6;
    if (answer != NULL &&
        lookup_parse_addresses(answer, len, plain->config.address,
                               is_ipv6 ? DNS_TYPE_AAAA : DNS_TYPE_A, &found) == ERR_OK &&
        found.count > 0)
        begin_keys(plain, &found.items[plain->attempts % found.count], now_us);
    else if (!is_ipv6)
        ask_for(plain, DNS_TYPE_AAAA, now_us);
    else
        plain_call_failed(plain, "its name has no address", now_us);
}

static void ask_for(struct plain_peer *plain, uint16_t type, uint64_t now_us)
{
    plain->is_asking_ipv6 = type == DNS_TYPE_AAAA;
    int error = lookup_start(&plain->host->loop, HOST_MARK, plain->config.address, type, on_address,
                             plain, &plain->lookup);
    if (error != ERR_OK)
        plain_call_failed(plain, error_text(error), now_us);
}

static void begin(struct plain_peer *plain, uint64_t now_us)
{
    struct address address;
    plain->state = PLAIN_NAMING;
    plain->step_us = now_us;
    plain->task.run = on_call_task;
    task_set(&plain->host->tasks, &plain->task, now_us + NAMING_US);
    if (address_parse(plain->config.address, &address) == ERR_OK)
        begin_keys(plain, &address, now_us);
    else
        ask_for(plain, DNS_TYPE_A, now_us);
}

void plain_call(struct plain_peer *plain, uint64_t now_us)
{
    struct peer *peer = plain->peer;
    if (plain->state != PLAIN_IDLE || peer->tunnel != NULL || plain->host->is_stopping)
        return;
    if (plain->config.address[0] == '\0' || plain->config.start == PLAIN_START_NEVER) {
        peer_stage_refuse(peer);
        peer_tell_done(peer, STEP_NAME, "it only calls us",
                       "its [peer] section has start = never, or no address");
        return;
    }
    plain->attempts = 0;
    plain->started_us = now_us;
    begin(plain, now_us);
}

void plain_on_tunnel(struct plain_peer *plain, struct ike_sa *sa, uint64_t now_us)
{
    const bool was_call = plain->sa == sa;
    if (was_call)
        plain->sa = NULL;
    plain_call_done(plain, was_call, ike_sa_suite(sa), ike_sa_remote(sa), now_us);
}

void plain_call_done(struct plain_peer *plain, bool was_call, enum suite suite,
                     const struct endpoint *remote, uint64_t now_us)
{
    struct peer *peer = plain->peer;
    char detail[ENDPOINT_TEXT_CAP + 64], text[ENDPOINT_TEXT_CAP];
    snprintf(detail, sizeof(detail), "%s over direct %s%s", suite_name(suite),
             endpoint_format(remote, text, sizeof(text)), streams_suffix(remote));
    if (was_call)
        peer_tell_step(peer, STEP_KEYS, now_us - plain->step_us, detail);
    /* One of ours that is under way goes on: the peer may have it already (plain_cross.c). */
    if (was_call || plain->sa == NULL)
        plain_call_clear(plain);
    plain->attempts = 0;
    log_info("%s: tunnel up (%s, %s)", peer->name, detail, was_call ? "we called" : "it called");
    peer_stage_flush(peer);
    peer_tell_done(peer, NULL, NULL, NULL);
}
