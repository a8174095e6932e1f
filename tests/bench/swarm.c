/* Thousands of hosts that call one detecd, and a connector for it: see swarm.h. Everything happens
 * in one thread; an address block that is routed to this network namespace gives each host an
 * address of its own. What is measured is measured at detecd, by who drives this:
 *
 *   swarm KEYFILE ZONE CONNECTOR-ADDRESS FIRST-ADDRESS COUNT
 *
 *   > call N     hosts call, until so many tunnels are up      < up N SECONDS FAILURES
 *   > echo       one packet through each, and its answer       < echo N SECONDS
 *   > stats      what detecd has sent to keep them             < stats KEEPALIVES QUESTIONS UP
 *   at its beginning: < ready, and < logged-in NAME */
#include "swarm.h"

#include "io/clock.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WINDOW       16 /* calls at once: fewer than one host takes */
#define ECHO_WINDOW  64 /* packets on the way */
#define AGAIN_US     SECOND_US
#define ROUNDS_MAX   10
#define KEEPALIVE_US (20 * SECOND_US)
#define BATCH        64
#define PEM_CAP      4096
#define COMMAND_CAP  64

struct work {
    enum { NOTHING, CALLING, ECHOING } what;
    uint32_t wanted;
    uint64_t since_us, round_us;
    uint32_t next, sent, rounds; /* of the echo */
};

void swarm_check(bool is_good, const char *what)
{
    if (is_good)
        return;
    perror(what);
    exit(1);
}

static double seconds_since(uint64_t since_us)
{
    return (double)(clock_now_us() - since_us) / (double)SECOND_US;
}

/* ---- sockets ---- */

static int open_udp(void)
{
    const int one = 1, bytes = 16 << 20;
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(SWARM_PORT)};
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    swarm_check(fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one)) == 0 &&
                    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) == 0 &&
                    bind(fd, (const struct sockaddr *)&any, sizeof(any)) == 0,
                "the hosts' socket");
    return fd;
}

static struct member *find_member(struct swarm *swarm, struct msghdr *header)
{
    struct in_pktinfo info;
    struct cmsghdr *control = CMSG_FIRSTHDR(header);
    if (control == NULL || control->cmsg_type != IP_PKTINFO)
        return NULL;
    memcpy(&info, CMSG_DATA(control), sizeof(info));
    const uint32_t number = ntohl(info.ipi_addr.s_addr) - swarm->base;
    return number < swarm->count ? &swarm->members[number] : NULL;
}

static void read_udp(struct swarm *swarm)
{
    static uint8_t data[BATCH][SWARM_DATAGRAM_CAP];
    static _Alignas(struct cmsghdr) uint8_t controls[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
    static struct sockaddr_storage from[BATCH];
    struct iovec parts[BATCH];
    struct mmsghdr headers[BATCH] = {0};
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){data[i], sizeof(data[i])};
        headers[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                             .msg_namelen = sizeof(from[i]),
                                             .msg_iov = &parts[i],
                                             .msg_iovlen = 1,
                                             .msg_control = controls[i],
                                             .msg_controllen = sizeof(controls[i])};
    }
    const int count = recvmmsg(swarm->udp, headers, BATCH, MSG_DONTWAIT, NULL);
    const uint64_t now_us = clock_now_us();
    for (int i = 0; i < count; i++) {
        struct endpoint sender;
        struct member *member = find_member(swarm, &headers[i].msg_hdr);
        if (member != NULL &&
            endpoint_from_sockaddr((struct sockaddr *)&from[i], &sender) == ERR_OK)
            member_take(swarm, member, data[i], headers[i].msg_len, &sender, now_us);
    }
}

/* ---- what is wanted ---- */

static void go_on_calling(struct swarm *swarm, struct work *work)
{
    for (uint32_t i = 0; swarm->up_count + swarm->active_count < work->wanted &&
                         swarm->active_count < WINDOW && i < swarm->count;
         i++) {
        struct member *member = &swarm->members[swarm->begun++ % swarm->count];
        if (member->state == MEMBER_IDLE)
            member_begin(swarm, member, clock_now_us());
    }
    if (swarm->up_count < work->wanted)
        return;
    printf("up %u %.3f %u\n", swarm->up_count, seconds_since(work->since_us), swarm->failures);
    work->what = NOTHING;
}

static void go_on_echoing(struct swarm *swarm, struct work *work)
{
    const uint64_t now_us = clock_now_us();
    for (; work->next < swarm->count && work->sent < swarm->echo_count + ECHO_WINDOW;
         work->next++) {
        struct member *member = &swarm->members[work->next];
        if (member->state != MEMBER_UP || member->has_echo)
            continue;
        member_send_echo(swarm, member, now_us);
        work->sent++;
        work->round_us = now_us;
    }
    const bool is_over = swarm->echo_count >= swarm->up_count;
    if (!is_over && now_us - work->round_us > AGAIN_US && work->rounds++ < ROUNDS_MAX) {
        work->next = 0; /* some were lost */
        work->sent = swarm->echo_count;
        work->round_us = now_us;
    }
    if (!is_over && work->rounds <= ROUNDS_MAX)
        return;
    printf("echo %u %.3f\n", swarm->echo_count, seconds_since(work->since_us));
    work->what = NOTHING;
}

/* False at the end. */
static bool take_command(struct swarm *swarm, struct work *work)
{
    char line[COMMAND_CAP];
    if (fgets(line, sizeof(line), stdin) == NULL)
        return false;
    *work = (struct work){.since_us = clock_now_us(), .round_us = clock_now_us()};
    if (strncmp(line, "call ", 5) == 0) {
        work->what = CALLING;
        work->wanted = (uint32_t)strtoul(line + 5, NULL, 10);
        swarm_check(work->wanted <= swarm->count, "so many hosts");
    } else if (strcmp(line, "echo\n") == 0) {
        work->what = ECHOING;
        swarm->echo_count = 0;
        for (uint32_t i = 0; i < swarm->count; i++)
            swarm->members[i].has_echo = false;
    } else if (strcmp(line, "stats\n") == 0) {
        printf("stats %llu %llu %u\n", (unsigned long long)swarm->keepalives,
               (unsigned long long)swarm->questions, swarm->up_count);
    }
    return true;
}

/* Each host's turn comes once in KEEPALIVE_US. */
static void keep_alive(struct swarm *swarm, uint64_t *last_us, uint32_t *next)
{
    const uint64_t now_us = clock_now_us(), step_us = KEEPALIVE_US / swarm->count;
    for (; now_us - *last_us >= step_us; *last_us += step_us) {
        struct member *member = &swarm->members[(*next)++ % swarm->count];
        if (member->state == MEMBER_UP)
            member_send_keepalive(swarm, member);
    }
}

static int wait_ms(const struct swarm *swarm, const struct work *work)
{
    const uint64_t now_us = clock_now_us();
    const uint64_t at_us = deadline_min(members_deadline(swarm), now_us + 10 * MS_US);
    if (work->what != NOTHING && swarm->is_logged_in && at_us > now_us + MS_US)
        return 1;
    return at_us > now_us ? (int)((at_us - now_us + MS_US - 1) / MS_US) : 0;
}

static void run(struct swarm *swarm)
{
    struct work work = {.what = NOTHING};
    uint64_t kept_us = clock_now_us();
    uint32_t kept = 0;
    for (;;) {
        struct pollfd polls[2 + SWARM_CONNECTOR_FDS] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                                        {.fd = swarm->udp, .events = POLLIN}};
        int fds[SWARM_CONNECTOR_FDS];
        swarm_connector_fds(swarm->connector, fds);
        for (int i = 0; i < SWARM_CONNECTOR_FDS; i++)
            polls[2 + i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
        (void)poll(polls, 2 + SWARM_CONNECTOR_FDS, wait_ms(swarm, &work));
        if (polls[0].revents != 0 && work.what == NOTHING && !take_command(swarm, &work))
            return;
        if (polls[1].revents != 0)
            read_udp(swarm);
        swarm_connector_run(swarm->connector);
        members_expire(swarm, clock_now_us());
        keep_alive(swarm, &kept_us, &kept);
        if (work.what == CALLING && swarm->is_logged_in)
            go_on_calling(swarm, &work);
        else if (work.what == ECHOING)
            go_on_echoing(swarm, &work);
    }
}

/* ---- beginning ---- */

static void on_login(void *context, const struct public_key *key, const char *name)
{
    struct swarm *swarm = context;
    swarm->called_key = *key;
    strcpy(swarm->called, name);
    swarm->is_logged_in = true;
    printf("logged-in %s\n", name);
}

static void on_answer(void *context, const struct notify_answer *answer)
{
    member_on_answer(context, answer);
}

static struct identity *load_identity(const char *file)
{
    char pem[PEM_CAP];
    struct identity *identity;
    FILE *f = fopen(file, "r");
    swarm_check(f != NULL, file);
    const size_t len = fread(pem, 1, sizeof(pem), f);
    fclose(f);
    swarm_check(identity_from_pem(pem, len, &identity) == ERR_OK, "the connector's key");
    return identity;
}

static void open_engines(struct swarm *swarm)
{
    static const uint8_t seed[16] = {1};
    struct ike_table_limits limits;
    ike_table_limits_init(&limits);
    limits.sas_max = swarm->count + WINDOW;
    swarm->members = calloc(swarm->count, sizeof(*swarm->members));
    swarm_check(swarm->members != NULL &&
                    ike_table_new(&limits, clock_now_us(), &swarm->ike) == ERR_OK &&
                    tunnel_table_new(seed, &swarm->tunnels) == ERR_OK,
                "engines");
    for (uint32_t i = 0; i < swarm->count; i++)
        swarm->members[i].number = i;
}

static void close_engines(struct swarm *swarm)
{
    for (uint32_t i = 0; i < swarm->count; i++) {
        struct member *member = &swarm->members[i];
        punch_free(member->punch);
        free(member->answer);
    }
    ike_table_free(swarm->ike);
    tunnel_table_free(swarm->tunnels);
    for (uint32_t i = 0; i < swarm->count; i++)
        identity_free(swarm->members[i].identity);
    free(swarm->members);
}

int main(int argc, char **argv)
{
    struct swarm swarm = {0};
    struct address base;
    if (argc != 6)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    struct identity *identity = load_identity(argv[1]);
    struct swarm_connector_config config = {.identity = identity,
                                            .zone = argv[2],
                                            .logged_in = on_login,
                                            .answered = on_answer,
                                            .context = &swarm};
    swarm.zone = argv[2];
    swarm.count = (uint32_t)strtoul(argv[5], NULL, 10);
    swarm_check(address_parse(argv[3], &config.address) == ERR_OK &&
                    address_parse(argv[4], &base) == ERR_OK && swarm.count > 0 &&
                    swarm.count <= SWARM_MEMBERS_MAX,
                "arguments");
    swarm.base = address_to_ipv4(&base);
    tunnel_thread_register();
    open_engines(&swarm);
    swarm.udp = open_udp();
    swarm.connector = swarm_connector_new(&config);
    printf("ready\n");
    run(&swarm);
    swarm_connector_free(swarm.connector);
    close_engines(&swarm);
    close(swarm.udp);
    identity_free(identity);
    tunnel_thread_unregister();
    return 0;
}
