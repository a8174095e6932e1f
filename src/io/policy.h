/* Who may come in through the tunnel interface, enforced by the kernel. Default deny: before a peer
 * is named here, nothing but replies to this host's own connections comes in. Independent of who
 * opened the tunnel. The table belongs to a socket and vanishes with the daemon, as the TUN does.
 *
 * Also: what is routed into the tunnel with another source than this host's own address (bound
 * sockets, containers) is masqueraded; nothing new that comes out of it is forwarded; and packets
 * of other interfaces that claim to come from behind the tunnel, or that want this host's address
 * there, are dropped (a neighbour on the LAN must not pass for a peer). */
#ifndef IO_POLICY_H
#define IO_POLICY_H

#include "base/address.h"
#include "base/map.h"
#include "io/nft.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_RULE_CAP 64 /* of one peer */

/* The texts are borrowed while the policy is open. */
struct policy_options {
    const char *table;    /* e.g. "detec" */
    const char *tun_name; /* need not exist yet */
    struct address
        own_ipv4; /* this host's address behind the tunnel; ADDRESS_NONE: the family is */
    struct address own_ipv6; /* refused altogether */
    struct prefix pool_ipv4; /* addresses that exist behind the tunnel only; ADDRESS_NONE: none */
    struct prefix pool_ipv6;
};

/* One thing that a peer may do. Replies and related ICMP errors need no rule. */
struct policy_rule {
    uint8_t protocol; /* of IP; 0: everything, whatever the port says */
    uint16_t
        port; /* destination; 0: all of the protocol. Only for TCP, UDP, UDP-Lite, DCCP, SCTP. */
};

struct policy {
    struct nft nft;
    struct policy_options options;
    struct map peers;
    struct map releases; /* addresses whose connections are to be forgotten */
};

/* Before the TUN is brought up. ERR_EXISTS: another daemon has a table of that name;
 * ERR_UNSUPPORTED: the kernel lacks something (policy_error says what): then do not start. */
MUST_USE int policy_open(struct policy *policy, const struct policy_options *options);
/* Replaces what the peer (its pool or ORCHID address) may do, atomically; no rules: nothing. A peer
 * with any rule may also ping (ICMP echo): it learns no more than an open port tells. Connections
 * of the peer that the new rules do not allow end with policy_release(). ERR_LIMIT: too many
 * rules; ERR_INVALID: a rule with a port that its protocol does not have; on failure the old rules
 * stay. */
MUST_USE int policy_peer_set(struct policy *policy, const struct address *peer,
                             const struct policy_rule *rules, size_t count);
/* The peer may do nothing any more. One that is not known is ERR_OK. */
MUST_USE int policy_peer_clear(struct policy *policy, const struct address *peer);

/* To forget connections takes a look at all that there are, so it is done for many peers at once: a
 * little later, and before such an address gets rules again. Their next packet is looked at as a
 * new connection's. */
bool policy_is_release_due(const struct policy *policy);
MUST_USE int policy_release(struct policy *policy);

/* A network behind a peer, whose packets keep their own addresses. */
struct policy_network {
    struct prefix remote;
    /* Networks and addresses of our side that its packets pass to and from, of either family:
     * borrowed. None: only this host is reached, and others are masqueraded as ever. */
    const struct prefix *locals;
    size_t local_count;
    struct address stands; /* of locals, what stands for this host: not forwarded */
    /* What it may open, there and on this host; borrowed. Echo goes with anything. */
    const struct policy_rule *rules;
    size_t rule_count;
};

/* Replaces all such networks, atomically; on failure those before stay. Connections that the new
 * ones do not allow end only where their network is gone. ERR_LIMIT: too many rules. */
MUST_USE int policy_networks_set(struct policy *policy, const struct policy_network *networks,
                                 size_t count);

struct policy_counts {
    uint64_t refused; /* packets out of the tunnel that no rule allowed */
    uint64_t spoofed; /* packets of other interfaces that only the tunnel may bring */
};
MUST_USE int policy_counts(struct policy *policy, struct policy_counts *ret_counts);
/* Removes the table: close the TUN first. Also for a zero-initialised one. */
void policy_close(struct policy *policy);
/* Why the last call failed; never NULL. */
const char *policy_error(const struct policy *policy);

#endif
