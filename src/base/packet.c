/* The pool of packet buffers: one allocation at start, a free list afterwards, no locks. Memory
 * that no burst has needed yet has never been touched. */
#include "base/packet.h"

#include <stdlib.h>
#include <string.h>

void packet_reset(struct packet *packet)
{
    packet->next = NULL;
    packet->data = packet->storage + PACKET_HEADROOM;
    packet->len = 0;
    packet->lent = NULL;
    memset(&packet->peer, 0, sizeof packet->peer);
    packet->tos = 0;
    packet->tag_keys = NULL;
}

bool packet_own(struct packet *packet)
{
    if (packet->lent == NULL)
        return true;
    if (packet->len > PACKET_CAP - PACKET_HEADROOM)
        return false;
    memcpy(packet->storage + PACKET_HEADROOM, packet->data, packet->len);
    packet->data = packet->storage + PACKET_HEADROOM;
    packet->lent = NULL;
    return true;
}

int packet_pool_init(struct packet_pool *pool, uint32_t count)
{
    struct packet *packets = NULL;
    if (count > 0) {
        packets = calloc(count, sizeof *packets);
        if (packets == NULL)
            return ERR_NOMEM;
    }
    *pool = (struct packet_pool){.memory = packets, .count = count, .left = count};
    return ERR_OK;
}

void packet_pool_done(struct packet_pool *pool)
{
    if (pool == NULL)
        return;
    free(pool->memory);
    memset(pool, 0, sizeof *pool);
}

struct packet *packet_take(struct packet_pool *pool)
{
    struct packet *packet = pool->free;
    if (packet != NULL)
        pool->free = packet->next;
    else if (pool->fresh < pool->count)
        packet = &pool->memory[pool->fresh++];
    else
        return NULL;
    pool->left--;
    packet_reset(packet);
    return packet;
}

void packet_give_back(struct packet_pool *pool, struct packet *packet)
{
    if (packet == NULL)
        return;
    packet->next = pool->free;
    pool->free = packet;
    pool->left++;
}
