/* For policy.c: the rules of networks behind a peer, and of those on this side that its packets
 * pass to and from. */
#ifndef IO_POLICY_NETWORK_H
#define IO_POLICY_NETWORK_H

#include "io/policy.h"

/* What it may open on this host itself. */
void policy_network_input(struct nft *nft, const char *chain, const struct policy_network *network);
/* What it may open in our networks. */
void policy_network_in(struct nft *nft, const char *chain, const char *tun_name,
                       const struct policy_network *network);
/* What may be forwarded there: from our networks, and nothing else. */
void policy_network_out(struct nft *nft, const char *chain, const char *tun_name,
                        const struct policy_network *network);
/* What is not masqueraded. */
void policy_network_keep(struct nft *nft, const char *chain, const char *tun_name,
                         const struct policy_network *network);

#endif
