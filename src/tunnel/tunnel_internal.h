/* What the files about tunnels share. Private to them.
 *
 * Readers follow three pointers: table -> tunnel (hash tables), tunnel -> path, tunnel -> children.
 * What a pointer leads to never changes but for counters, SA state and what says so; a change makes
 * a new object, swaps the pointer, and frees the old one after a grace period. */
#ifndef TUNNEL_TUNNEL_INTERNAL_H
#define TUNNEL_TUNNEL_INTERNAL_H

#include "base/map.h"
#include "tunnel/rcu.h"
#include "tunnel/route_table.h"
#include "tunnel/tunnel.h"

/* One remote endpoint of a tunnel, in the table's by_endpoint. */
struct path {
    struct cds_lfht_node node;
    struct rcu_head head;
    struct tunnel *tunnel;
    struct endpoint remote;
    uint32_t mtu; /* of outer IP packets */
};

/* One SA with both directions. */
struct child {
    struct rcu_head head;
    uint64_t id;
    enum suite suite;
    bool is_esp;
    struct translation translation;
    union {
        struct {
            struct sput_receiver receiver;
            struct sput_sender sender;
        } sput;
        struct {
            struct esp_receiver receiver;
            struct esp_sender sender;
        } esp;
    };
    _Atomic bool is_heard; /* an authentic message came */

    /* ESP. In the table's by_spi under spi_in. */
    struct cds_lfht_node spi_node;
    struct tunnel *tunnel;
    uint32_t spi_in, spi_out;
    enum child_mode mode;
    bool has_commands;
    bool is_in_kernel;               /* no keys here */
    struct selector_pair *selectors; /* NULL: none */
    struct routes *routes;           /* to the peer's; control thread. NULL: none */
};

struct child_set {
    struct rcu_head head;
    struct child *outbound;                     /* NULL: not sending yet */
    struct child *inbound[TUNNEL_CHILDREN_MAX]; /* newest first */
    unsigned int count;
};

/* One of the tunnel's peer addresses, in the table's by_peer. */
struct peer_key {
    struct cds_lfht_node node;
    struct address address; /* ADDRESS_NONE: not in the table */
    struct tunnel *tunnel;
};

struct tunnel {
    struct rcu_head head;
    struct tunnel_table *table;
    struct tunnel *next, **link; /* list of all; control thread */
    void *user;
    struct view local;
    struct peer_key keys[2]; /* IPv4, IPv6 */
    _Atomic(struct path *) path;
    struct path *previous; /* still taken from; control thread */
    _Atomic(struct child_set *) children;

    _Atomic uint64_t packets_in, packets_out;
    _Atomic uint64_t bytes_in, bytes_out;
    _Atomic uint64_t received_us, sent_us, large_us;
    _Atomic bool has_stream;
    _Atomic unsigned int wakes; /* enum tunnel_wake: asked for */
    _Atomic bool is_woken;
    struct drop_counters drops;
};

struct tunnel_table {
    struct cds_lfht *by_peer;     /* struct peer_key */
    struct cds_lfht *by_endpoint; /* struct path; several may have the same endpoint */
    struct cds_lfht *by_spi;      /* struct child */
    struct route_table routes;    /* to networks that children in tunnel mode reach */
    struct tunnel *first;
    _Atomic unsigned long count; /* tunnels */
    unsigned long buckets;       /* of each hash table; control thread */
    uint8_t seed[16];
    struct drop_counters drops;
};

#define TABLE_BUCKETS_MIN 1024 /* powers of two */
#define TABLE_BUCKETS_MAX 65536
/* NULL: no memory. */
struct cds_lfht *table_hash_new(void);

/* So many more data packets, and what that may wake for (child.c says in which order). */
void tunnel_count(struct tunnel *tunnel, _Atomic uint64_t *packets, uint64_t count,
                  unsigned int wakes);
/* child_table.c: what the table knows of single children. Control thread. ERR_EXISTS, ERR_NOMEM. */
MUST_USE int child_enter(struct child *child);
/* Before its grace period. */
void child_leave(struct child *child);
/* NULL if there is none. In a read section. */
struct child *child_find_by_spi(struct tunnel_table *table, uint32_t spi);
MUST_USE int child_table_init(struct tunnel_table *table);
void child_table_done(struct tunnel_table *table);

/* child_message.c: the messages of either protocol. */
struct message_header {
    uint32_t number; /* of ESP's its low half */
    uint8_t command; /* enum sput_command */
    uint8_t next_header;
    bool is_ipv6;
};
/* As sput_open() and esp_open(). ERR_NOT_FOUND: ESP, under another SPI. */
MUST_USE int child_open(struct child *child, struct packet *packet,
                        struct message_header *ret_header);
/* As sput_seal() and esp_seal(). ERR_UNSUPPORTED: a command, to a peer that knows none. */
MUST_USE int child_seal(struct child *child, struct packet *packet,
                        const struct message_header *header, bool may_defer, uint32_t *ret_number);
bool child_is_rekey_due(const struct child *child);

/* Frees the children and all sets after a grace period. */
void tunnel_children_clear(struct tunnel *tunnel);

/* A walk over the paths with one endpoint. In a read section. */
struct path_walk {
    struct cds_lfht_iter iter;
    struct endpoint remote;
    struct tunnel_table *table;
};
/* NULL at the end. */
struct path *path_walk_first(struct path_walk *walk, struct tunnel_table *table,
                             const struct endpoint *remote);
struct path *path_walk_next(struct path_walk *walk);

#endif
