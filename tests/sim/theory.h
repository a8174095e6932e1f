/* What theory says of two hosts: found by sending to and fro through NATs that have seen nothing,
 * without loss, timing or protocol; so it knows nothing of the engines that it judges. */
#ifndef SIM_THEORY_H
#define SIM_THEORY_H

#include "net.h"

enum theory {
    THEORY_RELAY,  /* no datagram gets through both ways but by the connector */
    THEORY_DIRECT, /* checks to known addresses, and to those they come from, open a path */
    THEORY_LUCK,   /* only who guesses the ports of one side gets through */
};
const char *theory_text(enum theory theory);

/* Does a NAT before this link give each destination another port or address? */
bool theory_is_hard(const struct net *net, int link);
enum theory theory_judge(const struct net *net, int link_a, int link_b, int hub_link);

#endif
