/* /dev/net/tun: opening, and one system call a packet. */
#include "io/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Newer than the headers of Debian 12. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

_Static_assert(sizeof(struct virtio_net_hdr) <= TUN_ROOM, "the header fits before the packet");

#define TCP_OFFLOADS (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)

static int error_of_errno(void)
{
    switch (errno) {
    case EBUSY:
    case EEXIST:
    case EINVAL: /* a device of another kind has the name */
        return ERR_EXISTS;
    case EPERM:
    case EACCES:
        return ERR_REFUSED;
    case ENOENT:
    case ENXIO:
    case ENODEV:
        return ERR_NOT_FOUND;
    default:
        return ERR_IO;
    }
}

/* Super-packets of TCP are as old as the header before packets; those of UDP are not. */
static void start_offload(struct tun *tun)
{
    if (ioctl(tun->fd, TUNSETOFFLOAD, TCP_OFFLOADS | TUN_F_USO4 | TUN_F_USO6) == 0)
        tun->has_udp_offload = true;
    else
        (void)!ioctl(tun->fd, TUNSETOFFLOAD, TCP_OFFLOADS);
}

int tun_open(const char *name, unsigned flags, struct tun *ret_tun)
{
    struct ifreq request = {0};
    struct tun tun = {0};
    int saved;
    int error;

    if (name[0] == 0 || strlen(name) >= IFNAMSIZ)
        return ERR_INVALID;
    tun.fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (tun.fd < 0)
        return error_of_errno();
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (flags & TUN_MULTI_QUEUE)
        request.ifr_flags |= IFF_MULTI_QUEUE;
    if (!(flags & TUN_MULTI_QUEUE) || flags & TUN_FIRST_QUEUE)
        request.ifr_flags |= (short)IFF_TUN_EXCL;
    if (flags & TUN_OFFLOAD)
        request.ifr_flags |= IFF_VNET_HDR;
    if (ioctl(tun.fd, TUNSETIFF, &request) < 0) {
        error = error_of_errno();
        goto close_fd;
    }
    tun.has_offload = (flags & TUN_OFFLOAD) != 0;
    if (tun.has_offload)
        start_offload(&tun);
    memcpy(tun.name, request.ifr_name, sizeof tun.name);
    tun.link = if_nametoindex(tun.name);
    error = ERR_IO;
    if (tun.link == 0)
        goto close_fd;
    *ret_tun = tun;
    return ERR_OK;
close_fd:
    saved = errno;
    close(tun.fd);
    errno = saved;
    return error;
}

void tun_close(struct tun *tun)
{
    if (tun->fd >= 0)
        close(tun->fd);
    tun->fd = -1;
}

bool tun_is_there(const struct tun *tun)
{
    struct ifreq request = {0};

    return ioctl(tun->fd, TUNGETIFF, &request) == 0;
}

static ssize_t read_parts(const struct tun *tun, struct iovec *parts)
{
    ssize_t got;

    do {
        got = readv(tun->fd, parts, 2);
    } while (got < 0 && errno == EINTR);
    return got;
}

/* The header in the machine's own byte order, as TUN devices have it by default. */
static int offload_of(const struct virtio_net_hdr *header, struct offload *ret_offload)
{
    struct offload offload = {
        .needs_checksum = (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0,
        .checksum_start = header->csum_start,
        .checksum_offset = header->csum_offset,
    };

    switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_NONE:
        break;
    case VIRTIO_NET_HDR_GSO_TCPV4:
        offload.kind = OFFLOAD_TCP_IPV4;
        break;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        offload.kind = OFFLOAD_TCP_IPV6;
        break;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        offload.kind = OFFLOAD_UDP;
        break;
    default:
        return ERR_INVALID;
    }
    if (offload.kind != OFFLOAD_NONE) {
        offload.header_len = header->hdr_len;
        offload.segment_len = header->gso_size;
    }
    *ret_offload = offload;
    return ERR_OK;
}

int tun_read_super(const struct tun *tun, uint8_t *buffer, uint32_t *ret_len,
                   struct offload *ret_offload)
{
    struct virtio_net_hdr header = {0};
    size_t header_len = tun->has_offload ? sizeof header : 0;
    ssize_t got;

    /* In one piece: of many small packets the kernel's work on a list of pieces shows. */
    do {
        got = read(tun->fd, buffer - header_len, header_len + OFFLOAD_LEN_MAX);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN ? ERR_AGAIN : ERR_IO;
    if ((size_t)got < header_len)
        return ERR_INVALID;
    memcpy(&header, buffer - header_len, header_len);
    if (offload_of(&header, ret_offload) != ERR_OK)
        return ERR_INVALID;
    *ret_len = (uint32_t)((size_t)got - header_len);
    return ERR_OK;
}

int tun_read(const struct tun *tun, struct packet *packet)
{
    struct virtio_net_hdr header;
    size_t header_len = tun->has_offload ? sizeof header : 0;
    size_t room = (size_t)(packet->storage + sizeof packet->storage - packet->data);
    struct iovec parts[2] = {{&header, header_len}, {packet->data, room}};
    ssize_t got = read_parts(tun, parts);

    if (got < 0)
        return errno == EAGAIN ? ERR_AGAIN : ERR_IO;
    packet->len = (size_t)got > header_len ? (uint32_t)((size_t)got - header_len) : 0;
    return ERR_OK;
}

static int error_of_write(void)
{
    switch (errno) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
        return ERR_AGAIN;
    case EINVAL:
        return ERR_INVALID;
    case EIO:
    case EBADFD:
        return ERR_STATE;
    default:
        return ERR_IO;
    }
}

static struct virtio_net_hdr header_of(const struct offload *offload)
{
    static const uint8_t types[] = {
        [OFFLOAD_NONE] = VIRTIO_NET_HDR_GSO_NONE,
        [OFFLOAD_TCP_IPV4] = VIRTIO_NET_HDR_GSO_TCPV4,
        [OFFLOAD_TCP_IPV6] = VIRTIO_NET_HDR_GSO_TCPV6,
        [OFFLOAD_UDP] = VIRTIO_NET_HDR_GSO_UDP_L4,
    };

    return (struct virtio_net_hdr){
        .flags = offload->needs_checksum ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0,
        .gso_type = types[offload->kind],
        .hdr_len = offload->header_len,
        .gso_size = offload->segment_len,
        .csum_start = offload->checksum_start,
        .csum_offset = offload->checksum_offset,
    };
}

int tun_write_parts(const struct tun *tun, const struct offload *offload, const struct iovec *parts,
                    unsigned count)
{
    struct virtio_net_hdr header = header_of(offload);
    struct iovec all[TUN_PARTS_MAX + 1];
    unsigned first = 0;
    ssize_t put;

    if (count > TUN_PARTS_MAX)
        return ERR_INVALID;
    if (tun->has_offload)
        all[first++] = (struct iovec){&header, sizeof header};
    memcpy(all + first, parts, count * sizeof *parts);
    do {
        put = writev(tun->fd, all, (int)(first + count));
    } while (put < 0 && errno == EINTR);
    return put < 0 ? error_of_write() : ERR_OK;
}

int tun_write(const struct tun *tun, const struct packet *packet)
{
    const struct offload none = {.kind = OFFLOAD_NONE};
    const struct iovec part = {packet->data, packet->len};

    return tun_write_parts(tun, &none, &part, 1);
}
