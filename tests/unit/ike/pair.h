/* Two plain peers that know a secret, each other's only entry; not yet opened, so that tests change
 * what they are about. */
#ifndef TEST_IKE_PAIR_H
#define TEST_IKE_PAIR_H

#include "net.h"

struct pair {
    struct net net;
    struct ike_peer_entry entries[2];
    struct watch *a, *b;
};

/* names: of both. */
void pair_make(struct pair *p, uint64_t seed, const char *const names[2], enum suite suite);
/* ESP in this mode. */
void pair_want_esp(struct pair *p, enum child_mode mode);
/* What a tunnel goes between: 10.0.0.1 and 10.0.0.2. */
void pair_set_inner(struct pair *p);

extern const char *const pair_names[2]; /* a.example.net and b.example.net */

#endif
