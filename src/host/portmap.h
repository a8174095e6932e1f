/* A public port of the gateway's, mapped to the tunnel socket's: PCP or NAT-PMP (path/mapping),
 * else UPnP (host/upnp). Finds the gateway, follows it when routes change, deletes at the end. */
#ifndef HOST_PORTMAP_H
#define HOST_PORTMAP_H

#include "base/address.h"
#include "path/mapping.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct host;
struct portmap;

/* Begins, unless the configuration says otherwise. ERR_NOMEM. */
MUST_USE int portmap_start(struct host *host, uint64_t now_us);
/* Addresses or routes have changed: is it another gateway? NULL is fine, here and below. */
void portmap_on_network(struct portmap *portmap, uint64_t now_us);
/* Others see us at another public address. */
void portmap_on_public_address(struct portmap *portmap, uint64_t now_us);
/* Mapped endpoints for candidates, at most cap; returns the count. Private ones, behind one more
 * NAT, are of no use to others and left out. */
size_t portmap_endpoints(const struct portmap *portmap, struct endpoint *ret_endpoints, size_t cap);
/* Deletes what is mapped, in the background. */
void portmap_stop(struct portmap *portmap, uint64_t now_us);
bool portmap_is_stopped(const struct portmap *portmap);
/* Closes all handles; portmap_free once the loop has ended. */
void portmap_close(struct portmap *portmap);
void portmap_free(struct portmap *portmap);
/* For `detec status`, docs/control.md. */
json_t *portmap_report(const struct portmap *portmap, uint64_t now_us);

#endif
