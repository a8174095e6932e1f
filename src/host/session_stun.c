/* How a connector sees this host: one STUN client for each family. */
#include "host/session_stun.h"

#include "host/call.h"
#include "host/keeper.h"
#include "host/mobility.h"
#include "host/portmap.h"
#include "host/session_internal.h"
#include "io/clock.h"
#include <string.h>

#define DOUBT_US                                                                                   \
    SECOND_US /* a server that has not answered for so long, in several tries, will not */
#define FIND_US (10 * SECOND_US) /* DNS is not asked more often than this by what happens here */
/* What it did not tell, or too late, is asked again after so long, and twice that, and so on. */
#define AGAIN_FIRST_US SECOND_US
#define AGAIN_LAST_US  (10 * 60 * SECOND_US)

static enum stun_family family_of(const struct host *host, const struct address *address)
{
    return nat64_origin(host, address).family == ADDRESS_IPV6 ? STUN_IPV6 : STUN_IPV4;
}

/* The family that the connection itself uses; STUN_FAMILIES: a proxy's, or none. */
static enum stun_family main_family(const struct session *session)
{
    if (session->connector.port == 0 || address_len(&session->connector.address) == 0)
        return STUN_FAMILIES;
    return family_of(session->host, &session->connector.address);
}

/* Behind another public address no old TCP connection lives on; behind another port of the same one
 * it may, and is asked. */
static void on_changed(struct session *session, struct stun_slot *slot, uint64_t now_us)
{
    const struct endpoint before = slot->public;
    const struct endpoint *now = reflexive_endpoint(slot->reflexive);
    const bool is_moved = now != NULL && !address_is_equal(&now->address, &before.address);
    if (now != NULL)
        slot->public = *now;
    if (slot == &session->stun.slots[main_family(session) % STUN_FAMILIES]) {
        if (is_moved && session_is_up(session)) /* else it leaves from there anyway */
            session_reconnect(session, "this host's public address has changed", now_us);
        else if (session->sa != NULL)
            ike_sa_check_alive(session->sa);
        session_pump(session, now_us);
    }
    if (session->is_own)
        mobility_on_public_endpoint(session->host, now_us);
}

static void report(struct session *session, struct stun_slot *slot,
                   const struct reflexive_event *event)
{
    const char *over = slot == &session->stun.slots[STUN_IPV6] ? "IPv6" : "IPv4";
    char text[ENDPOINT_TEXT_CAP];
    if (event->type == REFLEXIVE_LOST)
        log_warn("%s: no STUN answer from its connector over %s: UDP to it is blocked, or it is "
                 "gone",
                 session->zone, over);
    else
        log_info("%s: its connector sees us at %s", session->zone,
                 endpoint_format(&event->endpoint, text, sizeof(text)));
}

/* Sends what is to be sent; true if we are seen elsewhere than before. */
static bool drive(struct session *session, struct stun_slot *slot, uint64_t now_us)
{
    uint8_t buffer[REFLEXIVE_DATAGRAM_CAP];
    struct writer w;
    struct endpoint to;
    struct reflexive_event event;
    bool is_changed = false;
    reflexive_set_refresh(
        slot->reflexive,
        keeper_refresh_us(session->host, reflexive_server(slot->reflexive), now_us), now_us);
    for (writer_init(&w, buffer, sizeof(buffer));
         reflexive_transmit(slot->reflexive, &w, &to, now_us) == ERR_OK;
         writer_init(&w, buffer, sizeof(buffer)))
        host_send(session->host, &to, buffer, w.len);
    while (reflexive_next_event(slot->reflexive, &event)) {
        report(session, slot, &event);
        if (event.type != REFLEXIVE_LOST && session->is_own &&
            slot == &session->stun.slots[STUN_IPV4])
            nat_on_public(session->host, reflexive_server(slot->reflexive), &event.endpoint,
                          now_us);
        if (event.type == REFLEXIVE_FOUND) {
            is_changed =
                slot->public.port != 0 && !endpoint_is_equal(&slot->public, &event.endpoint);
            if (!is_changed)
                slot->public = event.endpoint;
            if (session->is_own)
                calls_on_news(session->host, now_us);
        }
        if (event.type == REFLEXIVE_CHANGED) {
            portmap_on_public_address(session->host->portmap, now_us);
            is_changed = true;
        }
    }
    return is_changed;
}

static void pump(struct session *session, uint64_t now_us)
{
    struct session_stun *stun = &session->stun;
    uint64_t due_us = stun->again_us;
    bool is_changed[STUN_FAMILIES] = {false};
    for (size_t i = 0; i < STUN_FAMILIES; i++) {
        if (stun->slots[i].reflexive == NULL)
            continue;
        is_changed[i] = drive(session, &stun->slots[i], now_us);
        due_us = deadline_min(due_us, reflexive_deadline(stun->slots[i].reflexive));
    }
    task_set(&session->host->tasks, &stun->task, due_us);
    for (size_t i = 0; i < STUN_FAMILIES; i++) {
        if (is_changed[i])
            on_changed(session, &stun->slots[i], now_us);
    }
}

/* Neither UDP nor the connection may get through any more: whether the latter does is asked. */
static void doubt(struct session *session, uint64_t now_us)
{
    bool is_silent = false;
    for (size_t i = 0; i < STUN_FAMILIES; i++) {
        const struct reflexive *reflexive = session->stun.slots[i].reflexive;
        is_silent |= reflexive != NULL && reflexive_is_silent(reflexive);
    }
    if (!is_silent || session->sa == NULL)
        return;
    ike_sa_check_alive(session->sa);
    session_pump(session, now_us);
}

/* (Re)starts the client of a slot where its server, or the way there, is another one. */
static void watch(struct session *session, struct stun_slot *slot, uint64_t now_us)
{
    struct host *host = session->host;
    const struct endpoint to = {nat64_reach(host, &slot->server.address), slot->server.port};
    if (slot->reflexive != NULL && endpoint_is_equal(reflexive_server(slot->reflexive), &to))
        return;
    reflexive_free(slot->reflexive);
    slot->reflexive = NULL;
    slot->began_us = now_us;
    if (reflexive_new(&to, host->config.keepalive_us, now_us, &slot->reflexive) != ERR_OK) {
        log_error("%s: out of memory for the STUN client", session->zone);
        return;
    }
    if (slot != &session->stun.slots[STUN_IPV4])
        return;
    reflexive_want_ticket(slot->reflexive);
    if (session->is_own)
        nat_on_server(host, &to, now_us);
}

static void watch_at(struct session *session, const struct endpoint *connector, uint64_t now_us)
{
    struct session_stun *stun = &session->stun;
    struct host *host = session->host;
    const enum stun_family family = family_of(host, &connector->address);
    struct stun_slot *slot = &stun->slots[family];
    slot->server.address = nat64_origin(session->host, &connector->address);
    slot->server.port = stun->port != 0 ? stun->port : connector->port;
    watch(session, slot, now_us);
    if (slot->server.address.family == ADDRESS_IPV4 &&
        nat64_has_route(host, &slot->server.address) &&
        (session->is_own || !host->depth.was_measured))
        depth_measure(host, &slot->server.address, now_us);
}

/* ---- the address of the other family ---- */

static bool is_reached(struct host *host, const struct address *address)
{
    const struct address reached = nat64_reach(host, address);
    return nat64_has_route(host, &reached);
}

/* Is there a way into this family's network at all? */
static bool has_way(const struct host *host, enum stun_family family)
{
    if (family == STUN_IPV4 && host->nat64.prefixes.count > 0)
        return true;
    for (size_t i = 0; i < host->local_count; i++) {
        if ((host->locals[i].family == ADDRESS_IPV6) == (family == STUN_IPV6))
            return true;
    }
    return false;
}

static bool is_one_missing(const struct session *session)
{
    for (int i = 0; i < STUN_FAMILIES; i++) {
        if (session->stun.slots[i].server.port == 0 && has_way(session->host, i))
            return true;
    }
    return false;
}

/* Not told, and there may be one: an answer was lost, or came too late. */
static void find_again(struct session_stun *stun, uint64_t now_us)
{
    stun->again_us = now_us + stun->again_wait_us;
    stun->again_wait_us *= 2;
    if (stun->again_wait_us > AGAIN_LAST_US)
        stun->again_wait_us = AGAIN_LAST_US;
}

static void on_found(void *context, int error, const struct finder_result *result, const char *why)
{
    struct session *session = context;
    const uint64_t now_us = clock_now_us();
    bool is_seen[STUN_FAMILIES] = {false};
    session->stun.finder = NULL;
    if (error != ERR_OK || strcmp(result->zone, session->zone) != 0) {
        find_again(&session->stun, now_us);
        pump(session, now_us);
        return;
    }
    for (size_t i = 0; i < result->connector_count; i++) {
        const struct endpoint *connector = &result->connectors[i];
        const enum stun_family family = family_of(session->host, &connector->address);
        if (family == main_family(session) || is_seen[family] ||
            !is_reached(session->host, &connector->address))
            continue;
        is_seen[family] = true;
        watch_at(session, connector, now_us);
    }
    if (is_one_missing(session))
        find_again(&session->stun, now_us);
    pump(session, now_us);
}

static void find_others(struct session *session, uint64_t now_us)
{
    struct session_stun *stun = &session->stun;
    if (!session_is_up(session) || !is_one_missing(session) || stun->finder != NULL) {
        stun->again_us = DEADLINE_NEVER; /* what is under way sets it anew */
        return;
    }
    if (stun->asked_us != 0 && now_us - stun->asked_us < FIND_US)
        return;
    stun->again_us = DEADLINE_NEVER;
    stun->asked_us = now_us;
    const int error =
        session->found_by[0] != '\0'
            ? finder_start_name(session->host, session->found_by, on_found, session, &stun->finder)
            : finder_start_zone(session->host, session->zone, on_found, session, &stun->finder);
    if (error != ERR_OK) {
        log_debug("%s: DNS queries cannot be sent", session->zone);
        find_again(stun, now_us);
    }
}

static void on_task(struct task *task, uint64_t now_us)
{
    struct session *session = CONTAINER_OF(task, struct session, stun.task);
    if (session->stun.again_us <= now_us) {
        session->stun.asked_us = 0;
        find_others(session, now_us);
    }
    for (size_t i = 0; i < STUN_FAMILIES; i++) {
        struct reflexive *reflexive = session->stun.slots[i].reflexive;
        if (reflexive == NULL)
            continue;
        if (session->is_own && reflexive_endpoint(reflexive) != NULL &&
            reflexive_deadline(reflexive) <= now_us)
            keeper_on_due(session->host, reflexive_server(reflexive)->address.family, now_us);
        reflexive_expire(reflexive, now_us);
    }
    pump(session, now_us);
    doubt(session, now_us);
}

void session_stun_init(struct session *session)
{
    session->stun.task.run = on_task;
    session->stun.again_us = DEADLINE_NEVER;
    session->stun.again_wait_us = AGAIN_FIRST_US;
}

void session_stun_done(struct session *session)
{
    struct session_stun *stun = &session->stun;
    finder_cancel(stun->finder);
    task_clear(&session->host->tasks, &stun->task);
    for (size_t i = 0; i < STUN_FAMILIES; i++)
        reflexive_free(stun->slots[i].reflexive);
}

void session_stun_start(struct session *session, uint16_t port, uint64_t now_us)
{
    struct session_stun *stun = &session->stun;
    const enum stun_family family = main_family(session);
    stun->port = port;
    stun->asked_us = 0;
    stun->again_wait_us = AGAIN_FIRST_US;
    for (int i = 0; i < STUN_FAMILIES; i++) {
        if (i != (int)family) /* the connector may have moved: found anew, kept meanwhile */
            stun->slots[i].server.port = 0;
    }
    if (family != STUN_FAMILIES)
        watch_at(session, &session->connector, now_us);
    find_others(session, now_us);
    pump(session, now_us);
}

void session_stun_refresh(struct session *session, uint64_t now_us)
{
    struct session_stun *stun = &session->stun;
    for (size_t i = 0; i < STUN_FAMILIES; i++) {
        if (stun->slots[i].reflexive == NULL)
            continue;
        if (stun->slots[i].server.port != 0)
            watch(session, &stun->slots[i], now_us);
        if (stun->slots[i].reflexive != NULL)
            reflexive_refresh(stun->slots[i].reflexive, now_us);
    }
    if (session_is_up(session))
        find_others(session, now_us);
    pump(session, now_us);
}

/* ---- what others ask ---- */

/* IPv4 first: there is a NAT to be found out about. */
int session_stun_server(const struct session *session, struct endpoint *ret_server)
{
    for (size_t i = 0; i < STUN_FAMILIES; i++) {
        if (session->stun.slots[i].reflexive != NULL) {
            *ret_server = *reflexive_server(session->stun.slots[i].reflexive);
            return ERR_OK;
        }
    }
    if (main_family(session) == STUN_FAMILIES)
        return ERR_NOT_FOUND;
    *ret_server = session->connector; /* not logged in yet: UDP is beside TCP as a rule */
    return ERR_OK;
}

bool session_stun_view(const struct session *session, uint8_t family, struct endpoint *ret_server,
                       struct endpoint *ret_public)
{
    const struct reflexive *reflexive =
        session->stun.slots[family == ADDRESS_IPV6 ? STUN_IPV6 : STUN_IPV4].reflexive;
    const struct endpoint *seen = reflexive != NULL ? reflexive_endpoint(reflexive) : NULL;
    if (seen == NULL || reflexive_server(reflexive)->address.family != family)
        return false;
    *ret_server = *reflexive_server(reflexive);
    *ret_public = *seen;
    return true;
}

void session_stun_prove(const struct session *session, struct candidate_list *list)
{
    const struct reflexive *reflexive = session->stun.slots[STUN_IPV4].reflexive;
    size_t len;
    const uint8_t *ticket = reflexive != NULL ? reflexive_ticket(reflexive, &len) : NULL;
    list->proof_len = 0;
    if (ticket == NULL || list->count == 0 || len > sizeof(list->proof))
        return;
    memcpy(list->proof, ticket, len);
    list->proof_len = (uint8_t)len;
}

int sessions_on_stun(struct host *host, const uint8_t *data, size_t len,
                     const struct endpoint *from, uint64_t now_us)
{
    for (struct session *session = host->sessions; session != NULL; session = session->next) {
        for (size_t i = 0; i < STUN_FAMILIES; i++) {
            struct reflexive *reflexive = session->stun.slots[i].reflexive;
            if (reflexive == NULL)
                continue;
            int error = reflexive_receive(reflexive, data, len, from, now_us);
            if (error != ERR_NOT_FOUND) {
                pump(session, now_us);
                return error;
            }
        }
    }
    return ERR_NOT_FOUND;
}

static bool is_in(const struct endpoint *endpoints, size_t count, const struct endpoint *wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (endpoint_is_equal(&endpoints[i], wanted))
            return true;
    }
    return false;
}

size_t sessions_reflexive(const struct host *host, struct endpoint *ret_endpoints, size_t cap)
{
    size_t count = 0;
    /* What the own zone's connector sees goes first: guests' connectors are strangers. */
    for (int is_own = 1; is_own >= 0; is_own--) {
        for (struct session *session = host->sessions; session != NULL; session = session->next) {
            for (size_t i = 0; i < STUN_FAMILIES && session->is_own == (is_own == 1); i++) {
                const struct reflexive *reflexive = session->stun.slots[i].reflexive;
                const struct endpoint *endpoint =
                    reflexive != NULL ? reflexive_endpoint(reflexive) : NULL;
                if (endpoint != NULL && count < cap && !is_in(ret_endpoints, count, endpoint))
                    ret_endpoints[count++] = *endpoint;
            }
        }
    }
    return count;
}

bool sessions_expect_ipv4(const struct host *host)
{
    const struct session *session = session_own(host);
    if (session == NULL || !session_is_up(session))
        return false;
    const struct stun_slot *slot = &session->stun.slots[STUN_IPV4];
    if (slot->reflexive == NULL)
        return session->stun.finder != NULL &&
               (has_way(host, STUN_IPV4) || host->nat64.lookup != NULL);
    return reflexive_endpoint(slot->reflexive) == NULL &&
           clock_now_us() - slot->began_us < DOUBT_US;
}

enum punch_ipv6 sessions_ipv6(const struct host *host)
{
    const uint64_t now_us = clock_now_us();
    enum punch_ipv6 ipv6 = PUNCH_IPV6_UNKNOWN;
    for (struct session *session = host->sessions; session != NULL; session = session->next) {
        const struct stun_slot *slot = &session->stun.slots[STUN_IPV6];
        if (slot->reflexive != NULL && reflexive_endpoint(slot->reflexive) != NULL)
            return PUNCH_IPV6_PROVEN;
        if (slot->reflexive != NULL && now_us - slot->began_us > DOUBT_US)
            ipv6 = PUNCH_IPV6_BROKEN;
    }
    return ipv6;
}
