/* A socket whose ESP the kernel takes. */
#include "io/udp_internal.h"
#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}

static int prepare(const struct udp *udp, const struct address *local,
                   const struct endpoint *remote)
{
    const struct endpoint own = {.address = *local, .port = udp->port};
    struct sockaddr_storage address;
    socklen_t len = endpoint_to_sockaddr(&own, false, &address);

    if (bind(udp->fd, (const struct sockaddr *)&address, len) < 0)
        return ERR_IO;
    len = endpoint_to_sockaddr(remote, false, &address);
    if (connect(udp->fd, (const struct sockaddr *)&address, len) < 0)
        return ERR_IO;
    /* Only now: before, anybody's datagrams would have come here. */
    return set(udp->fd, IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP) < 0 ? ERR_UNSUPPORTED : ERR_OK;
}

int udp_open_encapsulated(const struct udp *beside, const struct address *local,
                          const struct endpoint *remote, struct udp *ret_udp)
{
    int was_shared = 0;
    socklen_t len = sizeof was_shared;
    struct udp udp = {.fd = -1, .port = beside->port, .mark = beside->mark};

    if (local->family != ADDRESS_IPV4 || remote->address.family != ADDRESS_IPV4)
        return ERR_INVALID;
    udp.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (udp.fd < 0)
        return ERR_IO;
    (void)getsockopt(beside->fd, SOL_SOCKET, SO_REUSEPORT, &was_shared, &len);
    /* beside's is shared for this moment only. The new one stays willing, for the next one with the
     * same local address: who has our user id and asks for it can share the port with that. */
    int error = set(beside->fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0 ||
                        set(udp.fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0 ||
                        (udp.mark != 0 && set(udp.fd, SOL_SOCKET, SO_MARK, (int)udp.mark) < 0)
                    ? ERR_IO
                    : prepare(&udp, local, remote);
    (void)set(beside->fd, SOL_SOCKET, SO_REUSEPORT, was_shared);
    if (error == ERR_OK)
        *ret_udp = udp;
    else
        close(udp.fd);
    return error;
}
