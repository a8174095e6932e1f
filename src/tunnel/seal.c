/* The way out: a local packet becomes a datagram. */
#include "tunnel/tunnel_internal.h"
#include "wire/ip.h"
#include <string.h>

static enum drop_reason drop_of(int error)
{
    switch (error) {
    case ERR_FULL:
        return DROP_NO_ROOM;
    case ERR_STATE:
        return DROP_EXHAUSTED;
    case ERR_UNSUPPORTED:
        return DROP_COMMAND;
    default:
        return DROP_CRYPTO;
    }
}

/* What both kinds of message need, taken once: it may change meanwhile. */
static enum drop_reason select_way(const struct tunnel *tunnel, struct path **ret_path,
                                   struct child **ret_child)
{
    struct path *path = atomic_load_explicit(&tunnel->path, memory_order_acquire);
    struct child_set *set = atomic_load_explicit(&tunnel->children, memory_order_acquire);

    if (path == NULL)
        return DROP_NO_PATH;
    if (set == NULL || set->outbound == NULL || set->outbound->is_in_kernel)
        return DROP_NO_CHILD;
    *ret_path = path;
    *ret_child = set->outbound;
    return DROP_NONE;
}

/* Packets near the path's limit show whether it still is one; TCP sends such ones sooner or later.
 */
static void note_data(struct tunnel *tunnel, uint8_t protocol, bool is_large, uint64_t now_us)
{
    const bool is_stream = protocol == IP_TCP;
    if (is_large)
        atomic_store_explicit(&tunnel->large_us, now_us, memory_order_relaxed);
    if (is_stream && !atomic_load_explicit(&tunnel->has_stream, memory_order_relaxed))
        atomic_store_explicit(&tunnel->has_stream, true, memory_order_relaxed);
    tunnel_count(tunnel, &tunnel->packets_out,
                 TUNNEL_WAKE_DATA | (is_large || is_stream ? TUNNEL_WAKE_LARGE : 0u));
}

static enum drop_reason seal_data(struct tunnel *tunnel, struct packet *packet, bool may_defer,
                                  uint64_t now_us)
{
    struct path *path;
    struct child *child;
    struct inner inner;
    enum drop_reason reason = select_way(tunnel, &path, &child);
    if (reason != DROP_NONE)
        return reason;

    uint8_t *const data = packet->data;
    const uint32_t len = packet->len;
    reason = translate_out(&child->translation, packet, &inner);
    if (reason != DROP_NONE)
        return reason;
    const uint32_t inner_len = (uint32_t)(packet->data - data) + packet->len;
    const uint32_t max = translate_payload_max(path->mtu, child->suite,
                                               (enum address_family)path->remote.address.family);
    const bool is_large = packet->len > max / 4 * 3;
    if (packet->len > max) {
        packet->data = data; /* the caller quotes it */
        packet->len = len;
        return DROP_TOO_BIG;
    }
    reason = translate_to_wire(&child->translation, packet, &inner);
    if (reason != DROP_NONE)
        return reason;
    const struct message_header header = {
        .command = SPUT_DATA, .next_header = inner.next_header, .is_ipv6 = inner.is_ipv6};
    int error = child_seal(child, packet, &header, may_defer, NULL);
    if (error != ERR_OK)
        return drop_of(error);
    packet->peer = path->remote;
    packet->tos = inner.tos;
    atomic_fetch_add_explicit(&tunnel->bytes_out, inner_len, memory_order_relaxed);
    note_data(tunnel, inner.protocol, is_large, now_us);
    return DROP_NONE;
}

static enum drop_reason finish(struct tunnel *tunnel, enum drop_reason reason, uint64_t now_us)
{
    if (reason != DROP_NONE)
        drop_count(&tunnel->drops, reason);
    else
        atomic_store_explicit(&tunnel->sent_us, now_us, memory_order_relaxed);
    return reason;
}

enum drop_reason tunnel_seal(struct tunnel *tunnel, struct packet *packet, uint64_t now_us)
{
    return finish(tunnel, seal_data(tunnel, packet, false, now_us), now_us);
}

enum drop_reason tunnel_seal_deferring(struct tunnel *tunnel, struct packet *packet,
                                       uint64_t now_us)
{
    return finish(tunnel, seal_data(tunnel, packet, true, now_us), now_us);
}

enum drop_reason tunnel_seal_command(struct tunnel *tunnel, struct packet *packet,
                                     enum sput_command command, uint64_t now_us,
                                     uint32_t *ret_number)
{
    struct path *path;
    struct child *child;
    enum drop_reason reason = select_way(tunnel, &path, &child);
    if (reason != DROP_NONE)
        return finish(tunnel, reason, now_us);
    const struct message_header header = {.command = (uint8_t)command};
    int error = child_seal(child, packet, &header, false, ret_number);
    if (error != ERR_OK)
        return finish(tunnel, drop_of(error), now_us);
    packet->peer = path->remote;
    packet->tos = 0;
    return finish(tunnel, DROP_NONE, now_us);
}

enum drop_reason tunnel_seal_probe(struct tunnel *tunnel, struct packet *packet, uint32_t size,
                                   uint64_t now_us, uint32_t *ret_number)
{
    struct path *path;
    struct child *child;
    enum drop_reason reason = select_way(tunnel, &path, &child);
    if (reason != DROP_NONE)
        return finish(tunnel, reason, now_us);
    packet_reset(packet);
    packet->len =
        translate_payload_max(size, child->suite, (enum address_family)path->remote.address.family);
    if (child->is_esp) /* the command goes in there, too */
        packet->len -= packet->len < ESP_COMMAND_LEN ? packet->len : ESP_COMMAND_LEN;
    memset(packet->data, 0, packet->len);
    return tunnel_seal_command(tunnel, packet, SPUT_PROBE, now_us, ret_number);
}

enum drop_reason tunnel_seal_reply(struct tunnel *tunnel, struct packet *packet,
                                   uint32_t probe_number, uint64_t now_us)
{
    packet_reset(packet);
    for (unsigned int i = 0; i < SPUT_CLEAR_LEN; i++)
        packet->data[i] = (uint8_t)(probe_number >> (8 * i));
    packet->len = SPUT_CLEAR_LEN;
    return tunnel_seal_command(tunnel, packet, SPUT_PROBE_REPLY, now_us, NULL);
}
