/* What it takes to stay reachable while nothing is sent, in the network that this host is in now:
 * how often NATs and filters have to be reminded (the measured lifetime of their mappings), or
 * whether not at all (packets get in that nobody asked for). Both are found out only when something
 * would be sent for no other reason, and forgotten with the network. */
#ifndef HOST_KEEPER_H
#define HOST_KEEPER_H

#include "base/address.h"
#include "host/task.h"
#include "path/behaviour.h"
#include "path/openness.h"
#include <jansson.h>

struct host;
struct peer;
struct tunnel_status;

#define KEEPER_NETWORKS_MAX 8

/* The lifetime of mappings, of one network. */
struct keeper_lifetime {
    struct address source, public; /* own address, and as the connector sees it */
    uint64_t alive_us, dead_us;    /* as behaviour_result's */
    uint64_t at_us;                /* 0: a free place */
};

/* Whether packets get in unasked, by this address of ours. */
struct keeper_proof {
    uint64_t at_us; /* when it was found out; 0: it was not */
    struct address source;
    struct endpoint mapped; /* where the connector sees us */
    bool is_proven;
    bool is_leased;  /* by a mapped port: as long as that is */
    bool is_lasting; /* there is no mapping that could die */
};

/* Of the daemon. Zeroed is right. */
struct keeper {
    struct keeper_proof proofs[2]; /* IPv4, IPv6 */
    struct keeper_lifetime lifetimes[KEEPER_NETWORKS_MAX];
    struct openness *openness; /* being found out; NULL: nothing is */
    struct address asked_from;
    struct task task;
    unsigned wants;       /* what was sent for no other reason in this network, up to a few */
    uint64_t measured_us; /* when the lifetime was last looked for here; 0: never */
};

/* Reminds the NATs on the way to the peer, if that is due, and is careful about how long it leaves
 * the peer unasked. */
void keeper_keep(struct peer *peer, const struct tunnel_status *status, uint64_t now_us);
/* When it is due next, if nothing else is sent; not after keeper_keep() should be called again. */
uint64_t keeper_next_us(const struct peer *peer, const struct tunnel_status *status,
                        uint64_t now_us);
/* Something is due over this family (enum address_family) that only keeps NATs and filters open:
 * time to find out whether it has to. */
void keeper_on_due(struct host *host, uint8_t family, uint64_t now_us);
/* Nothing is needed for datagrams that leave from this address. */
bool keeper_is_proven(struct host *host, const struct address *source, uint64_t now_us);
/* Else: how often. */
uint64_t keeper_interval_us(const struct host *host, const struct address *source, uint64_t now_us);
/* How often to ask the connector there how it sees us: that keeps the mapping that others are told
 * of. */
uint64_t keeper_refresh_us(struct host *host, const struct endpoint *server, uint64_t now_us);
/* Addresses, routes or the public endpoint have changed: what was proven was so elsewhere. */
void keeper_on_network(struct host *host, uint64_t now_us);
/* A tunnel had to be brought back: what was proven may not hold any more. */
void keeper_doubt(struct host *host);
/* A lifetime was looked for from this address, and this was found. */
void keeper_note_lifetime(struct host *host, const struct address *source,
                          const struct behaviour_result *result, uint64_t now_us);
/* A datagram that looks like STUN. ERR_NOT_FOUND: it is none of ours. */
MUST_USE int keeper_on_stun(struct host *host, const uint8_t *data, size_t len,
                            const struct endpoint *from, uint64_t now_us);
void keeper_stop(struct host *host);
/* For `detec status`, docs/control.md. */
json_t *keeper_report(struct host *host, uint64_t now_us);

#endif
