/* The registry's queue towards its owner. */
#include "login/registry_internal.h"

#include "crypto/memory.h"
#include <stdlib.h>
#include <string.h>

struct registry_node {
    struct registry_node *next;
    size_t data_len;
    struct registry_event event;
    uint8_t data[]; /* notify, or name and its NUL */
};

static struct registry_event *emit(struct registry *registry, enum registry_event_type type,
                                   uint64_t session, const void *data, size_t len)
{
    struct registry_node *node = calloc(1, sizeof *node + len);
    if (node == NULL) {
        registry->counters.dropped++;
        return NULL;
    }
    node->event.type = type;
    node->event.session = session;
    node->data_len = len;
    if (len > 0)
        memcpy(node->data, data, len);
    *registry->events_end = node;
    registry->events_end = &node->next;
    return &node->event;
}

static const uint8_t *data_of(struct registry_event *event)
{
    return CONTAINER_OF(event, struct registry_node, event)->data;
}

void registry_emit_send(struct registry *registry, const struct session *session, uint16_t type,
                        const struct writer *w)
{
    if (!writer_is_ok(w)) {
        registry->counters.dropped++;
        return;
    }
    struct registry_event *event = emit(registry, REGISTRY_SEND, session->id, w->base, w->len);
    if (event == NULL)
        return;
    event->send.type = type;
    event->send.len = (uint16_t)w->len;
    event->send.data = data_of(event);
}

void registry_emit_close(struct registry *registry, const struct session *session,
                         enum registry_close reason)
{
    struct registry_event *event = emit(registry, REGISTRY_CLOSE, session->id, NULL, 0);
    if (event != NULL)
        event->close = reason;
}

void registry_emit_relay(struct registry *registry, const struct call *call)
{
    struct registry_event *event = emit(registry, REGISTRY_RELAY, call->caller, NULL, 0);
    if (event == NULL)
        return;
    event->relay.number = call->caller_number;
    event->relay.called = call->called;
    event->relay.called_number = call->number;
}

static void emit_record(struct registry *registry, enum registry_event_type type, const char *name,
                        const struct host *host)
{
    struct registry_event *event = emit(registry, type, 0, name, strlen(name) + 1);
    if (event == NULL)
        return;
    event->record.name = (const char *)data_of(event);
    if (host == NULL)
        return;
    event->record.is_static = host->is_static;
    memcpy(event->record.key, host->key, sizeof event->record.key);
}

void registry_emit_publish(struct registry *registry, const struct host *host)
{
    emit_record(registry, REGISTRY_PUBLISH, host->name, host);
}

void registry_emit_withdraw(struct registry *registry, const char *name)
{
    emit_record(registry, REGISTRY_WITHDRAW, name, NULL);
}

/* Notifies carry credentials of calls. */
static void free_node(struct registry_node *node)
{
    if (node == NULL)
        return;
    crypto_wipe(node->data, node->data_len);
    free(node);
}

const struct registry_event *registry_next_event(struct registry *registry)
{
    free_node(registry->current);
    registry->current = registry->events;
    if (registry->current == NULL)
        return NULL;
    registry->events = registry->current->next;
    if (registry->events == NULL)
        registry->events_end = &registry->events;
    return &registry->current->event;
}

void registry_events_free(struct registry *registry)
{
    while (registry_next_event(registry) != NULL) {
    }
}
