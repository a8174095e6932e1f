/* As nft(8) would have it, for each network REMOTE behind a peer, each LOCAL of ours that it meets,
 * and each thing that it may open:
 *
 *   chain input       { ip saddr REMOTE [meta l4proto PROTOCOL [th dport PORT]] accept
 *                       ip saddr REMOTE icmp type echo-request accept }
 *   chain forward     { iifname TUN ip saddr REMOTE ip daddr LOCAL ip daddr != STANDS [...] accept
 *                       oifname TUN ip daddr REMOTE ip saddr LOCAL accept
 *                       oifname TUN ip daddr REMOTE counter name refused drop }
 *   chain postrouting { oifname TUN ip saddr LOCAL ip saddr != STANDS ip daddr REMOTE accept }
 */
#include "io/policy_network.h"

#include "io/nft_rule.h"
#include <netinet/in.h>

#define ECHO_IPV4 8
#define ECHO_IPV6 128

static void end_with_accept(struct nft *nft)
{
    nft_verdict(nft, NF_ACCEPT);
    nft_rule_end(nft);
}

/* Ends the rule that has been begun; number: of the things it may open, and one more: echo. */
static void match_allowed(struct nft *nft, const struct policy_network *network, size_t number)
{
    const bool is_ipv4 = network->remote.address.family == ADDRESS_IPV4;
    if (number == network->rule_count) {
        const uint8_t type = is_ipv4 ? ECHO_IPV4 : ECHO_IPV6;
        nft_match_protocol(nft, is_ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
        nft_load_payload(nft, 0, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
        nft_compare(nft, 0, true, &type, 1);
        return;
    }
    const struct policy_rule *rule = &network->rules[number];
    if (rule->protocol == 0)
        return;
    nft_match_protocol(nft, rule->protocol);
    if (rule->port != 0)
        nft_match_port(nft, rule->port);
}

static size_t allowed_count(const struct policy_network *network)
{
    return network->rule_count == 0 ? 0 : network->rule_count + 1;
}

static bool meets(const struct policy_network *network, size_t i)
{
    return network->locals[i].address.family == network->remote.address.family;
}

/* The address that stands for this host there is this host's own matter. */
static void match_not_standing(struct nft *nft, const struct policy_network *network,
                               bool is_source)
{
    const struct prefix stands = {network->stands, (uint8_t)(8 * address_len(&network->stands))};
    if (network->stands.family == network->remote.address.family)
        nft_match_address(nft, &stands, is_source, false);
}

void policy_network_input(struct nft *nft, const char *chain, const struct policy_network *network)
{
    for (size_t i = 0; i < allowed_count(network); i++) {
        nft_rule_begin(nft, chain);
        nft_match_family(nft, network->remote.address.family);
        nft_match_address(nft, &network->remote, true, true);
        match_allowed(nft, network, i);
        end_with_accept(nft);
    }
}

void policy_network_in(struct nft *nft, const char *chain, const char *tun_name,
                       const struct policy_network *network)
{
    for (size_t i = 0; i < network->local_count; i++) {
        for (size_t j = 0; meets(network, i) && j < allowed_count(network); j++) {
            nft_rule_begin(nft, chain);
            nft_match_in(nft, tun_name, true);
            nft_match_family(nft, network->remote.address.family);
            nft_match_address(nft, &network->remote, true, true);
            nft_match_address(nft, &network->locals[i], false, true);
            match_not_standing(nft, network, false);
            match_allowed(nft, network, j);
            end_with_accept(nft);
        }
    }
}

static void match_outward(struct nft *nft, const char *chain, const char *tun_name,
                          const struct policy_network *network)
{
    nft_rule_begin(nft, chain);
    nft_match_out(nft, tun_name, true);
    nft_match_family(nft, network->remote.address.family);
    nft_match_address(nft, &network->remote, false, true);
}

/* What goes from our networks to it; is_behind: not from the address that stands for this end. */
static void accept_outward(struct nft *nft, const char *chain, const char *tun_name,
                           const struct policy_network *network, bool is_behind)
{
    for (size_t i = 0; i < network->local_count; i++) {
        if (!meets(network, i))
            continue;
        match_outward(nft, chain, tun_name, network);
        nft_match_address(nft, &network->locals[i], true, true);
        if (is_behind)
            match_not_standing(nft, network, true);
        end_with_accept(nft);
    }
}

void policy_network_out(struct nft *nft, const char *chain, const char *tun_name,
                        const struct policy_network *network)
{
    accept_outward(nft, chain, tun_name, network, false);
    if (network->local_count == 0)
        return;
    match_outward(nft, chain, tun_name, network);
    nft_count(nft, "refused");
    nft_verdict(nft, NF_DROP);
    nft_rule_end(nft);
}

void policy_network_keep(struct nft *nft, const char *chain, const char *tun_name,
                         const struct policy_network *network)
{
    accept_outward(nft, chain, tun_name, network, true);
}
