/* What the control thread tells the data path: packets and datagrams in one queue, commands in
 * another, so that no flood of the former holds up or displaces the latter. */
#include "host/datapath_internal.h"

#include "wire/sput.h"
#include <fcntl.h>
#include <unistd.h>

struct handoff_slot *datapath_next_told(struct datapath *dp, struct handoff **ret_handoff)
{
    struct handoff_slot *slot = handoff_peek(&dp->commands);
    *ret_handoff = slot != NULL ? &dp->commands : &dp->to_data;
    return slot != NULL ? slot : handoff_peek(&dp->to_data);
}

static bool tell(struct datapath *dp, struct handoff *handoff)
{
    handoff_push(handoff);
    handoff_wake(&dp->to_data);
    return true;
}

bool datapath_send_packet(struct datapath *datapath, const uint8_t *packet, size_t len)
{
    struct handoff_slot *slot = handoff_slot_take(&datapath->to_data, packet, len);
    if (slot == NULL)
        return false;
    slot->kind = HANDOFF_PACKET;
    return tell(datapath, &datapath->to_data);
}

bool datapath_receive(struct datapath *datapath, const struct endpoint *from,
                      const uint8_t *datagram, size_t len)
{
    struct handoff_slot *slot = handoff_slot_take(&datapath->to_data, datagram, len);
    if (slot == NULL)
        return false;
    slot->kind = HANDOFF_DATAGRAM;
    slot->from = *from;
    return tell(datapath, &datapath->to_data);
}

void datapath_expect(struct datapath *datapath, uint64_t until_us)
{
    for (struct datapath *dp = datapath; dp != NULL; dp = dp->next) {
        if (until_us > atomic_load(&dp->expects_until_us))
            atomic_store(&dp->expects_until_us, until_us);
    }
}

static bool add_socket(struct datapath *datapath, uint16_t number, const struct udp *udp)
{
    struct udp copy = *udp;
    copy.fd = fcntl(udp->fd, F_DUPFD_CLOEXEC, 0);
    struct handoff_slot *slot =
        copy.fd >= 0 ? handoff_slot_take(&datapath->commands, &copy, sizeof(copy)) : NULL;
    if (slot == NULL) {
        if (copy.fd >= 0)
            close(copy.fd);
        return false;
    }
    slot->kind = HANDOFF_SOCKET_ADD;
    slot->number = number;
    return tell(datapath, &datapath->commands);
}

/* Every thread sends from it, one of them reads it. Told once more, where not all had room, it is
 * the same socket. */
bool datapath_add_socket(struct datapath *datapath, uint16_t number, const struct udp *udp)
{
    bool is_told = true;
    for (struct datapath *dp = datapath; dp != NULL; dp = dp->next)
        is_told = add_socket(dp, number, udp) && is_told;
    return is_told;
}

static bool remove_socket(struct datapath *datapath, uint16_t number)
{
    struct handoff_slot *slot = handoff_slot_take(&datapath->commands, NULL, 0);
    if (slot == NULL)
        return false;
    slot->kind = HANDOFF_SOCKET_REMOVE;
    slot->number = number;
    return tell(datapath, &datapath->commands);
}

bool datapath_remove_socket(struct datapath *datapath, uint16_t number)
{
    bool is_told = true;
    for (struct datapath *dp = datapath; dp != NULL; dp = dp->next)
        is_told = remove_socket(dp, number) && is_told;
    return is_told;
}

bool datapath_send_command(struct datapath *datapath, const struct address *peer, uint8_t command)
{
    struct handoff_slot *slot = handoff_slot_take(&datapath->commands, NULL, 0);
    if (slot == NULL)
        return false;
    slot->kind = HANDOFF_COMMAND;
    slot->peer = *peer;
    slot->command = command;
    slot->token = 0;
    return tell(datapath, &datapath->commands);
}

bool datapath_send_probe(struct datapath *datapath, const struct address *peer, uint32_t size,
                         uint32_t token)
{
    struct handoff_slot *slot = handoff_slot_take(&datapath->commands, NULL, 0);
    if (slot == NULL)
        return false;
    slot->kind = HANDOFF_PROBE;
    slot->peer = *peer;
    slot->command = SPUT_PROBE;
    slot->size = size;
    slot->token = token;
    return tell(datapath, &datapath->commands);
}
