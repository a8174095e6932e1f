/* Acting on the registry's events. */
#include "connector/records.h"

#include <string.h>

#include "connector/session.h"

#define BURST    30
#define BURST_US (60 * SECOND_US)

static bool may_tell(struct connector *connector, uint64_t now_us)
{
    return log_limit_is_open(&connector->refusal_log, now_us, BURST, BURST_US, NULL);
}

/* Says in the log why a host gets no name: its user will ask. */
static void tell_refusal(struct connector *connector, const struct registry_event *event,
                         uint64_t now_us)
{
    struct notify_name name;
    char key[PUBLIC_KEY_TEXT_CAP] = "unknown", from[ENDPOINT_TEXT_CAP] = "unknown";
    if (notify_parse_name(event->send.data, event->send.len, &name) != ERR_OK ||
        name.result == NAME_OK || name.result == NAME_GUEST || !may_tell(connector, now_us))
        return;
    const struct public_key *peer = session_key(connector, event->session);
    const struct endpoint *remote = session_remote(connector, event->session);
    if (peer != NULL)
        public_key_format(peer, key);
    if (remote != NULL)
        endpoint_format(remote, from, sizeof from);
    if (name.result == NAME_REPLACED)
        log_info("session of %s: replaced by a newer log-in of the same key %s", from, key);
    else
        log_warn(
            "log-in from %s refused: %s; its key is %s (`detec host add NAME KEY` binds a name)",
            from, name.reason, key);
}

static void publish(struct connector *connector, const struct registry_event *event,
                    uint64_t now_us)
{
    const char *name = event->record.name;
    struct public_key key;
    struct registry_host_info info;
    char from[ENDPOINT_TEXT_CAP] = "unknown";
    memcpy(key.bytes, event->record.key, sizeof key.bytes);
    int error = zone_add_host(connector->zone, name, &key, event->record.is_static);
    if (error == ERR_EXISTS) {
        /* The name has gone over to another key. */
        error = zone_remove_host(connector->zone, name);
        if (error == ERR_OK)
            error = zone_add_host(connector->zone, name, &key, event->record.is_static);
    }
    if (error != ERR_OK) {
        log_error("%s: logged in, but cannot be published: %s", name, error_text(error));
        return;
    }
    if (registry_find(connector->registry, name, &info) == ERR_OK && info.is_online) {
        const struct endpoint *remote = session_remote(connector, info.session);
        if (remote != NULL)
            endpoint_format(remote, from, sizeof from);
    }
    log_info("%s: logged in from %s (%s name)", name, from,
             event->record.is_static ? "static" : "dynamic");
}

static void withdraw(struct connector *connector, const char *name)
{
    if (zone_remove_host(connector->zone, name) == ERR_OK)
        log_info("%s: logged out", name);
}

static void tell_relay(struct connector *connector, const struct relay_end *end, bool is_closed)
{
    const struct notify_relay notify = {
        .is_closed = is_closed,
        .number = end->number,
        .channel = end->channel,
        .rate = is_closed ? 0 : relay_get_config(connector->relay)->rate,
        .len_max = is_closed ? 0 : RELAY_LEN_MAX,
    };
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    writer_init(&w, buffer, sizeof buffer);
    notify_build_relay(&w, &notify);
    if (writer_is_ok(&w))
        session_send(connector, end->session, NOTIFY_RELAY, buffer, w.len);
}

static void open_relay(struct connector *connector, const struct registry_event *event,
                       uint64_t now_us)
{
    struct relay_end caller = {.session = event->session, .number = event->relay.number};
    struct relay_end called = {.session = event->relay.called,
                               .number = event->relay.called_number};
    const struct endpoint *from = session_remote(connector, caller.session);
    const struct endpoint *at = session_remote(connector, called.session);
    if (from == NULL || at == NULL)
        return;
    caller.address = from->address;
    called.address = at->address;
    const int error = relay_open(connector->relay, &caller, &called, now_us);
    if (error != ERR_OK) {
        log_debug("no relay channel for a call: %s", error_text(error));
        return;
    }
    tell_relay(connector, &caller, false);
    tell_relay(connector, &called, false);
}

bool records_drain(struct connector *connector, uint64_t now_us)
{
    const struct registry_event *event;
    struct relay_end closed;
    bool has_done = false;
    while (relay_next_closed(connector->relay, &closed)) {
        has_done = true;
        tell_relay(connector, &closed, true);
    }
    while ((event = registry_next_event(connector->registry)) != NULL) {
        has_done = true;
        switch (event->type) {
        case REGISTRY_SEND:
            if (event->send.type == NOTIFY_NAME)
                tell_refusal(connector, event, now_us);
            session_send(connector, event->session, event->send.type, event->send.data,
                         event->send.len);
            break;
        case REGISTRY_CLOSE:
            session_close(connector, event->session, now_us);
            break;
        case REGISTRY_RELAY:
            open_relay(connector, event, now_us);
            break;
        case REGISTRY_PUBLISH:
            publish(connector, event, now_us);
            break;
        case REGISTRY_WITHDRAW:
            withdraw(connector, event->record.name);
            break;
        }
    }
    return has_done;
}
