/* IPv4 (RFC 791) and IPv6 (RFC 8200) headers: parsed into a view that borrows the packet, and
 * built. Checksums of what they carry are checksum.h's, error messages icmp.h's. */
#ifndef WIRE_IP_H
#define WIRE_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"
#include "base/writer.h"

/* IANA protocol numbers (IPv4 protocol, IPv6 next header). */
enum ip_protocol {
    IP_HOP_BY_HOP = 0,
    IP_ICMP = 1,
    IP_IPV4 = 4,
    IP_TCP = 6,
    IP_UDP = 17,
    IP_DCCP = 33,
    IP_IPV6 = 41,
    IP_ROUTING = 43,
    IP_FRAGMENT = 44,
    IP_ESP = 50,
    IP_AH = 51,
    IP_ICMPV6 = 58,
    IP_NO_NEXT_HEADER = 59,
    IP_DESTINATION_OPTIONS = 60,
    IP_UDPLITE = 136,
};

#define IP4_HEADER_LEN 20 /* without options */
#define IP6_HEADER_LEN 40 /* without extension headers */
#define IP6_MTU_MIN    1280
#define IP_TTL_DEFAULT 64

struct ip_view {
    struct address src, dst;
    const uint8_t *payload;   /* borrows the packet: behind options and extension headers */
    uint32_t payload_len;     /* bytes of it that are there */
    uint16_t header_len;      /* with options and extension headers */
    uint32_t total_len;       /* as the header says; at most the buffer's, but in a quoted packet */
    uint32_t id;              /* IPv4 identification; IPv6: of a fragment, else 0 */
    uint16_t fragment_offset; /* bytes; not 0: payload does not start with a transport header */
    uint8_t version;          /* 4 or 6 */
    uint8_t protocol;         /* of the payload */
    uint8_t tos;              /* DSCP and ECN: IPv4 TOS, IPv6 traffic class */
    uint8_t ttl;              /* or hop limit */
    bool dont_fragment;       /* IPv4 DF; true for IPv6 */
    bool more_fragments;
    bool is_fragment;      /* of several: offset is not 0, or more follow */
    bool has_options;      /* IPv4 options, or any IPv6 extension header (a fragment header too) */
    bool has_source_route; /* IPv4 LSRR or SSRR; IPv6 routing header with segments left */
};

/* Parses a whole packet. Bytes behind its total length are ignored. IPv6 extension headers are
 * walked (at most 8) up to the first that is none; AH and ESP count as payload. The IPv4 header
 * checksum is not checked. ERR_TRUNCATED if the buffer is shorter than the header says, ERR_INVALID
 * otherwise. */
MUST_USE int ip_parse(const void *packet, size_t len, struct ip_view *ret_view);
/* The same for a packet that may be cut anywhere behind its fixed header, as ICMP errors quote it:
 * payload_len is what is there. Where the cut is among IPv6 extension headers, protocol is that of
 * the cut header and payload_len is 0. */
MUST_USE int ip_parse_quoted(const void *packet, size_t len, struct ip_view *ret_view);

struct ip_header {
    struct address src, dst; /* of one family, which decides the version */
    uint32_t payload_len;
    uint16_t id; /* IPv4 only; 0 for atomic datagrams (RFC 6864, 4.1) */
    uint8_t protocol;
    uint8_t tos;
    uint8_t ttl;
    bool dont_fragment; /* IPv4 only */
};

/* 20 or 40. */
size_t ip_header_len(enum address_family family);
/* Writes a header without options, with its checksum. ERR_INVALID if the families differ or the
 * packet would be longer than 65535 bytes (IPv4) or its payload (IPv6); ERR_FULL. */
MUST_USE int ip_build_header(struct writer *w, const struct ip_header *header);
/* Replaces the addresses in place, and corrects the checksum of an IPv4 header incrementally. The
 * new ones are of the packet's family, and packet is at least its fixed header (ip_parse said so).
 * What the packet carries is left alone. */
void ip_replace_addresses(uint8_t *packet, const struct address *src, const struct address *dst);

#endif
