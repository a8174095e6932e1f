/* The ceiling: packets between a TUN device and a UDP socket by the very means that detecd uses
 * (super-packets, super-datagrams, batches), with no tunnel, no key and no address translation. A
 * yardstick that stays as it is: it copies each datagram, where detecd has learnt not to.
 *
 *   forwarder INTERFACE PORT PEER-ADDRESS:PORT [plain]
 *
 * plain: one read and one send a packet, no offloads. Runs until it is killed. */
#include "io/tun.h"
#include "io/udp.h"
#include "tunnel/coalesce.h"
#include "tunnel/segment.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 64
#define POOL  384

struct forwarder {
    struct tun tun;
    struct udp udp;
    struct endpoint peer;
    struct packet_pool pool;
    struct packet *batch[BATCH];
    unsigned batch_count;
    struct coalescer coalescer;
    uint8_t super[TUN_ROOM + OFFLOAD_LEN_MAX];
};

static void flush_udp(struct forwarder *f)
{
    int8_t results[BATCH];
    if (f->batch_count > 0)
        (void)!udp_send_batch(&f->udp, f->batch, f->batch_count, results);
    for (unsigned i = 0; i < f->batch_count; i++)
        packet_give_back(&f->pool, f->batch[i]);
    f->batch_count = 0;
}

static void flush_tun(struct forwarder *f)
{
    struct bundle *bundle;
    while ((bundle = coalesce_next(&f->coalescer)) != NULL) {
        struct iovec parts[COALESCE_SEGMENTS];
        struct packet *next;
        unsigned count = 0;
        for (struct packet *p = bundle->first; p != NULL; p = p->next)
            parts[count++] = (struct iovec){p->data, p->len};
        (void)!tun_write_parts(&f->tun, &bundle->offload, parts, count);
        for (struct packet *p = bundle->first; p != NULL; p = next) {
            next = p->next;
            packet_give_back(&f->pool, p);
        }
    }
}

static unsigned read_tun(struct forwarder *f)
{
    struct segmenter segmenter;
    struct offload offload;
    uint32_t len;
    unsigned count = 0;
    uint8_t *const bytes = f->super + TUN_ROOM;
    if (tun_read_super(&f->tun, bytes, &len, &offload) != ERR_OK ||
        segment_begin(&segmenter, bytes, len, &offload) != ERR_OK)
        return 0;
    for (;; count++) {
        struct packet *packet = packet_take(&f->pool);
        if (packet == NULL || segment_next(&segmenter, packet) != ERR_OK) {
            packet_give_back(&f->pool, packet);
            return count;
        }
        packet->peer = f->peer;
        f->batch[f->batch_count++] = packet;
        if (f->batch_count == BATCH)
            flush_udp(f);
    }
}

static bool read_udp(struct forwarder *f)
{
    struct packet *packets[BATCH];
    unsigned count = 0, got = 0;
    const unsigned wanted = udp_wanted(&f->udp, BATCH);
    while (count < wanted && (packets[count] = packet_take(&f->pool)) != NULL)
        count++;
    if (count == 0 || udp_receive_batch(&f->udp, packets, count, &got) != ERR_OK)
        got = 0;
    for (unsigned i = 0; i < count; i++) {
        if (i >= got) {
            packet_give_back(&f->pool, packets[i]);
        } else if (!packet_own(packets[i])) {
            packet_give_back(&f->pool, packets[i]);
        } else if (!f->tun.has_offload) {
            (void)!tun_write(&f->tun, packets[i]);
            packet_give_back(&f->pool, packets[i]);
        } else if (!coalesce_add(&f->coalescer, packets[i])) {
            flush_tun(f);
            (void)!coalesce_add(&f->coalescer, packets[i]);
        }
    }
    return got == BATCH;
}

static void run(struct forwarder *f)
{
    struct pollfd polls[] = {{.fd = f->tun.fd, .events = POLLIN},
                             {.fd = f->udp.fd, .events = POLLIN}};
    for (;;) {
        const bool is_waiting = udp_has_waiting(&f->udp);
        (void)poll(polls, 2, is_waiting ? 0 : -1);
        for (unsigned i = 0; i < 3 && (is_waiting || polls[1].revents != 0) && read_udp(f); i++)
            ;
        flush_tun(f);
        for (unsigned i = 0, got = 1; i < 2 * BATCH && polls[0].revents != 0 && got > 0; i += got)
            got = read_tun(f);
        flush_udp(f);
    }
}

int main(int argc, char **argv)
{
    static struct forwarder f;
    if (argc < 4) {
        fprintf(stderr, "usage: forwarder INTERFACE PORT ADDRESS:PORT [plain]\n");
        return 2;
    }
    const bool is_plain = argc > 4 && strcmp(argv[4], "plain") == 0;
    const struct udp_options options = {.port = (uint16_t)atoi(argv[2]), .has_offload = !is_plain};
    if (endpoint_parse(argv[3], 0, &f.peer) != ERR_OK ||
        tun_open(argv[1], is_plain ? 0 : TUN_OFFLOAD, &f.tun) != ERR_OK ||
        udp_open(&options, &f.udp) != ERR_OK || packet_pool_init(&f.pool, POOL) != ERR_OK) {
        fprintf(stderr, "forwarder: cannot start\n");
        return 1;
    }
    coalesce_init(&f.coalescer, f.tun.has_udp_offload);
    printf("ready\n");
    fflush(stdout);
    run(&f);
    return 0;
}
