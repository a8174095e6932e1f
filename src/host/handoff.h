/* A bounded queue of datagrams from one thread to one other, with slots allocated once: how a data
 * path thread hands to the control thread what is not data, and gets staged packets back. No locks;
 * the reader is woken through an eventfd. */
#ifndef HOST_HANDOFF_H
#define HOST_HANDOFF_H

#include "base/address.h"
#include <stdatomic.h>
#include <stdint.h>

#define HANDOFF_DATA_CAP 4096

enum handoff_kind {
    HANDOFF_NO_TUNNEL,    /* to control: local IP packet for a peer address without a tunnel */
    HANDOFF_IKE,          /* to control: IKE message, marker stripped */
    HANDOFF_STUN,         /* to control: what looks like STUN */
    HANDOFF_CLOSE,        /* to control: authentic close command from this endpoint's tunnel */
    HANDOFF_COMMAND_SENT, /* to control: `command` was sealed as message `number` (0: it could not
                             be) */
    HANDOFF_PROBE_REPLY,  /* to control: authentic reply to probe `number` */
    HANDOFF_EARLY,        /* to control: datagram that no tunnel takes, while keys are negotiated */
    HANDOFF_TOO_BIG,    /* to control: no more than `number` bytes get to `from`; see `is_local` */
    HANDOFF_WAKE,       /* to control: what tunnel_set_wake() asked for, of the tunnel of `peer` */
    HANDOFF_ELSEWHERE,  /* to control: authentic data of the tunnel of `peer` has come from `from`,
                           which is not its path */
    HANDOFF_RELAY,      /* to control: sealed datagram to send on the relay channel, or TCP
                           connection, `from` */
    HANDOFF_PACKET,     /* to data: local IP packet to send now */
    HANDOFF_DATAGRAM,   /* to data: datagram from `from`, to be opened once more */
    HANDOFF_COMMAND,    /* to data: seal a command towards `peer` (its peer address) */
    HANDOFF_SOCKET_ADD, /* to data: read and send on this socket too: `data` is a struct udp */
    HANDOFF_SOCKET_REMOVE, /* to data: … and no more */
    HANDOFF_PROBE,         /* to data: seal a probe of `size` towards `peer` */
};

struct handoff_slot {
    enum handoff_kind kind;
    struct endpoint from; /* sender of the datagram */
    struct address peer;  /* peer address of the tunnel concerned */
    uint8_t command;      /* HANDOFF_COMMAND, HANDOFF_COMMAND_SENT */
    bool is_local;        /* HANDOFF_TOO_BIG: this host's own interface says so, not a router */
    uint32_t number; /* HANDOFF_COMMAND_SENT, HANDOFF_PROBE_REPLY, HANDOFF_TOO_BIG, _SOCKET_… */
    uint32_t size;   /* HANDOFF_PROBE: bytes of the IP packet */
    uint32_t token;  /* HANDOFF_PROBE, and the HANDOFF_COMMAND_SENT that follows; else 0 */
    uint32_t len;
    uint8_t data[HANDOFF_DATA_CAP];
};

struct handoff {
    struct handoff_slot *slots;
    uint32_t mask;
    int wake_fd;              /* eventfd the reader polls */
    _Atomic uint32_t head;    /* next to read */
    _Atomic uint32_t tail;    /* next to write */
    _Atomic uint64_t dropped; /* not handed over: full or too long */
};

/* count: a power of two. */
MUST_USE int handoff_init(struct handoff *handoff, uint32_t count);
void handoff_done(struct handoff *handoff);
/* The writer's side: a slot to fill, or NULL when full (counted); then handoff_push to pass it on.
 * handoff_wake once after a batch. */
struct handoff_slot *handoff_slot_take(struct handoff *handoff, const void *data, size_t len);
/* The same for what may come in floods: the last quarter is left to the others. */
struct handoff_slot *handoff_slot_take_bulk(struct handoff *handoff, const void *data, size_t len);
void handoff_push(struct handoff *handoff);
void handoff_wake(struct handoff *handoff);
/* The reader's side: the oldest one, or NULL; handoff_pop when done with it. */
struct handoff_slot *handoff_peek(struct handoff *handoff);
void handoff_pop(struct handoff *handoff);
/* How many there are now. */
uint32_t handoff_count(const struct handoff *handoff);
/* Empties the eventfd, before reading. */
void handoff_clear_wake(struct handoff *handoff);

#endif
