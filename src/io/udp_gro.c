/* Receiving super-datagrams (UDP_GRO): what came behind each other from one peer in equal lengths
 * the kernel hands over as one, and here it is taken apart again, without copying: packets borrow
 * the bytes. What a caller has no packets for stays until its next call. */
#include "io/udp_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define SUPER_COUNT 8
#define SUPER_CAP   65536 /* no datagram is longer */
#define ROOM_BEFORE 64    /* of each buffer; UDP_LENT_HEADROOM, and aligned */
#define LEN_MAX     (PACKET_CAP - PACKET_HEADROOM)

struct super {
    uint32_t len;
    uint32_t at;          /* of the next datagram in it */
    uint32_t segment_len; /* of each but the last */
    bool is_done;         /* also of an empty one, which is one datagram */
    uint8_t tos;
    struct endpoint peer;
};

struct udp_gro {
    unsigned count, next;
    struct super supers[SUPER_COUNT];
    struct mmsghdr headers[SUPER_COUNT];
    struct iovec parts[SUPER_COUNT];
    struct sockaddr_storage addresses[SUPER_COUNT];
    union udp_control controls[SUPER_COUNT];
    uint8_t buffers[SUPER_COUNT][ROOM_BEFORE + SUPER_CAP];
};

int udp_gro_new(int fd, struct udp_gro **ret_gro)
{
    int on = 1;
    struct udp_gro *gro;

    if (setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on) < 0)
        return ERR_UNSUPPORTED;
    gro = calloc(1, sizeof *gro);
    if (gro == NULL)
        return ERR_NOMEM;
    *ret_gro = gro;
    return ERR_OK;
}

void udp_gro_free(struct udp_gro *gro)
{
    free(gro);
}

static uint32_t segment_len_of(struct msghdr *header)
{
    struct cmsghdr *control;

    for (control = CMSG_FIRSTHDR(header); control != NULL; control = CMSG_NXTHDR(header, control)) {
        if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO &&
            control->cmsg_len >= CMSG_LEN(sizeof(int))) {
            int value;

            memcpy(&value, CMSG_DATA(control), sizeof value);
            return value > 0 ? (uint32_t)value : 0;
        }
    }
    return 0;
}

static void prepare(struct udp_gro *gro)
{
    for (unsigned i = 0; i < SUPER_COUNT; i++) {
        gro->parts[i] =
            (struct iovec){.iov_base = gro->buffers[i] + ROOM_BEFORE, .iov_len = SUPER_CAP};
        gro->headers[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &gro->addresses[i],
                                                       .msg_namelen = sizeof gro->addresses[i],
                                                       .msg_iov = &gro->parts[i],
                                                       .msg_iovlen = 1,
                                                       .msg_control = &gro->controls[i],
                                                       .msg_controllen = sizeof gro->controls[i]}};
    }
}

static void take(struct udp_gro *gro, unsigned i)
{
    struct msghdr *header = &gro->headers[i].msg_hdr;
    struct super *super = &gro->supers[i];

    *super = (struct super){.len = gro->headers[i].msg_len,
                            .segment_len = segment_len_of(header),
                            .tos = udp_tos_of(header)};
    if (super->segment_len == 0)
        super->segment_len = super->len;
    super->is_done =
        (header->msg_flags & MSG_TRUNC) ||
        endpoint_from_sockaddr((const struct sockaddr *)&gro->addresses[i], &super->peer) < 0;
}

static int receive(struct udp *udp, struct udp_gro *gro)
{
    for (unsigned tries = 0; tries < UDP_BATCH_CAP; tries++) {
        int got;

        prepare(gro);
        got = recvmmsg(udp->fd, gro->headers, SUPER_COUNT, MSG_DONTWAIT, NULL);
        if (got > 0) {
            gro->next = 0;
            gro->count = (unsigned)got;
            for (unsigned i = 0; i < gro->count; i++)
                take(gro, i);
            return ERR_OK;
        }
        if (got == 0 || errno == EAGAIN)
            return ERR_AGAIN;
        if (!udp_error_is_passing(errno))
            return errno == ENOMEM || errno == ENOBUFS ? ERR_AGAIN : ERR_IO;
    }
    return ERR_AGAIN;
}

/* The head-room is the end of the datagram before. False: longer than a packet of its own could be,
 * and gone. */
static bool cut_off(struct super *super, uint8_t *buffer, struct packet *packet)
{
    uint8_t *data = buffer + ROOM_BEFORE + super->at;
    uint32_t left = super->len - super->at;
    uint32_t len = left < super->segment_len ? left : super->segment_len;
    bool fits = len <= LEN_MAX;

    if (fits) {
        packet_lend(packet, data - UDP_LENT_HEADROOM, UDP_LENT_HEADROOM + len, data, len);
        packet->peer = super->peer;
        packet->tos = super->tos;
    }
    super->at += len;
    super->is_done = super->at >= super->len;
    return fits;
}

unsigned udp_gro_wanted(struct udp *udp, unsigned cap)
{
    struct udp_gro *gro = udp->gro;
    uint32_t count = 0;

    if (gro->next == gro->count && receive(udp, gro) != ERR_OK)
        return 0;
    while (gro->next < gro->count && gro->supers[gro->next].is_done)
        gro->next++;
    for (unsigned i = gro->next; i < gro->count && count < cap; i++) {
        const struct super *super = &gro->supers[i];

        if (!super->is_done)
            count += super->len == 0 ? 1 : (super->len - super->at - 1) / super->segment_len + 1;
    }
    return count < cap ? count : cap;
}

int udp_gro_receive(struct udp *udp, struct packet **packets, unsigned count, unsigned *ret_count)
{
    struct udp_gro *gro = udp->gro;
    unsigned kept = 0;

    if (gro->next == gro->count) {
        int error = receive(udp, gro);

        if (error != ERR_OK)
            return error;
    }
    for (; gro->next < gro->count && kept < count; gro->next++) {
        struct super *super = &gro->supers[gro->next];

        while (!super->is_done && kept < count)
            kept += cut_off(super, gro->buffers[gro->next], packets[kept]);
        if (!super->is_done)
            break;
    }
    *ret_count = kept;
    return kept > 0 ? ERR_OK : ERR_AGAIN;
}

bool udp_has_waiting(const struct udp *udp)
{
    return udp->gro != NULL && udp->gro->next < udp->gro->count;
}
