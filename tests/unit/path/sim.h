/* A network in virtual time: hosts and NATs in realms, with delay, loss, doubling and reordering.
 *
 *   realm 0 (public) ── NAT ── realm 1 ── NAT ── realm 2 …
 */
#ifndef TEST_PATH_SIM_H
#define TEST_PATH_SIM_H

#include "base/address.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_REALMS   8
#define SIM_HOSTS    8
#define SIM_MAPPINGS 4096
#define SIM_QUEUE    4096
#define SIM_DATA_CAP 512

enum sim_filter { FILTER_ENDPOINT = 0, FILTER_ADDRESS, FILTER_ADDRESS_AND_PORT };

struct sim_mapping {
    struct endpoint inner;
    struct endpoint towards; /* only where mapping is not endpoint-independent, or moved */
    bool is_moved;           /* the port towards that one was taken by a stray */
    uint16_t port;
    struct endpoint *sent_to; /* what the filter lets in */
    size_t sent_count, sent_cap;
};

/* What an accepting NAT remembers of a datagram that nobody inside had asked for. */
struct sim_stray {
    struct endpoint from;
    uint16_t port;
};

/* The NAT between a realm and the realm outside it. */
struct sim_nat {
    bool exists;
    unsigned outer_realm;
    struct address outer;
    enum sim_filter filter;
    bool is_symmetric;  /* address-and-port-dependent mapping */
    bool is_by_address; /* the same, but address-dependent */
    bool is_random;     /* ports; else in order, by step (0: 1), */
    int step;
    unsigned noise; /* and so many of other hosts', at most, between any two */
    bool has_hairpin;
    /* As the kernel's with no filter for itself: what comes in unasked is taken for its own, and
     * what goes out to where that came from cannot have the same port any more. */
    bool is_accepting;
    struct sim_stray strays[64];
    size_t stray_count;
    struct sim_mapping mappings[SIM_MAPPINGS];
    size_t mapping_count;
    uint16_t next_port;
};

struct sim;
typedef void sim_receive(void *context, const uint8_t *data, size_t len,
                         const struct endpoint *from);

struct sim_host {
    unsigned realm;
    struct endpoint endpoint; /* of its socket 0; the number of another is added to the port */
    unsigned sockets;         /* beyond socket 0 */
    sim_receive *receive;
    void *context;
    size_t received;
};

struct sim_datagram {
    uint64_t at_us;
    struct sim_host *host;
    struct endpoint from;
    size_t len;
    uint8_t data[SIM_DATA_CAP];
};

struct sim {
    uint64_t now_us;
    uint64_t hop_us;         /* each realm that a datagram crosses */
    unsigned loss, doubling; /* percent */
    uint64_t jitter_us;
    uint64_t random;
    struct sim_nat nats[SIM_REALMS]; /* index: inner realm */
    struct sim_host hosts[SIM_HOSTS];
    size_t host_count;
    struct sim_datagram queue[SIM_QUEUE];
    size_t queue_count;
    size_t sent;
};

void sim_init(struct sim *sim, uint64_t seed);
void sim_done(struct sim *sim);
uint32_t sim_random(struct sim *sim);
void sim_add_nat(struct sim *sim, unsigned inner_realm, unsigned outer_realm, const char *outer,
                 enum sim_filter filter);
struct sim_host *sim_add_host(struct sim *sim, unsigned realm, const char *endpoint,
                              sim_receive *receive, void *context);
void sim_send(struct sim *sim, const struct sim_host *host, const struct endpoint *to,
              const uint8_t *data, size_t len);
/* A datagram that depth NATs let pass and the next hop throws away, without a trace there. */
void sim_send_opener(struct sim *sim, const struct sim_host *host, const struct endpoint *to,
                     unsigned depth, const uint8_t *data, size_t len);
/* As the datagram would come from someone in that realm with that source. */
void sim_inject(struct sim *sim, unsigned realm, const struct endpoint *from,
                const struct endpoint *to, const uint8_t *data, size_t len);
/* What a public server would see; makes the mapping. */
struct endpoint sim_reflexive(struct sim *sim, const struct sim_host *host);
/* The same of another socket. */
struct endpoint sim_reflexive_of(struct sim *sim, const struct sim_host *host, unsigned socket);
/* DEADLINE_NEVER: nothing is on its way. */
uint64_t sim_next_us(const struct sim *sim);
/* Moves the clock and delivers. */
void sim_run_until(struct sim *sim, uint64_t at_us);
struct endpoint sim_endpoint(const char *text);

#endif
