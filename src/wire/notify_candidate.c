/* What a stranger may make a host probe, and what credentials look like. */
#include "wire/notify.h"

#include <string.h>

/* 0.0.0.0/8 and 240.0.0.0/4 (RFC 6890), and IPv6 with IPv4 inside: ::/96 (RFC 4291, 2.5.5). */
static bool is_special(const struct address *a)
{
    static const uint8_t zero[12];
    if (a->family == ADDRESS_IPV4)
        return a->bytes[0] == 0 || a->bytes[0] >= 240;
    return memcmp(a->bytes, zero, sizeof zero) == 0;
}

bool candidate_is_acceptable(const struct candidate *candidate, const struct prefix *pool)
{
    const struct address *a = &candidate->endpoint.address;
    if (address_len(a) == 0 || candidate->endpoint.port == 0)
        return false;
    if (address_is_unspecified(a) || address_is_loopback(a) || address_is_multicast(a) ||
        address_is_link_local(a) || address_is_orchid(a) || is_special(a))
        return false;
    return pool == NULL || pool->address.family == ADDRESS_NONE || !prefix_contains(pool, a);
}

void candidate_list_sanitize(struct candidate_list *list, const struct prefix *pool)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        bool is_wanted = candidate_is_acceptable(&list->items[i], pool);
        for (size_t k = 0; k < kept && is_wanted; k++)
            is_wanted = !endpoint_is_equal(&list->items[k].endpoint, &list->items[i].endpoint);
        if (is_wanted)
            list->items[kept++] = list->items[i];
    }
    list->count = kept;
}

void candidate_list_observe(struct candidate_list *list, const struct address *address)
{
    for (size_t i = 0; i < list->count; i++)
        list->items[i].is_observed =
            address != NULL && address_is_equal(&list->items[i].endpoint.address, address);
}

void candidate_list_observe_also(struct candidate_list *list, const struct address *address)
{
    for (size_t i = 0; i < list->count; i++)
        list->items[i].is_observed |= address_is_equal(&list->items[i].endpoint.address, address);
}

bool port_pattern_is_valid(const struct port_pattern *pattern)
{
    switch (pattern->kind) {
    case PORT_PATTERN_SEQUENTIAL:
        return pattern->last != 0 && pattern->step != 0 && pattern->step <= PORT_PATTERN_STEP_MAX &&
               pattern->step >= -PORT_PATTERN_STEP_MAX;
    case PORT_PATTERN_NONE:
        return !pattern->is_by_address && pattern->last == 0 && pattern->step == 0;
    case PORT_PATTERN_RANDOM:
        return pattern->last == 0 && pattern->step == 0;
    default:
        return false;
    }
}

/* ice-char of RFC 8839, 5.4. */
static bool is_ice_text(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const char c = text[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/'))
            return false;
    }
    return text[len] == '\0';
}

bool credentials_are_valid(const struct credentials *credentials)
{
    return is_ice_text(credentials->fragment, CREDENTIALS_FRAGMENT_LEN) &&
           is_ice_text(credentials->password, CREDENTIALS_PASSWORD_LEN);
}
