/* `detecd --export-keys FILE`: the keys of all tunnels, for decrypting one's own captures. Off by
 * default, and said loudly: who has the file reads the traffic. */
#ifndef HOST_EXPORT_H
#define HOST_EXPORT_H

#include "host/peer.h"

/* Appends to file (mode 0600, made if missing) from now on. */
MUST_USE int export_open(struct host *host, const char *file);
void export_close(struct host *host);
/* One JSON line for each direction of a new child: time, peer, remote, direction ("in", "out"),
 * suite, child, and key, mac_key, salt in hex (mac_key is empty for AEAD suites). */
void export_child(const struct peer *peer, const struct ike_event_child_ready *child);

#endif
