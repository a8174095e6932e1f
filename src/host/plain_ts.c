/* Lists of prefixes. */
#include "host/plain_ts.h"

#include "base/text.h"

#define TEXT_CAP 192

static int parse_one(const char *word, struct prefix *ret_prefix)
{
    struct prefix prefix;
    if (prefix_parse(word, &prefix) != ERR_OK) {
        if (address_parse(word, &prefix.address) != ERR_OK)
            return ERR_INVALID;
        prefix.bits = (uint8_t)(8 * address_len(&prefix.address));
    }
    const struct address *a = &prefix.address;
    const bool is_ipv4 = a->family == ADDRESS_IPV4;
    if (prefix.bits < (is_ipv4 ? PLAIN_TS_BITS_IPV4 : PLAIN_TS_BITS_IPV6) ||
        prefix.bits == 8 * address_len(a) - 1 || address_is_unspecified(a) ||
        address_is_multicast(a) || address_is_loopback(a) || address_is_link_local(a))
        return ERR_INVALID;
    *ret_prefix = prefix;
    return ERR_OK;
}

static int take_prefix(const char *word, void *context)
{
    struct plain_ts *ts = context;
    struct prefix prefix;
    if (ts->count == PLAIN_TS_MAX || parse_one(word, &prefix) != ERR_OK)
        return ERR_INVALID;
    /* An address may stand before its own network: it is the one that stands for this end. */
    for (uint8_t i = 0; i < ts->count; i++)
        if (prefix_overlaps(&ts->list[i], &prefix) &&
            !(prefix_is_single(&ts->list[i]) && !prefix_is_single(&prefix)))
            return ERR_INVALID;
    ts->list[ts->count++] = prefix;
    return ERR_OK;
}

int plain_ts_parse(const char *text, struct plain_ts *ret_ts)
{
    struct plain_ts ts = {0};
    if (text_each_word(text, TEXT_CAP, take_prefix, &ts) != ERR_OK || ts.count == 0)
        return ERR_INVALID;
    *ret_ts = ts;
    return ERR_OK;
}

bool plain_ts_contains(const struct plain_ts *ts, const struct address *address)
{
    for (uint8_t i = 0; i < ts->count; i++)
        if (prefix_contains(&ts->list[i], address))
            return true;
    return false;
}

bool plain_ts_overlaps(const struct plain_ts *ts, const struct prefix *prefix)
{
    for (uint8_t i = 0; i < ts->count; i++)
        if (prefix_overlaps(&ts->list[i], prefix))
            return true;
    return false;
}

static unsigned count_family(const struct plain_ts *ts, enum address_family family)
{
    unsigned count = 0;
    for (uint8_t i = 0; i < ts->count; i++)
        count += ts->list[i].address.family == family;
    return count;
}

bool plain_ts_has_family(const struct plain_ts *ts, enum address_family family)
{
    return count_family(ts, family) > 0;
}

bool plain_ts_is_wide(const struct plain_ts *ts)
{
    for (uint8_t i = 0; i < ts->count; i++)
        if (!prefix_is_single(&ts->list[i]))
            return true;
    return count_family(ts, ADDRESS_IPV4) > 1 || count_family(ts, ADDRESS_IPV6) > 1;
}

struct address plain_ts_address(const struct plain_ts *ts, enum address_family family)
{
    struct address first = {0};
    for (uint8_t i = 0; i < ts->count; i++) {
        const struct prefix *prefix = &ts->list[i];
        if (prefix->address.family != family)
            continue;
        if (prefix_is_single(prefix))
            return prefix->address;
        if (first.family != ADDRESS_NONE)
            continue;
        first = prefix->address;
        first.bytes[address_len(&first) - 1] |= 1; /* its last bits are zero, two at least */
    }
    return first;
}

struct selectors plain_ts_selectors(const struct plain_ts *ts)
{
    struct selectors selectors = {0};
    for (uint8_t i = 0; i < ts->count; i++) {
        const struct address last = prefix_last(&ts->list[i]);
        selectors.list[selectors.count++] = selector_of(&ts->list[i].address, &last);
    }
    return selectors;
}
