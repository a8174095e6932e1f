/* The kernel's ESP: security associations and policies over a NETLINK_XFRM socket, always with UDP
 * encapsulation and always bound to one XFRM interface (see xfrm_link.h) by its number, so that
 * nothing but what goes through that interface is sealed. Which packets do is divert.h's matter,
 * what is installed when the caller's. */
#ifndef IO_XFRM_H
#define IO_XFRM_H

#include "base/address.h"
#include "io/netlink.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XFRM_KEY_CAP    68
#define XFRM_NAME_CAP   64
#define XFRM_WINDOW_MAX 4096

enum xfrm_form { XFRM_FORM_TUNNEL, XFRM_FORM_BEET };

/* An algorithm by the kernel's name; no name: none. */
struct xfrm_algorithm {
    char name[XFRM_NAME_CAP];
    uint8_t key[XFRM_KEY_CAP];
    size_t key_len;
    uint32_t tag_bits; /* of what it appends */
};

/* One direction. All addresses IPv4. */
struct xfrm_sa {
    struct endpoint from, to; /* of the datagrams */
    uint32_t spi;
    uint32_t number; /* of the interface; also the reqid */
    enum xfrm_form form;
    struct address inner_from, inner_to; /* of the packets within */
    struct xfrm_algorithm aead;          /* or else the next two */
    struct xfrm_algorithm cipher, mac;
    bool has_esn;
    bool is_inbound;
    uint32_t window;     /* of replays, at most XFRM_WINDOW_MAX; outbound too, with has_esn */
    uint64_t lifetime_s; /* then the kernel removes it by itself */
};

/* ERR_EXISTS: that SPI is in use; ERR_UNSUPPORTED, ERR_NOT_FOUND: the kernel lacks ESP, or an
 * algorithm. ERR_INVALID: not IPv4, or a key too long. */
MUST_USE int xfrm_sa_add(struct netlink *nl, const struct xfrm_sa *sa);
/* None is ERR_OK. to: the address datagrams go to. */
MUST_USE int xfrm_sa_delete(struct netlink *nl, const struct address *to, uint32_t spi);

struct xfrm_counts {
    uint64_t packets, bytes;
    uint32_t replayed, altered; /* dropped */
};
/* ERR_NOT_FOUND: it has gone. */
MUST_USE int xfrm_sa_counts(struct netlink *nl, const struct address *to, uint32_t spi,
                            struct xfrm_counts *ret_counts);

/* Packets of these addresses that go out of the interface are sealed with that outbound SA, and
 * with no other. Replaces the policy that is there. */
MUST_USE int xfrm_policy_set(struct netlink *nl, const struct xfrm_sa *sa);
/* None is ERR_OK. */
MUST_USE int xfrm_policy_delete(struct netlink *nl, const struct xfrm_sa *sa);

/* Removes every SA and policy whose interface's number is in this range. */
MUST_USE int xfrm_flush(struct netlink *nl, uint32_t first, uint32_t last);

/* For the tests of this folder: what the functions above send and understand. */
struct nlmsghdr *xfrm_build_sa(struct netlink *nl, const struct xfrm_sa *sa);
struct nlmsghdr *xfrm_build_policy(struct netlink *nl, const struct xfrm_sa *sa);
MUST_USE int xfrm_take_counts(const struct nlmsghdr *message, void *ret_counts);
/* The number of the interface of an SA or policy in a dump; 0: none. */
uint32_t xfrm_number_of(const struct nlmsghdr *message);

#endif
