/* Sockets beside the tunnel port's: those of a fan (path/punch.h), of which the one that meets
 * becomes its tunnel's path. `socket` of struct endpoint numbers them; 0 is the tunnel port's own.
 * While a call punches, the control thread reads them; one that is kept goes to the data path. */
#ifndef HOST_SOCKETS_H
#define HOST_SOCKETS_H

#include "base/address.h"
#include "host/task.h"

#define HOST_SOCKETS_MAX      512 /* of all calls and tunnels */
#define HOST_SOCKETS_KEPT_MAX 16  /* that tunnels use, when a call wants some */
/* Those that plain IPsec peers know: numbers above all others. The first one's datagrams are IKE
 * messages without marker (RFC 3948, 2.2); the second one's are as the tunnel port's. */
#define HOST_SOCKET_FIXED ENDPOINT_SOCKET_STREAM /* and none has that one */
#define HOST_SOCKET_IKE   65535
#define HOST_SOCKET_NAT   65534

struct call;
struct host;
struct path_socket;
struct udp;

/* Of the daemon. Zeroed is right. */
struct sockets {
    struct path_socket *all[HOST_SOCKETS_MAX];
    uint16_t next; /* number */
    size_t count;
    size_t kept;
    struct task task;
};

/* Opens up to count sockets for a call, numbered *ret_first and on. Returns how many; 0 where there
 * is no room, or as many as may be are kept already. */
unsigned sockets_open(struct host *host, struct call *call, unsigned count, uint16_t *ret_first);
/* The call needs them no more: all are closed but number `kept` (0: none), which goes to the data
 * path, and is closed when no tunnel has used it for a while. False: that one is closed, too, as
 * the data path has as many as it takes: calls that fan out at the same time may all meet. */
bool sockets_release(struct host *host, const struct call *call, uint16_t kept);
/* Opens one of HOST_SOCKET_… on this port, for good; before privileges are dropped. As udp_open().
 */
MUST_USE int sockets_open_fixed(struct host *host, uint16_t number, uint16_t port);
/* The one to send from, 0 included; NULL: it is no more. */
struct udp *sockets_find(struct host *host, uint16_t number);
/* Closes all, at the end; the loop must run once more before the host goes. */
void sockets_close(struct host *host);

#endif
