/* Plain socket calls of the DNS proxy. */
#include "io/dns_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_TRIES 16
#define BACKLOG    64

static struct endpoint loopback(enum address_family family, uint16_t port)
{
    static const uint8_t loopback6[16] = {[15] = 1};
    struct endpoint endpoint = {.port = port};
    endpoint.address = family == ADDRESS_IPV4 ? address_from_ipv4(0x7F000001)
                                              : address_from_bytes(ADDRESS_IPV6, loopback6);
    return endpoint;
}

static int open_bound(const struct endpoint *local, int type)
{
    struct sockaddr_storage address;
    socklen_t len = endpoint_to_sockaddr(local, false, &address);
    int one = 1;
    int fd = socket(address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (address.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (type == SOCK_STREAM)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (const struct sockaddr *)&address, len) != 0 ||
        (type == SOCK_STREAM && listen(fd, BACKLOG) != 0)) {
        int error_number = errno;
        close(fd);
        errno = error_number;
        return -1;
    }
    return fd;
}

static int bound_port(int fd, uint16_t *ret_port)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    struct endpoint local;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
        endpoint_from_sockaddr((const struct sockaddr *)&address, &local) != ERR_OK)
        return ERR_IO;
    *ret_port = local.port;
    return ERR_OK;
}

int dns_listener_open(enum address_family family, uint16_t port, int *ret_udp, int *ret_tcp,
                      uint16_t *ret_port)
{
    /* A free UDP port may be taken for TCP: try some. */
    for (int i = 0; i < PORT_TRIES; i++) {
        struct endpoint local = loopback(family, port);
        int udp = open_bound(&local, SOCK_DGRAM);
        if (udp < 0)
            return errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL ? ERR_UNSUPPORTED : ERR_IO;
        int tcp = -1;
        if (bound_port(udp, &local.port) == ERR_OK)
            tcp = open_bound(&local, SOCK_STREAM);
        if (tcp >= 0) {
            *ret_udp = udp;
            *ret_tcp = tcp;
            *ret_port = local.port;
            return ERR_OK;
        }
        close(udp);
        if (port != 0)
            break;
    }
    return ERR_IO;
}

int dns_listener_receive(int udp, uint8_t *buffer, size_t cap, size_t *ret_len,
                         struct endpoint *ret_client)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    ssize_t got = recvfrom(udp, buffer, cap, 0, (struct sockaddr *)&address, &len);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : ERR_IO;
    int error = endpoint_from_sockaddr((const struct sockaddr *)&address, ret_client);
    if (error == ERR_OK)
        *ret_len = (size_t)got;
    return error;
}

void dns_listener_send(int udp, const uint8_t *data, size_t len, const struct endpoint *client)
{
    struct sockaddr_storage address;
    socklen_t address_len = endpoint_to_sockaddr(client, false, &address);
    ssize_t sent = sendto(udp, data, len, 0, (const struct sockaddr *)&address, address_len);
    (void)sent;
}

int dns_upstream_open(const struct endpoint *server, uint32_t mark, int type, int *ret_fd)
{
    struct sockaddr_storage address;
    socklen_t len = endpoint_to_sockaddr(server, false, &address);
    int fd = socket(address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_IO;
    if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) != 0 ||
        (connect(fd, (const struct sockaddr *)&address, len) != 0 && errno != EINPROGRESS)) {
        int error_number = errno;
        close(fd);
        errno = error_number;
        return ERR_IO;
    }
    *ret_fd = fd;
    return ERR_OK;
}
