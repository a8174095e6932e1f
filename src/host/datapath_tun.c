/* The data path's side of the TUN device: super-packets are taken apart on the way out, and packets
 * are put together on the way in. */
#include "host/datapath_internal.h"
#include "tunnel/segment.h"

/* False: the others of its super-packet would fare no better. Consumes it. */
static bool take_segment(struct datapath *dp, struct segmenter *segmenter, struct packet *packet)
{
    if (dp->run.tunnel != NULL)
        return outbound_next(dp, packet);
    if (segmenter->offload.kind == OFFLOAD_NONE && gather_add(dp, packet))
        return true;
    gather_flush(dp); /* what came before goes before */
    if (!outbound_first(dp, packet))
        return false;
    if (dp->run.tunnel != NULL && dp->run.header_len > 0)
        segment_skip_ip(segmenter);
    return true;
}

unsigned datapath_read_tun(struct datapath *dp)
{
    struct segmenter segmenter;
    struct offload offload;
    uint32_t len;
    unsigned count = 0;
    uint8_t *const bytes = dp->super + TUN_ROOM;
    int error = tun_read_super(dp->config.tun, bytes, &len, &offload);
    if (error == ERR_OK)
        error = segment_begin(&segmenter, bytes, len, &offload);
    if (error == ERR_INVALID) {
        drop_count(&dp->drops, DROP_MALFORMED);
        return 1;
    }
    while (error == ERR_OK) {
        struct packet *packet = packet_take(&dp->pool);
        if (packet == NULL) {
            drop_count(&dp->drops, DROP_CONGESTION);
            count++;
            break;
        }
        error = segment_next(&segmenter, packet);
        if (error == ERR_OK) {
            count++;
            if (!take_segment(dp, &segmenter, packet) || offload.kind == OFFLOAD_NONE)
                break;
            continue;
        }
        packet_give_back(&dp->pool, packet);
        if (error == ERR_NOT_FOUND)
            break;
        drop_count(&dp->drops, error == ERR_FULL ? DROP_TOO_BIG : DROP_MALFORMED);
        count++;
    }
    outbound_end(dp);
    return count;
}

void datapath_write_bundle(struct datapath *dp, const struct tun *tun, const struct bundle *bundle)
{
    struct iovec parts[COALESCE_SEGMENTS];
    unsigned count = 0;
    for (struct packet *packet = bundle->first; packet != NULL; packet = packet->next)
        parts[count++] = (struct iovec){packet->data, packet->len};
    if (tun_write_parts(tun, &bundle->offload, parts, count) != ERR_OK)
        drop_count(&dp->drops, DROP_CONGESTION);
}

void datapath_flush_tun(struct datapath *dp)
{
    struct bundle *bundle;
    while ((bundle = coalesce_next(&dp->coalescer)) != NULL) {
        struct packet *next;
        datapath_write_bundle(dp, dp->config.tun, bundle);
        for (struct packet *packet = bundle->first; packet != NULL; packet = next) {
            next = packet->next;
            packet_give_back(&dp->pool, packet);
        }
    }
}

void datapath_write_tun(struct datapath *dp, struct packet *packet)
{
    if (share_offer(dp, packet))
        return;
    if (!dp->config.tun->has_offload) {
        if (tun_write(dp->config.tun, packet) != ERR_OK)
            drop_count(&dp->drops, DROP_CONGESTION);
        packet_give_back(&dp->pool, packet);
        return;
    }
    if (coalesce_add(&dp->coalescer, packet))
        return;
    datapath_flush_tun(dp);
    (void)!coalesce_add(&dp->coalescer, packet); /* empty: it takes one */
}
