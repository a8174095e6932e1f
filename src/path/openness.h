/* Do packets get in that nobody asked for? Asked of a connector, from the tunnel socket itself: it
 * answers from an endpoint that the socket has never sent to (RFC 5780, 4.4). The answer carries
 * the request's random transaction number, which proves that it comes from who has read the
 * request. Then, where there is a second address, whether the NAT's mapping is the same towards
 * that one. Engine: no I/O, no clock. */
#ifndef PATH_OPENNESS_H
#define PATH_OPENNESS_H

#include "base/address.h"
#include "base/deadline.h"
#include "base/writer.h"

#define OPENNESS_RTO_US (500 * MS_US) /* doubled with each try */
#define OPENNESS_TRIES  3             /* of each of three questions; 10.5 s in all */
#define OPENNESS_CAP    128           /* bytes of a request */

struct openness_result {
    bool is_known;      /* the server was reached, and can answer from elsewhere */
    bool is_open;       /* its answer came in from there */
    bool is_by_address; /* from another address; else from another port of the same one, which some
                         * filters let pass and strangers not */
    bool is_mapping_same;   /* is_by_address: it sees us at the same endpoint from both addresses */
    struct endpoint mapped; /* where it sees us */
};

struct openness;

/* Begins at once. pool (borrowed, may be NULL): where no second address can be. */
MUST_USE int openness_new(const struct endpoint *server, const struct prefix *pool, uint64_t now_us,
                          struct openness **ret_openness);
void openness_free(struct openness *openness);
/* ERR_OK: it is ours. ERR_NOT_FOUND: it is not; ERR_INVALID: ours, but malformed. */
MUST_USE int openness_receive(struct openness *openness, const void *data, size_t len,
                              const struct endpoint *from, uint64_t now_us);
/* ERR_OK: send that; or ERR_AGAIN. The writer needs OPENNESS_CAP. */
MUST_USE int openness_transmit(struct openness *openness, struct writer *w, struct endpoint *ret_to,
                               uint64_t now_us);
uint64_t openness_deadline(const struct openness *openness);
void openness_expire(struct openness *openness, uint64_t now_us);
/* True when it has ended: then ret_result is set. */
bool openness_is_done(const struct openness *openness, struct openness_result *ret_result);

#endif
