/* recvmmsg and sendmmsg on struct packet. Opening and the path MTU are udp_socket.c. */
#include "io/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define TIMESTAMP_OPTION_LEN 8

/* Room for the TOS byte or traffic class, of either family, or for IP options. */
union control {
    size_t aligned; /* as struct cmsghdr wants it */
    uint8_t bytes[CMSG_SPACE(sizeof(int)) * 2];
};

struct batch {
    struct mmsghdr headers[UDP_BATCH_CAP];
    struct iovec parts[UDP_BATCH_CAP];
    struct sockaddr_storage addresses[UDP_BATCH_CAP];
    union control controls[UDP_BATCH_CAP];
};

static uint32_t room_of(const struct packet *packet)
{
    return (uint32_t)(packet->storage + sizeof packet->storage - packet->data);
}

static uint8_t tos_of(struct msghdr *header)
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

/* A pending error of an earlier datagram (ICMP) is reported by the next call, whatever that does.
 */
static bool is_passing(int error_number)
{
    return error_number == EINTR || error_number == ECONNREFUSED || error_number == EHOSTUNREACH ||
           error_number == ENETUNREACH || error_number == EHOSTDOWN || error_number == EPROTO ||
           error_number == ENOPROTOOPT || error_number == ENETDOWN || error_number == EMSGSIZE;
}

static int receive(struct udp *udp, struct batch *batch, unsigned count)
{
    unsigned tries;

    for (tries = 0; tries < UDP_BATCH_CAP; tries++) {
        int got = recvmmsg(udp->fd, batch->headers, count, MSG_DONTWAIT, NULL);

        if (got > 0)
            return got;
        if (got == 0 || errno == EAGAIN)
            return ERR_AGAIN;
        if (!is_passing(errno))
            return errno == ENOMEM || errno == ENOBUFS ? ERR_AGAIN : ERR_IO;
    }
    return ERR_AGAIN;
}

int udp_receive_batch(struct udp *udp, struct packet **packets, unsigned count, unsigned *ret_count)
{
    struct batch batch;
    unsigned kept = 0;
    unsigned i;
    int got;

    if (count > UDP_BATCH_CAP)
        count = UDP_BATCH_CAP;
    for (i = 0; i < count; i++) {
        struct msghdr *header = &batch.headers[i].msg_hdr;

        batch.parts[i] =
            (struct iovec){.iov_base = packets[i]->data, .iov_len = room_of(packets[i])};
        *header = (struct msghdr){.msg_name = &batch.addresses[i],
                                  .msg_namelen = sizeof batch.addresses[i],
                                  .msg_iov = &batch.parts[i],
                                  .msg_iovlen = 1,
                                  .msg_control = &batch.controls[i],
                                  .msg_controllen = sizeof batch.controls[i]};
    }
    got = receive(udp, &batch, count);
    if (got < 0)
        return got;
    for (i = 0; i < (unsigned)got; i++) {
        struct msghdr *header = &batch.headers[i].msg_hdr;
        struct packet *packet = packets[i];

        if ((header->msg_flags & MSG_TRUNC) ||
            endpoint_from_sockaddr((const struct sockaddr *)&batch.addresses[i], &packet->peer) < 0)
            continue;
        packet->len = batch.headers[i].msg_len;
        packet->tos = tos_of(header);
        packets[i] = packets[kept];
        packets[kept++] = packet;
    }
    *ret_count = kept;
    return kept > 0 ? ERR_OK : ERR_AGAIN;
}

static void put_control(struct msghdr *header, union control *control, int level, int type,
                        const void *value, size_t len)
{
    struct cmsghdr *message;

    memset(control, 0, sizeof *control);
    header->msg_control = control;
    header->msg_controllen = CMSG_SPACE(len);
    message = CMSG_FIRSTHDR(header);
    message->cmsg_level = level;
    message->cmsg_type = type;
    message->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(message), value, len);
}

/* IPv4 takes IP_TOS, and the others, also on an AF_INET6 socket with a mapped destination. */
static void put_tos(struct msghdr *header, union control *control, const struct endpoint *to,
                    uint8_t tos)
{
    bool is_ipv4 = to->address.family == ADDRESS_IPV4;
    int value = tos;

    put_control(header, control, is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6,
                is_ipv4 ? IP_TOS : IPV6_TCLASS, &value, sizeof value);
}

static void put_datagram(const struct udp *udp, struct batch *batch, unsigned i,
                         const struct endpoint *to, uint8_t tos, const void *data, size_t len)
{
    struct msghdr *header = &batch->headers[i].msg_hdr;

    batch->headers[i] = (struct mmsghdr){0};
    batch->parts[i].iov_base = (void *)(uintptr_t)data;
    batch->parts[i].iov_len = len;
    header->msg_name = &batch->addresses[i];
    header->msg_namelen = endpoint_to_sockaddr(to, udp->is_dual_stack, &batch->addresses[i]);
    header->msg_iov = &batch->parts[i];
    header->msg_iovlen = 1;
    if (tos != 0)
        put_tos(header, &batch->controls[i], to, tos);
}

static int8_t result_of_errno(void)
{
    switch (errno) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
        return ERR_AGAIN;
    case EMSGSIZE:
        return ERR_LIMIT;
    default:
        return ERR_IO;
    }
}

/* Sends what the batch holds; see udp_send_batch. */
static int send_all(struct udp *udp, struct batch *batch, unsigned count, int8_t *ret_results)
{
    int first_error = ERR_OK;
    bool is_retried = false;
    unsigned at = 0;

    while (at < count) {
        int sent = sendmmsg(udp->fd, batch->headers + at, count - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        int8_t result;

        if (sent > 0) {
            memset(ret_results + at, ERR_OK, (size_t)sent);
            at += (unsigned)sent;
            is_retried = false;
            continue;
        }
        if (errno == EINTR)
            continue;
        result = result_of_errno();
        if (first_error == ERR_OK && (result == ERR_AGAIN || is_retried))
            first_error = result;
        if (result == ERR_AGAIN) {
            memset(ret_results + at, ERR_AGAIN, count - at);
            break;
        }
        /* The error may be an earlier datagram's: once more tells. */
        if (!is_retried) {
            is_retried = true;
            continue;
        }
        ret_results[at++] = result;
        is_retried = false;
    }
    return first_error;
}

int udp_send_batch(struct udp *udp, struct packet *const *packets, unsigned count,
                   int8_t *ret_results)
{
    struct batch batch;
    unsigned i;

    if (count > UDP_BATCH_CAP)
        return ERR_INVALID;
    for (i = 0; i < count; i++)
        put_datagram(udp, &batch, i, &packets[i]->peer, packets[i]->tos, packets[i]->data,
                     packets[i]->len);
    return send_all(udp, &batch, count, ret_results);
}

int udp_send(struct udp *udp, const struct endpoint *to, uint8_t tos, const void *data, size_t len)
{
    struct batch batch;
    int8_t result;

    put_datagram(udp, &batch, 0, to, tos, data, len);
    return send_all(udp, &batch, 1, &result);
}

/* The option is as short as one with room for a single timestamp can be; its pointer stands behind
 * the end. Every hop counts up the high half of byte 3, and at 15 complains instead. */
int udp_send_opener(struct udp *udp, const struct endpoint *to, unsigned depth, const void *data,
                    size_t len)
{
    const uint8_t option[TIMESTAMP_OPTION_LEN] = {IPOPT_TIMESTAMP, TIMESTAMP_OPTION_LEN,
                                                  TIMESTAMP_OPTION_LEN + 1,
                                                  (uint8_t)((UDP_OPENER_DEPTH_MAX - depth) << 4)};
    struct batch batch;
    int8_t result;

    if (to->address.family != ADDRESS_IPV4 || depth < 1 || depth > UDP_OPENER_DEPTH_MAX)
        return ERR_INVALID;
    put_datagram(udp, &batch, 0, to, 0, data, len);
    put_control(&batch.headers[0].msg_hdr, &batch.controls[0], IPPROTO_IP, IP_RETOPTS, option,
                sizeof option);
    return send_all(udp, &batch, 1, &result);
}

int udp_send_ttl(struct udp *udp, const struct endpoint *to, uint8_t ttl, const void *data,
                 size_t len)
{
    const int value = ttl;
    struct batch batch;
    int8_t result;

    if (to->address.family != ADDRESS_IPV4 || ttl == 0)
        return ERR_INVALID;
    put_datagram(udp, &batch, 0, to, 0, data, len);
    put_control(&batch.headers[0].msg_hdr, &batch.controls[0], IPPROTO_IP, IP_TTL, &value,
                sizeof value);
    return send_all(udp, &batch, 1, &result);
}
