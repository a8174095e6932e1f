/* As nft(8) would have it (the same for IPv6, with sets …6):
 *
 *   table inet NAME {
 *     flags owner
 *     set known4     { type ipv4_addr; }                              # peers with any rule
 *     set all4       { type ipv4_addr; }
 *     set protocols4 { type ipv4_addr . inet_proto; }
 *     set ports4     { type ipv4_addr . inet_proto . inet_service; }
 *     chain input {
 *       type filter hook input priority filter - 10
 *       iifname lo accept
 *       iifname != TUN ip saddr POOL ip saddr != 0.0.0.0 counter name spoofed drop
 *       iifname != TUN ip daddr OWN counter name spoofed drop
 *       iifname != TUN accept
 *       ct state established,related accept      # also to masqueraded sockets, as dst is theirs by
 * now ip daddr != OWN counter name refused drop ip saddr @all4 accept ip saddr . meta l4proto
 * @protocols4 accept ip saddr . meta l4proto . th dport @ports4 accept icmp type echo-request ip
 * saddr @known4 accept counter name refused drop
 *     }
 *     chain forward {
 *       type filter hook forward priority filter - 10
 *       iifname TUN ct state established,related accept
 *       iifname TUN counter name refused drop
 *       ip saddr POOL counter name spoofed drop
 *     }
 *     chain postrouting {
 *       type nat hook postrouting priority srcnat
 *       oifname TUN ip saddr != OWN masquerade
 *     }
 *   }
 *
 * Which peers may do what is policy_peer.c; what networks behind them add, policy_network.c.
 */
#include "io/policy.h"

#include "io/nft_rule.h"
#include "io/policy_network.h"
#include "io/policy_peer.h"
#include "io/random.h"
#include <netinet/in.h>
#include <string.h>

#define PRIORITY_FILTER (-10) /* before the host's own filters, which have their say afterwards */
#define PRIORITY_SRCNAT 100

static const char input[] = "input";
static const char forward[] = "forward";
static const char postrouting[] = "postrouting";
static const char refused[] = "refused";
static const char spoofed[] = "spoofed";

static struct prefix host_prefix(const struct address *address)
{
    return (struct prefix){.address = *address, .bits = (uint8_t)(address_len(address) * 8)};
}

static void end_with_drop(struct nft *nft, const char *counter)
{
    nft_count(nft, counter);
    nft_verdict(nft, NF_DROP);
    nft_rule_end(nft);
}

static void end_with_accept(struct nft *nft)
{
    nft_verdict(nft, NF_ACCEPT);
    nft_rule_end(nft);
}

/* A packet of another interface may not claim to be from behind the tunnel. */
static void drop_spoofed_source(struct nft *nft, const char *chain, const char *tun_name,
                                const struct prefix *pool)
{
    if (pool->address.family == ADDRESS_NONE)
        return;
    nft_rule_begin(nft, chain);
    nft_match_in(nft, tun_name, false);
    nft_match_family(nft, pool->address.family);
    nft_match_address(nft, pool, true, true);
    if (pool->address.family == ADDRESS_IPV4) {
        /* A DHCP client's first words come from 0.0.0.0. */
        const struct prefix nobody = {.address = address_from_ipv4(0), .bits = 32};

        nft_match_address(nft, &nobody, true, false);
    }
    end_with_drop(nft, spoofed);
}

static void drop_foreign_destination(struct nft *nft, const char *tun_name,
                                     const struct address *own)
{
    struct prefix prefix = host_prefix(own);

    if (own->family == ADDRESS_NONE)
        return;
    nft_rule_begin(nft, input);
    nft_match_in(nft, tun_name, false);
    nft_match_family(nft, own->family);
    nft_match_address(nft, &prefix, false, true);
    end_with_drop(nft, spoofed);
}

/* Of what comes out of the tunnel only packets to our one address are for this host. */
static void drop_other_destinations(struct nft *nft, enum address_family family,
                                    const struct address *own)
{
    struct prefix prefix = host_prefix(own);

    nft_rule_begin(nft, input);
    nft_match_family(nft, family);
    if (own->family != ADDRESS_NONE)
        nft_match_address(nft, &prefix, false, false);
    end_with_drop(nft, refused);
}

static void accept_peers(struct nft *nft, enum address_family family)
{
    const struct policy_sets *sets = policy_sets_of(family);
    unsigned words = family == ADDRESS_IPV4 ? 1 : 4;
    uint8_t protocol = family == ADDRESS_IPV4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    uint8_t echo_request = family == ADDRESS_IPV4 ? 8 : 128;

    nft_rule_begin(nft, input);
    nft_match_family(nft, family);
    nft_load_address(nft, 0, family, true);
    nft_lookup(nft, 0, sets->all, true);
    end_with_accept(nft);

    nft_rule_begin(nft, input);
    nft_match_family(nft, family);
    nft_load_address(nft, 0, family, true);
    nft_load_meta(nft, words, NFT_META_L4PROTO);
    nft_lookup(nft, 0, sets->protocols, true);
    end_with_accept(nft);

    nft_rule_begin(nft, input);
    nft_match_family(nft, family);
    nft_load_address(nft, 0, family, true);
    nft_load_meta(nft, words, NFT_META_L4PROTO);
    nft_load_port(nft, words + 1);
    nft_lookup(nft, 0, sets->ports, true);
    end_with_accept(nft);

    nft_rule_begin(nft, input);
    nft_match_family(nft, family);
    nft_match_protocol(nft, protocol);
    nft_load_payload(nft, 0, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
    nft_compare(nft, 0, true, &echo_request, 1);
    nft_load_address(nft, 0, family, true);
    nft_lookup(nft, 0, sets->known, true);
    end_with_accept(nft);
}

/* All networks of a policy, or none. */
struct networks {
    const struct policy_network *list;
    size_t count;
};

static void build_input(struct nft *nft, const struct policy_options *options,
                        const struct networks *networks)
{
    const struct nft_chain chain = {
        .name = input, .type = "filter", .hook = NF_INET_LOCAL_IN, .priority = PRIORITY_FILTER};

    nft_chain_add(nft, &chain);
    nft_chain_flush(nft, input);
    nft_rule_begin(nft, input);
    nft_match_in(nft, "lo", true);
    end_with_accept(nft);
    drop_spoofed_source(nft, input, options->tun_name, &options->pool_ipv4);
    drop_spoofed_source(nft, input, options->tun_name, &options->pool_ipv6);
    for (size_t i = 0; i < networks->count; i++)
        drop_spoofed_source(nft, input, options->tun_name, &networks->list[i].remote);
    drop_foreign_destination(nft, options->tun_name, &options->own_ipv4);
    drop_foreign_destination(nft, options->tun_name, &options->own_ipv6);
    nft_rule_begin(nft, input);
    nft_match_in(nft, options->tun_name, false);
    end_with_accept(nft);
    nft_rule_begin(nft, input);
    nft_match_state(nft, NFT_STATE_ESTABLISHED | NFT_STATE_RELATED);
    end_with_accept(nft);
    drop_other_destinations(nft, ADDRESS_IPV4, &options->own_ipv4);
    drop_other_destinations(nft, ADDRESS_IPV6, &options->own_ipv6);
    accept_peers(nft, ADDRESS_IPV4);
    accept_peers(nft, ADDRESS_IPV6);
    for (size_t i = 0; i < networks->count; i++)
        policy_network_input(nft, input, &networks->list[i]);
    nft_rule_begin(nft, input);
    end_with_drop(nft, refused);
}

static void build_forward(struct nft *nft, const struct policy_options *options,
                          const struct networks *networks)
{
    const struct nft_chain chain = {
        .name = forward, .type = "filter", .hook = NF_INET_FORWARD, .priority = PRIORITY_FILTER};

    nft_chain_add(nft, &chain);
    nft_chain_flush(nft, forward);
    nft_rule_begin(nft, forward);
    nft_match_in(nft, options->tun_name, true);
    nft_match_state(nft, NFT_STATE_ESTABLISHED | NFT_STATE_RELATED);
    end_with_accept(nft);
    for (size_t i = 0; i < networks->count; i++)
        policy_network_in(nft, forward, options->tun_name, &networks->list[i]);
    nft_rule_begin(nft, forward);
    nft_match_in(nft, options->tun_name, true);
    end_with_drop(nft, refused);
    drop_spoofed_source(nft, forward, options->tun_name, &options->pool_ipv4);
    drop_spoofed_source(nft, forward, options->tun_name, &options->pool_ipv6);
    for (size_t i = 0; i < networks->count; i++)
        drop_spoofed_source(nft, forward, options->tun_name, &networks->list[i].remote);
    for (size_t i = 0; i < networks->count; i++)
        policy_network_out(nft, forward, options->tun_name, &networks->list[i]);
}

static void build_postrouting(struct nft *nft, const struct policy_options *options,
                              const struct networks *networks)
{
    const struct nft_chain chain = {.name = postrouting,
                                    .type = "nat",
                                    .hook = NF_INET_POST_ROUTING,
                                    .priority = PRIORITY_SRCNAT};
    const struct address *const owns[] = {&options->own_ipv4, &options->own_ipv6};
    size_t i;

    nft_chain_add(nft, &chain);
    nft_chain_flush(nft, postrouting);
    for (i = 0; i < networks->count; i++)
        policy_network_keep(nft, postrouting, options->tun_name, &networks->list[i]);
    for (i = 0; i < sizeof owns / sizeof owns[0]; i++) {
        struct prefix prefix = host_prefix(owns[i]);

        if (owns[i]->family == ADDRESS_NONE)
            continue;
        nft_rule_begin(nft, postrouting);
        nft_match_out(nft, options->tun_name, true);
        nft_match_family(nft, owns[i]->family);
        nft_match_address(nft, &prefix, true, false);
        nft_masquerade(nft);
        nft_rule_end(nft);
    }
}

static void build_chains(struct nft *nft, const struct policy_options *options,
                         const struct networks *networks)
{
    build_input(nft, options, networks);
    build_forward(nft, options, networks);
    build_postrouting(nft, options, networks);
}

static bool is_family(const struct address *address, enum address_family family)
{
    return address->family == ADDRESS_NONE || address->family == family;
}

int policy_open(struct policy *policy, const struct policy_options *options)
{
    struct nft *nft = &policy->nft;
    uint8_t seed[16];
    int error;

    memset(policy, 0, sizeof *policy);
    if (options->tun_name[0] == 0 || !is_family(&options->own_ipv4, ADDRESS_IPV4) ||
        !is_family(&options->own_ipv6, ADDRESS_IPV6) ||
        !is_family(&options->pool_ipv4.address, ADDRESS_IPV4) ||
        !is_family(&options->pool_ipv6.address, ADDRESS_IPV6))
        return ERR_INVALID;
    error = random_bytes(seed, sizeof seed);
    if (error < 0)
        return error;
    error = map_init(&policy->peers, seed);
    if (error < 0)
        return error;
    error = map_init(&policy->releases, seed);
    if (error < 0)
        goto free_peers;
    error = nft_open(nft, options->table);
    if (error < 0)
        goto free_map;
    nft_begin(nft);
    nft_table_add(nft, NFT_OWNED, true);
    nft_counter_add(nft, refused);
    nft_counter_add(nft, spoofed);
    policy_sets_add(nft);
    build_chains(nft, options, &(struct networks){NULL, 0});
    policy->options = *options;
    error = nft_commit(nft);
    if (error == ERR_OK)
        return ERR_OK;
    nft_close(nft);
free_map:
    map_done(&policy->releases);
free_peers:
    map_done(&policy->peers);
    return error;
}

int policy_networks_set(struct policy *policy, const struct policy_network *networks, size_t count)
{
    nft_begin(&policy->nft);
    build_chains(&policy->nft, &policy->options, &(struct networks){networks, count});
    return nft_commit(&policy->nft);
}

int policy_counts(struct policy *policy, struct policy_counts *ret_counts)
{
    struct policy_counts counts;
    int error = nft_counter_read(&policy->nft, refused, &counts.refused);

    if (error == ERR_OK)
        error = nft_counter_read(&policy->nft, spoofed, &counts.spoofed);
    if (error == ERR_OK)
        *ret_counts = counts;
    return error;
}

void policy_close(struct policy *policy)
{
    if (policy->nft.batch == NULL)
        return;
    (void)!policy_release(policy);
    nft_close(&policy->nft);
    policy_peers_free(policy);
    map_done(&policy->releases);
    map_done(&policy->peers);
}

const char *policy_error(const struct policy *policy)
{
    return nft_error(&policy->nft);
}
