/* ICMP errors (RFC 792, RFC 1122, RFC 1812; RFC 4443) to a local application whose packet could not
 * be carried, and telling errors from other messages. */
#ifndef WIRE_ICMP_H
#define WIRE_ICMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/writer.h"

#define ICMP_HEADER_LEN 8 /* of every error; the quoted packet follows */

enum icmp4_type { ICMP4_UNREACHABLE = 3, ICMP4_TIME_EXCEEDED = 11, ICMP4_PARAMETER = 12 };

enum icmp4_unreachable {
    ICMP4_NET_UNREACHABLE = 0,
    ICMP4_HOST_UNREACHABLE = 1,
    ICMP4_PROTOCOL_UNREACHABLE = 2,
    ICMP4_PORT_UNREACHABLE = 3,
    ICMP4_FRAGMENTATION_NEEDED = 4,
    ICMP4_PROHIBITED = 13, /* RFC 1812, 5.2.7.1 */
};

enum icmp6_type { ICMP6_UNREACHABLE = 1, ICMP6_TOO_BIG = 2, ICMP6_TIME_EXCEEDED = 3 };

enum icmp6_unreachable {
    ICMP6_NO_ROUTE = 0,
    ICMP6_PROHIBITED = 1,
    ICMP6_ADDRESS_UNREACHABLE = 3,
    ICMP6_PORT_UNREACHABLE = 4,
};

/* Does a message of this type carry a quoted packet? version is that of the IP header: 4 or 6. */
bool icmp_is_error(uint8_t version, uint8_t type);

/* Builds a whole packet (IP header included) that answers `packet` from its own destination to its
 * source: of the packet's IP version, so type and code are of that version. mtu is written for
 * fragmentation needed and packet too big, else ignored. The whole is at most 576 bytes (RFC 1812,
 * 4.3.2.3) or 1280 (RFC 4443, 2.4 c).
 * ERR_REFUSED where no error may be sent: in answer to an ICMP error or redirect, to a later
 * fragment, to a multicast, broadcast or unspecified destination or source (RFC 1122, 3.2.2; RFC
 * 4443, 2.4 e). ERR_INVALID or ERR_TRUNCATED if packet is none, ERR_FULL without room. */
MUST_USE int icmp_error_build(struct writer *w, const void *packet, size_t len, uint8_t type,
                              uint8_t code, uint32_t mtu);
/* Host unreachable, respectively address unreachable. */
MUST_USE int icmp_unreachable_build(struct writer *w, const void *packet, size_t len);
/* Fragmentation needed, respectively packet too big. mtu: of the inner path, in bytes. */
MUST_USE int icmp_too_big_build(struct writer *w, const void *packet, size_t len, uint32_t mtu);

#endif
