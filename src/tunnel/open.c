/* The way in: a datagram becomes a packet for this host, or a command. */
#include "tunnel/bytes.h"
#include "tunnel/tunnel_internal.h"

/* What a refusal says. */
static enum drop_reason drop_of(int error)
{
    switch (error) {
    case ERR_INVALID:
        return DROP_LENGTH;
    case ERR_AUTH:
        return DROP_NOT_AUTHENTIC;
    case ERR_REPLAY:
        return DROP_REPLAY;
    case ERR_LIMIT:
        return DROP_MALFORMED;
    case ERR_NOT_FOUND:
        return DROP_NO_CHILD; /* the kernel has its keys */
    default:
        return DROP_CRYPTO;
    }
}

/* Newest first: during a rekey SPUT's wire does not say which child a message belongs to; ESP's
 * does. Of several refusals the one that says most counts. */
static enum drop_reason try_children(struct packet *packet, const struct child_set *set,
                                     struct child **ret_child, struct message_header *ret_header)
{
    enum drop_reason reason = DROP_NO_CHILD;

    for (unsigned int i = 0; set != NULL && i < set->count; i++) {
        const int result = child_open(set->inbound[i], packet, ret_header);
        if (result == ERR_OK) {
            *ret_child = set->inbound[i];
            return DROP_NONE;
        }
        if (result == ERR_NOT_FOUND)
            continue;
        const enum drop_reason refusal = drop_of(result);
        if (refusal == DROP_CRYPTO || refusal == DROP_MALFORMED)
            return refusal; /* its content is lost */
        if (refusal == DROP_REPLAY || (refusal == DROP_NOT_AUTHENTIC && reason != DROP_REPLAY) ||
            reason == DROP_NO_CHILD)
            reason = refusal;
    }
    return reason;
}

static enum drop_reason take_data(struct tunnel *tunnel, struct packet *packet,
                                  const struct child *child, const struct message_header *header)
{
    const struct inner inner = {
        .next_header = header->next_header, .is_ipv6 = header->is_ipv6, .tos = packet->tos};
    if (child->is_esp && header->next_header == ESP_NEXT_DUMMY)
        return DROP_DUMMY;
    enum drop_reason reason = translate_in(&child->translation, packet, &inner);
    if (reason != DROP_NONE)
        return reason;
    atomic_fetch_add_explicit(&tunnel->bytes_in, packet->len, memory_order_relaxed);
    tunnel_count(tunnel, &tunnel->packets_in, 1, TUNNEL_WAKE_DATA);
    return DROP_NONE;
}

static enum drop_reason take(struct tunnel *tunnel, struct packet *packet,
                             const struct child *child, const struct message_header *header,
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

/* What has proven to come from the far end. */
static enum drop_reason take_authentic(struct tunnel *tunnel, struct child *child,
                                       struct packet *packet, const struct message_header *header,
                                       uint64_t now_us, struct tunnel_message *ret_message)
{
    const struct child_set *set = atomic_load_explicit(&tunnel->children, memory_order_acquire);
    struct tunnel_message message = {0};

    atomic_store_explicit(&tunnel->received_us, now_us, memory_order_relaxed);
    enum drop_reason reason = take(tunnel, packet, child, header, &message);
    if (reason != DROP_NONE)
        return reason;
    message.child_id = child->id;
    message.is_outbound = set != NULL && set->outbound == child;
    message.is_first = !atomic_load_explicit(&child->is_heard, memory_order_relaxed) &&
                       !atomic_exchange_explicit(&child->is_heard, true, memory_order_relaxed);
    *ret_message = message;
    return DROP_NONE;
}

static enum drop_reason open_message(struct tunnel *tunnel, struct packet *packet, uint64_t now_us,
                                     struct tunnel_message *ret_message)
{
    const struct child_set *set = atomic_load_explicit(&tunnel->children, memory_order_acquire);
    struct message_header header;
    struct child *child = NULL;

    enum drop_reason reason = try_children(packet, set, &child, &header);
    if (reason != DROP_NONE)
        return reason;
    return take_authentic(tunnel, child, packet, &header, now_us, ret_message);
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

/* ESP whose sender's endpoint leads to no tunnel with this SPI: the peer's NAT may have given it
 * another port, or it has moved. */
static enum drop_reason open_by_spi(struct child *child, struct packet *packet, uint64_t now_us,
                                    struct tunnel_message *ret_message)
{
    struct message_header header;

    int result = child_open(child, packet, &header);
    if (result != ERR_OK)
        return drop_of(result);
    enum drop_reason reason =
        take_authentic(child->tunnel, child, packet, &header, now_us, ret_message);
    if (reason == DROP_NONE)
        ret_message->is_elsewhere = true;
    return reason;
}

enum drop_reason tunnel_open_next(struct tunnel_table *table, struct tunnel *likely,
                                  struct packet *packet, uint64_t now_us,
                                  struct tunnel **ret_tunnel, struct tunnel_message *ret_message)
{
    const enum drop_reason reason = open_message(likely, packet, now_us, ret_message);
    if (may_be_anothers(reason))
        return tunnel_open_any(table, packet, now_us, ret_tunnel, ret_message);
    if (reason == DROP_NONE)
        *ret_tunnel = likely;
    else
        drop_count(&likely->drops, reason);
    return reason;
}

enum drop_reason tunnel_open_any(struct tunnel_table *table, struct packet *packet, uint64_t now_us,
                                 struct tunnel **ret_tunnel, struct tunnel_message *ret_message)
{
    const struct path *path = path_first(table, &packet->peer);
    struct tunnel *last = NULL;
    enum drop_reason reason = DROP_NO_TUNNEL;

    for (; path != NULL; path = path_next(path)) {
        last = path->tunnel;
        reason = open_message(last, packet, now_us, ret_message);
        if (!may_be_anothers(reason))
            break;
    }
    if (packet->len >= ESP_HEADER_LEN && (last == NULL || may_be_anothers(reason))) {
        struct child *child = child_find_by_spi(table, get32(packet->data));
        if (child != NULL && child->tunnel != last) {
            last = child->tunnel;
            reason = open_by_spi(child, packet, now_us, ret_message);
        }
    }
    if (reason == DROP_NONE)
        *ret_tunnel = last;
    else
        drop_count(last != NULL ? &last->drops : &table->drops, reason);
    return reason;
}
