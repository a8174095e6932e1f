/* UDP sockets beside the tunnel port's: what has arrived waits until it is read. */
#include "sim.h"
#include <stdlib.h>
#include <string.h>

#define WAITING_MAX 32

struct waiting {
    struct waiting *next;
    struct endpoint from;
    size_t len;
    uint8_t data[];
};

void socket_put(struct sim_socket *socket, const struct endpoint *from, const uint8_t *data,
                size_t len)
{
    struct waiting **end = &socket->waiting;
    size_t count = 0;
    for (; *end != NULL; end = &(*end)->next)
        count++;
    if (count == WAITING_MAX)
        return;
    struct waiting *waiting = sim_new(sizeof(*waiting) + len);
    waiting->from = *from;
    waiting->len = len;
    memcpy(waiting->data, data, len);
    *end = waiting;
}

int socket_take(struct sim_socket *socket, struct packet *packet)
{
    struct waiting *waiting = socket->waiting;
    if (waiting == NULL)
        return ERR_AGAIN;
    socket->waiting = waiting->next;
    packet->len = 0;
    if (waiting->len <= packet_tailroom(packet)) {
        memcpy(packet->data, waiting->data, waiting->len);
        packet->len = (uint32_t)waiting->len;
    }
    packet->peer = waiting->from;
    packet->tos = 0;
    free(waiting);
    return ERR_OK;
}

struct sim_socket *socket_find(const struct machine *machine, int fd)
{
    return fd >= SOCKET_FD && fd < SOCKET_FD + SOCKETS_MAX ? machine->sockets[fd - SOCKET_FD]
                                                           : NULL;
}

void socket_close(struct machine *machine, int fd)
{
    struct sim_socket *socket = socket_find(machine, fd);
    if (socket == NULL)
        return;
    while (socket->waiting != NULL) {
        struct waiting *waiting = socket->waiting;
        socket->waiting = waiting->next;
        free(waiting);
    }
    free(socket);
    machine->sockets[fd - SOCKET_FD] = NULL;
}
