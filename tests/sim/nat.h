/* What one NAT or firewall does to one datagram (RFC 4787). */
#ifndef SIM_NAT_H
#define SIM_NAT_H

#include "net.h"

void nat_forget(struct router *router);
/* Towards the outer realm. False: dropped. ret_turns_back: it goes back in, by hairpin. */
bool nat_outbound(struct net *net, int router, struct passage *passage, uint64_t now_us,
                  bool *ret_turns_back);
/* Which of its addresses stands for this one inside, where it is always the same. */
const struct address *nat_outside(const struct router *router, const struct address *inner);
/* From the outer realm in. False: dropped. */
bool nat_inbound(struct net *net, int router, struct passage *passage, uint64_t now_us);

#endif
