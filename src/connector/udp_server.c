/* Batched UDP on one socket. Where it is bound to any address, IP_PKTINFO says which one was asked
 * and sets the answer's source: resolvers and hosts drop answers from another address. Answers that
 * leave from another port (STUN's CHANGE-REQUEST) are rare, and sent one by one. */
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
    bool is_ipv6; /* takes IPv4 too */
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

/* The address that a datagram was sent to; ADDRESS_NONE if the kernel did not say. */
static struct address asked_address(struct msghdr *header, unsigned *ret_link)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in *ipv4_name = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *ipv6_name = (struct sockaddr_in6 *)&storage;
    struct in_pktinfo ipv4;
    struct in6_pktinfo ipv6;
    struct endpoint asked = {0};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            memcpy(&ipv4, CMSG_DATA(c), sizeof ipv4);
            ipv4_name->sin_family = AF_INET;
            ipv4_name->sin_addr = ipv4.ipi_addr;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            memcpy(&ipv6, CMSG_DATA(c), sizeof ipv6);
            ipv6_name->sin6_family = AF_INET6;
            ipv6_name->sin6_addr = ipv6.ipi6_addr;
            *ret_link = ipv6.ipi6_ifindex;
        }
    }
    if (storage.ss_family == 0 ||
        endpoint_from_sockaddr((const struct sockaddr *)&storage, &asked) != ERR_OK)
        return (struct address){0};
    return asked.address;
}

/* Sets the source address of a datagram. The interface is left to routing, as the way back may be
 * another one; only a link-local address needs its own. */
static void put_source(struct msghdr *header, const struct udp_server *via,
                       const struct address *source, unsigned link)
{
    const struct endpoint end = {*source, 0};
    struct sockaddr_storage storage;
    struct in_pktinfo ipv4 = {0};
    struct in6_pktinfo ipv6 = {0};
    struct cmsghdr *c = header->msg_control;
    if (source->family == ADDRESS_NONE) {
        header->msg_control = NULL;
        header->msg_controllen = 0;
        return;
    }
    (void)endpoint_to_sockaddr(&end, via->is_ipv6, &storage);
    const size_t len = via->is_ipv6 ? sizeof ipv6 : sizeof ipv4;
    memset(c, 0, CONTROL_CAP);
    c->cmsg_level = via->is_ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
    c->cmsg_type = via->is_ipv6 ? IPV6_PKTINFO : IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(len);
    if (via->is_ipv6) {
        ipv6.ipi6_addr = ((const struct sockaddr_in6 *)&storage)->sin6_addr;
        ipv6.ipi6_ifindex = address_is_link_local(source) ? link : 0;
        memcpy(CMSG_DATA(c), &ipv6, len);
    } else {
        ipv4.ipi_spec_dst = ((const struct sockaddr_in *)&storage)->sin_addr;
        memcpy(CMSG_DATA(c), &ipv4, len);
    }
    header->msg_controllen = CMSG_SPACE(len);
}

/* Answers datagram i into outgoing; true if there is a message to send from `server` itself. */
static bool answer_one(struct udp_server *server, size_t i, struct mmsghdr *outgoing)
{
    struct datagram *datagram = &server->datagrams[i];
    struct msghdr *incoming = &server->incoming[i].msg_hdr;
    struct udp_request request = {.data = datagram->in, .len = server->incoming[i].msg_len};
    unsigned link = 0;
    server->received++;
    if ((incoming->msg_flags & MSG_TRUNC) != 0 ||
        endpoint_from_sockaddr((const struct sockaddr *)&datagram->peer, &request.from) != ERR_OK ||
        request.from.port == 0)
        return false;
    request.to = (struct endpoint){asked_address(incoming, &link), server->port};
    struct udp_reply reply = {datagram->out, request.from, server, request.to.address};
    const size_t len = server->answer(server->context, &request, &reply);
    if (len == 0 || len > sizeof datagram->out)
        return false;
    datagram->out_part.iov_base = datagram->out;
    datagram->out_part.iov_len = len;
    outgoing->msg_hdr = *incoming;
    outgoing->msg_hdr.msg_iov = &datagram->out_part;
    outgoing->msg_hdr.msg_flags = 0;
    if (!endpoint_is_equal(&reply.to, &request.from))
        outgoing->msg_hdr.msg_namelen =
            endpoint_to_sockaddr(&reply.to, reply.via->is_ipv6, &datagram->peer);
    put_source(&outgoing->msg_hdr, reply.via, &reply.source, link);
    if (reply.via == server)
        return true;
    (void)sendmsg(reply.via->fd, &outgoing->msg_hdr, MSG_DONTWAIT | MSG_NOSIGNAL);
    return false;
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
    server->is_ipv6 = listen->address.family == ADDRESS_IPV6;
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
