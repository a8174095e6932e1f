/* One simulated world: the network, a connector (the hub), hosts, and somebody hostile. Hosts run
 * the daemon's own code (src/host with all engines); only what is the kernel's or libuv's is
 * replaced at link time (platform.c, uv.c), and the data path's thread (datapath.c). */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "core.h"
#include "crypto/identity.h"
#include "host/host.h"
#include "net.h"
#include "traffic.h"

#define SIM_ZONE     "zone.example.net"
#define SIM_PORT     32589 /* of the hosts' tunnel sockets */
#define SIM_HUB_PORT 4500
#define MACHINES_MAX 6
#define HUB_LINK     0 /* the connector's place in the network */
#define RAIDER_LINK  1 /* the hostile one's */
#define MACHINE_LINK 2 /* of the first host */
#define SOCKETS_MAX  1024
#define SOCKET_FD    (1 << 20) /* of the first: no descriptor of the real kernel's */
#define DATAGRAM_CAP 4700

struct hub;
struct pipe;
struct raider;
struct sim;
struct uv_stream_state;

/* A UDP socket beside the tunnel port's. */
struct sim_socket {
    uint16_t port;
    uv_poll_t *poll; /* whoever waits for it; NULL: nobody */
    uv_poll_cb on_readable;
    struct waiting *waiting; /* datagrams, oldest first */
};

/* What its owner has configured. */
struct habits {
    uint64_t idle_us, rekey_us;
    bool has_birthday;
    bool is_relay_forced;
    bool is_paper_first; /* the paper's suite is wanted most */
};

/* A computer and, while it runs, its daemon. */
struct machine {
    struct sim *sim;
    int index;
    int link;
    char name[NAME_TEXT_CAP];
    char pem[IDENTITY_PEM_CAP];
    struct public_key key;
    struct host *host; /* NULL: the daemon does not run */
    bool is_asleep;
    bool is_settling;
    bool is_dying; /* nothing leaves any more */
    bool is_lost;  /* the whole machine: not even the kernel's goodbyes */
    uint64_t offset_us;
    int64_t wall_offset_s;
    unsigned blocks; /* bit: that machine may not call */
    uint64_t slept_us;
    struct habits habits;
    char *pool_text, *trust_text;
    size_t pool_len, trust_len;
    struct uv_stream_state *streams;
    struct sim_socket *sockets[SOCKETS_MAX]; /* beside the tunnel's; NULL: none */
};

struct sim {
    struct core core;
    struct net net;
    struct hub *hub;
    struct machine machines[MACHINES_MAX];
    size_t machine_count;
    struct pipe *pipes;
    struct raider *raider;
    struct traffic traffic;
};

void sim_init(struct sim *sim, uint64_t seed);
/* Ends everything; what is left over in engines by then breaks an invariant. */
void sim_done(struct sim *sim);
/* Lets everything happen up to that time, or until an invariant is broken. */
void sim_run(struct sim *sim, uint64_t until_us);

/* A computer at this link, its daemon not running. */
struct machine *machine_add(struct sim *sim, int link);
void machine_start(struct machine *machine);
/* The daemon dies: nobody hears a goodbye. Its connections end as the kernel does it, if the
 * machine lives on. */
void machine_crash(struct machine *machine, bool is_machine_lost);
/* Orderly; what is to be said is said in the next two seconds. */
void machine_stop(struct machine *machine);
/* After machine_stop: checks that nothing is left, and frees. */
void machine_finish(struct machine *machine);
/* Its address, link or route has changed. */
void machine_on_network(struct machine *machine);
void machine_sleep(struct machine *machine);
void machine_wake(struct machine *machine);
/* The data path and what it hands over, until nothing is left to do. */
void machine_settle(struct machine *machine);
void machine_take_datagram(struct machine *machine, const struct endpoint *from, uint16_t port,
                           const uint8_t *data, size_t len);
/* One more datagram for a socket beside the tunnel port's; and taken out again: ERR_AGAIN when
 * there is none. */
void socket_put(struct sim_socket *socket, const struct endpoint *from, const uint8_t *data,
                size_t len);
MUST_USE int socket_take(struct sim_socket *socket, struct packet *packet);
/* NULL: no such descriptor. */
struct sim_socket *socket_find(const struct machine *machine, int fd);
void socket_close(struct machine *machine, int fd);
/* When its daemon wants to run next, in the simulator's time. */
uint64_t machine_next_us(const struct machine *machine);
void machine_run_tasks(struct machine *machine);
/* Gives the daemon's stack a local packet. */
void machine_send_packet(struct machine *machine, const uint8_t *packet, size_t len);
/* The peer address of another machine at this one; as if DNS had been asked. */
bool machine_find_peer(struct machine *machine, const struct machine *other,
                       struct address *ret_address);
/* Grows whenever the daemon takes something for authentic: checks, IKE messages, sealed data. */
uint64_t machine_belief(const struct machine *machine);
/* Its tunnel to the other: NULL if there is none. */
struct peer *machine_peer(const struct machine *machine, const struct machine *other);

/* Whose code runs now: what replaces the kernel has no other way to know. */
struct machine *machine_current(void);
struct machine *machine_enter(struct machine *machine); /* returns the one before */
void machine_leave(struct machine *before);

/* Where a datagram comes from. */
enum origin {
    ORIGIN_HOST,    /* whose address it bears */
    ORIGIN_COPY,    /* somebody has caught it, and sends it again or elsewhere */
    ORIGIN_ALTERED, /* … and changed it: nobody may believe it */
};

/* Sends a datagram from a link; hops as in struct passage. src: ADDRESS_NONE for the link's own. */
void sim_send(struct sim *sim, int link, const struct endpoint *src, const struct endpoint *dst,
              int hops, const void *data, size_t len, enum origin origin);
/* A sample of a link's delay. */
uint64_t sim_delay(struct sim *sim, const struct link *link);

#endif
