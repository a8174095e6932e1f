/* A session's connection: the carrier that the race has brought forth, and the IKE SA in it. */
#include "host/session_internal.h"

#include "crypto/memory.h"
#include "host/call.h"
#include "host/relay.h"
#include "ike/ticket.h"
#include "io/clock.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITE_QUEUE_MAX ((size_t)256 * 1024)
#define RELAY_QUEUE_MAX ((size_t)32 * 1024) /* relayed datagrams wait no longer than this takes */
/* A request that the connector has not answered after this long finds it gone: TCP repeats what is
 * lost, so that only a dead connection is that slow. */
#define REQUEST_TIMEOUT_US (6 * SECOND_US)

void session_note_error(struct session *session, const char *format, ...)
{
    char text[sizeof(session->error)];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (strcmp(text, session->error) != 0)
        log_warn("%s: %s", session->zone, text);
    memcpy(session->error, text, sizeof(text));
}

static void drop_resumption(struct session *session)
{
    ike_resumption_free(session->resumption);
    session->resumption = NULL;
    session->is_resumption_shown = false;
}

/* The connection is gone by itself, or of no more use. */
static void on_lost(struct session *session, const char *why)
{
    const uint64_t now_us = clock_now_us();
    session_seek_stop(session);
    if (session->sa != NULL && ike_sa_state(session->sa) == IKE_STATE_CONNECTING)
        drop_resumption(session); /* in full the next time, in case that was it */
    ike_sa_free(session->sa);
    session->sa = NULL;
    if (dial_go_on(session->dial, why, now_us)) {
        session_let_go(session);
        return;
    }
    session_note_error(session, "connection to its connector: %s", why);
    session_disconnect(session);
    login_client_disconnected(session->login, LOGIN_END_LOST, now_us);
    session_pump(session, now_us);
}

void session_reconnect(struct session *session, const char *why, uint64_t now_us)
{
    if (session->carrier == NULL)
        return;
    on_lost(session, why);
    login_client_hurry(session->login, now_us);
    session_pump(session, now_us);
}

bool session_is_bound_to(const struct session *session, const struct address *source)
{
    struct address local;
    if (session->carrier == NULL)
        return true;
    return carrier_local(session->carrier, &local) == ERR_OK && address_is_equal(&local, source);
}

int session_write_frame(struct session *session, uint32_t channel, const uint8_t *data, size_t len)
{
    if (session->carrier == NULL)
        return ERR_STATE;
    return carrier_write(session->carrier, channel, data, len, RELAY_QUEUE_MAX);
}

static void take_message(struct session *session, const uint8_t *message, size_t len)
{
    struct ike_sa *sa = NULL;
    uint64_t now_us = clock_now_us();
    const struct endpoint remote = carrier_target(session->carrier)->connect;
    int error = ike_table_receive(session->host->ike_tcp, NULL, message, len, &remote, now_us, &sa);
    if (error == ERR_OK && sa == session->sa) {
        login_client_touch(session->login, now_us);
        session_pump(session, now_us);
    }
}

static void on_frame(void *context, uint32_t channel, const uint8_t *data, size_t len)
{
    if (channel == 0)
        take_message(context, data, len);
    else
        relay_receive(context, channel, data, len, clock_now_us());
}

static void on_failed(void *context, const char *why)
{
    on_lost(context, why);
}

/* The race has told that it is ready. */
static void on_ready(void *context)
{
}

static const struct carrier_handler session_handler = {on_ready, on_frame, on_failed};

void session_let_go(struct session *session)
{
    struct carrier *carrier = session->carrier;
    session->carrier = NULL;
    if (carrier != NULL)
        relay_remove_all(session, clock_now_us());
    carrier_close(carrier);
}

/* ---- the race ---- */

bool session_is_pinned(const struct session *session)
{
    struct public_key key;
    enum trust_origin origin;
    return trust_find(session->host->trust, TRUST_CONNECTOR, session->zone, &key, &origin) ==
           ERR_OK;
}

bool session_is_addressed(const struct session *session)
{
    return session->is_configured;
}

/* The key that the connector has to prove: pinned, or at a first contact the one in DNS. */
static int make_profile(struct session *session)
{
    struct host *host = session->host;
    struct ike_config config;
    enum trust_origin origin;
    ike_config_init(&config, host->identity);
    strcpy(config.id, host->config.name);
    config.is_reliable = true;
    config.rekey_ike_us = host->config.rekey_us;
    config.request_timeout_us = REQUEST_TIMEOUT_US;
    config.wants_ticket = true;
    config.sends_early = !session->is_own;
    if (trust_find(host->trust, TRUST_CONNECTOR, session->zone, &config.expected_key, &origin) ==
        ERR_OK) {
        config.has_expected_key = true;
    } else if (session->has_dns_key) {
        config.has_expected_key = true;
        config.expected_key = session->dns_key;
    }
    /* Who the connector was then must be whom we expect now. */
    if (session->resumption != NULL &&
        (!config.has_expected_key ||
         !public_key_is_equal(&config.expected_key, &session->resumption->peer_key)))
        drop_resumption(session);
    ike_profile_free(session->profile);
    session->profile = NULL;
    return ike_profile_new(&config, &session->profile);
}

static int queue_early(void *context, uint16_t type, const void *data, size_t len)
{
    return ike_sa_send_notify(context, type, data, len);
}

int session_make_sa(struct session *session, const struct endpoint *remote, uint64_t now_us,
                    struct ike_sa **ret_sa, struct login_early *ret_early)
{
    struct ike_table *table = session->host->ike_tcp;
    struct login_early early = {0};
    int error = make_profile(session);
    if (error != ERR_OK)
        return error;
    const bool is_resumed = session->resumption != NULL && now_us < session->resumption->expires_us;
    error = is_resumed ? ike_sa_resume(table, session->profile, session->resumption, remote, now_us,
                                       ret_sa)
                       : ike_sa_initiate(table, session->profile, remote, now_us, ret_sa);
    if (error != ERR_OK)
        return error;
    session->is_resumption_shown = session->is_resumption_shown || is_resumed;
    /* At the own zone nobody but a connector with the right key hears of a log-in. */
    if (is_resumed || !session->is_own) {
        if (!session->is_own)
            call_on_session_near(session, now_us);
        early = login_client_send_early(session->login, early, queue_early, *ret_sa, now_us);
    }
    *ret_early = early;
    return ERR_OK;
}

void session_add_early(struct session *session, struct ike_sa *sa, struct login_early *early,
                       uint64_t now_us)
{
    if (early->waiting != 0) /* LOGIN goes first, or not at all */
        *early = login_client_send_early(session->login, *early, queue_early, sa, now_us);
}

void session_on_answered(struct session *session, struct carrier *carrier, struct ike_sa *sa,
                         struct login_early early, const struct endpoint *connector,
                         uint64_t now_us)
{
    carrier_set_handler(carrier, &session_handler, session);
    if (session->is_seeking) {
        session_seek_take(session, carrier, sa, early, now_us);
    } else {
        session->carrier = carrier;
        session->sa = sa;
        session->early = early;
    }
    if (connector != NULL)
        session->connector = *connector;
    session_pump(session, now_us);
    if (session->next_carrier == NULL)
        return;
    session_seek_drop(session); /* a guest's that nobody needs now */
    dial_stop(session->dial);
}

void session_on_unproven(struct session *session, uint64_t now_us)
{
    if (session->carrier != NULL)
        on_lost(session, "no answer to IKE_AUTH");
}

void session_on_unreachable(struct session *session, uint64_t now_us)
{
    if (session->is_seeking) {
        session_seek_lost(session);
        return;
    }
    /* In full the next time, in case that was it; a connector that is just starting anew is not to
     * blame. */
    if (session->is_resumption_shown)
        drop_resumption(session);
    session_note_error(session, "connection to its connector: %s", dial_error(session->dial));
    finder_cancel(session->finder);
    session->finder = NULL;
    session_disconnect(session);
    login_client_disconnected(session->login, LOGIN_END_LOST, now_us);
    session_pump(session, now_us);
}

void session_disconnect(struct session *session)
{
    session_seek_stop(session);
    session_seek_drop(session);
    dial_stop(session->dial);
    if (session->sa != NULL) {
        struct ike_sa *sa = session->sa;
        uint64_t now_us = clock_now_us();
        ike_sa_close(sa, now_us);
        session_drive_sa(session, now_us);
        if (session->sa == sa) /* else what happened meanwhile has freed it */
            ike_sa_free(sa);
        session->sa = NULL;
    }
    session_let_go(session);
}

int session_pin(struct host *host, const char *zone, const struct public_key *key,
                struct trust_verdict *ret_verdict)
{
    char text[PUBLIC_KEY_TEXT_CAP];
    bool is_new = false;
    const int error = trust_pin(host->trust, TRUST_CONNECTOR, zone, key, TRUST_LEVEL_CONNECTOR,
                                (enum trust_level)host->config.accept,
                                (uint64_t)clock_wall_seconds(), ret_verdict, &is_new);
    if (error != ERR_OK || !is_new)
        return error;
    log_warn("%s: first contact with its connector; its key is pinned from now on: %s", zone,
             public_key_format(key, text));
    if (state_save_pin(host, TRUST_CONNECTOR, zone) != ERR_OK)
        log_warn("%s: the key cannot be written down", zone);
    return ERR_OK;
}

/* The connector has proven a key: is it the one that we trust for its zone? */
static void on_established(struct session *session, uint64_t now_us)
{
    struct trust_verdict verdict;
    if (session_pin(session->host, session->zone, ike_sa_peer_key(session->sa), &verdict) !=
        ERR_OK) {
        session_note_error(session, "log-in refused: %s", verdict.message);
        session_disconnect(session);
        login_client_disconnected(session->login, LOGIN_END_REFUSED, now_us);
        return;
    }
    dial_confirm(session->dial, now_us);
    drop_resumption(session);
    session->resumption = ike_sa_take_resumption(session->sa);
    login_client_connected(session->login, session->early, now_us);
}

/* The connector's key is not the one that it had to prove. */
static void note_other_key(struct session *session)
{
    struct public_key key;
    enum trust_origin origin;
    if (trust_find(session->host->trust, TRUST_CONNECTOR, session->zone, &key, &origin) != ERR_OK)
        session_note_error(session, "log-in refused: its connector has another key than the one "
                                    "that DNS gives for the zone");
    else if (origin == TRUST_ORIGIN_CONFIGURATION)
        session_note_error(session,
                           "log-in refused: its connector has another key than the one in %s "
                           "(connector-key)",
                           session->host->config.file);
    else
        session_note_error(session,
                           "log-in refused: its connector has another key than the pinned one; if "
                           "you know why: detec trust --connector %s",
                           session->zone);
}

static void on_sa_closed(struct session *session, const struct ike_event_closed *closed,
                         uint64_t now_us)
{
    bool is_refused = closed->reason == IKE_REASON_PEER_KEY ||
                      closed->reason == IKE_REASON_PEER_NOT_AUTHENTIC ||
                      closed->reason == IKE_REASON_REFUSED_BY_PEER;
    ike_sa_free(session->sa);
    session->sa = NULL;
    if (!closed->was_established)
        drop_resumption(session);
    if (!is_refused && !closed->was_established &&
        dial_go_on(session->dial, closed->text, now_us)) {
        session_let_go(session);
        return;
    }
    if (closed->reason == IKE_REASON_PEER_KEY)
        note_other_key(session);
    else
        session_note_error(session, "its connector: %s", closed->text);
    session_disconnect(session);
    login_client_disconnected(session->login, is_refused ? LOGIN_END_REFUSED : LOGIN_END_LOST,
                              now_us);
    if (is_refused)
        call_on_session_failed(session, session->error, now_us);
}

static bool send_messages(struct session *session, uint64_t now_us)
{
    uint8_t message[IKE_MESSAGE_CAP];
    struct endpoint remote;
    struct writer w;
    bool has_sent = false;
    for (;;) {
        writer_init(&w, message, sizeof(message));
        if (session->sa == NULL || ike_sa_transmit(session->sa, &w, &remote, now_us) != ERR_OK)
            return has_sent;
        has_sent = true;
        if (session->carrier != NULL)
            (void)!carrier_write(session->carrier, 0, message, w.len, WRITE_QUEUE_MAX);
    }
}

bool session_drive_sa(struct session *session, uint64_t now_us)
{
    struct ike_event event;
    bool did_something = send_messages(session, now_us);
    while (session->sa != NULL) {
        ike_sa_next_event(session->sa, &event);
        if (event.type == IKE_EVENT_NONE)
            break;
        did_something = true;
        if (event.type == IKE_EVENT_ESTABLISHED) {
            on_established(session, now_us);
        } else if (event.type == IKE_EVENT_NOTIFY) {
            int error = login_client_notify(session->login, event.notify.type, event.notify.data,
                                            event.notify.len, now_us);
            if (error != ERR_OK)
                log_debug("%s: notify %u ignored: %s", session->zone, event.notify.type,
                          error_text(error));
        } else if (event.type == IKE_EVENT_CLOSED) {
            /* Closed from here: whoever closes frees. */
            if (event.closed.reason == IKE_REASON_CLOSED_HERE)
                return did_something;
            send_messages(session, now_us);
            on_sa_closed(session, &event.closed, now_us);
        }
        send_messages(session, now_us);
    }
    return did_something;
}
