/* Events up and notifies out; see ike/queue.h. */
#include "ike/queue.h"
#include "crypto/memory.h"
#include <stdlib.h>
#include <string.h>

static const char *const reason_texts[] = {
    [IKE_REASON_NONE] = "no reason",
    [IKE_REASON_CLOSED_HERE] = "closed here",
    [IKE_REASON_CLOSED_BY_PEER] = "closed by the peer",
    [IKE_REASON_REPLACED] = "replaced by a newer one",
    [IKE_REASON_TIMEOUT] = "the peer did not answer",
    [IKE_REASON_EXPIRED] = "its lifetime ended without a rekey",
    [IKE_REASON_NO_PROPOSAL] = "no cipher, suite or group in common",
    [IKE_REASON_PEER_NOT_AUTHENTIC] = "the peer could not prove its key",
    [IKE_REASON_PEER_KEY] = "the peer has another key than expected",
    [IKE_REASON_PEER_ID] = "the peer has another name than expected",
    [IKE_REASON_REFUSED_BY_PEER] = "the peer refused our key or name",
    [IKE_REASON_CHILD_REFUSED] = "the peer wants no such tunnel",
    [IKE_REASON_PROTOCOL] = "protocol error",
    [IKE_REASON_FAILED_HERE] = "out of memory, or the crypto library failed",
};

const char *ike_reason_text(enum ike_reason reason)
{
    size_t count = sizeof(reason_texts) / sizeof(reason_texts[0]);
    return (size_t)reason < count ? reason_texts[reason] : "unknown reason";
}

struct ike_event *ike_events_add(struct ike_sa *sa, enum ike_event_type type, size_t data_len)
{
    struct ike_event_node *node =
        (struct ike_event_node *)calloc(1, sizeof(struct ike_event_node) + data_len);
    if (node == NULL)
        return NULL;
    node->event.type = type;
    *sa->events_end = node;
    sa->events_end = &node->next;
    sa->event_count++;
    return &node->event;
}

int ike_events_add_notify(struct ike_sa *sa, const struct ike_notify *notify)
{
    if (sa->event_count >= IKE_EVENTS_MAX)
        return ERR_OK;
    struct ike_event *event = ike_events_add(sa, IKE_EVENT_NOTIFY, notify->len);
    if (event == NULL)
        return ERR_NOMEM;
    struct ike_event_node *node = CONTAINER_OF(event, struct ike_event_node, event);
    if (notify->len > 0)
        memcpy(node->data, notify->data, notify->len);
    event->notify.type = notify->type;
    event->notify.data = node->data;
    event->notify.len = notify->len;
    return ERR_OK;
}

static void event_free(struct ike_event_node *node)
{
    if (node == NULL)
        return;
    crypto_wipe(&node->event, sizeof(node->event));
    free(node);
}

void ike_events_done(struct ike_sa *sa)
{
    event_free(sa->event);
    sa->event = NULL;
    while (sa->events != NULL) {
        struct ike_event_node *node = sa->events;
        sa->events = node->next;
        event_free(node);
    }
    sa->events_end = &sa->events;
    sa->event_count = 0;
}

void ike_sa_next_event(struct ike_sa *sa, struct ike_event *ret_event)
{
    event_free(sa->event);
    sa->event = sa->events;
    if (sa->event != NULL) {
        sa->events = sa->event->next;
        if (sa->events == NULL)
            sa->events_end = &sa->events;
        sa->event_count--;
        *ret_event = sa->event->event;
        return;
    }
    memset(ret_event, 0, sizeof(*ret_event));
    if (sa->state != IKE_STATE_CLOSED || sa->is_closed_told)
        return;
    sa->is_closed_told = true;
    ret_event->type = IKE_EVENT_CLOSED;
    ret_event->closed.reason = sa->closed_reason;
    ret_event->closed.was_established = sa->was_established;
    ret_event->closed.notify = sa->closed_notify;
    ret_event->closed.text = ike_reason_text(sa->closed_reason);
}

int ike_sa_send_notify(struct ike_sa *sa, uint16_t type, const void *data, size_t len)
{
    if (type < IKE_NOTIFY_PRIVATE_MIN || len > IKE_NOTIFY_LEN_MAX)
        return ERR_INVALID;
    if (sa->state == IKE_STATE_CLOSING || sa->state == IKE_STATE_CLOSED)
        return ERR_STATE;
    if (sa->notify_count >= IKE_NOTIFY_QUEUE_MAX)
        return ERR_FULL;
    struct ike_notify_node *node =
        (struct ike_notify_node *)malloc(sizeof(struct ike_notify_node) + len);
    if (node == NULL)
        return ERR_NOMEM;
    node->next = NULL;
    node->type = type;
    node->len = (uint16_t)len;
    if (len > 0)
        memcpy(node->data, data, len);
    *sa->notifies_end = node;
    sa->notifies_end = &node->next;
    sa->notify_count++;
    return ERR_OK;
}

struct ike_notify_node *ike_notifies_take(struct ike_sa *sa)
{
    struct ike_notify_node *head = sa->notifies;
    struct ike_notify_node *last = NULL;
    size_t len = 0;

    for (struct ike_notify_node *n = head; n != NULL; n = n->next) {
        size_t cost = IKE_PAYLOAD_HEADER_LEN + 4 + n->len;
        if (last != NULL && len + cost > IKE_BUNDLE_LEN)
            break;
        len += cost;
        last = n;
        sa->notify_count--;
    }
    if (last == NULL)
        return NULL;
    sa->notifies = last->next;
    if (sa->notifies == NULL)
        sa->notifies_end = &sa->notifies;
    last->next = NULL;
    return head;
}

void ike_notifies_put_back(struct ike_sa *sa, struct ike_notify_node *notifies)
{
    if (notifies == NULL)
        return;
    struct ike_notify_node *last = notifies;
    for (sa->notify_count++; last->next != NULL; last = last->next)
        sa->notify_count++;
    last->next = sa->notifies;
    if (sa->notifies == NULL)
        sa->notifies_end = &last->next;
    sa->notifies = notifies;
}

void ike_notifies_free(struct ike_notify_node *notifies)
{
    while (notifies != NULL) {
        struct ike_notify_node *next = notifies->next;
        crypto_wipe(notifies->data, notifies->len);
        free(notifies);
        notifies = next;
    }
}
