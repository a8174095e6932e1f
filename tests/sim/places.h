/* Where hosts are: draws homes, carriers, firewalls and lines. */
#ifndef SIM_PLACES_H
#define SIM_PLACES_H

#include "net.h"

/* A realm for a machine: on the Internet, at a new site, or beside one of the first `count`
 * machines. */
int place_draw_realm(struct net *net, struct rng *rng, size_t count);
/* Gives a link its addresses in this realm: of IPv4, of IPv6 where there is some, or, rarely, of
 * IPv6 alone. */
void place_put(struct net *net, struct rng *rng, struct link *link, int realm);
/* loss_max: permille. */
void place_draw_quality(struct rng *rng, unsigned loss_max, struct quality *ret_quality);
/* For tables: "EI/APD + CGN, IPv6". Places that mean the same have the same text. */
const char *place_text(const struct net *net, const struct link *link, char *buffer, size_t cap);

#endif
