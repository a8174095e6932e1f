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

/* Threads agree on sockets: all of them are told, or none. What has room now has it until this
 * thread, the only one to write there, has used it. */
static bool can_tell_all(const struct datapath *datapath)
{
    for (const struct datapath *dp = datapath; dp != NULL; dp = dp->next) {
        if (handoff_count(&dp->commands) > dp->commands.mask)
            return false;
    }
    return true;
}

static bool tell_of_socket(struct datapath *dp, enum handoff_kind kind, uint16_t number,
                           const struct udp *udp)
{
    struct handoff_slot *slot =
        handoff_slot_take(&dp->commands, udp, udp != NULL ? sizeof(*udp) : 0);
    if (slot == NULL)
        return false;
    slot->kind = kind;
    slot->number = number;
    return tell(dp, &dp->commands);
}

/* Every thread sends from it, by a descriptor of its own; one of them reads it. */
bool datapath_add_socket(struct datapath *datapath, uint16_t number, const struct udp *udp)
{
    struct udp copies[DATAPATH_THREADS_MAX];
    unsigned count = 0, told = 0;
    bool has_all = can_tell_all(datapath);
    for (const struct datapath *dp = datapath; dp != NULL && has_all; dp = dp->next) {
        copies[count] = *udp;
        copies[count].fd = fcntl(udp->fd, F_DUPFD_CLOEXEC, 0);
        has_all = copies[count].fd >= 0;
        count += has_all;
    }
    for (struct datapath *dp = datapath; dp != NULL && has_all; dp = dp->next) {
        has_all = tell_of_socket(dp, HANDOFF_SOCKET_ADD, number, &copies[told]);
        told += has_all;
    }
    for (; told < count; told++)
        close(copies[told].fd);
    return has_all;
}

bool datapath_remove_socket(struct datapath *datapath, uint16_t number)
{
    bool is_told = can_tell_all(datapath);
    for (struct datapath *dp = datapath; dp != NULL && is_told; dp = dp->next)
        is_told = tell_of_socket(dp, HANDOFF_SOCKET_REMOVE, number, NULL);
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
