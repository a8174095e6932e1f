/* Ranges of addresses, ports and protocols. */
#include "wire/selector.h"

#include <string.h>

struct ike_selector selector_of(const struct address *first, const struct address *last)
{
    return (struct ike_selector){.port_last = UINT16_MAX, .first = *first, .last = *last};
}

static int compare(const struct address *a, const struct address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool selector_holds(const struct ike_selector *selector, const struct address *address)
{
    return selector->first.family == address->family && compare(&selector->first, address) <= 0 &&
           compare(address, &selector->last) <= 0;
}

static bool has_all_ports(const struct ike_selector *s)
{
    return s->port_first == 0 && s->port_last == UINT16_MAX;
}

static bool covers_port(const struct ike_selector *s, const struct ip_view *v, bool is_source)
{
    if (has_all_ports(s))
        return true;
    const bool has_ports = v->protocol == IP_TCP || v->protocol == IP_UDP ||
                           v->protocol == IP_DCCP || v->protocol == IP_UDPLITE;
    if (!has_ports || v->fragment_offset > 0 || v->payload_len < 4)
        return false;
    const uint8_t *at = v->payload + (is_source ? 0 : 2);
    const uint16_t port = (uint16_t)(at[0] << 8 | at[1]);
    return s->port_first <= port && port <= s->port_last;
}

bool selectors_cover(const struct selectors *selectors, const struct ip_view *packet,
                     bool is_source)
{
    for (uint8_t i = 0; i < selectors->count; i++) {
        const struct ike_selector *s = &selectors->list[i];
        if (selector_holds(s, is_source ? &packet->src : &packet->dst) &&
            (s->protocol == 0 || s->protocol == packet->protocol) &&
            covers_port(s, packet, is_source))
            return true;
    }
    return false;
}

bool selectors_hold(const struct selectors *selectors, const struct address *address)
{
    for (uint8_t i = 0; i < selectors->count; i++) {
        const struct ike_selector *s = &selectors->list[i];
        if (selector_holds(s, address) && s->protocol == 0 && has_all_ports(s))
            return true;
    }
    return false;
}

void selectors_intersect(const struct ike_selector *a, const struct ike_selector *b,
                         struct selectors *ret_selectors)
{
    struct ike_selector both = *a;

    if (a->first.family != b->first.family || ret_selectors->count == SELECTORS_MAX ||
        (a->protocol != 0 && b->protocol != 0 && a->protocol != b->protocol))
        return;
    if (compare(&b->first, &both.first) > 0)
        both.first = b->first;
    if (compare(&b->last, &both.last) < 0)
        both.last = b->last;
    if (b->port_first > both.port_first)
        both.port_first = b->port_first;
    if (b->port_last < both.port_last)
        both.port_last = b->port_last;
    if (both.protocol == 0)
        both.protocol = b->protocol;
    if (compare(&both.first, &both.last) <= 0 && both.port_first <= both.port_last)
        ret_selectors->list[ret_selectors->count++] = both;
}
