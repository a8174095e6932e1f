/* A packet buffer with head-room, so that headers are added and removed without copying, and a
 * bounded pool of them. A pool belongs to one thread. */
#ifndef BASE_PACKET_H
#define BASE_PACKET_H

#include "base/address.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_HEADROOM 128  /* for the message's own header, or an IP header that is rebuilt */
#define PACKET_CAP      4608 /* bytes of storage: 4096 of payload + head-room + tag */

struct packet {
    struct packet *next;  /* list link of whoever owns it */
    uint8_t *data;        /* first valid byte, inside storage or what is lent */
    uint32_t len;         /* valid bytes */
    struct endpoint peer; /* sender (in) or receiver (out) of the datagram */
    uint8_t tos;          /* outer DSCP and ECN, as received or to send */
    uint8_t *lent; /* NULL: the bytes lie in storage; else in another's memory, from here on */
    uint32_t lent_len;
    /* Of tunnel/sput_batch: the keys with which its tag is to be made, or has been foreseen. */
    const void *tag_keys;
    bool tag_is_esp;        /* whose they are */
    uint32_t foreseen_high; /* … for this high half of its number, which is not on the wire */
    uint8_t foreseen_tag[32];
    _Alignas(16) uint8_t storage[PACKET_CAP];
};

struct packet_pool {
    struct packet *free; /* given back, the last one first: it is in the caches */
    struct packet *memory;
    uint32_t count; /* all */
    uint32_t fresh; /* from here on none was ever taken */
    uint32_t left;  /* free ones */
};

MUST_USE int packet_pool_init(struct packet_pool *pool, uint32_t count);
/* Every packet must have been given back. NULL is fine. */
void packet_pool_done(struct packet_pool *pool);
/* NULL when all are in use. data points behind the head-room, len is 0. */
struct packet *packet_take(struct packet_pool *pool);
void packet_give_back(struct packet_pool *pool, struct packet *packet);
/* As fresh from the pool: data behind the head-room, len 0, no peer. */
void packet_reset(struct packet *packet);
/* Takes bytes where they lie instead of a copy: len from data on, in a buffer of buffer_len bytes
 * which the packet may use up to its ends. Whoever lends says how long. */
static inline void packet_lend(struct packet *packet, uint8_t *buffer, uint32_t buffer_len,
                               uint8_t *data, uint32_t len)
{
    packet->lent = buffer;
    packet->lent_len = buffer_len;
    packet->data = data;
    packet->len = len;
}

/* Moves what is lent into the packet's own storage, behind the head-room; nothing to do for others.
 * False: it has no room for that, and all is as it was. */
MUST_USE bool packet_own(struct packet *packet);

/* Bytes that fit before data. */
static inline uint32_t packet_headroom(const struct packet *packet)
{
    return (uint32_t)(packet->data - (packet->lent != NULL ? packet->lent : packet->storage));
}

/* Bytes that fit behind data + len. */
static inline uint32_t packet_tailroom(const struct packet *packet)
{
    const uint32_t cap = packet->lent != NULL ? packet->lent_len : PACKET_CAP;
    return cap - packet_headroom(packet) - packet->len;
}

/* Moves the start: adds len bytes in front (their content undefined). NULL without room. */
static inline uint8_t *packet_push(struct packet *packet, uint32_t len)
{
    if (packet_headroom(packet) < len)
        return NULL;
    packet->data -= len;
    packet->len += len;
    return packet->data;
}

/* Removes len bytes in front. NULL if there are fewer. */
static inline uint8_t *packet_pull(struct packet *packet, uint32_t len)
{
    if (packet->len < len)
        return NULL;
    packet->data += len;
    packet->len -= len;
    return packet->data;
}

#endif
