/* /dev/net/tun: opening, and one system call a packet. */
#include "io/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

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
    else
        request.ifr_flags |= (short)IFF_TUN_EXCL;
    if (ioctl(tun.fd, TUNSETIFF, &request) < 0) {
        error = error_of_errno();
        goto close_fd;
    }
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

int tun_read(const struct tun *tun, struct packet *packet)
{
    size_t room = (size_t)(packet->storage + sizeof packet->storage - packet->data);
    ssize_t got;

    do {
        got = read(tun->fd, packet->data, room);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN ? ERR_AGAIN : ERR_IO;
    packet->len = (uint32_t)got;
    return ERR_OK;
}

int tun_write(const struct tun *tun, const struct packet *packet)
{
    ssize_t put;

    do {
        put = write(tun->fd, packet->data, packet->len);
    } while (put < 0 && errno == EINTR);
    if (put >= 0)
        return ERR_OK;
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
