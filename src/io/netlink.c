/* Netlink requests, one at a time, each with its answer awaited. */
#include "io/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#ifndef NETLINK_GET_STRICT_CHK
#define NETLINK_GET_STRICT_CHK 12
#endif

/* Room for one datagram of a dump: the kernel sends at most 32 KiB at once. */
#define RECEIVE_CAP 32768

static const struct timeval answer_timeout = {.tv_sec = 5};

int netlink_error_of(int error_number)
{
    switch (error_number) {
    case 0:
        return ERR_OK;
    case EEXIST:
        return ERR_EXISTS;
    case ENOENT:
    case ESRCH:
    case ENODEV:
    case ENXIO:
    case EADDRNOTAVAIL:
        return ERR_NOT_FOUND;
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
        return ERR_UNSUPPORTED;
    case EPERM:
    case EACCES:
        return ERR_REFUSED;
    case ENOMEM:
    case ENOBUFS:
        return ERR_NOMEM;
    case EAGAIN:
        return ERR_TIMEOUT;
    default:
        return ERR_IO;
    }
}

int netlink_fail(struct netlink *nl, int error_number, const char *what, const char *explanation)
{
    nl->error_number = error_number;
    snprintf(nl->message, sizeof nl->message, "%s%s%s%s%s%s", what == NULL ? "" : what,
             what == NULL ? "" : ": ",
             error_number == EAGAIN ? "the kernel gave no answer" : strerror(error_number),
             explanation == NULL ? "" : " (", explanation == NULL ? "" : explanation,
             explanation == NULL ? "" : ")");
    errno = error_number;
    return netlink_error_of(error_number);
}

const char *netlink_error(const struct netlink *nl)
{
    return nl->message[0] == 0 ? "no error" : nl->message;
}

int netlink_open(struct netlink *nl, int protocol)
{
    int on = 1;
    int fd;

    memset(nl, 0, sizeof *nl);
    nl->socket = mnl_socket_open2(protocol, SOCK_CLOEXEC);
    if (nl->socket == NULL)
        return netlink_fail(nl, errno, "netlink socket", NULL);
    fd = mnl_socket_get_fd(nl->socket);
    if (mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &answer_timeout, sizeof answer_timeout) < 0) {
        int error = netlink_fail(nl, errno, "netlink socket", NULL);

        mnl_socket_close(nl->socket);
        nl->socket = NULL;
        return error;
    }
    /* Wishes, not needs: explanations, short acknowledgements, and filtered dumps. */
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
    if (protocol == NETLINK_ROUTE)
        (void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    nl->port_id = mnl_socket_get_portid(nl->socket);
    nl->has_secrets = protocol == NETLINK_XFRM;
    return ERR_OK;
}

void netlink_close(struct netlink *nl)
{
    if (nl->socket != NULL)
        mnl_socket_close(nl->socket);
    nl->socket = NULL;
}

struct nlmsghdr *netlink_begin(struct netlink *nl, uint16_t type, uint16_t flags, size_t extra_len)
{
    struct nlmsghdr *request;

    memset(nl->request, 0, sizeof nl->request);
    request = mnl_nlmsg_put_header(nl->request);
    request->nlmsg_type = type;
    request->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    mnl_nlmsg_put_extra_header(request, extra_len);
    return request;
}

const char *netlink_explanation(const struct nlmsghdr *message)
{
    const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);
    size_t fixed = sizeof *error;
    const struct nlattr *attribute;

    if (!(message->nlmsg_flags & NLM_F_ACK_TLVS))
        return NULL;
    /* Without CAPPED the whole request is quoted before the attributes. */
    if (!(message->nlmsg_flags & NLM_F_CAPPED))
        fixed += MNL_ALIGN(mnl_nlmsg_get_payload_len(message) < fixed
                               ? 0
                               : error->msg.nlmsg_len - sizeof(struct nlmsghdr));
    if (mnl_nlmsg_get_payload_len(message) < fixed)
        return NULL;
    mnl_attr_for_each(attribute, message, fixed)
    {
        if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG &&
            mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
            return mnl_attr_get_str(attribute);
    }
    return NULL;
}

struct answer {
    struct netlink *nl;
    netlink_take *take;
    void *context;
    int taken; /* first thing that take objected to */
    bool is_interrupted;
    bool is_done;
    int error;
};

static void take_message(struct answer *a, const struct nlmsghdr *message)
{
    if (message->nlmsg_flags & NLM_F_DUMP_INTR)
        a->is_interrupted = true;
    if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE) {
        int32_t code = 0;

        if (mnl_nlmsg_get_payload_len(message) >= sizeof code)
            memcpy(&code, mnl_nlmsg_get_payload(message), sizeof code);
        a->is_done = true;
        if (code < 0)
            a->error = netlink_fail(
                a->nl, -code, NULL,
                message->nlmsg_type == NLMSG_ERROR ? netlink_explanation(message) : NULL);
        return;
    }
    if (message->nlmsg_type >= NLMSG_MIN_TYPE && a->take != NULL && a->taken == ERR_OK)
        a->taken = a->take(message, a->context);
}

/* buffer: of RECEIVE_CAP bytes, aligned for struct nlmsghdr. */
static int read_into(void *buffer, struct answer *a, uint32_t sequence)
{
    while (!a->is_done) {
        ssize_t got = mnl_socket_recvfrom(a->nl->socket, buffer, RECEIVE_CAP);
        const struct nlmsghdr *message = buffer;
        int left = (int)got;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return netlink_fail(a->nl, errno, NULL, NULL);
        for (; mnl_nlmsg_ok(message, left) && !a->is_done;
             message = mnl_nlmsg_next(message, &left)) {
            /* Late answers to a request that was given up on are not ours. */
            if (message->nlmsg_seq == sequence && message->nlmsg_pid == a->nl->port_id)
                take_message(a, message);
        }
    }
    if (a->error < 0)
        return a->error;
    if (a->is_interrupted)
        return ERR_AGAIN;
    return a->taken;
}

static int read_answer(struct answer *a, uint32_t sequence)
{
    uint64_t buffer[RECEIVE_CAP / 8];
    int error = read_into(buffer, a, sequence);

    if (a->nl->has_secrets)
        explicit_bzero(buffer, sizeof buffer);
    return error;
}

int netlink_query(struct netlink *nl, struct nlmsghdr *request, netlink_take *take, void *context)
{
    struct answer answer = {.nl = nl, .take = take, .context = context};

    if (nl->socket == NULL)
        return netlink_fail(nl, EBADF, "netlink socket", NULL);
    /* Fixed headers and attributes never come near the cap; this is for the day they do. */
    if (request->nlmsg_len > sizeof nl->request)
        return ERR_FULL;
    request->nlmsg_seq = ++nl->sequence;
    while (mnl_socket_sendto(nl->socket, request, request->nlmsg_len) < 0) {
        if (errno != EINTR)
            return netlink_fail(nl, errno, NULL, NULL);
    }
    return read_answer(&answer, nl->sequence);
}

int netlink_request(struct netlink *nl, struct nlmsghdr *request)
{
    return netlink_query(nl, request, NULL, NULL);
}
