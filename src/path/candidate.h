/* Candidates of one host for one call: where it may be reached (RFC 8445, 5.1). Builds one's own
 * list and ranks the peer's. The struct itself travels in CALL and ANSWER (wire/notify.h). */
#ifndef PATH_CANDIDATE_H
#define PATH_CANDIDATE_H

#include "base/address.h"
#include "wire/notify.h"

/* Adds one; ERR_EXISTS if its endpoint is there already (the better type stays), ERR_FULL with
 * CANDIDATE_MAX, ERR_INVALID if it isn't acceptable (pool may be NULL). */
MUST_USE int candidate_list_add(struct candidate_list *list, enum candidate_type type,
                                const struct endpoint *endpoint, const struct prefix *pool);

/* What a host knows about itself. */
struct candidate_sources {
    const struct address *addresses; /* of its interfaces, the TUN's left out */
    size_t address_count;
    uint16_t port;                    /* of the tunnel socket */
    const struct endpoint *reflexive; /* as connectors saw it */
    size_t reflexive_count;
    const struct endpoint *mapped; /* port mappings */
    size_t mapped_count;
    const struct prefix *pool; /* may be NULL */
};

/* Builds the local list, best first by candidate_priority, unacceptable and double ones left out.
 * Where there are more than CANDIDATE_MAX, one reflexive and one mapped candidate of each family
 * stay, and of the host candidates the best of each family in turn (RFC 8421, 4). */
void candidate_list_build(const struct candidate_sources *sources, struct candidate_list *ret_list);

/* RFC 8445, 5.1.2.1: type preference 126 host, 110 peer-reflexive, 102 mapped, 100 reflexive;
 * component 1. local_preference 0..65535. */
uint32_t candidate_priority(enum candidate_type type, uint16_t local_preference);
/* Local preference of an address seen from a host with these subnets: in one of them 65535, global
 * IPv6 before global IPv4 before private. */
uint16_t candidate_preference(const struct address *address, const struct prefix *subnets,
                              size_t count);

/* Draws fresh credentials. */
MUST_USE int credentials_generate(struct credentials *ret_credentials);

/* "host", "reflexive", "mapped", "peer-reflexive". */
const char *candidate_type_text(enum candidate_type type);

#endif
