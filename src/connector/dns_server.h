/* The zone over DNS: UDP, and TCP with pipelining (RFC 7766). What is answered is the zone's
 * business. */
#ifndef CONNECTOR_DNS_SERVER_H
#define CONNECTOR_DNS_SERVER_H

#include "connector/connector.h"

struct dns_server;
struct udp_reply;
struct udp_request;

/* udp_server_answer; context: struct connector. */
size_t dns_server_answer_udp(void *context, const struct udp_request *request,
                             struct udp_reply *reply);

/* Opens the TCP port. ERR_IO: errno says why. */
MUST_USE int dns_server_new(struct connector *connector, uint16_t port,
                            struct dns_server **ret_server);
/* Closes all connections; the memory goes with the loop's next turns. NULL is fine. */
void dns_server_close(struct dns_server *server);
uint64_t dns_server_deadline(const struct dns_server *server);
void dns_server_expire(struct dns_server *server, uint64_t now_us);

#endif
