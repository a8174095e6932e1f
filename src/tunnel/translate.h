/* Address translation of transport form (docs/protocol.md, "Address translation"): the two ends
 * know each other by different addresses, and most packets travel without their IP header. The
 * sender takes the header off and changes nothing else; the receiver builds one with its own
 * addresses and corrects checksums from the addresses that the sender's packets carried. Nothing is
 * ever forwarded: what comes in goes from the peer's address to this host's, or nowhere; but for
 * tunnel form with a plain IPsec peer, which may name networks of both sides. No state. */
#ifndef TUNNEL_TRANSLATE_H
#define TUNNEL_TRANSLATE_H

#include "base/address.h"
#include "base/packet.h"
#include "tunnel/drop.h"
#include "wire/selector.h"
#include "wire/suite.h"
#include <stdbool.h>
#include <stdint.h>

struct ip_view;

/* The addresses that packets of one end carry: its own, and the one by which it knows the other
 * end. ADDRESS_NONE (both) where a family is not used. */
struct view {
    struct address own_ipv4, peer_ipv4;
    struct address own_ipv6, peer_ipv6;
};

/* How packets travel (docs/protocol.md, "Forms"). */
enum translate_form {
    TRANSLATE_SPUT,  /* without their header; those that need it whole. The wire says the family */
    TRANSLATE_ESP,   /* the same, but it does not: one family goes bare, the other whole */
    TRANSLATE_BARE,  /* never with their header; those that need it cannot travel */
    TRANSLATE_WHOLE, /* always with their header */
};

/* Both ends' views of one tunnel. A family is carried only where both have it. */
struct translation {
    enum translate_form form;
    struct view local;  /* this host: TUN address, peer address */
    struct view remote; /* the far end's, as its TS payloads say (docs/protocol.md) */
    /* What our own TS payloads say, and packets are to carry on the wire. No family: as local, so
     * that nothing is to be done on the way out. */
    struct view wire;
    /* What addresses the far end's packets carried before they met a NAT is not known (transport
     * mode): checksums that cover them are made anew, the ICV has vouched for what they protect. */
    bool recomputes;
    /* TRANSLATE_WHOLE: what passes as it is beside the addresses above. Borrowed; NULL: nothing. */
    const struct selector_pair *selectors;
};

/* What SPUT's header and the outer header say of a payload. */
struct inner {
    uint8_t next_header; /* protocol of the payload; 4, 41: a whole packet */
    bool is_ipv6;        /* the original packet was IPv6 */
    uint8_t tos;         /* DSCP and ECN */
    uint8_t protocol;    /* outwards: of the original packet, whole or not */
};

/* Checks a local packet and takes its IP header off where it can travel without one (else it stays
 * whole, next header 4 or 41: fragments, IP options and extension headers, genuine IPIP and 6in4).
 * Bytes behind its total length go. ret_inner->tos is for the outer header (RFC 6040, 4.1).
 * Refused: another source than own, another destination than the peer, source routes. The packet is
 * unchanged when dropped. */
MUST_USE enum drop_reason translate_out(const struct translation *t, struct packet *packet,
                                        struct inner *ret_inner);
/* The same for one that ip_parse() has been called for. */
MUST_USE enum drop_reason translate_parsed_out(const struct translation *t,
                                               const struct ip_view *ip, struct packet *packet,
                                               struct inner *ret_inner);

/* After translate_out(), once its size is fine: gives it the addresses that it is to carry on the
 * wire, or only their checksums where it has no header. Its content is undefined when dropped. */
MUST_USE enum drop_reason translate_to_wire(const struct translation *t, struct packet *packet,
                                            const struct inner *inner);

/* The family of what comes without a header where the wire does not say it: IPv4 where the child
 * carries it. */
bool translate_bare_is_ipv6(const struct translation *t);

/* Turns a payload into the IP packet for this host: from the peer's address to the own one, TTL 64,
 * without fragments atomic (DF, id 0: RFC 6864, 4.1), checksums corrected; ICMP errors together
 * with the packet they quote. inner->tos is the outer header's as received (RFC 6040, 4.2). The
 * payload may be hostile; the packet's content is undefined when dropped. */
MUST_USE enum drop_reason translate_in(const struct translation *t, struct packet *packet,
                                       const struct inner *inner);

/* Largest payload in one datagram on a path whose IP packets may have path_mtu bytes. outer: family
 * of the path. 0 if nothing fits. */
uint32_t translate_payload_max(uint32_t path_mtu, enum suite suite, enum address_family outer);
/* The inner MTU: largest packet that fits in every form, whole ones included; so fragments that a
 * host makes for it fit too. (Without its header a packet of 20, respectively 40 bytes more still
 * goes.) */
uint32_t translate_mtu(uint32_t path_mtu, enum suite suite, enum address_family outer);

#endif
