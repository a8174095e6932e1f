/* The way from an IPv6-only network to IPv4: finds the translator's prefix (NAT64) by asking this
 * host's own resolver for ipv4only.arpa (RFC 7050), and tells by which address something of the
 * IPv4 network is reached from here. What is sent there is bounded by those who send. */
#ifndef HOST_NAT64_H
#define HOST_NAT64_H

#include "base/nat64.h"
#include "host/task.h"
#include "wire/notify.h"

struct host;
struct lookup;

struct nat64 {
    struct task task; /* asks anew */
    struct lookup *lookup;
    struct nat64_prefixes prefixes;
    uint64_t retry_us;
};

/* Asks, at the start and whenever addresses or routes have changed. Without an address of IPv6
 * there is nothing to ask. What is known stays until the answer is in. */
void nat64_refresh(struct host *host, uint64_t now_us);
void nat64_stop(struct host *host);

/* Is there a way to this address now? */
bool nat64_has_route(struct host *host, const struct address *to);
/* By which address is this one reached from here? Itself, where there is a route to it or no
 * translator is known; else the IPv6 address that stands for it. */
struct address nat64_reach(struct host *host, const struct address *to);
/* The address that this one stands for: IPv4 behind the translator, else itself. */
struct address nat64_origin(const struct host *host, const struct address *address);
/* Does it stand for an IPv4 address that is none of the public network? Whoever names such a one
 * means the translator's own network, or nothing good. */
bool nat64_is_inside(const struct host *host, const struct address *address);
/* A peer's candidates as they are reached from here. What may not be probed goes, and private IPv4
 * addresses that no route leads to. */
void nat64_reach_candidates(struct host *host, struct candidate_list *list);

#endif
