/* A UDP port where every datagram is answered at once or not at all. Batches of datagrams; an
 * answer leaves from the very address that was asked. */
#ifndef CONNECTOR_UDP_SERVER_H
#define CONNECTOR_UDP_SERVER_H

#include <uv.h>

#include "base/address.h"

#define UDP_SERVER_LEN_MAX 1500 /* of a datagram, either way */

struct udp_server;

struct udp_request {
    const uint8_t *data;
    size_t len;
    struct endpoint from;
    struct endpoint to; /* ADDRESS_NONE where the kernel did not say */
};

/* Filled in before the call with the way back; data has UDP_SERVER_LEN_MAX bytes of room. */
struct udp_reply {
    uint8_t *data;
    struct endpoint to;
    struct udp_server *via; /* the port it leaves from */
    struct address source;  /* ADDRESS_NONE: the kernel's choice */
};

/* Writes the answer and returns its length; 0: none. */
typedef size_t udp_server_answer(void *context, const struct udp_request *request,
                                 struct udp_reply *reply);

/* Opens the port; datagrams are taken as soon as the loop runs. ERR_IO: errno says why. */
MUST_USE int udp_server_new(uv_loop_t *loop, const struct endpoint *listen,
                            udp_server_answer *answer, void *context,
                            struct udp_server **ret_server);
/* The port closes at once, the memory goes with the loop's next turn. NULL is fine. */
void udp_server_close(struct udp_server *server);
/* The port in fact, also where 0 was asked for. */
uint16_t udp_server_port(const struct udp_server *server);
uint64_t udp_server_received(const struct udp_server *server);

#endif
