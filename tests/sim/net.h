/* The simulated network: realms (address spaces) with NATs and firewalls between them, and links
 * with delay, loss, repetition and black-outs. Everything is held by index, so that a network is
 * copied whole for the theory of what can be punched (theory.h). */
#ifndef SIM_NET_H
#define SIM_NET_H

#include "base/address.h"
#include "core.h"

#define NET_ROUTERS_MAX 20
#define NET_REALMS_MAX                                                                             \
    (NET_ROUTERS_MAX + 1) /* realm 0 is the Internet, each other one a router's */
#define NET_LINKS_MAX   12
#define NET_ADDRESS_MAX 4
#define NET_INTERNET    0
#define NET_NONE        (-1)
#define NET_HOPS_MAX    64

/* RFC 4787's words. */
enum dependence { EI, AD, APD };
enum port_choice { PORTS_PRESERVED, PORTS_SEQUENTIAL, PORTS_RANDOM };

struct nat_kind {
    enum dependence mapping;
    enum dependence filtering;
    enum port_choice ports;
    uint64_t lifetime_us;
    bool does_inbound_refresh;
    bool has_hairpin;
    bool is_kernel;   /* Linux: a session each, and strangers' packets leave entries of their own */
    bool is_firewall; /* translates nothing */
    bool blocks_udp;
    bool is_unpaired; /* several addresses: any of them for each mapping */
    unsigned address_count;
};
/* "EI/APD kept" … for tables; kinds that mean the same to theory have the same text. */
const char *nat_kind_text(const struct nat_kind *kind, char *buffer, size_t cap);

struct mapping {
    struct endpoint inner, outer;
    struct endpoint remote; /* mapped for this one alone: by address, or address and port */
    uint64_t expires_us;
    struct seen {
        struct endpoint remote;
        uint64_t until_us;
    } * seen; /* remotes that were sent to */
    unsigned seen_count, seen_cap;
    bool is_foreign; /* a kernel's entry of a stranger's packet to the NAT itself */
};

struct router {
    bool is_used;
    struct nat_kind kind;
    int inner, outer; /* realms */
    struct address wan[NET_ADDRESS_MAX];
    unsigned wan_count;
    uint16_t next_port;
    unsigned epoch; /* grows with each reboot: connections of before are dead */
    bool has_ipv6;  /* its inner addresses are reachable, as far as the firewall lets */
    struct mapping *mappings;
    size_t count, cap;
};

struct quality {
    uint64_t delay_us; /* one way, of this link alone */
    uint64_t jitter_us;
    unsigned loss;   /* permille */
    unsigned repeat; /* permille of datagrams that come twice */
    unsigned swap;   /* permille that are overtaken by later ones */
    uint32_t mtu;
};

/* A machine's place in the network. */
struct link {
    bool is_used;
    bool is_up;
    int realm;
    struct address ipv4, ipv6; /* ADDRESS_NONE: none */
    struct quality quality;
    uint64_t black_until_us; /* nothing passes before */
};

struct realm {
    bool is_used;
    int gateway; /* router towards the outer realm; NET_NONE */
};

struct net {
    struct realm realms[NET_REALMS_MAX];
    struct router routers[NET_ROUTERS_MAX];
    struct link links[NET_LINKS_MAX];
    struct rng rng; /* ports */
};

void net_init(struct net *net, uint64_t seed);
void net_done(struct net *net);
/* The same network with NATs that have not seen anything; free it with net_done. */
void net_copy(const struct net *net, struct net *ret_copy);
/* A router between a fresh realm and `outer`, with wan addresses from there. Returns its index. */
int net_add_router(struct net *net, int outer, const struct nat_kind *kind);
/* Forgets all mappings. */
void net_reboot(struct net *net, int router);
/* … and takes a new public address too. */
void net_renumber(struct net *net, int router);
/* A fresh address for a machine in this realm. IPv6 where the way there has it. */
struct address net_new_ipv4(struct net *net, int realm);
struct address net_new_ipv6(struct net *net, int realm);
bool net_has_ipv6(const struct net *net, int realm);

/* A datagram under way. hops: routers it may pass; negative: any number. */
struct passage {
    struct endpoint src, dst;
    int hops;
    bool was_inside; /* it did not start on the Internet itself */
};
/* Carries it from a link to another, through all NATs between: the link it reaches, or NET_NONE.
 * Only NATs change; src becomes what the receiver sees. */
int net_pass(struct net *net, int from_link, struct passage *passage, uint64_t now_us);
/* The same in two steps, as NATs stand before the long way and behind it: up to the Internet
 * (ret_is_outside), or to a link inside of it; and in from there. */
int net_leave(struct net *net, int from_link, struct passage *passage, uint64_t now_us,
              bool *ret_is_outside);
int net_arrive(struct net *net, struct passage *passage, uint64_t now_us);
/* The link whose line a datagram from the Internet to this address comes in by; NET_NONE: it leads
 * nowhere. Hosts of one site share the first one's. */
int net_access(const struct net *net, const struct address *to);
/* NATs of IPv4 between this realm and the Internet. */
unsigned net_depth(const struct net *net, int realm);
/* Sum of the epochs of all routers between: another sum means that connections are dead. */
unsigned net_epochs(const struct net *net, int realm);
/* Is this realm somewhere behind that router? */
bool net_is_inside(const struct net *net, int realm, int router);
/* Is there a kernel's NAT between this link and the Internet? */
bool net_has_kernel(const struct net *net, int link);
/* Has one of those, at present, several ports for one inside? What it takes for the next remote is
 * anybody's guess then. */
bool net_is_torn(const struct net *net, int link, uint64_t now_us);
/* The address that the Internet sees of a connection (TCP) of this family from this link. */
struct address net_outside(const struct net *net, int link, enum address_family family);

#endif
