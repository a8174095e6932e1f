/* Connections that have not proven a key, in order of age: of all, and of each address (IPv6: one
 * /64). Where there are too many, the oldest has to go: an honest host needs a few round trips,
 * whoever wants to keep it out would have to bring all the others within that time. */
#ifndef CONNECTOR_STRANGERS_H
#define CONNECTOR_STRANGERS_H

#include "base/address.h"
#include "base/map.h"

struct session;
struct strangers_address;

/* Embedded in a session; zeroed before its first use. */
struct stranger {
    struct session *session;                        /* for its owner */
    struct stranger *older, *newer;                 /* of all */
    struct stranger *address_older, *address_newer; /* of its address */
    struct strangers_address *address;              /* NULL: in no list */
};

struct strangers {
    struct map addresses;
    struct stranger *oldest, *newest;
    size_t count;
};

/* seed: 16 random bytes. */
MUST_USE int strangers_init(struct strangers *strangers, const uint8_t seed[16]);
/* Those that are left are forgotten; their memory is their owners'. */
void strangers_done(struct strangers *strangers);
/* The newest of all. ERR_NOMEM; ERR_STATE: it is in a list already. */
MUST_USE int strangers_add(struct strangers *strangers, struct stranger *stranger,
                           const struct address *address);
/* One that is in no list is fine. */
void strangers_remove(struct strangers *strangers, struct stranger *stranger);
/* NULL: there is none. */
struct stranger *strangers_oldest_of(const struct strangers *strangers,
                                     const struct address *address);
uint32_t strangers_count_of(const struct strangers *strangers, const struct address *address);

#endif
