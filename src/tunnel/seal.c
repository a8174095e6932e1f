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
    tunnel_count(tunnel, &tunnel->packets_out, 1,
                 TUNNEL_WAKE_DATA | (is_large || is_stream ? TUNNEL_WAKE_LARGE : 0u));
}

/* A packet that fits. */
static enum drop_reason seal_by(struct tunnel_run *run, struct packet *packet, bool may_defer)
{
    const struct inner *inner = &run->inner;
    const uint32_t len = run->header_len + packet->len;
    enum drop_reason reason = translate_to_wire(&run->child->translation, packet, inner);
    if (reason != DROP_NONE)
        return reason;
    const struct message_header header = {
        .command = SPUT_DATA, .next_header = inner->next_header, .is_ipv6 = inner->is_ipv6};
    int error = child_seal(run->child, packet, &header, may_defer, NULL);
    if (error != ERR_OK)
        return drop_of(error);
    packet->peer = run->path->remote;
    packet->tos = inner->tos;
    run->bytes += len;
    return DROP_NONE;
}

static enum drop_reason seal_data(struct tunnel *tunnel, struct packet *packet,
                                  const struct ip_view *ip, bool may_defer, uint64_t now_us,
                                  struct tunnel_run *ret_run)
{
    struct tunnel_run run = {.tunnel = tunnel};
    enum drop_reason reason = select_way(tunnel, &run.path, &run.child);
    if (reason != DROP_NONE)
        return reason;

    uint8_t *const data = packet->data;
    const uint32_t len = packet->len;
    reason = translate_parsed_out(&run.child->translation, ip, packet, &run.inner);
    if (reason != DROP_NONE)
        return reason;
    run.header_len = (uint32_t)(packet->data - data);
    const uint32_t max = translate_payload_max(
        run.path->mtu, run.child->suite, (enum address_family)run.path->remote.address.family);
    const bool is_large = packet->len > max / 4 * 3;
    if (packet->len > max) {
        packet->data = data; /* the caller quotes it */
        packet->len = len;
        return DROP_TOO_BIG;
    }
    run.payload_max = packet->len;
    reason = seal_by(&run, packet, may_defer);
    if (reason != DROP_NONE)
        return reason;
    note_data(tunnel, run.inner.protocol, is_large, now_us);
    *ret_run = run;
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

/* A run of one. */
static enum drop_reason seal_one(struct tunnel *tunnel, struct packet *packet, bool may_defer,
                                 uint64_t now_us)
{
    struct tunnel_run run;
    struct ip_view ip;
    enum drop_reason reason = DROP_MALFORMED;
    if (ip_parse(packet->data, packet->len, &ip) == ERR_OK)
        reason = seal_data(tunnel, packet, &ip, may_defer, now_us, &run);
    if (reason == DROP_NONE)
        tunnel_run_end(&run);
    return finish(tunnel, reason, now_us);
}

enum drop_reason tunnel_seal(struct tunnel *tunnel, struct packet *packet, uint64_t now_us)
{
    return seal_one(tunnel, packet, false, now_us);
}

enum drop_reason tunnel_seal_deferring(struct tunnel *tunnel, struct packet *packet,
                                       uint64_t now_us)
{
    return seal_one(tunnel, packet, true, now_us);
}

enum drop_reason tunnel_run_begin(struct tunnel *tunnel, struct packet *packet,
                                  const struct ip_view *ip, uint64_t now_us,
                                  struct tunnel_run *ret_run)
{
    return finish(tunnel, seal_data(tunnel, packet, ip, true, now_us, ret_run), now_us);
}

enum drop_reason tunnel_run_seal(struct tunnel_run *run, struct packet *packet)
{
    const enum drop_reason reason =
        packet->len > run->payload_max ? DROP_TOO_BIG : seal_by(run, packet, true);
    if (reason != DROP_NONE)
        drop_count(&run->tunnel->drops, reason);
    else
        run->more++;
    return reason;
}

void tunnel_run_end(struct tunnel_run *run)
{
    struct tunnel *const tunnel = run->tunnel;
    atomic_fetch_add_explicit(&tunnel->bytes_out, run->bytes, memory_order_relaxed);
    if (run->more > 0)
        tunnel_count(tunnel, &tunnel->packets_out, run->more, TUNNEL_WAKE_DATA);
    run->tunnel = NULL;
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
