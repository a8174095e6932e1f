/* How many connections each address has open, so that one address cannot take them all. Who has one
 * IPv6 address has many: there a prefix counts. */
#ifndef CONNECTOR_ADDRESS_COUNT_H
#define CONNECTOR_ADDRESS_COUNT_H

#include "base/address.h"
#include "base/map.h"

struct address_counts {
    struct map map;
    unsigned ipv6_bits; /* ADDRESS_HOST_BITS or ADDRESS_SITE_BITS */
};

/* seed: 16 random bytes. */
MUST_USE int address_counts_init(struct address_counts *counts, unsigned ipv6_bits,
                                 const uint8_t seed[16]);
void address_counts_done(struct address_counts *counts);
/* One more of this address. ERR_LIMIT when it has max already; ERR_NOMEM. */
MUST_USE int address_counts_add(struct address_counts *counts, const struct address *address,
                                uint32_t max);
/* One less; each must have been added. */
void address_counts_remove(struct address_counts *counts, const struct address *address);

#endif
