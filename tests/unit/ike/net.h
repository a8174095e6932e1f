/* A simulated network in virtual time: nodes with an IKE table each, packets that are delayed,
 * lost, doubled, reordered or tampered with, and a stream of pretended data packets between two SAs
 * that must always find a child that opens them. */
#ifndef TEST_IKE_NET_H
#define TEST_IKE_NET_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those above. */
#include <cmocka.h>

#include "base/deadline.h"
#include "ike/table.h"

#define NET_NODES     4
#define NET_KIDS      64
#define NET_MS(n)     ((uint64_t)(n)*MS_US)
#define NET_SECOND(n) ((uint64_t)(n)*SECOND_US)

struct net;
struct node;

/* A child as its owner sees it. */
struct kid {
    struct ike_event_child_ready ready;
    bool is_outbound;
    bool is_closed;
    enum ike_reason reason;
};

/* An SA as its owner sees it; stays when the SA is freed. */
struct watch {
    struct watch *next;
    struct node *node;
    struct ike_sa *sa; /* NULL after CLOSED */
    bool is_established, is_closed, is_initial_contact;
    struct public_key peer_key;
    char peer_id[NAME_TEXT_CAP];
    struct ike_event_closed closed;
    struct kid kids[NET_KIDS];
    size_t kid_count;
    unsigned move_count; /* PATH_CHANGED, and the last path told */
    struct endpoint path;
    unsigned failed_count; /* MOVE_FAILED, and the last path told */
    struct endpoint failed_path;
    unsigned notify_count;
    uint16_t notify_type;
    uint8_t notify_data[IKE_NOTIFY_LEN_MAX];
    size_t notify_len;
    bool child_failed;
    enum ike_reason child_reason;
};

struct node {
    struct net *net;
    struct endpoint endpoint;
    struct ike_table *table;
    struct identity *identity;
    struct ike_config config;
    struct ike_profile *responder; /* NULL: takes no requests */
    struct watch *watches;         /* newest first */
    unsigned watch_count;
    int errors[32]; /* of ike_table_receive, by -error */
    bool is_deaf;   /* loses all that it is sent */
};

struct packet_sim {
    struct packet_sim *next;
    uint64_t due_us;
    struct endpoint source, destination;
    unsigned via; /* number of the other path that it takes; 0: none */
    bool is_data; /* then spi and no bytes */
    uint32_t spi;
    size_t len;
    uint8_t bytes[IKE_MESSAGE_CAP];
};

/* Another path between nodes 0 and 1, say a relay: what node i sends to ends[i] reaches the other
 * one as from ends[1 - i]. */
#define NET_PATHS 4
struct path_sim {
    struct endpoint ends[2];
    bool is_down;
};

/* May change the packet; false drops it. */
typedef bool net_tamper(struct net *net, struct packet_sim *packet);

struct net {
    uint64_t now_us;
    uint64_t random_state;
    struct node nodes[NET_NODES];
    struct packet_sim *packets; /* by due time */
    uint64_t delay_us, jitter_us;
    unsigned loss_percent, double_percent;
    struct path_sim paths[NET_PATHS];
    size_t path_count;
    bool is_cut; /* nothing gets through but on those paths */
    net_tamper *tamper;
    void *tamper_context;
    unsigned sent_count; /* IKE messages */
    size_t longest;
    /* data between two watches, once both have a child */
    struct watch *data[2];
    uint64_t data_every_us, data_due_us;
    unsigned data_sent, data_opened, data_refused;
};

void net_init(struct net *net, uint64_t seed);
/* Frees everything; all SAs, packets, tables. */
void net_done(struct net *net);
uint32_t net_random(struct net *net, uint32_t below);
/* Makes the responder profile from the node's config, and a table with these limits (NULL:
 * default). */
void net_open(struct net *net, size_t node, const struct ike_table_limits *limits);
/* Starts an SA from one node to another; the initiator's config as changed by the caller before. */
struct watch *net_connect(struct net *net, size_t from, size_t to);
/* The SA that node `to` made for the last connect, or NULL. */
struct watch *net_newest(struct net *net, size_t node);
/* Hands raw bytes to a node as if they came from source. */
int net_inject(struct net *net, size_t to, const struct endpoint *source, const uint8_t *bytes,
               size_t len);
/* Transmits and drains whatever the owner's call has left to do. */
void net_drive(struct watch *watch);
/* Runs until nothing is left to happen or the time has come. */
void net_run(struct net *net, uint64_t duration_us);
/* One more path between nodes 0 and 1; relay: its ends are of the family ADDRESS_RELAY. */
struct path_sim *net_add_path(struct net *net, bool is_relay);
/* Starts the pretended data. */
void net_start_data(struct net *net, struct watch *a, struct watch *b, uint64_t every_us);
/* The child to send with: the newest that is outbound and open. NULL: none. */
const struct kid *watch_sending(const struct watch *watch);
size_t watch_open_count(const struct watch *watch);
/* Configures a child: node a calls b by 10.0.0.b, and so on. */
void net_want_child(struct net *net, size_t node, enum suite suite);

#endif
