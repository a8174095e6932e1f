/* What the files about tunnels share. Private to them.
 *
 * Readers follow three pointers: table -> tunnel (hash tables), tunnel -> path, tunnel -> children.
 * What a pointer leads to never changes but for counters, SA state and what says so; a change makes
 * a new object, swaps the pointer, and frees the old one after a grace period. */
#ifndef TUNNEL_TUNNEL_INTERNAL_H
#define TUNNEL_TUNNEL_INTERNAL_H

#include "base/arena.h"
#include "base/map.h"
#include "tunnel/hash_index.h"
#include "tunnel/rcu.h"
#include "tunnel/route_table.h"
#include "tunnel/tunnel.h"

/* With thousands of tunnels a packet finds none of this in the processor's caches: what it needs of
 * each stands together, at the start, and ahead.c asks for these lines before they are needed. All
 * of it lies in the table's arena. */

/* One remote endpoint of a tunnel, in the table's by_endpoint. */
struct path {
    struct endpoint remote;
    uint32_t mtu; /* of outer IP packets */
    struct tunnel *tunnel;
    _Atomic(struct path *) beside; /* another with the same endpoint */
    struct path *before;           /* whose `beside` this is; control thread */
    struct arena *arena;           /* that it lies in, as all of these: its tunnel may go first */
    struct rcu_head head;
};

/* One SA with both directions. */
struct child {
    uint64_t id;
    enum suite suite;
    bool is_esp;
    _Atomic bool is_heard; /* an authentic message came */
    bool has_commands;     /* ESP */
    bool is_in_kernel;     /* ESP: no keys here */
    uint32_t spi_in, spi_out;
    struct tunnel *tunnel;
    struct translation translation;
    union {
        struct {
            struct sput_sender sender;
            struct sput_receiver receiver;
        } sput;
        struct {
            struct esp_sender sender;
            struct esp_receiver receiver;
        } esp;
    };
    struct arena *arena;
    struct rcu_head head;
    /* ESP. In the table's by_spi under spi_in. */
    enum child_mode mode;
    struct selector_pair *selectors; /* NULL: none */
    struct routes *routes;           /* to the peer's; control thread. NULL: none */
};

struct child_set {
    struct child *outbound; /* NULL: not sending yet */
    unsigned int count;
    struct child *inbound[TUNNEL_CHILDREN_MAX]; /* newest first */
    struct arena *arena;
    struct rcu_head head;
};

/* Under its peer's addresses in the table's by_peer. */
struct tunnel {
    _Atomic(struct path *) path;
    _Atomic(struct child_set *) children;
    _Atomic(struct child *) likely; /* newest: for looking ahead, without a step by the set */
    _Atomic unsigned int wakes;     /* enum tunnel_wake: asked for */
    _Atomic bool is_woken;
    _Atomic bool has_stream;
    _Atomic uint64_t packets_in, packets_out;
    _Atomic uint64_t bytes_in, bytes_out;
    _Atomic uint64_t received_us, sent_us, large_us;
    struct view local;

    struct tunnel_table *table;
    struct arena *arena;
    void *user;
    struct rcu_head head;
    struct tunnel *next, **link; /* list of all; control thread */
    struct path *previous;       /* still taken from; control thread */
    struct drop_counters drops;
};

struct tunnel_table {
    struct hash_index by_peer;     /* struct tunnel */
    struct hash_index by_endpoint; /* struct path; the first of those with the same endpoint */
    struct hash_index by_spi;      /* struct child */
    struct arena *arena;
    struct route_table routes; /* to networks that children in tunnel mode reach */
    struct tunnel *first;
    _Atomic unsigned long count; /* tunnels */
    uint8_t seed[16];
    struct drop_counters drops;
};

uint64_t table_hash_address(const struct tunnel_table *table, const struct address *address);
uint64_t table_hash_endpoint(const struct tunnel_table *table, const struct endpoint *endpoint);

/* So many more data packets, and what that may wake for (child.c says in which order). */
void tunnel_count(struct tunnel *tunnel, _Atomic uint64_t *packets, uint64_t count,
                  unsigned int wakes);
/* child_table.c: what the table knows of single children. Control thread. ERR_EXISTS, ERR_NOMEM. */
MUST_USE int child_enter(struct child *child);
/* Before its grace period. */
void child_leave(struct child *child);
/* NULL if there is none. In a read section. */
struct child *child_find_by_spi(struct tunnel_table *table, uint32_t spi);

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

/* The paths with one endpoint: the first, and the next of each; NULL at the end. In a read section.
 */
struct path *path_first(const struct tunnel_table *table, const struct endpoint *remote);
static inline struct path *path_next(const struct path *path)
{
    return atomic_load_explicit(&path->beside, memory_order_acquire);
}

#endif
