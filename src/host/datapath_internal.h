/* What datapath.c (the threads), datapath_told.c (what they are told), outbound.c and inbound.c
 * share. */
#ifndef HOST_DATAPATH_INTERNAL_H
#define HOST_DATAPATH_INTERNAL_H

#include "host/datapath.h"
#include "host/datapath_share.h"
#include "tunnel/ahead.h"
#include "tunnel/coalesce.h"
#include "tunnel/sput_batch.h"
#include <pthread.h>

#define BATCH_MAX 64

/* Of the packet before in the same batch: which tunnel it was for (NULL: none), and the endpoint
 * that it came from, or the address that it went to. */
struct recent {
    struct tunnel *tunnel;
    struct endpoint from;
    struct address to;
};

/* One thread, with all that is its own. The control thread knows the first; to that one goes what
 * any of them could do. */
struct datapath {
    struct datapath *next;   /* thread */
    unsigned index;          /* among them */
    struct datapath *helper; /* the thread that writes for this one under load; NULL: alone */
    struct datapath *helped; /* that this one writes for */
    struct share share;
    struct datapath_config config; /* its own device queue and socket */
    pthread_t thread;
    bool is_running;
    int stop_fd;
    struct handoff from_network;
    struct handoff from_local;
    struct handoff to_data;  /* packets and datagrams; its eventfd is for both */
    struct handoff commands; /* what else the control thread tells; goes first */
    bool woke_network;       /* something was handed over in this round */
    bool woke_local;
    struct packet_pool pool;
    struct packet *batch[BATCH_MAX]; /* datagrams to send at the end of the round */
    unsigned batch_count;
    uint16_t batch_socket;                    /* that all of the batch leaves from */
    struct udp sockets[DATAPATH_SOCKETS_MAX]; /* beside the tunnel port's; fd -1: none */
    uint16_t socket_numbers[DATAPATH_SOCKETS_MAX];
    struct sput_batch *tags;    /* that are made, or foreseen, together */
    struct coalescer coalescer; /* packets for the TUN, until the end of the round */
    struct drop_counters drops;
    struct recent *recent; /* while a batch is being worked off */
    uint64_t now_us;       /* of this round */
    _Atomic uint64_t expects_until_us;
    uint64_t elsewhere_us;      /* when data from elsewhere was last told */
    struct look_ahead gathered; /* packets from the TUN that are to be sealed */
    struct tunnel_run run;      /* of the super-packet that is being taken apart; or over */
    _Alignas(16) uint8_t super[TUN_ROOM + OFFLOAD_LEN_MAX]; /* itself */
};

/* One packet or super-packet from local applications, if there is any: how many packets it was. 0:
 * nothing waits. */
unsigned datapath_read_tun(struct datapath *dp);
/* A packet for local applications; consumed. Leaves with the next datapath_flush_tun(). */
void datapath_write_tun(struct datapath *dp, struct packet *packet);
void datapath_flush_tun(struct datapath *dp);
/* Into this device queue; its packets stay the caller's. */
void datapath_write_bundle(struct datapath *dp, const struct tun *tun, const struct bundle *bundle);

/* An ordinary packet from the TUN, which gather_flush() will take, before any other. False: it is
 * to be taken at once. */
bool gather_add(struct datapath *dp, struct packet *packet);
void gather_flush(struct datapath *dp);
/* A packet from a local application; consumed, as in all of these. */
void outbound(struct datapath *dp, struct packet *packet);
/* The same for those of a super-packet, in one read section. False: its like would fare no better.
 * If the first one began dp->run, the next ones follow it, without what its header_len says; else
 * each is a first one. */
bool outbound_first(struct datapath *dp, struct packet *packet);
bool outbound_next(struct datapath *dp, struct packet *packet);
void outbound_end(struct datapath *dp);
/* A datagram from the network; consumed. */
void inbound(struct datapath *dp, struct packet *packet);
/* The same once more; not handed over again. */
void inbound_again(struct datapath *dp, struct packet *packet);
/* A command that the control thread wants sent. */
/* (HANDOFF_COMMAND or HANDOFF_PROBE.) */
void outbound_command(struct datapath *dp, const struct handoff_slot *slot);

/* The next of what the control thread tells, or NULL; commands first. handoff_pop(*ret_handoff)
 * when done with it. */
struct handoff_slot *datapath_next_told(struct datapath *dp, struct handoff **ret_handoff);

/* Queues a sealed datagram; sends the batch when it is full. Consumed. */
void datapath_queue(struct datapath *dp, struct packet *packet);
void datapath_flush(struct datapath *dp);
/* The control thread wanted to hear of this tunnel. */
void datapath_report_wake(struct datapath *dp, struct tunnel *tunnel);

#endif
