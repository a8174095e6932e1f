/* STUN Binding on the UDP side of `listen`: tells hosts their public address and port. */
#ifndef CONNECTOR_STUN_SERVER_H
#define CONNECTOR_STUN_SERVER_H

#include "connector/connector.h"

/* Of one source address; a keepalive every 20 s leaves room for thousands of hosts behind one NAT.
 */
#define STUN_PER_SECOND 200
#define STUN_BURST      400

/* udp_server_answer; context: struct connector. */
size_t stun_server_answer(void *context, const uint8_t *data, size_t len,
                          const struct endpoint *from, uint8_t *ret_answer);

#endif
