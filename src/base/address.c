/* Addresses, endpoints and prefixes: their text forms, their order, and what kind they are. */
#include "base/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped_start[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct address address_from_bytes(enum address_family family, const uint8_t *bytes)
{
    struct address a = {0};
    if (family == ADDRESS_IPV6 && memcmp(bytes, mapped_start, sizeof mapped_start) == 0) {
        family = ADDRESS_IPV4;
        bytes += sizeof mapped_start;
    }
    a.family = (uint8_t)family;
    if (address_len(&a) > 0)
        memcpy(a.bytes, bytes, address_len(&a));
    return a;
}

struct address address_from_ipv4(uint32_t host_order)
{
    const uint8_t bytes[4] = {(uint8_t)(host_order >> 24), (uint8_t)(host_order >> 16),
                              (uint8_t)(host_order >> 8), (uint8_t)host_order};
    return address_from_bytes(ADDRESS_IPV4, bytes);
}

uint32_t address_to_ipv4(const struct address *a)
{
    return (uint32_t)a->bytes[0] << 24 | (uint32_t)a->bytes[1] << 16 | (uint32_t)a->bytes[2] << 8 |
           a->bytes[3];
}

size_t address_len(const struct address *a)
{
    if (a->family == ADDRESS_IPV4)
        return 4;
    return a->family == ADDRESS_IPV6 ? 16 : 0;
}

int address_compare(const struct address *a, const struct address *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    /* A relay channel's name has no length on any wire, yet all of it counts. */
    return memcmp(a->bytes, b->bytes,
                  a->family == ADDRESS_RELAY ? sizeof(a->bytes) : address_len(a));
}

int address_parse(const char *text, struct address *ret_address)
{
    uint8_t bytes[16];
    if (inet_pton(AF_INET, text, bytes) == 1)
        *ret_address = address_from_bytes(ADDRESS_IPV4, bytes);
    else if (inet_pton(AF_INET6, text, bytes) == 1)
        *ret_address = address_from_bytes(ADDRESS_IPV6, bytes);
    else
        return ERR_INVALID;
    return ERR_OK;
}

const char *address_format(const struct address *a, char *buffer, size_t cap)
{
    const int family = a->family == ADDRESS_IPV6 ? AF_INET6 : AF_INET;
    if (address_len(a) == 0 || inet_ntop(family, a->bytes, buffer, (socklen_t)cap) == NULL)
        snprintf(buffer, cap, "none");
    return buffer;
}

/* Do the first `bits` bits of a, of this family, equal those of start? */
static bool starts_with(const struct address *a, enum address_family family, const uint8_t *start,
                        unsigned bits)
{
    if (a->family != family || memcmp(a->bytes, start, bits / 8) != 0)
        return false;
    if (bits % 8 == 0)
        return true;
    const uint8_t mask = (uint8_t)(0xff << (8 - bits % 8));
    return ((a->bytes[bits / 8] ^ start[bits / 8]) & mask) == 0;
}

static bool is_v4_in(const struct address *a, uint32_t network, unsigned bits)
{
    const struct address start = address_from_ipv4(network);
    return starts_with(a, ADDRESS_IPV4, start.bytes, bits);
}

bool address_is_unspecified(const struct address *a)
{
    static const uint8_t zero[16];
    return memcmp(a->bytes, zero, address_len(a)) == 0;
}

bool address_is_loopback(const struct address *a)
{
    static const uint8_t one[16] = {[15] = 1};
    return is_v4_in(a, 0x7f000000, 8) || starts_with(a, ADDRESS_IPV6, one, 128);
}

bool address_is_multicast(const struct address *a)
{
    static const uint8_t start[1] = {0xff};
    return is_v4_in(a, 0xe0000000, 4) || is_v4_in(a, 0xffffffff, 32) ||
           starts_with(a, ADDRESS_IPV6, start, 8);
}

bool address_is_link_local(const struct address *a)
{
    static const uint8_t start[2] = {0xfe, 0x80};
    return is_v4_in(a, 0xa9fe0000, 16) || starts_with(a, ADDRESS_IPV6, start, 10);
}

bool address_is_private(const struct address *a)
{
    static const uint8_t unique_local[1] = {0xfc};
    return is_v4_in(a, 0x0a000000, 8) || is_v4_in(a, 0xac100000, 12) ||
           is_v4_in(a, 0xc0a80000, 16) || is_v4_in(a, 0x64400000, 10) ||
           starts_with(a, ADDRESS_IPV6, unique_local, 7) || address_is_link_local(a);
}

bool address_is_orchid(const struct address *a)
{
    static const uint8_t start[4] = {0x20, 0x01, 0x00, 0x20};
    return starts_with(a, ADDRESS_IPV6, start, 28);
}

/* Digits only, so that "+1", " 1" and "0x1" are none. */
static int number_parse(const char *text, unsigned max, unsigned *ret_number)
{
    unsigned number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && number <= max; at++)
        number = number * 10 + (unsigned)(*at - '0');
    if (at == text || *at != '\0' || number > max)
        return ERR_INVALID;
    *ret_number = number;
    return ERR_OK;
}

/* Splits off the port; the address alone goes to `address`. */
static int endpoint_split(const char *text, char address[ADDRESS_TEXT_CAP], const char **ret_port)
{
    const char *start = text, *end;
    const char *port = NULL;
    if (*text == '[') {
        start = text + 1;
        end = strchr(start, ']');
        if (end == NULL || memchr(start, ':', (size_t)(end - start)) == NULL)
            return ERR_INVALID;
        if (end[1] == ':')
            port = end + 2;
        else if (end[1] != '\0')
            return ERR_INVALID;
    } else {
        const char *colon = strchr(text, ':');
        end = text + strlen(text);
        /* More than one colon: a bare IPv6 address. */
        if (colon != NULL && strchr(colon + 1, ':') == NULL) {
            end = colon;
            port = colon + 1;
        }
    }
    if ((size_t)(end - start) >= ADDRESS_TEXT_CAP)
        return ERR_INVALID;
    memcpy(address, start, (size_t)(end - start));
    address[end - start] = '\0';
    *ret_port = port;
    return ERR_OK;
}

int endpoint_parse(const char *text, uint16_t default_port, struct endpoint *ret_endpoint)
{
    char address_text[ADDRESS_TEXT_CAP];
    const char *port_text;
    unsigned port = default_port;
    struct endpoint e = {0};
    if (endpoint_split(text, address_text, &port_text) != ERR_OK ||
        address_parse(address_text, &e.address) != ERR_OK)
        return ERR_INVALID;
    if (port_text != NULL && number_parse(port_text, UINT16_MAX, &port) != ERR_OK)
        return ERR_INVALID;
    if (port == 0)
        return ERR_INVALID;
    e.port = (uint16_t)port;
    *ret_endpoint = e;
    return ERR_OK;
}

const char *endpoint_format(const struct endpoint *e, char *buffer, size_t cap)
{
    char text[ADDRESS_TEXT_CAP];
    address_format(&e->address, text, sizeof text);
    if (e->address.family == ADDRESS_IPV6)
        snprintf(buffer, cap, "[%s]:%u", text, e->port);
    else if (e->address.family == ADDRESS_IPV4)
        snprintf(buffer, cap, "%s:%u", text, e->port);
    else
        snprintf(buffer, cap, "none");
    return buffer;
}

int endpoint_from_sockaddr(const struct sockaddr *sa, struct endpoint *ret_endpoint)
{
    uint8_t bytes[16];
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in sin;
        memcpy(&sin, sa, sizeof sin);
        memcpy(bytes, &sin.sin_addr, 4);
        ret_endpoint->address = address_from_bytes(ADDRESS_IPV4, bytes);
        ret_endpoint->port = ntohs(sin.sin_port);
        ret_endpoint->socket = 0;
        return ERR_OK;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 sin6;
        memcpy(&sin6, sa, sizeof sin6);
        memcpy(bytes, &sin6.sin6_addr, 16);
        ret_endpoint->address = address_from_bytes(ADDRESS_IPV6, bytes);
        ret_endpoint->port = ntohs(sin6.sin6_port);
        ret_endpoint->socket = 0;
        return ERR_OK;
    }
    return ERR_UNSUPPORTED;
}

socklen_t endpoint_to_sockaddr(const struct endpoint *e, bool is_dual_stack,
                               struct sockaddr_storage *ret)
{
    memset(ret, 0, sizeof *ret);
    if (e->address.family == ADDRESS_IPV4 && !is_dual_stack) {
        struct sockaddr_in *sin = (struct sockaddr_in *)ret;
        sin->sin_family = AF_INET;
        sin->sin_port = htons(e->port);
        memcpy(&sin->sin_addr, e->address.bytes, 4);
        return sizeof *sin;
    }
    struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ret;
    sin6->sin6_family = AF_INET6;
    sin6->sin6_port = htons(e->port);
    if (e->address.family == ADDRESS_IPV4) {
        memcpy(&sin6->sin6_addr, mapped_start, sizeof mapped_start);
        memcpy((uint8_t *)&sin6->sin6_addr + sizeof mapped_start, e->address.bytes, 4);
    } else {
        memcpy(&sin6->sin6_addr, e->address.bytes, 16);
    }
    return sizeof *sin6;
}

int prefix_parse(const char *text, struct prefix *ret_prefix)
{
    char address_text[ADDRESS_TEXT_CAP];
    const char *slash = strchr(text, '/');
    struct prefix p = {0};
    unsigned bits;
    if (slash == NULL || (size_t)(slash - text) >= sizeof address_text)
        return ERR_INVALID;
    memcpy(address_text, text, (size_t)(slash - text));
    address_text[slash - text] = '\0';
    if (address_parse(address_text, &p.address) != ERR_OK ||
        number_parse(slash + 1, (unsigned)address_len(&p.address) * 8, &bits) != ERR_OK)
        return ERR_INVALID;
    for (unsigned i = bits; i < address_len(&p.address) * 8; i++) {
        if ((p.address.bytes[i / 8] & (0x80 >> i % 8)) != 0)
            return ERR_INVALID;
    }
    p.bits = (uint8_t)bits;
    *ret_prefix = p;
    return ERR_OK;
}

const char *prefix_format(const struct prefix *p, char *buffer, size_t cap)
{
    char text[ADDRESS_TEXT_CAP];
    snprintf(buffer, cap, "%s/%u", address_format(&p->address, text, sizeof text), p->bits);
    return buffer;
}

bool prefix_contains(const struct prefix *p, const struct address *a)
{
    return address_len(&p->address) > 0 &&
           starts_with(a, (enum address_family)p->address.family, p->address.bytes, p->bits);
}

struct prefix prefix_around(const struct address *a, unsigned bits)
{
    struct prefix prefix = {.address = *a, .bits = (uint8_t)bits};
    const unsigned whole = bits / 8;
    if (bits % 8 != 0)
        prefix.address.bytes[whole] &= (uint8_t)(0xff00 >> bits % 8);
    for (size_t i = whole + (bits % 8 != 0); i < sizeof(prefix.address.bytes); i++)
        prefix.address.bytes[i] = 0;
    return prefix;
}

struct address prefix_last(const struct prefix *p)
{
    struct address last = p->address;
    for (size_t i = 0; i < address_len(&last); i++) {
        const size_t kept = p->bits > 8 * i ? p->bits - 8 * i : 0;
        if (kept < 8)
            last.bytes[i] |= (uint8_t)(0xff >> kept);
    }
    return last;
}

bool prefix_is_single(const struct prefix *p)
{
    return p->bits == 8 * address_len(&p->address);
}

bool prefix_overlaps(const struct prefix *p, const struct prefix *other)
{
    return prefix_contains(p, &other->address) || prefix_contains(other, &p->address);
}

struct address address_group(const struct address *a, unsigned ipv6_bits)
{
    struct address group = *a;
    const size_t kept = ipv6_bits / 8;
    if (group.family == ADDRESS_IPV6 && kept < sizeof group.bytes)
        memset(group.bytes + kept, 0, sizeof group.bytes - kept);
    return group;
}
