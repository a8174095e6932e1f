/* What the kernel keeps of datagrams that were too long: its error queue, with the quoted sender
 * and receiver checked against the socket. */
#include "io/udp.h"
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define TURNS 64 /* errors of other kinds that one call passes over */

static const struct sock_extended_err *find_error(struct msghdr *header)
{
    struct cmsghdr *control;

    for (control = CMSG_FIRSTHDR(header); control != NULL; control = CMSG_NXTHDR(header, control)) {
        if (((control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_RECVERR) ||
             (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_RECVERR)) &&
            control->cmsg_len >= CMSG_LEN(sizeof(struct sock_extended_err)))
            return (const struct sock_extended_err *)(const void *)CMSG_DATA(control);
    }
    return NULL;
}

int udp_receive_too_big(struct udp *udp, struct udp_too_big *ret_too_big)
{
    union {
        size_t aligned; /* as struct cmsghdr wants it */
        uint8_t bytes[512];
    } control;
    struct sockaddr_storage to;
    uint8_t quoted;
    int turn;

    for (turn = 0; turn < TURNS; turn++) {
        struct iovec part = {.iov_base = &quoted, .iov_len = sizeof quoted};
        struct msghdr header = {.msg_name = &to,
                                .msg_namelen = sizeof to,
                                .msg_iov = &part,
                                .msg_iovlen = 1,
                                .msg_control = &control,
                                .msg_controllen = sizeof control};
        const struct sock_extended_err *error;
        struct endpoint peer;

        if (recvmsg(udp->fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : ERR_IO;
        error = find_error(&header);
        if (error == NULL || error->ee_errno != EMSGSIZE || error->ee_info == 0 ||
            endpoint_from_sockaddr((const struct sockaddr *)&to, &peer) < 0)
            continue;
        ret_too_big->to = peer;
        ret_too_big->size = error->ee_info;
        ret_too_big->is_local = error->ee_origin == SO_EE_ORIGIN_LOCAL;
        return ERR_OK;
    }
    return ERR_AGAIN;
}
