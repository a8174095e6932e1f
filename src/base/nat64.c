/* RFC 6052 addresses: where the four bytes stand for each length of prefix. */
#include "base/nat64.h"

#include <string.h>

#define ZERO_BYTE 8 /* bits 64 to 71 (RFC 6052, 2.2) */

static const uint8_t lengths[] = {96, 64, 56, 48, 40, 32};

static bool has_length(uint8_t bits)
{
    for (size_t i = 0; i < sizeof lengths; i++) {
        if (lengths[i] == bits)
            return true;
    }
    return false;
}

/* The place of byte i of the IPv4 address: behind the prefix, byte 8 left out. */
static size_t place(uint8_t bits, size_t i)
{
    const size_t at = bits / 8 + i;
    return bits < 96 && at >= ZERO_BYTE ? at + 1 : at;
}

static bool is_under(const struct address *a, const char *text)
{
    struct prefix prefix;
    return prefix_parse(text, &prefix) == ERR_OK && prefix_contains(&prefix, a);
}

bool nat64_prefix_is_valid(const struct prefix *prefix)
{
    const struct address *a = &prefix->address;
    if (a->family != ADDRESS_IPV6 || !has_length(prefix->bits) || a->bytes[ZERO_BYTE] != 0)
        return false;
    for (size_t i = prefix->bits / 8; i < sizeof a->bytes; i++) {
        if (a->bytes[i] != 0)
            return false;
    }
    return !is_under(a, "::/16") && !is_under(a, "2002::/16") && !is_under(a, "2001::/32") &&
           !address_is_orchid(a) && !address_is_multicast(a) && !address_is_link_local(a);
}

int nat64_embed(const struct prefix *prefix, const struct address *ipv4, struct address *ret_ipv6)
{
    struct address a = prefix->address;
    if (!nat64_prefix_is_valid(prefix) || ipv4->family != ADDRESS_IPV4)
        return ERR_INVALID;
    if (ipv4->bytes[0] == 0 || ipv4->bytes[0] >= 240 || address_is_private(ipv4) ||
        address_is_loopback(ipv4) || address_is_multicast(ipv4))
        return ERR_REFUSED;
    for (size_t i = 0; i < 4; i++)
        a.bytes[place(prefix->bits, i)] = ipv4->bytes[i];
    *ret_ipv6 = a;
    return ERR_OK;
}

int nat64_extract(const struct prefix *prefix, const struct address *ipv6, struct address *ret_ipv4)
{
    uint8_t bytes[4];
    if (ipv6->family != ADDRESS_IPV6 || !nat64_prefix_is_valid(prefix) ||
        !prefix_contains(prefix, ipv6) || ipv6->bytes[ZERO_BYTE] != 0)
        return ERR_NOT_FOUND;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = ipv6->bytes[place(prefix->bits, i)];
    *ret_ipv4 = address_from_bytes(ADDRESS_IPV4, bytes);
    return ERR_OK;
}

int nat64_extract_any(const struct nat64_prefixes *prefixes, const struct address *ipv6,
                      struct address *ret_ipv4)
{
    for (size_t i = 0; i < prefixes->count; i++) {
        if (nat64_extract(&prefixes->items[i], ipv6, ret_ipv4) == ERR_OK)
            return ERR_OK;
    }
    return ERR_NOT_FOUND;
}

static bool is_well_known(const struct address *ipv4)
{
    return address_to_ipv4(ipv4) == 0xc00000aa || address_to_ipv4(ipv4) == 0xc00000ab;
}

/* The one prefix under which this address stands for a well-known one. */
static int find_prefix(const struct address *answer, struct prefix *ret_prefix)
{
    struct prefix found = {.bits = 0};
    size_t count = 0;
    for (size_t i = 0; i < sizeof lengths && answer->family == ADDRESS_IPV6; i++) {
        struct prefix prefix = {.address = *answer, .bits = lengths[i]};
        struct address ipv4;
        memset(prefix.address.bytes + lengths[i] / 8, 0, 16 - lengths[i] / 8);
        if (nat64_extract(&prefix, answer, &ipv4) == ERR_OK && is_well_known(&ipv4)) {
            found = prefix;
            count++;
        }
    }
    if (count != 1)
        return ERR_NOT_FOUND;
    *ret_prefix = found;
    return ERR_OK;
}

void nat64_discover(const struct address *answers, size_t count,
                    struct nat64_prefixes *ret_prefixes)
{
    struct nat64_prefixes prefixes = {.count = 0};
    for (size_t i = 0; i < count && prefixes.count < NAT64_PREFIXES_MAX; i++) {
        struct prefix prefix;
        bool is_known = false;
        if (find_prefix(&answers[i], &prefix) != ERR_OK)
            continue;
        for (size_t j = 0; j < prefixes.count; j++)
            is_known |= prefixes.items[j].bits == prefix.bits &&
                        address_is_equal(&prefixes.items[j].address, &prefix.address);
        if (!is_known)
            prefixes.items[prefixes.count++] = prefix;
    }
    *ret_prefixes = prefixes;
}
