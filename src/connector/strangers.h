/* Connections that have not proven a key, in order of age: of all, of each host (IPv6: one /64),
 * and of each site (one /48). Where there are too many, the oldest has to go: an honest host needs
 * a few round trips, whoever wants to keep it out would have to bring all the others within that
 * time. */
#ifndef CONNECTOR_STRANGERS_H
#define CONNECTOR_STRANGERS_H

#include "base/address.h"
#include "base/map.h"

struct session;
struct strangers_group;

enum strangers_level { STRANGERS_HOST, STRANGERS_SITE, STRANGERS_LEVELS };

/* Embedded in a session; zeroed before its first use. */
struct stranger {
    struct session *session;        /* for its owner */
    struct stranger *older, *newer; /* of all */
    struct {
        struct stranger *older, *newer;
        struct strangers_group *group; /* NULL: in no list */
    } of[STRANGERS_LEVELS];
};

struct strangers {
    struct map groups[STRANGERS_LEVELS];
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
bool stranger_is_listed(const struct stranger *stranger);
/* Of the host or the site with this address. NULL: there is none. */
struct stranger *strangers_oldest_of(const struct strangers *strangers, enum strangers_level level,
                                     const struct address *address);
uint32_t strangers_count_of(const struct strangers *strangers, enum strangers_level level,
                            const struct address *address);

#endif
