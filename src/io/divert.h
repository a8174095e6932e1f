/* Packets of one pair of IPv4 addresses, taken off one interface by the kernel's traffic control,
 * given other addresses (checksums corrected, those in quoted packets of ICMP errors too) and
 * handed to another interface: what tunnel/translate.h does, for packets that no program ever sees.
 * No state, no connection tracking; it ends with the interface. */
#ifndef IO_DIVERT_H
#define IO_DIVERT_H

#include "base/address.h"
#include "io/netlink.h"
#include <stdbool.h>
#include <stdint.h>

struct divert {
    uint32_t link;     /* taken off here: */
    bool is_inbound;   /* what has come in by it; else what is to go out of it */
    uint16_t priority; /* from 1; its name, on this side of this interface */
    struct address from, to;
    struct address new_from, new_to;
    bool is_bare;    /* neither fragments nor packets with options */
    bool is_plain;   /* no packets with options, but fragments */
    bool makes_anew; /* checksums of TCP and UDP, whatever they were */
    bool is_turned;  /* inbound, and out of the target all the same */
    uint32_t target; /* out of this interface; or, inbound, as if it had come in by this one */
};

/* Gets an interface ready; again is ERR_OK. ERR_UNSUPPORTED, ERR_NOT_FOUND: the kernel has no
 * traffic control. */
MUST_USE int divert_open(struct netlink *nl, uint32_t link);
MUST_USE int divert_add(struct netlink *nl, const struct divert *divert);
/* None is ERR_OK. */
MUST_USE int divert_remove(struct netlink *nl, uint32_t link, bool is_inbound, uint16_t priority);
/* What came in by the interface and was not taken by one of a lower priority is dropped. */
MUST_USE int divert_drop_rest(struct netlink *nl, uint32_t link, uint16_t priority);

/* For the tests of this folder. */
struct nlmsghdr *divert_build(struct netlink *nl, const struct divert *divert);

#endif
