/* TCP connections with plain IPsec peers, which carry IKE and ESP where UDP does not get through
 * (RFC 9329). Each is an endpoint like any other (endpoint_is_stream()): tunnels and IKE SAs have
 * it as their remote end, and host_send() knows the difference. Who has made a connection makes it
 * again when it is lost; the SAs do not notice. */
#ifndef HOST_STREAMS_H
#define HOST_STREAMS_H

#include "base/address.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct host;
struct streams; /* all of them */

/* Listens, on all addresses; before privileges are dropped. ERR_EXISTS: another program has that
 * port. */
MUST_USE int streams_listen(struct host *host, uint16_t port);
/* Begins to connect to this endpoint. plain_on_stream() follows, not from within. is_shared: others
 * use the connection that may be there, which stays: ERR_EXISTS if it is ready, and nothing
 * follows. ERR_IO: no way there. */
MUST_USE int streams_open(struct host *host, const struct endpoint *to, bool is_shared);
/* One IKE message, or one ESP packet; dropped where the connection is no more, or does not take it
 * at once. A request that this connection has carried already is not sent again (RFC 9329, 6.2). */
void streams_send_ike(struct host *host, const struct endpoint *to, const uint8_t *message,
                      size_t len);
void streams_send(struct host *host, const struct endpoint *to, const uint8_t *packet, size_t len);
/* Addresses or routes have changed: what leaves from another one now is connected anew. */
void streams_on_network(struct host *host, uint64_t now_us);
/* " over TCP" where it is one, else "". For people. */
const char *streams_suffix(const struct endpoint *endpoint);
/* All, at the end; the loop must run once more before the host goes. NULL is fine. */
void streams_close(struct host *host);
/* Once the loop has run. */
void streams_free(struct host *host);

#endif
