/* local-ts and remote-ts of [peer NAME]: what the tunnel carries, as addresses and networks of both
 * families; and which address of them stands for an end. */
#ifndef HOST_PLAIN_TS_H
#define HOST_PLAIN_TS_H

#include "base/address.h"
#include "wire/selector.h"

#define PLAIN_TS_MAX SELECTORS_MAX
/* Of IPv4 a network has 8 bits at least, of IPv6 16: the way to the peer must remain. */
#define PLAIN_TS_BITS_IPV4 8
#define PLAIN_TS_BITS_IPV6 16
/* Networks of all peers: each costs policy rules. */
#define PLAIN_NETWORKS_MAX 32

/* None: the addresses of the path. */
struct plain_ts {
    uint8_t count;
    struct prefix list[PLAIN_TS_MAX];
};

/* A list of addresses and networks. ERR_INVALID: one is none, or overlaps another; or too many. */
MUST_USE int plain_ts_parse(const char *text, struct plain_ts *ret_ts);
bool plain_ts_contains(const struct plain_ts *ts, const struct address *address);
bool plain_ts_has_family(const struct plain_ts *ts, enum address_family family);
/* What stands for this end: the first single address of the family, or else the first host's of its
 * first network. Family ADDRESS_NONE: the list has none. */
struct address plain_ts_address(const struct plain_ts *ts, enum address_family family);
/* More than one address of a family. */
bool plain_ts_is_wide(const struct plain_ts *ts);
bool plain_ts_overlaps(const struct plain_ts *ts, const struct prefix *prefix);
struct selectors plain_ts_selectors(const struct plain_ts *ts);

#endif
