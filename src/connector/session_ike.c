/* What a log-in session carries: IKE messages to and from the engine, and its events to the
 * registry. */
#include "connector/session_internal.h"

#include <string.h>

#define GOODBYE_US (3 * SECOND_US) /* for the answer to our DELETE */

/* Stateless replies (another group wanted, no proposal chosen) go back where the message came from.
 */
static int write_replies(struct session *session)
{
    uint8_t message[IKE_MESSAGE_CAP];
    struct endpoint remote;
    struct writer w;
    for (;;) {
        writer_init(&w, message, sizeof message);
        if (ike_table_transmit(session->connector->ike, &w, &remote) != ERR_OK)
            return ERR_OK;
        const int error = session_write(session, message, w.len);
        if (error != ERR_OK)
            return error;
    }
}

/* Binds a fresh SA to its connection. A message for the SA of another connection is not taken:
 * hosts make a new SA with each connection. */
static bool adopt(struct session *session, struct ike_sa *sa)
{
    if (session->sa == NULL && ike_sa_user(sa) == NULL) {
        ike_sa_set_user(sa, session);
        session->sa = sa;
    }
    return session->sa == sa;
}

void session_take_message(struct session *session, const uint8_t *message, size_t len,
                          uint64_t now_us)
{
    struct connector *connector = session->connector;
    struct ike_sa *sa = NULL;
    /* One SA a connection: who has one gets no other. */
    struct ike_profile *responder = session->sa == NULL ? connector->profile : NULL;
    const int error =
        ike_table_receive(connector->ike, responder, message, len, &session->remote, now_us, &sa);
    const bool is_own = sa != NULL && adopt(session, sa);
    if (is_own)
        session_mark_busy(session);
    else if (sa != NULL && ike_sa_user(sa) != NULL)
        session_mark_busy(ike_sa_user(sa));
    if (write_replies(session) != ERR_OK) {
        session_end(session, false, now_us);
        return;
    }
    if (is_own && session->is_registered && ike_sa_heard_us(sa) == now_us)
        registry_touch(connector->registry, session->number, now_us);
    /* TCP loses and repeats nothing: before it has proven who it is, a peer gets no second chance.
     */
    if (error != ERR_OK && error != ERR_AGAIN && !session->is_registered)
        session_end(session, false, now_us);
    else if (sa != NULL && !is_own)
        session_end(session, false, now_us);
}

/* Writes all that the engine has to say; false when the session has ended by that. */
static bool transmit(struct session *session, uint64_t now_us)
{
    uint8_t message[IKE_MESSAGE_CAP];
    struct endpoint remote;
    struct writer w;
    for (;;) {
        writer_init(&w, message, sizeof message);
        if (ike_sa_transmit(session->sa, &w, &remote, now_us) != ERR_OK)
            return true;
        if (session_write(session, message, w.len) != ERR_OK) {
            session_end(session, false, now_us);
            return false;
        }
    }
}

static void on_established(struct session *session, const struct ike_event_established *event,
                           uint64_t now_us)
{
    struct connector *connector = session->connector;
    deadline_clear(&connector->session_deadlines, &session->deadline);
    const int error =
        registry_session_open(connector->registry, session->number, event->peer_key.bytes, now_us);
    if (error == ERR_OK) {
        registry_session_observed(connector->registry, session->number, &session->remote.address);
        session->is_registered = true;
        connector->resumed_count += event->is_resumed;
        session_trust(session);
        return;
    }
    log_debug("session %llu: not taken: %s", (unsigned long long)session->number,
              error_text(error));
    session_close(connector, session->number, now_us);
}

static void to_row(const struct database_host *host, struct registry_static *ret_row)
{
    memset(ret_row, 0, sizeof *ret_row);
    memcpy(ret_row->name, host->name, sizeof ret_row->name);
    memcpy(ret_row->key, host->key.bytes, sizeof ret_row->key);
    ret_row->has_mac = host->has_mac;
    memcpy(ret_row->mac, host->mac, sizeof ret_row->mac);
}

/* Told once a minute at most: every log-in meets it. */
static void tell_database(struct connector *connector, uint64_t now_us)
{
    if (!log_limit_is_open(&connector->database_log, now_us, 1, 60 * SECOND_US, NULL))
        return;
    log_error("host database %s: cannot be read: %s; log-ins are refused until it can, `detec host "
              "list` tells when",
              connector->config.database,
              connector->database != NULL ? database_error_text(connector->database)
                                          : "it was removed, replaced or damaged");
}

int session_find_static(void *context, const char *name, struct registry_static *ret_row)
{
    struct connector *connector = context;
    struct database_host host;
    int error = connector->database == NULL || connector->is_database_suspect
                    ? ERR_IO
                    : database_find_name(connector->database, name, &host);
    if (error == ERR_OK)
        to_row(&host, ret_row);
    else if (error != ERR_NOT_FOUND)
        tell_database(connector, connector->now_us);
    return error;
}

static void on_notify(struct session *session, const struct ike_event_notify *event,
                      uint64_t now_us)
{
    struct connector *connector = session->connector;
    struct registry_static row;
    struct database_host host;
    const struct registry_static *found = NULL;
    if (!session->is_registered)
        return;
    connector->is_database_suspect = false;
    connector->now_us = now_us;
    if (event->type == NOTIFY_LOGIN) {
        int error =
            connector->database == NULL
                ? ERR_IO
                : database_find_key(connector->database, ike_sa_peer_key(session->sa), &host);
        /* A key whose row cannot be read might be a static host's: no name is right for it, and
         * session_find_static says so to the registry. */
        connector->is_database_suspect = error != ERR_OK && error != ERR_NOT_FOUND;
        if (error == ERR_OK) {
            to_row(&host, &row);
            found = &row;
        }
    }
    const int error = registry_notify(connector->registry, session->number, event->type,
                                      event->data, event->len, found, now_us);
    connector->is_database_suspect = false;
    if (error != ERR_OK)
        log_debug("session %llu: notify %u ignored: %s", (unsigned long long)session->number,
                  event->type, error_text(error));
}

static void on_closed(struct session *session, const struct ike_event_closed *event,
                      uint64_t now_us)
{
    char text[ENDPOINT_TEXT_CAP];
    if (!session->is_closing)
        log_debug("session of %s: %s", endpoint_format(&session->remote, text, sizeof text),
                  event->text);
    const bool is_logout = event->reason == IKE_REASON_CLOSED_BY_PEER;
    /* A refusal or the answer to its DELETE may be due. */
    if (transmit(session, now_us))
        session_end(session, is_logout, now_us);
}

void session_drive(struct session *session, uint64_t now_us)
{
    struct ike_event event;
    while (!session->is_ended && session->sa != NULL) {
        if (!transmit(session, now_us))
            return;
        ike_sa_next_event(session->sa, &event);
        switch (event.type) {
        case IKE_EVENT_ESTABLISHED:
            on_established(session, &event.established, now_us);
            break;
        case IKE_EVENT_NOTIFY:
            on_notify(session, &event.notify, now_us);
            break;
        case IKE_EVENT_CLOSED:
            on_closed(session, &event.closed, now_us);
            return;
        case IKE_EVENT_NONE:
            return;
        case IKE_EVENT_CHILD_READY:  /* sessions are childless */
        case IKE_EVENT_PATH_CHANGED: /* nor do they move */
        case IKE_EVENT_MOVE_FAILED:
        case IKE_EVENT_CHILD_OUTBOUND:
        case IKE_EVENT_CHILD_CLOSED:
            break;
        }
    }
}

void session_send(struct connector *connector, uint64_t number, uint16_t type, const uint8_t *data,
                  size_t len)
{
    struct session *session = session_find(connector, number);
    if (session == NULL || session->sa == NULL)
        return;
    const int error = ike_sa_send_notify(session->sa, type, data, len);
    if (error != ERR_OK)
        log_debug("session %llu: notify %u not sent: %s", (unsigned long long)number, type,
                  error_text(error));
    session_mark_busy(session);
}

void session_close(struct connector *connector, uint64_t number, uint64_t now_us)
{
    struct session *session = session_find(connector, number);
    if (session == NULL || session->is_closing)
        return;
    session->is_closing = true;
    session->is_registered = false;
    /* What was queued before goes first. */
    if (session->sa != NULL && !transmit(session, now_us))
        return;
    if (session->sa == NULL || deadline_set(&connector->session_deadlines, &session->deadline,
                                            now_us + GOODBYE_US) != ERR_OK) {
        session_end(session, false, now_us);
        return;
    }
    ike_sa_close(session->sa, now_us);
    session_mark_busy(session);
}

void sessions_close(struct connector *connector, uint64_t now_us)
{
    struct map_node *node = map_walk(&connector->sessions, NULL);
    while (node != NULL) {
        struct map_node *next = map_walk(&connector->sessions, node);
        session_close(connector, CONTAINER_OF(node, struct session, node)->number, now_us);
        node = next;
    }
}
