/* Sockets towards a gateway. */
#include "io/gateway_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static int error_of(int number)
{
    switch (number) {
    case EAGAIN:
    case EINTR:
    case ENOBUFS:
        return ERR_AGAIN;
    case ECONNREFUSED:
    case EPERM:
        return ERR_REFUSED;
    default:
        return ERR_IO;
    }
}

int gateway_socket_open(const struct endpoint *gateway, uint32_t mark, int *ret_fd,
                        struct address *ret_local)
{
    struct sockaddr_storage address;
    struct endpoint local;
    socklen_t len = endpoint_to_sockaddr(gateway, false, &address);
    int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = ERR_OK;
    if (fd < 0)
        return ERR_IO;
    if (mark != 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
        error = error_of(errno);
    if (error == ERR_OK && connect(fd, (const struct sockaddr *)&address, len) < 0)
        error = error_of(errno);
    len = sizeof(address);
    if (error == ERR_OK && getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        error = error_of(errno);
    if (error == ERR_OK)
        error = endpoint_from_sockaddr((const struct sockaddr *)&address, &local);
    if (error != ERR_OK) {
        close(fd);
        return error;
    }
    *ret_fd = fd;
    *ret_local = local.address;
    return ERR_OK;
}

int gateway_socket_receive(int fd, void *buffer, size_t cap, size_t *ret_len)
{
    ssize_t got = recv(fd, buffer, cap, 0);
    if (got < 0)
        return error_of(errno);
    *ret_len = (size_t)got;
    return ERR_OK;
}

int gateway_socket_send(int fd, const void *data, size_t len)
{
    return send(fd, data, len, MSG_NOSIGNAL) < 0 ? error_of(errno) : ERR_OK;
}

int announce_socket_open(const struct endpoint *group, const struct address *local, int *ret_fd)
{
    struct sockaddr_storage address;
    socklen_t len = endpoint_to_sockaddr(group, false, &address);
    struct ip_mreqn member = {.imr_multiaddr.s_addr = htonl(address_to_ipv4(&group->address)),
                              .imr_address.s_addr = htonl(address_to_ipv4(local))};
    const int on = 1, off = 0;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_IO;
    /* Bound to the group: nothing that is addressed to this host comes in. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off)) < 0 ||
        bind(fd, (const struct sockaddr *)&address, len) < 0 ||
        setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof(member)) < 0) {
        close(fd);
        return ERR_IO;
    }
    *ret_fd = fd;
    return ERR_OK;
}

int announce_socket_receive(int fd, void *buffer, size_t cap, size_t *ret_len,
                            struct endpoint *ret_from)
{
    struct sockaddr_storage address;
    socklen_t address_len = sizeof(address);
    struct endpoint from;
    ssize_t got = recvfrom(fd, buffer, cap, 0, (struct sockaddr *)&address, &address_len);
    if (got < 0)
        return error_of(errno);
    int error = endpoint_from_sockaddr((const struct sockaddr *)&address, &from);
    if (error != ERR_OK)
        return error;
    *ret_len = (size_t)got;
    *ret_from = from;
    return ERR_OK;
}
