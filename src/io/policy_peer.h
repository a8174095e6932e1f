/* The sets of the policy table and the peers in them: policy.c's other half. */
#ifndef IO_POLICY_PEER_H
#define IO_POLICY_PEER_H

#include "io/policy.h"

struct policy_sets {
    const char *known;
    const char *all;
    const char *protocols;
    const char *ports;
};

const struct policy_sets *policy_sets_of(enum address_family family);
/* Adds the sets of both families to the transaction. */
void policy_sets_add(struct nft *nft);
void policy_peers_free(struct policy *policy);

#endif
