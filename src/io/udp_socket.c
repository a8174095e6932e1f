/* Opening a UDP socket with all that tunnels want of it, and asking for a path's MTU. */
#include "io/udp_internal.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

uint8_t udp_tos_of(struct msghdr *header)
{
    struct cmsghdr *control;

    for (control = CMSG_FIRSTHDR(header); control != NULL; control = CMSG_NXTHDR(header, control)) {
        /* IPv4 gives one byte, IPv6 an int. */
        if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TOS &&
            control->cmsg_len >= CMSG_LEN(1))
            return *CMSG_DATA(control);
        if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_TCLASS &&
            control->cmsg_len >= CMSG_LEN(sizeof(int))) {
            int value;

            memcpy(&value, CMSG_DATA(control), sizeof value);
            return (uint8_t)value;
        }
    }
    return 0;
}

bool udp_error_is_passing(int error_number)
{
    return error_number == EINTR || error_number == ECONNREFUSED || error_number == EHOSTUNREACH ||
           error_number == ENETUNREACH || error_number == EHOSTDOWN || error_number == EPROTO ||
           error_number == ENOPROTOOPT || error_number == ENETDOWN || error_number == EMSGSIZE;
}

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}

/* What a socket of either family does for IPv4, mapped addresses included. Never a fragment: DF on
 * all packets, and EMSGSIZE where the path is known to be too narrow, or the interface is. */
static int configure_ipv4(int fd, bool is_probing)
{
    if (set(fd, IPPROTO_IP, IP_MTU_DISCOVER, is_probing ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DO) < 0 ||
        (is_probing && set(fd, IPPROTO_IP, IP_RECVERR, 1) < 0) ||
        set(fd, IPPROTO_IP, IP_RECVTOS, 1) < 0)
        return ERR_IO;
    return ERR_OK;
}

static int configure_ipv6(int fd, bool is_probing)
{
    if (set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) < 0 ||
        set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
            is_probing ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_DO) < 0 ||
        (is_probing && set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1) < 0) ||
        set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1) < 0)
        return ERR_IO;
    return ERR_OK;
}

static int configure(int fd, bool is_dual_stack, const struct udp_options *options)
{
    int error = configure_ipv4(fd, options->is_probing);

    if (error == ERR_OK && is_dual_stack)
        error = configure_ipv6(fd, options->is_probing);
    if (error < 0)
        return error;
    if (options->mark != 0 && set(fd, SOL_SOCKET, SO_MARK, (int)options->mark) < 0)
        return errno == EPERM ? ERR_REFUSED : ERR_IO;
    if (options->is_shared && set(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0)
        return ERR_IO;
    /* As much as we may have; FORCE goes beyond the system's limit but needs CAP_NET_ADMIN. */
    if (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, UDP_BUFFER_BYTES) < 0)
        (void)set(fd, SOL_SOCKET, SO_RCVBUF, UDP_BUFFER_BYTES);
    if (set(fd, SOL_SOCKET, SO_SNDBUFFORCE, UDP_BUFFER_BYTES) < 0)
        (void)set(fd, SOL_SOCKET, SO_SNDBUF, UDP_BUFFER_BYTES);
    return ERR_OK;
}

static int bind_to_all(struct udp *udp, uint16_t port)
{
    struct sockaddr_storage local = {0};
    socklen_t len = sizeof local;
    struct sockaddr_in6 any_ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in any_ipv4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct endpoint bound;
    int bind_result = udp->is_dual_stack
                          ? bind(udp->fd, (const struct sockaddr *)&any_ipv6, sizeof any_ipv6)
                          : bind(udp->fd, (const struct sockaddr *)&any_ipv4, sizeof any_ipv4);

    if (bind_result < 0)
        return errno == EADDRINUSE ? ERR_EXISTS : errno == EACCES ? ERR_REFUSED : ERR_IO;
    if (getsockname(udp->fd, (struct sockaddr *)&local, &len) < 0 ||
        endpoint_from_sockaddr((const struct sockaddr *)&local, &bound) < 0)
        return ERR_IO;
    udp->port = bound.port;
    return ERR_OK;
}

/* ERR_NOMEM only: what the kernel lacks is done without. */
static int start_offload(struct udp *udp)
{
    int value;
    socklen_t len = sizeof value;
    int error = udp_gro_new(udp->fd, &udp->gro);

    udp->has_gso = getsockopt(udp->fd, SOL_UDP, UDP_SEGMENT, &value, &len) == 0;
    return error == ERR_UNSUPPORTED ? ERR_OK : error;
}

int udp_open(const struct udp_options *options, struct udp *ret_udp)
{
    struct udp udp = {.is_dual_stack = true, .mark = options->mark};
    int saved;
    int error;

    udp.fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (udp.fd < 0 && errno == EAFNOSUPPORT) {
        udp.is_dual_stack = false;
        udp.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    if (udp.fd < 0)
        return ERR_IO;
    error = configure(udp.fd, udp.is_dual_stack, options);
    if (error == ERR_OK)
        error = bind_to_all(&udp, options->port);
    if (error == ERR_OK && options->has_offload)
        error = start_offload(&udp);
    if (error == ERR_OK) {
        *ret_udp = udp;
        return ERR_OK;
    }
    saved = errno;
    close(udp.fd);
    errno = saved;
    return error;
}

int udp_share(const struct udp *udp)
{
    return set(udp->fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0 ? ERR_IO : ERR_OK;
}

void udp_close(struct udp *udp)
{
    if (udp->fd >= 0)
        close(udp->fd);
    udp->fd = -1;
    udp_gro_free(udp->gro);
    udp->gro = NULL;
}

int udp_path_mtu(const struct udp *udp, const struct endpoint *to, uint32_t *ret_mtu)
{
    struct sockaddr_storage address;
    socklen_t len = endpoint_to_sockaddr(to, false, &address);
    bool is_ipv4 = to->address.family == ADDRESS_IPV4;
    socklen_t mtu_len;
    int mtu = 0;
    int error = ERR_IO;
    /* Only a connected socket has an MTU, and ours has many peers. */
    int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return ERR_IO;
    mtu_len = sizeof mtu;
    if ((udp->mark == 0 || set(fd, SOL_SOCKET, SO_MARK, (int)udp->mark) == 0) &&
        set(fd, is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6, is_ipv4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER,
            is_ipv4 ? IP_PMTUDISC_DO : IPV6_PMTUDISC_DO) == 0 &&
        connect(fd, (const struct sockaddr *)&address, len) == 0 &&
        getsockopt(fd, is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6, is_ipv4 ? IP_MTU : IPV6_MTU, &mtu,
                   &mtu_len) == 0 &&
        mtu > 0) {
        *ret_mtu = (uint32_t)mtu;
        error = ERR_OK;
    }
    close(fd);
    return error;
}

/* Packets that other threads send by this socket meanwhile may be cut likewise: no harm. */
int udp_send_fragmented(struct udp *udp, const struct endpoint *to, const void *data, size_t len)
{
    const bool is_ipv4 = to->address.family == ADDRESS_IPV4;
    const int level = is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6;
    const int option = is_ipv4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER;
    socklen_t value_len = sizeof(int);
    int before;

    if (getsockopt(udp->fd, level, option, &before, &value_len) < 0 ||
        set(udp->fd, level, option, is_ipv4 ? IP_PMTUDISC_DONT : IPV6_PMTUDISC_DONT) < 0)
        return ERR_IO;
    const int error = udp_send(udp, to, 0, data, len);
    return set(udp->fd, level, option, before) < 0 ? ERR_IO : error;
}
