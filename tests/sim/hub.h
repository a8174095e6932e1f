/* The connector: IKE in TCP, the registry of log-ins, calls and relay channels by src/login's
 * engines, STUN Binding by src/path's. The little that joins them follows src/connector. */
#ifndef SIM_HUB_H
#define SIM_HUB_H

#include "sim.h"

struct hub *hub_new(struct sim *sim);
void hub_free(struct hub *hub);
/* is_machine_lost: connections end without a word. */
void hub_crash(struct hub *hub, bool is_machine_lost);
void hub_start(struct hub *hub);
/* While it does not run: it is somewhere else from now on. */
void hub_move(struct hub *hub);
bool hub_is_running(const struct hub *hub);
uint64_t hub_next_us(const struct hub *hub);
void hub_expire(struct hub *hub);
void hub_take_datagram(struct hub *hub, const struct endpoint *from, const struct endpoint *to,
                       const uint8_t *data, size_t len);
const struct public_key *hub_key(const struct hub *hub);
/* Its address of this family. */
struct endpoint hub_endpoint(const struct hub *hub, enum address_family family);
bool hub_is_at(const struct hub *hub, const struct address *address);
/* What DNS says. */
const struct zone *hub_zone(const struct hub *hub);
/* Has a Binding request come from this address, ever? */
bool hub_has_seen(const struct hub *hub, const struct address *address);
size_t hub_session_count(const struct hub *hub);
size_t hub_channel_count(const struct hub *hub);

#endif
