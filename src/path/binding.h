/* The connector's half of STUN Binding (RFC 8489) and of NAT behaviour discovery (RFC 5780): a
 * request in, an answer out, no state. It never helps to flood anybody: an answer goes to the
 * address that asked, is no longer than a plain one or its request, and reaches another port than
 * the asker's only with a ticket that this very port was given. Rate limits by source are left to
 * the owner. */
#ifndef PATH_BINDING_H
#define PATH_BINDING_H

#include "base/address.h"
#include "base/writer.h"
#include <stdbool.h>

/* No plain answer is longer: a forged source gains at most some 30 bytes over its own request. */
#define BINDING_ANSWER_CAP 56
/* No answer at all is longer. */
#define BINDING_DISCOVERY_CAP   128
#define BINDING_TICKET_KEY_LEN  32
#define BINDING_TICKET_LEN      20
#define BINDING_TICKET_LIFE_S   900u
#define BINDING_PLAIN_LEN_MAX   548  /* RFC 8489, 6.1: below the smallest MTU */
#define BINDING_REQUEST_LEN_MAX 1472 /* with PADDING, to try out the path's MTU */

/* ERR_OK: send what was written back to `from`. Else drop: ERR_NOT_FOUND it is no STUN request,
 * ERR_INVALID or ERR_TRUNCATED malformed, ERR_UNSUPPORTED no Binding. A request with unknown
 * comprehension-required attributes is answered with error 420 (RFC 8489, 6.3.1). */
MUST_USE int binding_answer(const void *data, size_t len, const struct endpoint *from,
                            struct writer *w);

/* Where a request arrived, and what else there is. */
struct binding_server {
    struct endpoint at;
    /* What a change of address and port leads to; the address of `at`: there is another port only.
     * Port 0: neither; then only PADDING
     * is understood. */
    struct endpoint other;
    const uint8_t *ticket_key; /* BINDING_TICKET_KEY_LEN random bytes; NULL: gives no tickets */
    uint32_t now_s;            /* of any clock that does not go back */
};

/* From where and to where an answer goes, if not back the way its request came. */
struct binding_route {
    bool change_address, change_port; /* from `other`'s */
    uint16_t port;                    /* of the asker's address; 0: that it asked from */
};

/* As binding_answer, with RFC 5780's attributes. Answers that PADDING makes room for carry
 * RESPONSE-ORIGIN, OTHER-ADDRESS (with another port alone: OTHER-PORT) and, where asked for, a
 * TICKET for RESPONSE-PORT. PADDING is not returned. */
MUST_USE int binding_discover(const void *data, size_t len, const struct endpoint *from,
                              const struct binding_server *server, struct writer *w,
                              struct binding_route *ret_route);
/* Was this ticket given to that very endpoint within the last BINDING_TICKET_LIFE_S? */
bool binding_has_seen(const uint8_t key[BINDING_TICKET_KEY_LEN], const struct endpoint *endpoint,
                      const void *ticket, size_t len, uint32_t now_s);
/* Is this a request that costs more than a plain one: it wants another source or port, or is long?
 * Owners limit those more strictly. */
bool binding_is_costly(const void *data, size_t len);

#endif
