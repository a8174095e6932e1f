/* Batched UDP on one socket. Where it is bound to any address, IP_PKTINFO says which one was asked
 * and sets the answer's source: resolvers and hosts drop answers from another address. */
#include "connector/udp_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH       32
#define TURNS_MAX   8 /* batches before the loop's other work gets its turn */
#define RECEIVE_CAP (1 << 20)

#define CONTROL_CAP (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo)))

struct datagram {
    uint8_t in[UDP_SERVER_LEN_MAX];
    uint8_t out[UDP_SERVER_LEN_MAX];
    struct sockaddr_storage peer;
    _Alignas(struct cmsghdr) uint8_t control[CONTROL_CAP];
    struct iovec in_part, out_part;
};

struct udp_server {
    uv_poll_t poll;
    int fd;
    uint16_t port;
    udp_server_answer *answer;
    void *context;
    uint64_t received;
    struct datagram datagrams[BATCH];
    struct mmsghdr incoming[BATCH];
    struct mmsghdr outgoing[BATCH];
};

static int open_socket(const struct endpoint *listen, uint16_t *ret_port)
{
    struct sockaddr_storage address;
    const bool is_ipv6 = listen->address.family == ADDRESS_IPV6;
    const int on = 1, off = 0, size = RECEIVE_CAP;
    const int fd =
        socket(is_ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* Best effort: the kernel's own limit may be lower. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    socklen_t len = endpoint_to_sockaddr(listen, false, &address);
    bool is_set = setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) == 0;
    if (is_ipv6)
        is_set = setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) == 0 &&
                 setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0;
    if (is_set && bind(fd, (const struct sockaddr *)&address, len) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &len) == 0) {
        /* The port is at the same place in both families' structs. */
        *ret_port = ntohs(((const struct sockaddr_in *)&address)->sin_port);
        return fd;
    }
    const int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static void prepare_receive(struct udp_server *server)
{
    for (size_t i = 0; i < BATCH; i++) {
        struct datagram *datagram = &server->datagrams[i];
        struct msghdr *header = &server->incoming[i].msg_hdr;
        datagram->in_part.iov_base = datagram->in;
        datagram->in_part.iov_len = sizeof datagram->in;
        memset(header, 0, sizeof *header);
        header->msg_name = &datagram->peer;
        header->msg_namelen = sizeof datagram->peer;
        header->msg_iov = &datagram->in_part;
        header->msg_iovlen = 1;
        header->msg_control = datagram->control;
        header->msg_controllen = sizeof datagram->control;
    }
}

/* What came as "arrived at this address" goes back as "send from this address"; the interface is
 * left to routing, as the way back may be another one. Returns the length of the control data. */
static size_t turn_control(struct msghdr *header)
{
    struct in_pktinfo ipv4;
    struct in6_pktinfo ipv6;
    int type = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            memcpy(&ipv4, CMSG_DATA(c), sizeof ipv4);
            ipv4.ipi_ifindex = 0;
            ipv4.ipi_spec_dst = ipv4.ipi_addr;
            type = IP_PKTINFO;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            memcpy(&ipv6, CMSG_DATA(c), sizeof ipv6);
            /* A link-local address needs its interface. */
            if (!IN6_IS_ADDR_LINKLOCAL(&ipv6.ipi6_addr))
                ipv6.ipi6_ifindex = 0;
            type = IPV6_PKTINFO;
        }
    }
    if (type == 0)
        return 0;
    struct cmsghdr *c = header->msg_control;
    const size_t len = type == IP_PKTINFO ? sizeof ipv4 : sizeof ipv6;
    memset(header->msg_control, 0, CONTROL_CAP);
    c->cmsg_level = type == IP_PKTINFO ? IPPROTO_IP : IPPROTO_IPV6;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), type == IP_PKTINFO ? (const void *)&ipv4 : (const void *)&ipv6, len);
    return CMSG_SPACE(len);
}

/* Answers datagram i; true if outgoing has a new message. */
static bool answer_one(struct udp_server *server, size_t i, struct mmsghdr *outgoing)
{
    struct datagram *datagram = &server->datagrams[i];
    struct mmsghdr *incoming = &server->incoming[i];
    struct endpoint from;
    server->received++;
    if ((incoming->msg_hdr.msg_flags & MSG_TRUNC) != 0 ||
        endpoint_from_sockaddr((const struct sockaddr *)&datagram->peer, &from) != ERR_OK ||
        from.port == 0)
        return false;
    const size_t len =
        server->answer(server->context, datagram->in, incoming->msg_len, &from, datagram->out);
    if (len == 0 || len > sizeof datagram->out)
        return false;
    datagram->out_part.iov_base = datagram->out;
    datagram->out_part.iov_len = len;
    outgoing->msg_hdr = incoming->msg_hdr;
    outgoing->msg_hdr.msg_iov = &datagram->out_part;
    outgoing->msg_hdr.msg_flags = 0;
    outgoing->msg_hdr.msg_controllen = turn_control(&incoming->msg_hdr);
    if (outgoing->msg_hdr.msg_controllen == 0)
        outgoing->msg_hdr.msg_control = NULL;
    return true;
}

/* One that cannot be sent is skipped, as the network would lose it. */
static void send_all(struct udp_server *server, size_t count)
{
    size_t sent = 0;
    while (sent < count) {
        const int result =
            sendmmsg(server->fd, server->outgoing + sent, (unsigned)(count - sent), 0);
        if (result < 0 && errno == EINTR)
            continue;
        sent += result > 0 ? (size_t)result : 1;
    }
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct udp_server *server = poll->data;
    for (int turn = 0; turn < TURNS_MAX; turn++) {
        size_t answers = 0;
        prepare_receive(server);
        const int count = recvmmsg(server->fd, server->incoming, BATCH, 0, NULL);
        if (count <= 0)
            return; /* nothing more, or an ICMP error of an earlier answer, cleared by reading it */
        for (size_t i = 0; i < (size_t)count; i++)
            answers += answer_one(server, i, &server->outgoing[answers]);
        send_all(server, answers);
        if (count < BATCH)
            return;
    }
}

int udp_server_new(uv_loop_t *loop, const struct endpoint *listen, udp_server_answer *answer,
                   void *context, struct udp_server **ret_server)
{
    struct udp_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return ERR_NOMEM;
    server->answer = answer;
    server->context = context;
    server->fd = open_socket(listen, &server->port);
    if (server->fd < 0) {
        free(server);
        return ERR_IO;
    }
    int result = uv_poll_init(loop, &server->poll, server->fd);
    if (result != 0) {
        close(server->fd);
        free(server);
        errno = -result;
        return ERR_IO;
    }
    server->poll.data = server;
    result = uv_poll_start(&server->poll, UV_READABLE, on_readable);
    if (result != 0) {
        udp_server_close(server);
        errno = -result;
        return ERR_IO;
    }
    *ret_server = server;
    return ERR_OK;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void udp_server_close(struct udp_server *server)
{
    if (server == NULL)
        return;
    uv_poll_stop(&server->poll);
    close(server->fd);
    uv_close((uv_handle_t *)&server->poll, on_closed);
}

uint16_t udp_server_port(const struct udp_server *server)
{
    return server->port;
}

uint64_t udp_server_received(const struct udp_server *server)
{
    return server->received;
}
