/* One session a zone: the login engine decides, session_stream.c carries, session_stun.c watches.
 */
#include "host/session_internal.h"

#include "crypto/memory.h"
#include "host/call.h"
#include "host/claim.h"
#include "io/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS_MAX 32
/* While applications use tunnels, or calls are made, a connector that has been silent for so long
 * is asked whether it is there; and for so long after that. */
#define BUSY_SILENCE_US (3 * SECOND_US)
#define BUSY_US         (30 * SECOND_US)

struct host *session_host(const struct session *session)
{
    return session->host;
}

const char *session_zone(const struct session *session)
{
    return session->zone;
}

bool session_is_up(const struct session *session)
{
    return login_client_state(session->login) == LOGIN_UP;
}

bool session_is_own(const struct session *session)
{
    return session->is_own;
}

struct login_client *session_login(struct session *session)
{
    return session->login;
}

const struct endpoint *session_connector(const struct session *session)
{
    return &session->connector;
}

const struct endpoint *session_remote(const struct session *session)
{
    if (session->carrier != NULL)
        return &carrier_target(session->carrier)->connect;
    return session->connector.port != 0 ? &session->connector : NULL;
}

const char *session_way(const struct session *session, char ret_text[DIAL_TEXT_CAP])
{
    ret_text[0] = '\0';
    return session->carrier != NULL ? dial_format(session->dial, ret_text) : ret_text;
}

uint64_t session_since_us(const struct session *session)
{
    return session->since_us;
}

uint64_t session_round_trip_us(const struct session *session)
{
    return session->sa != NULL ? ike_sa_round_trip_us(session->sa) : 0;
}

const char *session_error(const struct session *session)
{
    return session->error;
}

const struct public_key *session_key(const struct session *session)
{
    return session->sa != NULL ? ike_sa_peer_key(session->sa) : NULL;
}

struct session *sessions_first(const struct host *host)
{
    return host->sessions;
}

struct session *session_next(const struct session *session)
{
    return session->next;
}

struct session *session_own(const struct host *host)
{
    struct session *session = host->sessions;
    while (session != NULL && !session->is_own)
        session = session->next;
    return session;
}

struct session *session_find(struct host *host, const char *zone)
{
    for (struct session *session = host->sessions; session != NULL; session = session->next) {
        if (strcmp(session->zone, zone) == 0)
            return session;
    }
    return NULL;
}

static void free_session(struct session *session)
{
    struct host *host = session->host;
    struct session **link = &host->sessions;
    while (*link != session)
        link = &(*link)->next;
    *link = session->next;
    session_disconnect(session);
    task_clear(&host->tasks, &session->seek_task);
    task_clear(&host->tasks, &session->task);
    finder_cancel(session->finder);
    dial_free(session->dial);
    session_stun_done(session);
    login_client_free(session->login);
    ike_profile_free(session->profile);
    ike_resumption_free(session->resumption);
    free(session);
}

static void on_task(struct task *task, uint64_t now_us)
{
    struct session *session = CONTAINER_OF(task, struct session, task);
    login_client_expire(session->login, now_us);
    if (session->sa != NULL && ike_sa_deadline(session->sa) <= now_us)
        ike_sa_expire(session->sa, now_us);
    session_pump(session, now_us);
}

/* ---- what the login engine wants ---- */

static void take_found(struct session *session, const struct finder_result *found)
{
    memcpy(session->found, found->connectors, sizeof(session->found));
    session->found_count = found->connector_count;
    session->connector = found->connectors[0];
    session->has_dns_key = found->has_key;
    session->dns_key = found->key;
}

static void on_connector_found(void *context, int error, const struct finder_result *result,
                               const char *why)
{
    struct session *session = context;
    uint64_t now_us = clock_now_us();
    session->finder = NULL;
    if (error == ERR_OK && strcmp(result->zone, session->zone) != 0) {
        error = ERR_NOT_FOUND;
        why = "DNS now names another zone for its hosts";
    }
    if (login_client_state(session->login) != LOGIN_CONNECTING && !session->is_seeking)
        return; /* up by what was known before */
    if (error == ERR_OK) {
        const bool is_first = session->connector.port == 0;
        session->has_dns_key = result->has_key;
        session->dns_key = result->key;
        if (is_first)
            session->connector = result->connectors[0];
        dial_add(session->dial, result->connectors, result->connector_count, now_us);
    } else if (session->connector.port != 0) {
        dial_add(session->dial, &session->connector, 1, now_us);
    }
    dial_complete(session->dial, error != ERR_OK ? why : NULL, now_us);
}

/* DNS is asked anew for each connection: connectors move. But a session that was lost is sought
 * where it was, too, and meanwhile: the connector may be what answers for its zone in DNS. Where no
 * key is pinned, the one that DNS has now is waited for. A foreign zone is found as at first, by a
 * name in it. */
void session_search(struct session *session, uint64_t now_us)
{
    struct host *host = session->host;
    finder_cancel(session->finder);
    session->finder = NULL;
    dial_start(session->dial, now_us);
    const bool is_found = session->found_count > 0;
    if (is_found)
        dial_add(session->dial, session->found, session->found_count, now_us);
    else if (session->connector.port != 0 && (session->is_configured || session_is_pinned(session)))
        dial_add(session->dial, &session->connector, 1, now_us);
    else
        session->has_dns_key = false;
    if (session->is_configured || is_found) {
        session->found_count = 0;
        dial_complete(session->dial, NULL, now_us);
        return;
    }
    int error =
        session->found_by[0] != '\0'
            ? finder_start_name(host, session->found_by, on_connector_found, session,
                                &session->finder)
            : finder_start_zone(host, session->zone, on_connector_found, session, &session->finder);
    if (error != ERR_OK)
        dial_complete(session->dial, "DNS queries cannot be sent", now_us);
}

static void on_connect(struct session *session, uint64_t now_us)
{
    if (session_seek_adopt(session))
        return; /* the race is won already */
    session_disconnect(session);
    session_search(session, now_us);
}

static void on_done(struct session *session, const struct notify_name *name, uint64_t now_us)
{
    struct host *host = session->host;
    char key[PUBLIC_KEY_TEXT_CAP];
    session->error[0] = '\0';
    session->since_us = now_us;
    if (session->is_own) {
        bool is_changed = strcmp(host->name, name->name) != 0 || host->is_static != name->is_static;
        strcpy(host->name, name->name);
        host->is_static = name->is_static;
        if (is_changed || !session->was_up)
            log_info("logged in at %s as %s (%s name, lease %u s)", session->zone, name->name,
                     name->is_static ? "static" : "dynamic", name->lease_s);
        if (host->config.name[0] != '\0' && strcmp(host->config.name, name->name) != 0 &&
            !session->was_up)
            log_warn("%s: the connector gave another name than the configured %s, which is not "
                     "bound to this host's key; there: detec host add %s %s",
                     session->zone, host->config.name, host->config.name,
                     public_key_format(identity_public(host->identity), key));
        session->was_up = true;
        vouch_on_session_up(host, now_us);
    } else {
        log_info("%s: connected as a guest", session->zone);
    }
    session_stun_start(session, name->stun_port, now_us);
    call_on_session_up(session, now_us);
}

static void on_refused(struct session *session, const struct notify_name *name, uint64_t now_us)
{
    session_note_error(session, "login refused: %s%s%s", name_result_text(name->result),
                       name->reason[0] != '\0' ? ": " : "", name->reason);
    call_on_session_failed(session, session->error, now_us);
}

static void on_login_event(struct session *session, const struct login_event *event,
                           uint64_t now_us)
{
    switch (event->type) {
    case LOGIN_CONNECT:
        on_connect(session, now_us);
        break;
    case LOGIN_SEND:
        if (session->sa != NULL && ike_sa_send_notify(session->sa, event->send.type,
                                                      event->send.data, event->send.len) != ERR_OK)
            log_warn("%s: message to its connector lost: too many are waiting", session->zone);
        break;
    case LOGIN_KEEPALIVE:
        if (session->sa != NULL)
            ike_sa_check_alive(session->sa);
        break;
    case LOGIN_CLOSE:
        finder_cancel(session->finder);
        session->finder = NULL;
        session_disconnect(session);
        break;
    case LOGIN_DONE:
        on_done(session, &event->name, now_us);
        break;
    case LOGIN_REFUSED:
        on_refused(session, &event->name, now_us);
        break;
    case LOGIN_CALL:
        call_on_call(session, &event->call, now_us);
        break;
    case LOGIN_ANSWER:
        call_on_answer(session, &event->answer, now_us);
        break;
    case LOGIN_RELAY:
        call_on_relay(session, &event->relay, now_us);
        break;
    case LOGIN_KEY:
        call_on_key(session, &event->key, now_us);
        break;
    case LOGIN_VOUCHER:
        vouch_take(session, &event->vouched, now_us);
        break;
    case LOGIN_DOWN:
        session->was_up = false;
        call_on_session_lost(session, now_us);
        if (session->is_own && !session->host->is_stopping)
            log_warn("%s: session with the connector lost; trying again", session->zone);
        break;
    }
}

void sessions_on_activity(struct host *host, uint64_t now_us)
{
    const bool was_busy = now_us < host->busy_until_us;
    host->busy_until_us = now_us + BUSY_US;
    for (struct session *session = was_busy ? NULL : host->sessions; session != NULL;
         session = session->next)
        task_set(&host->tasks, &session->task, now_us);
}

void session_pump(struct session *session, uint64_t now_us)
{
    const struct login_event *borrowed;
    if (session->is_pumping)
        return; /* the one further up goes on */
    session->is_pumping = true;
    do {
        session_drive_sa(session, now_us);
        while ((borrowed = login_client_next_event(session->login)) != NULL) {
            struct login_event event = *borrowed; /* handlers call the client again */
            uint8_t data[NOTIFY_LEN_MAX];
            if (event.type == LOGIN_SEND) {
                memcpy(data, event.send.data, event.send.len);
                event.send.data = data;
            }
            on_login_event(session, &event, now_us);
            crypto_wipe(&event, sizeof(event)); /* credentials of calls */
            crypto_wipe(data, sizeof(data));
        }
    } while (session_drive_sa(session, now_us));
    session->is_pumping = false;
    uint64_t due_us = login_client_deadline(session->login);
    if (session->sa != NULL) {
        const bool is_busy = now_us < session->host->busy_until_us;
        ike_sa_set_liveness(session->sa, is_busy ? BUSY_SILENCE_US : 0);
        due_us = deadline_min(due_us, ike_sa_deadline(session->sa));
    }
    task_set(&session->host->tasks, &session->task, due_us);
    session_seek_watch(session, now_us);
}

void session_hurry_waiting(struct session *session, uint64_t now_us)
{
    dial_add_early(session->dial, now_us);
}

/* ---- making and ending ---- */

static int make(struct host *host, const char *zone, bool is_own, uint64_t now_us,
                struct session **ret_session)
{
    struct login_config config = {.is_guest = !is_own,
                                  .wants_relay = host->config.relay != RELAY_MODE_NO,
                                  .port = host->config.port};
    struct session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return ERR_NOMEM;
    if (is_own) {
        strcpy(config.name, host->config.name);
        config.has_mac = host->config.has_mac;
        memcpy(config.mac, host->config.mac, sizeof(config.mac));
        uint64_t lease_s = host->config.lease_us / SECOND_US;
        config.lease_s = lease_s > UINT16_MAX ? UINT16_MAX : (uint16_t)lease_s;
        for (size_t i = 0; i < host->local_count && i < NOTIFY_ADDRESS_MAX; i++)
            config.addresses[config.address_count++] = host->locals[i];
    }
    session->host = host;
    session->id = ++host->session_next;
    session->is_own = is_own;
    strcpy(session->zone, zone);
    session->task.run = on_task;
    session_stun_init(session);
    int error = dial_new(session, &session->dial);
    if (error == ERR_OK)
        error = login_client_new(&config, now_us, &session->login);
    if (error != ERR_OK) {
        free(session->dial);
        free(session);
        return error;
    }
    session->next = host->sessions;
    host->sessions = session;
    *ret_session = session;
    return ERR_OK;
}

int session_start_own(struct host *host)
{
    struct session *session;
    uint64_t now_us = clock_now_us();
    int error = make(host, host->config.zone, true, now_us, &session);
    if (error != ERR_OK)
        return error;
    session->is_configured = host->config.connector.port != 0;
    session->connector = host->config.connector;
    session_pump(session, now_us);
    return ERR_OK;
}

/* Guests that sleep make room for new zones. */
static bool make_room(struct host *host)
{
    size_t count = 0;
    struct session *asleep = NULL;
    for (struct session *session = host->sessions; session != NULL; session = session->next) {
        count++;
        if (!session->is_own && login_client_state(session->login) == LOGIN_ASLEEP &&
            !session->is_pumping && !call_uses_session(session) && !claim_uses_session(session))
            asleep = session;
    }
    if (count < SESSIONS_MAX)
        return true;
    if (asleep == NULL)
        return false;
    free_session(asleep);
    return true;
}

int session_get(struct host *host, const char *name, const struct finder_result *found,
                struct session **ret_session)
{
    struct session *session = session_find(host, found->zone);
    if (session == NULL) {
        if (!make_room(host))
            return ERR_LIMIT;
        int error = make(host, found->zone, false, clock_now_us(), &session);
        if (error != ERR_OK)
            return error;
        strcpy(session->found_by, name);
        take_found(session, found);
    }
    *ret_session = session;
    return ERR_OK;
}

void sessions_close(struct host *host, uint64_t now_us)
{
    for (struct session *session = host->sessions; session != NULL; session = session->next) {
        login_client_stop(session->login);
        session_pump(session, now_us);
    }
}

bool sessions_are_closed(const struct host *host)
{
    for (struct session *session = host->sessions; session != NULL; session = session->next) {
        if (session->carrier != NULL)
            return false;
    }
    return true;
}

void sessions_free(struct host *host)
{
    while (host->sessions != NULL)
        free_session(host->sessions);
}

void session_on_route(struct session *session, const struct address *source, uint64_t now_us)
{
    if (!session_is_bound_to(session, source)) {
        dial_forget(session->dial);
        session_reconnect(session, "this host's address has changed", now_us);
    } else if (session->carrier == NULL)
        login_client_hurry(session->login, now_us);
    session_stun_refresh(session, now_us);
    session_pump(session, now_us);
}

void session_on_no_route(struct session *session, uint64_t now_us)
{
    if (session->carrier != NULL) {
        dial_forget(session->dial);
        session_reconnect(session, "there is no way to it any more", now_us);
    }
    session_stun_refresh(session, now_us);
    session_pump(session, now_us);
}

void sessions_check(struct host *host, uint64_t now_us)
{
    for (struct session *session = host->sessions; session != NULL; session = session->next) {
        session_stun_refresh(session, now_us);
        if (session->sa != NULL)
            ike_sa_check_alive(session->sa);
        session_pump(session, now_us);
    }
}

void sessions_on_addresses(struct host *host, uint64_t now_us)
{
    for (struct session *session = host->sessions; session != NULL; session = session->next) {
        login_client_set_addresses(session->login, host->locals, host->local_count, now_us);
        login_client_hurry(session->login, now_us);
        session_stun_refresh(session, now_us);
        session_pump(session, now_us);
    }
}
