/* `detec ping`: SPUT probes through a tunnel, and their replies; plain IPsec peers, who know
 * none, are asked by the IKE SA over the same path. */
#ifndef HOST_PING_H
#define HOST_PING_H

#include "host/control.h"
#include "host/peer.h"

struct ping;

/* Sends count probes (1 to 1000), one a second at most, and answers the client as replies come. */
MUST_USE int ping_start(struct control_client *client, struct peer *peer, int64_t count,
                        uint64_t timeout_us);
/* The data path has sent a probe to this peer, as this message number. */
void ping_on_sent(struct host *host, const struct address *peer, uint32_t number);
/* An authentic reply to the probe of that number. */
void ping_on_reply(struct host *host, const struct address *peer, uint32_t number, uint64_t now_us);
/* Somebody has been heard by IKEv1: is it an answer? */
void ping_on_ikev1(struct host *host, uint64_t now_us);
/* The peer has been heard on this IKE SA. */
void ping_on_ike(struct host *host, const struct ike_sa *sa, uint64_t now_us);

#endif
