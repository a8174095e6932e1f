/* `detecd --export-keys FILE`: the keys of all tunnels, for decrypting one's own captures. Off by
 * default, and said loudly: who has the files reads the traffic. Beside FILE two tables of
 * Wireshark's are written, of what it can decrypt: FILE.esp_sa and FILE.ikev2_decryption_table (to
 * be copied, without FILE's name, into a profile's folder). */
#ifndef HOST_EXPORT_H
#define HOST_EXPORT_H

#include "host/peer.h"

struct exporter;

/* Appends to the three files (mode 0600, made if missing) from now on. ERR_IO, ERR_NOMEM: logged.
 */
MUST_USE int export_open(struct host *host, const char *file);
void export_close(struct host *host);
/* One JSON line for each direction of a new child: time, peer, remote, direction ("in", "out"),
 * suite, child, spi, and key, mac_key, salt in hex (empty where the suite has none). Of ESP a line
 * each in Wireshark's table, too. */
void export_child(const struct peer *peer, const struct ike_event_child_ready *child);
/* The IKE SA's keys, once they are there and after each rekey; those already written are not
 * written again. Call before messages are sent. */
void export_sa(struct host *host, const struct ike_sa *sa);

#endif
