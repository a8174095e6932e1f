/* recvmmsg and sendmmsg on struct packet. Opening and the path MTU are udp_socket.c. */
#include "io/udp_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define TIMESTAMP_OPTION_LEN 8
#define GSO_SEGMENTS_MAX     64
#define GSO_LEN_MAX          65000 /* with any headers below the largest IP packet */

struct batch {
    struct mmsghdr headers[UDP_BATCH_CAP];
    struct iovec parts[UDP_BATCH_CAP];
    struct sockaddr_storage addresses[UDP_BATCH_CAP];
    union udp_control controls[UDP_BATCH_CAP];
    uint8_t sizes[UDP_BATCH_CAP]; /* sending: datagrams in each message */
};

static uint32_t room_of(const struct packet *packet)
{
    return (uint32_t)(packet->storage + sizeof packet->storage - packet->data);
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
        if (!udp_error_is_passing(errno))
            return errno == ENOMEM || errno == ENOBUFS ? ERR_AGAIN : ERR_IO;
    }
    return ERR_AGAIN;
}

unsigned udp_wanted(struct udp *udp, unsigned cap)
{
    return udp->gro != NULL ? udp_gro_wanted(udp, cap) : cap;
}

int udp_receive_batch(struct udp *udp, struct packet **packets, unsigned count, unsigned *ret_count)
{
    struct batch batch;
    unsigned kept = 0;
    unsigned i;
    int got;

    if (udp->gro != NULL)
        return udp_gro_receive(udp, packets, count, ret_count);
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
        packet->tos = udp_tos_of(header);
        packets[i] = packets[kept];
        packets[kept++] = packet;
    }
    *ret_count = kept;
    return kept > 0 ? ERR_OK : ERR_AGAIN;
}

/* Adds one ancillary value; the message's control must be NULL or of an earlier call. */
static void put_control(struct msghdr *header, union udp_control *control, int level, int type,
                        const void *value, size_t len)
{
    struct cmsghdr *message;
    size_t used = header->msg_control != NULL ? header->msg_controllen : 0;

    if (used == 0)
        memset(control, 0, sizeof *control);
    header->msg_control = control;
    header->msg_controllen = used + CMSG_SPACE(len);
    message = (struct cmsghdr *)(void *)(control->bytes + used);
    message->cmsg_level = level;
    message->cmsg_type = type;
    message->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(message), value, len);
}

/* IPv4 takes IP_TOS, and the others, also on an AF_INET6 socket with a mapped destination. */
static void put_tos(struct msghdr *header, union udp_control *control, const struct endpoint *to,
                    uint8_t tos)
{
    bool is_ipv4 = to->address.family == ADDRESS_IPV4;
    int value = tos;

    put_control(header, control, is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6,
                is_ipv4 ? IP_TOS : IPV6_TCLASS, &value, sizeof value);
}

/* A message without its bytes. */
static struct msghdr *put_header(const struct udp *udp, struct batch *batch, unsigned i,
                                 const struct endpoint *to, uint8_t tos)
{
    struct msghdr *header = &batch->headers[i].msg_hdr;

    batch->headers[i] = (struct mmsghdr){0};
    batch->sizes[i] = 1;
    header->msg_name = &batch->addresses[i];
    header->msg_namelen = endpoint_to_sockaddr(to, udp->is_dual_stack, &batch->addresses[i]);
    if (tos != 0)
        put_tos(header, &batch->controls[i], to, tos);
    return header;
}

static void put_datagram(const struct udp *udp, struct batch *batch, const struct endpoint *to,
                         uint8_t tos, const void *data, size_t len)
{
    struct msghdr *header = put_header(udp, batch, 0, to, tos);

    batch->parts[0].iov_base = (void *)(uintptr_t)data;
    batch->parts[0].iov_len = len;
    header->msg_iov = &batch->parts[0];
    header->msg_iovlen = 1;
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

/* What one call has come to. */
struct sending {
    int8_t *results;
    unsigned at; /* datagrams done */
    int first_error;
    bool is_retried;
};

static void note(struct sending *sending, unsigned datagrams, int8_t result)
{
    memset(sending->results + sending->at, result, datagrams);
    sending->at += datagrams;
    sending->is_retried = false;
    if (result != ERR_OK && sending->first_error == ERR_OK)
        sending->first_error = result;
}

/* Sends messages of the batch; see udp_send_batch. Stops at the first that stands for several
 * datagrams and is refused, returning its number: each datagram is to be tried for itself. */
static unsigned send_messages(struct udp *udp, struct batch *batch, unsigned count,
                              struct sending *sending)
{
    unsigned i = 0;

    while (i < count) {
        int sent = sendmmsg(udp->fd, batch->headers + i, count - i, MSG_DONTWAIT | MSG_NOSIGNAL);
        int8_t result;

        for (; sent > 0; sent--)
            note(sending, batch->sizes[i++], ERR_OK);
        if (sent == 0 || errno == EINTR)
            continue;
        result = result_of_errno();
        if (result == ERR_AGAIN) {
            while (i < count)
                note(sending, batch->sizes[i++], ERR_AGAIN);
            break;
        }
        /* The error may be an earlier datagram's: once more tells. */
        if (!sending->is_retried) {
            sending->is_retried = true;
            continue;
        }
        if (batch->sizes[i] > 1) {
            /* No checksums by this network card: never again. */
            udp->has_gso = errno != EIO;
            break;
        }
        note(sending, 1, result);
        i++;
    }
    return i;
}

static int send_all(struct udp *udp, struct batch *batch, unsigned count, int8_t *ret_results)
{
    struct sending sending = {.results = ret_results};

    (void)send_messages(udp, batch, count, &sending);
    return sending.first_error;
}

/* How many packets from the first on can be one super-datagram: of one peer, and of one length but
 * for the last, which may be shorter. */
static unsigned group_size(struct packet *const *packets, unsigned count)
{
    const struct packet *first = packets[0];
    size_t len = first->len;
    unsigned size = 1;

    while (size < count && size < GSO_SEGMENTS_MAX && first->len > 0) {
        const struct packet *packet = packets[size];

        if (packets[size - 1]->len < first->len || packet->len > first->len || packet->len == 0 ||
            packet->tos != first->tos || len + packet->len > GSO_LEN_MAX ||
            !endpoint_is_equal(&packet->peer, &first->peer))
            break;
        len += packet->len;
        size++;
    }
    return size;
}

/* Fills the batch with messages for these packets; how many there are. */
static unsigned put_packets(const struct udp *udp, struct batch *batch,
                            struct packet *const *packets, unsigned count)
{
    unsigned messages = 0;
    unsigned at = 0;

    while (at < count) {
        unsigned size = udp->has_gso ? group_size(packets + at, count - at) : 1;
        uint16_t segment_len = (uint16_t)packets[at]->len;
        struct msghdr *header =
            put_header(udp, batch, messages, &packets[at]->peer, packets[at]->tos);

        header->msg_iov = &batch->parts[at];
        header->msg_iovlen = size;
        for (unsigned i = at; i < at + size; i++)
            batch->parts[i] =
                (struct iovec){.iov_base = packets[i]->data, .iov_len = packets[i]->len};
        if (size > 1)
            put_control(header, &batch->controls[messages], SOL_UDP, UDP_SEGMENT, &segment_len,
                        sizeof segment_len);
        batch->sizes[messages++] = (uint8_t)size;
        at += size;
    }
    return messages;
}

int udp_send_batch(struct udp *udp, struct packet *const *packets, unsigned count,
                   int8_t *ret_results)
{
    struct sending sending = {.results = ret_results};
    struct batch batch;

    if (count > UDP_BATCH_CAP)
        return ERR_INVALID;
    while (sending.at < count) {
        unsigned messages = put_packets(udp, &batch, packets + sending.at, count - sending.at);
        unsigned sent = send_messages(udp, &batch, messages, &sending);

        if (sent < messages) {
            struct udp plain = *udp;
            unsigned refused = batch.sizes[sent];

            plain.has_gso = false;
            messages = put_packets(&plain, &batch, packets + sending.at, refused);
            (void)send_messages(&plain, &batch, messages, &sending);
        }
    }
    return sending.first_error;
}

int udp_send(struct udp *udp, const struct endpoint *to, uint8_t tos, const void *data, size_t len)
{
    struct batch batch;
    int8_t result;

    put_datagram(udp, &batch, to, tos, data, len);
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
    put_datagram(udp, &batch, to, 0, data, len);
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
    put_datagram(udp, &batch, to, 0, data, len);
    put_control(&batch.headers[0].msg_hdr, &batch.controls[0], IPPROTO_IP, IP_TTL, &value,
                sizeof value);
    return send_all(udp, &batch, 1, &result);
}
