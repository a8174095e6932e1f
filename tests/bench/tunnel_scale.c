/* What ten thousand tunnels cost beside one: the daemon's own data path between a TUN device and a
 * socket, in a network namespace of this process, with 64-byte UDP packets to and from peers chosen
 * at random. This program plays the applications and, behind a second TUN device, the network, so
 * that what others' ends cost is not counted: printed is the processor time of the data path alone,
 * one tunnel and many in turns, medians, and the memory of an idle tunnel. Twice: packet by packet,
 * where one tunnel and many make the same system calls, and as it is, where packets of one tunnel
 * share some. Run as root: tunnel_scale [TUNNELS]. */
#include "host/datapath.h"
#include "tunnel/ahead.h"
#include <arpa/inet.h>
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
#define ROUNDS      7
#define PACKETS     (1 << 15) /* of one measurement, in bursts that are over before the next begins */
#define BURST       256
#define PAYLOAD     64
#define IP_LEN      20
#define UDP_LEN     8
#define POOL        0x0a090000u /* 10.9.0.0/16: peers, as applications here know them */
#define FAR_POOL    0x0a080000u /* 10.8.0.0/16: what they call us */
#define OUTSIDE     0x0a400000u /* 10.64.0.0/16: their addresses on the network */
#define OWN         0xfffeu
#define PEER_PORT   7000
#define SINK_PORT   9

/* One tunnel, or many. */
struct side {
    uint32_t count;
    struct tunnel_table *ours, *theirs;
    struct tunnel *peers[TUNNELS_MAX];
    double out[ROUNDS], in[ROUNDS]; /* ns a packet */
};

struct scale {
    struct side sides[2];
    struct side *side; /* that is being measured */
    struct tun tun;
    struct udp udp;
    struct tun network;
    int sink;  /* what comes out of the TUN device */
    int local; /* an application's */
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
    return (uint32_t)(s->seed >> 20) % s->side->count;
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

static long resident(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    check(file != NULL && fscanf(file, "%*d %ld", &pages) == 1, "statm");
    (void)fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* Bytes of an idle tunnel. */
static long make_tunnels(struct side *side)
{
    static const uint8_t seed[16] = {1};
    const struct endpoint us = outside(OWN, 1);
    check(tunnel_table_new(seed, &side->ours) == ERR_OK &&
              tunnel_table_new(seed, &side->theirs) == ERR_OK,
          "tables");
    const long before = resident();
    for (uint32_t i = 0; i < side->count; i++) {
        struct tunnel *tunnel;
        const struct endpoint peer = outside(i, PEER_PORT);
        add_tunnel(side->ours, i, true, &peer, &tunnel);
    }
    const long bytes = (resident() - before) / (long)side->count;
    for (uint32_t i = 0; i < side->count; i++)
        add_tunnel(side->theirs, i, false, &us, &side->peers[i]);
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

static void enter_network(struct scale *s)
{
    check(unshare(CLONE_NEWNET) == 0, "a network namespace");
    check(tun_open("network0", 0, &s->network) == ERR_OK, "TUN");
    command("ip link set lo up && ip addr add 10.9.255.254/32 dev lo && "
            "ip addr add 10.64.255.254/32 dev network0 && "
            "ip link set network0 mtu 1500 txqueuelen 2000 up && "
            "ip route add 10.64.0.0/16 dev network0");
    s->sink = open_socket(SINK_PORT);
    s->local = open_socket(0);
}

static void open_daemon(struct scale *s, bool has_offload)
{
    const struct udp_options options = {.is_probing = true, .has_offload = has_offload};
    check(tun_open("scale0", has_offload ? TUN_OFFLOAD : 0, &s->tun) == ERR_OK, "TUN");
    command("ip link set scale0 mtu 1400 txqueuelen 2000 up && "
            "ip route add 10.9.0.0/16 dev scale0 src 10.9.255.254");
    check(udp_open(&options, &s->udp) == ERR_OK, "UDP");
}

static void close_daemon(struct scale *s)
{
    udp_close(&s->udp);
    tun_close(&s->tun);
}

/* One or more datagrams, or -1. */
static int take_some(const struct scale *s, bool is_out, uint32_t count)
{
    static uint8_t bytes[BURST][256];
    static struct iovec parts[BURST];
    static struct mmsghdr headers[BURST];
    if (is_out)
        return read(s->network.fd, bytes, sizeof(bytes)) > 0 ? 1 : -1;
    for (unsigned i = 0; i < count; i++) {
        parts[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
        headers[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    return recvmmsg(s->sink, headers, count, MSG_DONTWAIT, NULL);
}

/* Waits for a burst on the other side; what does not come within a second has been lost. */
static uint32_t drain(const struct scale *s, bool is_out)
{
    struct pollfd poll_fd = {.fd = is_out ? s->network.fd : s->sink, .events = POLLIN};
    uint32_t got = 0;
    while (got < BURST && poll(&poll_fd, 1, 1000) == 1) {
        const int more = take_some(s, is_out, BURST - got);
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

static void checksum(uint8_t *header)
{
    uint32_t sum = 0;
    header[10] = header[11] = 0;
    for (unsigned i = 0; i < IP_LEN; i += 2)
        sum += (uint32_t)header[i] << 8 | header[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~((sum & 0xffff) + (sum >> 16));
    header[10] = (uint8_t)(sum >> 8);
    header[11] = (uint8_t)sum;
}

/* An IPv4 and a UDP header before the packet; the latter's checksum need not be computed: it has
 * none. */
static void put_headers(struct packet *packet, uint32_t from, uint32_t to, uint16_t from_port,
                        uint16_t to_port)
{
    const uint16_t len = (uint16_t)(packet->len + UDP_LEN);
    uint8_t *header = packet_push(packet, IP_LEN + UDP_LEN);
    const struct sockaddr_in ends[2] = {socket_address(from, from_port),
                                        socket_address(to, to_port)};
    memcpy(header, (const uint8_t[IP_LEN]){0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17}, IP_LEN);
    header[2] = (uint8_t)((len + IP_LEN) >> 8);
    header[3] = (uint8_t)(len + IP_LEN);
    for (int i = 0; i < 2; i++) {
        memcpy(header + 12 + 4 * i, &ends[i].sin_addr, 4);
        memcpy(header + IP_LEN + 2 * i, &ends[i].sin_port, 2);
    }
    memcpy(header + IP_LEN + 4, (const uint8_t[4]){(uint8_t)(len >> 8), (uint8_t)len}, 4);
    checksum(header);
}

static void fill(struct packet *packet, uint32_t number)
{
    packet_reset(packet);
    memset(packet->data, 7, PAYLOAD);
    packet->len = PAYLOAD;
    put_headers(packet, FAR_POOL | OWN, FAR_POOL | number, SINK_PORT, SINK_PORT);
}

static void burst_in(struct scale *s)
{
    static struct packet packets[BURST];
    for (unsigned i = 0; i < BURST; i++) {
        const uint32_t number = draw(s);
        fill(&packets[i], number);
        tunnel_read_begin();
        check(tunnel_seal(s->side->peers[number], &packets[i], 1) == DROP_NONE, "sealing");
        tunnel_read_end();
        put_headers(&packets[i], OUTSIDE | number, OUTSIDE | OWN, PEER_PORT, s->udp.port);
    }
    for (unsigned i = 0; i < BURST; i++)
        check(tun_write(&s->network, &packets[i]) == ERR_OK, "sending as peers");
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

static double measure(struct scale *s, bool is_out)
{
    void (*const burst)(struct scale *) = is_out ? burst_out : burst_in;
    uint32_t got = 0;
    for (int i = 0; i < 16; i++) { /* warms up */
        burst(s);
        (void)drain(s, is_out);
    }
    const double before = others_ns();
    for (int i = 0; i < PACKETS / BURST; i++) {
        burst(s);
        got += drain(s, is_out);
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
    static struct look_ahead ahead;
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
        ahead.count = 0;
        for (unsigned i = 0; i < BATCH; i++)
            tunnel_look_ahead_out(s->side->theirs, &ahead, list[i]);
        tunnel_look_ahead_end(s->side->theirs, &ahead);
        for (unsigned i = 0; i < BATCH; i++) {
            const struct address to = address_from_ipv4(FAR_POOL | numbers[i]);
            check(tunnel_seal(tunnel_find_by_peer(s->side->theirs, &to), &packets[i], 1) ==
                      DROP_NONE,
                  "sealing");
        }
        seal[n] = (own_ns() - before) / BATCH;
        for (unsigned i = 0; i < BATCH; i++)
            packets[i].peer = outside(numbers[i], PEER_PORT);
        before = own_ns();
        tunnel_look_ahead_in(s->side->ours, list, BATCH);
        for (unsigned i = 0; i < BATCH; i++) {
            struct tunnel *tunnel;
            struct tunnel_message message;
            check(tunnel_open_any(s->side->ours, &packets[i], 1, &tunnel, &message) == DROP_NONE,
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

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(values[0]), compare);
    return values[ROUNDS / 2];
}

static void run_side(struct scale *s, unsigned which, unsigned round)
{
    struct datapath *datapath;
    s->side = &s->sides[which];
    const struct datapath_config config = {.threads = 1,
                                           .tun = &s->tun,
                                           .udp = &s->udp,
                                           .tunnels = s->side->ours,
                                           .pool = {.address = address_from_ipv4(POOL), .bits = 16},
                                           .own = address_from_ipv4(POOL | OWN)};
    check(datapath_start(&config, &datapath) == ERR_OK, "data path");
    s->side->out[round] = measure(s, true);
    s->side->in[round] = measure(s, false);
    datapath_stop(datapath);
}

static void run_rounds(struct scale *s, bool has_offload, const char *what)
{
    double out[2], in[2];
    open_daemon(s, has_offload);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < 2; i++)
            run_side(s, i, round);
    }
    close_daemon(s);
    for (unsigned i = 0; i < 2; i++) {
        out[i] = median(s->sides[i].out);
        in[i] = median(s->sides[i].in);
    }
    printf("%s: out %4.0f and %4.0f ns a packet, in %4.0f and %4.0f\n", what, out[0], out[1], in[0],
           in[1]);
    printf("  %u tunnels cost, a packet, times one: out %.2f, in %.2f\n", s->sides[1].count,
           out[1] / out[0], in[1] / in[0]);
}

int main(int argc, char **argv)
{
    struct scale *s = calloc(1, sizeof(*s));
    const uint32_t count = argc > 1 ? (uint32_t)atoi(argv[1]) : 10000;
    double seal, open;
    check(s != NULL && count > 0 && count <= TUNNELS_MAX, "tunnels: 1 to 16384");
    s->seed = 88172645463325252u;
    s->sides[0].count = 1;
    s->sides[1].count = count;
    enter_network(s);
    tunnel_thread_register();
    for (unsigned i = 0; i < 2; i++) {
        s->side = &s->sides[i];
        const long bytes = make_tunnels(s->side);
        measure_alone(s, &seal, &open);
        printf("%5u tunnels: without the kernel %3.0f ns to seal, %3.0f to open", s->side->count,
               seal, open);
        printf(i > 0 ? "; %ld bytes of memory each\n" : "\n", bytes);
    }
    run_rounds(s, false, "packet by packet");
    run_rounds(s, true, "as it is");
    for (unsigned i = 0; i < 2; i++) {
        tunnel_table_free(s->sides[i].ours);
        tunnel_table_free(s->sides[i].theirs);
    }
    tunnel_thread_unregister();
    return 0;
}
