/* Datagrams as traceroute(8) sends them, and the socket's error queue. */
#include "io/hops.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BASE_PORT   33434 /* traceroute's. The n-th datagram goes to the n-th port behind it. */
#define QUEUE_TRIES 64

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}

int hops_open(const struct address *to, unsigned count, uint32_t mark, int *ret_fd)
{
    struct sockaddr_storage address;
    int fd;

    if (to->family != ADDRESS_IPV4 || count > HOPS_MAX)
        return ERR_INVALID;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_IO;
    if (set(fd, IPPROTO_IP, IP_RECVERR, 1) < 0 ||
        (mark != 0 && set(fd, SOL_SOCKET, SO_MARK, (int)mark) < 0)) {
        close(fd);
        return ERR_IO;
    }
    for (unsigned number = 1; number <= count; number++) {
        const struct endpoint endpoint = {*to, (uint16_t)(BASE_PORT + number)};
        const socklen_t len = endpoint_to_sockaddr(&endpoint, false, &address);
        int tries =
            2; /* an answer to the last one may be reported in place of this one's sending */

        if (set(fd, IPPROTO_IP, IP_TTL, (int)number) < 0)
            continue;
        while (tries-- > 0 &&
               sendto(fd, &number, 1, MSG_NOSIGNAL, (const struct sockaddr *)&address, len) < 0) {
        }
    }
    *ret_fd = fd;
    return ERR_OK;
}

/* What the error's control message says, if it is of a router at which the TTL ended. */
static int parse_error(struct msghdr *header, struct address *ret_router)
{
    struct cmsghdr *control;

    for (control = CMSG_FIRSTHDR(header); control != NULL; control = CMSG_NXTHDR(header, control)) {
        struct {
            struct sock_extended_err error;
            struct sockaddr_in router;
        } what;
        struct endpoint router;

        if (control->cmsg_level != IPPROTO_IP || control->cmsg_type != IP_RECVERR ||
            control->cmsg_len < CMSG_LEN(sizeof what))
            continue;
        memcpy(&what, CMSG_DATA(control), sizeof what);
        if (what.error.ee_origin != SO_EE_ORIGIN_ICMP || what.error.ee_type != ICMP_TIME_EXCEEDED ||
            endpoint_from_sockaddr((const struct sockaddr *)&what.router, &router) < 0)
            return ERR_INVALID;
        *ret_router = router.address;
        return ERR_OK;
    }
    return ERR_INVALID;
}

int hops_receive(int fd, unsigned *ret_number, struct address *ret_router)
{
    for (int tries = 0; tries < QUEUE_TRIES; tries++) {
        union {
            size_t aligned; /* as struct cmsghdr wants it */
            uint8_t bytes[256];
        } control;
        struct sockaddr_in to = {0};
        uint8_t data[16];
        struct iovec part = {.iov_base = data, .iov_len = sizeof data};
        struct msghdr header = {.msg_name = &to,
                                .msg_namelen = sizeof to,
                                .msg_iov = &part,
                                .msg_iovlen = 1,
                                .msg_control = &control,
                                .msg_controllen = sizeof control};
        unsigned number;

        if (recvmsg(fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            return ERR_AGAIN;
        number = (unsigned)ntohs(to.sin_port) - BASE_PORT;
        if (header.msg_namelen < sizeof to || number < 1 || number > HOPS_MAX ||
            parse_error(&header, ret_router) < 0)
            continue;
        *ret_number = number;
        return ERR_OK;
    }
    return ERR_AGAIN;
}
