/* The way in: a datagram becomes a packet for this host, or a command. */
#include "tunnel/tunnel_internal.h"

/* Newest first: during a rekey the wire does not say which child a message belongs to. Of several
 * refusals the one that says most counts. */
static enum drop_reason try_children(struct tunnel *tunnel, struct packet *packet,
                                     const struct child_set *set, struct child **ret_child,
                                     struct sput_header *ret_header)
{
    enum drop_reason reason = DROP_NO_CHILD;

    for (unsigned int i = 0; set != NULL && i < set->count; i++) {
        switch (sput_open(&set->inbound[i]->receiver, packet, ret_header)) {
        case ERR_OK:
            *ret_child = set->inbound[i];
            return DROP_NONE;
        case ERR_INVALID:
            if (reason == DROP_NO_CHILD)
                reason = DROP_LENGTH;
            break;
        case ERR_AUTH:
            if (reason != DROP_REPLAY)
                reason = DROP_NOT_AUTHENTIC;
            break;
        case ERR_REPLAY:
            reason = DROP_REPLAY;
            break;
        default:
            return DROP_CRYPTO;
        }
    }
    return reason;
}

static enum drop_reason take_data(struct tunnel *tunnel, struct packet *packet,
                                  const struct child *child, const struct sput_header *header)
{
    const struct inner inner = {
        .next_header = header->next_header,
        .is_ipv6 = (header->flags & SPUT_FLAG_IPV6) != 0,
        .tos = packet->tos,
    };
    enum drop_reason reason = translate_in(&child->translation, packet, &inner);
    if (reason != DROP_NONE)
        return reason;
    tunnel_wake(tunnel, TUNNEL_WAKE_DATA);
    atomic_fetch_add_explicit(&tunnel->packets_in, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&tunnel->bytes_in, packet->len, memory_order_relaxed);
    return DROP_NONE;
}

static enum drop_reason take(struct tunnel *tunnel, struct packet *packet,
                             const struct child *child, const struct sput_header *header,
                             struct tunnel_message *message)
{
    message->number = header->number;
    switch (header->command) {
    case SPUT_DATA:
        message->kind = TUNNEL_DATA;
        return take_data(tunnel, packet, child, header);
    case SPUT_CLOSE:
        message->kind = TUNNEL_CLOSE;
        return packet->len == 0 ? DROP_NONE : DROP_MALFORMED;
    case SPUT_PROBE:
        message->kind = TUNNEL_PROBE;
        return DROP_NONE;
    case SPUT_PROBE_REPLY:
        if (packet->len != SPUT_CLEAR_LEN)
            return DROP_MALFORMED;
        message->kind = TUNNEL_PROBE_REPLY;
        message->number = sput_number_read(packet->data);
        return DROP_NONE;
    default:
        return DROP_COMMAND;
    }
}

static enum drop_reason open_message(struct tunnel *tunnel, struct packet *packet, uint64_t now_us,
                                     struct tunnel_message *ret_message)
{
    const struct child_set *set = atomic_load_explicit(&tunnel->children, memory_order_acquire);
    struct tunnel_message message = {0};
    struct sput_header header;
    struct child *child = NULL;

    enum drop_reason reason = try_children(tunnel, packet, set, &child, &header);
    if (reason != DROP_NONE)
        return reason;
    atomic_store_explicit(&tunnel->received_us, now_us, memory_order_relaxed);
    reason = take(tunnel, packet, child, &header, &message);
    if (reason != DROP_NONE)
        return reason;
    message.child_id = child->id;
    message.is_outbound = set->outbound == child;
    message.is_first = !atomic_load_explicit(&child->is_heard, memory_order_relaxed) &&
                       !atomic_exchange_explicit(&child->is_heard, true, memory_order_relaxed);
    *ret_message = message;
    return DROP_NONE;
}

enum drop_reason tunnel_open(struct tunnel *tunnel, struct packet *packet, uint64_t now_us,
                             struct tunnel_message *ret_message)
{
    enum drop_reason reason = open_message(tunnel, packet, now_us, ret_message);
    if (reason != DROP_NONE)
        drop_count(&tunnel->drops, reason);
    return reason;
}

/* Reasons that leave the packet as it was, and do not rule out that it belongs to another tunnel.
 */
static bool may_be_anothers(enum drop_reason reason)
{
    return reason == DROP_NOT_AUTHENTIC || reason == DROP_REPLAY || reason == DROP_LENGTH ||
           reason == DROP_NO_CHILD;
}

enum drop_reason tunnel_open_any(struct tunnel_table *table, struct packet *packet, uint64_t now_us,
                                 struct tunnel **ret_tunnel, struct tunnel_message *ret_message)
{
    struct path_walk walk;
    struct path *path = path_walk_first(&walk, table, &packet->peer);
    struct tunnel *last = NULL;
    enum drop_reason reason = DROP_NO_TUNNEL;

    for (; path != NULL; path = path_walk_next(&walk)) {
        last = path->tunnel;
        reason = open_message(last, packet, now_us, ret_message);
        if (!may_be_anothers(reason))
            break;
    }
    if (reason == DROP_NONE)
        *ret_tunnel = last;
    else
        drop_count(last != NULL ? &last->drops : &table->drops, reason);
    return reason;
}
