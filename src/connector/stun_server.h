/* STUN Binding on the UDP side of `listen`, and on a second port and address (RFC 5780): tells
 * hosts their public address and port, and helps them to find out what their NAT does. */
#ifndef CONNECTOR_STUN_SERVER_H
#define CONNECTOR_STUN_SERVER_H

#include <uv.h>

#include "connector/config.h"

/* Answers to one source address; a keepalive every 20 s leaves room for thousands of hosts behind
 * one NAT. */
#define STUN_PER_SECOND 200
#define STUN_BURST      400
/* Of those, answers to long requests, and answers from or to another port than asked. */
#define STUN_COSTLY_PER_SECOND 20
#define STUN_COSTLY_BURST      200

struct stun_server;

/* ERR_IO if `listen` cannot be opened: errno says why. What cannot be opened of the second port and
 * address is logged, and left out: hosts need neither. */
MUST_USE int stun_server_new(uv_loop_t *loop, const struct connector_config *config,
                             struct stun_server **ret_server);
/* NULL is fine; the sockets' memory goes with the loop's next turn. */
void stun_server_close(struct stun_server *server);
uint16_t stun_server_port(const struct stun_server *server);
/* Did it give this ticket to that very endpoint within the last BINDING_TICKET_LIFE_S? */
bool stun_server_has_seen(const struct stun_server *server, const struct endpoint *endpoint,
                          const void *ticket, size_t len);

#endif
