/* ICMP from the far end. Its errors quote a packet as it arrived there, with the far end's
 * addresses: from its peer address for this host to its own. The application here knows that packet
 * by ours. */
#include "tunnel/translate_internal.h"
#include "wire/checksum.h"
#include "wire/icmp.h"
#include "wire/ip.h"

#define CHECKSUM_AT      2
#define ICMP_LEN_MIN     4
#define ICMP4_REDIRECT   5
#define ICMP4_ROUTER_ADV 9
#define ICMP4_ROUTER_SOL 10
#define ICMP6_ROUTER_SOL 133 /* up to 137, redirect: neighbour discovery (RFC 4861) */
#define ICMP6_REDIRECT   137

/* A peer is no router and no link neighbour. */
static bool is_router_message(bool is_ipv6, uint8_t type)
{
    if (is_ipv6)
        return type >= ICMP6_ROUTER_SOL && type <= ICMP6_REDIRECT;
    return type == ICMP4_REDIRECT || type == ICMP4_ROUTER_ADV || type == ICMP4_ROUTER_SOL;
}

static uint16_t sum_of(const uint8_t *data, size_t len)
{
    return (uint16_t)~checksum_finish(checksum_add(0, data, len));
}

static enum drop_reason translate_quote(const struct address_map *map, bool is_ipv6, uint8_t *quote,
                                        size_t len)
{
    struct ip_view v;

    if (ip_parse_quoted(quote, len, &v) != ERR_OK || v.version != (is_ipv6 ? 6 : 4) ||
        !address_is_equal(&v.src, map->remote_peer) || !address_is_equal(&v.dst, map->remote_own))
        return DROP_QUOTE;
    ip_replace_addresses(quote, map->own, map->peer);
    /* Cut before its checksum is fine: there is nothing to correct then. */
    if (v.fragment_offset == 0 &&
        checksum_fix_payload(v.protocol, quote + (v.payload - quote), v.payload_len,
                             map->remote_peer, map->remote_own, map->own, map->peer) == ERR_INVALID)
        return DROP_QUOTE;
    return DROP_NONE;
}

enum drop_reason translate_icmp(const struct address_map *map, bool is_ipv6, uint8_t *message,
                                size_t len)
{
    if (len < ICMP_LEN_MIN)
        return DROP_MALFORMED;
    if (is_router_message(is_ipv6, message[0]))
        return DROP_ROUTER_MESSAGE;
    if (!icmp_is_error(is_ipv6 ? 6 : 4, message[0]))
        return DROP_NONE;
    if (len < ICMP_HEADER_LEN)
        return DROP_MALFORMED;

    uint8_t *quote = message + ICMP_HEADER_LEN;
    const size_t quote_len = len - ICMP_HEADER_LEN;
    const uint16_t before = sum_of(quote, quote_len);
    enum drop_reason reason = translate_quote(map, is_ipv6, quote, quote_len);
    if (reason != DROP_NONE)
        return reason;
    uint16_t checksum = (uint16_t)(message[CHECKSUM_AT] << 8 | message[CHECKSUM_AT + 1]);
    checksum = checksum_replace_u16(checksum, before, sum_of(quote, quote_len));
    message[CHECKSUM_AT] = (uint8_t)(checksum >> 8);
    message[CHECKSUM_AT + 1] = (uint8_t)checksum;
    return DROP_NONE;
}
