/* What ten thousand tunnels cost beside one: the daemon's own data path between a TUN device and a
 * socket, in a network namespace of this process, with 64-byte UDP packets to and from peers chosen
 * at random. This program plays the peers; printed is the processor time of the data path alone,
 * and the memory of an idle tunnel. Run as root: tunnel_scale [TUNNELS [no-udp-offload]]. */
#include "host/datapath.h"
#include <arpa/inet.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TUNNELS_MAX 16384
#define PACKETS     (1 << 16) /* of one measurement, in bursts that are over before the next begins */
#define BURST       256
#define PAYLOAD     64
#define POOL        0x0a090000u /* 10.9.0.0/16: peers, as applications here know them */
#define FAR_POOL    0x0a080000u /* 10.8.0.0/16: what they call us */
#define OUTSIDE     0x0a400000u /* 10.64.0.0/16: their addresses on the network */
#define OWN         0xfffeu
#define PEER_PORT   7000
#define SINK_PORT   9

struct scale {
    uint32_t count;
    struct tunnel_table *ours, *theirs;
    struct tunnel *peers[TUNNELS_MAX];
    struct tun tun;
    struct udp udp;
    struct datapath *datapath;
    int sink;    /* what comes out of the TUN device */
    int network; /* what the peers send and receive by */
    int local;   /* an application's */
    uint64_t seed;
};

static void check(bool is_good, const char *what)
{
    if (is_good)
        return;
    perror(what);
    exit(1);
}

static void command(const char *text)
{
    check(system(text) == 0, text);
}

static uint32_t draw(struct scale *s)
{
    s->seed ^= s->seed << 13;
    s->seed ^= s->seed >> 7;
    s->seed ^= s->seed << 17;
    return (uint32_t)(s->seed >> 20) % s->count;
}

/* ---- tunnels ---- */

static void add_tunnel(struct tunnel_table *table, uint32_t number, bool is_ours,
                       const struct endpoint *remote, struct tunnel **ret_tunnel)
{
    const uint32_t near = is_ours ? POOL : FAR_POOL, far = is_ours ? FAR_POOL : POOL;
    const struct view local = {.own_ipv4 = address_from_ipv4(near | OWN),
                               .peer_ipv4 = address_from_ipv4(near | number)};
    uint8_t keys[2][SUITE_KEY_CAP] = {{1}, {2}};
    const struct tunnel_child child = {.id = 1,
                                       .suite = SPUT_AES128_GCM,
                                       .key_in = keys[is_ours],
                                       .key_out = keys[!is_ours],
                                       .key_len = suite_key_len(SPUT_AES128_GCM),
                                       .remote = {.own_ipv4 = address_from_ipv4(far | OWN),
                                                  .peer_ipv4 = address_from_ipv4(far | number)}};
    memcpy(keys[0] + 1, &number, sizeof(number));
    memcpy(keys[1] + 1, &number, sizeof(number));
    check(tunnel_add(table, &local, NULL, ret_tunnel) == ERR_OK &&
              tunnel_set_path(table, *ret_tunnel, remote, 1500) == ERR_OK &&
              tunnel_add_child(*ret_tunnel, &child) == ERR_OK &&
              tunnel_set_outbound(*ret_tunnel, 1) == ERR_OK,
          "tunnel");
}

static struct endpoint outside(uint32_t number, uint16_t port)
{
    return (struct endpoint){.address = address_from_ipv4(OUTSIDE | number), .port = port};
}

/* Bytes of an idle tunnel. */
static size_t make_tunnels(struct scale *s)
{
    static const uint8_t seed[16] = {1};
    const struct endpoint us = outside(OWN, s->udp.port);
    check(tunnel_table_new(seed, &s->ours) == ERR_OK &&
              tunnel_table_new(seed, &s->theirs) == ERR_OK,
          "tables");
    const size_t before = mallinfo2().uordblks;
    for (uint32_t i = 0; i < s->count; i++) {
        struct tunnel *tunnel;
        const struct endpoint peer = outside(i, PEER_PORT);
        add_tunnel(s->ours, i, true, &peer, &tunnel);
    }
    const size_t bytes = (mallinfo2().uordblks - before) / s->count;
    for (uint32_t i = 0; i < s->count; i++)
        add_tunnel(s->theirs, i, false, &us, &s->peers[i]);
    return bytes;
}

/* ---- the network ---- */

static struct sockaddr_in socket_address(uint32_t address, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
}

static int open_socket(uint16_t port)
{
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int bytes = 8 << 20;
    struct sockaddr_in any = socket_address(0, port);
    check(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) == 0 &&
              setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) == 0 &&
              bind(fd, (const struct sockaddr *)&any, sizeof(any)) == 0,
          "socket");
    return fd;
}

static void enter_network(struct scale *s, bool has_udp_offload)
{
    const struct udp_options options = {.is_probing = true, .has_offload = has_udp_offload};
    check(unshare(CLONE_NEWNET) == 0, "a network namespace");
    check(tun_open("scale0", TUN_OFFLOAD, &s->tun) == ERR_OK, "TUN");
    command(
        "ip link set lo up && ip route add local 10.64.0.0/16 dev lo && ip addr add "
        "10.9.255.254/32 dev scale0 && "
        "ip link set scale0 mtu 1400 txqueuelen 2000 up && ip route add 10.9.0.0/16 dev scale0");
    check(udp_open(&options, &s->udp) == ERR_OK, "UDP");
    s->sink = open_socket(SINK_PORT);
    s->network = open_socket(PEER_PORT);
    s->local = open_socket(0);
}

/* Waits for so many datagrams; what does not come within a second has been lost. */
static uint32_t drain(int fd, uint32_t count)
{
    static uint8_t bytes[BURST][256];
    static struct iovec parts[BURST];
    static struct mmsghdr headers[BURST];
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    uint32_t got = 0;
    for (unsigned i = 0; i < BURST; i++) {
        parts[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
        headers[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    while (got < count && poll(&poll_fd, 1, 1000) == 1) {
        const int more = recvmmsg(fd, headers, count - got, MSG_DONTWAIT, NULL);
        got += more > 0 ? (uint32_t)more : 0;
    }
    return got;
}

/* ---- bursts ---- */

static void burst_out(struct scale *s)
{
    static uint8_t payload[PAYLOAD];
    struct iovec part = {payload, sizeof(payload)};
    struct sockaddr_in to[BURST];
    struct mmsghdr headers[BURST] = {0};
    for (unsigned i = 0; i < BURST; i++) {
        to[i] = socket_address(POOL | draw(s), SINK_PORT);
        headers[i].msg_hdr = (struct msghdr){
            .msg_name = &to[i], .msg_namelen = sizeof(to[i]), .msg_iov = &part, .msg_iovlen = 1};
    }
    check(sendmmsg(s->local, headers, BURST, 0) == BURST, "sending to peers");
}

/* An IPv4 UDP packet whose checksum need not be computed: it has none. */
static void fill(struct packet *packet, uint32_t number)
{
    const uint32_t from = htonl(FAR_POOL | OWN), to = htonl(FAR_POOL | number);
    static const uint8_t start[] = {0x45, 0, 0, 28 + PAYLOAD, 0, 0, 0x40, 0, 64, 17, 0, 0};
    static const uint8_t udp[] = {0, 9, 0, SINK_PORT, 0, 8 + PAYLOAD, 0, 0};
    packet_reset(packet);
    memcpy(packet->data, start, sizeof(start));
    memcpy(packet->data + 12, &from, 4);
    memcpy(packet->data + 16, &to, 4);
    memcpy(packet->data + 20, udp, sizeof(udp));
    memset(packet->data + 28, 7, PAYLOAD);
    packet->len = 28 + PAYLOAD;
    uint32_t sum = 0;
    for (unsigned i = 0; i < 20; i += 2)
        sum += (uint32_t)packet->data[i] << 8 | packet->data[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~((sum & 0xffff) + (sum >> 16));
    packet->data[10] = (uint8_t)(sum >> 8);
    packet->data[11] = (uint8_t)sum;
}

struct source {
    _Alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

static void set_source(struct msghdr *header, struct source *source, uint32_t address)
{
    const struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(address)};
    header->msg_control = source;
    header->msg_controllen = sizeof(*source);
    struct cmsghdr *control = CMSG_FIRSTHDR(header);
    control->cmsg_len = CMSG_LEN(sizeof(info));
    control->cmsg_level = IPPROTO_IP;
    control->cmsg_type = IP_PKTINFO;
    memcpy(CMSG_DATA(control), &info, sizeof(info));
}

static void burst_in(struct scale *s)
{
    static struct packet packets[BURST];
    static struct source sources[BURST];
    struct iovec parts[BURST];
    struct mmsghdr headers[BURST] = {0};
    struct sockaddr_in us = socket_address(OUTSIDE | OWN, s->udp.port);
    for (unsigned i = 0; i < BURST; i++) {
        const uint32_t number = draw(s);
        fill(&packets[i], number);
        tunnel_read_begin();
        check(tunnel_seal(s->peers[number], &packets[i], 1) == DROP_NONE, "sealing");
        tunnel_read_end();
        parts[i] = (struct iovec){packets[i].data, packets[i].len};
        headers[i].msg_hdr = (struct msghdr){
            .msg_name = &us, .msg_namelen = sizeof(us), .msg_iov = &parts[i], .msg_iovlen = 1};
        set_source(&headers[i].msg_hdr, &sources[i], OUTSIDE | number);
    }
    check(sendmmsg(s->network, headers, BURST, 0) == BURST, "sending as peers");
}

/* Processor time of the other threads. */
static double others_ns(void)
{
    struct rusage all, own;
    getrusage(RUSAGE_SELF, &all);
    getrusage(RUSAGE_THREAD, &own);
    const struct timeval *const plus[] = {&all.ru_utime, &all.ru_stime}, *const minus[] = {
                                                                             &own.ru_utime,
                                                                             &own.ru_stime};
    double ns = 0;
    for (int i = 0; i < 2; i++)
        ns += (double)(plus[i]->tv_sec - minus[i]->tv_sec) * 1e9 +
              (double)(plus[i]->tv_usec - minus[i]->tv_usec) * 1e3;
    return ns;
}

static double measure(struct scale *s, void (*burst)(struct scale *), int fd)
{
    uint32_t got = 0;
    for (int i = 0; i < 16; i++) { /* warms up */
        burst(s);
        (void)drain(fd, BURST);
    }
    const double before = others_ns();
    for (int i = 0; i < PACKETS / BURST; i++) {
        burst(s);
        got += drain(fd, BURST);
    }
    const double took = others_ns() - before;
    if (got < PACKETS)
        printf("(%u of %u arrived)\n", got, PACKETS);
    return got > 0 ? took / got : 0;
}

/* ---- without the kernel ---- */

#define BATCH   64
#define BATCHES 2000

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double own_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Sealing of one packet, and opening, by batches from tunnels at random: the lower quartile, for
 * others use the processor and its caches too. */
static void measure_alone(struct scale *s, double *ret_seal, double *ret_open)
{
    static struct packet packets[BATCH];
    static double seal[BATCHES], open[BATCHES];
    struct packet *list[BATCH];
    uint32_t numbers[BATCH];
    for (unsigned n = 0; n < BATCHES; n++) {
        for (unsigned i = 0; i < BATCH; i++) {
            list[i] = &packets[i];
            numbers[i] = draw(s);
            fill(&packets[i], numbers[i]);
        }
        tunnel_read_begin();
        double before = own_ns();
        tunnel_look_ahead_out(s->theirs, list, BATCH);
        for (unsigned i = 0; i < BATCH; i++) {
            const struct address to = address_from_ipv4(FAR_POOL | numbers[i]);
            check(tunnel_seal(tunnel_find_by_peer(s->theirs, &to), &packets[i], 1) == DROP_NONE,
                  "sealing");
        }
        seal[n] = (own_ns() - before) / BATCH;
        for (unsigned i = 0; i < BATCH; i++)
            packets[i].peer = outside(numbers[i], PEER_PORT);
        before = own_ns();
        tunnel_look_ahead_in(s->ours, list, BATCH);
        for (unsigned i = 0; i < BATCH; i++) {
            struct tunnel *tunnel;
            struct tunnel_message message;
            check(tunnel_open_any(s->ours, &packets[i], 1, &tunnel, &message) == DROP_NONE,
                  "opening");
        }
        open[n] = (own_ns() - before) / BATCH;
        tunnel_read_end();
    }
    qsort(seal, BATCHES, sizeof(seal[0]), compare);
    qsort(open, BATCHES, sizeof(open[0]), compare);
    *ret_seal = seal[BATCHES / 4];
    *ret_open = open[BATCHES / 4];
}

static void run(struct scale *s, uint32_t count, double *ret_out, double *ret_in)
{
    s->count = count;
    s->seed = 88172645463325252u;
    const size_t bytes = make_tunnels(s);
    double seal, open;
    measure_alone(s, &seal, &open);
    const struct datapath_config config = {.threads = 1,
                                           .tun = &s->tun,
                                           .udp = &s->udp,
                                           .tunnels = s->ours,
                                           .pool = {.address = address_from_ipv4(POOL), .bits = 16},
                                           .own = address_from_ipv4(POOL | OWN)};
    check(datapath_start(&config, &s->datapath) == ERR_OK, "data path");
    *ret_out = measure(s, burst_out, s->network);
    *ret_in = measure(s, burst_in, s->sink);
    datapath_stop(s->datapath);
    tunnel_table_free(s->ours);
    tunnel_table_free(s->theirs);
    printf("%5u tunnels: out %4.0f ns a packet, in %4.0f ns; without the kernel %3.0f and %3.0f "
           "ns; %zu bytes each\n",
           count, *ret_out, *ret_in, seal, open, bytes);
}

int main(int argc, char **argv)
{
    struct scale *s = calloc(1, sizeof(*s));
    const uint32_t count = argc > 1 ? (uint32_t)atoi(argv[1]) : 10000;
    double out[2], in[2];
    check(s != NULL && count > 0 && count <= TUNNELS_MAX, "tunnels: 1 to 16384");
    enter_network(s, argc <= 2);
    tunnel_thread_register();
    run(s, 1, &out[0], &in[0]);
    run(s, count, &out[1], &in[1]);
    printf("%u tunnels / one: out %.2f, in %.2f times the time a packet\n", count, out[1] / out[0],
           in[1] / in[0]);
    tunnel_thread_unregister();
    return 0;
}
